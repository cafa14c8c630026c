"""Many conversations against a service that is a few lines of Python, on a loop whose time is made of its timers alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar, cast

from runner.clock import LoopClock
from runner.events import (
    AttemptEnded,
    AttemptStarted,
    CaseEnded,
    CaseStarted,
    Envelope,
    SuiteEnded,
    SuiteStarted,
)
from runner.model import Assistant, AssistantObject, Flow, Message, Repeat, Role, Run, Step, Thread, Usage
from runner.plan import Case
from runner.report import Report
from runner.suite import Job, Suite
from runner.targets import Capabilities, Connection, StreamEvent, Target, TargetError
from tests.engine_fixtures import expect, on_virtual_time

__all__ = ["HERE", "Answers", "Dice", "Model", "Played", "SteadyClock", "job", "jobs", "play", "refusal"]

HERE = Connection("simple", "https://service.test/api/v1", "for tests", streaming=False)
Kind = TypeVar("Kind")
Answers = Mapping[str, Sequence[str | Exception]]
"""What is said to a text, the first time, the second, and so on; the last answer stays."""


class SteadyClock(LoopClock):
    """Without dice."""

    def random(self) -> float:
        return 0.0


class Dice(LoopClock):
    """With the same dice each time."""

    def __init__(self) -> None:
        self.dice = Random(1)

    def random(self) -> float:
        return self.dice.random()


def refusal(status: int, code: str = "InvalidParameter") -> TargetError:
    return TargetError("POST /threads/t/runs", "on purpose", status=status, code=code)


@dataclass
class Model:
    """Says `yes` unless told otherwise, after `seconds`, or so many seconds as its model is to take."""

    answers: Answers = field(default_factory=dict)
    seconds: float = 1.0
    slow: Mapping[str, float] = field(default_factory=dict)
    busy: Mapping[str, float] = field(default_factory=dict)
    """Models that are throttled for so many seconds."""
    tokens: int = 10
    calls: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    """How often each text came."""
    said: dict[str, str] = field(default_factory=dict)
    """What was said last in each thread."""
    runs: dict[str, str] = field(default_factory=dict)
    """The last run of each thread."""
    models: dict[str, str] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    there: dict[str, str] = field(default_factory=dict)
    """The assistants and threads that are not deleted."""
    most: int = 0
    """How many conversations there were at once."""
    tidied: int = 0
    """How many calls were for cleaning up."""
    closed: int = 0
    name: ClassVar[str] = "simple"
    capabilities: ClassVar[Capabilities] = Capabilities()
    default_base_url: ClassVar[str] = ""
    key_variable: ClassVar[str | None] = None
    simulated: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    def new(self, kind: str) -> str:
        self.calls += 1
        self.made[kind] += 1
        return f"{kind}-{self.made[kind]}"

    async def create_assistant(self, assistant: Assistant, *_op: str) -> AssistantObject:
        if (wait := self.busy.get(assistant.model or "", 0) - asyncio.get_running_loop().time()) > 0:
            raise TargetError("POST /assistants", "slow down", status=429, code="Throttling", retry_after=wait)
        id = self.new("assistant")
        self.there[id] = self.models[id] = assistant.model or ""
        return AssistantObject(id, model=assistant.model or "")

    async def create_thread(self, _setup: object, *_op: str) -> Thread:
        id = self.new("thread")
        self.there[id] = ""
        self.most = max(self.most, sum(each.startswith("thread") for each in self.there))
        return Thread(id)

    async def add_message(self, thread_id: str, text: str, role: Role = Role.USER, *_op: str) -> Message:
        self.there[thread_id] = text
        return Message(self.new("message"), role, text, thread_id)

    async def create_run(self, thread_id: str, assistant_id: str, *_more: object) -> Run:
        id = self.runs[thread_id] = self.new("run")
        text = self.there[thread_id]
        given = self.answers.get(text, ("yes",))
        answer = given[min(self.asked[text], len(given) - 1)]
        self.asked[text] += 1
        await asyncio.sleep(self.slow.get(self.models[assistant_id], self.seconds))
        if isinstance(answer, Exception):
            raise answer
        self.said[thread_id] = answer
        return Run(id, thread_id, assistant_id, "completed", usage=Usage(self.tokens, 0, self.tokens))

    async def read_run(self, thread_id: str, run_id: str) -> Run:
        self.calls += 1
        return Run(run_id, thread_id, "", "completed", usage=Usage(self.tokens, 0, self.tokens))

    async def stream_run(self, *given: Any) -> AsyncGenerator[StreamEvent, None]:
        yield StreamEvent("thread.run.completed", await self.create_run(*given))

    async def list_messages(self, thread_id: str, *_newer_than: str) -> tuple[Message, ...]:
        self.calls += 1
        return (Message("answer", Role.ASSISTANT, self.said[thread_id], thread_id, self.runs[thread_id]),)

    async def list_steps(self, *_ids: str) -> tuple[()]:
        self.calls += 1
        return ()

    async def cancel_run(self, *_ids: str) -> None:
        self.calls += 1
        self.tidied += 1

    async def delete_thread(self, thread_id: str) -> None:
        self.calls += 1
        self.tidied += 1
        await asyncio.sleep(0.1)
        del self.there[thread_id]

    async def delete_assistant(self, assistant_id: str) -> None:
        self.calls += 1
        self.tidied += 1
        del self.there[assistant_id]

    async def close(self) -> None:
        self.closed += 1


def job(number: int, text: str = "", connection: Connection = HERE, model: str = "qwen-max", **more: Any) -> Job:
    """A conversation of one step, which passes when `yes` is said. `more` is the flow's."""
    text = text or f"Is it {number}?"
    repeat = Repeat(*more.pop("repeat")) if "repeat" in more else None
    step = Step(user=text, expect=(expect("contains", "yes"),), skip=more.pop("skip", None))
    given = {"path": Path(f"flow{number}.yaml"), "repeat": repeat, **more}
    return Job(number, Case(Flow(steps=(step,), assistant=Assistant(model=model), **given), "", {}), connection)


def jobs(count: int, **more: Any) -> list[Job]:
    return [job(number, **more) for number in range(1, count + 1)]


@dataclass
class Played:
    """What a run told, which adds up, and how long it took."""

    told: list[Envelope]
    seconds: float
    bug: Exception | None = None

    def only(self, kind: type[Kind]) -> dict[int, list[Kind]]:
        """The events of this kind, by case."""
        found: dict[int, list[Kind]] = {}
        for case, event in ((each.case, each.event) for each in self.told):
            if isinstance(event, kind):
                found.setdefault(case, []).append(event)
        return found

    @property
    def report(self) -> Report:
        return Report.of(self.told)

    @property
    def outcomes(self) -> dict[int, str]:
        return {case: str(ended.outcome) for case, (ended,) in sorted(self.only(CaseEnded).items())}

    @property
    def verdicts(self) -> dict[int, tuple[str, str]]:
        return {case: (str(ended.outcome), ended.reason) for case, (ended,) in sorted(self.only(CaseEnded).items())}

    @property
    def attempts(self) -> dict[int, list[str]]:
        return {case: [str(each.outcome) for each in ended] for case, ended in sorted(self.only(AttemptEnded).items())}

    @property
    def ended(self) -> SuiteEnded:
        ((ended,),) = self.only(SuiteEnded).values()
        return ended


def play(given: Sequence[Job], target: Any = None, hear: Callable[[Envelope], None] | None = None, **more: Any) -> Played:
    """Play jobs on virtual time, and look whether what was told is whole and adds up."""
    told: list[Envelope] = []
    wanted: Iterable[Connection] = more.pop("connections", None) or [each.connection for each in given]

    def emit(envelope: Envelope) -> None:
        told.append(envelope)
        if hear is not None:
            hear(envelope)

    def open_(connection: Connection) -> Target:
        return cast(Target, target(connection) if callable(target) else target)

    async def go() -> Played:
        suite = Suite(given, emit, open_, wanted, **{"clock": SteadyClock(), "wall": lambda: 0.0, **more})
        try:
            await suite.play()
        except Exception as bug:
            return Played(told, asyncio.get_running_loop().time(), bug)
        return Played(told, asyncio.get_running_loop().time())

    played: Played = on_virtual_time(go())
    whole(played, len(given))
    return played


def whole(played: Played, count: int) -> None:
    """Every case is told from its beginning to its end, each of its attempts too, and the totals add up."""
    told = played.told
    assert isinstance(told[0].event, SuiteStarted)
    assert isinstance(told[-1].event, SuiteEnded)
    last: Counter[int] = Counter()
    for each in told:
        last[each.case] += 1
        assert last[each.case] == each.sequence
    begun, ended = played.only(CaseStarted), played.only(CaseEnded)
    assert set(begun) == set(ended) == set(last) - {0}
    assert {1} >= {*map(len, begun.values()), *map(len, ended.values())}
    attempts = {case: [event.attempt for event in events] for case, events in played.only(AttemptStarted).items()}
    assert {case: list(range(1, len(numbers) + 1)) for case, numbers in attempts.items()} == attempts
    assert {case: len(numbers) for case, numbers in attempts.items()} == {
        case: len(each) for case, each in played.attempts.items()
    }
    totals = played.report.totals
    outcomes = Counter(str(event.outcome) for (event,) in ended.values())
    outcomes["not_run"] += count - len(ended)
    assert outcomes == Counter(
        passed=totals.passed,
        flaky=totals.flaky,
        failed=totals.failed,
        error=totals.errors,
        skipped=totals.skipped,
        not_run=totals.not_run,
    )
    assert count == totals.flows == outcomes.total()
