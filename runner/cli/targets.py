"""`runflow targets`: the services a flow can be played against."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.frame import Command
from runner.words import _

if TYPE_CHECKING:
    from runner.targets import Capabilities

__all__ = ["command"]


@click.command(
    "targets",
    cls=Command,
    help=_("List the services a flow can be played against: where they are, the key they need, what they can do."),
    examples=[("runflow targets", _("everything")), ("runflow paint.yaml --target embedded", _("use one of them"))],
)
def command() -> None:
    from runner import settings
    from runner.registry import targets

    environment = settings.load(Path(), os.environ).with_keys(os.environ)
    for name in sorted(targets):
        kind = targets[name]
        click.echo(name)
        click.echo("  " + _("base URL: {url}").format(url=kind.default_base_url))
        if kind.key_variable is None:
            click.echo("  " + _("key: none needed"))
        else:
            state = _("set") if environment.get(kind.key_variable) else _("not set")
            click.echo("  " + _("key: {variable} ({state})").format(variable=kind.key_variable, state=state))
        if kind.simulated:
            click.echo("  " + _("model: scripted; a pass checks the flow, not a model"))
        for line in abilities(kind.capabilities):
            click.echo("  " + line)


def abilities(capabilities: "Capabilities") -> list[str]:
    tools = _("any") if capabilities.tools is None else ", ".join(sorted(capabilities.tools)) or _("none")
    return [
        _("tools: {tools}").format(tools=tools),
        _("sampling: {fields}").format(fields=", ".join(sorted(capabilities.sampling)) or _("none")),
        _("existing assistants and threads: {answer}").format(answer=_("yes") if capabilities.existing else _("no")),
        _("cancelling: {answer}").format(answer=_("yes") if capabilities.cancel else _("no")),
    ]
