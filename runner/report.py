"""Fold the stream of envelopes into a Report: what every conversation came to, the totals and the exit code."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from runner.clean import one_line
from runner.diagnostics import Diagnostic, Span
from runner.events import (
    AnswerReceived,
    Called,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    RunStatusChanged,
    StepEnded,
    StepStarted,
    SuiteEnded,
    SuiteStarted,
    TextArrived,
    Warned,
)
from runner.model import Outcome
from runner.words import _, ngettext

__all__ = ["CaseReport", "Fold", "Report", "StepReport", "Totals", "diagnostic", "fold_case", "fold_step"]

MOMENTS = (OperationStarted, RunStatusChanged, TextArrived)
"""Worth showing while it happens; what follows says it again."""

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step as it went, or the conversation as a whole, which has no number of its own: step 0."""

    step: int
    name: str
    line: int
    user: tuple[str, ...]
    outcome: str
    seconds: float
    reason: str
    operations: tuple[OperationEnded, ...]
    functions: tuple[FunctionAnswered, ...]
    """The author's functions that were called, as they were answered; those of a run that failed later included."""
    answer: AnswerReceived | None
    images: tuple[ImageSaved, ...]
    checks: tuple[CheckEnded, ...]
    warnings: tuple[str, ...]

    @property
    def calls(self) -> tuple[Called, ...]:
        """The tool calls of the answer; where it tells none, or never came, what was answered."""
        if self.answer is not None and self.answer.calls:
            return self.answer.calls
        return tuple(
            Called(each.name, each.arguments, each.output if each.by else None, each.trouble) for each in self.functions
        )


@dataclass(frozen=True, slots=True)
class CaseReport:
    """One conversation. `operations`, `checks` and `warnings` belong to no single step; `left` are ids not deleted."""

    case: int
    path: str
    flow: str
    label: str
    tags: tuple[str, ...]
    model: str
    outcome: str
    seconds: float
    reason: str
    operations: tuple[OperationEnded, ...]
    steps: tuple[StepReport, ...]
    not_run: int
    """How many steps were never begun."""
    checks: tuple[CheckEnded, ...]
    warnings: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def all_checks(self) -> tuple[CheckEnded, ...]:
        return tuple(check for step in self.steps for check in step.checks) + self.checks

    @property
    def wrong(self) -> tuple[CheckEnded, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.all_checks if check.outcome != Outcome.PASSED)

    @property
    def all_operations(self) -> tuple[OperationEnded, ...]:
        return tuple(each for step in self.steps for each in step.operations) + self.operations

    @property
    def images(self) -> tuple[ImageSaved, ...]:
        return tuple(image for step in self.steps for image in step.images)

    @property
    def title(self) -> str:
        return f"{self.flow} [{self.label}]" if self.label else self.flow


@dataclass(frozen=True, slots=True)
class Totals:
    """Every conversation is counted once: flows = passed + flaky + failed + errors + skipped + not_run.

    A conversation is played once, so that none is flaky and no retry is made.
    """

    flows: int
    passed: int
    flaky: int
    failed: int
    errors: int
    skipped: int
    not_run: int
    checks: int
    checks_failed: int
    retries: int
    images: int
    input_tokens: int
    output_tokens: int
    total_tokens: int

    @property
    def line(self) -> str:
        """The last line of a run; it adds up."""
        verdicts = [
            _("{count} passed").format(count=self.passed),
            _("{count} flaky").format(count=self.flaky),
            _("{count} failed").format(count=self.failed),
            ngettext("{count} error", "{count} errors", self.errors).format(count=self.errors),
            _("{count} skipped").format(count=self.skipped),
        ]
        if self.not_run:
            verdicts.append(_("{count} not run").format(count=self.not_run))
        return _("{flows}: {verdicts}; {checks}; {retries}").format(
            flows=ngettext("{count} flow", "{count} flows", self.flows).format(count=self.flows),
            verdicts=", ".join(verdicts),
            checks=ngettext("{count} check", "{count} checks", self.checks).format(count=self.checks),
            retries=ngettext("{count} retry", "{count} retries", self.retries).format(count=self.retries),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run came to. `started` is Unix time; `simulated` says that no model answered."""

    format: Literal["runflow-report/1"]
    version: str
    target: str
    base_url: str
    reason: str
    simulated: bool
    started: float
    seconds: float
    signal: int
    exit_code: int
    totals: Totals
    cases: tuple[CaseReport, ...]

    @classmethod
    def of(cls, envelopes: Iterable[Envelope]) -> "Report":
        fold = Fold()
        for envelope in envelopes:
            fold.receive(envelope)
        return fold.report()

    def summary_line(self) -> str:
        return self.totals.line


class Fold:
    """Takes envelopes as they come, conversations interleaved or not; `report` may be asked for at any time."""

    def __init__(self) -> None:
        self.suite: SuiteStarted | None = None
        self.started = 0.0
        self.latest = 0.0
        self.ended: SuiteEnded | None = None
        self.open: dict[int, list[Event]] = {}
        self.closed: dict[int, CaseReport] = {}

    def receive(self, envelope: Envelope) -> None:
        self.latest = max(self.latest, envelope.time)
        match envelope.event:
            case SuiteStarted() as suite:
                self.suite, self.started = suite, envelope.time
            case SuiteEnded() as ended:
                self.ended = ended
            case CaseStarted() as started:
                self.open[envelope.case] = [started]
            case event if envelope.case in self.open and not isinstance(event, MOMENTS):
                self.open[envelope.case].append(event)
                if isinstance(event, CaseEnded):
                    self.closed[envelope.case] = fold_case(envelope.case, self.open.pop(envelope.case))

    def report(self) -> Report:
        """What it comes to so far; a conversation that has not ended counts as interrupted."""
        interrupted = {number: fold_case(number, events) for number, events in self.open.items()}
        cases = tuple(case for _number, case in sorted((self.closed | interrupted).items()))
        totals = add_up(cases, self.suite.cases if self.suite else 0)
        signal = self.ended.signal if self.ended else 0
        return Report(
            format="runflow-report/1",
            version=self.suite.version if self.suite else "",
            target=self.suite.target if self.suite else "",
            base_url=self.suite.base_url if self.suite else "",
            reason=self.suite.reason if self.suite else "",
            simulated=self.suite.simulated if self.suite else False,
            started=self.started,
            seconds=self.ended.seconds if self.ended else self.latest - self.started,
            signal=signal,
            exit_code=exit_code(totals, signal),
            totals=totals,
            cases=cases,
        )


def fold_case(number: int, events: Sequence[Event]) -> CaseReport:
    """The events of one conversation, the first of them its CaseStarted."""
    started = only(events, CaseStarted)[0]
    numbers = sorted({event.step for event in only(events, StepStarted)} - {0})
    whole = fold_step(0, events)
    steps = tuple(fold_step(step, events) for step in numbers)
    spent = sum(operation.seconds for operation in only(events, OperationEnded))
    ended = next(iter(only(events, CaseEnded)), CaseEnded(Outcome.ERROR, spent, _("interrupted")))
    return CaseReport(
        case=number,
        path=started.path,
        flow=started.flow,
        label=started.label,
        tags=started.tags,
        model=started.model,
        outcome=ended.outcome if ended.outcome in set(Outcome) else Outcome.ERROR,
        seconds=ended.seconds,
        reason=ended.reason,
        operations=whole.operations,
        steps=steps,
        not_run=max(0, started.steps - len(steps)),
        checks=whole.checks,
        warnings=whole.warnings,
        left=ended.left,
    )


def fold_step(number: int, events: Sequence[Event]) -> StepReport:
    """What the events say about one step; one that has not ended was interrupted."""
    mine = [event for event in events if getattr(event, "step", None) == number]
    started = next(iter(only(mine, StepStarted)), StepStarted(number, "", 0, ()))
    ended = next(iter(only(mine, StepEnded)), StepEnded(number, Outcome.ERROR, 0, _("interrupted")))
    return StepReport(
        step=number,
        name=started.name,
        line=started.line,
        user=started.user,
        outcome=ended.outcome,
        seconds=ended.seconds,
        reason=ended.reason,
        operations=only(mine, OperationEnded),
        functions=only(mine, FunctionAnswered),
        answer=next(iter(only(mine, AnswerReceived)), None),
        images=only(mine, ImageSaved),
        checks=only(mine, CheckEnded),
        warnings=tuple(warned.message for warned in only(mine, Warned)),
    )


def only(events: Iterable[object], kind: type[Kind]) -> tuple[Kind, ...]:
    return tuple(event for event in events if isinstance(event, kind))


def add_up(cases: Sequence[CaseReport], planned: int) -> Totals:
    """`planned` is how many conversations there should have been; what is missing was not run."""
    verdicts = [case.outcome for case in cases]
    checks = [check for case in cases for check in case.all_checks]
    answers = [step.answer for case in cases for step in case.steps if step.answer is not None]
    return Totals(
        flows=max(planned, len(cases)),
        passed=verdicts.count(Outcome.PASSED),
        flaky=0,
        failed=verdicts.count(Outcome.FAILED),
        errors=verdicts.count(Outcome.ERROR),
        skipped=verdicts.count(Outcome.SKIPPED),
        not_run=max(0, planned - len(cases)),
        checks=len(checks),
        checks_failed=sum(check.outcome != Outcome.PASSED for check in checks),
        retries=0,
        images=sum(bool(image.path) for case in cases for image in case.images),
        input_tokens=sum(answer.input_tokens or 0 for answer in answers),
        output_tokens=sum(answer.output_tokens or 0 for answer in answers),
        total_tokens=sum(answer.total_tokens or 0 for answer in answers),
    )


def exit_code(totals: Totals, signal: int) -> int:
    """The first that applies: stopped by a signal, a check failed, no verdict, nothing ran, all well."""
    if signal:
        return 128 + signal
    if totals.failed:
        return 1
    if totals.errors or totals.not_run:
        return 4
    return 0 if totals.passed else 5


def diagnostic(check: CheckEnded, path: str) -> Diagnostic:
    """A check that did not pass, as a complaint about the line that expected it."""
    rows = ((_("expected"), check.expected), (_("actual"), check.actual))
    return Diagnostic(
        one_line(check.check),
        check.message,
        path,
        Span(check.line, check.column, check.end_line, check.end_column),
        notes=tuple((name, text) for name, text in rows if text),
    )
