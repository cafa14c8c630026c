"""What the tests of the checks share: a check by its name and value, and its verdict as three plain texts."""

from typing import Any

from runner.diagnostics import Span
from runner.model import Expectation, Turn, Verdict
from runner.registry import checks

PLACE = Span(5, 9, 5, 15)
INSIDE = Span(6, 21, 6, 30)

Told = tuple[str, str, str, str]


def make(name: str, *value: object) -> Any:
    kind: Any = checks[name]
    return kind(*value)


def told(verdict: Verdict) -> Told:
    return (str(verdict.outcome), verdict.message, verdict.expected, verdict.actual)


def verdict(name: str, value: object, answer: str | Turn) -> Told:
    turn = answer if isinstance(answer, Turn) else Turn(answer)
    return told(make(name, value).evaluate(turn))


def outcome(name: str, value: object, answer: str | Turn) -> str:
    return verdict(name, value, answer)[0]


def expectation(name: str, *value: object) -> Expectation:
    return Expectation(name, make(name, *value), PLACE, INSIDE)


def problems(name: str, *value: object) -> list[tuple[str, str, str | None]]:
    return list(make(name, *value).problems())
