"""Let the texts of flows use variables of the environment, where a trusted configuration names them."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.frame import Refused
from runner.console import is_ci
from runner.words import _, listed

if TYPE_CHECKING:
    from runner.clean import Redactor
    from runner.plan import Case
    from runner.settings import Settings

__all__ = ["allowed", "filled", "redactor", "secrets", "values"]


def secrets(found: "Settings", environment: Mapping[str, str]) -> list[str]:
    """What must appear nowhere: the keys, and all that the configuration lets texts use of the environment, whether or not what
    is played now does; a tool may tell it as well."""
    from runner.settings import KEY_VARIABLES

    values = found.with_keys(environment)
    return [value for name in (*KEY_VARIABLES, *found.env) if (value := values.get(name))]


def redactor(more: Iterable[str] = ()) -> "Redactor":
    """What masks the secrets that there are here, and some more; also where the configuration is not right."""
    from runner import settings
    from runner.clean import Redactor
    from runner.diagnostics import Problems

    try:
        found = settings.load(Path(), os.environ)
    except (Problems, OSError):
        found = settings.Settings()
    return Redactor([*more, *secrets(found, os.environ)])


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
    is not set."""
    if not wanted:
        return {}
    if not permitted:
        refuse_untrusted(found, wanted)
    for name in wanted:
        if not environment.get(name):
            raise Refused(
                _("the environment variable {name}, which a text uses, is not set; nothing was sent").format(name=name)
            )
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
