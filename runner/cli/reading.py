"""Find the flow files a command line names, examine them, and show what is wrong with them."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from runner.cli import output
from runner.cli.frame import Exit, WrongPath
from runner.console import coloured
from runner.values import dataclass
from runner.words import _, nearest, ngettext

if TYPE_CHECKING:
    from runner.diagnostics import Diagnostic, Problems
    from runner.load import Examined

__all__ = ["SHOWN", "Findings", "Tally", "annotated", "collected", "destination", "drawn", "examined", "show", "write_text"]

SHOWN = 20
"""How many diagnostics are drawn; the rest are counted."""


@dataclass(slots=True)
class Tally:
    """How many files were examined, and what was found in them."""

    files: int = 0
    invalid: int = 0
    errors: int = 0
    warnings: int = 0

    def add(self, diagnostics: Sequence["Diagnostic"]) -> None:
        errors = sum(found.severity == "error" for found in diagnostics)
        self.files += 1
        self.invalid += bool(errors)
        self.errors += errors
        self.warnings += len(diagnostics) - errors

    @property
    def line(self) -> str:
        counts = [
            ngettext("{count} error", "{count} errors", self.errors).format(count=self.errors) if self.errors else "",
            ngettext("{count} warning", "{count} warnings", self.warnings).format(count=self.warnings) if self.warnings else "",
        ]
        return _("{files}: {findings}").format(
            files=ngettext("{count} file", "{count} files", self.files).format(count=self.files),
            findings=", ".join(filter(None, counts)) or _("no problems"),
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a file, with the lines it is about: all that needs to be kept of the file to show it later."""

    diagnostics: "tuple[Diagnostic, ...]"
    sources: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, examined: "Examined") -> "Findings":
        return cls(examined.diagnostics, {each.path: examined.lines(each.path) for each in examined.diagnostics})

    def lines(self, path: str) -> Sequence[str]:
        return self.sources[path]


def collected(paths: Sequence[str]) -> tuple[Path, ...]:
    """The flow files that `paths` name; raise WrongPath for one that does not exist."""
    from runner import plan

    if not paths:
        raise click.UsageError(_("name a flow file, a folder or a pattern, like `workflows/`"))
    try:
        return plan.collect(paths)
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        path = Path(error.filename)
        raise WrongPath(_("there is no file or folder `{path}`").format(path=error.filename) + alike(path)) from error
    except OSError as error:
        raise WrongPath(_("`{path}` cannot be read: {reason}").format(path=error.filename, reason=error.strerror)) from error


def alike(path: Path) -> str:
    """What lies beside it under a name like its own, as the end of a sentence; empty if nothing does."""
    try:
        near = nearest(path.name, sorted(os.listdir(path.parent)))  # noqa: PTH208
    except OSError:
        return ""
    return _("; did you mean `{near}`?").format(near=path.with_name(near)) if near else ""


def examined(files: Iterable[Path], *, require_checks: bool = False) -> Iterator["Examined"]:
    from runner import load
    from runner.cli.environment import allowed

    names = allowed()
    for path in files:
        yield load.examine(path, require_checks=require_checks, environment=names)


def show(results: "Iterable[Examined | Findings]", stream: TextIO, *, colour: bool) -> Tally:
    """Draw the first diagnostics of `results` on `stream`, in file order, count the rest, and return the tally."""
    from runner.clean import inert
    from runner.diagnostics import render

    tally = Tally()
    drawn = 0
    redact: Callable[[str], str] | None = None
    for result in results:
        tally.add(result.diagnostics)
        for diagnostic in result.diagnostics[: SHOWN - drawn]:
            if redact is None:
                from runner.cli.environment import redactor

                redact = redactor().redact
            stream.write(inert(redact(render(diagnostic, result.lines(diagnostic.path), colour=colour))) + "\n\n")
            drawn += 1
    rest = tally.errors + tally.warnings - drawn
    if rest:
        stream.write(_("… and {count} more").format(count=rest) + "\n\n")
    return tally


def annotated(diagnostics: "Iterable[Diagnostic]") -> str:
    """What is wrong with flows as annotations for GitHub, at their lines."""
    from runner.reporters import github

    return "".join(github.annotations(map(github.annotated, diagnostics), os.environ))


def drawn(problems: "Problems") -> int:
    """Draw what is wrong with a file that is no flow, such as the configuration; return the exit code."""
    from runner.diagnostics import render

    for diagnostic in problems.diagnostics:
        lines = Path(diagnostic.path).read_text(encoding="utf-8", errors="replace").splitlines()
        sys.stderr.write(render(diagnostic, lines, colour=coloured(sys.stderr, os.environ)) + "\n\n")
    return Exit.INVALID


def destination(name: str, value: str | None) -> str | None:
    """Check the FILE of the option `name` before any work is done; raise WrongPath when it cannot be written."""
    if value is None or value == "-":
        return value
    path = Path(value)
    if path.suffix in {".yaml", ".yml"}:
        raise WrongPath(
            _("`{name} {path}` would overwrite a flow; `{name} -` writes to standard output").format(name=name, path=value)
        )
    if path.is_dir():
        raise WrongPath(_("`{name} {path}` names a folder; name a file in it").format(name=name, path=value))
    if not path.absolute().parent.is_dir():
        raise WrongPath(_("`{name} {path}`: there is no folder {folder}").format(name=name, path=value, folder=path.parent))
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise WrongPath(_("`{name} {path}` cannot be written").format(name=name, path=value))
    return value


def write_text(value: str, text: str) -> None:
    """Write `text` to the file `value`, whole or not at all; `-` is standard output."""
    if value == "-":
        sys.stdout.write(text)
        return
    from runner import files

    try:
        files.replace(Path(value), text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise output.OutputLost(f"{value}: {error.strerror}") from error
