"""Limits as words: `under 80`, `over 3`, `at least 2`, `at most 500`, `between 20 and 80`, or a number for exactly that."""

import re
from collections.abc import Callable, Iterator
from math import inf
from typing import Annotated

from runner.forms import Form
from runner.model import seconds
from runner.values import dataclass
from runner.words import _

__all__ = ["CountLimit", "Limits", "TimeLimit", "trouble_with"]

DURATION = r"[0-9]+(?:\.[0-9]+)?\s*(?:ms|s|sec|min|h)?"


@dataclass(frozen=True, slots=True)
class Limits:
    """From `low` to `high`, ends included unless `without_low`, `without_high`; `written` is the author's spelling."""

    written: str
    low: float = 0
    high: float = inf
    without_low: bool = False
    without_high: bool = False

    def hold(self, number: float) -> bool:
        above = number > self.low if self.without_low else number >= self.low
        return above and (number < self.high if self.without_high else number <= self.high)

    @property
    def always(self) -> bool:
        return self.low <= 0 and not self.without_low and self.high == inf

    @property
    def never(self) -> bool:
        return self.low > self.high or (self.low == self.high and (self.without_low or self.without_high))


def read(written: str, number: str, convert: Callable[[str], float]) -> Limits | None:
    """What the words say, or None when they are not limits; `number` is the pattern of one quantity."""
    text = " ".join(written.split())
    if match := re.fullmatch(rf"under ({number})", text):
        return Limits(text, high=convert(match[1]), without_high=True)
    if match := re.fullmatch(rf"over ({number})", text):
        return Limits(text, low=convert(match[1]), without_low=True)
    if match := re.fullmatch(rf"at least ({number})", text):
        return Limits(text, low=convert(match[1]))
    if match := re.fullmatch(rf"at most ({number})", text):
        return Limits(text, high=convert(match[1]))
    if match := re.fullmatch(rf"between ({number}) and ({number})", text):
        return Limits(text, low=convert(match[1]), high=convert(match[2]))
    return None


def count(written: str | float) -> Limits:
    """`under 80` and the like, or a whole number. Raise ValueError for anything else."""
    text = str(written).strip()
    if limits := read(text, "[0-9]+", float):
        return limits
    if re.fullmatch("[0-9]+", text):
        return Limits(text, float(text), float(text))
    raise ValueError(_("not a limit; write `under 80`, `over 3`, `at least 2`, `at most 500`, `between 20 and 80` or a number"))


def duration(written: str | float) -> Limits:
    """`under 20s` and the like. Raise ValueError for anything else, and for a bare duration: no answer takes exactly that."""
    if limits := read(str(written), DURATION, seconds):
        return limits
    raise ValueError(_("not a limit of time; write `under 20s`, `at most 1 min`, `over 2s` or `between 1s and 20s`"))


def grammar(quantity: str) -> str:
    return rf"(?:under|over|at\s+least|at\s+most)\s+{quantity}|between\s+{quantity}\s+and\s+{quantity}"


CountLimit = Annotated[Limits, Form(parse=count, pattern=rf"^\s*(?:{grammar('[0-9]+')}|[0-9]+)\s*$", substitutes=False)]
"""A limit on a number of things."""
TimeLimit = Annotated[Limits, Form(parse=duration, pattern=rf"^\s*(?:{grammar(DURATION)})\s*$", substitutes=False)]
"""A limit on a time."""


def trouble_with(limits: Limits) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with limits, as diagnostics: code, message, hint."""
    if limits.never:
        yield "impossible", _("nothing is `{limits}`, so no reply passes").format(limits=limits.written), turned(limits)
    elif limits.always:
        yield "never-fails", _("everything is `{limits}`, so every reply passes").format(limits=limits.written), None


def turned(limits: Limits) -> str | None:
    """The limits the other way round, when that is what was meant."""
    match = re.fullmatch(r"between (.+) and (.+)", limits.written)
    return _("write `between {low} and {high}`").format(low=match[2], high=match[1]) if match else None
