"""The Assistant API as one function: from a request to an answer or a stream of events.

A run moves by its script: beats with due times, applied when somebody looks. So nothing runs in the background, a restart
loses nothing, and a test that holds the clock sees every state.
"""

import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

from runner.embedded import parameters, script
from runner.embedded.faults import ERRORS, Fault, Faults, half, interrupted
from runner.embedded.objects import Assistant, Json, Kept, Message, Run, RunStep, Thread, new_id, render, text_item
from runner.embedded.parameters import Refused, Said
from runner.embedded.scripted import AnsweredCall, Line, Question, Reply, ToolUse, answer
from runner.embedded.states import ACTIVE, ENDED, NEXT, follows
from runner.embedded.store import Beat, Store
from runner.model import RunStatus, Sample
from runner.values import dataclass

if TYPE_CHECKING:
    from asyncio import Event

    from runner.embedded.driver import Driver
    from runner.embedded.models import Model

__all__ = ["BASE", "Clock", "Request", "Response", "Service", "SystemClock", "failure"]

BASE = "/api/v1"
EXPIRES_AFTER = 600
"""Seconds a run may take, waiting for its caller included."""
PICTURES_LIVE = 24 * 3600
SILENCE = 15
"""Seconds after which a stream that waits sends a comment."""

Kind = TypeVar("Kind", bound=Kept)


class Clock(Protocol):
    """Unix time in seconds, and waiting."""

    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The system's time when the service began, and steady since: setting the system's clock moves no run."""

    def __init__(self) -> None:
        self.origin = time.time() - time.monotonic()

    def now(self) -> float:
        return self.origin + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Request:
    """`path` includes the base; `origin` is where the caller reached us, for the URLs of pictures. A test in process may send
    what the model is to say, and what is to go wrong."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin: str = "http://embedded.invalid"
    sample: Sample | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is whole, or an event stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes]


def failure(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as the wire has it."""
    body = {"code": code, "message": message, "request_id": str(uuid4())}
    return Response(status, {"content-type": "application/json", **(headers or {})}, dumps(body))


def driver(service: "Service", model: "Model | None") -> "Driver | None":
    """What drives the runs when a model answers; a service without one loads no event loop."""
    if model is None:
        return None
    from runner.embedded.driver import Driver

    return Driver(service, model)


Handler = Callable[..., Json | AsyncIterator[bytes]]


class Service:
    """The whole service over one store. `latency` is how many seconds a run takes from its start to its end.

    A `model` answers instead of the script; then the service is used within one event loop, and closed there.
    """

    def __init__(
        self,
        store: Store | None = None,
        clock: Clock | None = None,
        latency: float = 0,
        faults: Sequence[Fault] = (),
        model: "Model | None" = None,
    ) -> None:
        self.store = store or Store()
        self.clock = clock or SystemClock()
        self.latency = latency
        self.faults = Faults(faults)
        self.driver = driver(self, model)
        self.samples: dict[str, Sample] = {}
        """What the runs that wait for outputs are still to play; it came with their creation, in this process."""
        self.routes: Sequence[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), handler)
            for method, path, handler in (
                ("POST", "/assistants", self.create_assistant),
                ("GET", "/assistants", self.list_assistants),
                ("GET", "/assistants/{aid}", self.read_assistant),
                ("POST", "/assistants/{aid}", self.modify_assistant),
                ("DELETE", "/assistants/{aid}", self.delete_assistant),
                ("POST", "/assistants/{aid}/files", self.attach_file),
                ("GET", "/assistants/{aid}/files", self.list_assistant_files),
                ("GET", "/assistants/{aid}/files/{fid}", self.read_assistant_file),
                ("DELETE", "/assistants/{aid}/files/{fid}", self.detach_file),
                ("POST", "/threads", self.create_thread),
                ("POST", "/threads/runs", self.create_thread_and_run),
                ("GET", "/threads/{tid}", self.read_thread),
                ("POST", "/threads/{tid}", self.modify_thread),
                ("DELETE", "/threads/{tid}", self.delete_thread),
                ("POST", "/threads/{tid}/messages", self.create_message),
                ("GET", "/threads/{tid}/messages", self.list_messages),
                ("GET", "/threads/{tid}/messages/{mid}", self.read_message),
                ("POST", "/threads/{tid}/messages/{mid}", self.modify_message),
                ("GET", "/threads/{tid}/messages/{mid}/files", self.list_message_files),
                ("GET", "/threads/{tid}/messages/{mid}/files/{fid}", self.read_message_file),
                ("POST", "/threads/{tid}/runs", self.create_run),
                ("GET", "/threads/{tid}/runs", self.list_runs),
                ("GET", "/threads/{tid}/runs/{rid}", self.read_run),
                ("POST", "/threads/{tid}/runs/{rid}", self.modify_run),
                ("POST", "/threads/{tid}/runs/{rid}/submit_tool_outputs", self.submit_tool_outputs),
                ("POST", "/threads/{tid}/runs/{rid}/cancel", self.cancel_run),
                ("GET", "/threads/{tid}/runs/{rid}/steps", self.list_steps),
                ("GET", "/threads/{tid}/runs/{rid}/steps/{sid}", self.read_step),
            )
        ]

    def close(self) -> None:
        self.store.close()

    async def hang_up(self) -> None:
        """End what a model still does. Its runs are left as they are and end as expired when somebody looks."""
        if self.driver is not None:
            await self.driver.close()

    async def respond(self, request: Request) -> Response:
        """Answer a request; never raises, whatever the request holds."""
        fault = request.fault
        if fault is None and not request.path.startswith("/images/"):
            fault = self.faults.request(self.operation(request))
        if fault is None or fault.ends_run:
            return await self.attempt(request)
        if fault.kind == "html":
            return Response(502, {"content-type": "text/html; charset=utf-8"}, BROKEN_GATEWAY)
        if fault.kind in ERRORS:
            if fault.kind == "lost":
                await self.attempt(request)
            status = int(fault.kind) if fault.kind.isdecimal() else 500
            return failure(status, *ERRORS[fault.kind], {"retry-after": fault.value} if fault.value else None)
        return await self.interrupted(await self.attempt(request), fault)

    async def interrupted(self, answered: Response, fault: Fault) -> Response:
        """The answer after some silence, or part of it."""
        body = answered.body
        if isinstance(body, bytes):
            if fault.kind == "stall":
                await self.clock.sleep(fault.seconds)
                return answered
            return replace(
                answered, headers={**answered.headers, "content-length": str(len(body))}, body=body[: len(body) // 2]
            )
        if fault.kind == "cut":
            return replace(answered, body=half(body))
        return replace(answered, body=interrupted(body, fault.seconds, self.clock.sleep))

    async def attempt(self, request: Request) -> Response:
        """Answer a request as well as it can be."""
        try:
            return self.picture(request) if request.path.startswith("/images/") else self.answer(request)
        except Refused as refusal:
            return failure(refusal.status, refusal.code, refusal.message)
        except Exception as error:
            import logging

            logging.getLogger(__name__).debug("%s %s", request.method, request.path, exc_info=True)
            return failure(500, "InternalError", f"the embedded service failed: {type(error).__name__}: {error}")

    def handlers(self, request: Request) -> Sequence[tuple[str, re.Match[str], Handler]]:
        """What can be done at the request's path: each method, and who does it."""
        path = request.path.removeprefix(BASE) if request.path.startswith(f"{BASE}/") else ""
        return [(method, match, handler) for method, pattern, handler in self.routes if (match := pattern.fullmatch(path))]

    def operation(self, request: Request) -> str:
        """What the reports call the request; empty when it is nothing."""
        names = [handler.__name__ for method, _, handler in self.handlers(request) if method == request.method]
        return OPERATIONS.get(names[0], names[0]) if names else ""

    def answer(self, request: Request) -> Response:
        found = self.handlers(request)
        for method, match, handler in found:
            if method == request.method:
                return self.call(request, handler, match.groups())
        if found:
            allowed = ", ".join(method for method, _, _ in found)
            message = f"{request.method} is not possible here; use {allowed}"
            return failure(405, "MethodNotAllowed", message, {"allow": allowed})
        raise Refused(f"there is nothing at {request.method} {request.path}", 404, "NotFound")

    def call(self, request: Request, handler: Handler, ids: Sequence[str]) -> Response:
        asked = Asked(request, parameters.decode(request.body) if request.method == "POST" else {}, str(uuid4()))
        if request.method == "GET":
            made = handler(asked, *ids)
        else:
            with self.store.writing():
                made = handler(asked, *ids)
        if isinstance(made, dict):
            return Response(200, {"content-type": "application/json"}, dumps({**made, "request_id": asked.request_id}))
        return Response(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}, made)

    def picture(self, request: Request) -> Response:
        from runner.embedded.picture import draw

        if request.method != "GET":
            return failure(405, "MethodNotAllowed", f"{request.method} is not possible here; use GET", {"allow": "GET"})
        token = request.path.removeprefix("/images/").removesuffix(".png")
        prompt = self.store.picture(token, self.clock.now() - PICTURES_LIVE)
        if prompt is None:
            raise Refused("there is no such picture, or no longer", 404, "NotFound")
        return Response(200, {"content-type": "image/png"}, draw(prompt))

    # ── assistants ───────────────────────────────────────────────────────────────────────────────────────────────────

    def create_assistant(self, asked: "Asked") -> Json:
        body = asked.body
        parameters.text(body, "model", required=True)
        made = Assistant(
            id=new_id(Assistant.PREFIX), created_at=self.milliseconds(), **assistant_fields(body), **parameters.sampling(body)
        )
        self.store.insert(made)
        return render(made)

    def list_assistants(self, asked: "Asked") -> Json:
        return self.listing(Assistant, None, asked)

    def read_assistant(self, asked: "Asked", aid: str) -> Json:
        return render(self.find(Assistant, aid))

    def modify_assistant(self, asked: "Asked", aid: str) -> Json:
        old, body = self.find(Assistant, aid), asked.body
        new = replace(old, **assistant_fields(body), **parameters.sampling(body))
        # The SDK sends `file_ids: []` with every change.
        return self.saved(replace(new, file_ids=new.file_ids or old.file_ids))

    def delete_assistant(self, asked: "Asked", aid: str) -> Json:
        return self.deleted(self.find(Assistant, aid))

    def attach_file(self, asked: "Asked", aid: str) -> Json:
        assistant, file = self.find(Assistant, aid), parameters.text(asked.body, "file_id", required=True) or ""
        self.store.save(replace(assistant, file_ids=[*(one for one in assistant.file_ids if one != file), file]))
        return assistant_file(assistant, file)

    def list_assistant_files(self, asked: "Asked", aid: str) -> Json:
        assistant = self.find(Assistant, aid)
        return listed([assistant_file(assistant, file) for file in assistant.file_ids], False)

    def read_assistant_file(self, asked: "Asked", aid: str, fid: str) -> Json:
        assistant = self.find(Assistant, aid)
        return assistant_file(assistant, among(fid, assistant.file_ids))

    def detach_file(self, asked: "Asked", aid: str, fid: str) -> Json:
        assistant = self.find(Assistant, aid)
        among(fid, assistant.file_ids)
        self.store.save(replace(assistant, file_ids=[one for one in assistant.file_ids if one != fid]))
        return {"id": fid, "object": "assistant.file.deleted", "deleted": True}

    # ── threads and messages ─────────────────────────────────────────────────────────────────────────────────────────

    def create_thread(self, asked: "Asked") -> Json:
        return render(self.new_thread(asked.body))

    def new_thread(self, body: Json) -> Thread:
        said = [parameters.said(message) for message in parameters.objects(body, "messages")]
        thread = Thread(new_id(Thread.PREFIX), self.milliseconds(), parameters.metadata(body) or {})
        self.store.insert(thread)
        for message in said:
            self.new_message(thread.id, message)
        return thread

    def read_thread(self, asked: "Asked", tid: str) -> Json:
        return render(self.find(Thread, tid))

    def modify_thread(self, asked: "Asked", tid: str) -> Json:
        return self.modified(self.find(Thread, tid), asked.body)

    def delete_thread(self, asked: "Asked", tid: str) -> Json:
        thread, run = self.find(Thread, tid), self.store.newest_run(tid)
        if self.driver is not None and run is not None:
            self.driver.stop(run.id)
        return self.deleted(thread)

    def create_message(self, asked: "Asked", tid: str) -> Json:
        self.find(Thread, tid)
        self.look(tid)
        self.refuse_while_active(tid, "a message cannot be added")
        return render(self.new_message(tid, parameters.said(asked.body)))

    def new_message(self, thread: str, said: Said) -> Message:
        now = self.milliseconds()
        made = Message(
            id=new_id(Message.PREFIX),
            created_at=now,
            thread_id=thread,
            role=said.role,
            content=[text_item(said.text)],
            file_ids=said.file_ids,
            metadata=said.metadata,
            completed_at=now,
        )
        self.store.insert(made, thread)
        return made

    def list_messages(self, asked: "Asked", tid: str) -> Json:
        self.find(Thread, tid)
        self.look(tid)
        return self.listing(Message, tid, asked)

    def read_message(self, asked: "Asked", tid: str, mid: str) -> Json:
        self.look(tid)
        return render(self.find(Message, mid, tid))

    def modify_message(self, asked: "Asked", tid: str, mid: str) -> Json:
        self.look(tid)
        return self.modified(self.find(Message, mid, tid), asked.body)

    def list_message_files(self, asked: "Asked", tid: str, mid: str) -> Json:
        message = self.find(Message, mid, tid)
        return listed([message_file(message, file) for file in message.file_ids], False)

    def read_message_file(self, asked: "Asked", tid: str, mid: str, fid: str) -> Json:
        message = self.find(Message, mid, tid)
        return message_file(message, among(fid, message.file_ids))

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_run(self, asked: "Asked", tid: str) -> Json | AsyncIterator[bytes]:
        thread = self.find(Thread, tid)
        self.look(tid)
        self.refuse_while_active(tid, "a second run cannot start")
        return self.start(asked, thread, [])

    def create_thread_and_run(self, asked: "Asked") -> Json | AsyncIterator[bytes]:
        body = asked.body.get("thread")
        if body is not None and not isinstance(body, dict):
            raise Refused("`thread` is not an object")
        thread = self.new_thread(body or {})
        return self.start(asked, thread, [("thread.created", render(thread))])

    def start(self, asked: "Asked", thread: Thread, opening: Sequence[tuple[str, Json]]) -> Json | AsyncIterator[bytes]:
        body, now = asked.body, self.clock.now()
        assistant = self.find(Assistant, parameters.text(body, "assistant_id", required=True) or "")
        for message in [parameters.said(one) for one in parameters.objects(body, "additional_messages")]:
            self.new_message(thread.id, message)
        run = new_run(thread, assistant, body, now)
        streamed = stream_wanted(body)
        fault = self.end(asked, "create_run")
        self.store.insert(run, thread.id)
        for name, payload in [*opening, ("thread.run.created", render(run))] if streamed else []:
            self.store.log(run.id, name, payload)
        if self.driver is not None and fault is None:
            self.apply(run.id, Beat(now, "thread.run.queued", run.id, {}, streamed))
            self.driver.start(run, asked.request.origin, streamed)
        else:
            reply = self.reply(run, asked.request, asked.request.sample)
            if asked.request.sample and reply.calls:
                self.samples[run.id] = asked.request.sample
            self.store.write_script(run, script.begun(run, reply, now, self.latency, streamed, fault))
        return self.stream(run, asked.request_id, 0) if streamed else render(run)

    def reply(self, run: Run, request: Request, sample: Sample | None, rounds: Sequence[Sequence[AnsweredCall]] = ()) -> Reply:
        question = Question(
            instructions=run.instructions,
            tools=[] if run.tool_choice == "none" else run.tools,
            history=[Line(message.role, message.text) for message in self.heard(run)],
            now=self.clock.now(),
            sample=sample,
            rounds=rounds,
            uses=past_uses(self.steps(run)) if rounds else (),
        )
        return answer(question, lambda prompt: self.new_picture(prompt, request.origin))

    def heard(self, run: Run) -> Sequence[Message]:
        """The thread's last messages, as many as the model sees, oldest first, without those the run itself has made."""
        limit = last_messages(run.truncation_strategy)
        own = sum(step.type == "message_creation" for step in self.steps(run))
        messages, _ = self.store.page(Message, run.thread_id, limit + own)
        return [message for message in reversed(messages) if message.run_id != run.id][-limit:]

    def end(self, asked: "Asked", call: str) -> Fault | None:
        """How the run is made to end, if it is."""
        own = asked.request.fault
        return own if own and own.ends_run else self.faults.run(call)

    def new_picture(self, prompt: str, origin: str) -> str:
        token = secrets.token_urlsafe(24)
        self.store.keep_picture(token, prompt, self.clock.now())
        return f"{origin}/images/{token}.png"

    def list_runs(self, asked: "Asked", tid: str) -> Json:
        self.find(Thread, tid)
        self.look(tid)
        return self.listing(Run, tid, asked)

    def read_run(self, asked: "Asked", tid: str, rid: str) -> Json:
        return render(self.seen_run(tid, rid))

    def seen_run(self, thread: str, run: str) -> Run:
        """The run as it is by now."""
        self.look(thread)
        return self.find(Run, run, thread)

    def modify_run(self, asked: "Asked", tid: str, rid: str) -> Json:
        return self.modified(self.seen_run(tid, rid), asked.body)

    def cancel_run(self, asked: "Asked", tid: str, rid: str) -> Json:
        run = self.seen_run(tid, rid)
        if run.status not in ENDED and run.status != RunStatus.CANCELLING:
            now = self.clock.now()
            self.take_over(run)
            self.apply(run.id, Beat(now, "thread.run.cancelling", run.id, {"status": RunStatus.CANCELLING}, True))
            self.store.write_script(run, self.ending(run, RunStatus.CANCELLED, now, self.latency))
        return render(self.find(Run, rid, tid))

    def submit_tool_outputs(self, asked: "Asked", tid: str, rid: str) -> Json | AsyncIterator[bytes]:
        run = self.seen_run(tid, rid)
        if run.status != RunStatus.REQUIRES_ACTION or run.required_action is None:
            raise Refused(f"the run is `{run.status}`; outputs are taken while it is `{RunStatus.REQUIRES_ACTION}`")
        calls = run.required_action["submit_tool_outputs"]["tool_calls"]
        outputs = matched(parameters.objects(asked.body, "tool_outputs"), [call["id"] for call in calls])
        streamed = stream_wanted(asked.body)
        told = self.store.events(run.id)
        steps = [step for step in self.steps(run) if step.status == "in_progress"]
        fault = self.end(asked, "submit_tool_outputs")
        if self.driver is not None and fault is None:
            for beat in script.resumed(run, steps[0], outputs, self.clock.now(), streamed):
                self.apply(run.id, beat)
            self.driver.start(run, asked.request.origin, streamed)
        else:
            self.play_on(run, asked, steps[0], outputs, streamed, fault)
        if streamed:
            return self.stream(run, asked.request_id, told[-1].sequence if told else 0)
        return {**render(self.find(Run, rid, tid)), "required_action": run.required_action}

    def play_on(
        self, run: Run, asked: "Asked", step: RunStep, outputs: Mapping[str, str], streamed: bool, fault: Fault | None
    ) -> None:
        """Let the script go on with a run whose outputs have come."""
        calls = [call for call in step.step_details["tool_calls"] if call["id"] in outputs]
        rounds = [*past_rounds(self.steps(run)), [answered(call, outputs[call["id"]]) for call in calls]]
        reply = self.reply(run, asked.request, self.samples.get(run.id), rounds)
        if not reply.calls:
            self.samples.pop(run.id, None)
        first, rest = script.answered(run, step, outputs, reply, self.clock.now(), self.latency, streamed, fault)
        for beat in first:
            self.apply(run.id, beat)
        self.store.write_script(run, rest)

    def steps(self, run: Run) -> Sequence[RunStep]:
        return self.store.page(RunStep, run.id, 1000, newest_first=False)[0]

    def list_steps(self, asked: "Asked", tid: str, rid: str) -> Json:
        return self.listing(RunStep, self.seen_run(tid, rid).id, asked)

    def read_step(self, asked: "Asked", tid: str, rid: str, sid: str) -> Json:
        return render(self.find(RunStep, sid, self.seen_run(tid, rid).id))

    # ── how runs move ────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, thread: str) -> None:
        """Bring the thread's run to where it is by now."""
        run = self.store.newest_run(thread)
        if run is None or run.status in ENDED:
            return
        with self.store.writing():
            now = self.clock.now()
            limit = expiry(run)
            for owner, beat in self.store.due(thread, now):
                if beat.due < limit:
                    self.apply(owner, beat)
                    self.store.done(beat)
            run = self.find(Run, run.id, thread)
            if run.status not in ENDED and (now >= expiry(run) or self.abandoned(run)):
                self.end_early(run, RunStatus.EXPIRED, min(now, expiry(run)))

    def abandoned(self, run: Run) -> bool:
        """Whether nothing moves the run: a model answered it in a process that is gone."""
        moved = self.driver is not None and self.driver.drives_run(run.id)
        return run.status in MOVING and not moved and self.store.next_due(run.id) is None

    def take_over(self, run: Run) -> None:
        """Stop what moves the run."""
        self.store.drop_script(run.id)
        if self.driver is not None:
            self.driver.stop(run.id)

    def end_early(self, run: Run, status: str, now: float, error: Json | None = None) -> None:
        with self.store.writing():
            self.take_over(run)
            for beat in self.ending(run, status, now, error=error):
                self.apply(run.id, beat)

    def ending(self, run: Run, status: str, now: float, latency: float = 0, error: Json | None = None) -> Sequence[Beat]:
        """How the run ends early, with all it leaves open."""
        steps = [step for step in self.steps(run) if step.status == "in_progress"]
        messages, _ = self.store.page(Message, run.thread_id, 100)
        open_messages = [message for message in messages if message.run_id == run.id and message.status == "in_progress"]
        return script.ending(run, status, steps, open_messages, now, latency, error)

    def apply(self, run: str, beat: Beat) -> None:
        """Make the change of one beat, and log its event if a stream may want it."""
        payload = beat.body if beat.event.endswith(".delta") else render(self.change(beat))
        if beat.logged:
            self.store.log(run, beat.event, payload)

    def change(self, beat: Beat) -> Kept:
        kind = KINDS[beat.target.partition("_")[0]]
        if beat.event.endswith(".created"):
            made = kind(**beat.body)
            self.store.insert(made, made.run_id if isinstance(made, RunStep) else made.thread_id)
            return made
        old = self.find(kind, beat.target)
        new = replace(old, **beat.body)
        if isinstance(old, Run) and isinstance(new, Run) and not follows(old.status, new.status):
            raise ValueError(f"a run cannot change from {old.status} to {new.status}")
        self.store.save(new)
        return new

    async def stream(self, run: Run, request_id: str, behind: int) -> AsyncIterator[bytes]:
        """The run's events from behind this one on, as they come; ends when the run ends or waits for its caller."""
        try:
            while True:
                # Before the events are read: what happens while they are sent must not be missed.
                changed = self.driver.watch(run.id) if self.driver is not None else None
                self.look(run.thread_id)
                for event in self.store.events(run.id, behind):
                    behind = event.sequence
                    yield framed(event.name, {**json.loads(event.body), "request_id": request_id})
                    if event.name in LAST_EVENTS:
                        yield b"event:done\ndata:[DONE]\n\n"
                        return
                wait = self.next_look(run)
                happened = await self.pause(min(wait, SILENCE), changed)
                if wait > SILENCE and not happened:
                    yield b": waiting\n\n"
        except Refused as refusal:
            yield framed("error", {"code": refusal.code, "message": refusal.message, "request_id": request_id})
            yield b"event:done\ndata:[DONE]\n\n"

    async def pause(self, seconds: float, changed: "Event | None") -> bool:
        """Wait so long, or until the change; whether there was one."""
        if changed is None:
            await self.clock.sleep(seconds)
            return False
        import asyncio

        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)
        return changed.is_set()

    def next_look(self, run: Run) -> float:
        """Seconds until something happens to the run; raise Refused when it is gone."""
        limit = expiry(self.find(Run, run.id))
        due = self.store.next_due(run.id)
        return max(0, min(limit, limit if due is None else due) - self.clock.now())

    # ── what the calls share ─────────────────────────────────────────────────────────────────────────────────────────

    def milliseconds(self) -> int:
        return int(self.clock.now() * 1000)

    def find(self, kind: type[Kind], identity: str, parent: str | None = None) -> Kind:
        found = self.store.find(kind, identity, parent)
        if found is None:
            raise Refused(f"there is no {NOUNS[kind]} `{identity}`", 404, "NotFound")
        return found

    def listing(self, kind: type[Kept], parent: str | None, asked: "Asked") -> Json:
        page = parameters.page(asked.request.query)
        for edge in filter(None, (page.after, page.before)):
            if self.store.find(kind, edge, parent) is None:
                raise Refused(f"there is no {NOUNS[kind]} `{edge}` in this list")
        found, more = self.store.page(kind, parent, page.limit, page.newest_first, page.after, page.before)
        return listed([render(one) for one in found], more)

    def saved(self, kept: Kept) -> Json:
        self.store.save(kept)
        return render(kept)

    def modified(self, kept: Thread | Message | Run, body: Json) -> Json:
        metadata = parameters.metadata(body)
        return render(kept) if metadata is None else self.saved(replace(kept, metadata=metadata))

    def deleted(self, kept: Kept) -> Json:
        self.store.delete(kept.id)
        return {"id": kept.id, "object": f"{kept.KIND}.deleted", "deleted": True}

    def refuse_while_active(self, thread: str, what: str) -> None:
        run = self.store.newest_run(thread)
        if run and run.status in ACTIVE:
            raise Refused(f"{what} while run `{run.id}` is `{run.status}`")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its body read."""

    request: Request
    body: Json
    request_id: str


OPERATIONS = {"create_message": "add_message", "create_thread_and_run": "create_run"}
BROKEN_GATEWAY = b"<!doctype html>\n<title>502 Bad Gateway</title>\n<h1>502 Bad Gateway</h1>\n"
KINDS: Mapping[str, type[Run | RunStep | Message]] = {kind.PREFIX: kind for kind in (Run, RunStep, Message)}
NOUNS: Mapping[object, str] = {
    Assistant: "assistant", Thread: "thread", Message: "message", Run: "run", RunStep: "run step"
}  # fmt: skip
MOVING = frozenset({RunStatus.QUEUED, RunStatus.IN_PROGRESS})
"""A run in one of these goes on by itself."""
LAST_EVENTS = frozenset(f"thread.run.{status}" for status in (*ENDED, RunStatus.REQUIRES_ACTION))


def dumps(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def framed(name: str, payload: Json) -> bytes:
    """One event. No space behind the colons: the official SDK compares names as they stand."""
    return b"event:" + name.encode() + b"\ndata:" + dumps(payload) + b"\n\n"


def expiry(run: Run) -> float:
    """When the run expires, if it can."""
    return float(run.expires_at or 0) if RunStatus.EXPIRED in NEXT[run.status] else float("inf")


def assistant_fields(body: Json) -> Json:
    """The fields of an assistant that the body sets."""
    read: Json = {name: parameters.text(body, name) for name in ("model", "name", "description", "instructions")}
    read |= {
        "tools": parameters.tools(body),
        "metadata": parameters.metadata(body),
        "file_ids": parameters.texts(body, "file_ids"),
    }
    if read["model"] == "":
        raise Refused("`model` is empty")
    return {name: value for name, value in read.items() if value is not None}


def new_run(thread: Thread, assistant: Assistant, body: Json, now: float) -> Run:
    """A queued run of the assistant, with what the body overrides."""
    own = parameters.text(body, "instructions")
    instructions = assistant.instructions if own is None else own
    more = parameters.text(body, "additional_instructions")
    tools = parameters.tools(body)
    sampling = {name: getattr(assistant, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
    return Run(
        id=new_id(Run.PREFIX),
        created_at=int(now * 1000),
        thread_id=thread.id,
        assistant_id=assistant.id,
        status=RunStatus.QUEUED,
        model=parameters.text(body, "model") or assistant.model,
        expires_at=int(now) + EXPIRES_AFTER,
        instructions="\n".join(filter(None, (instructions, more))),
        tools=assistant.tools if tools is None else tools,
        metadata=parameters.metadata(body) or {},
        truncation_strategy=body.get("truncation_strategy"),
        tool_choice=body.get("tool_choice"),
        **(sampling | parameters.sampling(body)),
    )


def stream_wanted(body: Json) -> bool:
    wanted = body.get("stream")
    if wanted is not None and not isinstance(wanted, bool):
        raise Refused("`stream` is not true or false")
    return bool(wanted)


def last_messages(strategy: object) -> int:
    """How many of the thread's last messages the model sees."""
    if strategy is None:
        return 10
    if not isinstance(strategy, dict):
        raise Refused("`truncation_strategy` is not an object")
    return int(parameters.number(strategy, "last_messages", 1, 1000, whole=True) or 10)


def matched(given: Sequence[Json], calls: Sequence[str]) -> Mapping[str, str]:
    """The output for each call id: by `tool_call_id` where there is one, the others by their place in the list."""
    if not given:
        raise Refused("`tool_outputs` is required")
    outputs: dict[str, str] = {}
    for place, entry in enumerate(given):
        output = parameters.text(entry, "output")
        if output is None:
            raise Refused(f"`tool_outputs[{place}].output` is required")
        call = parameters.text(entry, "tool_call_id") or (calls[place] if place < len(calls) else "")
        if call not in calls:
            raise Refused(f"`tool_outputs[{place}]` belongs to no call of this run")
        if call in outputs:
            raise Refused(f"there are two outputs for call `{call}`")
        outputs[call] = output
    missing = [call for call in calls if call not in outputs]
    if missing:
        raise Refused(f"the output of call `{missing[0]}` is missing; all outputs go in one request")
    return outputs


def past_rounds(steps: Sequence[RunStep]) -> list[list[AnsweredCall]]:
    """The calls of functions that were answered, action by action."""
    found = [
        [answered(call, call["function"]["output"]) for call in step.step_details["tool_calls"] if call["type"] == "function"]
        for step in steps
        if step.type == "tool_calls" and step.status == "completed"
    ]
    return [calls for calls in found if calls]


def past_uses(steps: Sequence[RunStep]) -> list[ToolUse]:
    """The service's own tools that were used."""
    calls = [call for step in steps if step.type == "tool_calls" for call in step.step_details["tool_calls"]]
    return [
        ToolUse(call["type"], *(json.loads(call[call["type"]][name]) for name in ("arguments", "output")))
        for call in calls
        if call["type"] != "function"
    ]


def answered(call: Json, output: str) -> AnsweredCall:
    return AnsweredCall(call["id"], call["function"]["name"], call["function"]["arguments"], output)


def among(file: str, files: Sequence[str]) -> str:
    if file not in files:
        raise Refused(f"there is no file `{file}` here", 404, "NotFound")
    return file


def assistant_file(assistant: Assistant, file: str) -> Json:
    return {"id": file, "object": "assistant.file", "created_at": assistant.created_at, "assistant_id": assistant.id}


def message_file(message: Message, file: str) -> Json:
    return {"id": file, "object": "thread.message.file", "created_at": message.created_at, "message_id": message.id}


def listed(data: Sequence[Json], more: bool) -> Json:
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
