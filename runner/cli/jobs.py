"""From the flows that a command line names to the conversations to play, each with its connection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, overload

import click

from runner.cli import selecting
from runner.cli.environment import filled, secrets
from runner.cli.frame import Refused
from runner.values import dataclass
from runner.words import _, nearest

if TYPE_CHECKING:
    from runner.clean import Redactor
    from runner.cli.reading import Findings
    from runner.model import Flow
    from runner.plan import Stock
    from runner.selection import Selected
    from runner.settings import Settings
    from runner.suite import Job
    from runner.targets import Connection

__all__ = ["Jobs", "Where", "environment_names", "made", "redactor", "seconds", "stocked", "untrusted", "whole_selection"]


@dataclass(frozen=True, slots=True)
class Where:
    """Which service the command line names, and how it is spoken to."""

    target: str | None = None
    base_url: str | None = None
    no_stream: bool = False


def stocked(
    paths: Sequence[str],
    found: "Settings",
    *,
    limit: float | None = None,
    require_checks: bool = False,
    colour: bool,
    github: str | None = None,
) -> "tuple[Stock, list[Findings]]":
    """Every flow that `paths` name, and what is odd about each; `limit` replaces how long its conversations may take. Leave
    with exit code 3 when one file is not valid: nothing is sent then, and what is wrong goes to the file `github` too."""
    from runner.plan import Stock

    stock = Stock(found.folder)

    def take(flow: "Flow") -> None:
        stock.add(replace(flow, timeout=limit) if limit else flow)

    return stock, selecting.read(paths, take, require_checks=require_checks, colour=colour, github=github)


class Jobs(Sequence["Job"]):
    """The chosen conversations with their connections, each made when it is asked for."""

    def __init__(
        self,
        stock: "Stock",
        selected: "Selected",
        connections: "Mapping[str | None, Connection]",
        overrides: Mapping[str, str],
        texts: Mapping[str, str],
    ) -> None:
        from runner.gallery import Folders
        from runner.resume import Digests

        self.cases = stock.cases(selected.places, overrides)
        self.numbers = selected.numbers
        # Whatever else is chosen, or played by another shard, none has the folder of another.
        names = Folders()
        folders = [names.name(f"{each.name} {each.label}") for each in stock.candidates]
        self.folders = [folders[place] for place in selected.places]
        self.by_target = connections
        self.texts = texts
        self.digests = Digests(stock.project)
        self.asks = any(needs.person for needs in stock.needed(selected.places))
        """Whether somebody at the terminal may be asked."""

    @property
    def connections(self) -> "tuple[Connection, ...]":
        return tuple(self.by_target.values())

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> "Job": ...
    @overload
    def __getitem__(self, index: slice) -> "tuple[Job, ...]": ...
    def __getitem__(self, index: "int | slice") -> "Job | tuple[Job, ...]":
        if isinstance(index, slice):
            return tuple(self[each] for each in range(len(self))[index])
        from runner.suite import Job

        case = self.cases[index]
        connection = self.by_target[case.flow.target]
        digest = self.digests.of(case, connection)
        return Job(self.numbers[index], filled(case, self.texts), connection, digest, self.folders[index])


def made(
    stock: "Stock",
    selected: "Selected",
    where: Where,
    var: Sequence[str],
    texts: Mapping[str, str],
    *,
    environment: Mapping[str, str],
    found: "Settings",
    needs_key: bool = True,
) -> Jobs:
    """The chosen conversations; raise Refused for what must not or cannot be played, UsageError for a `--var` that is wrong.

    `texts` are the variables of the environment that texts use, with their values.
    """
    from runner import settings
    from runner.registry import targets
    from runner.targets import lacking

    overrides = variables(var, stock.declared)
    connections: dict[str | None, Connection] = {}
    for needs, first in stock.needed(selected.places).items():
        if needs.target not in connections:
            try:
                connection = settings.choose(
                    needs.target,
                    where.target,
                    environment=environment,
                    settings=found,
                    base_url=where.base_url,
                    streaming=not where.no_stream,
                    needs_key=needs_key,
                )
            except settings.SettingsProblem as problem:
                raise Refused(f"{first.path}: {problem}" if needs.target else str(problem)) from problem
            connections[needs.target] = replace(connection, hidden=tuple(texts))
        name = connections[needs.target].target
        if sentences := [f"{first.path}: {sentence}" for sentence in lacking(needs, name, targets[name].capabilities)]:
            raise Refused("\n".join(sentences))
    return Jobs(stock, selected, connections, overrides, texts)


def environment_names(stock: "Stock", selected: "Selected") -> tuple[str, ...]:
    """The variables of the environment that the texts of the chosen conversations use, each once."""
    return tuple(dict.fromkeys(name for needs in stock.needed(selected.places) for name in needs.environment))


def untrusted(stock: "Stock", selected: "Selected") -> None:
    """Raise Refused when a chosen conversation would run code or call a URL and its flow is not trusted."""
    from runner.cli.trust import refuse_untrusted

    refuse_untrusted(stock.flows([place for place in selected.places if stock.needs[stock.candidates[place].flow].permission]))


def redactor(made: Jobs, found: "Settings", environment: Mapping[str, str]) -> "Redactor":
    """What masks the secrets that there are here, and the keys of the services in use."""
    from runner.clean import Redactor

    keys = {connection.key_variable for connection in made.connections} - {None}
    return Redactor([*(environment[name] for name in keys if name and environment.get(name)), *secrets(found, environment)])


def variables(given: Sequence[str], declared: Iterable[str]) -> dict[str, str]:
    """The `--var` options as a mapping; raise UsageError for one that no flow declares."""
    known = sorted(declared)
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


def seconds(option: str, given: str | None) -> float | None:
    """The duration given to an option; raise UsageError when it is none."""
    from runner.model import seconds as read

    try:
        return read(given) if given is not None else None
    except ValueError as error:
        raise click.UsageError(f"`{option} {given}`: {error}") from error


def whole_selection(stock: "Stock") -> "Selected":
    """Every conversation of a stock, in order."""
    from runner.selection import Selection, select

    return select(stock.candidates, Selection())
