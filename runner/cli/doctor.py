"""`runflow doctor`: what runflow finds on this machine, and what is missing."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import click

from runner import DISTRIBUTION, __version__
from runner.cli import reading
from runner.cli.frame import Command, Exit, option
from runner.values import dataclass
from runner.words import _

__all__ = ["command"]

PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fine` is False when runflow cannot work as it is."""

    name: str
    value: str
    fine: bool = True


@click.command(
    "doctor",
    cls=Command,
    help=_("Show what runflow finds on this machine: versions, configuration, key, target, proxies, terminal."),
    examples=[
        ("runflow doctor", _("for you")),
        ("runflow doctor --json -", _("to send along with a question; it holds no secret")),
    ],
)
@option("--json", "json_file", metavar="FILE", is_flag=False, flag_value="-", help=_("write it as JSON; - is standard output"))
@click.pass_context
def command(ctx: click.Context, json_file: str | None) -> None:
    import json

    reading.destination("--json", json_file)
    findings = tuple(look(os.environ))
    if json_file:
        text = json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False) + "\n"
        reading.write_text(json_file, text)
    if json_file != "-":
        for finding in findings:
            click.echo(f"{'ok' if finding.fine else '!!'}  {finding.name}: {finding.value}")
    ctx.exit(Exit.PASSED if all(finding.fine for finding in findings) else Exit.INVALID)


def look(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Everything worth knowing when something does not work; no secret's value."""
    yield Finding("runflow", __version__)
    yield Finding("python", ".".join(map(str, sys.version_info[:3])), sys.version_info >= (3, 11))
    yield from packages()
    yield from configured(environment)
    found = [f"{name}={without_password(environment[name])}" for name in PROXIES if environment.get(name)]
    yield Finding("proxies", ", ".join(found) or _("none"))
    yield loopback()
    terminal = _("a terminal") if sys.stdout.isatty() else _("not a terminal")
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "C")
    yield Finding("terminal", f"{terminal}, TERM={environment.get('TERM', '')}, {locale}, UTF-8")


def packages() -> Iterator[Finding]:
    import importlib.util
    from importlib import metadata

    for name in ("click", "pyyaml", "jsonschema", "httpx", "rich", "regex", "python-jsonpath", "python-dotenv"):
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, _("not installed"), fine=False)
    import yaml

    yield Finding(
        "libyaml", _("present") if yaml.__with_libyaml__ else _("missing; install PyYAML as a wheel"), yaml.__with_libyaml__
    )
    server = all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn"))
    command = f"pip install '{DISTRIBUTION}[server]'"
    needed = _("not installed; `runflow serve` needs it: {command}").format(command=command)
    yield Finding("server", _("present") if server else needed)


def configured(environment: Mapping[str, str]) -> Iterator[Finding]:
    from runner import settings
    from runner.diagnostics import Problems

    try:
        found = settings.load(Path(), environment)
    except Problems as problems:
        yield Finding("configuration", "; ".join(f"{each.path}: {each.message}" for each in problems.diagnostics), fine=False)
        found = settings.Settings()
    else:
        yield Finding("configuration", str(found.path) if found.path else _("none"))
    for variable in settings.KEY_VARIABLES:
        source = (
            _("set in the environment") if environment.get(variable) else _("set in .env") if found.keys.get(variable) else ""
        )
        yield Finding(variable, source or _("not set"))
    try:
        chosen = settings.choose(None, environment=environment, settings=found)
    except settings.SettingsProblem as problem:
        yield Finding("target", str(problem), fine=False)
    else:
        yield Finding("target", f"{chosen.target} ({chosen.reason}), {chosen.base_url}")


def loopback() -> Finding:
    import socket

    try:
        with socket.create_server(("127.0.0.1", 0)):
            return Finding("loopback", _("a port can be opened"))
    except OSError as error:
        return Finding("loopback", error.strerror or str(error), fine=False)


def without_password(proxy: str) -> str:
    head, at, tail = proxy.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at and "://" in head else proxy if not at else f"***@{tail}"
