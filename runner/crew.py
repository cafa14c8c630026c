"""Play a run in several processes: one event loop keeps one core busy, and that is a thousand calls a second.

Each process is divided from this one and plays every n-th conversation, as a suite of its own at its share of the pace. What
happens there comes here and is told here, so that everybody else hears of one run; what slows down one part is passed on to the
others, and so are signals. A process that we have left behind, killed, ends like one that is told to.
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

from runner.events import CaseEnded, CaseStarted, Envelope, SuiteEnded, SuiteStarted
from runner.ledger import may_be_left
from runner.model import Outcome
from runner.pace import Slowed
from runner.parcel import pack, unpack
from runner.suite import Job, Limits, Suite, signals
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
PIECE = 256 * 1024
"""Bytes that are read at once."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    """A bug in one of the processes; the text is its traceback."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Said to a process when all of them are there."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Said to a process that is to cut short what it plays, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """The last word of a process: what its ledger says, and what kept it from its end."""

    warnings: tuple[str, ...]
    problem: str = ""
    bug: str = ""


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
        """Return when all of it is on its way, which takes as long as the other end is busy. Raise OSError."""
        self.end.sendall(self.packed(value))

    def packed(self, value: object) -> bytes:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return self.LENGTH.pack(len(data)) + data

    def unpacked(self, data: bytes) -> Iterator[object]:
        """The values that are whole now that this has come as well."""
        self.rest += data
        begin, head = 0, self.LENGTH.size
        while len(self.rest) - begin >= head:
            end = begin + head + self.LENGTH.unpack_from(self.rest, begin)[0]
            if len(self.rest) < end:
                break
            yield pickle.loads(memoryview(self.rest)[begin + head : end].tobytes())
            begin = end
        del self.rest[:begin]


def play(suite: Suite, count: int, warn: Callable[[str], None]) -> None:
    """Play the jobs of a suite that has not begun in so many processes, as it would itself; where these cannot be had, it does.

    Raises what it would, and PartFailed for a bug in one of them.
    """
    places: list[int] = []
    again: list[int] = []
    for at in range(len(suite.jobs)):
        (again if suite.finished and suite.jobs[at].number in suite.finished else places).append(at)
    # What is there stays, and is not to be looked through, which would also copy it, by each process again and again.
    gc.freeze()
    gc.set_threshold(YOUNG)
    members = divided(suite, [Share(suite.jobs, places[index::count]) for index in range(count)])
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


# ── dividing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Member:
    """A process as we know it here: what it is to play, and what it has told."""

    process: int
    channel: Channel
    share: Share
    writer: asyncio.StreamWriter | None = None
    begun: set[int] = field(default_factory=set)
    latest: dict[int, int] = field(default_factory=dict)
    """The number of the last event of each conversation under way."""
    over: Over | None = None
    code: int = 0
    """What it ended with; below 0 the signal that killed it."""
    warnings: tuple[str, ...] = ()

    def reap(self) -> None:
        """Let the system forget it, once it has ended."""
        _process, status = os.waitpid(self.process, 0)
        self.code = os.waitstatus_to_exitcode(status)


def divided(suite: Suite, shares: Sequence[Share]) -> list[Member]:
    """A process for each share, which waits for its Begin; none when the system does not give them all."""
    for number in (suite.failures, suite.limits.budget.calls_used, suite.limits.budget.tokens_used):
        number.spread(1 + len(shares))
    members: list[Member] = []
    for stream in (sys.stdout, sys.stderr):
        # What waits there would be written once more by each process.
        stream.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
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
        return []
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return members


def work(suite: Suite, index: int, count: int, share: Share, channel: Channel) -> NoReturn:
    """What one of the processes does, to its end."""
    try:
        for number in SIGNALS:
            # Whoever means all of us, as Ctrl-C does, reaches the one that passes it on. Not ignored: programs that flows run
            # would inherit that.
            signal.signal(number, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        # Nothing that is held or written elsewhere is to outlive the process that does so.
        own = channel.end.fileno()
        os.closerange(3, own)
        os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
        if not any(isinstance(each, Begin) for each in channel.unpacked(channel.end.recv(PIECE))):
            os._exit(0)
        play_share(suite, index, count, share, channel)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def play_share(suite: Suite, index: int, count: int, share: Share, channel: Channel) -> None:
    for number in (suite.failures, suite.limits.budget.calls_used, suite.limits.budget.tokens_used):
        number.own = 1 + index
    outbox = Outbox(channel)
    part = replace(
        suite,
        jobs=share,
        emit=outbox.tell,
        limits=suite.limits.part(index, count),
        finished={},
        parts=count,
        pass_on=channel.send,
        orders=partial(orders, channel),
    )
    warnings: list[str] = []
    problem = bug = ""
    try:
        part.play_and_close(warnings.append)
    except ConnectionProblem as refused:
        problem = str(refused)
    except Exception:
        bug = traceback.format_exc()
    outbox.flush()
    with suppress(OSError):
        channel.send(Over(tuple(warnings), problem, bug))


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
        # Where nobody hears us any more, we are told so as well, and end.
        with suppress(OSError):
            if waiting:
                self.channel.send(pack(waiting))


@contextmanager
def orders(channel: Channel, suite: Suite) -> Iterator[None]:
    """Let a suite hear what comes to this process."""
    loop, own = asyncio.get_running_loop(), channel.end.fileno()

    def heard() -> None:
        try:
            data = channel.end.recv(PIECE)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(own)
            suite.hear(signal.SIGTERM)
        for order in channel.unpacked(data):
            match order:
                case int():
                    suite.hear(order)
                case Slowed():
                    suite.paces.hear(order)
                case Stop():
                    suite.stop(order.why, cut=True)

    loop.add_reader(own, heard)
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
    signal: int = 0
    why: str = ""
    """Why it ended early, where it did."""
    problem: str = ""
    bug: Exception | None = None

    async def play(self) -> None:
        suite = self.suite
        began = suite.clock.now()
        with signals(self.hear):
            await asyncio.gather(*(self.follow(member) for member in self.members))
            lost = [member for member in self.members if member.over is None]
            if self.started:
                for member in lost:
                    self.lose(member)
                self.say(Envelope(0, 2, suite.wall(), SuiteEnded(suite.clock.now() - began, self.signal, self.why)))
        if self.bug is not None:
            raise self.bug
        if self.problem:
            raise ConnectionProblem(self.problem)
        if not self.started:
            raise PartFailed(f"processes ended before they began: {[member.code for member in lost]}")

    async def follow(self, member: Member) -> None:
        """Hear a process to its end."""
        reader, member.writer = await asyncio.open_connection(sock=member.channel.end, limit=PIECE)
        self.order(member, Begin())
        with suppress(ConnectionError):
            while data := await reader.read(PIECE):
                for told in member.channel.unpacked(data):
                    self.take(member, told)
        member.writer.close()
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
                    self.fail(PartFailed(told.bug))

    def tell(self, member: Member, envelope: Envelope) -> None:
        match envelope.event:
            case SuiteStarted() as started:
                if self.started:
                    return
                self.started = True
                self.say(replace(envelope, event=replace(started, cases=len(self.suite.jobs))))
                self.tell_again()
            case SuiteEnded() as ended:
                self.signal, self.why = self.signal or ended.signal, self.why or ended.reason
            case event:
                if isinstance(event, CaseStarted):
                    member.begun.add(envelope.case)
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
        self.why = self.why or why
        for case, sequence in member.latest.items():
            self.say(Envelope(case, sequence + 1, self.suite.wall(), CaseEnded(Outcome.ERROR, 0, why)))
        for job in member.share:
            if job.number not in member.begun:
                self.suite.leave_out(job, why)
        member.warnings = (may_be_left(),)

    # ── telling them ─────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, number: int) -> None:
        for member in self.members:
            self.order(member, number)

    def fail(self, bug: Exception) -> None:
        self.bug = self.bug or bug
        for member in self.members:
            self.order(member, Stop(_("a bug in runflow")))

    def order(self, member: Member, what: Order) -> None:
        if member.writer is not None and not member.writer.is_closing():
            member.writer.write(member.channel.packed(what))
