"""Turn what the model decided into the beats of a run: which object changes when, and what a stream says about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from runner.embedded.faults import Fault
from runner.embedded.objects import Json, Message, Run, RunStep, dumps, new_id, text_item
from runner.embedded.scripted import Reply
from runner.embedded.store import Beat
from runner.model import RunStatus
from runner.values import dataclass

__all__ = ["Script", "answered", "answered_call", "begun", "ending", "message_delta", "resumed", "tool_calls", "usage"]

PIECE = re.compile(r"[^\x00-\u2e7f]{1,4}|[\x21-\u2e7f]+\s*|\s+|.", re.DOTALL)
"""What one delta holds: a word and the space behind it, or four characters of a script without spaces."""


@dataclass(slots=True)
class Script:
    """Beats under way: spread evenly over `latency` seconds from `now`; `streamed` ones have deltas and leave events."""

    run: Run
    now: float
    latency: float
    streamed: bool
    beats: list[tuple[str, str, Json]] = field(default_factory=list)

    def add(self, event: str, target: str, **body: object) -> None:
        self.beats.append((event, target, body))

    def timed(self) -> list[Beat]:
        gap = self.latency / max(1, len(self.beats))
        return [
            stamped(Beat(self.now + gap * place, event, target, body, self.streamed and event != ""))
            for place, (event, target, body) in enumerate(self.beats, 1)
        ]

    # ── the parts of a run ───────────────────────────────────────────────────────────────────────────────────────────

    def tool_step(self, calls: Sequence[Json]) -> str:
        """A step in which these calls are made; it stays open."""
        step = self.open_step("tool_calls", tool_calls=[])
        if self.streamed:
            for place, call in enumerate(calls):
                for part in call_pieces(call):
                    self.add("thread.run.step.delta", step, **step_delta(step, {"index": place, **part}))
        return step

    def open_message(self, text: str) -> tuple[str, str]:
        """A step in which this is said; the ids of both, which stay open."""
        message = new_id(Message.PREFIX)
        step = self.open_step("message_creation", message_creation={"message_id": message})
        run = self.run
        self.add(
            "thread.message.created",
            message,
            id=message,
            thread_id=run.thread_id,
            role="assistant",
            content=[],
            status="in_progress",
            assistant_id=run.assistant_id,
            run_id=run.id,
        )
        self.add("thread.message.in_progress", message)
        if self.streamed:
            for piece in PIECE.findall(text):
                self.add("thread.message.delta", message, **message_delta(message, piece))
        return step, message

    def message_step(self, reply: Reply) -> None:
        step, message = self.open_message(reply.text)
        self.add("thread.message.completed", message, content=[text_item(reply.text)], status="completed")
        self.add("thread.run.step.completed", step, status="completed")
        self.add(
            "thread.run.completed",
            self.run.id,
            status=RunStatus.COMPLETED,
            usage=usage(reply.input_tokens, reply.output_tokens),
        )

    def broken_off(self, reply: Reply, fault: Fault) -> None:
        """Half of the answer, and the end that was asked for."""
        text = reply.text[: len(reply.text) // 2]
        step, message = self.open_message(text)
        if fault.kind == RunStatus.CANCELLED:
            self.add("thread.run.cancelling", self.run.id, status=RunStatus.CANCELLING)
        reason = "max_tokens" if fault.kind == RunStatus.INCOMPLETE else f"run_{fault.kind}"
        details = {"content": [text_item(text)], "status": "incomplete", "incomplete_details": {"reason": reason}}
        self.add("thread.message.incomplete", message, **details)
        # A step cannot be incomplete.
        end = RunStatus.FAILED if fault.kind == RunStatus.INCOMPLETE else fault.kind
        error = {"code": fault.value or "server_error", "message": f"the run ended as `{fault.kind}`, on demand"}
        self.add(f"thread.run.step.{end}", step, status=end, last_error=error)
        self.add(f"thread.run.{fault.kind}", self.run.id, status=fault.kind, last_error=error)

    def open_step(self, kind: str, **details: object) -> str:
        step, run = new_id(RunStep.PREFIX), self.run
        self.add(
            "thread.run.step.created",
            step,
            id=step,
            assistant_id=run.assistant_id,
            thread_id=run.thread_id,
            run_id=run.id,
            type=kind,
            status="in_progress",
            step_details={"type": kind, **details},
        )
        self.add("thread.run.step.in_progress", step)
        return step

    def reply(self, reply: Reply, fault: Fault | None) -> None:
        for use in reply.uses:
            content = {"arguments": dumps(use.arguments), "output": dumps(use.output)}
            call = {"id": new_id("call"), "type": use.tool, use.tool: content}
            step = self.tool_step([call])
            self.add("thread.run.step.completed", step, status="completed", step_details=tool_calls([call]))
        if fault is not None:
            self.broken_off(reply, fault)
            return
        if not reply.calls:
            self.message_step(reply)
            return
        calls = [
            {"id": new_id("call"), "type": "function", "function": {"name": call.name, "arguments": dumps(call.arguments)}}
            for call in reply.calls
        ]
        step = self.tool_step(calls)
        self.add("", step, step_details=tool_calls([answered_call(call, None) for call in calls]))
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        self.add("thread.run.requires_action", self.run.id, status=RunStatus.REQUIRES_ACTION, required_action=action)


def begun(run: Run, reply: Reply, now: float, latency: float, streamed: bool, fault: Fault | None = None) -> list[Beat]:
    """All that happens to a new run, to its end or to the calls it waits for; a fault ends it otherwise."""
    script = Script(run, now, latency, streamed)
    script.add("thread.run.in_progress", run.id, status=RunStatus.IN_PROGRESS)
    script.reply(reply, fault)
    queued = Beat(now, "thread.run.queued", run.id, {}, streamed)
    return [queued, *script.timed()]


def answered(
    run: Run,
    step: RunStep,
    outputs: Mapping[str, str],
    reply: Reply,
    now: float,
    latency: float,
    streamed: bool,
    fault: Fault | None = None,
) -> tuple[list[Beat], list[Beat]]:
    """What happens at once when the outputs of a run's calls have come, and what follows."""
    rest = Script(run, now, latency, streamed)
    rest.reply(reply, fault)
    return resumed(run, step, outputs, now, streamed), rest.timed()


def resumed(run: Run, step: RunStep, outputs: Mapping[str, str], now: float, streamed: bool) -> list[Beat]:
    """The outputs in their step, and the run on its way again."""
    calls = [
        answered_call(call, outputs[call["id"]]) if call["id"] in outputs else call for call in step.step_details["tool_calls"]
    ]
    script = Script(run, now, 0, streamed)
    script.add("thread.run.step.completed", step.id, status="completed", step_details=tool_calls(calls))
    script.add("thread.run.queued", run.id, status=RunStatus.QUEUED, required_action=None)
    script.add("thread.run.in_progress", run.id, status=RunStatus.IN_PROGRESS)
    return script.timed()


def ending(
    run: Run,
    status: str,
    steps: Sequence[RunStep],
    messages: Sequence[Message],
    now: float,
    latency: float = 0,
    error: Json | None = None,
) -> list[Beat]:
    """How a run ends early, with the steps and messages it leaves open; a stream that watches it is told."""
    script = Script(run, now, latency, True)
    for message in messages:
        details = {"reason": f"run_{status}"}
        script.add("thread.message.incomplete", message.id, status="incomplete", incomplete_details=details)
    for step in steps:
        script.add(f"thread.run.step.{status}", step.id, status=status, last_error=error)
    script.add(f"thread.run.{status}", run.id, status=status, required_action=None, last_error=error)
    return script.timed()


# ── the fields of the wire ───────────────────────────────────────────────────────────────────────────────────────────

TIMES = {
    "thread.run.step.completed": "completed_at",
    "thread.run.step.cancelled": "cancelled_at",
    "thread.run.step.expired": "expired_at",
    "thread.run.step.failed": "failed_at",
    "thread.run.completed": "completed_at",
    "thread.run.failed": "failed_at",
    "thread.run.cancelled": "cancelled_at",
}
"""Which time of a run or step an event sets, in seconds."""


def stamped(beat: Beat) -> Beat:
    """The beat with the times it sets."""
    body = dict(beat.body)
    milliseconds = int(beat.due * 1000)
    if beat.event.endswith(".created"):
        body["created_at"] = milliseconds
    elif beat.event in TIMES:
        body[TIMES[beat.event]] = int(beat.due)
    elif beat.event == "thread.run.in_progress":
        body["started_at"] = int(beat.due)
    elif beat.event == "thread.message.completed":
        body["completed_at"] = milliseconds
    elif beat.event == "thread.message.incomplete":
        body["incomplete_at"] = milliseconds
    return replace(beat, body=body)


def tool_calls(calls: Sequence[Json]) -> Json:
    return {"type": "tool_calls", "tool_calls": list(calls)}


def answered_call(call: Json, output: str | None) -> Json:
    return {**call, "function": {**call["function"], "output": output}}


def call_pieces(call: Json) -> Iterator[Json]:
    """A call as increments: first who is called, then the arguments piece by piece, then the output if it is known."""
    kind = call["type"]
    named = {"name": call[kind]["name"], "arguments": ""} if kind == "function" else {"arguments": ""}
    yield {"id": call["id"], "type": kind, kind: named}
    for name in ("arguments", "output"):
        whole = call[kind].get(name) or ""
        for start in range(0, len(whole), 48):
            # The OpenAI SDK joins repeated texts, so the id is said once.
            yield {"type": kind, kind: {name: whole[start : start + 48]}}


def step_delta(step: str, call: Json) -> Json:
    return {"id": step, "object": "thread.run.step.delta", "delta": {"step_details": tool_calls([call])}}


def message_delta(message: str, piece: str) -> Json:
    content = [{"index": 0, **text_item(piece)}]
    return {
        "id": message,
        "object": "thread.message.delta",
        "delta": {"role": "assistant", "content": content, "file_ids": []},
    }


def usage(read: int, written: int) -> Json:
    """Both spellings of the counts: the OpenAI SDK reads the last two."""
    return {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens": read,
        "completion_tokens": written,
    }
