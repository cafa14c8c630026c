"""`runflow run`, or just `runflow PATH`: play flows against a service and check every answer."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from runner.cli import jobs, reports, selecting
from runner.cli.frame import Command, Exit, Refused, option
from runner.console import coloured, is_ci
from runner.values import dataclass
from runner.words import _, listed, ngettext

if TYPE_CHECKING:
    from runner.archive import Archive
    from runner.events import Envelope
    from runner.report import Fold, Totals
    from runner.reporters import Redact
    from runner.reporters.terminal import Screen
    from runner.selection import Selected
    from runner.settings import Settings
    from runner.suite import Limits

__all__ = ["command"]

AT_ONCE = 8
"""How many conversations are played at once at most, unless told."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of one run that say how it is played and told, as they were given."""

    allow_tools: bool
    jobs: int
    max_rps: float | None
    budget: str | None
    max_failures: int | None
    deadline: str | None
    fail_on_flaky: bool
    resume: bool
    keep: bool
    out: str | None
    verbose: int
    quiet: bool
    no_color: bool


def not_nan(_ctx: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """No bound of a range keeps it out."""
    if value is not None and value != value:
        raise click.BadParameter(str(value))
    return value


@click.command(
    "run",
    cls=Command,
    help=_("Play flows and check every answer. `run` may be left out before a path."),
    examples=[
        ("runflow workflows/paint.yaml", _("one flow; pictures are saved to runflow-out/")),
        ("runflow workflows/ --target dashscope", _("every flow of a folder, on a service")),
        ("runflow shop.yaml --var city=Kyoto -v", _("another value for a variable; whole answers")),
        ("runflow workflows/ --tag smoke --junit report.xml", _("the flows with a tag, and a report for CI")),
        ("runflow workflows/ --jobs 50 --budget 2000000tokens", _("fifty conversations at once, up to a limit")),
    ],
)
@click.argument("paths", nargs=-1, metavar="PATHS…", type=click.Path())
@selecting.options
@option("--target", metavar="NAME", heading=_("Where"), help=_("the service; `runflow targets` lists them"))
@option("--base-url", metavar="URL", heading=_("Where"), help=_("reach the service elsewhere"))
@option("--no-stream", is_flag=True, heading=_("Where"), help=_("poll instead of streaming"))
@option("--var", multiple=True, metavar="NAME=TEXT", heading=_("What"), help=_("a value for a variable; may be repeated"))
@option("--timeout", metavar="TIME", heading=_("What"), help=_("the longest a conversation may take, like 5min"))
@option("--require-checks", is_flag=True, heading=_("What"), help=_("a step without a check is an error"))
@option("--fail-on-flaky", is_flag=True, heading=_("What"), help=_("end with 1 where `retries` were needed"))
@option(
    "--allow-tools",
    is_flag=True,
    heading=_("What"),
    help=_("permit for this run what `runflow trust` would: Python functions, URLs, the environment in texts"),
)
@option(
    "--jobs",
    type=click.IntRange(min=1),
    default=AT_ONCE,
    metavar="N",
    heading=_("How"),
    help=_("how many conversations at once at most; 8 unless told"),
)
@option(
    "--max-rps",
    type=click.FloatRange(min=0, max=1_000_000, min_open=True),
    callback=not_nan,
    metavar="N",
    heading=_("How"),
    help=_("how many calls a second the service allows; learnt unless told"),
)
@option("--budget", metavar="AMOUNT", heading=_("How"), help=_("the most the run may use, like 500calls or 100000tokens"))
@option(
    "--max-failures",
    type=click.IntRange(min=1),
    metavar="N",
    heading=_("How"),
    help=_("begin no conversation once so many did not pass"),
)
@option("--deadline", metavar="TIME", heading=_("How"), help=_("the longest the whole run may take, like 30min"))
@option("--resume", is_flag=True, heading=_("How"), help=_("take up the last run that was cut short, where it was left"))
@option("--keep", is_flag=True, heading=_("How"), help=_("delete nothing at the service, and name what is there"))
@option("--out", metavar="DIR", heading=_("Results"), help=_("the folder for pictures; runflow-out unless told"))
@reports.options
@option("-v", "--verbose", count=True, heading=_("Results"), help=_("whole answers, as they come; -vv also shows the calls"))
@option("-q", "--quiet", is_flag=True, heading=_("Results"), help=_("show only what did not pass"))
@option("--no-color", is_flag=True, heading=_("Results"), help=_("no colours"))
@click.pass_context
def command(ctx: click.Context, /, paths: tuple[str, ...], **given: Any) -> None:
    files = reports.wanted(given)
    only_listed, durations, var = given.pop("listed"), given.pop("durations"), given.pop("var")
    sieve = {name: given.pop(name) for name in ("tag", "text", "case", "last_failed", "failed_first", "shard")}
    selection = selecting.selection(**sieve, durations=durations)
    where = jobs.Where(given.pop("target"), given.pop("base_url"), given.pop("no_stream"))
    limit, require_checks = jobs.seconds("--timeout", given.pop("timeout")), given.pop("require_checks")
    choices = Choices(**given)
    limits = limits_of(choices)

    from runner import settings
    from runner.cli.environment import values
    from runner.state import state_folder

    found = settings.load(Path(), os.environ)
    colour = coloured(sys.stderr, os.environ, wanted=not choices.no_color)
    stock, findings = jobs.stocked(
        paths, found, limit=limit, require_checks=require_checks, colour=colour, github=files.get("github")
    )
    if not len(stock):
        click.echo(_("no flow files found in {paths}; nothing ran").format(paths=listed(paths)), err=True)
        ctx.exit(Exit.NOTHING_RAN)
    state = state_folder()
    selected = selecting.chosen(stock, selection, state=state, durations=durations, warn=warn)
    if not selected:
        click.echo(_("{reason}; nothing ran").format(reason=selected.reason), err=True)
        ctx.exit(Exit.NOTHING_RAN)
    if not choices.quiet:
        selecting.odd(findings, stock, selected, colour=colour)

    environment = found.with_keys(os.environ)
    names = () if only_listed else jobs.environment_names(stock, selected)
    texts = values(names, found, os.environ, permitted=choices.allow_tools)
    made = jobs.made(stock, selected, where, var, texts, environment=environment, found=found, needs_key=not only_listed)
    if only_listed:
        selected = unplayed(selected, made, state, found.folder) if choices.resume else selected
        if not selected:
            return
        click.echo(selecting.listing(stock, selected, lambda each: made.by_target[each.target].target))
        return
    if not choices.allow_tools:
        jobs.untrusted(stock, selected)
    ctx.exit(play(made, choices, limits, files, environment, found, state, selected.shared))


def limits_of(choices: Choices) -> "Limits":
    """How far the run may go; raise UsageError for what cannot be meant."""
    from runner import budget
    from runner.suite import Limits

    try:
        spend = budget.read(choices.budget) if choices.budget is not None else budget.Budget()
    except ValueError as error:
        raise click.UsageError(f"`--budget {choices.budget}`: {error}") from error
    return Limits(
        jobs=choices.jobs,
        max_rps=choices.max_rps,
        budget=spend,
        max_failures=choices.max_failures,
        seconds=jobs.seconds("--deadline", choices.deadline),
        keep=choices.keep,
    )


def play(
    made: jobs.Jobs,
    choices: Choices,
    limits: "Limits",
    files: Mapping[str, str],
    environment: Mapping[str, str],
    found: "Settings",
    state: Path,
    shared: int,
) -> int:
    """Play every job, tell it to the reporters, and return the exit code the report comes to. `shared` is how many all shards
    play together, if that is known."""
    from runner import crew, resume, suite
    from runner.cli.ask import open_ask
    from runner.cli.trust import permitted
    from runner.gallery import Gallery
    from runner.ledger import Book
    from runner.registry import targets
    from runner.report import Fold
    from runner.reporters import Audience
    from runner.targets import ConnectionProblem

    redactor = jobs.redactor(made, found, environment)
    redact = redactor.redact
    people = sys.stderr if "-" in files.values() else sys.stdout
    archive, earlier = archive_of(made, state, found.folder, resuming=choices.resume)
    finished = resume.finished(archive, made) if archive and earlier else {}
    if archive and earlier:
        warn_of_earlier(archive, len(finished), len(made))
    fold = Fold(archive)
    screen = open_screen(people, fold, choices, redact)
    reporters = [screen, *reports.opened(files, fold, redact)]
    unsaved = Unsaved()
    book, behind = Book(state / "ledger", redact=redact), list[str]()
    if choices.keep and not any(targets[connection.target].lasting for connection in made.connections):
        warn(_("`--keep` keeps nothing here: the embedded service ends with the run"))
    try:
        suite.run(
            made,
            Audience(fold, [*([archive] if archive else []), unsaved, *reporters], redactor).receive,
            environment=environment,
            connections=made.connections,
            limits=limits,
            fail_on_flaky=choices.fail_on_flaky,
            selected=shared,
            ledger=book,
            finished=finished,
            save_picture=Gallery(choices.out or found.folder / found.out).save,
            trace=trace if choices.verbose > 1 else None,
            warn=behind.append,
            trusted=lambda flow: choices.allow_tools or permitted(flow),
            ask=open_ask(screen, people, sys.stdin, os.environ),
            player=partial(crew.play, count=1 if made.asks else crew.processes(limits, len(made))),
        )
    except ConnectionProblem as problem:
        # Nothing has happened, so the reports of an earlier run stay.
        del reporters[1:]
        raise Refused(str(problem)) from problem
    finally:
        lost = reports.closed(reporters)
        for sentence in behind:
            warn(sentence)
    report = fold.report()
    if unsaved.count and len(made) > 1:
        # One conversation alone has told it.
        warn(
            ngettext(
                "{count} picture was not saved: {reason}", "{count} pictures were not saved: {reason}", unsaved.count
            ).format(count=unsaved.count, reason=unsaved.reason)
        )
    selecting.remember(state, found.folder, report.summaries, warn)
    if archive:
        if archive.trouble:
            warn_unkept(state, archive.trouble)
        elif archive.path and not is_ci(os.environ):
            advise(report.totals, quiet=choices.quiet)
        archive.close()
    return report.exit_code or lost


class Unsaved:
    """Counts the pictures that could not be had or saved, and keeps the first reason."""

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""

    def receive(self, envelope: "Envelope") -> None:
        from runner.events import ImageSaved

        if isinstance(envelope.event, ImageSaved) and not envelope.event.path:
            self.count += 1
            self.reason = self.reason or envelope.event.trouble


def archive_of(made: Sequence[object], state: Path, project: Path, *, resuming: bool) -> "tuple[Archive | None, bool]":
    """Where finished conversations are put down, and whether there are some of an earlier run. One conversation alone needs no
    archive."""
    if len(made) == 1 and not resuming:
        return None, False
    from runner import resume
    from runner.archive import Archive

    try:
        if resuming:
            if earlier := resume.unfinished(state, project):
                return earlier, True
            warn(nothing_cut_short())
        return resume.begin(state, project), False
    except OSError as error:
        warn_unkept(state, error)
        return Archive(), False


def unplayed(selected: "Selected", made: jobs.Jobs, state: Path, project: Path) -> "Selected":
    """What of the selection is still to be played by a run that takes up an earlier one."""
    from runner import resume

    try:
        finished = resume.foreseen(state, project, made)
    except OSError as error:
        warn_unkept(state, error)
        return selected
    if finished is None:
        warn(nothing_cut_short())
        return selected
    warn_of_earlier(finished.archive, len(finished), len(made))
    over = set(finished)
    left = [each for each in zip(selected.places, selected.numbers, strict=True) if each[1] not in over]
    return replace(selected, places=tuple(place for place, _number in left), numbers=tuple(number for _place, number in left))


def warn_of_earlier(archive: "Archive", finished: int, planned: int) -> None:
    assert archive.path is not None
    warn(
        ngettext(
            "the run {run} is taken up: {count} conversation of {all} was over",
            "the run {run} is taken up: {count} conversations of {all} were over",
            finished,
        ).format(run=archive.path.stem, count=finished, all=planned)
    )


def nothing_cut_short() -> str:
    return _("no run of this project was cut short; everything is played")


def advise(totals: "Totals", *, quiet: bool) -> None:
    """Say which option plays only what is left to do, unless that is everything."""
    unfinished = totals.errors + totals.not_run
    if 0 < unfinished < totals.flows:
        warn(
            ngettext(
                "{count} conversation has no verdict yet; the same command with `--resume` plays only that",
                "{count} conversations have no verdict yet; the same command with `--resume` plays only those",
                unfinished,
            ).format(count=unfinished)
        )
    if 0 < totals.failed < totals.flows - unfinished and not totals.not_run and not quiet:
        warn(_("the same command with `--last-failed` plays only what did not pass"))


def warn_unkept(state: Path, error: OSError) -> None:
    warn(
        _("finished conversations cannot be kept in {folder}, so that `--resume` will not find them: {reason}").format(
            folder=state, reason=error.strerror
        )
    )


def open_screen(people: TextIO, fold: "Fold", choices: Choices, redact: "Redact") -> "Screen":
    """The reporter for people, who read standard error when standard output is a report."""
    from runner.reporters.terminal import open_terminal

    return open_terminal(
        people, fold, redact, os.environ, verbose=choices.verbose > 0, quiet=choices.quiet, colour=not choices.no_color
    )


def warn(sentence: str) -> None:
    from runner.clean import inert

    print("runflow:", inert(sentence), file=sys.stderr)


def trace(line: str) -> None:
    from runner.clean import inert

    print(inert(line), file=sys.stderr)
