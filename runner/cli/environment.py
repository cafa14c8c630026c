"""Let the texts of flows use variables of the environment, where a trusted configuration names them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.frame import Refused
from runner.console import is_ci
from runner.words import _, listed

if TYPE_CHECKING:
    from runner.plan import Case
    from runner.settings import Settings

__all__ = ["allowed", "filled", "secrets", "values"]

REGISTERED: set[str] = set()


def secrets() -> frozenset[str]:
    """The values that were put into texts so far: they must appear in nothing that is written."""
    return frozenset(REGISTERED)


def allowed() -> tuple[str, ...]:
    """The variables that the configuration here names, trusted or not; none when it is not right, which `run` tells."""
    from runner import settings
    from runner.diagnostics import Problems

    try:
        found = settings.nearest(Path())
        return settings.read(found).env if found else ()
    except Problems:
        return ()


def values(wanted: Sequence[str], found: "Settings", environment: Mapping[str, str], *, permitted: bool) -> dict[str, str]:
    """The variables that flows use, with their values. Raise Refused when the configuration is not trusted or one of them
    is not set; the values are registered as secrets before anybody sees them."""
    if not wanted:
        return {}
    if not permitted:
        refuse_untrusted(found, wanted)
    for name in wanted:
        if not environment.get(name):
            raise Refused(
                _("the environment variable {name}, which a text uses, is not set; nothing was sent").format(name=name)
            )
    REGISTERED.update(environment[name] for name in wanted)
    return {name: environment[name] for name in wanted}


def refuse_untrusted(found: "Settings", wanted: Sequence[str]) -> None:
    from runner.trust import Standing, Store, TrustProblem

    assert found.path is not None
    try:
        standing = Standing.NEVER if is_ci(os.environ) else Store.of_user().standing_of_settings(found.path, found.env)
    except TrustProblem as problem:
        raise Refused(_("{problem}; nothing was sent").format(problem=problem)) from problem
    if standing is Standing.TRUSTED:
        return
    if is_ci(os.environ):
        advice = _("nothing was sent; CI is set, where only `--allow-tools` permits this")
    elif standing is Standing.CHANGED:
        advice = _("it changed since it was trusted; nothing was sent; read it, then write `runflow trust {file}`")
    else:
        advice = _("nothing was sent; read it, then write `runflow trust {file}`, or give `--allow-tools` for one run")
    uses = _("{file} lets texts use {names} of the environment, and is not trusted").format(
        file=found.path, names=listed(wanted)
    )
    raise Refused(f"{uses}\n{advice.format(file=found.path)}")


def filled(case: "Case", texts: Mapping[str, str]) -> "Case":
    """The case in which `${env.NAME}` has these values."""
    if not texts:
        return case
    from runner.variables import ENVIRONMENT

    return replace(case, variables={**case.variables, **{ENVIRONMENT + name: text for name, text in texts.items()}})
