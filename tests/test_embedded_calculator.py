"""The calculator: which formula a message holds, and what it comes to."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.embedded.calculator import calculate, formula_in


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 - 3 - 4", "-5"),
        ("16 / 4 / 2", "2"),
        ("-2**2", "-4"),
        ("2**-1", "0.5"),
        ("2**3**2", "512"),
        ("2^10", "1024"),
        ("2**0.5", "1.41421356237"),
        ("--5", "5"),
        ("+5 - -5", "10"),
        ("10 % 3", "1"),
        ("-7 % 3", "2"),
        ("-7 // 2", "-4"),
        ("12.5%", "0.125"),
        ("200 * 15%", "30"),
        ("200 - 10%", "199.9"),
        (".5 + 1.", "1.5"),
        ("1e3 + 1", "1001"),
        ("007 + 0", "7"),
        ("sqrt(16) + SQRT(2.25)", "5.5"),
        ("sqrt(2)", "1.41421356237"),
        ("sqrt(2)**2", "2"),
        ("16**0.5", "4"),
        ("abs(-3) + round(2.5) + round(-2.5)", "3"),
        ("round(2 / 3, 2)", "0.67"),
        ("min(3, 1, 2) + max(4, 5)", "6"),
        ("pi * 2", "6.28318530718"),
        ("0.1 + 0.2", "0.3"),
        ("0.1 * 3 - 0.3", "0"),
        ("1/3 * 3", "1"),
        ("1/3", "0.333333333333"),
        ("1/3 * 1e-20", "3.33333333333e-21"),
        ("12345678901234567890 * 98765432109876543210", "1219326311370217952237463801111263526900"),
        ("2**300 - 2**300 + 1", "1"),
        ("+".join(["2**2"] * 20), "80"),
        ("0.1**20", "1e-20"),
    ],
)
def test_a_formula_has_its_value(formula: str, value: str) -> None:
    assert value == calculate(formula)


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("1/0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1 // (2 - 2)", "division by zero"),
        ("0**-1", "division by zero"),
        ("9**999", "too large"),
        ("9**9**9", "too large"),
        ("1e999", "too large"),
        ("2**-99999", "too large"),
        ("sqrt(2)**99999", "too large"),
        ("1+" * 60 + "1", "too long"),
        ("(" * 25 + "1" + ")" * 25, "too deep"),
        ("1" + "**1" * 25, "too deep"),
        ("(-8)**0.5", "no real result"),
        ("sqrt(-1)", "no real result"),
        ("", "not a formula"),
        ("2+", "not a formula"),
        ("1 2", "not a formula"),
        ("(1", "not a formula"),
        ("1)", "not a formula"),
        ("()", "not a formula"),
        ("1, 2", "not a formula"),
        ("sqrt(1, 2)", "not a formula"),
        ("round(1, 2, 3)", "not a formula"),
        ("round(1, 99)", "not a formula"),
        ("sqrt 4", "not a formula"),
        ("a + 1", "not a formula"),
        ("1_000 + 1", "not a formula"),
        ("__import__('os')", "not a formula"),
        ("abs.__class__", "not a formula"),
        ("[].append(1)", "not a formula"),
        ("lambda: 1", "not a formula"),
        ("1 if 1 else 2", "not a formula"),
        ("'a' * 9", "not a formula"),
        ("１ + １", "not a formula"),
    ],
)
def test_what_has_no_value_says_why(formula: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        calculate(formula)


@given(st.text("0123456789+-*/%.^() ,eEpisqrtabx_'", max_size=100))
def test_anything_has_a_value_or_a_reason(formula: str) -> None:
    try:
        assert calculate(formula)
    except ValueError as error:
        assert str(error) in {"division by zero", "too large", "too long", "too deep", "no real result", "not a formula"}


@given(st.integers(), st.integers(), st.sampled_from("+-*"))
def test_whole_numbers_are_exact(left: int, right: int, sign: str) -> None:
    due = {"+": left + right, "-": left - right, "*": left * right}[sign]
    assert str(due) == calculate(f"({left}) {sign} ({right})")


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
def test_decimals_are_exact(left: object, right: object) -> None:
    assert Fraction(str(left)) + Fraction(str(right)) == Fraction(calculate(f"({left}) + ({right})"))


@pytest.mark.parametrize(
    ("message", "formula"),
    [
        ("What is 17 * 23?", "17 * 23"),
        ("What is 17 times 23, please?", "17 * 23"),
        ("12 ÷ 8", "12 / 8"),
        ("Compute (2 + 3) × 4.", "(2 + 3) * 4"),
        ("(I mean 3 + 4)", "3 + 4"),
        ("1,000,000 minus 1", "1000000 - 1"),
        ("2^10", "2**10"),
        ("-5 + 3", "-5 + 3"),
        ("What is 15% of 80?", "15% * 80"),
        ("What is 20 percent of 50?", "20 % * 50"),
        ("The square root of 16?", "sqrt(16)"),
        ("√16", "sqrt(16)"),
        ("5 squared", "5**2"),
        ("2 to the power of 10", "2 ** 10"),
        ("What is max(3, 4)?", "max(3, 4)"),
        ("３＋４は？", "3+4"),
        ("3足す4は？", "3+4"),
        ("80の15%は？", "80 * 15%"),
        ("2の10乗は？", "2 ** 10"),
        ("16の平方根は？", "sqrt(16)"),
        ("3加4等于多少？", "3+4"),
        ("80的15%是多少？", "80 * 15%"),
        ("2的10次方是多少？", "2 ** 10"),
        ("16的平方根是多少？", "sqrt(16)"),
    ],
)
def test_a_message_holds_a_formula(message: str, formula: str) -> None:
    assert formula == formula_in(message)
    assert calculate(formula)


def test_a_formula_that_is_too_long_is_not_cut_to_another_value() -> None:
    formula = "+".join(["1"] * 80)
    assert formula == formula_in(f"What is {formula}?")
    with pytest.raises(ValueError, match=r"^too long$"):
        calculate(formula)


@pytest.mark.parametrize(
    "message", ["Hello.", "On 2026-11-23 we meet.", "23/11/2026", "Order 1234", "max", "1 2 3", "a + b", ""]
)
def test_a_message_holds_no_formula(message: str) -> None:
    assert "" == formula_in(message)
