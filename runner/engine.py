"""Play one conversation against a target and tell, as it happens, what came of each operation, step and check."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from contextvars import copy_context
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from runner.answers import answered, picture_sources, saved, whole
from runner.budget import Spent
from runner.calls import Answers, by_declared_name, completed, identity
from runner.clock import Clock, LoopClock
from runner.events import (
    AnswerReceived,
    AttemptEnded,
    AttemptStarted,
    Called,
    CheckEnded,
    Emit,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    Retried,
    RunStatusChanged,
    StepEnded,
    StepStarted,
    TextArrived,
    Warned,
)
from runner.ledger import Unwritable
from runner.model import (
    ENDED,
    WAITING,
    Assistant,
    AssistantObject,
    Check,
    Expectation,
    Image,
    Outcome,
    Role,
    Run,
    RunOverrides,
    RunStatus,
    RunStep,
    Sample,
    SampleCall,
    Step,
    Thread,
    ThreadSetup,
    Tool,
    ToolCall,
    ToolOutput,
    Turn,
    Verdict,
)
from runner.retry import SILENCE_SECONDS, Ledger, Patience, Patient, hopeless
from runner.targets import StreamEvent, Target, TargetError
from runner.values import dataclass
from runner.variables import EmptyValue, UnknownVariable, expand
from runner.words import _

if TYPE_CHECKING:
    from runner.plan import Case
    from runner.tools import Ask, Toolbox

__all__ = ["SaveImage", "play"]

FLOW_SECONDS = 900.0
STEP_SECONDS = 300.0
DRAIN_SECONDS = 0.002
"""How long the rest of a stream is read after the run ended in it, so that its connection can be used again."""
SETTLE_SECONDS = 5.0
"""How long a cancelled run is given to end."""
TIDYING_SECONDS = 30.0
"""How long cleaning up may take at least, when nobody told us to stop."""
SIGNAL_SECONDS = 2.0
"""How long all cleaning up may take when we were told to stop."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
PICTURES = 16
"""How many pictures of one answer are fetched."""
ROUNDS = 16
"""How often a run may ask for answers."""
STRAINED_PAUSE = 1.0
"""How long to wait at least between two looks at a run, while its service throttles."""

BESIDE = "runflow-check"
"""The name of a thread on which a check is evaluated."""
Made = TypeVar("Made", AssistantObject, Thread)
Filled = TypeVar("Filled")
Settings = TypeVar("Settings", Assistant, RunOverrides)
SaveImage = Callable[[int, int, bytes], str]
"""Step, index and bytes of a picture to the path it was written to; raises OSError."""


class Trouble(Exception):
    """Why there is no verdict, in a sentence."""


async def play(
    case: "Case",
    target: Target,
    emit: Emit,
    *,
    attempt: int = 1,
    clock: Clock | None = None,
    save_image: SaveImage | None = None,
    streaming: bool = True,
    trusted: bool = False,
    ask: "Ask | None" = None,
    debug: bool = False,
    patience: Patience | None = None,
    ledger: Ledger | None = None,
    keep: bool = False,
    shut_out: Callable[[TargetError], None] | None = None,
) -> Outcome:
    """Play a case once to its end and delete what was made, whatever happens; an asyncio cancellation included.

    Code of the flow's folder and its URLs are used only when `trusted`; `ask` reaches the person at the terminal, if there is
    one; with `debug` functions in Python may print. Conversations that share a `patience` spare their service together; what
    is made is noted down in the `ledger`, and left there with `keep`. `shut_out` is told why when the service will not
    have us, however often we try. Everything worth knowing leaves through `emit`, from
    AttemptStarted to AttemptEnded. Raises nothing a service could cause.
    """
    flow = case.flow
    clock = clock or LoopClock()
    patience = patience or Patience.alone(clock)
    folder = flow.path.resolve().parent
    talk = Conversation(case, target, patience, ledger, emit, clock, save_image, streaming, trusted, ask, debug, folder)
    talk.shut_out = shut_out
    began = clock.now()
    emit(AttemptStarted(attempt))
    outcome, reason = Outcome.ERROR, _("interrupted")
    limit = flow.timeout or FLOW_SECONDS
    hurry = False
    try:
        talk.ends = talk.target.ends = began + limit
        async with clock.timeout(limit):
            outcome, reason = await talk.play()
    except Trouble as trouble:
        reason = str(trouble)
    except TimeoutError:
        reason = _("the conversation was not over after {seconds:g} s").format(seconds=limit)
    except asyncio.CancelledError:
        hurry = True
        raise
    except Exception:
        reason = _("a bug in runflow")
        raise
    finally:
        try:
            await talk.clean_up(hurry=hurry, keep=keep)
        except Trouble as trouble:
            # Told to stop while it cleans up, a conversation keeps the verdict that it had reached.
            if outcome in (Outcome.PASSED, Outcome.SKIPPED) and talk.told_to_stop is None:
                outcome, reason = Outcome.ERROR, str(trouble)
        finally:
            made = tuple(talk.made)
            emit(AttemptEnded(outcome, clock.now() - began, reason, () if keep else made, made if keep else ()))
    return outcome


@dataclass(slots=True)
class Operation:
    """What is known of an operation under way, for the event at its end."""

    id: str = ""
    request_id: str = ""


@dataclass(slots=True)
class Conversation:
    """One case being played: what was made so far, what was said, and what is still to be cleaned up."""

    case: "Case"
    service: Target
    patience: Patience
    ledger: Ledger | None
    emit: Emit
    clock: Clock
    save_image: SaveImage | None
    streaming: bool
    trusted: bool
    ask: "Ask | None"
    debug: bool
    folder: Path
    """The flow's."""
    target: Patient = field(init=False)
    """How the service is asked."""
    doing: str = ""
    """The operation under way."""
    values: dict[str, str] = field(default_factory=dict)
    assistant_id: str = ""
    model: str = ""
    thread_id: str = ""
    last_message: str = ""
    made: dict[str, str] = field(default_factory=dict)
    """What must be deleted: its id, and the operation that does it."""
    live: Run | None = None
    """The run that has not ended, as last seen."""
    status: str = ""
    """What the step's run was last seen as."""
    told_to_stop: float | None = None
    """When we were, if we were."""
    step: int = 0
    toolbox: "Toolbox | None" = None
    answers: Answers = field(default_factory=Answers)
    answering: str = ""
    """The function whose answer is due."""
    shut_out: Callable[[TargetError], None] | None = None
    ends: float = 0
    """When the conversation's time is over."""

    def __post_init__(self) -> None:
        self.target = Patient(self.service, self.patience, self.again, self.warn, self.ledger)

    def again(self, attempt: int, seconds: float, reason: str) -> None:
        self.emit(Retried(self.step, self.doing, attempt, seconds, reason))

    # ── the sequence ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def play(self) -> tuple[Outcome, str]:
        flow = self.case.flow
        self.values.update(self.case.variables)
        if all(step.skip for step in flow.steps):
            for number, step in enumerate(flow.steps, 1):
                self.leave_out(number, step, step.skip or "")
            return Outcome.SKIPPED, "; ".join(dict.fromkeys(step.skip for step in flow.steps if step.skip))

        await self.create_assistant(flow.assistant)
        await self.create_thread(flow.thread)
        turns: list[Turn] = []
        outcomes: list[Outcome] = []
        reasons: list[str] = []
        stopped = ""
        for number, step in enumerate(flow.steps, 1):
            if step.skip or stopped:
                self.leave_out(number, step, step.skip or stopped)
                continue
            outcome, reason, turn = await self.play_step(number, step)
            outcomes.append(outcome)
            reasons.append(reason)
            if turn is not None:
                turns.append(turn)
            if outcome is not Outcome.PASSED and not step.continue_:
                stopped = _("not run: step {number} did not pass").format(number=number)
        if flow.expect and not stopped:
            outcome, reason = await self.judge_whole(flow.expect, turns)
            outcomes.append(outcome)
            reasons.append(reason)
        return worst(outcomes), next(filter(None, reasons), "")

    async def play_step(self, number: int, step: Step) -> tuple[Outcome, str, Turn | None]:
        began = self.clock.now()
        limit = step.timeout or STEP_SECONDS
        ends, self.target.ends = self.target.ends, min(self.target.ends, began + limit)
        self.step, self.answering = number, ""
        turn: Turn | None = None
        try:
            texts = self.say(number, step)
            async with self.clock.timeout(limit):
                for text in texts:
                    await self.add_message(text)
                run, seconds = await self.run(step)
                turn = await self.read_answer(step, run, seconds)
            outcome, reason = await self.judge(number, step.expect, turn)
            missing = self.save(step, turn)
            if missing:
                outcome, reason = worst((outcome, Outcome.ERROR)), reason or missing
        except Trouble as trouble:
            outcome, reason = Outcome.ERROR, str(trouble)
        except TimeoutError:
            outcome, reason = Outcome.ERROR, self.overdue(limit)
        except asyncio.CancelledError:
            self.emit(StepEnded(number, Outcome.ERROR, self.clock.now() - began, _("stopped before it was done")))
            raise
        if self.live is not None:
            await self.stop_run(SETTLE_SECONDS)
        self.emit(StepEnded(number, outcome, self.clock.now() - began, reason))
        self.step, self.target.ends = 0, ends
        return outcome, reason, turn

    def say(self, number: int, step: Step) -> tuple[str, ...]:
        texts, trouble = step.texts, ""
        try:
            texts = tuple(expand(text, self.values) for text in step.texts)
        except (EmptyValue, UnknownVariable) as error:
            trouble = valueless(error)
        self.emit(StepStarted(number, step.name or "", step.span.line if step.span else 0, texts))
        if trouble:
            raise Trouble(trouble)
        return texts

    def leave_out(self, number: int, step: Step, reason: str) -> None:
        self.emit(StepStarted(number, step.name or "", step.span.line if step.span else 0, step.texts))
        self.emit(StepEnded(number, Outcome.SKIPPED, 0, reason))

    # ── the operations ───────────────────────────────────────────────────────────────────────────────────────────────

    async def create_assistant(self, written: Assistant) -> None:
        if written.id is not None:
            self.assistant_id = written.id
            return
        with self.operation("create_assistant") as operation:
            assistant = await self.make(self.target.create_assistant(self.filled(unanswered(written))), "delete_assistant")
            operation.id, operation.request_id = assistant.id, assistant.request_id
            has_id(assistant.id)
            same("model", assistant.model, written.model)
            self.warn_all(assistant.notes)
        self.assistant_id, self.model = assistant.id, assistant.model

    async def create_thread(self, setup: ThreadSetup | None) -> None:
        if setup is not None and setup.id is not None:
            self.thread_id = setup.id
            for message in self.filled(setup).messages:
                await self.add_message(message.text, message.role)
            return
        with self.operation("create_thread") as operation:
            thread = await self.make(self.target.create_thread(self.filled(setup)), "delete_thread")
            operation.id, operation.request_id = thread.id, thread.request_id
            has_id(thread.id)
            self.warn_all(thread.notes)
        self.thread_id = thread.id

    async def add_message(self, text: str, role: Role = Role.USER) -> None:
        with self.operation("add_message") as operation:
            message = await self.target.add_message(self.thread_id, text, role)
            operation.id, operation.request_id = message.id, message.request_id
            has_id(message.id)
            same("thread_id", message.thread_id, self.thread_id)
            self.warn_all(message.notes)
        self.last_message = message.id

    async def run(self, step: Step) -> tuple[Run, float]:
        """Create a run, answer what it asks for, and wait for its end; the run as the service holds it then, and the seconds
        it took."""
        overrides = self.filled(step.run and unanswered(step.run))
        # No other service sees the sample, so nothing in it can be wrong there.
        sample = self.sample(step) if self.service.simulated else None
        self.answers = Answers()
        began = self.clock.now()
        if self.streaming:
            async with aclosing(self.target.stream_run(self.thread_id, self.assistant_id, overrides, sample)) as events:
                run = await self.create_run(step, first_run(events))
                run = await self.wait(step, run, events)
        else:
            run = await self.create_run(step, self.target.create_run(self.thread_id, self.assistant_id, overrides, sample))
            run = await self.wait(step, run)
        while run.status == RunStatus.REQUIRES_ACTION:
            outputs = await self.answer(step, run)
            run = await self.submit(step, run, outputs)
        return run, self.clock.now() - began

    def sample(self, step: Step) -> Sample | None:
        """The step's sample with the arguments of its calls as JSON, read by the types that the functions declare."""
        sample = self.filled(sampled(step.sample))
        if sample is None or not sample.calls:
            return sample
        from runner.checks.arguments import typed

        declared = self.parameters(step)

        def as_json(call: SampleCall) -> SampleCall:
            return SampleCall(call.name, cast("Mapping[str, object]", typed(call.arguments, declared.get(call.name))))

        return replace(sample, calls=tuple(tuple(map(as_json, calls)) for calls in sample.calls))

    def tools(self, step: Step) -> tuple[Tool, ...]:
        """The tools in force for a step's run."""
        own = step.run.tools if step.run else None
        return self.case.flow.assistant.tools if own is None else own

    def may_call(self, step: Step) -> bool:
        """Whether a run can have called anything: a tool of the flow's, or one that an existing assistant has."""
        return bool(self.tools(step)) or self.case.flow.assistant.id is not None

    def parameters(self, step: Step) -> dict[str, Mapping[str, object]]:
        return {tool.name: self.filled(tool.function.parameters) for tool in self.tools(step) if tool.function}

    async def create_run(self, step: Step, creating: Coroutine[object, object, Run]) -> Run:
        with self.operation("create_run") as operation:
            run = await creating
            operation.id, operation.request_id = run.id, run.request_id
            has_id(run.id)
            self.live, self.status = run, run.status
            self.check_run(run, step)
            self.warn_all(run.notes)
            if not (step.run and step.run.model) and run.model and self.model and run.model != self.model:
                self.warn(_("the run names the model `{got}`, the assistant `{sent}`").format(got=run.model, sent=self.model))
        self.emit(RunStatusChanged(self.step, run.id, run.status))
        return run

    async def wait(self, step: Step, run: Run, events: AsyncGenerator[StreamEvent, None] | None = None) -> Run:
        """Wait until the run has ended or asks for answers it has not been given. The stream only says when to look: what the
        run came to is read from the run."""
        began = self.clock.now()
        with self.operation("wait") as operation:
            operation.id = run.id
            if events is not None:
                await self.listen(run, events)
            elif not self.settled(run):
                await self.clock.sleep(FIRST_PAUSE)
            while True:
                seen = await self.target.read_run(self.thread_id, run.id)
                operation.request_id = seen.request_id
                same("id", seen.id, run.id)
                run = seen
                self.check_run(run, step)
                self.saw(run)
                if self.settled(run):
                    break
                seconds = pause(self.clock.now() - began, self.clock.random())
                await self.clock.sleep(max(seconds, STRAINED_PAUSE) if self.patience.pace.strained else seconds)
            if run.status in ENDED:
                self.patience.budget.take(run.usage.total_tokens if run.usage else 0)
            if run.status in ENDED and run.status != RunStatus.COMPLETED and not expects_status(step.expect):
                raise Trouble(ended_badly(run))
        return run

    def settled(self, run: Run) -> bool:
        """Whether nothing more comes of waiting for this run."""
        if run.status == RunStatus.REQUIRES_ACTION:
            return not self.answers.stale(run.required_calls, self.clock.now())
        return run.status in ENDED

    async def listen(self, run: Run, events: AsyncGenerator[StreamEvent, None]) -> None:
        """Follow the stream until the run settles in it, or until it breaks, stops or falls silent."""
        if self.settled(run):
            return
        over = False
        try:
            async with self.clock.timeout(SILENCE_SECONDS) as limit:
                async for event in events:
                    if over:
                        continue
                    self.hear(event)
                    over = event.run is not None and self.settled(event.run)
                    limit.reschedule(self.clock.now() + (DRAIN_SECONDS if over else SILENCE_SECONDS))
        except TimeoutError:
            trouble = _("the stream was silent for {seconds:g} s; the run is polled instead").format(seconds=SILENCE_SECONDS)
        except TargetError as error:
            trouble = _("the stream broke; the run is polled instead: {reason}").format(reason=error.sentence)
        else:
            trouble = _("the stream ended before the run did; the run is polled instead")
        finally:
            await events.aclose()
        if not over:
            self.warn(trouble)

    def hear(self, event: StreamEvent) -> None:
        if event.text:
            self.emit(TextArrived(self.step, event.text))
        if event.run is not None:
            self.saw(event.run)

    # ── the author's functions ───────────────────────────────────────────────────────────────────────────────────────

    async def answer(self, step: Step, run: Run) -> tuple[ToolOutput, ...]:
        """What the functions say to the calls the run waits for. A call that was answered before is not answered again."""
        answers = self.answers
        if not run.required_calls:
            raise Trouble(_("the run asks for an answer, but names no call"))
        if answers.rounds == ROUNDS:
            raise Trouble(_("the run asked for answers more than {rounds} times").format(rounds=ROUNDS))
        answers.rounds += 1
        tools = {tool.name: tool for tool in self.tools(step) if tool.function}
        outputs: dict[object, ToolOutput] = {}
        for place, call in enumerate(run.required_calls):
            given = answers.known(call)
            if given is None:
                given = await self.ask_function(call, tools.get(call.name))
                answers.given.append(given)
            # One output for a call, also when the service names it twice.
            outputs[identity(call) if call.id else place] = ToolOutput(call.id, given.output or "")
        return tuple(outputs.values())

    async def ask_function(self, call: ToolCall, tool: Tool | None) -> ToolCall:
        """The call with its output; raise Trouble when there is none."""
        from runner.tools import NoAnswer, Toolbox

        if self.toolbox is None:
            self.toolbox = Toolbox(self.folder, sleep=self.clock.sleep, trusted=self.trusted, ask=self.ask, debug=self.debug)
        began = self.clock.now()
        self.answering = call.name

        def tell(output: str, by: str, trouble: str) -> None:
            seconds = self.clock.now() - began
            self.emit(FunctionAnswered(self.step, call.id, call.name, call.arguments, output, by, seconds, trouble))

        try:
            answer = await self.toolbox.answer(call, self.filled(tool))
        except NoAnswer as error:
            tell("", "", str(error))
            raise Trouble(str(error)) from error
        except asyncio.CancelledError:
            tell("", "", _("stopped before it was done"))
            raise
        self.answering = ""
        tell(answer.output, answer.by, answer.trouble)
        return replace(call, output=answer.output, is_function=True, trouble=answer.trouble)

    async def submit(self, step: Step, run: Run, outputs: Sequence[ToolOutput]) -> Run:
        """Hand in the outputs and wait on. A stream counts as an answer with its first event."""
        with self.operation("submit_tool_outputs") as operation:
            operation.id = run.id
            taken = await self.target.hand_in(self.thread_id, run, outputs, streaming=self.streaming)
            now = taken.event.run or replace(run, status=RunStatus.IN_PROGRESS)
            self.took(step, run, now)
            operation.request_id = now.request_id
        if taken.event.text:
            self.emit(TextArrived(self.step, taken.event.text))
        if taken.events is None:
            if not taken.seen:
                # What it says of itself here is no proof yet that reading it shows the same.
                self.answers.since = self.clock.now()
            return await self.wait(step, now)
        async with aclosing(taken.events) as events:
            return await self.wait(step, now, events)

    def took(self, step: Step, asked: Run, now: Run) -> None:
        """The service has the outputs for what the run `asked`."""
        self.answers.taken.update(map(identity, asked.required_calls))
        self.answers.newest, self.answers.since = asked.required_calls, self.clock.now()
        same("id", now.id, asked.id)
        self.check_run(now, step)
        if now.status:
            self.saw(now)

    async def read_answer(self, step: Step, run: Run, seconds: float) -> Turn:
        with self.operation("read_answer") as operation:
            messages = await self.target.list_messages(self.thread_id, self.last_message)
            steps = await self.list_steps(run) if self.may_call(step) else ()
            mine = answered(messages, run.id)
            calls = completed((call for each in steps for call in each.calls), self.answers.given)
            calls = by_declared_name(calls, self.tools(step))
            text = "\n\n".join(message.text for message in mine if message.text)
            sources = picture_sources(calls, mine)[:PICTURES]
            operation.id = mine[-1].id if mine else ""
            if run.status == RunStatus.COMPLETED and not (text or calls or sources):
                raise Trouble(_("the run completed but left no text, no image and no call"))
        usage = run.usage
        self.emit(
            AnswerReceived(
                step=self.step,
                text=text,
                status=run.status,
                calls=tuple(Called(call.name, call.arguments, call.output, call.trouble) for call in calls),
                images=len(sources),
                seconds=seconds,
                input_tokens=usage.input_tokens if usage else None,
                output_tokens=usage.output_tokens if usage else None,
                total_tokens=usage.total_tokens if usage else None,
            )
        )
        images = await asyncio.gather(*map(self.fetch, sources))
        for index, image in enumerate(images, 1):
            self.keep(index, image)
        return Turn(
            text,
            run.status,
            calls,
            tuple(images),
            usage,
            seconds,
            run.last_error,
            parameters=self.parameters(step),
            folder=self.folder,
        )

    async def list_steps(self, run: Run) -> tuple[RunStep, ...]:
        try:
            return await self.target.list_steps(self.thread_id, run.id)
        except TargetError as error:
            if error.status not in (404, 405, 501):
                raise
        self.warn(_("the service lists no run steps, so calls of its own tools cannot be seen"))
        return ()

    async def fetch(self, source: str) -> Image:
        if "://" not in source:
            return Image(source, trouble=_("the service names a file, whose bytes it does not give"))
        try:
            return Image(source, await self.service.fetch_image(source))
        except TargetError as error:
            return Image(source, trouble=error.message)

    def keep(self, index: int, image: Image) -> None:
        path, trouble = "", image.trouble
        if image.data is not None and self.save_image is not None:
            try:
                path = self.save_image(self.step, index, image.data)
            except OSError as error:
                trouble = _("it could not be saved: {reason}").format(reason=error.strerror or error)
        self.emit(ImageSaved(self.step, image.source, path, trouble))

    # ── the verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def judge(self, number: int, expectations: Sequence[Expectation], turn: Turn) -> tuple[Outcome, str]:
        outcomes, reason = [Outcome.PASSED], ""
        for expectation in expectations:
            try:
                verdict = await self.evaluate(expand(expectation, self.values).check, turn)
            except (EmptyValue, UnknownVariable) as error:
                verdict = Verdict(Outcome.ERROR, valueless(error))
            at = expectation.place(verdict)
            self.emit(
                CheckEnded(
                    step=number,
                    check=expectation.name,
                    outcome=verdict.outcome,
                    line=at.line,
                    column=at.column,
                    end_line=at.end_line,
                    end_column=at.end_column,
                    message=verdict.message,
                    expected=verdict.expected,
                    actual=verdict.actual,
                )
            )
            outcomes.append(verdict.outcome)
            if verdict.outcome is Outcome.ERROR:
                reason = reason or f"`{expectation.name}`: {verdict.message}"
        return worst(outcomes), reason

    async def evaluate(self, check: Check, turn: Turn) -> Verdict:
        """What a check finds, away from the event loop if it may take its time."""
        all_of_it = tuple(within(check))
        if not self.trusted and any(getattr(each, "runs_code", False) for each in all_of_it):
            return Verdict(
                Outcome.ERROR,
                _("it runs code of the flow's folder, which is not permitted; see `runflow trust` and `--allow-tools`"),
            )
        if any(getattr(each, "blocks", False) for each in all_of_it):
            return await beside(partial(check.evaluate, turn))
        return check.evaluate(turn)

    async def judge_whole(self, expectations: Sequence[Expectation], turns: Sequence[Turn]) -> tuple[Outcome, str]:
        began = self.clock.now()
        self.emit(StepStarted(0, "", expectations[0].key.line, ()))
        outcome, reason = await self.judge(0, expectations, replace(whole(turns), folder=self.folder))
        self.emit(StepEnded(0, outcome, self.clock.now() - began, reason))
        return outcome, reason

    def save(self, step: Step, turn: Turn) -> str:
        """Keep what later steps use; why one of them could not be had, or nothing."""
        trouble = ""
        for name, wanted in (step.save or {}).items():
            try:
                value = saved(expand(wanted, self.values), turn.text)
            except (EmptyValue, UnknownVariable) as error:
                value, why = "", valueless(error)
            except ValueError as error:
                value, why = "", str(error)
            if value:
                self.values[name] = value
            else:
                self.values.pop(name, None)
                trouble = trouble or _("nothing to save as `{name}`: {reason}").format(name=name, reason=why)
        return trouble

    def check_run(self, run: Run, step: Step) -> None:
        same("thread_id", run.thread_id, self.thread_id)
        same("assistant_id", run.assistant_id, self.assistant_id)
        same("model", run.model, step.run.model if step.run else None)

    def saw(self, run: Run) -> None:
        if run.status != self.status:
            self.emit(RunStatusChanged(self.step, run.id, run.status))
        self.live, self.status = None if run.status in ENDED else run, run.status
        if run.status != RunStatus.REQUIRES_ACTION:
            self.answers.since = None

    def overdue(self, limit: float) -> str:
        if self.answering:
            return _("`{function}` had given no answer after {seconds:g} s").format(function=self.answering, seconds=limit)
        if self.live is None:
            return _("the step was not over after {seconds:g} s").format(seconds=limit)
        if self.status in WAITING or self.status == RunStatus.REQUIRES_ACTION:
            return _("the run was still `{status}` after {seconds:g} s").format(status=self.status, seconds=limit)
        return _("the run was in the unknown state `{status}` after {seconds:g} s").format(status=self.status, seconds=limit)

    def warn(self, message: str) -> None:
        self.emit(Warned(self.step, message))

    def warn_all(self, messages: Sequence[str]) -> None:
        for message in messages:
            self.warn(message)

    def filled(self, value: Filled) -> Filled:
        try:
            return expand(value, self.values)
        except (EmptyValue, UnknownVariable) as error:
            raise Trouble(valueless(error)) from error

    # ── making and unmaking ──────────────────────────────────────────────────────────────────────────────────────────

    async def make(self, creating: Coroutine[object, object, Made], undo: str) -> Made:
        """Create something and remember that it must be deleted, also when we are told to stop while the answer is due."""
        task = asyncio.ensure_future(creating)
        try:
            made = await asyncio.shield(task)
        except asyncio.CancelledError:
            self.told_to_stop = self.target.ends = self.clock.now()
            if not self.target.sending:
                task.cancel()
            with suppress(TargetError, TimeoutError, Spent, Unwritable, asyncio.CancelledError):
                async with self.clock.timeout(SIGNAL_SECONDS / 2):
                    self.remember(await task, undo)
            raise
        self.remember(made, undo)
        return made

    def remember(self, made: Made, undo: str) -> None:
        if made.id:
            self.made[made.id] = undo

    async def stop_run(self, seconds: float) -> None:
        """Cancel the live run and give it some time to end; what goes wrong with it is told, and no more."""
        run, calls = self.live, self.target
        if run is None:
            return
        before, calls.ends, calls.tidying, calls.urgent = calls.ends, self.clock.now() + seconds, True, True
        with suppress(Trouble, TargetError, TimeoutError):
            async with self.clock.timeout(seconds):
                with self.operation("cancel_run") as operation:
                    operation.id = run.id
                    await calls.cancel_run(self.thread_id, run.id)
                while self.service.capabilities.cancel and run.status not in ENDED:
                    run = await calls.read_run(self.thread_id, run.id)
                    if run.status not in ENDED:
                        await self.clock.sleep(FIRST_PAUSE)
        self.live, calls.ends, calls.tidying, calls.urgent = None, before, False, False

    async def clean_up(self, *, hurry: bool, keep: bool) -> None:
        """Delete what was made unless it is to be kept; raise Trouble when something is left. When told to stop meanwhile,
        hurry."""
        self.step = 0
        now = self.clock.now()
        limit = SIGNAL_SECONDS - now + (self.told_to_stop or now) if hurry else self.tidying_seconds(now)
        self.target.ends = now + limit
        try:
            async with self.clock.timeout(limit):
                await self.stop_run(SIGNAL_SECONDS / 2 if hurry else SETTLE_SECONDS)
                self.target.tidying, self.target.urgent = True, hurry
                await self.delete_all(keep)
        except TimeoutError as error:
            raise Trouble(_("there was no time to delete what was made")) from error
        except asyncio.CancelledError:
            if not hurry:
                self.told_to_stop = self.clock.now()
                await self.clean_up(hurry=True, keep=keep)
            raise
        finally:
            if self.toolbox is not None:
                await self.toolbox.close()
                self.toolbox = None

    def tidying_seconds(self, now: float) -> float:
        """How long cleaning up may take: what is left of the conversation's time, within bounds."""
        return min(STEP_SECONDS, max(TIDYING_SECONDS, self.ends - now))

    async def delete_all(self, keep: bool) -> None:
        """Newest first, each whatever became of the others; raise the first Trouble."""
        if keep:
            for id in self.made:
                self.target.keep(id)
            return
        trouble: Trouble | None = None
        for id, undo in reversed(list(self.made.items())):
            try:
                with self.operation(undo) as operation:
                    operation.id = id
                    await (self.target.delete_thread(id) if undo == "delete_thread" else self.target.delete_assistant(id))
                del self.made[id]
            except Trouble as error:
                trouble = trouble or error
        if trouble:
            raise trouble

    @contextmanager
    def operation(self, name: str) -> Iterator[Operation]:
        """Tell that an operation begins and what came of it; a call that failed becomes Trouble."""
        operation = Operation()
        began, self.doing = self.clock.now(), name
        self.emit(OperationStarted(name, self.step))

        def end(outcome: Outcome, message: str = "") -> None:
            seconds = self.clock.now() - began
            self.emit(OperationEnded(name, self.step, outcome, seconds, operation.id, operation.request_id, message))

        try:
            yield operation
        except TargetError as error:
            if self.shut_out is not None and hopeless(error):
                self.shut_out(error)
            operation.request_id = error.request_id
            end(Outcome.ERROR, error.sentence)
            raise Trouble(error.sentence) from error
        except Trouble as trouble:
            end(Outcome.ERROR, str(trouble))
            raise
        except (Spent, Unwritable) as error:
            end(Outcome.ERROR, str(error))
            raise Trouble(str(error)) from error
        except asyncio.CancelledError:
            end(Outcome.ERROR, _("stopped before it was done"))
            raise
        else:
            end(Outcome.PASSED)


async def first_run(events: AsyncGenerator[StreamEvent, None]) -> Run:
    """The run that its stream names first."""
    event = await anext(events)
    assert event.run is not None
    return event.run


async def beside(work: Callable[[], Verdict]) -> Verdict:
    """What some work comes to that takes its time, on a thread of its own: one that nobody waits for when we are told to
    stop, as the loop would for those of its own."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Verdict] = loop.create_future()

    def settle(error: BaseException | None, verdict: Verdict | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        elif verdict is not None:
            found.set_result(verdict)

    def do() -> None:
        error, verdict = None, None
        try:
            verdict = work()
        except BaseException as raised:
            error = raised
        # A loop that is closed waits for nothing.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, error, verdict)

    threading.Thread(target=copy_context().run, args=(do,), name=BESIDE, daemon=True).start()
    return await found


def pause(waited: float, chance: float) -> float:
    """How long to wait before asking again: 8 % of the time waited so far, between bounds, a little less at random."""
    return max(FIRST_PAUSE, min(LONGEST_PAUSE, 0.08 * waited)) * (1 - 0.2 * chance)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """A proven failure outranks what could not be judged."""
    return next((outcome for outcome in (Outcome.FAILED, Outcome.ERROR) if outcome in outcomes), Outcome.PASSED)


def sampled(sample: str | Sample | None) -> Sample | None:
    return Sample(sample) if isinstance(sample, str) else sample


def unanswered(written: Settings) -> Settings:
    """The same without the answers of its functions: those are no business of the service's, and may use values that are
    saved only later."""
    if not written.tools:
        return written
    tools = tuple(
        replace(tool, function=replace(tool.function, answer=None)) if tool.function else tool for tool in written.tools
    )
    return replace(written, tools=tools)


def has_id(id: str) -> None:
    if not id:
        raise Trouble(_("the answer has no `id`"))


def same(name: str, got: str, sent: str | None) -> None:
    if got and sent and got != sent:
        raise Trouble(_("the answer has another `{name}`: {got} instead of {sent}").format(name=name, got=got, sent=sent))


def within(check: Check) -> Iterator[Check]:
    """The check itself and the checks it is made of, at every depth."""
    yield check
    inner = getattr(check, "value", None)
    for each in inner if isinstance(inner, tuple) else ():
        if isinstance(each, Expectation):
            yield from within(each.check)


def expects_status(expectations: Sequence[Expectation]) -> bool:
    """Whether one of the checks, or of the checks within them, judges the run's status."""
    return any(each.name == "status" for expectation in expectations for each in within(expectation.check))


def ended_badly(run: Run) -> str:
    sentence = _("the run ended as `{status}`").format(status=run.status)
    if run.last_error is not None:
        sentence += ": " + ": ".join(filter(None, (run.last_error.code, run.last_error.message)))
    return _("{line} (request id {id})").format(line=sentence, id=run.request_id) if run.request_id else sentence


def valueless(error: EmptyValue | UnknownVariable) -> str:
    if isinstance(error, EmptyValue):
        return _("`{text}` became empty").format(text=error.text)
    return _("`{name}` has no value").format(name=error.name)
