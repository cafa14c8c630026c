"""The options that say which conversations are played, and what they select."""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli import reading
from runner.cli.frame import NothingRan, Refused, WrongPath, option
from runner.words import _

if TYPE_CHECKING:
    from runner.history import Played
    from runner.model import Flow
    from runner.plan import Stock
    from runner.selection import Candidate, Identity, Selected, Selection

__all__ = ["chosen", "listing", "odd", "options", "read", "remember", "selection"]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that `selection` and `chosen` take, and `--list` as `listed`."""
    which = _("Which")
    every = (
        option(
            "--tag",
            metavar="TAG",
            multiple=True,
            heading=which,
            help=_("only flows with this tag, !TAG without it; may be repeated"),
        ),
        option(
            "-k",
            "text",
            metavar="TEXT",
            heading=which,
            help=_("only where the path, name or row holds it, like: cat and not dog"),
        ),
        option(
            "--case",
            metavar="ROW",
            multiple=True,
            heading=which,
            help=_("only this row of `cases`, by values or number; may be repeated"),
        ),
        option("--last-failed", is_flag=True, heading=which, help=_("only what failed when it was last played")),
        option("--failed-first", is_flag=True, heading=which, help=_("begin with what failed when it was last played")),
        option("--shard", metavar="I/N", heading=which, help=_("only one of equal parts; 1/4 is the first of four")),
        option(
            "--durations", metavar="REPORT", heading=which, help=_("make the parts equally long, by an earlier --json report")
        ),
        option("--list", "listed", is_flag=True, heading=which, help=_("show what would be played, and play nothing")),
    )
    for each in reversed(every):
        command = each(command)
    return command


def selection(
    *,
    tag: Sequence[str] = (),
    text: str | None = None,
    case: Sequence[str] = (),
    last_failed: bool = False,
    failed_first: bool = False,
    shard: str | None = None,
    durations: str | None = None,
) -> "Selection":
    """What the options ask for; raise UsageError for what cannot be meant."""
    from runner.selection import Expression, Selection, Shard, Tags

    if durations and not shard:
        raise click.UsageError(_("`--durations` says how `--shard` cuts; write both"))
    return Selection(
        tags=understood("--tag", tag, Tags.read) if tag else None,
        text=understood("-k", text, Expression.read) if text is not None else None,
        cases=tuple(case),
        last_failed=last_failed,
        failed_first=failed_first,
        shard=understood("--shard", shard, Shard.read) if shard is not None else None,
    )


def understood(name: str, given: Any, read: Callable[[Any], Any]) -> Any:
    from runner.selection import SelectionProblem

    try:
        return read(given)
    except SelectionProblem as problem:
        written = given if isinstance(given, str) else f" {name} ".join(given)
        raise click.UsageError(f"`{name} {written}`: {problem}") from problem


def chosen(
    stock: "Stock", selection: "Selection", *, state: Path, durations: str | None = None, warn: Callable[[str], None]
) -> "Selected":
    """What of the stock is played, and in what order; of nothing, the reason why. Raise NothingRan for a row that there is not,
    UsageError for what cannot be meant, WrongPath for durations that cannot be read. `warn` is told when what came of earlier
    runs cannot be read."""
    from runner import history
    from runner.selection import NoSuchRow, SelectionProblem, select

    before = history.load(state, stock.project) if selection.looks_back else history.History()
    if before.damage:
        warn(before.damage)
    took = lengths(durations, stock.project) if durations else None
    try:
        return select(stock.candidates, selection, before.past, took)
    except NoSuchRow as problem:
        raise NothingRan(str(problem)) from problem
    except SelectionProblem as problem:
        raise click.UsageError(str(problem)) from problem


def remember(state: Path, project: Path, played: "Iterable[Played]", warn: Callable[[str], None]) -> None:
    """Keep what came of these conversations for `--last-failed` and `--failed-first`; `warn` is told when that cannot be."""
    from runner import history

    try:
        history.record(state, project, played)
    except OSError as error:
        warn(
            _("what came of the conversations cannot be kept in {folder}: {reason}").format(folder=state, reason=error.strerror)
        )


def lengths(report: str, project: Path) -> "dict[Identity, float]":
    from runner import history

    try:
        return history.durations(Path(report), project)
    except OSError as error:
        raise WrongPath(f"`--durations {report}`: {error.strerror}") from error
    except ValueError as error:
        raise WrongPath(f"`--durations {report}`: {error}") from error


def listing(stock: "Stock", selected: "Selected", target: "Callable[[Candidate], str]") -> str:
    """What would be played, a line each: number, file and row, target, model, tags. `target` says where one is played."""
    from runner.clean import inert, visible

    rows = []
    for number, place in zip(selected.numbers, selected.places, strict=True):
        each = stock.candidates[place]
        title = f"{each.path} [{each.label}]" if each.label else each.path
        rows.append((str(number), title, target(each), each.model or "", ", ".join(each.tags)))
    return inert(visible("\n".join(in_columns(rows))))


def in_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows with their first column to the right and the others to the left."""
    from runner.diagnostics import cells

    widths = [max(cells(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = []
    for first, *others in rows:
        padded = (each + " " * (width - cells(each)) for each, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join((first.rjust(widths[0]), *padded)).rstrip())
    return lines


def read(
    paths: Sequence[str], take: "Callable[[Flow], None]", *, require_checks: bool, colour: bool, github: str | None = None
) -> "list[reading.Findings]":
    """Examine every flow that `paths` name and let `take` have it, one at a time: none is kept here. Return what is odd about
    each. When one file is not valid, show what was found in all of them, annotate it in the file `github` if there is one, and
    leave with exit code 3: nothing is sent then."""
    findings: list[reading.Findings] = []
    results = reading.examined(reading.collected(paths), require_checks=require_checks)
    for result in results:
        if result.flow is None:
            every = [*findings, *map(reading.Findings.of, chain([result], results))]
            tally = reading.show(every, sys.stderr, colour=colour)
            if github:
                reading.write_text(github, reading.annotated(each for found in every for each in found.diagnostics))
            raise Refused(_("{tally}; nothing was sent").format(tally=tally.line))
        take(result.flow)
        findings.append(reading.Findings.of(result))
    return findings


def odd(findings: "Sequence[reading.Findings]", stock: "Stock", selected: "Selected", *, colour: bool) -> None:
    """Show what is odd about the flows of the chosen conversations; `findings` has an entry for each flow of the stock."""
    flows = sorted({stock.candidates[place].flow for place in selected.places})
    reading.show((findings[flow] for flow in flows), sys.stderr, colour=colour)
