"""Runs that a model answers: a task each, which makes the model's pieces into beats and applies them as they come.

Everything the model is told is read from the store, so a run that waits for outputs outlives the process; one whose task
died with its process ends as expired.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from runner.embedded import plugins
from runner.embedded.models import Call, Completion, Entry, Model, ModelTrouble, Prompt, Tokens
from runner.embedded.objects import Json, Message, Run, RunStep, dumps, text_item
from runner.embedded.parameters import Refused
from runner.embedded.script import Script, answered_call, message_delta, tool_calls, usage
from runner.embedded.scripted import AnsweredCall
from runner.embedded.store import Beat
from runner.model import RunStatus
from runner.values import dataclass

if TYPE_CHECKING:
    from runner.embedded.service import Service

__all__ = ["Driver"]

ROUNDS = 16
"""How often a model may ask for tools in one run."""
SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")
LONGEST_ID = 64


class Driver:
    """The tasks of a service's runs."""

    def __init__(self, service: "Service", model: Model) -> None:
        self.service = service
        self.model = model
        self.drives: dict[str, Drive] = {}
        # An event lives as long as a stream waits for it.
        self.changes: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def start(self, run: Run, origin: str, streamed: bool) -> None:
        """Let the model go on with the run; raise Refused when it cannot be given the run's tools."""
        functions(run)
        drive = Drive(self, run, origin, streamed)
        self.drives[run.id] = drive
        drive.task = asyncio.get_running_loop().create_task(drive.go())

    def drives_run(self, run: str) -> bool:
        return run in self.drives

    def stop(self, run: str) -> None:
        """Hang up on the model. What it said so far is kept."""
        drive = self.drives.pop(run, None)
        if drive is not None:
            drive.keep_text()
            if drive.task is not None and drive.task is not asyncio.current_task():
                drive.task.cancel()
        self.wake(run)

    def wake(self, run: str) -> None:
        """Let the streams of the run look at it."""
        event = self.changes.pop(run, None)
        if event is not None:
            event.set()

    def watch(self, run: str) -> asyncio.Event:
        """Set when something happens to the run."""
        return self.changes.setdefault(run, asyncio.Event())

    async def close(self) -> None:
        for drive in self.drives.values():
            drive.keep_text()
        tasks = [drive.task for drive in self.drives.values() if drive.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.model.close()


@dataclass(slots=True)
class Drive:
    """One run on its way: the message that is being said, and its step, if one is open."""

    driver: Driver
    run: Run
    origin: str
    streamed: bool
    task: "asyncio.Task[None] | None" = None
    message: str = ""
    step: str = ""
    text: str = ""

    @property
    def service(self) -> "Service":
        return self.driver.service

    async def go(self) -> None:
        """Drive the run to its end, or to the calls it waits for."""
        try:
            left = float(self.run.expires_at or 0) - self.service.clock.now()
            async with asyncio.timeout(left):
                await self.answer()
        except ModelTrouble as trouble:
            self.fail(trouble.code, trouble.message)
        except TimeoutError:
            self.end_early(RunStatus.EXPIRED)
        except Exception as error:
            logging.getLogger(__name__).debug("run %s", self.run.id, exc_info=True)
            self.fail("server_error", f"the embedded service failed: {type(error).__name__}")
        finally:
            if self.driver.drives.get(self.run.id) is self:
                del self.driver.drives[self.run.id]
            self.driver.wake(self.run.id)

    async def answer(self) -> None:
        """Ask the model, use what tools it wants, and ask again, until it has said its last word."""
        script = self.script()
        script.add("thread.run.in_progress", self.run.id, status=RunStatus.IN_PROGRESS)
        if self.service.find(Run, self.run.id).status == RunStatus.QUEUED:
            self.apply(script)
        while True:
            completion = await self.listen()
            if completion.finish != "stop":
                self.cut_off(completion)
                return
            if not completion.calls:
                self.end(completion)
                return
            if self.rounds() >= ROUNDS:
                raise ModelTrouble(f"the model asked for tools more than {ROUNDS} times in one run")
            if self.use(completion):
                return

    async def listen(self) -> Completion:
        """What the model answers; its text is said as it comes."""
        async with aclosing(self.driver.model.answer(self.prompt())) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
                self.say(piece)
        raise ModelTrouble("the model gave no answer")

    # ── what happens to the run ──────────────────────────────────────────────────────────────────────────────────────

    def script(self) -> Script:
        return Script(self.run, self.service.clock.now(), 0, self.streamed)

    def apply(self, script: Script) -> None:
        self.apply_beats(script.timed())

    def apply_beats(self, beats: Sequence[Beat]) -> None:
        with self.service.store.writing():
            for beat in beats:
                self.service.apply(self.run.id, beat)
        self.driver.wake(self.run.id)

    def say(self, piece: str) -> None:
        # Models put empty lines in front of a call: they alone are no message.
        self.text += piece
        if not self.text.strip():
            return
        words = piece if self.message else self.text
        script = self.script()
        self.open_message(script)
        if self.streamed:
            script.add("thread.message.delta", self.message, **message_delta(self.message, words))
        self.apply(script)

    def open_message(self, script: Script) -> None:
        if not self.message:
            self.step, self.message = script.open_message("")

    def close_message(self, script: Script, **counted: object) -> None:
        script.add("thread.message.completed", self.message, content=[text_item(self.text)], status="completed")
        script.add("thread.run.step.completed", self.step, status="completed", **counted)
        self.message = self.step = self.text = ""

    def keep_text(self) -> None:
        """Put what was said so far into the message that is open, if the thread is still there."""
        if self.text and self.service.store.find(Message, self.message) is not None:
            script = self.script()
            script.add("", self.message, content=[text_item(self.text)])
            self.apply(script)
        self.text = ""

    def end(self, completion: Completion) -> None:
        script = self.script()
        self.open_message(script)
        self.close_message(script, usage=counted(completion.tokens))
        self.apply(script)
        script = self.script()
        script.add("thread.run.completed", self.run.id, status=RunStatus.COMPLETED, usage=self.spent())
        self.apply(script)

    def cut_off(self, completion: Completion) -> None:
        """The model stopped before its end."""
        filtered = completion.finish == "content_filter"
        script = self.script()
        self.open_message(script)
        script.add(
            "thread.message.incomplete",
            self.message,
            content=[text_item(self.text)],
            status="incomplete",
            incomplete_details={"reason": "content_filter" if filtered else "max_tokens"},
        )
        # A step cannot be incomplete.
        script.add("thread.run.step.completed", self.step, status="completed", usage=counted(completion.tokens))
        self.apply(script)
        script = self.script()
        script.add(
            "thread.run.incomplete",
            self.run.id,
            status=RunStatus.INCOMPLETE,
            incomplete_details={"reason": "content_filter" if filtered else "max_completion_tokens"},
            usage=self.spent(),
        )
        self.apply(script)

    def fail(self, code: str, message: str) -> None:
        self.end_early(RunStatus.FAILED, {"code": code, "message": message})

    def end_early(self, status: str, error: Json | None = None) -> None:
        run = self.service.store.find(Run, self.run.id)
        if run is not None:
            self.service.end_early(run, status, self.service.clock.now(), error)

    # ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def use(self, completion: Completion) -> bool:
        """Record one step with all the calls, the service's own already used; whether the run waits for its caller."""
        script = self.script()
        if self.message:
            self.close_message(script)
        self.text = ""
        calls = [self.made(call) for call in self.named(completion.calls)]
        # Only the caller knows what its own functions give back.
        asked = [call for call in calls if call["type"] == "function" and "output" not in call["function"]]
        step = script.tool_step(calls)
        cost = counted(completion.tokens)
        if asked:
            script.add("", step, step_details=tool_calls([unanswered(call) for call in calls]), usage=cost)
            action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": asked}}
            script.add("thread.run.requires_action", self.run.id, status=RunStatus.REQUIRES_ACTION, required_action=action)
        else:
            script.add("thread.run.step.completed", step, status="completed", step_details=tool_calls(calls), usage=cost)
        self.apply(script)
        return bool(asked)

    def named(self, calls: Sequence[Call]) -> Iterator[Call]:
        """The calls with an id each that the thread has not seen: the model's own where it can be."""
        runs, _ = self.service.store.page(Run, self.run.thread_id, 1000)
        seen = {one["id"] for run in runs for step in self.steps(run.id) for one in step.step_details.get("tool_calls", ())}
        for call in calls:
            usable = call.id and call.id not in seen and len(call.id) <= LONGEST_ID and call.id.isprintable()
            # An endpoint may refuse ids of more than 40 characters.
            identity = call.id if usable else f"call_{secrets.token_hex(12)}"
            seen.add(identity)
            yield replace(call, id=identity, arguments=call.arguments.strip() or "{}")

    def made(self, call: Call) -> Json:
        """The call as a step holds it; with its output, unless that is the caller's affair."""
        content = {"arguments": call.arguments}
        offered = {function["name"] for function in functions(self.run)}
        ours = plugins.known(call.name) and any(tool["type"] == call.name for tool in self.run.tools)
        if call.name in offered and not ours:
            return {"id": call.id, "type": "function", "function": {"name": call.name, **content}}
        if call.name in offered:
            output = plugins.use(call.name, call.arguments, self.draw, self.service.clock.now())
            return {"id": call.id, "type": call.name, call.name: {**content, "output": dumps(output)}}
        output = {"error": f"there is no tool `{call.name}`"}
        return {"id": call.id, "type": "function", "function": {"name": call.name, **content, "output": dumps(output)}}

    def draw(self, prompt: str) -> str:
        return self.service.new_picture(prompt, self.origin)

    # ── what the model is told ───────────────────────────────────────────────────────────────────────────────────────

    def prompt(self) -> Prompt:
        run, rounds = self.run, list(self.told())
        return Prompt(
            model=run.model,
            instructions=run.instructions,
            entries=[*self.history(), *rounds],
            tools=functions(run),
            # Who must call a tool every time never ends.
            tool_choice=None if any(entry.used for entry in rounds) else forced(run.tool_choice),
            sampling={name: value for name in SAMPLING if (value := getattr(run, name)) is not None},
        )

    def history(self) -> Iterator[Entry]:
        """The thread's last messages but this run's; those of a run with the tools it used."""
        told: set[str] = set()
        messages = self.service.heard(self.run)
        texts = {message.id: message.text for message in messages}
        for message in messages:
            run = message.run_id
            if not run:
                yield Entry(message.role, message.text)
            elif run not in told:
                told.add(run)
                yield from entries(self.steps(run), texts)

    def told(self) -> Iterator[Entry]:
        """What this run did so far."""
        steps = self.steps(self.run.id)
        ids = [step.step_details["message_creation"]["message_id"] for step in steps if step.type == "message_creation"]
        texts = {message: self.service.find(Message, message).text for message in ids}
        return entries(steps, texts)

    def steps(self, run: str) -> Sequence[RunStep]:
        return self.service.store.page(RunStep, run, 1000, newest_first=False)[0]

    def rounds(self) -> int:
        return sum(step.type == "tool_calls" for step in self.steps(self.run.id))

    def spent(self) -> Json | None:
        """What the run cost; nothing when the model did not say it of each answer."""
        steps = self.steps(self.run.id)
        # Words in front of a call are part of the same answer.
        costs = [step.usage for step, after in zip(steps, [*steps[1:], None], strict=True) if not precedes(step, after)]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return None
        return counted(Tokens(sum(one["input_tokens"] for one in known), sum(one["output_tokens"] for one in known)))


def precedes(step: RunStep, after: RunStep | None) -> bool:
    """Whether these are words, and calls, of one answer."""
    return step.type == "message_creation" and after is not None and after.type == "tool_calls"


def entries(steps: Sequence[RunStep], texts: Mapping[str, str]) -> Iterator[Entry]:
    """A run's steps as the model said them: words first, then the tools it used; `texts` are the messages that count."""
    said: str | None = None
    for step in steps:
        if step.type == "message_creation":
            if said:
                yield Entry("assistant", said)
            said = texts.get(step.step_details["message_creation"]["message_id"], "")
        elif step.status == "completed":
            yield Entry("assistant", said or "", tuple(map(answered, step.step_details["tool_calls"])))
            said = None
    if said:
        yield Entry("assistant", said)


def answered(call: Json) -> AnsweredCall:
    kind = call["type"]
    content = call[kind]
    return AnsweredCall(call["id"], content.get("name", kind), content["arguments"], content.get("output") or "")


def unanswered(call: Json) -> Json:
    return answered_call(call, call["function"].get("output")) if call["type"] == "function" else call


def functions(run: Run) -> list[Json]:
    """The run's tools as functions for the model; raise Refused for one that cannot be one."""
    if run.tool_choice == "none":
        return []
    found: dict[str, Json] = {}
    for tool in run.tools:
        kind = tool["type"]
        if kind != "function" and not plugins.known(kind):
            raise Refused(
                f"the tool `{kind}` cannot be used here: the embedded service has no such tool", 400, "UnsupportedOperation"
            )
        definition = declared(tool["function"]) if kind == "function" else plugins.definition(tool)
        if definition["name"] in found:
            raise Refused(f"two tools are called `{definition['name']}`")
        found[definition["name"]] = definition
    return list(found.values())


def declared(function: Json) -> Json:
    """A function as its caller declared it; some servers want parameters even where there are none."""
    return {**function, "parameters": function.get("parameters") or {"type": "object", "properties": {}}}


def forced(choice: object) -> str | None:
    """What a run's `tool_choice` makes the model do."""
    if choice == "required":
        return "required"
    if not isinstance(choice, dict):
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("type")
    return name if isinstance(name, str) else None


def counted(tokens: Tokens | None) -> Json | None:
    return usage(tokens.input, tokens.output) if tokens else None
