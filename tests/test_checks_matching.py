"""Regular expressions are searched for within bounds of time and memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks import matching
from runner.checks.allowance import TookTooLong
from runner.checks.matching import BadPattern, find, nested_repeats
from runner.model import Turn
from tests.checks_fixtures import make, outcome, problems, verdict


@pytest.mark.parametrize(
    ("value", "answer", "expected"),
    [
        (r"order #\d{4}", "Your order #1234.", ("passed", "", r"order #\d{4}", '"order #1234"')),
        (("Friday|Saturday", r"\d+"), "Friday, 3 pm", ("passed", "", r"Friday|Saturday, \d+", '"Friday", "3"')),
        ("Cat", "cat", ("failed", "the reply does not match this regular expression", "Cat", '"cat"')),
        (("a", "b"), "a", ("failed", "the reply does not match this regular expression", "b", '"a"')),
        ("(?i)CAT", "cat", ("passed", "", "(?i)CAT", '"cat"')),
        ("猫+", "猫猫", ("passed", "", "猫+", '"猫猫"')),
        (r"\p{Han}", "猫", ("passed", "", r"\p{Han}", '"猫"')),
        ("é", "e\u0301", ("passed", "", "é", '"é"')),
        (r"\]\(https://", "[a](https://b.example)", ("passed", "", r"\]\(https://", '"](https://"')),
        ("", "cat", ("error", "the regular expression is empty", "", "")),
        ((), "cat", ("error", "the regular expression is empty", "", "")),
        ("(", "cat", ("error", "this regular expression cannot be read: missing ), at character 2", "(", "")),
    ],
)
def test_matches(value: object, answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict("matches", value, answer)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(\w+\s?)*$", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_endless_backtracking_is_an_error_that_names_the_check(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(matching, "SECONDS", 0.05)
    result, message, expected, _actual = verdict("matches", pattern, "a" * 100_000 + "?")
    assert ("error", "`matches` took longer than 0.05 s; the regular expression backtracks too much", pattern) == (
        result,
        message,
        expected,
    )


def test_the_time_of_a_check_is_shared_among_its_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(matching, "find", lambda _pattern, _text, seconds: given.append(seconds))
    make("matches", ("a", "b", "c", "d")).evaluate(Turn("x"))
    assert [0.25] == given


@pytest.mark.parametrize(
    ("pattern", "repeats"),
    [
        ("abc", 1),
        ("a{3}", 3),
        ("a{3,7}", 7),
        ("a{,9}", 9),
        ("a{3,}", 3),
        ("a{20}b{30}", 30),
        ("((a{200}){200}){200}", 8_000_000),
        ("((?:a{10})+|b{20}){60}", 1200),
        ("(?:(?:a{40}b){30})", 1200),
        (r"\(a{40}\){30}", 40),
        (r"[(]a{40}[)]{30}", 40),
        (r"[^]a{40}]{30}", 30),
        (r"[\]a{40}]{30}", 30),
        ("(?#(a{50}{50})b{2}", 2),
        ("(a{0}){2000}", 2000),
        ("(?x)#[\n((a{200}){200}){200}", 8_000_000),
        ("(?x:a)#((a{200}){200}){200}", 8_000_000),
        ("(a{200} ){200}", 40_000),
        ("[((a{200}){200}){200}", 8_000_000),
        ("a{x}{}{", 1),
    ],
)
def test_repeats_within_repeats_multiply(pattern: str, repeats: int) -> None:
    assert repeats == max(nested_repeats(pattern, verbose) for verbose in ("(?x" in pattern, False))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "((a{200}){200}){200}",
            "the repeat counts of this regular expression multiply to 8000000; at most 1000 are allowed",
        ),
        ("a" * 1001, "this regular expression has 1001 characters; at most 1000 are allowed"),
        ("a**", "this regular expression cannot be read: multiple repeat, at character 3"),
        ("[a", "this regular expression cannot be read: unterminated character set, at character 3"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_before_it_is_searched_for(pattern: str, message: str) -> None:
    hint = "to search for the text as it is, use `contains`"
    assert [("bad-pattern", message, hint)] == problems("matches", pattern)
    assert ("error", message, pattern, "") == verdict("matches", pattern, "aaaa")
    with pytest.raises(BadPattern):
        find(pattern, "a")


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("a*", "use `+` instead of `*`, or write what the reply must hold"),
        (".*", "use `+` instead of `*`, or write what the reply must hold"),
        ("a?", None),
        ("cat|", None),
        ("", None),
    ],
)
def test_a_pattern_that_fits_every_reply_is_a_problem(pattern: str, hint: str | None) -> None:
    assert [("never-fails", "this regular expression fits every reply, an empty one too", hint)] == problems("matches", pattern)


@pytest.mark.parametrize("pattern", ["^$", "a+", r"order #${order}", "${name}{2}", r"\$", r"(?s)^.{1,80}$"])
def test_an_honest_pattern_has_no_problem(pattern: str) -> None:
    assert [] == problems("matches", pattern)


def test_an_empty_list_never_fails() -> None:
    hint = "list the regular expressions that must fit"
    assert [("never-fails", "this list is empty, so every reply passes", hint)] == problems("matches", ())


def test_only_the_first_million_characters_are_searched() -> None:
    note = "(only the first 1000000 characters were searched)"
    answer = "a" * 1_000_000 + "b"
    assert ("failed", f"the reply does not match this regular expression {note}") == verdict("matches", "b", answer)[:2]
    assert ("passed", note) == verdict("matches", "a", answer)[:2]


def test_a_substituted_value_stands_for_itself() -> None:
    from runner.variables import expand

    check = expand(make("matches", "^${what}$"), {"what": "1+1 {e} (#)"})
    assert "passed" == str(check.evaluate(Turn("1+1 {e} (#)")).outcome)
    assert "failed" == str(check.evaluate(Turn("11")).outcome)


def test_find_gives_the_groups() -> None:
    found = find(r"#(\d+)(x)?", "order #1234")
    assert found is not None
    assert ("#1234", ("1234", None)) == (found[0], found.groups())
    assert find("x", "y") is None


def test_find_stops_in_time() -> None:
    with pytest.raises(TookTooLong):
        find("(a+)+$", "a" * 10_000 + "!", 0.01)


@given(st.text(st.characters() | st.sampled_from("(){}[]\\*+?|^$#,0123456789:=!<>P")), st.text())
def test_any_pattern_ends_in_a_verdict(pattern: str, answer: str) -> None:
    assert outcome("matches", pattern, answer) in ("passed", "failed", "error")
    list(make("matches", pattern).problems())
