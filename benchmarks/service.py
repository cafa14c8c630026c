"""An Assistant API whose model takes a fixed time and which costs little itself: what the other benchmarks are played against.

python -m benchmarks.service --latency 0.2 --rate 20 --faults 1

It prints its base URL and serves until it is killed. Below `/-/`, outside of the API, `GET /-/count` tells what was asked of it
and what is left.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qs

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
PREFIX = "/api/v1/"
PAGE = 20
CREATED_AT = 1795439621153
ANSWER = ("hello, ", "this is ", "the answer ", "you asked for.")

Object = dict[str, object]


@dataclass(slots=True)
class Thread:
    told: Object
    messages: list[Object] = field(default_factory=list)
    runs: dict[str, Object] = field(default_factory=dict)
    lost: bool = False
    """Whether the answer to its creation was broken on purpose: threads cannot be listed, so nobody can know of it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How it misbehaves. `rate` is how many requests a second it takes, in bursts of at most as many; 0 for any number."""

    latency: float = 0.2
    rate: float = 0
    broken: float = 0
    reset: float = 0
    cut: float = 0
    seed: int = 1


FAULTS = {"broken": 0.03, "reset": 0.01, "cut": 0.01}
"""The faults of the issue, at their full share."""


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Service:
    settings: Settings
    assistants: dict[str, Object] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    most_connections: int = 0
    made: int = 0
    tokens: float = 0
    refilled: float = field(default_factory=time.monotonic)
    first: float = 0
    last: float = 0
    dice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.tokens = self.settings.rate
        self.dice.seed(self.settings.seed)

    def id(self, kind: str) -> str:
        self.made += 1
        return f"{kind}_{self.made:08x}"

    def admits(self) -> bool:
        """Whether the rate allows one request more: a bucket that is full at first and fills all the time."""
        rate = self.settings.rate
        if not rate:
            return True
        now = time.monotonic()
        self.tokens = min(rate, self.tokens + (now - self.refilled) * rate)
        self.refilled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def fault(self) -> str:
        """What goes wrong with this request, if anything."""
        drawn = self.dice.random()
        for name in ("broken", "reset", "cut"):
            share: float = getattr(self.settings, name)
            if drawn < share:
                self.faults[name] += 1
                return name
            drawn -= share
        return ""

    def count(self) -> Object:
        return {
            "left": {"assistants": len(self.assistants), "threads": len(self.threads)},
            "lost_threads": sum(thread.lost for thread in self.threads.values()),
            "calls": dict(self.calls),
            "answers": {str(status): count for status, count in self.answers.items()},
            "faults": dict(self.faults),
            "connections": self.most_connections,
            "seconds": self.last - self.first,
            "cpu": time.process_time(),
            "doubled": sum(
                sum(message["role"] == "user" for message in thread.messages) > 1 or len(thread.runs) > 1
                for thread in self.threads.values()
            ),
        }

    # ── the calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, method: str, path: str, query: str, body: Object) -> Object:
        """What a call but the streamed run is answered with; raise Refused."""
        match method, path.split("/"):
            case "POST", ["assistants"]:
                made = {"id": self.id("asst"), "object": "assistant", "created_at": CREATED_AT, "tools": []} | given(body)
                self.assistants[str(made["id"])] = made
                return made
            case "GET", ["assistants"]:
                return page(self.assistants.values(), query)
            case "GET", ["assistants", id]:
                return self.assistant(id)
            case "DELETE", ["assistants", id]:
                self.assistant(id)
                del self.assistants[id]
                return {"id": id, "object": "assistant.deleted", "deleted": True}
            case "POST", ["threads"]:
                made = {"id": self.id("thread"), "object": "thread", "created_at": CREATED_AT, "metadata": {}} | given(body)
                self.threads[str(made["id"])] = Thread(made)
                return made
            case "GET", ["threads", id]:
                return self.thread(id).told
            case "DELETE", ["threads", id]:
                self.thread(id)
                del self.threads[id]
                return {"id": id, "object": "thread.deleted", "deleted": True}
            case "POST", ["threads", id, "messages"]:
                message = self.message(id, str(body["role"]), str(body["content"])) | {"metadata": body.get("metadata") or {}}
                self.thread(id).messages.append(message)
                return message
            case "GET", ["threads", id, "messages"]:
                return page(self.thread(id).messages, query)
            case "POST", ["threads", id, "runs"]:
                run = self.begin(id, body)
                asyncio.get_running_loop().call_later(self.settings.latency, self.end, id, run)
                return run
            case "GET", ["threads", id, "runs"]:
                return page(self.thread(id).runs.values(), query)
            case "GET", ["threads", id, "runs", run_id]:
                return self.run(id, run_id)
            case "POST", ["threads", id, "runs", run_id, "cancel"]:
                run = self.run(id, run_id)
                if run["status"] == "in_progress":
                    run["status"] = "cancelled"
                return run
            case "GET", ["threads", id, "runs", run_id, "steps"]:
                self.run(id, run_id)
                step: Object = {"id": self.id("step"), "object": "thread.run.step", "type": "message_creation"}
                return page([step], query)
        raise Refused(404, "NotFound")

    def assistant(self, id: str) -> Object:
        if id not in self.assistants:
            raise Refused(404, "NotFound")
        return self.assistants[id]

    def thread(self, id: str) -> Thread:
        if id not in self.threads:
            raise Refused(404, "NotFound")
        return self.threads[id]

    def run(self, thread_id: str, id: str) -> Object:
        runs = self.thread(thread_id).runs
        if id not in runs:
            raise Refused(404, "NotFound")
        return runs[id]

    def message(self, thread_id: str, role: str, text: str, run_id: str = "") -> Object:
        return {
            "id": self.id("message"), "object": "thread.message", "created_at": CREATED_AT, "thread_id": thread_id,
            "role": role, "run_id": run_id, "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        }  # fmt: skip

    def begin(self, thread_id: str, body: Object) -> Object:
        """A new run; a thread has one live run at most."""
        runs = self.thread(thread_id).runs
        if any(run["status"] == "in_progress" for run in runs.values()):
            raise Refused(400, "RunInProgress")
        assistant = self.assistant(str(body["assistant_id"]))
        run: Object = {
            "id": self.id("run"), "object": "thread.run", "created_at": CREATED_AT, "thread_id": thread_id,
            "assistant_id": assistant["id"], "model": body.get("model") or assistant["model"], "status": "in_progress",
            "required_action": None, "last_error": None, "tools": [], "usage": None, "metadata": body.get("metadata") or {},
        }  # fmt: skip
        runs[str(run["id"])] = run
        return run

    def end(self, thread_id: str, run: Object) -> Object | None:
        """The message that a run leaves, unless it was cancelled or its thread deleted."""
        if run["status"] != "in_progress" or thread_id not in self.threads:
            return None
        run["status"] = "completed"
        run["usage"] = {"input_tokens": 12, "output_tokens": 9, "total_tokens": 21}
        message = self.message(thread_id, "assistant", "".join(ANSWER), str(run["id"]))
        self.threads[thread_id].messages.append(message)
        return message


def given(body: Object) -> Object:
    return {name: value for name, value in body.items() if value is not None}


def page(objects: Iterable[Object], query: str) -> Object:
    """A page of a list as its query asks for it: newest first unless told, 20 unless told, after an id."""
    asked = parse_qs(query)
    found: list[Object] = list(objects)
    if asked.get("order", ["desc"])[0] == "desc":
        found.reverse()
    if "after" in asked:
        ids = [each["id"] for each in found]
        found = found[ids.index(asked["after"][0]) + 1 :] if asked["after"][0] in ids else []
    most = int(asked.get("limit", [str(PAGE)])[0])
    shown = found[:most]
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else ("", "")
    return {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": len(found) > most}


# ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────────────

HEADS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n".encode()
    for status in HTTPStatus
}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection(asyncio.Protocol):
    """Requests one after another, as many as the client keeps the connection for."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        service = self.service
        service.connections += 1
        service.most_connections = max(service.most_connections, service.connections)

    def connection_lost(self, _error: Exception | None) -> None:
        self.service.connections -= 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.received, 0, end + 2)
            length = int(found[1]) if found else 0
            if len(self.received) < end + 4 + length:
                return
            line = self.received[: self.received.index(b"\r\n")]
            body = self.received[end + 4 : end + 4 + length]
            self.received = self.received[end + 4 + length :]
            self.serve(line, body)

    def serve(self, line: bytes, data: bytes) -> None:
        method, target, _version = line.decode("ascii").split(" ")
        path, _mark, query = target.partition("?")
        service = self.service
        if path == "/-/count":
            self.send(200, service.count())
            return
        service.first = service.first or time.monotonic()
        service.last = time.monotonic()
        path = path.removeprefix(PREFIX)
        service.calls[f"{method} {shape(path)}"] += 1
        if not service.admits():
            self.refuse(429, "Throttling.RateQuota", b"Retry-After: 1\r\n")
            return
        fault = service.fault()
        # Half of what goes wrong does so after the work was done.
        if fault in ("broken", "reset") and service.dice.random() < 0.5:
            self.spoil(fault)
            return
        body = json.loads(data) if data else {}
        try:
            if method == "POST" and path.endswith("/runs") and body.get("stream"):
                self.stream(path.split("/")[1], body, fault)
                return
            answer = service.answer(method, path, query, body)
        except Refused as refused:
            self.refuse(refused.status, refused.code)
            return
        if fault and (method, path) == ("POST", "threads"):
            service.threads[str(answer["id"])].lost = True
        if fault in ("broken", "reset"):
            self.spoil(fault)
            return
        self.send(200, answer, cut=fault == "cut")

    def spoil(self, fault: str) -> None:
        if fault == "broken":
            self.refuse(self.service.dice.choice((500, 502, 503, 504)), "InternalError")
            return
        handle: socket.socket | None = self.transport.get_extra_info("socket")
        if handle is not None:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def refuse(self, status: int, code: str, headers: bytes = b"") -> None:
        self.send(status, {"code": code, "message": f"{code}, as this server was told to answer"}, headers)

    def send(self, status: int, body: Object, headers: bytes = b"", *, cut: bool = False) -> None:
        service = self.service
        service.answers[status] += 1
        service.made += 1
        data = json.dumps(body | {"request_id": f"{service.made:x}"}).encode()
        sent = data[: len(data) // 2] if cut else data
        self.transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (HEADS[status], headers, len(data), sent))
        if cut:
            self.transport.close()

    def stream(self, thread_id: str, body: Object, fault: str) -> None:
        """A run as events: its beginning now, the answer and its end when the model is done."""
        service = self.service
        run = service.begin(thread_id, body)
        service.answers[200] += 1
        if fault in ("broken", "reset"):
            asyncio.get_running_loop().call_later(service.settings.latency, service.end, thread_id, run)
            self.spoil(fault)
            return
        self.transport.write(STREAM_HEAD + chunk(event("thread.run.created", run), event("thread.run.in_progress", run)))

        def end() -> None:
            message = service.end(thread_id, run)
            if message is None:
                self.transport.close()
                return
            if fault == "cut":
                self.transport.write(chunk(event("thread.message.created", message))[:-9])
                self.transport.close()
                return
            deltas = (
                event("thread.message.delta", {"id": message["id"], "object": "thread.message.delta", "delta": delta(text)})
                for text in ANSWER
            )
            self.transport.write(
                chunk(
                    event("thread.message.created", message),
                    *deltas,
                    event("thread.message.completed", message),
                    event("thread.run.completed", run),
                    b"event:done\ndata:[DONE]\n\n",
                )
                + b"0\r\n\r\n"
            )

        asyncio.get_running_loop().call_later(service.settings.latency, end)


def shape(path: str) -> str:
    """A path with its ids left out."""
    return "/".join("…" if place % 2 and place < 4 else part for place, part in enumerate(path.split("/")))


def delta(text: str) -> Object:
    return {"content": [{"type": "text", "text": {"value": text}}]}


def event(name: str, data: Object) -> bytes:
    return f"event:{name}\ndata:{json.dumps(data)}\n\n".encode()


def chunk(*events: bytes) -> bytes:
    data = b"".join(events)
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(settings: Settings, port: int) -> None:
    service = Service(settings)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1", flush=True)
    await server.serve_forever()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: the service costs less then, and nothing else changes."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def main() -> None:
    parser = argparse.ArgumentParser(description="An Assistant API to measure against.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a run takes")
    parser.add_argument("--rate", type=float, default=0, help="requests a second it takes; 0 for any number")
    parser.add_argument("--faults", type=float, default=0, help="1: 3 %% 5xx, 1 %% resets, 1 %% cut bodies; 0.5: half of that")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    faults = {name: share * given.faults for name, share in FAULTS.items()}
    settings = Settings(latency=given.latency, rate=given.rate, seed=given.seed, **faults)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(settings, given.port))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
