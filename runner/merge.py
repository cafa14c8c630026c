"""Join the event streams of several runs, such as the shards of one, into one stream of envelopes: that of a single run.

A first pass puts every conversation on disk; a second tells them in their order. What is in memory is what is under way.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import BinaryIO

from runner.archive import Archive
from runner.events import CaseEnded, CaseStarted, Envelope, SuiteEnded, SuiteStarted
from runner.ndjson import Undecodable, decode
from runner.values import dataclass
from runner.words import _

__all__ = ["LONGEST", "Unmergeable", "merged"]

LONGEST = 16 * 1024 * 1024
"""How many bytes a line may have."""
MOST = 1_000_000
"""How many conversations a run may have."""
LATEST = 253_402_300_799.0
"""The last second of the year 9999: calendars know no later one."""
Identity = tuple[str, str, str, str]


class Unmergeable(ValueError):
    """A file that is no event stream, or does not go with the others; the text is a sentence that names it."""


@dataclass(slots=True)
class Told:
    """One run as a file told it: what its conversations are, and under which key each was put down."""

    path: Path
    began: Envelope
    started: SuiteStarted
    ended: SuiteEnded | None = None
    latest: float = 0.0
    identities: dict[int, Identity] = field(default_factory=dict)
    keys: dict[int, int] = field(default_factory=dict)

    @property
    def over(self) -> float:
        """When it was over, as far as is known."""
        return self.began.time + self.ended.seconds if self.ended else self.latest


@dataclass(slots=True)
class Run:
    """Files that tell of the same run: each conversation has its number once."""

    parts: list[Told]

    @property
    def told(self) -> int:
        """How many conversations the files were to tell of."""
        return sum(max(each.started.cases, len(each.keys)) for each in self.parts)

    @property
    def planned(self) -> int:
        return max(self.parts[0].started.selected, self.told)

    @property
    def highest(self) -> int:
        return max([self.parts[0].started.selected, *(number for each in self.parts for number in each.keys)])

    def takes(self, other: Told) -> bool:
        """Whether `other` tells of the same run: no number of it means another conversation here."""
        if self.parts[0].started.selected != other.started.selected:
            return False
        mine = {number: identity for each in self.parts for number, identity in each.identities.items()}
        return all(mine.get(number, identity) == identity for number, identity in other.identities.items())


def merged(paths: Sequence[Path], *, fail_on_flaky: bool = False) -> Iterator[Envelope]:
    """The envelopes of one run that is all of these: the conversations in the order of their numbers, which are changed where
    files tell of different runs. Raise Unmergeable, and OSError for a file that cannot be read."""
    spool = Archive()
    try:
        runs = grouped([told for path in paths for told in read(path, spool)])
        if not runs:
            return
        yield first(runs, fail_on_flaky=fail_on_flaky)
        offset = 0
        for run in runs:
            keys = {number: key for part in run.parts for number, key in part.keys.items()}
            for number, key in sorted(keys.items()):
                yield from (replace(envelope, case=number + offset) for envelope in spool.take(key))
            offset += run.highest
        yield last(runs)
    finally:
        spool.close()


def grouped(every: Iterable[Told]) -> list[Run]:
    """Which of them tell of the same run."""
    runs: list[Run] = []
    for told in every:
        run = next((run for run in runs if run.takes(told)), None)
        if run is None:
            runs.append(Run([told]))
            continue
        for part in run.parts:
            if both := sorted(part.keys.keys() & told.keys.keys()):
                raise Unmergeable(
                    _(
                        "`{second}` tells of conversation {number} (`{path}`), and so does `{first}`; leave one of them out"
                    ).format(second=told.path, first=part.path, number=both[0], path=told.identities[both[0]][0])
                )
        run.parts.append(told)
    return runs


def first(runs: Sequence[Run], *, fail_on_flaky: bool) -> Envelope:
    """How all of it began."""
    parts = [part for run in runs for part in run.parts]
    earliest = min(parts, key=lambda part: part.began.time)
    told = [part.started for part in parts]
    started = replace(
        earliest.started,
        target=distinct(each.target for each in told),
        base_url=distinct(each.base_url for each in told),
        reason=distinct(each.reason for each in told),
        cases=sum(run.planned for run in runs),
        simulated=any(each.simulated for each in told),
        fail_on_flaky=fail_on_flaky or any(each.fail_on_flaky for each in told),
        selected=0,
    )
    return Envelope(0, 1, earliest.began.time, started)


def last(runs: Sequence[Run]) -> Envelope:
    """How all of it ended."""
    parts = [part for run in runs for part in run.parts]
    signal = next((part.ended.signal for part in parts if part.ended and part.ended.signal), 0)
    reasons = [part.ended.reason if part.ended else cut_short(part) for part in parts]
    told, planned = sum(run.told for run in runs), sum(run.planned for run in runs)
    if told < planned:
        reasons.append(_("a part is missing: the files tell of {told} of {all} conversations").format(told=told, all=planned))
    over = max(part.over for part in parts)
    alone = parts[0].ended.seconds if len(parts) == 1 and parts[0].ended else None
    seconds = over - min(part.began.time for part in parts) if alone is None else alone
    return Envelope(0, 2, max(part.latest for part in parts), SuiteEnded(seconds, signal, distinct(reasons, "; ")))


def cut_short(part: Told) -> str:
    return _("`{path}` ends before its run did").format(path=part.path)


def distinct(texts: Iterable[str], between: str = ", ") -> str:
    return between.join(dict.fromkeys(text for text in texts if text))


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(path: Path, spool: Archive) -> Iterator[Told]:
    """The runs that a file tells of, one after the other; their conversations go to the spool. A last line that a crash cut
    short is left out, and a conversation without its end goes as far as it went."""
    told: Told | None = None
    under_way: dict[int, list[Envelope]] = {}
    with path.open("rb") as file:
        for number, envelope in envelopes(path, file):
            event = envelope.event
            if isinstance(event, SuiteStarted):
                if told is not None:
                    put(told, under_way, spool)
                    yield told
                told, under_way = Told(path, envelope, event), {}
            if told is None:
                raise bad(path, number, _("something happens before a run has started"))
            told.latest = max(told.latest, envelope.time)
            if isinstance(event, SuiteEnded):
                told.ended = event
            elif isinstance(event, CaseStarted):
                if envelope.case in told.identities:
                    raise bad(path, number, _("conversation {case} starts a second time").format(case=envelope.case))
                told.identities[envelope.case] = (event.path, event.label, event.target, event.model)
                under_way[envelope.case] = [envelope]
            elif not isinstance(event, SuiteStarted):
                if envelope.case not in under_way:
                    raise bad(path, number, _("conversation {case} is not under way").format(case=envelope.case))
                under_way[envelope.case].append(envelope)
                if isinstance(event, CaseEnded):
                    put(told, {envelope.case: under_way.pop(envelope.case)}, spool)
    if told is None:
        raise Unmergeable(
            _("`{path}` tells of no run; `--events FILE` of `runflow run` writes what can be merged").format(path=path)
        )
    put(told, under_way, spool)
    yield told


def put(told: Told, conversations: dict[int, list[Envelope]], spool: Archive) -> None:
    for case, happened in conversations.items():
        told.keys[case] = key = len(spool.places)
        spool.put(key, happened)


def envelopes(path: Path, file: BinaryIO) -> Iterator[tuple[int, Envelope]]:
    """Each envelope with the number of its line."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise bad(path, number, _("the line is longer than {count} MB").format(count=LONGEST // 1024 // 1024))
        try:
            found = list(decode([line.decode()], first=number))
        except (Undecodable, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                return
            raise bad(path, number, _("this is not an event of {format}").format(format=Envelope.FORMAT)) from error
        for envelope in found:
            if not sensible(envelope):
                raise bad(path, number, _("a number in it cannot be meant"))
            yield number, envelope


def sensible(envelope: Envelope) -> bool:
    """Whether its numbers are ones that a run can have."""
    event = envelope.event
    counted = (event.cases, event.selected) if isinstance(event, SuiteStarted) else ()
    suite = isinstance(event, SuiteStarted | SuiteEnded)
    signal = event.signal if isinstance(event, SuiteEnded) else 0
    return (
        0 <= envelope.time <= LATEST
        and 0 <= getattr(event, "seconds", 0.0) <= LATEST
        and (envelope.case == 0) == suite
        and 0 <= envelope.case <= MOST
        and all(0 <= count <= MOST for count in counted)
        and 0 <= signal < 128
    )


def bad(path: Path, line: int, what: str) -> Unmergeable:
    return Unmergeable(f"{path}:{line}: {what}")
