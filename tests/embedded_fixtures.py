"""The embedded service for tests: in process over its transport with a clock set by hand, and served as a real process."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from runner.embedded.faults import Fault
from runner.embedded.service import Service
from runner.embedded.store import Store
from runner.transport.embedded import BASE_URL, EmbeddedTransport

TOKEN = "a-token-for-tests-only"

SLOWLY = """
import sys
from runner.embedded.server import ServeSettings, serve

settings = ServeSettings(token=sys.argv[1], latency=float(sys.argv[2]))
serve(settings, lambda base_url, token: print(f"\\n={base_url}\\n={token}", flush=True))
"""
"""Serves with runs that take as long as told, which the command does not offer."""


@dataclass(frozen=True, slots=True)
class Served:
    base_url: str
    token: str
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix("/api/v1")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def clean_environment(**more: str) -> dict[str, str]:
    """What a process needs, and nothing that would steer runflow, an SDK or a proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {**kept, "NO_PROXY": "*", "PYTHONUTF8": "1", **more}


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process whose output is read."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def served(
    *options: str, token: str = TOKEN, latency: float | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """`runflow serve` with these options, ready; it is stopped by SIGTERM unless the test stopped it."""
    command = ("-m", "runner", "serve", *options) if latency is None else ("-c", SLOWLY, token, str(latency))
    with start(*command, **{"RUNFLOW_TOKEN": token, **(environment or {})}) as process:
        assert process.stdout is not None
        _, base_url, key = (process.stdout.readline().partition("=")[2].strip() for _ in range(3))
        if not key:
            _, problem = process.communicate(timeout=10)
            raise AssertionError(problem)
        try:
            yield Served(base_url, key, process)
        finally:
            process.terminate()
            process.communicate(timeout=10)


class HandClock:
    """Time that stands still until a test, or a stream that waits, moves it."""

    def __init__(self, now: float = 1_795_000_000) -> None:
        self.time = now
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Api:
    """Calls to a service over its transport, one after the other."""

    def __init__(self, store: Store | None = None, latency: float = 0, faults: Sequence[Fault] = ()) -> None:
        self.clock = HandClock()
        self.service = Service(store or Store(), self.clock, latency, faults)
        self.runner = asyncio.Runner()
        self.client = httpx.AsyncClient(transport=EmbeddedTransport(self.service), base_url=BASE_URL)

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **more))

    def get(self, path: str, **query: Any) -> Any:
        """The body of a GET that succeeds."""
        return succeeded(self.send("GET", path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        """The body of a POST that succeeds."""
        return succeeded(self.send("POST", path, json=body))

    def delete(self, path: str) -> Any:
        return succeeded(self.send("DELETE", path))

    def refused(self, method: str, path: str, **more: Any) -> tuple[int, str, str]:
        """Status, code and message of a call that is refused; the body is an error as the wire has it."""
        answer = self.send(method, path, **more)
        body = answer.json()
        assert answer.headers["content-type"] == "application/json"
        assert set(body) == {"code", "message", "request_id"} and len(body["request_id"]) == 36
        return answer.status_code, body["code"], body["message"]

    def raw(self, path: str, **body: Any) -> str:
        """A whole event stream as it stands on the wire."""
        answer = self.send("POST", path, json={**body, "stream": True})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        return answer.content.decode()

    def broken(self, path: str, **body: Any) -> str:
        """What comes of an event stream until its connection breaks."""
        came: list[bytes] = []

        async def read() -> None:
            async with self.client.stream("POST", path, json={**body, "stream": True}) as answer:
                async for piece in answer.aiter_raw():
                    came.append(piece)

        with pytest.raises(httpx.RemoteProtocolError):
            self.runner.run(read())
        return b"".join(came).decode()

    def events(self, path: str, **body: Any) -> list[tuple[str, Any]]:
        """A whole event stream as (name, data)."""
        return parsed(self.raw(path, **body))

    def assistant(self, *tools: Any, **more: Any) -> str:
        """The id of a new assistant with these tools."""
        made = self.post(
            "/assistants", model="qwen-max", tools=[{"type": t} if isinstance(t, str) else t for t in tools], **more
        )
        return str(made["id"])

    def thread(self, *texts: str) -> str:
        """The id of a new thread in which the user said this."""
        return str(self.post("/threads", messages=[{"role": "user", "content": text} for text in texts])["id"])

    def ask(self, assistant: str, thread: str, text: str) -> Any:
        """Say something, run, and give the run as it is when looked at."""
        self.post(f"/threads/{thread}/messages", content=text)
        run = self.post(f"/threads/{thread}/runs", assistant_id=assistant)
        return self.get(f"/threads/{thread}/runs/{run['id']}")

    def answer(self, thread: str) -> str:
        """The newest message's text."""
        return str(self.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"])


def succeeded(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert len(body["request_id"]) == 36
    return body


def parsed(stream: str) -> list[tuple[str, Any]]:
    """Strictly: two lines an event, no space behind the colons, an empty line, `done` last."""
    *blocks, done, rest = stream.split("\n\n")
    assert (done, rest) == ("event:done\ndata:[DONE]", "")
    events = []
    for block in blocks:
        if block.startswith(": "):
            continue
        first, second = block.split("\n")
        assert first.startswith("event:") and first[6] != " " and second.startswith("data:{")
        events.append((first[6:], json.loads(second[5:])))
    return events


ADD: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "big_add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}
