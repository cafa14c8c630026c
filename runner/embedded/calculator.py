"""The calculator: from a message to the formula in it, and from a formula to its value, by a small grammar and nothing else.

It knows numbers (`12`, `0.5`, `1e3`, `pi`), `+ - * / // %`, powers (`**` or `^`), parentheses, a percentage (`15%`, which is
0.15), and `sqrt`, `abs`, `round`, `min`, `max`. Powers bind tighter than a sign before them (`-2**2` is -4) and group to the
right; `//` and the remainder `%` are those of floor division. It calculates with fractions, so that whole numbers are exact
however long and 0.1 + 0.2 is 0.3; only roots and broken powers that have no exact value are rounded, and what has no end
is shown with twelve digits.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from runner.values import dataclass

__all__ = ["calculate", "formula_in"]

Number: TypeAlias = Fraction | float
"""Exact, or rounded once a root or a broken power was taken."""

LONGEST, DEEPEST = 100, 20
"""Characters of a formula, and parentheses within parentheses."""
MOST_BITS = 4000
"""How large numerator and denominator of a value may become on the way."""
MOST_DIGITS, SHOWN = 100, 12

TOKEN = r"(?a)\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)|(?P<name>[A-Za-z]+)|(?P<sign>\*\*|//|[-+*/%^(),]))"


def calculate(formula: str) -> str:
    """The value of a formula; raise ValueError with the reason when there is none."""
    if len(formula) > LONGEST:
        raise ValueError("too long")
    try:
        return shown(Parser(tokens_of(formula)).whole())
    except ZeroDivisionError as error:
        raise ValueError("division by zero") from error
    except OverflowError as error:
        raise ValueError("too large") from error


def tokens_of(formula: str) -> list[str]:
    found, at = [], 0
    formula = formula.rstrip()
    while at < len(formula):
        match = re.compile(TOKEN).match(formula, at)
        if match is None:
            raise ValueError("not a formula")
        found.append(match[0].strip())
        at = match.end()
    return found


# ── the grammar, one method a level ──────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Parser:
    """Reads tokens from the front and calculates as it goes."""

    tokens: Sequence[str]
    at: int = 0
    depth: int = 0

    def whole(self) -> Number:
        value = self.sum()
        if self.next:
            raise ValueError("not a formula")
        return value

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *signs: str) -> str:
        """The next token if it is one of these, else nothing."""
        token = self.next
        if token not in signs:
            return ""
        self.at += 1
        return token

    def sum(self) -> Number:
        value = self.product()
        while sign := self.take("+", "-"):
            value = OPERATORS[sign](value, self.product())
        return value

    def product(self) -> Number:
        value = self.signed()
        while sign := self.take("*", "//", "/", "%"):
            value = OPERATORS[sign](value, self.signed())
        return value

    def signed(self) -> Number:
        minus = False
        while sign := self.take("+", "-"):
            minus ^= sign == "-"
        value = self.power()
        return -value if minus else value

    def power(self) -> Number:
        base = self.percentage()
        if not self.take("**", "^"):
            return base
        # A tower of powers is as deep as parentheses would be.
        self.deeper()
        exponent = self.signed()
        self.depth -= 1
        return power(base, exponent)

    def percentage(self) -> Number:
        value = self.atom()
        while self.next == "%" and not self.operand_follows():
            self.at += 1
            value = value / 100
        return value

    def operand_follows(self) -> bool:
        """Whether the `%` here has a right side, so that it is the remainder."""
        after = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else ""
        return after == "(" or after[:1].isalnum() or after[:1] == "."

    def atom(self) -> Number:
        token = self.next
        self.at += 1
        if token == "(":
            return self.inner()[0]
        if token[:1].isdecimal() or token[:1] == ".":
            return Fraction(token)
        if token.lower() == "pi":
            return math.pi
        function = FUNCTIONS.get(token.lower())
        if function is None or not self.take("("):
            raise ValueError("not a formula")
        return function(self.inner(len(self.tokens)))

    def inner(self, most: int = 1) -> list[Number]:
        """What stands in parentheses, up to the closing one; at most so many values."""
        self.deeper()
        values = [self.sum()]
        while len(values) < most and self.take(","):
            values.append(self.sum())
        if not self.take(")"):
            raise ValueError("not a formula")
        self.depth -= 1
        return values

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("too deep")


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bounded(value: Number) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError
    elif max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise OverflowError
    return value


OPERATORS: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": lambda left, right: bounded(left + right),
    "-": lambda left, right: bounded(left - right),
    "*": lambda left, right: bounded(left * right),
    "/": lambda left, right: bounded(left / right),
    "//": lambda left, right: bounded(Fraction(left // right)),
    "%": lambda left, right: bounded(left % right),
}


def power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if (size - 1) * abs(exponent) > MOST_BITS:
            raise OverflowError
        return bounded(base**exponent)
    if exponent == Fraction(1, 2):
        return root(base)
    raised = float(base) ** float(exponent)
    if isinstance(raised, complex):
        raise ValueError("no real result")
    return bounded(raised)


def root(value: Number) -> Number:
    """The square root, exact where there is an exact one."""
    if value < 0:
        raise ValueError("no real result")
    if isinstance(value, Fraction):
        exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if exact * exact == value:
            return exact
    return math.sqrt(value)


def rounded(value: Number, digits: Number = Fraction(0)) -> Number:
    """Halves away from zero, as people round."""
    if digits != int(digits) or not 0 <= digits <= SHOWN:
        raise ValueError("not a formula")
    scaled = abs(Fraction(value)) * 10 ** int(digits)
    whole = Fraction(math.floor(scaled + Fraction(1, 2)), 10 ** int(digits))
    return -whole if value < 0 else whole


def absolute(value: Number) -> Number:
    return -value if value < 0 else value


def of_one(function: Callable[[Number], Number]) -> Callable[[Sequence[Number]], Number]:
    def called(values: Sequence[Number]) -> Number:
        if len(values) != 1:
            raise ValueError("not a formula")
        return function(values[0])

    return called


def round_of(values: Sequence[Number]) -> Number:
    if len(values) > 2:
        raise ValueError("not a formula")
    return rounded(*values)


FUNCTIONS: Mapping[str, Callable[[Sequence[Number]], Number]] = {
    "sqrt": of_one(root),
    "abs": of_one(absolute),
    "round": round_of,
    "min": min,
    "max": max,
}


def shown(value: Number) -> str:
    """A value for reading: all digits of what ends, twelve of what does not."""
    if isinstance(value, float):
        return format(value, f".{SHOWN}g")
    if value.denominator == 1:
        digits = str(value.numerator)
        if len(digits) > MOST_DIGITS:
            raise ValueError("too large")
        return digits
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = MOST_DIGITS if rest == 1 else SHOWN
        quotient = Decimal(value.numerator) / Decimal(value.denominator)
        return format(quotient, "f") if -SHOWN < quotient.adjusted() < MOST_DIGITS else format(quotient, "g")


# ── finding a formula ────────────────────────────────────────────────────────────────────────────────────────────────

OPERAND = r"(\([^()]{1,60}\)|\d[\d.]*)"
SIGNS = (
    (
        rf"(?:\bthe\s+)?\bsquare root of\s+{OPERAND}|√\s*{OPERAND}|{OPERAND}\s*の?\s*平方根|{OPERAND}\s*的\s*平方根",
        r"sqrt(\1\2\3\4)",
    ),
    (rf"{OPERAND}\s*(?:to the power of|raised to|の(?=\s*\d+\s*乗)|的(?=\s*\d+\s*次方))\s*(\d+)\s*(?:乗|次方)?", r"\1 ** \2"),
    (r"(?<=[\d)])\s*(?:squared\b|の?二乗|的?平方)", "**2"),
    (r"(?<=[\d)])\s*cubed\b", "**3"),
    (r"\bplus\b|足す|たす|加上|加", "+"),
    (r"\bminus\b|引く|ひく|减去|减|[−–]", "-"),
    (r"\b(?:multiplied by|times)\b|掛ける|かける|乘以|乘|[×✕]|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\bdivided by\b|割る|わる|除以|÷", "/"),
    (r"\bpercent\b|パーセント|％", "%"),
    (r"(?<=%)\s*of\s+|(?<=[\d%])\s*[の的]\s*(?=\d)", " * "),
    (r"\^", "**"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
)
WORD = r"sqrt|abs|round|min|max"
PART, END = rf"(?:(?:{WORD})\(|\bpi\b|[\d\s.,()+\-*/%])", r"(?:\bpi\b|[\d)%])"
FORMULA = rf"(?:(?:{WORD})\(|[-(\d.]){PART}{{0,98}}{END}"
CALCULATES = rf"[\d)%]\s*[-+*/%]{{1,2}}\s*(?:[-(\d.]|pi\b|{WORD})|(?:{WORD})\(.+\)"
DATE = r"\d{4}([-/])\d{1,2}\1\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}"


def formula_in(message: str) -> str:
    """The first formula in a message, in plain signs, or nothing."""
    text = unicodedata.normalize("NFKC", message)
    for words, sign in SIGNS:
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    found = (balanced(whole(match)) for match in re.finditer(FORMULA, text))
    return next((formula for formula in found if re.search(CALCULATES, formula) and not re.fullmatch(DATE, formula)), "")


def whole(found: re.Match[str]) -> str:
    """The formula to its end: cut at any length, it would have another value."""
    rest = re.match(rf"{PART}*{END}", found.string[found.end() :])
    return found[0] + (rest[0] if rest else "")


def balanced(formula: str) -> str:
    """A formula without the parenthesis that the sentence around it closes or opens."""
    formula = formula.strip(" ,")
    while formula.count(")") > formula.count("(") and formula.endswith(")"):
        formula = formula[:-1].rstrip()
    while formula.count("(") > formula.count(")") and formula.startswith("("):
        formula = formula[1:].lstrip()
    return formula
