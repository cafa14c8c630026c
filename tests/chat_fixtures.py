"""A scripted Chat Completions server on loopback, strict about what it is sent, and the service with a model in front of it."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from runner.embedded.chat import Chat
from runner.embedded.models import Model
from runner.embedded.service import Service, SystemClock
from runner.embedded.store import Store
from runner.transport.chat import ChatEndpoint
from runner.transport.embedded import BASE_URL, EmbeddedTransport
from tests.embedded_fixtures import HandClock, parsed, succeeded

KEY = "sk-a-key-for-tests-only"
LONG = 12
"""Seconds after which a test that waits gives up: fewer than a stream sleeps when nobody wakes it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answers: status, headers and pieces; a `hold` keeps the stream open, with comments, until it is set."""

    pieces: Sequence[bytes]
    status: int = 200
    kind: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    after: Sequence[bytes] = ()


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def delta(finish: str | None = None, **said: Any) -> bytes:
    return event(object="chat.completion.chunk", choices=[{"index": 0, "delta": said, "finish_reason": finish}])


def usage(read: int = 9, written: int = 4) -> bytes:
    tokens = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return event(object="chat.completion.chunk", choices=[], usage=tokens)


DONE = b"data: [DONE]\n\n"


def says(*pieces: str, finish: str = "stop") -> Answer:
    """The words, piece by piece, as the reference has them."""
    return Answer(
        [delta(role="assistant", content=""), *(delta(content=piece) for piece in pieces), delta(finish), usage(), DONE]
    )


def call(name: str, arguments: str = "{}", identity: str = "call_1", index: int = 0) -> list[bytes]:
    """A call in the usual pieces: first who is called, then its arguments in two."""
    half = len(arguments) // 2
    begun = {"index": index, "id": identity, "type": "function", "function": {"name": name, "arguments": ""}}
    parts = [{"index": index, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:])]
    return [delta(tool_calls=[part]) for part in (begun, *parts)]


def calls(*made: list[bytes], text: str = "") -> Answer:
    words = [delta(content=text)] if text else []
    return Answer([*words, *(piece for one in made for piece in one), delta("tool_calls"), usage(), DONE])


def objection(body: Any) -> str:
    """What a strict endpoint would refuse in a request; nothing when it is well formed."""
    known = {"model", "messages", "stream", "stream_options", "tools", "tool_choice"}
    known |= {"temperature", "top_p", "top_k", "max_tokens"}
    if set(body) - known or body.get("stream") is not True or body.get("stream_options") != {"include_usage": True}:
        return f"these fields are not right: {sorted(body)}"
    if any(value is None for value in body.values()):
        return "a field is null"
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    if len(names) != len(set(names)) or any(set(tool) != {"type", "function"} for tool in body.get("tools", ())):
        return f"these tools are not right: {names}"
    due: list[str] = []
    for place, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if not due or due.pop(0) != message["tool_call_id"] or set(message) != {"role", "tool_call_id", "content"}:
                return f"message {place} answers no call in front of it"
            continue
        if due:
            return f"message {place} stands before the output of {due[0]}"
        if message["role"] == "system" and place:
            return "a system message is not the first"
        due = [one["id"] for one in message.get("tool_calls", ())]
        if not isinstance(message["content"], str) or len(due) != len(set(due)) or any(len(one) > 40 for one in due):
            return f"message {place} is not right"
        if not all(is_object(one["function"]["arguments"]) for one in message.get("tool_calls", ())):
            return f"message {place} has a call whose arguments are no object"
    return "the last calls have no output" if due else ""


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class ChatServer:
    """Gives its answers in turn and keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[Any] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.left = threading.Event()
        """Set when a client hung up while an answer was held."""
        self.stopping = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.serve(self)

            def log_message(self, *said: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.paths.append(handler.path)
        wrong = objection(body)
        answer = self.answers.pop(0) if not wrong else Answer([json.dumps({"error": {"message": wrong}}).encode()], 400)
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.kind)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for piece in answer.pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
            while answer.hold is not None and not answer.hold.wait(0.01) and not self.stopping.is_set():
                handler.wfile.write(b": keep-alive\n\n")
                handler.wfile.flush()
            for piece in answer.after:
                handler.wfile.write(piece)
        except OSError:
            self.left.set()


@contextmanager
def chat_server(*answers: Answer) -> Iterator[ChatServer]:
    server = ChatServer(*answers)
    thread = threading.Thread(target=server.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.server.shutdown()
        thread.join()
        server.server.server_close()


class ModelApi:
    """Calls to a service that a model answers, in process and in one event loop, with time set by hand where it matters."""

    def __init__(self, model: Model, store: Store | None = None, clock: HandClock | None = None) -> None:
        self.service = Service(store, clock or SystemClock(), model=model)
        self.runner = asyncio.Runner()
        self.client = httpx.AsyncClient(transport=EmbeddedTransport(self.service), base_url=BASE_URL)

    def close(self) -> None:
        self.runner.run(self.service.hang_up())
        self.runner.run(self.client.aclose())
        self.runner.close()

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **more))

    def get(self, path: str, **query: Any) -> Any:
        return succeeded(self.send("GET", path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        return succeeded(self.send("POST", path, json=body))

    def events(self, path: str, **body: Any) -> list[tuple[str, Any]]:
        """A whole event stream as (name, data)."""
        answer = self.send("POST", path, json={**body, "stream": True})
        assert 200 == answer.status_code, answer.text
        return parsed(answer.text)

    def settled(self, run: Any) -> Any:
        """The run when the model has done with it."""
        assert self.service.driver is not None
        drive = self.service.driver.drives.get(run["id"])
        if drive is not None and drive.task is not None:
            self.runner.run(asyncio.wait_for(asyncio.shield(drive.task), LONG))
        return self.get(f"/threads/{run['thread_id']}/runs/{run['id']}")

    def assistant(self, *tools: Any, **more: Any) -> str:
        told = [{"type": tool} if isinstance(tool, str) else tool for tool in tools]
        return str(self.post("/assistants", **{"model": "qwen-max", "tools": told, **more})["id"])

    def thread(self, *texts: str) -> str:
        return str(self.post("/threads", messages=[{"role": "user", "content": text} for text in texts])["id"])

    def ask(self, assistant: str, thread: str, text: str, **more: Any) -> Any:
        """Say something, run, and give the run when the model has done with it."""
        self.post(f"/threads/{thread}/messages", content=text)
        return self.settled(self.post(f"/threads/{thread}/runs", assistant_id=assistant, **more))

    def submit(self, run: Any, *outputs: str) -> Any:
        """The run when its calls have these outputs and the model has done with it."""
        due = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        given = [{"tool_call_id": one["id"], "output": output} for one, output in zip(due, outputs, strict=True)]
        return self.settled(self.post(f"/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs", tool_outputs=given))

    def answer(self, thread: str) -> str:
        return str(self.get(f"/threads/{thread}/messages")["data"][0]["content"][0]["text"]["value"])

    def steps(self, run: Any) -> list[Any]:
        found: list[Any] = self.get(f"/threads/{run['thread_id']}/runs/{run['id']}/steps", order="asc")["data"]
        return found


@contextmanager
def talk(*answers: Answer, key: str | None = KEY, **more: Any) -> Iterator[tuple[ModelApi, ChatServer]]:
    """The service in process, with a chat endpoint behind it that gives these answers."""
    with chat_server(*answers) as server:
        api = ModelApi(Chat(ChatEndpoint(server.base_url, key, "THE_KEY" if key else None), "a scripted endpoint"), **more)
        try:
            yield api, server
        finally:
            api.close()
