"""The reports that `run` and `merge` write: their options, and opening and closing them by name."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli import reading
from runner.cli.frame import Exit, WrongPath, option
from runner.words import _

if TYPE_CHECKING:
    from runner.report import Fold
    from runner.reporters import Redact, Reporter

__all__ = ["NAMES", "closed", "opened", "options", "wanted"]

NAMES = ("json", "junit", "events", "html", "markdown", "github")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each report."""
    helps = {
        "json": _("write the report as JSON; - is standard output"),
        "junit": _("write a JUnit report"),
        "events": _("write everything that happens, a JSON object a line"),
        "html": _("write a page for the browser, with every conversation"),
        "markdown": _("write a short report as Markdown"),
        "github": _("write annotations for GitHub, at the lines of the flows"),
    }
    for name in reversed(NAMES):
        command = option(f"--{name}", metavar="FILE", multiple=True, heading=_("Results"), help=helps[name])(command)
    return command


def wanted(given: MutableMapping[str, Any]) -> Mapping[str, str]:
    """Take the reports out of a command's options: where each is to be written, by its name.

    Raise UsageError when two are to go to the same place, WrongPath when one cannot be written.
    """
    found: dict[str, Sequence[str]] = {name: given.pop(name, ()) for name in NAMES}
    for name, values in found.items():
        if len(values) > 1:
            raise click.UsageError(_("`--{name}` is given twice; it writes one file").format(name=name))
    files = {name: values[0] for name, values in found.items() if values}
    places = [value if value == "-" else str(Path(value).resolve()) for value in files.values()]
    if places.count("-") > 1:
        raise click.UsageError(_("only one report can go to standard output"))
    if len(set(places)) < len(places):
        raise click.UsageError(_("two reports cannot go to the same file"))
    for name, value in files.items():
        reading.destination(f"--{name}", value)
    return files


def opened(files: Mapping[str, str], fold: "Fold", redact: "Redact") -> "Iterator[Reporter]":
    """The reporters that write somewhere; raise WrongPath when a file cannot be made."""
    from runner.reporters import open_reporter

    for name, value in files.items():
        try:
            yield open_reporter(name, value, fold, redact)
        except OSError as error:
            raise WrongPath(f"`--{name} {value}`: {error.strerror}") from error


def closed(reporters: "Sequence[Reporter]") -> int:
    """Close every reporter; say what could not be written, and return the exit code for that. All is over but the writing, so
    that a signal does not stop it; a second one does."""
    code = Exit.PASSED
    with one_signal_ignored():
        for reporter in reporters:
            try:
                reporter.close()
            except OSError as error:
                code = Exit.NO_VERDICT
                what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
                print("runflow:", _("cannot write {what}").format(what=what), file=sys.stderr)
    return code


@contextmanager
def one_signal_ignored() -> Iterator[None]:
    before: dict[int, Any] = {}

    def restore(*_signal: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    from runner.suite import stopping

    # Elsewhere signals are somebody else's.
    if threading.current_thread() is threading.main_thread():
        before.update({number: signal.signal(number, restore) for number in stopping()})
    try:
        yield
    finally:
        restore()
