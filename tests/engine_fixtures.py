"""A conversation as a dialogue: the request due, the answer given; on a loop whose time is made of its timers alone."""

import asyncio
import json
import selectors
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import httpx

from runner.clock import LoopClock
from runner.diagnostics import Span
from runner.engine import BESIDE, play
from runner.events import AttemptEnded, CheckEnded, Event, OperationEnded, RunStatusChanged, StepEnded, Warned
from runner.model import Assistant, Expectation, Flow, Outcome, Step
from runner.plan import Case
from runner.registry import checks
from runner.targets import Connection
from runner.targets.assistant_api import AssistantApi

BASE = "https://service.test/api/v1"
Kind = TypeVar("Kind")
Piece = bytes | float | Exception


class VirtualLoop(asyncio.SelectorEventLoop):
    """Nothing waits here: when all are waiting, time jumps to the next timer. It stands still while a check has a thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__(Jump(self))

    def time(self) -> float:
        return self.seconds


class Jump(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        working = timeout != 0 and any(thread.name == BESIDE for thread in threading.enumerate())
        ready = super().select(60 if working else 0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "everything waits for ever"
        self.loop.seconds += timeout
        return []


class SteadyClock(LoopClock):
    """Without dice: pauses are as long as they can be."""

    def random(self) -> float:
        return 0.0


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces, with pauses of some seconds, and may break."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece


@dataclass
class Exchange:
    method: str
    path: str
    body: Mapping[str, object] | None
    answer: httpx.Response | Exception | float = field(default_factory=lambda: httpx.Response(200, json={}))


def said(request: httpx.Request) -> Any:
    """The body of a request without our own id, which is another one each time."""
    body = json.loads(request.content)
    metadata = body.get("metadata", {})
    metadata.pop("runflow_op", None)
    return {name: value for name, value in body.items() if name != "metadata" or metadata}


@dataclass
class Talk:
    """What the service will be asked, in this order, and answers. An exchange may be marked to serve any number of times."""

    exchanges: list[Exchange] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def asks(self, method: str, path: str, /, **body: object) -> Self:
        self.exchanges.append(Exchange(method, path, body or None))
        return self

    def answers(self, code: int = 200, /, **fields: object) -> Self:
        return self.gives(httpx.Response(code, json=fields))

    def gives(self, answer: httpx.Response | Exception | float) -> Self:
        """An answer, an exception in the place of one, or a silence of some seconds."""
        self.exchanges[-1].answer = answer
        return self

    def streams(self, *pieces: Piece) -> Self:
        return self.gives(httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Pieces(pieces)))

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        asked = (request.method, request.url.path.removeprefix("/api/v1"))
        assert self.exchanges, f"nobody was to ask {asked}"
        due = self.exchanges.pop(0)
        assert (due.method, due.path) == asked
        if due.body is not None:
            assert due.body == said(request)
        if isinstance(due.answer, Exception):
            raise due.answer
        if isinstance(due.answer, float):
            await asyncio.sleep(due.answer)
            raise httpx.ReadTimeout("", request=request)
        return due.answer

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(request.method, request.url.path.removeprefix("/api/v1")) for request in self.requests]


@dataclass
class Played:
    outcome: Outcome | None
    events: list[Event]
    seconds: float

    def only(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def reason(self) -> str:
        return self.only(AttemptEnded)[0].reason

    @property
    def operations(self) -> list[tuple[str, str]]:
        return [(event.operation, str(event.outcome)) for event in self.only(OperationEnded)]

    @property
    def steps(self) -> list[tuple[int, str, str]]:
        return [(event.step, str(event.outcome), event.reason) for event in self.only(StepEnded)]

    @property
    def statuses(self) -> list[str]:
        return [event.status for event in self.only(RunStatusChanged)]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.only(Warned)]

    @property
    def verdicts(self) -> list[tuple[int, str, str]]:
        return [(event.step, event.check, str(event.outcome)) for event in self.only(CheckEnded)]


class Tested(AssistantApi):
    name: ClassVar[str] = "tested"
    key_variable: ClassVar[str | None] = "TESTED_API_KEY"


def target(talk: Talk, base_url: str = BASE) -> Tested:
    return Tested(httpx.MockTransport(talk), Connection("tested", base_url, "for tests"), "sk-tested-key-1234")


def on_virtual_time(coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def played(
    talk: Talk,
    flow: Flow,
    *,
    streaming: bool = False,
    variables: Mapping[str, str] | None = None,
    clock: LoopClock | None = None,
    **more: Any,
) -> Played:
    """Play a flow through a dialogue; every exchange must have taken place."""

    async def run() -> Played:
        events: list[Event] = []
        service = target(talk)
        outcome = await play(
            Case(flow, "", variables or {}),
            service,
            events.append,
            clock=clock or SteadyClock(),
            streaming=streaming,
            **more,
        )
        await service.close()
        return Played(outcome, events, asyncio.get_running_loop().time())

    result: Played = on_virtual_time(run())
    assert [] == [(due.method, due.path) for due in talk.exchanges]
    return result


def expect(name: str, value: object = (), line: int = 1) -> Expectation:
    here = Span(line, 1, line, 9)
    kind: Any = checks[name]
    return Expectation(name, kind(value), here, here)


def flow(*steps: Step, **more: Any) -> Flow:
    given = {"assistant": Assistant(model="qwen-max"), "path": Path("paint.yaml"), **more}
    return Flow(steps=steps or (Step(user="Draw a cat."),), **given)


# ── what the service says in a plain conversation ────────────────────────────────────────────────────────────────────

DELETED = {"deleted": True}


def run(status: str, **more: object) -> dict[str, object]:
    return {
        "id": "r1",
        "object": "thread.run",
        "thread_id": "t1",
        "assistant_id": "a1",
        "model": "qwen-max",
        "status": status,
    } | more


def message(text: str, run_id: str = "r1", role: str = "assistant", id: str = "m2") -> dict[str, object]:
    content = [{"type": "text", "text": {"value": text, "annotations": []}}]
    return {"id": id, "object": "thread.message", "thread_id": "t1", "role": role, "run_id": run_id, "content": content}


def page(*data: object) -> dict[str, object]:
    return {"object": "list", "data": list(data), "has_more": False}


def opening(talk: Talk | None = None, said: str = "Draw a cat.") -> Talk:
    """Up to the user's message."""
    return (
        (talk or Talk())
        .asks("POST", "/assistants", model="qwen-max")
        .answers(id="a1", object="assistant", model="qwen-max")
        .asks("POST", "/threads")
        .answers(id="t1", object="thread")
        .asks("POST", "/threads/t1/messages", role="user", content=said)
        .answers(**message(said, "", "user", "m1"))
    )


def reading(talk: Talk, text: str = "Here is your cat.", *calls: object) -> Talk:
    """The answer of run r1."""
    talk.asks("GET", "/threads/t1/messages").answers(**page(message(text), message("Draw a cat.", "", "user", "m1")))
    return listing(talk, *calls) if calls else talk


def listing(talk: Talk, *calls: object) -> Talk:
    """The steps of run r1, which are asked for when there may be any."""
    step = {"id": "s1", "type": "tool_calls", "step_details": {"type": "tool_calls", "tool_calls": list(calls)}}
    return talk.asks("GET", "/threads/t1/runs/r1/steps").answers(**page(*([step] if calls else [])))


def closing(talk: Talk) -> Talk:
    return talk.asks("DELETE", "/threads/t1").answers(**DELETED).asks("DELETE", "/assistants/a1").answers(**DELETED)


def polled(*statuses: str, talk: Talk | None = None) -> Talk:
    """A run that is polled through these states."""
    talk = opening(talk).asks("POST", "/threads/t1/runs", assistant_id="a1", stream=False).answers(**run("queued"))
    for status in statuses:
        talk.asks("GET", "/threads/t1/runs/r1").answers(**run(status))
    return talk


def event(name: str, data: object) -> bytes:
    return f"event:{name}\ndata:{data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


STREAM = (
    event("thread.run.created", run("queued")),
    event("thread.run.queued", run("queued")),
    event("thread.run.in_progress", run("in_progress")),
    event("thread.run.step.created", {"id": "s1", "status": "in_progress"}),
    event("thread.message.created", message("")),
    event("thread.message.delta", {"delta": {"content": [{"type": "text", "text": {"value": "Here is "}}]}}),
    event("thread.message.delta", {"delta": {"content": [{"type": "text", "text": {"value": "your cat."}}]}}),
    event("thread.message.completed", message("Here is your cat.")),
    event("thread.run.completed", run("completed")),
    event("done", "[DONE]"),
)


def streamed(*pieces: Piece, talk: Talk | None = None) -> Talk:
    return opening(talk).asks("POST", "/threads/t1/runs", assistant_id="a1", stream=True).streams(*pieces)
