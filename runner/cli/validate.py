"""`runflow validate`: every mistake in flow files, without sending anything."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli import reading
from runner.cli.frame import Command, Exit, option
from runner.console import coloured
from runner.words import _

if TYPE_CHECKING:
    from runner.diagnostics import Diagnostic
    from runner.load import Examined

__all__ = ["command"]

LIMIT = 65_536
"""The most a machine-readable report may hold, in bytes."""


@click.command(
    "validate",
    cls=Command,
    help=_("Find every mistake in flow files: nothing is sent, no key is needed."),
    examples=[
        ("runflow validate paint.yaml", _("one file")),
        ("runflow validate workflows/ 'more/**/*.yaml'", _("folders and patterns")),
        ("runflow validate workflows/ --json -", _("for machines, on standard output")),
        ("runflow validate workflows/ --gitlab quality.json", _("a code quality report for GitLab")),
    ],
)
@click.argument("paths", nargs=-1, metavar="PATHS…", type=click.Path())
@option("--require-checks", is_flag=True, help=_("a step without a check is an error"))
@option(
    "--json",
    "json_file",
    metavar="FILE",
    is_flag=False,
    flag_value="-",
    help=_("write the findings as JSON; - is standard output"),
)
@option("--gitlab", "gitlab_file", metavar="FILE", help=_("write the findings as a code quality report for GitLab"))
@option("--github", "github_file", metavar="FILE", help=_("write annotations for GitHub, at the lines of the flows"))
@option("--no-color", is_flag=True, help=_("no colours"))
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[str, ...],
    require_checks: bool,
    json_file: str | None,
    gitlab_file: str | None,
    github_file: str | None,
    no_color: bool,
) -> None:
    written = {"--json": json_file, "--gitlab": gitlab_file, "--github": github_file}
    if list(written.values()).count("-") > 1:
        raise click.UsageError(_("only one report can go to standard output"))
    places = [Path(value).resolve() for value in written.values() if value and value != "-"]
    if len(set(places)) < len(places):
        raise click.UsageError(_("two reports cannot go to the same file"))
    for name, value in written.items():
        reading.destination(name, value)
    files = reading.collected(paths)
    results = reading.examined(files, require_checks=require_checks)
    machine = Machine()
    if json_file:
        results = machine.watch(results)
    kept: list[Examined] = []
    if gitlab_file or github_file:
        results = noted(results, kept)
    # Annotations are read out of the job's log, where people read, too.
    if "-" in (json_file, gitlab_file):
        tally = reading.Tally()
        for result in results:
            tally.add(result.diagnostics)
    else:
        tally = reading.show(results, sys.stdout, colour=coloured(sys.stdout, os.environ, wanted=not no_color))
        print(tally.line if files else _("no flow files found"))
    if json_file:
        reading.write_text(json_file, machine.text(tally))
    if gitlab_file:
        reading.write_text(gitlab_file, quality(kept))
    if github_file:
        reading.write_text(github_file, reading.annotated(each for result in kept for each in result.diagnostics))
    ctx.exit(Exit.INVALID if tally.errors else Exit.PASSED if files else Exit.NOTHING_RAN)


def noted(results: Iterable["Examined"], kept: "list[Examined]") -> Iterator["Examined"]:
    """The same results; those in which something was found are kept."""
    for result in results:
        if result.diagnostics:
            kept.append(result)
        yield result


def quality(results: "Sequence[Examined]") -> str:
    from runner.reporters.gitlab import Quality

    report = Quality(os.environ.get("CI_PROJECT_DIR", ""))
    for result in results:
        for diagnostic in result.diagnostics:
            report.add(diagnostic, result.lines(diagnostic.path))
    return report.text()


class Machine:
    """Collects diagnostics as JSON texts until the limit is reached."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.size = 512
        self.left_out = 0

    def watch(self, results: Iterable["Examined"]) -> Iterator["Examined"]:
        for result in results:
            for diagnostic in result.diagnostics:
                self.add(diagnostic)
            yield result

    def add(self, diagnostic: "Diagnostic") -> None:
        from runner.diagnostics import to_json
        from runner.ndjson import dumps

        text = dumps(to_json(diagnostic))
        self.size += len(text.encode("utf-8", "backslashreplace")) + 6
        if self.left_out or self.size > LIMIT:
            self.left_out += 1
        else:
            self.kept.append(text)

    def text(self, tally: reading.Tally) -> str:
        import json

        head = {
            "format": "runflow-diagnostics/1",
            "files": tally.files,
            "invalid": tally.invalid,
            "errors": tally.errors,
            "warnings": tally.warnings,
            "left_out": self.left_out,
        }
        return json.dumps(head, indent=2)[:-2] + ',\n  "diagnostics": [' + listed(self.kept) + "]\n}\n"


def listed(texts: Sequence[str]) -> str:
    return "\n    " + ",\n    ".join(texts) + "\n  " if texts else ""
