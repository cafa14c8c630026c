"""Search with regular expressions that others wrote, within bounds of time and memory."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Protocol
from unicodedata import normalize

from runner.checks.allowance import TookTooLong
from runner.checks.reader import answer, quote, seen
from runner.forms import Form
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = [
    "BadPattern",
    "Match",
    "Matches",
    "Pattern",
    "TookTooLong",
    "compiled",
    "find",
    "find_all",
    "placeless",
    "trouble_with",
]

LONGEST = 1_000
"""The most characters a pattern may have."""
REPEATS = 1_000
"""The most that the counts of repeats within repeats may multiply to: each is a copy in memory."""
SEARCHED = 1_000_000
"""How much of a text is searched, in characters."""
SECONDS = 1.0
"""The most time one check may search."""

VARIABLE = r"\$\{[^{}]*\}"
COUNT = r"\{\s*(\d*)\s*(?:,\s*(\d*)\s*)?\}"


class Match(Protocol):
    """Where a pattern fits, as `re.Match` has it."""

    def __getitem__(self, group: int, /) -> str: ...
    def groups(self) -> tuple[str | None, ...]: ...


class Pattern(Protocol):
    """A pattern that can be searched for within a time; then it raises TimeoutError."""

    def search(self, text: str, *, timeout: float) -> Match | None: ...


class BadPattern(Exception):
    """A pattern that cannot be used; the message says why."""


def compiled(pattern: str) -> Pattern:
    """The pattern, ready to search; raise BadPattern when it cannot be read or would take too much memory."""
    if trouble := too_large(pattern):
        raise BadPattern(trouble)
    import warnings

    import regex  # type: ignore[import-untyped]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            searchable: Pattern = regex.compile(normalize("NFC", pattern))
    except regex.error as error:
        message = _("this regular expression cannot be read: {reason}").format(reason=error.msg)
        if error.pos is not None:
            message = _("{message}, at character {position}").format(message=message, position=error.pos + 1)
        raise BadPattern(message) from None
    except (RecursionError, OverflowError, ValueError, IndexError, MemoryError) as error:
        raise BadPattern(_("this regular expression cannot be read: {reason}").format(reason=error)) from None
    return searchable


def find(pattern: str, text: str, seconds: float | None = None) -> Match | None:
    """The first place where the pattern fits; raise BadPattern or TookTooLong. Only the first million characters count."""
    searchable = compiled(pattern)
    try:
        return searchable.search(normalize("NFC", text[:SEARCHED]), timeout=SECONDS if seconds is None else seconds)
    except TimeoutError:
        raise TookTooLong from None
    except (MemoryError, RecursionError) as error:
        raise TookTooLong from error


def too_large(pattern: str) -> str | None:
    """Why the pattern is refused before it is compiled, if it is."""
    if len(pattern) > LONGEST:
        return _("this regular expression has {length} characters; at most {most} are allowed").format(
            length=len(pattern), most=LONGEST
        )
    # With the flag `x`, `#` begins a comment, but not everywhere: read it both ways.
    ways = (False, True) if re.search(r"\(\?[\w-]*x", pattern) else (False,)
    if (repeats := max(nested_repeats(pattern, verbose) for verbose in ways)) > REPEATS:
        return _("the repeat counts of this regular expression multiply to {repeats}; at most {most} are allowed").format(
            repeats=repeats, most=REPEATS
        )
    return None


def nested_repeats(pattern: str, verbose: bool) -> int:
    """The largest product of repeat counts, each within the next. Where syntax is doubtful, it is read as the larger."""
    outer: list[int] = []
    largest = last = highest = 1
    at = 0
    while at < len(pattern):
        char = pattern[at]
        count = re.compile(COUNT).match(pattern, at) if char == "{" else None
        if count and any(count.groups()):
            last *= max(1, *(int(number) for number in count.groups() if number))
            highest = max(highest, last)
            largest = max(largest, last)
            at = count.end()
            continue
        if char == "\\":
            at += 1
            last = 1
        elif char == "[":
            at = after_class(pattern, at) - 1
            last = 1
        elif pattern.startswith("(?#", at):
            at = after(pattern, ")", at)
            continue
        elif char == "#" and verbose:
            at = after(pattern, "\n", at)
            continue
        elif char == "(":
            outer.append(highest)
            highest = last = 1
        elif char == ")":
            last = highest
            highest = max(outer.pop() if outer else 1, last)
        elif char not in "*+?" and not (verbose and char.isspace()):
            last = 1
        at += 1
    return largest


def after(pattern: str, end: str, at: int) -> int:
    found = pattern.find(end, at)
    return len(pattern) if found < 0 else found + 1


def after_class(pattern: str, at: int) -> int:
    """Where a set like `[a-z]` that begins at `at` ends; one that does not end hides nothing."""
    end = at + 2 if pattern.startswith("[^", at) else at + 1
    end += pattern.startswith("]", end)
    while end < len(pattern) and pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end + 1 if end < len(pattern) else at + 1


def placeless(pattern: str) -> str:
    """The pattern with a letter for each character of a `${name}`, so that it can be read before values are known."""
    return re.sub(VARIABLE, lambda match: "x" * len(match[0]), pattern)


def trouble_with(pattern: str) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with a pattern as written, as diagnostics: code, message, hint."""
    try:
        searchable = compiled(placeless(pattern))
    except BadPattern as error:
        yield "bad-pattern", str(error), _("to search for the text as it is, use `contains`")
        return
    try:
        always = all(searchable.search(text, timeout=SECONDS) for text in ("", "x", "0 - \n。"))
    except (TimeoutError, MemoryError, RecursionError):
        return
    if always:
        hint = _("use `+` instead of `*`, or write what the reply must hold") if "*" in pattern else None
        yield "never-fails", _("this regular expression fits every reply, an empty one too"), hint


def find_all(patterns: tuple[str, ...], text: str) -> Verdict:
    """Whether each pattern fits somewhere; the time of one check is shared among them."""
    note = _(" (only the first {count} characters were searched)").format(count=SEARCHED) if len(text) > SEARCHED else ""
    shown = []
    for part, pattern in enumerate(patterns):
        try:
            found = find(pattern, text, SECONDS / len(patterns))
        except BadPattern as error:
            return Verdict(Outcome.ERROR, str(error), pattern, part=part)
        except TookTooLong:
            message = _("`matches` took longer than {seconds} s; the regular expression backtracks too much")
            message = message.format(seconds=f"{SECONDS:g}") + note
            return Verdict(Outcome.ERROR, message, pattern, answer(seen(text[:SEARCHED])), part=part)
        if found is None:
            message = _("the reply does not match this regular expression") + note
            return Verdict(Outcome.FAILED, message, pattern, answer(seen(text[:SEARCHED])), part=part)
        shown.append(quote(found[0]) if found[0] else answer(seen(text[:SEARCHED])))
    return Verdict(Outcome.PASSED, note.strip(), ", ".join(patterns), ", ".join(shown))


@check("matches")
@dataclass(frozen=True, slots=True)
class Matches:
    r"""A regular expression fits somewhere in the reply; of a list, each does.

    It searches the reply as it came, with links and marks; upper and lower case differ unless it begins with `(?i)`. Write it
    in single quotes. A value put in by `${name}` stands for itself. A search that takes longer than a second is an error.

    ```yaml
    expect:
      - matches: 'order #\d{4}'
      - matches: ['(?i)shipped', 'Friday|Saturday']
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    value: Annotated[str, Form(escape=re.escape)] | tuple[Annotated[str, Form(escape=re.escape)], ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def evaluate(self, turn: Turn) -> Verdict:
        if not self.patterns or not all(self.patterns):
            return Verdict(Outcome.ERROR, _("the regular expression is empty"))
        return find_all(self.patterns, turn.text)

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        if not self.patterns:
            yield "never-fails", _("this list is empty, so every reply passes"), _("list the regular expressions that must fit")
        for pattern in self.patterns:
            yield from trouble_with(pattern)
