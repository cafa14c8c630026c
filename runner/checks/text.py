"""Compare texts as a reader does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from runner.checks.reader import answer, fold, nearest, quote, seen, views
from runner.forms import key
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["CasedText", "Contains", "EndsWith", "Equals", "OneOf", "StartsWith"]


@dataclass(frozen=True, slots=True)
class CasedText:
    """A text whose upper and lower case matter."""

    text: str = key("The text to compare with", "RAGDOLL")
    case: Literal["exact"] = key("`exact`: upper and lower case must be the same", "exact", default="exact")


def parts(value: str | CasedText) -> tuple[str, bool]:
    """The text on one line, as answers are read, and whether its case matters."""
    return (seen(value.text), True) if isinstance(value, CasedText) else (seen(value), False)


def nothing_expected() -> Verdict:
    return Verdict(Outcome.ERROR, _("the expected text is empty"))


@check("contains")
@dataclass(frozen=True, slots=True)
class Contains:
    """The reply contains this text, or each of these texts.

    Links and images count by their words, not their targets; bold and other marks may be there or not. Upper and lower case,
    full and half width, and line breaks make no difference; `case: exact` tells upper and lower case apart.

    ```yaml
    expect:
      - contains: ragdoll cat
      - contains: [cat, blue eyes]
      - contains: {text: RAGDOLL, case: exact}
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: str | tuple[str, ...] | CasedText

    def evaluate(self, turn: Turn) -> Verdict:
        value = self.value if isinstance(self.value, tuple) else (self.value,)
        shown = views(turn.text)
        passages = []
        for part, (text, exact) in enumerate(map(parts, value)):
            wanted = fold(text, exact)
            if not wanted:
                return replace(nothing_expected(), part=part)
            found = next((each for each in shown if wanted in fold(each, exact)), None)
            if found is None:
                return replace(missing(text, exact, shown), part=part)
            passages.append(answer(found, *nearest(found, text)))
        if not passages:
            return nothing_expected()
        expected = ", ".join(quote(text) for text, _exact in map(parts, value))
        return Verdict(Outcome.PASSED, expected=expected, actual=" ".join(dict.fromkeys(passages)))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        value = self.value if isinstance(self.value, tuple) else (self.value,)
        if not value:
            yield "never-fails", _("this list is empty, so every reply passes"), _("list the texts the reply must contain")
        if any(not fold(text) for text, _exact in map(parts, value)):
            yield "never-fails", _("every reply contains an empty text"), _("write the text the reply must contain")


def missing(text: str, exact: bool, shown: tuple[str, ...]) -> Verdict:
    message = _("the reply does not contain this text")
    if exact and any(fold(text) in fold(each) for each in shown):
        message = _("the reply contains this text only with other upper and lower case")
    return Verdict(Outcome.FAILED, message, quote(text), answer(shown[-1], *nearest(shown[-1], text)))


@check("starts_with")
@dataclass(frozen=True, slots=True)
class StartsWith:
    """The reply starts with this text; compared like `contains`.

    ```yaml
    expect:
      - starts_with: Here is
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: str | CasedText

    def evaluate(self, turn: Turn) -> Verdict:
        text, exact = parts(self.value)
        wanted = fold(text, exact)
        if not wanted:
            return nothing_expected()
        shown = views(turn.text)
        passed = any(fold(each, exact).startswith(wanted) for each in shown)
        message = "" if passed else _("the reply does not start with this text")
        return Verdict(Outcome.PASSED if passed else Outcome.FAILED, message, quote(text), answer(shown[-1]))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not fold(parts(self.value)[0]):
            yield "never-fails", _("every reply starts with an empty text"), _("write the text the reply must start with")


@check("ends_with")
@dataclass(frozen=True, slots=True)
class EndsWith:
    """The reply ends with this text; compared like `contains`.

    ```yaml
    expect:
      - ends_with: Enjoy!
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: str | CasedText

    def evaluate(self, turn: Turn) -> Verdict:
        text, exact = parts(self.value)
        wanted = fold(text, exact)
        if not wanted:
            return nothing_expected()
        shown = views(turn.text)
        passed = any(fold(each, exact).endswith(wanted) for each in shown)
        message = "" if passed else _("the reply does not end with this text")
        end = len(shown[-1])
        return Verdict(Outcome.PASSED if passed else Outcome.FAILED, message, quote(text), answer(shown[-1], end, end))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not fold(parts(self.value)[0]):
            yield "never-fails", _("every reply ends with an empty text"), _("write the text the reply must end with")


@check("equals")
@dataclass(frozen=True, slots=True)
class Equals:
    """The reply is this text and nothing else; compared like `contains`.

    ```yaml
    expect:
      - equals: Your order has shipped.
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: str | CasedText

    def evaluate(self, turn: Turn) -> Verdict:
        text, exact = parts(self.value)
        shown = views(turn.text)
        if any(fold(each, exact) == fold(text, exact) for each in shown):
            return Verdict(Outcome.PASSED, expected=quote(text), actual=answer(shown[-1]))
        at = first_difference(fold(text, exact), fold(shown[-1], exact))
        return Verdict(Outcome.FAILED, _("the reply is another text"), quote(text, at, at), answer(shown[-1], at, at))


def first_difference(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


@check("one_of")
@dataclass(frozen=True, slots=True)
class OneOf:
    """The reply is one of these texts and nothing else; compared like `contains`.

    ```yaml
    expect:
      - one_of: [positive, negative, neutral]
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: tuple[str, ...]

    def evaluate(self, turn: Turn) -> Verdict:
        shown = views(turn.text)
        wanted = {fold(text) for text in self.value}
        passed = any(fold(each) in wanted for each in shown)
        message = "" if passed else _("the reply is none of these texts")
        expected = ", ".join(map(quote, self.value))
        return Verdict(Outcome.PASSED if passed else Outcome.FAILED, message, expected, answer(shown[-1]))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not self.value:
            yield "impossible", _("this list is empty, so no reply passes"), _("list the texts the reply may be")
