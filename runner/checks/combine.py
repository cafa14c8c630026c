"""Checks made of checks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import ClassVar

from runner.model import Expectation, Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["AllOf", "AnyOf", "NoneOf"]

Judged = tuple[tuple[Expectation, Verdict], ...]


def judge(value: Iterable[Expectation], turn: Turn) -> Judged:
    return tuple((each, each.check.evaluate(turn)) for each in value)


def first(judged: Judged, outcome: Outcome) -> tuple[Expectation, Verdict] | None:
    return next((pair for pair in judged if pair[1].outcome is outcome), None)


def naming(inner: Expectation, verdict: Verdict, outcome: Outcome) -> Verdict:
    """The verdict of one check as that of the whole: its sentence names the check, its place is the check's."""
    message = _("`{check}`: {message}").format(check=inner.name, message=verdict.message)
    return Verdict(outcome, message, verdict.expected, verdict.actual, inner.place(verdict))


def wanted(judged: Judged, between: str) -> str:
    """What the checks expect, in one text."""
    return between.join(verdict.expected or each.name for each, verdict in judged)


def looked_at(judged: Judged) -> str:
    return next((verdict.actual for _each, verdict in judged if verdict.actual), "")


def doubt_of(each: Expectation, turn: Turn) -> str:
    """Why a check that fails does not prove the contrary: what it judges could not be read. Empty when it does."""
    doubt: Callable[[Turn], str] | None = getattr(each.check, "doubt", None)
    return doubt(turn) if doubt is not None else ""


def tools_of(value: Iterable[Expectation]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(each.check.tools() for each in value if hasattr(each.check, "tools")))


@check("not")
@dataclass(frozen=True, slots=True)
class NoneOf:
    """None of these checks passes.

    ```yaml
    expect:
      - not: {contains: refund}
      - not:
          - contains: refund
          - calls: cancel_order
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: tuple[Expectation, ...]

    def evaluate(self, turn: Turn) -> Verdict:
        judged = judge(self.value, turn)
        if error := first(judged, Outcome.ERROR):
            return naming(*error, Outcome.ERROR)
        if passed := first(judged, Outcome.PASSED):
            inner, verdict = passed
            message = _("`{check}` passes, which `not` forbids").format(check=inner.name)
            expected = _("not {expected}").format(expected=verdict.expected or inner.name)
            return Verdict(Outcome.FAILED, message, expected, verdict.actual, inner.place(verdict))
        for inner, verdict in judged:
            if doubt := doubt_of(inner, turn):
                return naming(inner, replace(verdict, message=doubt), Outcome.ERROR)
        expected = _("not {expected}").format(expected=wanted(judged, _(" or "))) if judged else ""
        return Verdict(Outcome.PASSED, "", expected, looked_at(judged))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not self.value:
            yield (
                "never-fails",
                _("`not` has no check, so every reply passes"),
                _("write what must not be: `not: {contains: …}`"),
            )

    def tools(self) -> tuple[str, ...]:
        return tools_of(self.value)


@check("any")
@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these checks passes.

    ```yaml
    expect:
      - any:
          - contains: shipped
          - contains: on its way
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: tuple[Expectation, ...]

    def evaluate(self, turn: Turn) -> Verdict:
        judged = judge(self.value, turn)
        if passed := first(judged, Outcome.PASSED):
            inner, verdict = passed
            return Verdict(Outcome.PASSED, expected=verdict.expected or inner.name, actual=verdict.actual)
        if error := first(judged, Outcome.ERROR):
            return naming(*error, Outcome.ERROR)
        if not judged:
            return Verdict(Outcome.ERROR, _("there is no check to pass"))
        if len(judged) == 1:
            return naming(*judged[0], Outcome.FAILED)
        return Verdict(
            Outcome.FAILED,
            _("none of these checks passes: {checks}").format(checks=", ".join(f"`{each.name}`" for each, _verdict in judged)),
            wanted(judged, _(" or ")),
            looked_at(judged),
        )

    def doubt(self, turn: Turn) -> str:
        return next(filter(None, (doubt_of(each, turn) for each in self.value)), "")

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not self.value:
            yield "impossible", _("`any` has no check, so no reply passes"), _("list the checks of which one must pass")

    def tools(self) -> tuple[str, ...]:
        return tools_of(self.value)


@check("all")
@dataclass(frozen=True, slots=True)
class AllOf:
    """Each of these checks passes; useful within `any` and `not`.

    ```yaml
    expect:
      - any:
          - all: [{contains: shipped}, {contains: Friday}]
          - contains: delivered
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: tuple[Expectation, ...]

    def evaluate(self, turn: Turn) -> Verdict:
        judged = judge(self.value, turn)
        if error := first(judged, Outcome.ERROR):
            return naming(*error, Outcome.ERROR)
        if failed := first(judged, Outcome.FAILED):
            return naming(*failed, Outcome.FAILED)
        if not judged:
            return Verdict(Outcome.ERROR, _("there is no check to pass"))
        return Verdict(Outcome.PASSED, "", wanted(judged, _(" and ")), looked_at(judged))

    def doubt(self, turn: Turn) -> str:
        """None when one of the checks fails beyond doubt."""
        failed = [each for each, verdict in judge(self.value, turn) if verdict.outcome is Outcome.FAILED]
        doubts = [doubt_of(each, turn) for each in failed]
        return doubts[0] if doubts and all(doubts) else ""

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not self.value:
            yield "never-fails", _("`all` has no check, so every reply passes"), _("list the checks that must pass")

    def tools(self) -> tuple[str, ...]:
        return tools_of(self.value)
