"""`runflow merge`: join what several runs told, such as the shards of one, into any reports."""

import os
import sys
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import click

from runner.cli import environment, output, reports
from runner.cli.frame import Command, Exit, Refused, WrongPath, option
from runner.words import _

__all__ = ["command"]

SUFFIXES = {".jsonl", ".ndjson"}


@click.command(
    "merge",
    cls=Command,
    help=_("Join the event streams of several runs, such as the shards of one, and write reports on all of it."),
    examples=[
        ("runflow merge shards/ --html report.html", _("every .jsonl file below a folder, as one page")),
        ("runflow merge 'part-*.jsonl' --junit report.xml", _("files by a pattern, as JUnit")),
        ("runflow run workflows/ --shard 1/4 --events part-1.jsonl", _("what writes them")),
    ],
)
@click.argument("streams", nargs=-1, metavar="EVENTS…", type=click.Path())
@option(
    "--fail-on-flaky", is_flag=True, heading=_("What"), help=_("end with 1 where a conversation passed only when tried again")
)
@reports.options
@option("-q", "--quiet", is_flag=True, heading=_("Results"), help=_("show only what did not pass"))
@option("--no-color", is_flag=True, heading=_("Results"), help=_("no colours"))
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    paths: Sequence[str] = given.pop("streams")
    files = reports.wanted(given)
    inputs = collected(paths, files)
    if not inputs:
        click.echo(_("no event streams found; nothing to merge"), err=True)
        ctx.exit(Exit.NOTHING_RAN)
    ctx.exit(merge(inputs, files, fail_on_flaky=given["fail_on_flaky"], quiet=given["quiet"], colour=not given["no_color"]))


def collected(paths: Sequence[str], files: Mapping[str, str]) -> list[Path]:
    """The event streams that `paths` name, each once: files, those below folders, those that fit patterns. Raise WrongPath for
    a path that does not exist, UsageError for none and for a report that would replace one of them."""
    if not paths:
        raise click.UsageError(_("name the files that `--events` wrote, or their folder"))
    found: dict[Path, Path] = {}
    for written in paths:
        for path in named(written):
            found.setdefault(path.resolve(), path)
    for name, value in files.items():
        if value != "-" and Path(value).resolve() in found:
            raise click.UsageError(
                _("`--{name} {path}` would replace one of the files to be joined").format(name=name, path=value)
            )
    return list(found.values())


def named(written: str) -> list[Path]:
    path = Path(written)
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
    if path.exists():
        return [path]
    fitting = sorted(Path(each) for each in glob(written, recursive=True))  # noqa: PTH207
    if not fitting:
        raise WrongPath(_("there is no file or folder `{path}`").format(path=written))
    return [each for each in fitting if each.is_file()]


def merge(inputs: Sequence[Path], files: Mapping[str, str], *, fail_on_flaky: bool, quiet: bool, colour: bool) -> int:
    """Tell all of it to the reporters, and return the exit code it comes to."""
    from runner.archive import Archive
    from runner.merge import Unmergeable, merged
    from runner.report import Fold
    from runner.reporters import Audience
    from runner.reporters.terminal import open_terminal

    redactor = environment.redactor()
    redact = redactor.redact
    people = sys.stderr if "-" in files.values() else sys.stdout
    shelf = Archive()
    fold = Fold(shelf, elsewhere=True)
    screen = open_terminal(people, fold, redact, os.environ, quiet=quiet, colour=colour, merged=True)
    told = merged(inputs, fail_on_flaky=fail_on_flaky)
    try:
        # Nothing is written anywhere before every file has been read.
        began = next(told)
        opened = [screen, *reports.opened(files, fold, redact)]
        audience = Audience(fold, opened, redactor)
        audience.receive(began)
        for envelope in told:
            audience.receive(envelope)
        lost = reports.closed(opened)
        return fold.report().exit_code or lost
    except Unmergeable as problem:
        raise Refused(str(problem)) from problem
    except OSError as error:
        if not error.filename:
            raise output.OutputLost(str(error)) from error
        raise WrongPath(_("`{path}` cannot be read: {reason}").format(path=error.filename, reason=error.strerror)) from error
    finally:
        shelf.close()
