"""`runflow trust`: permit flows to run their Python functions and to call their URLs, until a byte of them changes."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli import reading
from runner.cli.frame import Command, Exit, Refused, WrongPath, option
from runner.console import coloured, is_ci
from runner.words import _, ngettext

if TYPE_CHECKING:
    from runner.model import Flow
    from runner.trust import Store

__all__ = ["command", "permitted", "refuse_untrusted"]

CONFIGURATION = ("runflow.toml", "pyproject.toml")
SHOWN = 10
"""How many importable files are named; the rest are counted."""


@click.command(
    "trust",
    cls=Command,
    help=_(
        "Permit flows to run their Python functions and checks and to call their URLs. The permission holds until the flow, "
        "or a file below its folder that Python could import, changes by a byte. Read them first."
    ),
    examples=[
        ("runflow trust stock.yaml", _("show what it would run, and permit it")),
        ("runflow trust runflow.toml", _("let texts use the environment variables that it names")),
        ("runflow trust --list", _("what is permitted")),
        ("runflow trust --forget stock.yaml", _("take the permission back")),
        ("runflow stock.yaml --allow-tools", _("without a permission that stays, and in CI")),
    ],
)
@click.argument("paths", nargs=-1, metavar="[PATHS…]", type=click.Path())
@option("--list", "listing", is_flag=True, help=_("show every flow that is trusted"))
@option("--forget", metavar="FILE", help=_("trust this flow no longer"))
@click.pass_context
def command(ctx: click.Context, paths: tuple[str, ...], listing: bool, forget: str | None) -> None:
    from runner.trust import Store, TrustProblem

    if sum((bool(paths), listing, forget is not None)) > 1:
        raise click.UsageError(_("flows to trust, `--list` and `--forget` do not go together; give one of them"))
    store = Store.of_user()
    try:
        if listing:
            show_permits(store)
        elif forget is not None:
            take_back(store, forget)
        else:
            ctx.exit(permit(store, paths))
    except TrustProblem as problem:
        raise Refused(str(problem)) from problem


def permit(store: "Store", paths: Sequence[str]) -> int:
    """Show what each flow would run and keep the permission for it; nothing is kept when one of them is not valid."""
    for path in (path for path in paths if Path(path).name in CONFIGURATION):
        permit_settings(store, Path(path))
    others = [path for path in paths if Path(path).name not in CONFIGURATION]
    if len(others) < len(paths) and not others:
        return Exit.PASSED
    flows = valid(others)
    if not flows:
        click.echo(_("no flow files found; nothing is trusted"), err=True)
        return Exit.NOTHING_RAN
    for flow in flows:
        rows = needed(flow)
        if not rows:
            say(_("{file} needs no trust: it runs no code and calls no URL").format(file=flow.path))
            continue
        say(_("{file} may").format(file=flow.path), *rows, *beside(flow))
        store.allow(flow)
        say(_("trusted until {file}, or a file it takes in or could import, changes").format(file=flow.path))
    if is_ci(os.environ):
        click.echo(_("CI is set: there only `--allow-tools` counts, and no permission that was kept"), err=True)
    return Exit.PASSED


def permit_settings(store: "Store", path: Path) -> None:
    """Show which variables of the environment a configuration file lets texts use, and keep the permission for it."""
    from runner import settings

    if not path.is_file():
        raise WrongPath(_("there is no file or folder `{path}`").format(path=path))
    names = settings.read(path).env
    if not names:
        say(_("{file} needs no trust: it names no variable of the environment").format(file=path))
        return
    say(_("{file} may").format(file=path))
    say(*("  " + _("put {name} into texts that say {text}").format(name=name, text=f"${{env.{name}}}") for name in names))
    store.allow_settings(path, names)
    say(_("trusted until {file} changes").format(file=path))


def valid(paths: Sequence[str]) -> "list[Flow]":
    """Every flow that `paths` name; raise Refused when one file is not valid."""
    examined = list(reading.examined(reading.collected(paths)))
    wrong = [result for result in examined if result.flow is None]
    tally = reading.show(wrong, sys.stderr, colour=coloured(sys.stderr, os.environ))
    if wrong:
        raise Refused(_("{tally}; nothing is trusted").format(tally=tally.line))
    return [result.flow for result in examined if result.flow is not None]


def needed(flow: "Flow") -> list[str]:
    """What a flow needs permission for, one row each."""
    from runner.needs import uses

    rows = []
    for use in dict.fromkeys(uses(flow)):
        if not use.function:
            rows.append(_("run {what}, a check").format(what=use.what))
        elif use.file:
            rows.append(_("run {what} to answer `{function}`").format(what=use.what, function=use.function))
        else:
            rows.append(_("call {what} to answer `{function}`").format(what=use.what, function=use.function))
    return [f"  {row}" for row in rows]


def beside(flow: "Flow") -> list[str]:
    """The files below the flow's folder that its code could import, when it runs any."""
    from runner.needs import uses
    from runner.trust import importable

    if not any(use.file for use in uses(flow)):
        return []
    folder = Path(os.path.realpath(flow.path)).parent
    names = importable(folder)
    rest = len(names) - SHOWN
    more = [ngettext("and {count} more", "and {count} more", rest).format(count=rest)] if rest > 0 else []
    return ["  " + _("and import from {folder}: {files}").format(folder=folder, files=", ".join([*names[:SHOWN], *more]))]


def show_permits(store: "Store") -> None:
    permits = store.all()
    if not permits:
        say(_("no flow is trusted"))
    for kept in permits:
        gone = "" if Path(kept.path).is_file() else " " + _("(there is no such file any more)")
        say(f"{kept.path}{gone}", *(f"  {what}" for what in kept.needs))


def take_back(store: "Store", file: str) -> None:
    if store.forget(Path(file)):
        say(_("{file} is trusted no longer").format(file=file))
    elif os.path.lexists(file):
        say(_("{file} was not trusted").format(file=file))
    else:
        raise WrongPath(_("there is no file `{file}`, and none of that name is trusted").format(file=file))


def say(*lines: str) -> None:
    from runner.clean import inert, visible

    for line in lines:
        click.echo(inert(visible(line).replace("\n", "\\n")))


# ── before a run ─────────────────────────────────────────────────────────────────────────────────────────────────────


def permitted(flow: "Flow") -> bool:
    """Whether a flow that is about to be played may run its code and call its URLs, as it lies on disk now."""
    from runner.trust import Store, needs

    return not needs(flow) or (not is_ci(os.environ) and Store.of_user().permits(flow))


def refuse_untrusted(flows: "Iterable[Flow]") -> None:
    """Raise Refused when a flow would run code or call a URL and is not trusted: nothing is sent then."""
    from runner.trust import Standing, Store, TrustProblem

    store = Store.of_user()
    in_ci = is_ci(os.environ)
    lines: list[str] = []
    files: list[str] = []
    for flow in flows:
        if not (rows := needed(flow)):
            continue
        try:
            standing = Standing.NEVER if in_ci else store.standing(flow)
        except TrustProblem as problem:
            raise Refused(_("{problem}; nothing was sent").format(problem=problem)) from problem
        if standing is Standing.TRUSTED:
            continue
        files.append(str(flow.path))
        if standing is Standing.CHANGED:
            lines.append(
                _("{file}, or a file it takes in or could import, changed since it was trusted; it would").format(
                    file=flow.path
                )
            )
        else:
            lines.append(_("{file} is not trusted; it would").format(file=flow.path))
        lines += rows
    if not lines:
        return
    if in_ci:
        advice = _("nothing was sent; CI is set, where only `--allow-tools` permits this")
    else:
        advice = _(
            "nothing was sent; read these files, then write `runflow trust {files}`, or give `--allow-tools` for one run"
        ).format(files=" ".join(map(quoted, files)))
    raise Refused("\n".join(line.replace("\n", "\\n") for line in [*lines, advice]))


def quoted(file: str) -> str:
    """A file name as a shell takes it."""
    import shlex

    return shlex.quote(file)
