"""What is wrong with a file, where, and what to write instead; drawn over the line it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Diagnostic", "Problems", "Related", "Severity", "Span"]


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
    """A file that cannot be used as it stands; carries every diagnostic found, in file order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(found.message for found in diagnostics))
        self.diagnostics = tuple(diagnostics)
