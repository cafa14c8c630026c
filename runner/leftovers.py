"""Delete from the services what ended runs left there, as their ledgers tell, and nothing else."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from enum import StrEnum
from pathlib import Path

from runner.budget import Budget
from runner.clock import Clock
from runner.ledger import ASSISTANT, RUN, THREAD, Entry, Pages, entries, ledgers
from runner.model import ENDED, Run
from runner.pace import Pace
from runner.registry import targets
from runner.retry import Patience, Patient, RetryBudget
from runner.targets import Connection, ConnectionProblem, Target, TargetError
from runner.values import dataclass
from runner.words import _

__all__ = ["Fate", "Leftovers", "Thing", "find", "sweep"]

AT_ONCE = 8
"""How many things are deleted at the same time on one service."""
THING_SECONDS = 60.0
"""How long one thing is tried."""
SETTLE_SECONDS = 5.0
"""How long a cancelled run is given to end."""
PAUSE = 0.2


class Fate(StrEnum):
    """What became of a thing, or why nothing did."""

    DELETED = "deleted"
    CANCELLED = "cancelled"
    ENDED = "ended"
    """A run that had come to its end by itself, or ends with its thread."""
    NEVER_MADE = "never_made"
    ORPHAN = "orphan"
    """It may be there, but nobody can look it up."""
    LEFT = "left"
    KEPT = "kept"
    RECENT = "recent"
    LISTED = "listed"
    """It would be dealt with, had that been asked for."""

    @property
    def final(self) -> bool:
        """Whether nothing remains to be done about it."""
        return self in (Fate.DELETED, Fate.CANCELLED, Fate.ENDED, Fate.NEVER_MADE)


@dataclass(frozen=True, slots=True)
class Thing:
    """An entry of a ledger, and what became of it; `reason` says why it is left."""

    run: str
    entry: Entry
    fate: Fate
    reason: str = ""


@dataclass(slots=True)
class Leftovers:
    """What the ledgers of ended runs tell of, and `alive`: the runs that are still under way."""

    held: list[tuple[Pages, list[Entry]]] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Ledgers that somebody else can write to: they are no proof of anything."""

    def chosen(self, before: float, *, kept: bool) -> Iterator[tuple[Pages, Entry, Fate | None]]:
        """Every entry, with why it stays: as it was not made `before` that time, or was `kept`; None when it is to go."""
        for pages, found in self.held:
            for entry in found:
                stays = Fate.KEPT if entry.kept and not kept else Fate.RECENT if entry.time > before else None
                yield pages, entry, stays

    def close(self) -> None:
        """Let go of the ledgers, and take away those in which nothing is left. Raise OSError."""
        for pages, _found in self.held:
            pages.close(remove=not entries(pages.lines()))
        self.held = []


def find(folder: Path) -> Leftovers:
    """The ledgers in a folder, those of ended runs held so that nobody else cleans up after them. Raise OSError."""
    found = Leftovers()
    for path in ledgers(folder):
        try:
            pages = Pages.of_the_dead(path)
        except FileNotFoundError:
            # Its run just ended well, or somebody else cleaned up.
            continue
        if pages is None:
            found.alive.append(path.stem)
        elif foreign(pages.descriptor):
            found.foreign.append(str(path))
            pages.close(remove=False)
        else:
            found.held.append((pages, list(entries(pages.lines()).values())))
    return found


def foreign(descriptor: int) -> bool:
    """Whether somebody else may have written to a file: it could send our key anywhere."""
    if os.name == "nt":
        return False
    status = os.fstat(descriptor)
    return status.st_uid != os.getuid() or bool(status.st_mode & 0o022)


def connection(entry: Entry) -> Connection:
    """How to reach what an entry tells of. Raise ConnectionProblem when that must not or cannot be."""
    if entry.target not in targets:
        raise ConnectionProblem(_("there is no target `{target}`").format(target=entry.target))
    variable = targets[entry.target].key_variable
    if entry.key_variable not in (None, variable):
        raise ConnectionProblem(
            _("target `{target}` does not take its key from {variable}").format(
                target=entry.target, variable=entry.key_variable
            )
        )
    return Connection(entry.target, entry.base_url, "", variable, entry.workspace)


# ── one service ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Sweep:
    """The things on one service being deleted; `tell` hears what became of each."""

    target: Target
    clock: Clock
    tell: Callable[[Entry, Fate, str], None]
    patience: Patience = field(init=False)
    deleted: set[str] = field(default_factory=set)
    """Threads, and with them their runs."""
    unended: list[tuple[Entry, str]] = field(default_factory=list)
    """Runs that could not be ended, and why; unless their threads go, they are left."""

    def __post_init__(self) -> None:
        self.patience = Patience(Pace(self.clock, AT_ONCE), RetryBudget(), Budget(), self.clock)

    async def all(self, found: Sequence[Entry]) -> None:
        """Runs first, as a thread takes its own with it, assistants last."""
        for kind, rid in ((RUN, self.end_run), (THREAD, self.delete_thread), (ASSISTANT, self.delete_assistant)):
            await asyncio.gather(*(self.one(entry, rid) for entry in found if entry.kind == kind))
        for entry, reason in self.unended:
            self.tell(entry, *((Fate.ENDED, "") if entry.parent in self.deleted else (Fate.LEFT, reason)))
        for entry in found:
            if entry.kind not in (RUN, THREAD, ASSISTANT):
                self.tell(entry, Fate.LEFT, _("nobody knows what `{kind}` is").format(kind=entry.kind))

    async def one(self, entry: Entry, rid: Callable[[Entry], Awaitable[tuple[Entry, Fate]]]) -> None:
        async with self.patience.pace.place():
            try:
                entry, fate = await rid(entry)
            except TargetError as error:
                if entry.kind == RUN:
                    self.unended.append((entry, error.sentence))
                else:
                    self.tell(entry, Fate.LEFT, error.sentence)
            else:
                self.tell(entry, fate, "")

    async def delete_assistant(self, entry: Entry) -> tuple[Entry, Fate]:
        calls = self.calls()
        if not entry.id:
            made = await calls.repeat(lambda: self.target.find_assistant(entry.op))
            if made is None:
                return entry, Fate.NEVER_MADE
            entry = replace(entry, id=made.id)
        await calls.delete_assistant(entry.id)
        return entry, Fate.DELETED

    async def delete_thread(self, entry: Entry) -> tuple[Entry, Fate]:
        await self.calls().delete_thread(entry.id)
        self.deleted.add(entry.id)
        return entry, Fate.DELETED

    async def end_run(self, entry: Entry) -> tuple[Entry, Fate]:
        calls = self.calls()
        try:
            run = await (calls.read_run(entry.parent, entry.id) if entry.id else calls.repeat(lambda: self.look_up(entry)))
        except TargetError as error:
            if error.status != 404:
                raise
            run = None
        if run is None:
            return entry, Fate.ENDED if entry.id else Fate.NEVER_MADE
        entry = replace(entry, id=run.id)
        if run.status in ENDED:
            return entry, Fate.ENDED
        await calls.cancel_run(entry.parent, run.id)
        until = self.clock.now() + SETTLE_SECONDS
        while self.target.capabilities.cancel and run.status not in ENDED and self.clock.now() < until:
            run = await calls.read_run(entry.parent, run.id)
            if run.status not in ENDED:
                await self.clock.sleep(PAUSE)
        return entry, Fate.CANCELLED

    async def look_up(self, entry: Entry) -> Run | None:
        return await self.target.find_run(entry.parent, entry.op)

    def calls(self) -> Patient:
        """The target's calls for one thing."""
        patient = Patient(self.target, self.patience, lambda _attempt, _seconds, _reason: None, lambda _warning: None)
        patient.ends, patient.tidying = self.clock.now() + THING_SECONDS, True
        return patient


async def sweep(
    going: Iterable[tuple[Pages, Entry]],
    open: Callable[[Connection], Target],
    clock: Clock,
    tell: Callable[[Thing], None],
    *,
    forget: bool = False,
) -> None:
    """Delete these things, service by service, and note down in their ledgers what is gone; with `forget` also what cannot be
    looked up."""
    places: dict[Connection | str, list[tuple[Pages, Entry]]] = {}
    for pages, entry in going:
        if entry.kind == THREAD and not entry.id:
            tell(Thing(pages.path.stem, entry, Fate.ORPHAN, _("threads cannot be looked up")))
            if forget:
                note_down(pages, entry)
            continue
        try:
            place: Connection | str = connection(entry)
        except ConnectionProblem as problem:
            place = str(problem)
        places.setdefault(place, []).append((pages, entry))
    for place, found in places.items():
        of: Mapping[str, Pages] = {entry.op: pages for pages, entry in found}

        def note(entry: Entry, fate: Fate, reason: str, of: Mapping[str, Pages] = of) -> None:
            pages = of[entry.op]
            if fate.final:
                note_down(pages, entry)
            tell(Thing(pages.path.stem, entry, fate, reason))

        try:
            if isinstance(place, str):
                raise ConnectionProblem(place)
            target = open(place)
        except ConnectionProblem as problem:
            for _pages, entry in found:
                note(entry, Fate.LEFT, str(problem))
            continue
        try:
            await Sweep(target, clock, note).all([entry for _pages, entry in found])
        finally:
            await target.close()


def note_down(pages: Pages, entry: Entry) -> None:
    """That it is gone; what cannot be noted down is found gone the next time."""
    with suppress(OSError):
        pages.write({"record": "gone", "op": entry.op})
