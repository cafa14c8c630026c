"""Keep what a run came to conversation by conversation, so that one which was cut short can be taken up where it was left.

The archive of a run lies in the state folder, under a name for its project: how it began, every conversation that ended, and
how it ended, if it did. A run that takes another up goes on in the same file, so nothing is lost however often that happens.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import field, replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO, Protocol

from runner.archive import Archive
from runner.events import CaseStarted, Envelope
from runner.history import folder_name, place
from runner.ledger import name_of_run
from runner.locks import hold
from runner.model import Outcome
from runner.ndjson import decode
from runner.state import owned
from runner.trust import TrustProblem, fingerprint, needs
from runner.values import dataclass
from runner.variables import ENVIRONMENT

if TYPE_CHECKING:
    from runner.model import Expectation, Flow
    from runner.plan import Case
    from runner.targets import Connection

__all__ = ["Digests", "Finished", "begin", "finished", "foreseen", "unfinished"]

MOST = 5
"""How many archives of a project are kept."""
FINAL = frozenset({Outcome.PASSED, Outcome.FLAKY, Outcome.FAILED, Outcome.SKIPPED})
"""Verdicts that need no second look."""
MARK = b'"event": "'


class Job(Protocol):
    """A conversation to play: its number in the selection, its flow, and what stands for everything that is played."""

    @property
    def number(self) -> int: ...
    @property
    def case(self) -> "Case": ...
    @property
    def digest(self) -> str: ...


# ── what decides what is played ──────────────────────────────────────────────────────────────────────────────────────


class Digests:
    """What stands for everything that decides what is played: which conversation of the project it is, the bytes of its flow
    and of all that the flow takes in or runs, its values, and where it goes. Values out of the environment are left out, as
    they are secrets.

    Files are looked at once for all the rows of a flow that follow each other.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.latest: tuple[Path, list[str]] | None = None

    def of(self, case: "Case", connection: "Connection") -> str:
        flow = case.flow
        if self.latest is None or self.latest[0] != flow.path:
            self.latest = flow.path, content(flow)
        whole = [
            place(flow.path, self.project),
            case.label,
            self.latest[1],
            flow.timeout,
            {name: value for name, value in case.variables.items() if not name.startswith(ENVIRONMENT)},
            [connection.target, connection.base_url, connection.workspace, connection.streaming],
        ]
        return hashed(json.dumps(whole, sort_keys=True).encode())[:32]


def content(flow: "Flow") -> list[str]:
    """The files of a flow, each as a hash: itself, what it takes in, what it runs, and what its checks look at."""
    paths = [flow.path, *flow.taken]
    paths += [
        flow.path.parent / name for name in judged_by((*flow.expect, *(each for step in flow.steps for each in step.expect)))
    ]
    if needs(flow):
        with suppress(TrustProblem):
            return [fingerprint(flow), *map(hash_of, paths)]
    return [hash_of(path) for path in paths]


def judged_by(expectations: Iterable["Expectation"]) -> Iterator[str]:
    """The files that checks look at, those within other checks included."""
    for each in expectations:
        yield from getattr(each.check, "files", tuple)()
        inner = getattr(each.check, "value", None)
        yield from judged_by(part for part in (inner if isinstance(inner, tuple) else ()) if hasattr(part, "check"))


def hash_of(path: Path) -> str:
    """A file that is gone by now is none that anything can be like."""
    try:
        return hashed(path.read_bytes())
    except OSError:
        return token_hex(32)


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ── the archives of a project ────────────────────────────────────────────────────────────────────────────────────────


def begin(state: Path, project: Path, wall: Callable[[], float] = time.time) -> Archive:
    """The archive of a new run, held as long as it is open; of earlier ones a few remain. Raise OSError."""
    folder = owned(owned(owned(state) / "runs") / folder_name(project))
    archive = Archive(folder / f"{name_of_run(wall())}.jsonl")
    hold(archive.file.fileno())
    for path in archives(folder)[MOST:]:
        # Another run may take it away just now, and what cannot be taken away is in nobody's way.
        with suppress(OSError), path.open("r+b") as file:
            if hold(file.fileno()):
                path.unlink()
    return archive


def archives(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob("*.jsonl"), reverse=True)


def unfinished(state: Path, project: Path) -> Archive | None:
    """The archive of the project's newest run that did not come to its end, to go on in it, or None. A conversation without
    a verdict counts as no end; a run that never began, is still under way, or taken up by somebody else, is passed over. Raise
    OSError."""
    for path in archives(state / "runs" / folder_name(project)):
        archive = Archive(path)
        if hold(archive.file.fileno()):
            contents = Contents.of(archive.file)
            if contents.cut_short:
                archive.cut(contents.end)
                return archive
        archive.close()
    return None


def foreseen(state: Path, project: Path, jobs: Sequence[Job]) -> "Finished | None":
    """What a run that takes up another would find finished, or None where there is none to take up: to be counted, not to be
    read. Nothing is changed, and nobody kept from taking it up meanwhile. Raise OSError."""
    for path in archives(state / "runs" / folder_name(project)):
        with closing(Archive(path)) as archive:
            known = finished(archive, jobs) if Contents.of(archive.file).cut_short else None
            # Whoever plays holds it; it is let go of at once.
            if known is not None and hold(archive.file.fileno()):
                return known
    return None


def finished(archive: Archive, jobs: Iterable[Job]) -> "Finished":
    """What the archive holds of those jobs and need not be played again: what a whole run has not played since."""
    final, since = Contents.of(archive.file).final, settled(archive)
    return Finished(
        archive,
        {
            job.number: (verdict.begin, verdict.length, str(job.case.flow.path))
            for job in jobs
            if job.digest and (verdict := final.get(job.digest)) and verdict.time >= since.get(job.digest, 0)
        },
    )


def settled(archive: Archive) -> Mapping[str, float]:
    """When the project's other runs that came to their end last gave a verdict, by digest: what is older is out of date."""
    times: dict[str, float] = {}
    for path in archives(archive.path.parent) if archive.path else ():
        with suppress(OSError), path.open("rb") as file:
            if path != archive.path and (contents := Contents.of(file)).complete:
                times |= {key: max(each.time, times.get(key, 0)) for key, each in contents.final.items()}
    return times


class Finished(Mapping[int, Sequence[Envelope]]):
    """The events of conversations that have their verdict, by the number they have now; each read when it is asked for."""

    def __init__(self, archive: Archive, places: Mapping[int, tuple[int, int, str]]) -> None:
        self.archive = archive
        self.places = places

    def __getitem__(self, number: int) -> Sequence[Envelope]:
        offset, length, path = self.places[number]
        return tuple(renamed(envelope, number, path) for envelope in decode(self.archive.lines(offset, length)))

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def renamed(envelope: Envelope, number: int, path: str) -> Envelope:
    """The same in the run that is told now, where files may go by another name."""
    event = envelope.event
    return replace(envelope, case=number, event=replace(event, path=path) if isinstance(event, CaseStarted) else event)


# ── reading one ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a conversation stands in an archive, and when it ended."""

    begin: int
    length: int
    time: float


@dataclass(slots=True)
class Contents:
    """What an archive says: where the conversations with a verdict stand, by digest, and whether the run came to its end."""

    final: dict[str, Verdict] = field(default_factory=dict)
    complete: bool = False
    end: int = 0
    """Behind the last whole conversation; what follows was cut short."""
    planned: int = 0
    verdicts: int = 0
    """Of the run that went on in it last."""
    most: int = 0
    widest: set[str] = field(default_factory=set)
    """How many conversations the run planned that planned the most, and the digests of those it told of: all, unless it was
    killed. Less may be played when it is taken up."""
    began: tuple[int, str] | None = None
    """Where a conversation begins whose end is still to come, and its digest."""

    @property
    def cut_short(self) -> bool:
        """Whether a run began, and something is left to do."""
        return self.end > 0 and not self.complete

    @property
    def all_over(self) -> bool:
        """Whether the last run planned everything, or all that it left out has its verdict."""
        return self.planned == self.most or (len(self.widest) == self.most and self.widest <= self.final.keys())

    @classmethod
    def of(cls, file: BinaryIO) -> "Contents":
        contents = cls()
        file.seek(0)
        offset = 0
        for line in file:
            if line.endswith(b"\n") and MARK in line:
                contents.read(line, offset, offset + len(line))
            offset += len(line)
        return contents

    def read(self, line: bytes, offset: int, end: int) -> None:
        told = event_of(line)
        match told.get("event"):
            case "SuiteStarted":
                planned = told.get("cases")
                self.planned, self.verdicts = planned if isinstance(planned, int) else 0, 0
                if self.planned >= self.most:
                    self.most, self.widest = self.planned, set()
                self.began, self.complete, self.end = None, False, end
            case "SuiteEnded":
                self.complete = told.get("signal") == 0 and self.verdicts >= self.planned and self.all_over
                self.began, self.end = None, end
            case "CaseStarted":
                self.began = offset, str(told.get("digest"))
            case "CaseEnded" if self.began is not None:
                begin, key = self.began
                if self.planned == self.most:
                    self.widest.add(key)
                if told.get("outcome") in FINAL:
                    self.verdicts += 1
                    time = told.get("time")
                    self.final[key] = Verdict(begin, end - begin, time if isinstance(time, float) else 0)
                else:
                    self.final.pop(key, None)
                self.began, self.end = None, end


def event_of(line: bytes) -> Mapping[str, object]:
    """The line as JSON if it begins or ends something, else nothing: most lines do not, and are many."""
    name = line.split(MARK, 1)[1].partition(b'"')[0]
    if name in (b"SuiteStarted", b"SuiteEnded", b"CaseStarted", b"CaseEnded"):
        with suppress(ValueError, RecursionError):
            told = json.loads(line)
            if isinstance(told, dict):
                return told
    return {}
