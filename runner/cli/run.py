"""`runflow run`, or just `runflow PATH`: play flows against a service and check every answer."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from runner.cli import reading
from runner.cli.frame import Command, Exit, Refused, WrongPath, option
from runner.console import coloured
from runner.values import dataclass
from runner.words import _, nearest

if TYPE_CHECKING:
    from runner.model import Flow
    from runner.report import Fold
    from runner.reporters import Redact, Reporter
    from runner.reporters.terminal import Screen
    from runner.settings import Settings
    from runner.suite import Job

__all__ = ["Choices", "command", "jobs", "valid_flows", "variables"]


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of one run as they were given."""

    target: str | None = None
    base_url: str | None = None
    no_stream: bool = False
    var: tuple[str, ...] = ()
    timeout: str | None = None
    require_checks: bool = False
    allow_tools: bool = False
    out: str | None = None
    json: str | None = None
    junit: str | None = None
    events: str | None = None
    verbose: int = 0
    quiet: bool = False
    no_color: bool = False

    @property
    def files(self) -> Mapping[str, str]:
        """The reporters that write somewhere, and where."""
        wanted = {"json": self.json, "junit": self.junit, "events": self.events}
        return {name: value for name, value in wanted.items() if value}


@click.command(
    "run",
    cls=Command,
    help=_("Play flows and check every answer. `run` may be left out before a path."),
    examples=[
        ("runflow workflows/paint.yaml", _("one flow; pictures are saved to runflow-out/")),
        ("runflow workflows/ --target dashscope", _("every flow of a folder, on a service")),
        ("runflow shop.yaml --var city=Kyoto -v", _("another value for a variable; whole answers")),
        ("runflow workflows/ --junit report.xml", _("a report for CI")),
    ],
)
@click.argument("paths", nargs=-1, metavar="PATHS…", type=click.Path())
@option("--target", metavar="NAME", heading=_("Where"), help=_("the service; `runflow targets` lists them"))
@option("--base-url", metavar="URL", heading=_("Where"), help=_("reach the service elsewhere"))
@option("--no-stream", is_flag=True, heading=_("Where"), help=_("poll instead of streaming"))
@option("--var", multiple=True, metavar="NAME=TEXT", heading=_("What"), help=_("a value for a variable; may be repeated"))
@option("--timeout", metavar="TIME", heading=_("What"), help=_("the longest a conversation may take, like 5min"))
@option("--require-checks", is_flag=True, heading=_("What"), help=_("a step without a check is an error"))
@option(
    "--allow-tools",
    is_flag=True,
    heading=_("What"),
    help=_("permit for this run what `runflow trust` would: Python functions, URLs, the environment in texts"),
)
@option("--out", metavar="DIR", heading=_("Results"), help=_("the folder for pictures; runflow-out unless told"))
@option("--json", metavar="FILE", heading=_("Results"), help=_("write the report as JSON; - is standard output"))
@option("--junit", metavar="FILE", heading=_("Results"), help=_("write a JUnit report"))
@option("--events", metavar="FILE", heading=_("Results"), help=_("write everything that happens, a JSON object a line"))
@option("-v", "--verbose", count=True, heading=_("Results"), help=_("whole answers, as they come; -vv also shows the calls"))
@option("-q", "--quiet", is_flag=True, heading=_("Results"), help=_("show only what did not pass"))
@option("--no-color", is_flag=True, heading=_("Results"), help=_("no colours"))
@click.pass_context
def command(ctx: click.Context, /, paths: tuple[str, ...], **given: Any) -> None:
    choices = Choices(**given)
    if sum(value == "-" for value in choices.files.values()) > 1:
        raise click.UsageError(_("only one report can go to standard output"))
    for name, value in choices.files.items():
        reading.destination(f"--{name}", value)
    flows = valid_flows(paths, choices)
    if not flows:
        click.echo(_("no flow files found; nothing ran"), err=True)
        ctx.exit(Exit.NOTHING_RAN)
    from runner import settings
    from runner.cli.environment import filled, values

    found = settings.load(Path(), os.environ)
    environment = found.with_keys(os.environ)
    texts = values(flows, found, os.environ, permitted=choices.allow_tools)
    made = [
        replace(job, case=filled(job.case, texts), connection=replace(job.connection, hidden=tuple(texts)))
        for job in jobs(flows, choices, environment, found)
    ]
    if not choices.allow_tools:
        from runner.cli.trust import refuse_untrusted

        refuse_untrusted(flows)
    ctx.exit(play(made, choices, environment, found))


def valid_flows(paths: Sequence[str], choices: Choices) -> "list[Flow]":
    """Every flow that `paths` name. Leave with exit code 3 when one file is not valid: nothing is sent then."""
    examined = list(reading.examined(reading.collected(paths), require_checks=choices.require_checks))
    wrong = any(result.flow is None for result in examined)
    shown = examined if wrong or not choices.quiet else []
    tally = reading.show(shown, sys.stderr, colour=coloured(sys.stderr, os.environ, wanted=not choices.no_color))
    if wrong:
        raise Refused(_("{tally}; nothing was sent").format(tally=tally.line))
    return [result.flow for result in examined if result.flow is not None]


def jobs(
    flows: "Sequence[Flow]", choices: Choices, environment: Mapping[str, str], found: "Settings", *, needs_key: bool = True
) -> "list[Job]":
    """Every conversation with its connection; raise Refused for what must not or cannot be played."""
    from runner import plan, settings
    from runner.registry import targets
    from runner.suite import Job
    from runner.targets import lacking

    overrides = variables(choices.var, flows)
    limit = timeout(choices.timeout)
    made: list[Job] = []
    for flow in flows:
        try:
            connection = settings.choose(
                flow.target,
                choices.target,
                environment=environment,
                settings=found,
                base_url=choices.base_url,
                streaming=not choices.no_stream,
                needs_key=needs_key,
            )
        except settings.SettingsProblem as problem:
            raise Refused(f"{flow.path}: {problem}" if flow.target else str(problem)) from problem
        missing = lacking(flow, connection.target, targets[connection.target].capabilities)
        if sentences := [f"{flow.path}: {sentence}" for sentence in missing]:
            raise Refused("\n".join(sentences))
        limited = replace(flow, timeout=limit) if limit else flow
        own = {name: value for name, value in overrides.items() if name in declared(flow)}
        made += [Job(number, case, connection) for number, case in enumerate(plan.cases(limited, own), len(made) + 1)]
    return made


def variables(given: Sequence[str], flows: "Sequence[Flow]") -> dict[str, str]:
    """The `--var` options as a mapping; raise UsageError for one that no flow declares."""
    known = sorted({name for flow in flows for name in declared(flow)})
    overrides: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(_("`--var {given}` has no value; write `--var {given}=text`").format(given=each))
        if name not in known:
            near = nearest(name, known)
            hint = _("did you mean `{near}`?").format(near=near) if near else _("declare it under `variables`")
            raise click.UsageError(_("no flow has a variable `{name}`; {hint}").format(name=name, hint=hint))
        overrides[name] = value
    return overrides


def declared(flow: "Flow") -> set[str]:
    rows = flow.cases if isinstance(flow.cases, tuple) else ()
    return {*(flow.variables or {}), *(name for row in rows for name in row)}


def timeout(given: str | None) -> float | None:
    from runner.model import seconds

    try:
        return seconds(given) if given is not None else None
    except ValueError as error:
        raise click.UsageError(f"`--timeout {given}`: {error}") from error


def play(made: "Sequence[Job]", choices: Choices, environment: Mapping[str, str], found: "Settings") -> int:
    """Play every job, tell it to the reporters, and return the exit code the report comes to."""
    from runner import suite
    from runner.clean import Redactor
    from runner.cli.ask import open_ask
    from runner.cli.trust import permitted
    from runner.gallery import Gallery
    from runner.report import Fold
    from runner.reporters import Audience
    from runner.targets import ConnectionProblem

    redact = Redactor(secrets(made, environment)).redact
    people = sys.stderr if "-" in choices.files.values() else sys.stdout
    fold = Fold()
    screen = open_screen(people, fold, choices, redact)
    reporters = [screen, *files_of(choices, fold, redact)]
    ask = open_ask(screen, people, sys.stdin, os.environ)
    gallery = Gallery(choices.out or found.folder / found.out)
    try:
        suite.run(
            made,
            Audience(fold, reporters, redact).receive,
            environment=environment,
            save_picture=gallery.save,
            trace=trace if choices.verbose > 1 else None,
            trusted=lambda flow: choices.allow_tools or permitted(flow),
            ask=ask,
        )
    except ConnectionProblem as problem:
        raise Refused(str(problem)) from problem
    finally:
        lost = closed(reporters)
    return fold.report().exit_code or lost


def secrets(made: "Sequence[Job]", environment: Mapping[str, str]) -> list[str]:
    """What must appear nowhere: the values of the key variables in use, and those that texts take from the environment."""
    from runner.cli.environment import secrets as in_texts

    variables = {job.connection.key_variable for job in made} - {None}
    return [*(environment[name] for name in variables if name and environment.get(name)), *in_texts()]


def open_screen(people: TextIO, fold: "Fold", choices: Choices, redact: "Redact") -> "Screen":
    """The reporter for people, who read standard error when standard output is a report."""
    from runner.reporters.terminal import open_terminal

    return open_terminal(
        people, fold, redact, os.environ, verbose=choices.verbose > 0, quiet=choices.quiet, colour=not choices.no_color
    )


def files_of(choices: Choices, fold: "Fold", redact: "Redact") -> "Iterator[Reporter]":
    """The reporters that write somewhere."""
    from runner.reporters import open_reporter

    for name, value in choices.files.items():
        try:
            yield open_reporter(name, value, fold, redact)
        except OSError as error:
            raise WrongPath(f"`--{name} {value}`: {error.strerror}") from error


def closed(reporters: "Sequence[Reporter]") -> int:
    """Close every reporter; say what could not be written, and return the exit code for that."""
    code = Exit.PASSED
    for reporter in reporters:
        try:
            reporter.close()
        except OSError as error:
            code = Exit.NO_VERDICT
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            print("runflow:", _("cannot write {what}").format(what=what), file=sys.stderr)
    return code


def trace(line: str) -> None:
    from runner.clean import inert

    print(inert(line), file=sys.stderr)
