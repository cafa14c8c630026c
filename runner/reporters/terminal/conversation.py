"""One conversation as it happens: its operations with their durations, the answers, the checks, the verdict."""

from collections.abc import Callable

from runner.clean import one_line
from runner.events import (
    AttemptEnded,
    AttemptStarted,
    Called,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Event,
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
from runner.model import Outcome, RunStatus
from runner.report import AttemptReport, fold_attempt, fold_case, fold_step
from runner.reporters.terminal.paint import FRAMES, Look, wrapped
from runner.reporters.terminal.telling import ANSWERING, Teller, operation
from runner.words import _

__all__ = ["Conversation"]


class Conversation:
    """One conversation on its way to the screen: `take` gives the lines that have become final, `running` the others."""

    def __init__(self, number: int, started: CaseStarted, look: Look, verbose: bool, clock: Callable[[], float]) -> None:
        self.number = number
        self.started = started
        self.tell = Teller(started, look, verbose=verbose)
        self.paint = self.tell.paint
        self.verbose = verbose
        self.clock = clock
        self.events: list[Event] = [started]
        self.begun = 0
        """Where the events of the attempt under way begin; 0 between attempts."""
        self.before: AttemptReport | None = None
        self.outcome = ""
        self.lines = ["", f"{self.paint.paint('▸', 'cyan')} {self.paint.join(self.tell.title())}"]
        self.step: StepStarted | None = None
        self.warnings: list[str] = []
        self.again: list[Retried] = []
        self.operations: list[OperationEnded] = []
        self.doing: tuple[str, float] | None = None
        """What is under way, and since when: an operation, or the answering of functions between two of them."""
        self.status = ""
        self.text = ""
        self.answered: list[Called] = []

    @property
    def ended(self) -> bool:
        return bool(self.outcome)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def receive(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case AttemptStarted():
                self.begin_attempt(event)
            case StepStarted(step=step) if step > 0:
                self.tell_operations("  ")
                self.step, self.status = event, ""
                self.lines += self.tell.question(event)
            case OperationStarted():
                self.doing = (event.operation, self.clock())
            case RunStatusChanged():
                self.status = event.status
            case TextArrived():
                self.text += event.text
            case FunctionAnswered():
                self.answered.append(Called(event.name, event.arguments, event.output if event.by else None, event.trouble))
            case Retried():
                self.again.append(event)
            case OperationEnded():
                self.operations.append(event)
                answering = event.operation == "wait" and self.status == RunStatus.REQUIRES_ACTION
                self.doing = (ANSWERING, self.clock()) if answering else None
            case Warned():
                self.warnings.append(event.message)
            case ImageSaved() if event.trouble:
                self.warnings.append(event.trouble)
            case StepEnded(step=0):
                self.lines.append("  " + self.paint.paint(_("the whole conversation"), "bold"))
                whole = [each for each in self.attempted if isinstance(each, CheckEnded) and each.step == 0]
                self.lines += self.tell.checks(whole, "      ")
            case StepEnded(step=step):
                self.end_step(step)
            case AttemptEnded():
                self.end_attempt()
            case CaseEnded():
                self.end()

    @property
    def attempted(self) -> list[Event]:
        """The events of the attempt under way."""
        return self.events[self.begun :]

    def begin_attempt(self, started: AttemptStarted) -> None:
        self.begun = len(self.events) - 1
        self.tell.forget()
        if self.before is not None:
            self.lines.append(self.tell.attempt_ended(self.before))
        if self.before is not None or self.started.times > 1:
            self.lines.append(self.tell.attempt(started.attempt))

    def end_step(self, number: int) -> None:
        step = fold_step(number, self.attempted)
        self.tell_operations("      ")
        self.lines += self.tell.answered(step)
        self.lines += self.tell.checks(step.checks, "      ")
        self.lines += self.tell.reason(step, "      ")
        self.step, self.doing, self.text, self.answered = None, None, "", []

    def tell_operations(self, indent: str) -> None:
        """The operations since the last time, and what was odd or wrong about them."""
        self.lines += [line for call in self.again for line in self.tell.again(call, indent)]
        self.lines += self.tell.operations(self.operations, indent)
        self.lines += [line for odd in self.warnings for line in self.tell.warning(odd, indent)]
        self.operations, self.again, self.warnings = [], [], []

    def end_attempt(self) -> None:
        attempt = fold_attempt(self.attempted, self.started.steps)
        if self.step is not None:
            self.end_step(self.step.step)
        if not attempt.steps:
            self.tell_operations("  ")
        if attempt.not_run:
            last = len(attempt.steps) + attempt.not_run
            numbers = str(last) if attempt.not_run == 1 else f"{len(attempt.steps) + 1}–{last}"
            self.lines.append("  " + self.paint.paint(f"{numbers} – " + _("not run"), "dim"))
        self.tell_operations("  ")
        self.lines += self.tell.ids(attempt)
        self.lines += self.tell.reason(attempt, "  ") if attempt.outcome != Outcome.SKIPPED else []
        self.before, self.begun = attempt, 0

    def end(self) -> None:
        """The conversation has ended, or was interrupted."""
        if self.begun:
            self.end_attempt()
        case = fold_case(self.number, self.events)
        self.outcome = case.outcome
        self.lines += self.tell.reason(case, "  ") if case.outcome != Outcome.SKIPPED else []
        if self.before is not None and len(case.attempts) > 1:
            self.lines.append(self.tell.attempt_ended(self.before))
        self.lines += self.tell.ended(case)
        self.events = [self.started]

    def running(self) -> list[str]:
        """The operations of this moment, the one under way last, and with `verbose` the end of the answer so far."""
        doing, parts, text = self.doing, list(map(self.tell.timed, self.operations)), self.text
        indent = "      " if self.step else "  "
        if doing is not None:
            name, since = doing
            seconds = self.clock() - since
            frame = FRAMES[int(seconds * 10) % len(FRAMES)]
            status = one_line(self.status).replace("_", " ") if name == "wait" else ""
            words = [operation(name), status, f"{seconds:.1f} s"]
            parts.append(f"{self.paint.paint(frame, 'cyan')} {' '.join(word for word in words if word)}")
        lines = [line for call in list(self.again) for line in self.tell.again(call, indent)]
        lines += self.paint.flowing(parts, indent)
        lines += [f"{indent}{self.tell.folded(call)}" for call in list(self.answered)]
        if self.verbose and text:
            lines += [f"{indent}{self.paint.bar} {row}" for row in list(wrapped(text[-2000:], self.tell.room))[-8:]]
        return lines
