"""Signs, colours and widths: what a stream can show, and how a text is laid out for it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

from runner.clean import one_line, visible
from runner.console import coloured, is_ci, is_terminal
from runner.diagnostics import cells
from runner.model import Outcome
from runner.values import dataclass
from runner.words import _, ngettext

__all__ = ["FRAMES", "Look", "Painter", "duration", "how_many_checks", "rows", "verdict", "wrapped"]

COLOURING = re.compile("\x1b\\[[0-9;]*m")
SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass(frozen=True, slots=True)
class Look:
    """What a stream can show; `animated` moves the cursor."""

    colour: bool = False
    animated: bool = False
    width: int = 100

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> "Look":
        """Only a terminal that no CI service records is animated."""
        terminal = is_terminal(stream, environment)
        return cls(
            colour=coloured(stream, environment),
            animated=terminal and not is_ci(environment),
            width=columns(stream) if terminal else 100,
        )


def columns(stream: TextIO) -> int:
    import os

    try:
        return max(40, min(os.get_terminal_size(stream.fileno()).columns or 80, 120))
    except OSError:
        return 100


class Painter:
    """Signs, colours and widths for one Look."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.dot = self.paint("·", "dim")
        self.bar = self.paint("│", "dim")
        self.arrow = self.paint("→", "cyan")
        self.prompt = self.paint("❯", "cyan")

    def paint(self, text: str, *styles: str) -> str:
        if not self.look.colour or not styles:
            return text
        return f"\x1b[{';'.join(SGR[style] for style in styles)}m{text}\x1b[0m"

    def mark(self, outcome: str) -> str:
        match outcome:
            case Outcome.PASSED:
                return self.paint("✓", "green")
            case Outcome.FAILED:
                return self.paint("✗", "red")
            case Outcome.FLAKY:
                return self.paint("~", "yellow")
            case Outcome.SKIPPED | Outcome.NOT_RUN:
                return self.paint("–", "dim")
        return self.paint("!", "red")

    def join(self, parts: Iterable[str]) -> str:
        return f" {self.dot} ".join(part for part in parts if part)

    def flowing(self, parts: Iterable[str], indent: str) -> list[str]:
        """Parts side by side, on as many lines as they need."""
        lines: list[list[str]] = []
        room = 0
        for part in parts:
            taken = cells(COLOURING.sub("", part)) + 3
            if taken > room or not lines:
                lines.append([])
                room = self.look.width - len(indent) + 3
            lines[-1].append(part)
            room -= taken
        return [indent + self.join(line) for line in lines]

    def said(self, indent: str, mark: str, text: str) -> list[str]:
        """A sentence that others had a part in, such as a server's page of HTML: cut, and wrapped where nobody greps for it."""
        line = one_line(text, 600)
        first, *rest = rows(line, self.look.width - len(indent) - 2) if self.look.animated else [line]
        return [f"{indent}{mark} {first}", *(f"{indent}  {row}" for row in rest)]


def verdict(outcome: str) -> tuple[str, str]:
    match outcome:
        case Outcome.PASSED:
            return _("passed"), "green"
        case Outcome.FAILED:
            return _("failed"), "red"
        case Outcome.FLAKY:
            return _("flaky"), "yellow"
        case Outcome.SKIPPED:
            return _("skipped"), "dim"
        case Outcome.NOT_RUN:
            return _("not run"), "dim"
    return _("error"), "red"


def how_many_checks(outcome: str, count: int, failed: int) -> str:
    """How many checks there were and how many did not pass; a pass without any says so."""
    if not count:
        return _("ran, 0 checks") if outcome in {Outcome.PASSED, Outcome.FLAKY} else ""
    checks = ngettext("{count} check", "{count} checks", count).format(count=count)
    return _("{failed} of {checks} not passed").format(failed=failed, checks=checks) if failed else checks


def duration(seconds: float) -> str:
    """`3 ms`, `1.3 s`, `2 min 05 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def wrapped(text: str, room: int) -> Iterator[str]:
    """The lines of a text that say anything, cleaned, in rows of at most `room` cells."""
    for line in text.splitlines():
        if line.strip():
            yield from rows(visible(line.expandtabs(4).rstrip()), room)


def rows(line: str, room: int) -> Iterator[str]:
    """One line in rows, broken at a space where there is one near enough."""
    start = 0
    while (end := start + fitting(line[start : start + room + 1], room)) < len(line):
        space = line.rfind(" ", start + (end - start) // 2, end + 1)
        end = space if space > 0 else end
        yield line[start:end].rstrip()
        start = end + (line[end : end + 1] == " ")
    yield line[start:]


def fitting(text: str, room: int) -> int:
    """How many characters of `text` fit into `room` cells; one at least."""
    used = 0
    for place, char in enumerate(text):
        used += cells(char)
        if used > room:
            return max(1, place)
    return len(text)
