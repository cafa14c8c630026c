"""Play many conversations on one event loop, several at once: number and date what happens, give each its verdict, stop
early where told to, and clean up before leaving."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from runner import __version__
from runner.budget import Budget, Count, Spent
from runner.clock import Clock, LoopClock
from runner.engine import play
from runner.events import AttemptEnded, CaseEnded, CaseStarted, Emit, Envelope, Event, SuiteEnded, SuiteStarted
from runner.model import Outcome
from runner.pace import Pace, Paces, Slowed
from runner.retry import Ledger, Patience, RetryBudget, for_everybody
from runner.targets import Connection, Target, TargetError, open_target
from runner.values import dataclass
from runner.words import _, ngettext

if TYPE_CHECKING:
    from runner.model import Flow
    from runner.plan import Case
    from runner.tools import Ask

__all__ = ["Job", "Limits", "SavePicture", "Suite", "run"]

PARKED = 256
"""How many conversations may wait for a place of their model while others go on."""
TELLING_SECONDS = 1.0
"""How long it may take, after a signal, to tell of the conversations that were never begun."""


class Ledgers(Protocol):
    """Where conversations note down what they make, so that it can be deleted after a crash."""

    def of(self, connection: Connection, flow: str = "", /) -> Ledger:
        """For one conversation, of the flow in the file `flow`."""

    def close(self) -> Iterable[str]:
        """Sentences about what went wrong, and what may be left."""


SavePicture = Callable[[str, int, int, bytes], str]
"""A folder, step, index and bytes of a picture to the path it was written to, as Gallery.save does; raises OSError."""


@dataclass(frozen=True, slots=True)
class Job:
    """One conversation to play, over which connection. `number` is its place in the whole selection; `digest` stands for
    everything that decides what is played; `folder` is where its pictures go, which no other conversation of the run has."""

    number: int
    case: "Case"
    connection: Connection
    digest: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a run may go: `jobs` conversations at once, `max_failures` of them without a pass, `seconds` for all of it. With
    `keep` nothing is deleted."""

    jobs: int = 1
    max_rps: float | None = None
    budget: Budget = field(default_factory=Budget)
    max_failures: int | None = None
    seconds: float | None = None
    keep: bool = False

    def part(self, index: int, parts: int) -> "Limits":
        """The share of the `index`th of so many parts, from 0. What is counted is counted by all of them together."""
        jobs = self.jobs // parts + (index < self.jobs % parts)
        return replace(self, jobs=jobs, max_rps=self.max_rps and self.max_rps / parts)


def run(
    jobs: Sequence[Job],
    emit: Callable[[Envelope], None],
    *,
    environment: Mapping[str, str],
    connections: Iterable[Connection] | None = None,
    limits: Limits | None = None,
    fail_on_flaky: bool = False,
    selected: int = 0,
    ledger: Ledgers | None = None,
    finished: Mapping[int, Sequence[Envelope]] = {},
    save_picture: SavePicture | None = None,
    trace: Callable[[str], None] | None = None,
    warn: Callable[[str], None] = lambda _sentence: None,
    clock: Clock | None = None,
    wall: Callable[[], float] = time.time,
    trusted: "Callable[[Flow], bool] | None" = None,
    ask: "Ask | None" = None,
    player: "Callable[[Suite, Callable[[str], None]], None] | None" = None,
) -> None:
    """Play the jobs, begun in their order, and emit what happens, from SuiteStarted to SuiteEnded.

    Each job is looked up once, when its turn comes, and then forgotten; where looking it up makes it, say beforehand which
    `connections` there are. `selected` is how many this and the other shards play together, if it is known. What is in
    `finished`, by the job's number, is told again instead of being played. The ledger is closed in the end; `warn` is told what
    it says. `trusted` says whether a flow's code and URLs may be used; none may unless told. `ask` reaches the person at the
    terminal. `player` plays the suite and closes its ledger, as Suite.play_and_close does; runner.crew has one.
    Raises ConnectionProblem before anything is emitted or sent. An exception that is a bug leaves after SuiteEnded.
    """
    suite = Suite(
        jobs,
        emit,
        partial(open_target, environment=environment, trace=trace),
        connections=(job.connection for job in jobs) if connections is None else connections,
        limits=limits or Limits(),
        fail_on_flaky=fail_on_flaky,
        selected=selected,
        ledger=ledger,
        finished=finished,
        save_picture=save_picture,
        clock=clock or LoopClock(),
        wall=wall,
        trusted=trusted,
        ask=one_at_a_time(ask) if ask else None,
        debug=trace is not None,
    )
    (player or Suite.play_and_close)(suite, warn)


@dataclass(slots=True)
class Suite:
    """The conversations under way, and what ends them early."""

    jobs: Sequence[Job]
    emit: Callable[[Envelope], None]
    open: Callable[[Connection], Target]
    connections: Iterable[Connection]
    limits: Limits = field(default_factory=Limits)
    fail_on_flaky: bool = False
    selected: int = 0
    ledger: Ledgers | None = None
    finished: Mapping[int, Sequence[Envelope]] = field(default_factory=dict)
    save_picture: SavePicture | None = None
    clock: Clock = field(default_factory=LoopClock)
    wall: Callable[[], float] = time.time
    trusted: "Callable[[Flow], bool] | None" = None
    ask: "Ask | None" = None
    debug: bool = False
    parts: int = 1
    """Into how many suites like this one the run is divided."""
    pass_on: Callable[[Slowed], None] = lambda _slowed: None
    """Told what the other parts must hear."""
    orders: "Callable[[Suite], AbstractContextManager[None]] | None" = None
    """What hears what others want of us while it is open; the system's signals unless told."""
    failures: Count = field(default_factory=Count)

    paces: Paces = field(init=False)
    retries: RetryBudget = field(default_factory=RetryBudget)
    targets: dict[Connection, Target] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    parked: int = 0
    """How many conversations wait for a place of their model, and have not begun."""
    playing: set[asyncio.Task[object]] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever another conversation may perhaps begin."""
    stopped: str = ""
    """Why no further conversation begins, once that is so."""
    cut: str = ""
    """Why those under way were cancelled, if they were."""
    why: str = ""
    """Why anything was left out or cancelled, if it was."""
    signal: int = 0
    bug: Exception | None = None
    deaf: bool = False

    def __post_init__(self) -> None:
        self.paces = Paces(self.clock, self.limits.jobs, self.limits.max_rps, self.parts, self.pass_on)

    def play_and_close(self, warn: Callable[[str], None]) -> None:
        """Play on an event loop of our own, and close the ledger, of which `warn` is told."""
        try:
            asyncio.run(self.play())
        finally:
            for sentence in self.ledger.close() if self.ledger else ():
                warn(sentence)

    async def play(self) -> None:
        async with AsyncExitStack() as stack:
            used: dict[Connection, Connection] = {}
            for connection in self.connections:
                if used.setdefault(place(connection), connection) is connection and place(connection) not in self.targets:
                    self.targets[place(connection)] = target = self.open(connection)
                    stack.push_async_callback(target.close)
            stack.enter_context(self.orders(self) if self.orders else signals(self.hear))
            tell = self.envelopes(0)
            began = self.clock.now()
            tell(self.started(tuple(used.values())))
            try:
                await self.play_all()
            finally:
                tell(SuiteEnded(self.clock.now() - began, self.signal, self.why))
        if self.bug is not None:
            raise self.bug

    def started(self, connections: Sequence[Connection]) -> SuiteStarted:
        return SuiteStarted(
            version=__version__,
            target=", ".join(each.target for each in connections),
            base_url=", ".join(each.base_url for each in connections),
            reason=", ".join(dict.fromkeys(each.reason for each in connections)),
            cases=len(self.jobs),
            simulated=any(target.simulated for target in self.targets.values()),
            fail_on_flaky=self.fail_on_flaky,
            selected=self.selected,
        )

    # ── whose turn it is ─────────────────────────────────────────────────────────────────────────────────────────────

    async def play_all(self) -> None:
        watch = asyncio.create_task(self.watch(self.limits.seconds)) if self.limits.seconds is not None else None
        slots = asyncio.Semaphore(self.limits.jobs)
        places = iter(range(len(self.jobs)))
        try:
            while await self.turn() and (at := next(places, None)) is not None:
                job = self.jobs[at]
                if job.number in self.finished:
                    self.tell_again(job)
                    continue
                task = asyncio.create_task(self.play_job(job, slots))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                # It gets as far as it can without waiting, so that we see whether there is room for one more.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.stop(_("interrupted"), cut=True)
            raise
        except Exception as bug:
            self.fail(bug)
        finally:
            while self.tasks:
                await asyncio.wait(self.tasks)
            if watch is not None:
                watch.cancel()
        await self.leave_out_rest(places)

    async def turn(self) -> bool:
        """Wait until one more conversation may be begun; False when none may."""
        while not self.stopped:
            if len(self.playing) < self.limits.jobs and self.parked < PARKED:
                return True
            self.changed.clear()
            await self.changed.wait()
        return False

    def may_begin(self) -> bool:
        """Whether another conversation may be begun."""
        self.count_failures()
        return not self.stopped and self.may_spend()

    def may_spend(self) -> bool:
        """Whether the budget allows for anything more; the run stops where it does not."""
        try:
            self.limits.budget.check()
        except Spent as spent:
            self.stop(str(spent))
            return False
        return True

    def count_failures(self) -> None:
        """Stop the run where too many conversations failed, those of other parts included."""
        most = self.limits.max_failures
        if most is not None and self.failures.total >= most:
            self.stop(ngettext("stopped after {count} failure", "stopped after {count} failures", most).format(count=most))

    async def watch(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.stop(_("the run was not over after {seconds:g} s").format(seconds=seconds), cut=True)

    async def leave_out_rest(self, places: Iterator[int]) -> None:
        """Tell of the conversations that were never begun, after a signal only as long as there is time."""
        ends = self.clock.now() + TELLING_SECONDS
        for at in places:
            if self.signal and self.clock.now() > ends:
                self.why = self.why or self.stopped
                return
            job = self.jobs[at]
            if job.number in self.finished:
                self.tell_again(job)
            else:
                self.leave_out(job, self.stopped)
            await asyncio.sleep(0)

    def leave_out(self, job: Job, why: str) -> None:
        self.why = self.why or why
        emit = self.envelopes(job.number)
        emit(case_started(job))
        emit(CaseEnded(Outcome.NOT_RUN, 0, why))

    def tell_again(self, job: Job) -> None:
        for sequence, envelope in enumerate(self.finished[job.number], 1):
            self.tell(replace(envelope, case=job.number, sequence=sequence))
            if isinstance(envelope.event, CaseEnded):
                self.count(envelope.event.outcome)

    # ── one conversation ─────────────────────────────────────────────────────────────────────────────────────────────

    async def play_job(self, job: Job, slots: asyncio.Semaphore) -> None:
        task = asyncio.current_task()
        assert task is not None
        pace = self.paces.of(job.connection, job.case.flow.assistant.model or "")
        self.parked += 1
        try:
            async with pace.place(), slots:
                self.parked -= 1
                if pace.closed or not self.may_begin():
                    self.leave_out(job, pace.closed or self.stopped)
                    return
                self.playing.add(task)
                await self.play_case(job, pace)
        except asyncio.CancelledError:
            if not self.cut:
                raise
        except Exception as bug:
            self.fail(bug)
        finally:
            self.playing.discard(task)
            self.changed.set()

    async def play_case(self, job: Job, pace: Pace) -> None:
        emit = self.envelopes(job.number)
        began = self.clock.now()
        started = case_started(job)
        emit(started)
        ended: list[AttemptEnded] = []

        def tell(event: Event) -> None:
            if isinstance(event, AttemptEnded):
                if self.cut and event.reason == _("interrupted"):
                    event = replace(event, reason=self.cut)
                ended.append(event)
            emit(event)

        try:
            await self.attempts(job, pace, started.times, tell)
        finally:
            outcome, reason = verdict(ended, started.times, started.needed, self.stopped)
            if self.cut and started.times == 1 and ended and ended[-1].reason == self.cut:
                # It might have passed: without this it would stay failed for `--resume`.
                outcome, reason = Outcome.ERROR, self.cut
            self.count(outcome)
            emit(CaseEnded(outcome, self.clock.now() - began, reason))

    async def attempts(self, job: Job, pace: Pace, times: int, tell: Emit) -> None:
        """Play a case as often as its flow says."""
        retries = 0 if times > 1 else job.case.flow.retries
        shut_out: list[TargetError] = []
        for attempt in range(1, times + retries + 1):
            outcome = await self.attempt(job, attempt, pace, tell, shut_out.append)
            if shut_out:
                pace.shut_out(shut_out[0].sentence, surely=any(map(for_everybody, shut_out)))
            if outcome is Outcome.SKIPPED or (times == 1 and outcome is Outcome.PASSED):
                return
            if pace.closed or any(failure.sent for failure in shut_out):
                return
            if not self.may_spend() or self.cut or (self.stopped and times == 1):
                return

    async def attempt(self, job: Job, attempt: int, pace: Pace, tell: Emit, shut_out: Callable[[TargetError], None]) -> Outcome:
        folder = job.folder if attempt == 1 else f"{job.folder}/attempt-{attempt}"

        def save_image(step: int, index: int, data: bytes) -> str:
            assert self.save_picture is not None
            return self.save_picture(folder, step, index, data)

        target = self.targets[place(job.connection)]
        return await play(
            job.case,
            target,
            tell,
            attempt=attempt,
            clock=self.clock,
            save_image=save_image if self.save_picture else None,
            streaming=job.connection.streaming,
            trusted=self.trusted is not None and self.trusted(job.case.flow),
            ask=self.ask,
            debug=self.debug,
            patience=Patience(pace, self.retries, self.limits.budget, self.clock),
            ledger=self.ledger.of(job.connection, str(job.case.flow.path)) if self.ledger and target.lasting else None,
            keep=self.limits.keep and target.lasting,
            shut_out=shut_out,
        )

    def count(self, outcome: str) -> None:
        if outcome in (Outcome.FAILED, Outcome.ERROR):
            self.failures.add(1)
            self.count_failures()

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def envelopes(self, case: int) -> Emit:
        sequence = 0

        def emit(event: Event) -> None:
            nonlocal sequence
            sequence += 1
            self.tell(Envelope(case, sequence, self.wall(), event))

        return emit

    def tell(self, envelope: Envelope) -> None:
        try:
            self.emit(envelope)
        except Exception:
            # The first failure ends the suite; those after it must not keep us from cleaning up.
            if not self.deaf:
                self.deaf = True
                raise

    # ── ending early ─────────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self, why: str, *, cut: bool = False) -> None:
        """Begin no further conversation; with `cut` cancel those under way, which then clean up."""
        self.stopped = self.stopped or why
        self.changed.set()
        if cut and not self.cut:
            self.cut = why
            self.why = self.why or (self.stopped if self.playing else "")
            self.cancel()

    def cancel(self) -> None:
        for task in self.playing:
            task.cancel()

    def fail(self, bug: Exception) -> None:
        self.bug = self.bug or bug
        self.stop(_("a bug in runflow"), cut=True)

    def hear(self, number: int) -> None:
        """The first signal stops what is under way, which then cleans up; the next cuts that short."""
        if not self.signal:
            self.signal = number
            self.stop(_("interrupted"), cut=True)
        else:
            self.cancel()


def stopping() -> tuple[signal.Signals, ...]:
    """The signals that stop a run: Ctrl-C, being told to end, and a terminal that is gone, unless nohup has that ignored."""
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, hang_up


@contextmanager
def signals(hear: Callable[[int], None]) -> Iterator[None]:
    """Let `hear` know of the signals that are to stop us, by their number and on the running loop."""
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, object] = {}

    def heard(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(hear, number)

    try:
        for number in stopping():
            before[number] = signal.signal(number, heard)
    except ValueError:
        # Not the main thread: signals are somebody else's.
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):
                signal.signal(number, handler)  # type: ignore[arg-type]


def place(connection: Connection) -> Connection:
    """The same place, chosen for two reasons, is one place."""
    return replace(connection, reason="")


def case_started(job: Job) -> CaseStarted:
    flow = job.case.flow
    return CaseStarted(
        path=str(flow.path),
        flow=flow.name or flow.path.stem,
        label=job.case.label,
        tags=flow.tags,
        target=job.connection.target,
        model=flow.assistant.model or "",
        steps=len(flow.steps),
        times=flow.repeat.times if flow.repeat else 1,
        needed=flow.repeat.pass_ if flow.repeat else 1,
        digest=job.digest,
    )


def verdict(ended: Sequence[AttemptEnded], times: int, needed: int, stopped: str = "") -> tuple[Outcome, str]:
    """What the attempts at a case come to, and why. Of `times` that were to be played, those that `stopped` left out are
    without a verdict."""
    outcomes = [each.outcome for each in ended]
    if Outcome.SKIPPED in outcomes:
        return Outcome.SKIPPED, because(ended, Outcome.SKIPPED)
    if times == 1:
        if outcomes[-1:] == [Outcome.PASSED]:
            return Outcome.PASSED if len(outcomes) == 1 else Outcome.FLAKY, ""
        outcome = Outcome.FAILED if Outcome.FAILED in outcomes else Outcome.ERROR
        return outcome, because(ended, outcome) if ended else stopped
    passed = outcomes.count(Outcome.PASSED)
    if passed >= needed:
        return Outcome.PASSED, ""
    counted = ngettext(
        "{passed} of {times} passed, {needed} is needed", "{passed} of {times} passed, {needed} are needed", needed
    ).format(passed=passed, times=times, needed=needed)
    if times - outcomes.count(Outcome.FAILED) < needed:
        return Outcome.FAILED, counted
    reason = because(ended, Outcome.ERROR) or stopped
    return Outcome.ERROR, f"{counted}: {reason}" if reason else counted


def because(ended: Iterable[AttemptEnded], outcome: Outcome) -> str:
    """The reason of the first that came to this."""
    return next((each.reason for each in ended if each.outcome == outcome), "")


def one_at_a_time(ask: "Ask") -> "Ask":
    """The same, so that no two conversations ask at once."""
    lock = asyncio.Lock()

    async def asked(name: str, arguments: str, question: str) -> str:
        async with lock:
            return await ask(name, arguments, question)

    return asked
