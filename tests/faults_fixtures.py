"""A service whose n-th answer goes wrong, and its database as the witness of everything that was ever made in it."""

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from typing import ClassVar, TypeVar

import httpx

from runner.embedded.faults import parse
from runner.embedded.service import Service
from runner.engine import play
from runner.events import AttemptEnded, Event
from runner.model import Flow, Outcome
from runner.plan import Case
from runner.targets import Capabilities, Connection
from runner.targets.assistant_api import AssistantApi
from runner.targets.embedded import Embedded
from runner.transport.embedded import BASE_URL, EmbeddedTransport
from tests.engine_fixtures import Pieces, SteadyClock, on_virtual_time

__all__ = [
    "FINAL",
    "HERE",
    "REFUSALS",
    "SPOILED",
    "SPOILED_STREAMS",
    "WAYS",
    "Audit",
    "Breaking",
    "Ended",
    "InProcess",
    "LoopTime",
    "NotedDown",
    "always",
    "broken",
    "named",
    "once",
]

HERE = Connection("embedded", BASE_URL, "for tests")
Kind = TypeVar("Kind")


class LoopTime:
    """The service's clock, as the loop's."""

    def now(self) -> float:
        return 1_795_000_000 + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# ── ways to go wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


def error(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"code": code, "message": "on purpose", "request_id": "r-1"})


REFUSALS: dict[str, httpx.Response | Exception] = {
    "refused": httpx.ConnectError("connection refused"),
    "no name": httpx.ConnectError("name or service not known"),
    "reset": httpx.ReadError("connection reset by peer"),
    "408": error(408, "RequestTimeOut"),
    "425": error(425, "TooEarly"),
    "429": error(429, "Throttling.RateQuota"),
    "429 after 2": error(429, "Throttling.RateQuota", **{"Retry-After": "2"}),
    "500": error(500, "InternalError"),
    "502": error(502, "InternalError"),
    "503": error(503, "ModelUnavailable", **{"Retry-After": "1"}),
    "504": error(504, "RequestTimeOut"),
    "throttled otherwise": error(400, "Throttling.AllocationQuota"),
}
"""Nothing was done, and the next attempt may do it."""
OTHERWISE = {"429 after a day": error(429, "Throttling.RateQuota", **{"Retry-After": "86400"})}

FINAL: dict[str, httpx.Response | Exception] = {
    "400": error(400, "InvalidParameter"),
    "401": error(401, "InvalidApiKey"),
    "403": error(403, "AllocationQuota.FreeTierOnly"),
    "404": error(404, "NotFound"),
    "501": error(501, "NotImplemented"),
    "redirect": httpx.Response(302, headers={"Location": "http://elsewhere.test/"}),
    "html": httpx.Response(200, headers={"Content-Type": "text/html"}, text="<h1>Bad gateway</h1>"),
}
"""Nothing was done, and no attempt helps."""


async def whole(answer: httpx.Response) -> bytes:
    return b"".join([piece async for piece in answer.stream])  # type: ignore[union-attr]


def again(answer: httpx.Response, *pieces: bytes | float | Exception) -> httpx.Response:
    """The same answer with another body."""
    headers = {"Content-Type": answer.headers.get("Content-Type", "")}
    return httpx.Response(answer.status_code, headers=headers, stream=Pieces(pieces))


async def lost(_answer: httpx.Response, _data: bytes) -> httpx.Response:
    raise httpx.ReadError("connection reset by peer")


async def no_answer(_answer: httpx.Response, _data: bytes) -> httpx.Response:
    await asyncio.sleep(60)
    raise httpx.ReadTimeout("nothing came")


async def late_500(_answer: httpx.Response, _data: bytes) -> httpx.Response:
    return error(500, "InternalError")


async def html(answer: httpx.Response, _data: bytes) -> httpx.Response:
    return httpx.Response(answer.status_code, headers={"Content-Type": "text/html"}, text="<h1>Bad gateway</h1>")


async def unreadable(answer: httpx.Response, _data: bytes) -> httpx.Response:
    return httpx.Response(answer.status_code, headers={"Content-Type": "application/json"}, content=b'{"id": "as')


async def cut(answer: httpx.Response, data: bytes) -> httpx.Response:
    return again(answer, data[: len(data) // 2], httpx.RemoteProtocolError("the body ended too early"))


async def ended(answer: httpx.Response, data: bytes) -> httpx.Response:
    """As cut, but as if that were all."""
    return again(answer, data[: len(data) // 2])


async def empty(answer: httpx.Response, _data: bytes) -> httpx.Response:
    return again(answer)


async def silent(answer: httpx.Response, data: bytes) -> httpx.Response:
    return again(answer, data[: len(data) // 2], 60.0, httpx.ReadTimeout("nothing came"))


async def dripping(answer: httpx.Response, data: bytes) -> httpx.Response:
    return again(answer, *(piece for at in range(0, len(data), 7) for piece in (data[at : at + 7], 0.01)))


async def huge(answer: httpx.Response, _data: bytes) -> httpx.Response:
    return again(answer, *repeat(b" " * 1_000_000, 17))


async def bomb(answer: httpx.Response, _data: bytes) -> httpx.Response:
    response = again(answer, *(packed()[at : at + 1024] for at in range(0, len(packed()), 1024)))
    response.headers["Content-Encoding"] = "gzip"
    return response


@cache
def packed() -> bytes:
    return gzip.compress(b" " * 20_000_000)


async def not_an_object(answer: httpx.Response, _data: bytes) -> httpx.Response:
    return httpx.Response(answer.status_code, json=[])


def after_event(count: int, *, broken: bool) -> Callable[[httpx.Response, bytes], Awaitable[httpx.Response]]:
    """A stream of which so many events come, and that then breaks or ends."""

    async def cut_there(answer: httpx.Response, data: bytes) -> httpx.Response:
        events = data.split(b"\n\n")
        kept = b"".join(event + b"\n\n" for event in events[:count])
        return again(answer, kept, *([httpx.RemoteProtocolError("the body ended too early")] if broken else []))

    return cut_there


async def unknown_state(answer: httpx.Response, data: bytes) -> httpx.Response:
    """Where the answer names a state, it is one that nobody knows."""
    return again(answer, re.sub(rb'("status": ?)"\w+"', rb'\1"pondering"', data))


SPOILED = {
    "lost": lost,
    "no answer": no_answer,
    "late 500": late_500,
    "late html": html,
    "unreadable": unreadable,
    "cut": cut,
    "ended": ended,
    "empty": empty,
    "silent": silent,
    "dripping": dripping,
    "huge": huge,
    "bomb": bomb,
    "not an object": not_an_object,
    "unknown state": unknown_state,
}
"""The work was done, and the answer does not arrive as it was."""

EVENTS = 14
"""More than any stream of these conversations has."""
SPOILED_STREAMS = {
    f"{'broken' if broken else 'ended'} after {count} events": after_event(count, broken=broken)
    for count in range(EVENTS)
    for broken in (True, False)
}

WAYS = (*REFUSALS, *FINAL, *SPOILED)


def once(number: int, way: str) -> Callable[[int], str]:
    """One request goes wrong, the first being 1."""
    return lambda at: way if at == number else ""


def always(number: int, way: str) -> Callable[[int], str]:
    """All requests go wrong from there on."""
    return lambda at: way if at >= number else ""


def named(call: str) -> str:
    """A call without the ids, which are others each time."""
    return re.sub(r"\b[a-z]+_[0-9a-f]{8}-[0-9a-f-]{27}", "…", call)


class Breaking(httpx.AsyncBaseTransport):
    """Around the service: `wrong` says in which way the n-th request goes wrong, if it does."""

    def __init__(self, inner: httpx.AsyncBaseTransport, wrong: Callable[[int], str]) -> None:
        self.inner = inner
        self.wrong = wrong
        self.asked: list[str] = []
        self.times: list[float] = []
        self.broke: dict[int, str] = {}
        """The requests that went wrong."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(named(f"{request.method} {request.url.path.removeprefix('/api/v1')}"))
        self.times.append(asyncio.get_running_loop().time())
        way = self.wrong(len(self.asked))
        if not way:
            return await self.inner.handle_async_request(request)
        self.broke[len(self.asked)] = self.asked[-1]
        if refusal := REFUSALS.get(way) or FINAL.get(way) or OTHERWISE.get(way):
            if isinstance(refusal, Exception):
                raise type(refusal)(str(refusal))
            return httpx.Response(refusal.status_code, headers=refusal.headers, content=refusal.content)
        answer = await self.inner.handle_async_request(request)
        return await (SPOILED | SPOILED_STREAMS)[way](answer, await whole(answer))

    @property
    def disowned(self) -> bool:
        """Whether the service said of something to be deleted that it did not know it."""
        return any(call.startswith("DELETE") and self.wrong(at) == "404" for at, call in self.broke.items())

    async def aclose(self) -> None:
        """The service outlives us."""


# ── the witnesses ────────────────────────────────────────────────────────────────────────────────────────────────────


class Audit:
    """Everything that was ever inserted into the service's database, as it was last, and what is there now."""

    def __init__(self, service: Service) -> None:
        self.database = service.store.database
        self.database.execute("CREATE TEMP TABLE made (kind TEXT, id TEXT, body TEXT)")
        self.database.execute(
            "CREATE TEMP TRIGGER noted AFTER INSERT ON main.object BEGIN "
            "INSERT INTO made VALUES (NEW.kind, NEW.id, NEW.body); END"
        )
        self.database.execute(
            "CREATE TEMP TRIGGER changed AFTER UPDATE ON main.object BEGIN "
            "UPDATE made SET body = NEW.body WHERE id = NEW.id; END"
        )

        self.service = service
        self.said: dict[str, list[str]] = {}
        """The texts of the user's messages in each thread, in the order they were made."""
        self.runs: dict[str, list[str]] = {}
        """What the runs of each thread came to."""
        self.assistants = 0
        self.threads = 0
        self.left: dict[str, str] = {}
        """What must have been deleted and was not: its id, by our own of the attempt to make it."""

    def close(self) -> None:
        """Take down what there is, and close the service."""
        for kind, text in self.database.execute("SELECT kind, body FROM made ORDER BY rowid"):
            body = json.loads(text)
            if kind == "thread.message" and body["role"] == "user":
                self.said.setdefault(body["thread_id"], []).append(json.dumps(body["content"]))
            elif kind == "thread.run":
                self.runs.setdefault(body["thread_id"], []).append(body["status"])
            self.assistants += kind == "assistant"
            self.threads += kind == "thread"
        wanted = "SELECT id, body FROM object WHERE kind IN ('assistant', 'thread') ORDER BY sequence"
        self.left = {json.loads(body)["metadata"]["runflow_op"]: id for id, body in self.database.execute(wanted)}
        self.service.close()


@dataclass
class NotedDown:
    """A ledger in memory."""

    open: dict[str, str] = field(default_factory=dict)
    """What was begun and is not known to be gone, by operation id; and its id as far as that is known."""
    kinds: dict[str, str] = field(default_factory=dict)
    """What was ever begun."""

    def of(self, _connection: Connection, _flow: str = "") -> "NotedDown":
        return self

    async def intend(self, kind: str, op: str, parent: str = "") -> None:
        assert op
        assert op not in self.kinds
        assert bool(parent) is (kind == "run")
        self.kinds[op] = kind
        self.open[op] = ""

    def made(self, op: str, id: str) -> None:
        assert op in self.open, "made without having been noted down first"
        self.open[op] = id

    def gone(self, op: str) -> None:
        del self.open[op]

    def begun(self, kind: str) -> int:
        return sum(each == kind for each in self.kinds.values())

    @property
    def orphans(self) -> bool:
        """Whether nothing is open but threads whose answers were lost."""
        return all(not id and self.kinds[op] == "thread" for op, id in self.open.items())

    def kept(self, op: str) -> None:
        raise AssertionError("nothing was to be kept")


class InProcess(AssistantApi):
    """The embedded service over the engine's own way to it, as if it outlived us."""

    capabilities: ClassVar[Capabilities] = Embedded.capabilities
    simulated: ClassVar[bool] = True
    lasting: ClassVar[bool] = True


@dataclass
class Ended:
    """What became of one attempt against a service that goes wrong."""

    outcome: Outcome
    events: Sequence[Event]
    seconds: float
    audit: Audit
    breaking: Breaking
    ledger: NotedDown

    def only(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def end(self) -> AttemptEnded:
        """There is one, and it is the last that is told."""
        [end] = self.only(AttemptEnded)
        assert end is self.events[-1]
        return end


def broken(flow: Flow, wrong: Callable[[int], str], *, streaming: bool = True, faults: Sequence[str] = ()) -> Ended:
    """Play a flow against a service that goes wrong, on a loop whose time is made of its timers alone. `faults` are the
    service's own."""

    async def go() -> Ended:
        service = Service(clock=LoopTime(), faults=[parse(fault) for fault in faults])
        audit = Audit(service)
        breaking = Breaking(EmbeddedTransport(service), wrong)
        events: list[Event] = []
        ledger = NotedDown()
        outcome = await play(
            Case(flow, "", {}),
            InProcess(breaking, HERE),
            events.append,
            clock=SteadyClock(),
            streaming=streaming,
            ledger=ledger,
        )
        audit.close()
        return Ended(outcome, events, asyncio.get_running_loop().time(), audit, breaking, ledger)

    result: Ended = on_virtual_time(go())
    return result
