"""`runflow plan`: the exact API calls a flow will make, before making any."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli import jobs, reading
from runner.cli.frame import Command, Exit, Refused, option
from runner.console import coloured
from runner.words import _

if TYPE_CHECKING:
    from runner.cli.rehearsal import Call, Rehearsal
    from runner.suite import Job

__all__ = ["command"]


@click.command(
    "plan",
    cls=Command,
    help=_(
        "Show the exact API calls a flow will make, without making any: no key is needed, nothing is sent. "
        "What an answer decides, such as whether a picture is fetched, is taken from the embedded service. No code runs and "
        "no function is asked: what it would answer is shown as who would."
    ),
    examples=[
        ("runflow plan workflows/paint.yaml", _("for the target that `runflow` would choose")),
        ("runflow plan paint.yaml --target dashscope", _("for another one")),
        ("runflow plan paint.yaml --json -", _("for machines")),
    ],
)
@click.argument("paths", nargs=-1, metavar="PATHS…", type=click.Path())
@option("--target", metavar="NAME", help=_("the service; `runflow targets` lists them"))
@option("--base-url", metavar="URL", help=_("the service elsewhere"))
@option("--no-stream", is_flag=True, help=_("poll instead of streaming"))
@option("--var", multiple=True, metavar="NAME=TEXT", help=_("a value for a variable; may be repeated"))
@option("--json", metavar="FILE", is_flag=False, flag_value="-", help=_("write the plan as JSON; - is standard output"))
@option("--no-color", is_flag=True, help=_("no colours"))
@click.pass_context
def command(ctx: click.Context, /, paths: tuple[str, ...], **given: Any) -> None:
    reading.destination("--json", given["json"])
    from runner import settings

    found = settings.load(Path(), os.environ)
    colour = coloured(sys.stderr, os.environ, wanted=not given["no_color"])
    stock, findings = jobs.stocked(paths, found, colour=colour)
    if not len(stock):
        click.echo(_("no flow files found; nothing to plan"), err=True)
        ctx.exit(Exit.NOTHING_RAN)
    every = jobs.whole_selection(stock)
    reading.show(findings, sys.stderr, colour=colour)
    unread = {name: f"{{env.{name}}}" for name in jobs.environment_names(stock, every)}
    where = jobs.Where(given["target"], given["base_url"], given["no_stream"])
    environment = found.with_keys(os.environ)
    made = jobs.made(stock, every, where, given["var"], unread, environment=environment, found=found, needs_key=False)
    rehearsed = [(job, rehearsal(job)) for job in made]
    if given["json"]:
        reading.write_text(given["json"], machine_form(rehearsed))
    if given["json"] != "-":
        click.echo("\n\n".join(drawn(job, each) for job, each in rehearsed))
    broken = next((each.reason for _job, each in rehearsed if each.reason), "")
    if broken:
        raise Refused(_("the plan ends early: {reason}").format(reason=broken))


def rehearsal(job: "Job") -> "Rehearsal":
    import asyncio

    from runner.cli.rehearsal import rehearse

    return asyncio.run(rehearse(job.case, job.connection))


def title(job: "Job") -> str:
    flow = job.case.flow
    name = flow.name or flow.path.stem
    return f"{flow.path}: {name} [{job.case.label}]" if job.case.label else f"{flow.path}: {name}"


def drawn(job: "Job", rehearsed: "Rehearsal") -> str:
    """The calls of one conversation, numbered, with bodies as YAML."""
    from runner.clean import inert, visible

    connection = job.connection
    lines = [
        title(job),
        _("target: {name} ({reason}), {url}").format(name=connection.target, reason=connection.reason, url=connection.base_url),
    ]
    lines += answering(job)
    for number, call in enumerate(rehearsed.calls, 1):
        until = "  " + _("(until the run has ended)") if call.repeated else ""
        lines.append(f"{number:>3}  {call.method:<6} {call.path}{until}")
        lines += [f"            {line}" for line in body(call)]
    return inert(visible("\n".join(line.rstrip() for line in lines)))


def answering(job: "Job") -> list[str]:
    """Who answers each function, one a line; nothing for a flow without functions."""
    from runner.cli.rehearsal import answered_by, functions_of

    rows = [(function.name, answered_by(function) or _("nobody")) for function in functions_of(job.case.flow)]
    return [_("function {name}: answered by {key}").format(name=name, key=key) for name, key in rows]


def body(call: "Call") -> Sequence[str]:
    """A body as YAML, its long texts line by line as the author wrote them."""
    import yaml

    class Readable(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    if call.body is None:
        return ()
    Readable.add_representer(str, text)
    return yaml.dump(call.body, Dumper=Readable, allow_unicode=True, sort_keys=False, width=100).rstrip("\n").splitlines()


def machine_form(rehearsed: "Sequence[tuple[Job, Rehearsal]]") -> str:
    from dataclasses import asdict

    from runner.cli.rehearsal import answered_by, functions_of
    from runner.ndjson import dumps

    cases = [
        {
            "path": str(job.case.flow.path),
            "flow": job.case.flow.name or job.case.flow.path.stem,
            "label": job.case.label,
            "target": job.connection.target,
            "reason": job.connection.reason,
            "base_url": job.connection.base_url,
            "functions": {function.name: answered_by(function) for function in functions_of(job.case.flow)},
            "calls": [asdict(call) for call in each.calls],
        }
        for job, each in rehearsed
    ]
    return dumps({"format": "runflow-plan/1", "cases": cases}, indent=2) + "\n"
