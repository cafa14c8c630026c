"""Make the calls of one conversation so that a service's troubles pass by: in turn, again when that may help, and never twice
what must happen once.

A lost answer to a POST is looked up before anything is sent again: what we make carries an id of ours in its metadata.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import field
from enum import Enum
from math import inf
from secrets import token_hex
from typing import Protocol, TypeVar

from runner.budget import Budget, Count
from runner.calls import asks_again
from runner.clock import Clock
from runner.model import (
    ENDED,
    Assistant,
    AssistantObject,
    Message,
    Role,
    Run,
    RunOverrides,
    RunStep,
    Sample,
    Thread,
    ThreadSetup,
    ToolOutput,
)
from runner.pace import Pace
from runner.targets import StreamEvent, Target, TargetError, Unsure
from runner.values import dataclass
from runner.wire.assistant_api import has_room
from runner.words import _

__all__ = ["Again", "Ledger", "Passing", "Patience", "Patient", "RetryBudget", "Taken", "for_everybody", "hopeless", "passing"]

ATTEMPTS = 4
THROTTLED_ATTEMPTS = 8
LONGEST_BACKOFF = 8.0
LONGEST_THROTTLE = 30.0
LONGEST_WISH = 60.0
"""A service that asks to be left alone for longer is not waited for."""
TOKENS = 500
SILENCE_SECONDS = 45.0
"""A stream that says nothing for so long is left."""
HOPELESS = frozenset(
    {
        "InvalidApiKey",
        "invalid_api_key",
        "Arrearage",
        "AllocationQuota.FreeTierOnly",
        "insufficient_quota",
        "CommodityNotPurchased",
        "PrepaidBillOverdue",
        "PostpaidBillOverdue",
    }
)
"""Codes that no waiting helps against, whatever their status: keys, bills, a free quota that is used up."""

Answer = TypeVar("Answer")
Made = TypeVar("Made", AssistantObject, Thread, Run)
Events = AsyncGenerator[StreamEvent, None]
Again = Callable[[int, float, str], None]
"""Told of each repetition: the how manieth attempt it is, after how many seconds, and what came of the last one."""


class Passing(Enum):
    """Troubles that may pass by themselves, and what it takes from the retry budget to try again."""

    TRANSIENT = 14
    TIMED_OUT = 10
    THROTTLED = 5


def passing(failure: TargetError) -> Passing | None:
    """What kind of trouble a call had; None when no repetition helps."""
    status = failure.status
    if failure.final or failure.code in HOPELESS:
        return None
    if status == 429 or failure.code.startswith("Throttling"):
        return Passing.THROTTLED
    if failure.timed_out or status == 408:
        return Passing.TIMED_OUT
    if status < 300 or status == 425 or (status >= 500 and status not in (501, 505)):
        return Passing.TRANSIENT
    return None


def hopeless(failure: TargetError) -> bool:
    """Whether the same must come of whatever else is asked: a key that is not accepted, an account that may not, or nobody
    there."""
    return for_everybody(failure) or failure.status == 403 or not failure.sent


def for_everybody(failure: TargetError) -> bool:
    """Whether the same comes to everybody who asks with this key, also where the service has answered before."""
    return failure.status == 401 or failure.code in HOPELESS or too_long(failure.retry_after)


def too_long(wish: float | None) -> bool:
    """Whether a service asks to be left alone for longer than it is waited for."""
    return wish is not None and wish > LONGEST_WISH


def doubtful(failure: TargetError) -> bool:
    """Whether the service may have done what it was asked to, although no good answer came."""
    if not failure.sent or passing(failure) is Passing.THROTTLED:
        return False
    return failure.status < 300 or failure.status == 408 or failure.status >= 500


def undecided(failure: TargetError) -> bool:
    """The same for outputs: what refuses them may do so because it has them. Only who was not let in need not ask."""
    if not failure.sent or passing(failure) is Passing.THROTTLED or failure.code in HOPELESS:
        return False
    return not 300 <= failure.status < 400 and failure.status not in (401, 403)


class RetryBudget:
    """What all repetitions of a run may cost together, so that a service in trouble is not asked for ever."""

    def __init__(self, left: int = TOKENS) -> None:
        self.spent = Count(TOKENS - left)

    @property
    def left(self) -> int:
        return TOKENS - self.spent.total

    def pay(self, kind: Passing) -> bool:
        """Whether there was enough for one more repetition."""
        self.spent.add(kind.value)
        if self.left >= 0:
            return True
        self.spent.add(-kind.value)
        return False

    def earn(self) -> None:
        """A call succeeded at once."""
        if self.spent.total > 0:
            self.spent.add(-1)


@dataclass(frozen=True, slots=True)
class Patience:
    """What all conversations of one pace share."""

    pace: Pace
    retries: RetryBudget
    budget: Budget
    clock: Clock

    @classmethod
    def alone(cls, clock: Clock) -> "Patience":
        """For one conversation by itself."""
        return cls(Pace(clock, 1), RetryBudget(), Budget(), clock)


class Ledger(Protocol):
    """Where it is noted down what is made, so that it can be deleted after a crash."""

    async def intend(self, kind: str, op: str, parent: str = "") -> None:
        """An assistant, thread or run is about to be made; returns when that is on disk."""

    def made(self, op: str, id: str) -> None: ...
    def gone(self, op: str) -> None: ...
    def kept(self, op: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """How outputs were taken: the first event of the stream if there is one, else the run; `seen` when the run itself showed
    that the service has them."""

    event: StreamEvent
    events: Events | None = None
    seen: bool = False


@dataclass(slots=True)
class Patient:
    """A target's calls for one conversation. Raises TargetError when a call came to nothing for good, and Spent when
    the run's budget is used up: of calls, from any that does not clean up; of tokens, from those that make the model go on."""

    target: Target
    patience: Patience
    again: Again
    warn: Callable[[str], None]
    ledger: Ledger | None = None
    ends: float = inf
    """No pause goes beyond this time."""
    tidying: bool = False
    """Whether the calls clean up: those are made although the budget is used up."""
    urgent: bool = False
    """Whether there is no time to wait for a turn."""
    sending: bool = False
    """Whether an answer is due."""
    ops: dict[str, str] = field(default_factory=dict)
    """Our ids of what was made, by the service's."""
    runs: set[str] = field(default_factory=set)
    fresh: bool = False
    """Whether the thread is ours and was empty."""
    newest: str = ""
    """The last message added."""
    went: float = 0
    """When the last request went."""

    # ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_assistant(self, assistant: Assistant) -> AssistantObject:
        if not has_room(assistant.metadata):
            return await self.make_unmarked(
                "assistant", lambda op: self.target.create_assistant(assistant, op), lambda id: AssistantObject(id, "")
            )
        return await self.make(
            "assistant",
            lambda op: self.target.create_assistant(assistant, op),
            lambda op: self.target.find_assistant(op),
        )

    async def create_thread(self, setup: ThreadSetup | None) -> Thread:
        thread = await self.make_unmarked("thread", lambda op: self.target.create_thread(setup, op), Thread)
        self.fresh = setup is None or not setup.messages
        return thread

    async def add_message(self, thread_id: str, text: str, role: Role = Role.USER) -> Message:
        op = new_op()
        # Among messages that may be anybody's, the same text is no proof.
        known = text if self.fresh or self.newest else ""

        async def look(failure: TargetError) -> Message | None:
            found = await self.repeat(lambda: self.target.find_message(thread_id, op, known, self.newest, role))
            return self.done_all_the_same(found, failure)

        message = await self.repeat(lambda: self.target.add_message(thread_id, text, role, op), look)
        self.newest = message.id
        return message

    async def create_run(self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None) -> Run:
        return await self.make(
            "run",
            lambda op: self.target.create_run(thread_id, assistant_id, overrides, sample, op),
            lambda op: self.find_run(thread_id, op),
            thread_id,
        )

    async def stream_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None
    ) -> Events:
        """The run's events, the first of which names it. A run whose stream was lost is found, and is all that comes."""
        streams: list[Events] = []

        async def begin(op: str) -> Run:
            events = self.target.stream_run(thread_id, assistant_id, overrides, sample, op)
            event = await first(events, lambda event: event.run is not None, "create_run", self.patience.clock)
            assert event.run is not None
            streams.append(events)
            return event.run

        run = await self.make("run", begin, lambda op: self.find_run(thread_id, op), thread_id)
        opening = StreamEvent(f"thread.run.{run.status}", run)
        if not streams:
            yield opening
            return
        async with aclosing(streams[0]) as events:
            yield opening
            async for event in events:
                yield event

    async def find_run(self, thread_id: str, op: str) -> Run | None:
        # Nobody else runs anything on a thread of ours.
        return await self.target.find_run(thread_id, op, self.ops.keys() if thread_id in self.ops else None)

    async def make(
        self,
        kind: str,
        create: Callable[[str], Awaitable[Made]],
        find: Callable[[str], Awaitable[Made | None]],
        parent: str = "",
    ) -> Made:
        """Create something that can be looked up."""
        self.patience.budget.check()
        op = new_op()
        await self.intend(kind, op, parent)
        # Whether it may be there, although no good answer came.
        maybe = False

        async def attempt() -> Made:
            nonlocal maybe
            before, maybe = maybe, True
            try:
                return await create(op)
            except TargetError as failure:
                maybe = before or doubtful(failure)
                raise

        async def look(failure: TargetError) -> Made | None:
            nonlocal op, maybe
            try:
                return self.done_all_the_same(await self.repeat(lambda: find(op)), failure)
            except Unsure:
                # What may be there keeps its place in the ledger, and what is made next has one of its own.
                self.warn(orphan(kind, op))
                op, maybe = new_op(), False
                await self.intend(kind, op, parent)
                return None

        try:
            made = await self.repeat(attempt, look)
        except BaseException:
            # Also told to stop, or out of budget, while the turn was waited for.
            if not maybe:
                self.forget(op)
            raise
        self.note(made, op)
        if kind == "run":
            self.runs.add(made.id)
        return made

    async def make_unmarked(self, kind: str, create: Callable[[str], Awaitable[Made]], named: Callable[[str], Made]) -> Made:
        """Create something that cannot be looked up: where an answer is lost before its id came, something may be left."""
        self.patience.budget.check()
        op = ""

        async def attempt() -> Made:
            nonlocal op
            op = new_op()
            await self.intend(kind, op)
            try:
                return await create(op)
            except TargetError as failure:
                if failure.id:
                    return self.done_all_the_same(named(failure.id), failure)
                if doubtful(failure):
                    self.warn(orphan(kind, op))
                else:
                    self.forget(op)
                raise

        made = await self.repeat(attempt)
        self.note(made, op)
        return made

    def done_all_the_same(self, found: Answer, failure: TargetError) -> Answer:
        if found is not None:
            self.warn(_("no good answer came, but it was done all the same: {reason}").format(reason=failure.sentence))
        return found

    async def intend(self, kind: str, op: str, parent: str = "") -> None:
        if self.ledger is not None:
            await self.ledger.intend(kind, op, parent)

    def note(self, made: AssistantObject | Thread | Run, op: str) -> None:
        if not made.id:
            return
        self.ops[made.id] = op
        if self.ledger is not None:
            self.ledger.made(op, made.id)

    def forget(self, op: str | None) -> None:
        if self.ledger is not None and op is not None:
            self.ledger.gone(op)

    def keep(self, id: str) -> None:
        """What was made stays on the service."""
        if self.ledger is not None and id in self.ops:
            self.ledger.kept(self.ops[id])

    # ── handing in ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def hand_in(self, thread_id: str, run: Run, outputs: Sequence[ToolOutput], *, streaming: bool) -> Taken:
        """Give the service the outputs for what `run` asks. Whatever answer got lost, the run itself says whether it has them;
        the same outputs are sent again only when not."""
        self.patience.budget.check()

        async def send() -> Taken:
            if not streaming:
                taken = await self.target.submit_outputs(thread_id, run.id, outputs)
                return Taken(StreamEvent("", taken))
            events = self.target.stream_outputs(thread_id, run.id, outputs)
            return Taken(await first(events, lambda _event: True, "submit_tool_outputs", self.patience.clock), events)

        async def look(failure: TargetError) -> Taken | None:
            seen = await self.repeat(lambda: self.target.read_run(thread_id, run.id))
            if asks_again(seen, run):
                return None
            self.warn(
                _("handing in the answers failed, but the run no longer waits for them: {reason}").format(
                    reason=failure.sentence
                )
            )
            return Taken(StreamEvent("", seen), seen=True)

        return await self.repeat(send, look, undecided)

    # ── reading and unmaking ─────────────────────────────────────────────────────────────────────────────────────────

    async def read_run(self, thread_id: str, run_id: str) -> Run:
        """The run, asked for as long as there is time: that one cannot be had says nothing about the run."""
        run = await self.repeat(lambda: self.target.read_run(thread_id, run_id), attempts=inf)
        if run.status in ENDED and run.id in self.runs:
            self.runs.discard(run.id)
            self.forget(self.ops.get(run.id))
        return run

    async def list_messages(self, thread_id: str, newer_than: str = "") -> tuple[Message, ...]:
        return await self.repeat(lambda: self.target.list_messages(thread_id, newer_than))

    async def list_steps(self, thread_id: str, run_id: str) -> tuple[RunStep, ...]:
        return await self.repeat(lambda: self.target.list_steps(thread_id, run_id))

    async def cancel_run(self, thread_id: str, run_id: str) -> None:
        await self.repeat(lambda: self.target.cancel_run(thread_id, run_id))

    async def delete_thread(self, thread_id: str) -> None:
        await self.repeat(lambda: self.target.delete_thread(thread_id))
        for id in (*self.runs, thread_id):
            self.forget(self.ops.get(id))

    async def delete_assistant(self, assistant_id: str) -> None:
        await self.repeat(lambda: self.target.delete_assistant(assistant_id))
        self.forget(self.ops.get(assistant_id))

    # ── again and again ──────────────────────────────────────────────────────────────────────────────────────────────

    async def repeat(
        self,
        call: Callable[[], Awaitable[Answer]],
        look: Callable[[TargetError], Awaitable[Answer | None]] | None = None,
        doubt: Callable[[TargetError], bool] = doubtful,
        *,
        attempts: float = ATTEMPTS,
    ) -> Answer:
        """The answer to a call that is made until it succeeds, or until there is no hope.

        `look` finds what it came to when its answer got lost; None when it came to nothing, and may be made again.
        """
        pace = self.patience.pace
        failures = throttles = 0
        unsure = False
        most_throttles = max(attempts, THROTTLED_ATTEMPTS)
        while True:
            try:
                answer = await self.once(call)
            except TargetError as error:
                failure = error
            else:
                if not failures + throttles:
                    self.patience.retries.earn()
                return answer
            kind = passing(failure)
            news = kind in (None, Passing.THROTTLED) or pace.failed(self.went, again=failures > 0)
            failures, throttles = (failures, throttles + 1) if kind is Passing.THROTTLED else (failures + 1, throttles)
            # Who is out of order after having answered is waited for as long as who throttles.
            most = most_throttles if kind is Passing.TRANSIENT and pace.down and pace.taken else attempts
            last = kind is None or failures >= most or throttles >= most_throttles
            if kind is not None and not last:
                failure.note = self.unaffordable(kind, news=news)
                last = bool(failure.note)
                if last and pace.down:
                    pace.shut_out(failure.sentence, surely=True)
            unsure = unsure or doubt(failure)
            lost = look if doubt(failure) or (last and unsure) else None
            if last and lost is None:
                raise failure
            seconds = 0.0
            if kind is not None:
                seconds = await self.back_off(failure, kind, throttles if kind is Passing.THROTTLED else failures)
            if lost is not None:
                found = await self.found(lost, failure)
                if found is not None:
                    return found
            if last:
                raise failure
            self.again(failures + throttles + 1, seconds, failure.sentence)

    def unaffordable(self, kind: Passing, *, news: bool) -> str:
        """Why there can be no repetition although there is hope; nothing where there can. One trouble is paid for once, and
        what was made is deleted whatever is left."""
        if self.patience.pace.gone:
            return _("the service has been out of order for too long")
        if news and not self.tidying and not self.patience.retries.pay(kind):
            return _("the retry budget is used up")
        return ""

    async def once(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call when its turn has come."""
        pace, budget = self.patience.pace, self.patience.budget
        self.went = began = self.patience.clock.now() if self.urgent else await pace.turn()
        if self.tidying:
            budget.count()
        else:
            budget.call()
        self.sending = True
        try:
            answer = await call()
        except TargetError as failure:
            wish, kind = failure.retry_after, passing(failure)
            # Who asks for more than we give is not asked again.
            if not too_long(wish):
                if kind is Passing.THROTTLED:
                    pace.throttled(wish, began)
                elif wish is not None:
                    pace.pause(wish)
            raise
        finally:
            self.sending = False
        pace.succeeded(began)
        return answer

    async def found(self, look: Callable[[TargetError], Awaitable[Answer | None]], failure: TargetError) -> Answer | None:
        """What a call came to; raise `failure` when that cannot be found out."""
        try:
            return await look(failure)
        except TargetError as error:
            raise failure from error

    async def back_off(self, failure: TargetError, kind: Passing, times: int) -> float:
        """Leave the service alone after so many failures of this kind, and say for how many seconds; raise `failure` when
        there is no time for that."""
        clock, wish = self.patience.clock, failure.retry_after
        if too_long(wish):
            failure.note = _("the service asks to wait {seconds:g} s, which is too long").format(seconds=wish)
            raise failure
        seconds = pause_after(kind, times, clock.random()) if wish is None else wish * (1 + 0.1 * clock.random())
        if clock.now() + seconds >= self.ends:
            raise failure
        await clock.sleep(seconds)
        return seconds


def pause_after(kind: Passing, times: int, chance: float) -> float:
    """How long to wait after so many failures."""
    times = min(times, 10)
    if kind is Passing.THROTTLED:
        return min(LONGEST_THROTTLE, 2.0 ** (times - 1)) * (0.5 + 0.5 * chance)
    return min(LONGEST_BACKOFF, 0.5 * 2.0 ** (times - 1)) * chance


async def first(events: Events, wanted: Callable[[StreamEvent], bool], call: str, clock: Clock) -> StreamEvent:
    """The first event that is `wanted` of a stream; a stream that ends, breaks or is silent before is closed."""
    try:
        async with clock.timeout(SILENCE_SECONDS):
            async for event in events:
                if wanted(event):
                    return event
    except TimeoutError as error:
        await events.aclose()
        sentence = _("the stream was silent for {seconds:g} s").format(seconds=SILENCE_SECONDS)
        raise TargetError(call, sentence, timed_out=True) from error
    except BaseException:
        await events.aclose()
        raise
    raise TargetError(call, _("the stream ended before it said anything"))


def new_op() -> str:
    return token_hex(16)


def orphan(kind: str, op: str) -> str:
    if kind == "thread":
        return _("possible orphan: no answer came when a thread was made; its operation id is {op}").format(op=op)
    return _("possible orphan: no answer came when an assistant was made; its operation id is {op}").format(op=op)
