"""Play a run in several processes: one event loop keeps one core busy, and that is a thousand calls a second.

Each process is divided from this one and plays every n-th conversation, as a suite of its own. Places at once and requests a
second are divided among them; failures, the budget and the retry budget are counted by all together. What happens there comes
here and is told here, so that everybody else hears of one run; signals are passed on to each, and what slows down one to the
others. When this process is killed, they end as if they had been told to.
"""

import asyncio
import gc
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from typing import NoReturn, overload

from runner.budget import Count
from runner.events import AttemptEnded, AttemptStarted, CaseEnded, CaseStarted, Envelope, SuiteEnded, SuiteStarted
from runner.ledger import may_be_left
from runner.model import Outcome
from runner.pace import Slowed
from runner.parcel import pack, unpack
from runner.registry import targets
from runner.suite import Job, Limits, Suite, signals, stopping
from runner.targets import ConnectionProblem
from runner.values import dataclass
from runner.words import _

__all__ = ["play", "processes"]

CONVERSATIONS = 25
"""At once, to be worth a process."""
CALLS = 1000
"""That one process makes in a second."""
YOUNG = 20_000
"""How many new objects there may be before garbage is looked for: little of what conversations leave behind needs that."""
LEAVING_SECONDS = 3.0
"""How long processes may take to end after a second signal."""
PIECE = 256 * 1024
"""Bytes that are read at once."""


def processes(limits: Limits, conversations: int) -> int:
    """In how many processes so many conversations are best played."""
    # Nowhere else can a process be divided without harm, and not where other threads may hold a lock just now.
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    most = min(limits.jobs, conversations) // CONVERSATIONS
    if limits.max_rps is not None:
        most = min(most, int(limits.max_rps / CALLS))
    return max(1, min(most, len(os.sched_getaffinity(0))))


class PartFailed(Exception):
    """A bug in one of the processes; its traceback is a note."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Said to a process when all of them are there."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Said to a process that is to cut short what it plays, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """The last word of a process: what its ledger says, and what kept it from its end; `trace` is where a bug was met."""

    warnings: tuple[str, ...] = ()
    problem: str = ""
    bug: str = ""
    trace: str = ""


Order = Begin | Stop | Slowed | int
"""What a process is told; a number is that of a signal."""


class Share(Sequence[Job]):
    """Some of the jobs, by their places among all."""

    def __init__(self, jobs: Sequence[Job], places: Sequence[int]) -> None:
        self.jobs = jobs
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> "Share": ...
    def __getitem__(self, index: int | slice) -> "Job | Share":
        if isinstance(index, slice):
            return Share(self.jobs, self.places[index])
        return self.jobs[self.places[index]]


class Channel:
    """One end of what connects two of our processes: any value goes in, and comes out at the other end."""

    LENGTH = struct.Struct("!I")

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.rest = bytearray()

    def send(self, value: object) -> None:
        """Return when all of it is on its way, which takes as long as the other end is busy, or when nobody is there."""
        with suppress(OSError):
            self.end.sendall(self.packed(value))

    def receive(self) -> list[object]:
        """What has come, after waiting for it; nothing when nobody is at the other end."""
        try:
            while data := self.end.recv(PIECE):
                if values := self.unpacked(data):
                    return values
        except OSError:
            pass
        return []

    def packed(self, value: object) -> bytes:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return self.LENGTH.pack(len(data)) + data

    def unpacked(self, data: bytes) -> list[object]:
        """The values that are whole now that this has come as well."""
        self.rest += data
        values, begin, head = [], 0, self.LENGTH.size
        while len(self.rest) - begin >= head:
            end = begin + head + self.LENGTH.unpack_from(self.rest, begin)[0]
            if len(self.rest) < end:
                break
            values.append(pickle.loads(self.rest[begin + head : end]))
            begin = end
        del self.rest[:begin]
        return values


def play(suite: Suite, warn: Callable[[str], None], count: int) -> None:
    """Play the jobs of a suite that has not begun in so many processes at most, as it would itself; where these cannot be had,
    it does.

    Raises what it would, and PartFailed for a bug in one of them.
    """
    places: list[int] = []
    again: list[int] = []
    for at in range(len(suite.jobs)):
        (again if suite.finished and suite.jobs[at].number in suite.finished else places).append(at)
    count = min(count, suite.limits.jobs, len(places))
    with rare_collections():
        members = divided(suite, [Share(suite.jobs, places[index::count]) for index in range(count)]) if count > 1 else []
        if not members:
            suite.play_and_close(warn)
            return
        crew = Crew(suite, members, Share(suite.jobs, again))
        try:
            asyncio.run(crew.play())
        finally:
            for member in members:
                member.channel.end.close()
            for sentence in dict.fromkeys(sentence for member in members for sentence in member.warnings):
                warn(sentence)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage less often, and not among what is there already: each process would copy all of that to look at it."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


# ── dividing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Member:
    """A process as we know it here: what it is to play, and what it has told."""

    process: int
    channel: Channel
    share: Share
    writer: asyncio.StreamWriter | None = None
    begun: set[int] = field(default_factory=set)
    playing: set[int] = field(default_factory=set)
    """The conversations of which an attempt is under way."""
    latest: dict[int, int] = field(default_factory=dict)
    """The number of the last event of each conversation under way."""
    over: Over | None = None
    code: int = 0
    """What it ended with; below 0 the signal that killed it."""
    warnings: tuple[str, ...] = ()

    def reap(self) -> None:
        """Let the system forget it, once it has ended or is about to."""
        _process, status = os.waitpid(self.process, 0)
        self.code = os.waitstatus_to_exitcode(status)


def divided(suite: Suite, shares: Sequence[Share]) -> list[Member]:
    """A process for each share, which waits for its Begin; none when the system does not give them all. Signals are held back
    from then on."""
    for number in counts(suite):
        number.spread(1 + len(shares))
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # Whoever started us may not have wanted to hear of its children; we must, to know how ours ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    members: list[Member] = []
    for stream in (sys.stdout, sys.stderr):
        # What waits there would be written once more by each process.
        if stream is not None:
            stream.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping())
    try:
        for index, share in enumerate(shares):
            ours, theirs = socket.socketpair()
            with theirs:
                process = os.fork()
                if process == 0:
                    work(suite, index, len(shares), share, Channel(theirs))
            members.append(Member(process, Channel(ours), share))
    except OSError:
        for member in members:
            member.channel.end.close()
            member.reap()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping())
        return []
    return members


def counts(suite: Suite) -> tuple[Count, ...]:
    """What all the processes count together."""
    budget = suite.limits.budget
    return suite.failures, suite.retries.spent, budget.calls_used, budget.tokens_used


def work(suite: Suite, index: int, count: int, share: Share, channel: Channel) -> NoReturn:
    """What one of the processes does, to its end."""
    code = 70
    try:
        for number in stopping():
            # Whoever means all of us, as Ctrl-C does, reaches the one that passes it on. Not ignored: programs that flows run
            # would inherit that.
            signal.signal(number, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping())
        leave_files(channel.end.fileno())
        first, *waiting = channel.receive() or [None]
        if isinstance(first, Begin):
            channel.send(play_share(suite, index, count, share, channel, waiting))
            # What is still on its way to us must not meet a closed door: that would lose what we have said.
            while channel.receive():
                pass
        code = 0
    finally:
        os._exit(code)


def leave_files(own: int) -> None:
    """Let go of every open file but this one: nothing that is held or written is to outlive the process that does so."""
    for number, stream in enumerate((sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        if stream is None:
            # What was closed from the beginning may be any other file by now.
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    os.closerange(3, own)
    os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))


def play_share(suite: Suite, index: int, count: int, share: Share, channel: Channel, waiting: Sequence[object]) -> Over:
    for number in counts(suite):
        number.own = 1 + index
    outbox = Outbox(channel)
    warnings: list[str] = []
    try:
        part = replace(
            suite,
            jobs=share,
            emit=outbox.tell,
            limits=suite.limits.part(index, count),
            finished={},
            parts=count,
            pass_on=channel.send,
            orders=partial(orders, channel, waiting),
        )
        part.play_and_close(warnings.append)
    except ConnectionProblem as refused:
        return Over(problem=str(refused))
    except Exception as bug:
        [*_lines, last] = traceback.format_exception_only(bug)
        return Over(tuple(warnings), bug=last.strip(), trace=traceback.format_exc())
    finally:
        outbox.flush()
    return Over(tuple(warnings))


class Outbox:
    """What happens in a process, on its way to ours; all that happens at one turn of the event loop goes at once."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.waiting: list[Envelope] = []

    def tell(self, envelope: Envelope) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self.waiting.append(envelope)

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.channel.send(pack(waiting))


@contextmanager
def orders(channel: Channel, waiting: Sequence[object], suite: Suite) -> Iterator[None]:
    """Let a suite hear what comes to this process, and what waits already."""
    loop, own = asyncio.get_running_loop(), channel.end.fileno()

    def heard() -> None:
        if values := channel.receive():
            obey(values)
        else:
            loop.remove_reader(own)
            suite.hear(signal.SIGTERM)

    def obey(values: Sequence[object]) -> None:
        for order in values:
            match order:
                case int():
                    suite.hear(order)
                case Slowed():
                    suite.paces.hear(order)
                case Stop():
                    suite.stop(order.why, cut=True)

    loop.add_reader(own, heard)
    loop.call_soon(obey, waiting)
    try:
        yield
    finally:
        loop.remove_reader(own)


# ── hearing of it ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Crew:
    """All the processes of a run, and what they have told together."""

    suite: Suite
    members: Sequence[Member]
    finished: Sequence[Job]
    started: bool = False
    heard: list[int] = field(default_factory=list)
    """The signals that came."""
    why: str = ""
    """Why it ended early, where it did."""
    problem: str = ""
    bug: Exception | None = None

    async def play(self) -> None:
        suite = self.suite
        began = suite.clock.now()
        with signals(self.hear):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping())
            await asyncio.gather(*(self.follow(member) for member in self.members))
            lost = [member for member in self.members if member.over is None]
            if self.started:
                for member in lost:
                    self.lose(member)
                number = self.heard[0] if self.heard else 0
                self.say(Envelope(0, 2, suite.wall(), SuiteEnded(suite.clock.now() - began, number, self.why)))
        if self.bug is not None:
            raise self.bug
        if self.problem:
            raise ConnectionProblem(self.problem)
        if not self.started:
            raise PartFailed(f"processes ended before they began: {[member.code for member in lost]}")

    async def follow(self, member: Member) -> None:
        """Hear a process to its end."""
        reader, writer = await asyncio.open_connection(sock=member.channel.end, limit=PIECE)
        member.writer = writer
        self.order(member, Begin())
        for number in self.heard:
            self.order(member, number)
        with suppress(ConnectionError):
            while member.over is None and (data := await reader.read(PIECE)):
                for told in member.channel.unpacked(data):
                    self.take(member, told)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        member.reap()

    def take(self, member: Member, told: object) -> None:
        match told:
            case bytes():
                for envelope in unpack(told):
                    self.tell(member, envelope)
            case Slowed():
                for other in self.members:
                    if other is not member:
                        self.order(other, told)
            case Over():
                member.over, member.warnings = told, told.warnings
                self.problem = self.problem or told.problem
                if told.bug:
                    bug = PartFailed(told.bug)
                    bug.add_note(told.trace)
                    self.fail(bug)

    def tell(self, member: Member, envelope: Envelope) -> None:
        match envelope.event:
            case SuiteStarted() as started:
                if self.started:
                    return
                self.started = True
                self.say(replace(envelope, event=replace(started, cases=len(self.suite.jobs))))
                self.tell_again()
            case SuiteEnded() as ended:
                self.why = self.why or ended.reason
            case event:
                if isinstance(event, CaseStarted):
                    member.begun.add(envelope.case)
                if isinstance(event, AttemptStarted):
                    member.playing.add(envelope.case)
                if isinstance(event, AttemptEnded):
                    member.playing.discard(envelope.case)
                member.latest[envelope.case] = envelope.sequence
                if isinstance(event, CaseEnded):
                    del member.latest[envelope.case]
                self.say(envelope)

    def say(self, envelope: Envelope) -> None:
        try:
            self.suite.tell(envelope)
        except Exception as bug:
            self.fail(bug)

    def tell_again(self) -> None:
        """Tell of the conversations that need not be played."""
        for job in self.finished:
            try:
                self.suite.tell_again(job)
            except Exception as bug:
                self.fail(bug)

    def lose(self, member: Member) -> None:
        """A process ended without a last word: nobody knows what came of what it played."""
        code = member.code
        if code < 0:
            why = _("the process that played it was killed by signal {number}").format(number=-code)
        else:
            why = _("the process that played it ended with code {number}").format(number=code)
        if self.heard:
            why = _("interrupted")
        self.why = self.why or why
        for case, sequence in member.latest.items():
            if case in member.playing:
                sequence += 1
                self.say(Envelope(case, sequence, self.suite.wall(), AttemptEnded(Outcome.ERROR, 0, why)))
            self.say(Envelope(case, sequence + 1, self.suite.wall(), CaseEnded(Outcome.ERROR, 0, why)))
        for job in member.share:
            if job.number not in member.begun:
                self.suite.leave_out(job, why)
        if any(targets[each.target].lasting for each in self.suite.connections):
            member.warnings = (may_be_left(),)

    # ── telling them ─────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, number: int) -> None:
        self.heard.append(number)
        for member in self.members:
            self.order(member, number)
        if len(self.heard) == 2:
            asyncio.get_running_loop().call_later(LEAVING_SECONDS, self.leave)

    def leave(self) -> None:
        """Wait no longer for those that do not end."""
        for member in self.members:
            if member.over is None and member.writer is not None and not member.writer.is_closing():
                os.kill(member.process, signal.SIGKILL)

    def fail(self, bug: Exception) -> None:
        self.bug = self.bug or bug
        for member in self.members:
            self.order(member, Stop(_("a bug in runflow")))

    def order(self, member: Member, what: Order) -> None:
        if member.writer is not None and not member.writer.is_closing():
            member.writer.write(member.channel.packed(what))
