"""Play a case against the embedded service as if it were another, and write down the calls: nothing leaves the process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from runner import engine
from runner.clean import Redactor
from runner.embedded.service import Service
from runner.events import AttemptEnded, Event
from runner.model import Asks, ByHttp, ByPython, Flow, Function, Replies, Returns, Step, Tool
from runner.plan import Case
from runner.registry import targets
from runner.targets import Connection, Target
from runner.transport.embedded import BASE_URL, EmbeddedTransport
from runner.values import dataclass
from runner.wire.assistant_api import tokens, without_op

__all__ = ["Call", "Rehearsal", "answered_by", "functions_of", "rehearse"]

KINDS = {
    "assistant": "assistant",
    "thread": "thread",
    "thread.message": "message",
    "thread.run": "run",
    "thread.run.step": "step",
}
"""The objects whose ids are made by the service, and what stands for an id in a plan."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its path below the base URL, its body if it has one; `repeated` when it is made until the run has ended."""

    method: str
    path: str
    body: object = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a case would call; `reason` when it could not be played to its end."""

    calls: tuple[Call, ...]
    reason: str = ""


@dataclass(slots=True)
class Recorder(httpx.AsyncBaseTransport):
    """Stands between a target and the embedded service."""

    inner: EmbeddedTransport
    base_path: str
    names: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode("ascii")
        picture = not path.startswith(f"{self.base_path}/")
        own = path if picture else path.removeprefix(self.base_path)
        self.write_down(request.method, "{picture}" if picture else self.named(own), request.content)
        if not picture:
            request.url = request.url.copy_with(raw_path=(urlsplit(BASE_URL).path + own).encode("ascii"))
        response = await self.inner.handle_async_request(request)
        if picture:
            return response
        body = await response.aread()
        self.learn(body)
        return httpx.Response(response.status_code, headers=response.headers, content=body)

    def write_down(self, method: str, path: str, content: bytes) -> None:
        body = without_op(json.loads(self.named(content.decode()))) if content else None
        secrets = tokens(body) if isinstance(body, dict) else ()
        call = Call(method, path, json.loads(Redactor(secrets).redact(json.dumps(body))) if secrets else body)
        polls = method == "GET" and path.rpartition("/")[0].endswith("/runs")
        if polls and self.calls and replace(call, repeated=True) == self.calls[-1]:
            return
        self.calls.append(replace(call, repeated=polls))

    def named(self, text: str) -> str:
        for id, name in self.names.items():
            text = text.replace(id, name)
        return text

    def learn(self, body: bytes) -> None:
        """Give every new id in an answer, or in an event stream, the name it has in the plan."""
        for line in body.decode().splitlines():
            text = line.removeprefix("data:")
            if text.startswith("{"):
                self.learn_objects(json.loads(text))

    def learn_objects(self, value: object) -> None:
        if isinstance(value, Mapping):
            self.learn_id(KINDS.get(str(value.get("object"))), value.get("id"))
            action = value.get("required_action")
            for call in action["submit_tool_outputs"]["tool_calls"] if isinstance(action, Mapping) else ():
                self.learn_id("call", call["id"])
            for each in value.get("data") or () if isinstance(value.get("data"), list) else ():
                self.learn_objects(each)

    def learn_id(self, kind: str | None, id: object) -> None:
        if kind and isinstance(id, str) and id not in self.names:
            number = self.counts[kind] = self.counts.get(kind, 0) + 1
            self.names[id] = f"{{{kind}}}" if number == 1 else f"{{{kind}{number}}}"


async def rehearse(case: Case, connection: Connection) -> Rehearsal:
    """The calls `connection` would see. What depends on answers is taken from the embedded service; checks are left out, a
    saved value is shown as its name, and what code, a server or a person would answer as who would: none of them is asked.
    """
    recorder = Recorder(EmbeddedTransport(Service()), urlsplit(connection.base_url).path.rstrip("/"))
    kind = targets[connection.target]
    staged: Any = type(kind.__name__, (kind,), {"way": classmethod(lambda _cls, _connection: recorder)})
    target: Target = staged.open(connection, {connection.key_variable or "": "rehearsal"}, None)
    flow = await existing(without_consequences(case.flow), recorder)
    ended: list[AttemptEnded] = []

    def emit(event: Event) -> None:
        if isinstance(event, AttemptEnded):
            ended.append(event)

    saved = {name: f"{{{name}}}" for step in case.flow.steps for name in step.save or ()}
    staged_case = replace(case, flow=flow, variables={**case.variables, **saved})
    try:
        await engine.play(staged_case, target, emit, streaming=connection.streaming)
    finally:
        await target.close()
    return Rehearsal(tuple(recorder.calls), ended[0].reason if ended else "")


def without_consequences(flow: Flow) -> Flow:
    """The same conversation, in which nothing can fail, takes time or leaves the process."""
    assistant = replace(flow.assistant, tools=staged_tools(flow.assistant.tools))
    return replace(flow, assistant=assistant, expect=(), steps=tuple(map(staged_step, flow.steps)))


def staged_step(step: Step) -> Step:
    run = replace(step.run, tools=staged_tools(step.run.tools)) if step.run and step.run.tools else step.run
    return replace(step, run=run, expect=(), save=None)


def staged_tools(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    return tuple(replace(tool, function=staged(tool.function)) if tool.function else tool for tool in tools)


def staged(function: Function) -> Function:
    """A function that answers at once and by itself."""
    match function.answer:
        case ByPython() | ByHttp() | Asks():
            return replace(function, answer=Returns(f"{{{answered_by(function)}}}"))
        case Replies(entries):
            return replace(function, answer=Replies(tuple(replace(entry, after=None) for entry in entries)))
    return function


def functions_of(flow: Flow) -> tuple[Function, ...]:
    """The functions of a flow's assistant, and those that its steps add."""
    tools = (*flow.assistant.tools, *(tool for step in flow.steps if step.run for tool in step.run.tools or ()))
    return tuple({tool.name: tool.function for tool in tools if tool.function}.values())


def answered_by(function: Function) -> str:
    """The answer key of a function with the code or the URL it names; empty when it has none."""
    match function.answer:
        case None:
            return ""
        case ByPython(code):
            return f"python {code}"
        case ByHttp(url):
            return f"http {url}"
        case Asks():
            return "ask"
        case answer:
            return type(answer).__name__.lower()


async def existing(flow: Flow, recorder: Recorder) -> Flow:
    """Make what the flow says exists already, and show it by the id the flow gives it."""
    if flow.assistant.id is not None:
        id = await made(recorder, "/assistants", {"model": "existing"})
        recorder.names[id] = flow.assistant.id
        flow = replace(flow, assistant=replace(flow.assistant, id=id))
    if flow.thread is not None and flow.thread.id is not None:
        id = await made(recorder, "/threads", {})
        recorder.names[id] = flow.thread.id
        flow = replace(flow, thread=replace(flow.thread, id=id))
    return flow


async def made(recorder: Recorder, path: str, body: object) -> str:
    response = await recorder.inner.handle_async_request(httpx.Request("POST", BASE_URL + path, json=body))
    return str(json.loads(await response.aread())["id"])
