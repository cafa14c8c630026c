"""What is wrong with a file, where, and what to write instead; drawn over the line it is about."""

from collections.abc import Sequence
from enum import StrEnum

from runner.values import dataclass
from runner.words import _

__all__ = ["Diagnostic", "Problems", "Related", "Severity", "Span", "cells", "render", "to_json"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a file. Lines and columns count from 1, columns in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Related:
    """A second place worth showing, such as the first of two equal keys."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint: `code` is stable and has a page in `runner/explain/`; `message` says what is wrong, `hint` what to write.

    Both are in the reader's language, lower case, without a full stop. `span` is None when the file as a whole is meant.
    """

    code: str
    message: str
    path: str
    span: Span | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR
    related: tuple[Related, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    """Rows drawn beneath, such as ("expected", …) and ("actual", …) of a failed check."""


class Problems(Exception):
    """A file that cannot be used as it stands; carries every diagnostic found, in file order, and the file's lines for
    drawing them, as far as it could be read."""

    def __init__(self, diagnostics: Sequence[Diagnostic], lines: Sequence[str] = ()) -> None:
        super().__init__("\n".join(found.message for found in diagnostics))
        self.diagnostics = tuple(diagnostics)
        self.lines = tuple(lines)


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

ROW = 120
"""Cells of source shown in one row; a longer line is cut around its carets."""
BEFORE = 60
"""Cells kept before the carets of a line that is cut."""
TAB = "    "
COLOURS = {"bold": "1", "faint": "2", "error": "1;31", "warning": "1;33"}


def render(d: Diagnostic, lines: Sequence[str], *, colour: bool = False) -> str:
    """Draw a diagnostic over the line it is about: header, source, carets counted in terminal cells, hint, notes.

    Nothing of the file, its name or its text reaches the terminal raw. What lies outside `lines` is left out.
    """

    def paint(style: str, text: str) -> str:
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if colour and text else text

    def draw(span: Span, mark: str, style: str, label: str) -> list[str]:
        text, offset, length = excerpt(lines[span.line - 1], span)
        under = paint(style, f"{mark * length} {label}".rstrip())
        return [bar, f"{paint('faint', f'{span.line:>{width}} |')} {text}".rstrip(), f"{bar} {' ' * offset}{under}"]

    style = d.severity.value
    kind = _("warning: ") if d.severity is Severity.WARNING else ""
    place = shown(d.path) + (f":{d.span.line}:{d.span.column}:" if d.span else ":")
    code = paint("faint", f"[{shown(d.code)}]")
    rows = [f"{paint('bold', place)} {paint(style, kind)}{paint('bold', shown(d.message))} {code}"]

    span = d.span if d.span and d.span.line <= len(lines) else None
    related = [other for other in d.related if other.span.line <= len(lines)]
    width = max((len(str(at.line)) for at in (span, *(other.span for other in related)) if at), default=1)
    bar = paint("faint", f"{'':{width}} |")
    hint = [shown(line) for line in d.hint.splitlines()] if d.hint else []
    if span:
        _text, offset, length = excerpt(lines[span.line - 1], span)
        beside = len(hint) == 1 and offset + length + 1 + cells(hint[0]) <= ROW
        rows += draw(span, "^", style, hint[0] if beside else "")
        hint = [] if beside else hint
    rows += [f"{'':{width}} {'=' if first == 0 else ' '} {line}" for first, line in enumerate(hint)]
    for other in related:
        rows += draw(other.span, "-", "faint", shown(other.message))
    label = max((cells(shown(name)) for name, _text in d.notes), default=0)
    for name, text in d.notes:
        head = shown(name) + " " * (label - cells(shown(name)) + 2)
        rows += [f"{bar} {'' if row else head:{len(head)}}{shown(line)}".rstrip() for row, line in enumerate(text.split("\n"))]
    return "\n".join(rows)


def excerpt(line: str, span: Span) -> tuple[str, int, int]:
    """A line as it can be shown, and where in it the carets stand: cells before them and cells under which they stand.

    A span of several lines is marked on its first one. Only the part that is shown is looked at, however long the line.
    """
    start = min(span.column - 1, len(line))
    end = len(line.rstrip()) if span.end_line > span.line else min(span.end_column - 1, len(line))
    left = 0
    if start > ROW or cells(shown(line[:start])) > ROW - BEFORE // 2:
        left, room = start, BEFORE
        while left and (room := room - cells(shown(line[left - 1]))) >= 0:
            left -= 1
    before = ("…" if left else "") + shown(line[left:start])
    offset = cells(before)
    text, used = before, offset
    length = 0
    for index in range(start, len(line)):
        piece = shown(line[index])
        if used + cells(piece) > ROW or index > start + 4 * ROW:
            text += "…"
            break
        text += piece
        used += cells(piece)
        length = used - offset if index < end else length
    return text, offset, max(length, 1)


def shown(text: str) -> str:
    """Text that is safe on a terminal, in one row: tabs as spaces, other control characters as they would be escaped."""
    from runner.clean import visible

    return visible(text.replace("\t", TAB).replace("\r", "\\r").replace("\n", "\\n"))


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from runner.clean import cells as cells_of

    return sum(map(cells_of, text))


def to_json(d: Diagnostic) -> dict[str, object]:
    """The same for machines: JSON types only."""
    return {
        "path": d.path,
        **place_json(d.span),
        "code": d.code,
        "severity": d.severity.value,
        "message": d.message,
        "hint": d.hint,
        "related": [{**place_json(other.span), "message": other.message} for other in d.related],
    }


def place_json(span: Span | None) -> dict[str, int | None]:
    if span is None:
        return dict.fromkeys(("line", "column", "end_line", "end_column"))
    return {"line": span.line, "column": span.column, "end_line": span.end_line, "end_column": span.end_column}
