"""Fold the stream of envelopes into a Report: what every conversation came to, the totals and the exit code."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, overload

from runner.clean import one_line
from runner.diagnostics import Diagnostic, Span
from runner.events import (
    AnswerReceived,
    AttemptEnded,
    AttemptStarted,
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
    Retried,
    RunStatusChanged,
    StepEnded,
    StepStarted,
    SuiteEnded,
    SuiteStarted,
    TextArrived,
    Warned,
)
from runner.model import Outcome
from runner.values import dataclass
from runner.words import _, ngettext

__all__ = [
    "AttemptReport",
    "CaseReport",
    "Cases",
    "Fold",
    "Report",
    "Shelf",
    "StepReport",
    "Summary",
    "Totals",
    "diagnostic",
    "fold_attempt",
    "fold_case",
    "fold_step",
]

MOMENTS = (OperationStarted, RunStatusChanged, TextArrived)
"""Worth showing while it happens; what follows says it again."""
OUTCOMES = frozenset(Outcome)

Kind = TypeVar("Kind", bound=Event)


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
class AttemptReport:
    """One playing of a conversation. `operations`, `checks` and `warnings` belong to no single step; `left` are ids not
    deleted, `kept` those that were to stay."""

    attempt: int
    outcome: str
    seconds: float
    reason: str
    operations: tuple[OperationEnded, ...]
    steps: tuple[StepReport, ...]
    not_run: int
    """How many steps were never begun."""
    checks: tuple[CheckEnded, ...]
    warnings: tuple[str, ...]
    http_retries: tuple[Retried, ...]
    """The calls that were made again."""
    left: tuple[str, ...]
    kept: tuple[str, ...]

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
    def headline(self) -> str:
        """One sentence: the first check that did not pass, or why there is no verdict; empty when it passed."""
        return next((f"{check.message} [{check.check}]" for check in self.wrong), self.reason)

    @property
    def answers(self) -> tuple[AnswerReceived, ...]:
        return tuple(step.answer for step in self.steps if step.answer is not None)


@dataclass(frozen=True, slots=True)
class CaseReport:
    """One conversation and its verdict. `needed` of `times` attempts had to pass, as `repeat` says; where that is 1 of 1, a
    second attempt is a retry. One that was never begun has no attempt."""

    case: int
    path: str
    flow: str
    label: str
    tags: tuple[str, ...]
    target: str
    model: str
    times: int
    needed: int
    digest: str
    outcome: str
    seconds: float
    reason: str
    attempts: tuple[AttemptReport, ...]

    @property
    def deciding(self) -> AttemptReport:
        """The attempt to look at first: the first that came to the verdict, or where it is flaky the last, which passed."""
        if not self.attempts:
            return AttemptReport(0, self.outcome, 0, self.reason, (), (), 0, (), (), (), (), ())
        return next((each for each in self.attempts if each.outcome == self.outcome), self.attempts[-1])

    @property
    def operations(self) -> tuple[OperationEnded, ...]:
        return self.deciding.operations

    @property
    def steps(self) -> tuple[StepReport, ...]:
        return self.deciding.steps

    @property
    def not_run(self) -> int:
        return self.deciding.not_run

    @property
    def checks(self) -> tuple[CheckEnded, ...]:
        return self.deciding.checks

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.deciding.warnings

    @property
    def all_checks(self) -> tuple[CheckEnded, ...]:
        return self.deciding.all_checks

    @property
    def wrong(self) -> tuple[CheckEnded, ...]:
        return self.deciding.wrong

    @property
    def all_operations(self) -> tuple[OperationEnded, ...]:
        return self.deciding.all_operations

    @property
    def images(self) -> tuple[ImageSaved, ...]:
        return tuple(image for attempt in self.attempts for image in attempt.images)

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(id for attempt in self.attempts for id in attempt.left)

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(id for attempt in self.attempts for id in attempt.kept)

    @property
    def line(self) -> int:
        """Where in the file to look: the first check that did not pass, else the first step."""
        first = next((check.line for check in self.wrong if check.line), 0)
        return first or next((step.line for step in self.steps if step.line), 1)

    @property
    def headline(self) -> str:
        """One sentence: the first check that did not pass, or why there is no verdict; empty when it passed."""
        return next((f"{check.message} [{check.check}]" for check in self.wrong), self.reason)

    @property
    def title(self) -> str:
        return f"{self.flow} [{self.label}]" if self.label else self.flow


@dataclass(frozen=True, slots=True)
class Summary:
    """What of a conversation is kept in memory: enough to count it, and to name it in a list."""

    case: int
    path: str
    label: str
    title: str
    tags: tuple[str, ...]
    target: str
    model: str
    outcome: str
    seconds: float
    line: int
    headline: str
    attempts: int
    retries: int
    http_retries: int
    checks: int
    checks_failed: int
    images: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    left: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Every conversation is counted once: flows = passed + flaky + failed + errors + skipped + not_run.

    `retries` are further attempts at whole conversations, `http_retries` calls that were made again; the tokens are those of
    all attempts, the checks those of the attempts that decided.
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
    http_retries: int
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
        return (
            _("{flows}: {verdicts}; {checks}; {retries}").format(
                flows=ngettext("{count} flow", "{count} flows", self.flows).format(count=self.flows),
                verdicts=", ".join(verdicts),
                checks=ngettext("{count} check", "{count} checks", self.checks).format(count=self.checks),
                retries=ngettext("{count} retry", "{count} retries", self.retries).format(count=self.retries),
            )
            + self.repeated
        )

    @property
    def repeated(self) -> str:
        calls = ngettext("{count} call repeated", "{count} calls repeated", self.http_retries)
        return f"; {calls}".format(count=self.http_retries) if self.http_retries else ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run came to. `started` is Unix time; `simulated` says that no model answered; `stopped` says why it ended
    early, if it did. `cases` may be read one by one from disk: go through them once, and keep none."""

    format: Literal["runflow-report/1"]
    version: str
    target: str
    base_url: str
    reason: str
    simulated: bool
    started: float
    seconds: float
    signal: int
    stopped: str
    exit_code: int
    totals: Totals
    cases: Sequence[CaseReport]

    @classmethod
    def of(cls, envelopes: Iterable[Envelope]) -> "Report":
        fold = Fold()
        for envelope in envelopes:
            fold.receive(envelope)
        return fold.report()

    def summary_line(self) -> str:
        return self.totals.line

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """The conversations in short, in their order."""
        return self.cases.summaries if isinstance(self.cases, Cases) else tuple(map(summary, self.cases))


class Shelf(Protocol):
    """Where the events of finished conversations are put down, to be read again one conversation at a time."""

    def put(self, case: int, envelopes: Sequence[Envelope]) -> None: ...
    def take(self, case: int) -> Sequence[Envelope]: ...


class Memory:
    """A shelf that keeps everything."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Envelope, ...]] = {}

    def put(self, case: int, envelopes: Sequence[Envelope]) -> None:
        self.kept[case] = tuple(envelopes)

    def take(self, case: int) -> Sequence[Envelope]:
        return self.kept[case]


class Cases(Sequence[CaseReport]):
    """The conversations in their order, each folded when it is asked for."""

    def __init__(self, short: Mapping[int, Summary], shelf: Shelf, unfinished: Mapping[int, CaseReport]) -> None:
        short = dict(sorted((*short.items(), *((number, summary(case)) for number, case in unfinished.items()))))
        self.numbers = tuple(short)
        self.summaries = tuple(short.values())
        self.shelf = shelf
        self.unfinished = unfinished

    def of(self, number: int) -> CaseReport:
        """The conversation with that number."""
        if number in self.unfinished:
            return self.unfinished[number]
        return fold_case(number, [envelope.event for envelope in self.shelf.take(number)])

    @overload
    def __getitem__(self, index: int) -> CaseReport: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CaseReport, ...]: ...
    def __getitem__(self, index: int | slice) -> CaseReport | tuple[CaseReport, ...]:
        if isinstance(index, slice):
            return tuple(self.of(number) for number in self.numbers[index])
        return self.of(self.numbers[index])

    def __len__(self) -> int:
        return len(self.numbers)


class Fold:
    """Takes envelopes as they come, conversations interleaved or not; `report` may be asked for at any time.

    What happened in a conversation that has ended goes to the shelf; only a summary of it is kept here. With `elsewhere` it
    happened on some other machine, so that no path in it is to be trusted.
    """

    def __init__(self, shelf: Shelf | None = None, *, elsewhere: bool = False) -> None:
        self.shelf: Shelf = shelf or Memory()
        self.elsewhere = elsewhere
        self.suite: SuiteStarted | None = None
        self.started = 0.0
        self.latest = 0.0
        self.ended: SuiteEnded | None = None
        self.open: dict[int, list[Envelope]] = {}
        self.closed: dict[int, Summary] = {}

    def receive(self, envelope: Envelope) -> None:
        self.latest = max(self.latest, envelope.time)
        match envelope.event:
            case SuiteStarted() as suite:
                self.suite, self.started = suite, envelope.time
            case SuiteEnded() as ended:
                self.ended = ended
            case CaseStarted():
                self.open[envelope.case] = [envelope]
            case event if envelope.case in self.open and not isinstance(event, MOMENTS):
                self.open[envelope.case].append(envelope)
                if isinstance(event, CaseEnded):
                    self.close(envelope.case, self.open.pop(envelope.case))

    def close(self, number: int, envelopes: Sequence[Envelope]) -> None:
        self.closed[number] = summary(fold_case(number, [envelope.event for envelope in envelopes]))
        self.shelf.put(number, envelopes)

    def report(self) -> Report:
        """What it comes to so far; a conversation that has not ended counts as interrupted."""
        events = {number: [envelope.event for envelope in envelopes] for number, envelopes in self.open.items()}
        cases = Cases(self.closed, self.shelf, {number: fold_case(number, mine) for number, mine in events.items()})
        suite = self.suite or SuiteStarted("", "", "", "", 0, False)
        totals = add_up(cases.summaries, suite.cases)
        signal = self.ended.signal if self.ended else 0
        return Report(
            format="runflow-report/1",
            version=suite.version,
            target=suite.target,
            base_url=suite.base_url,
            reason=suite.reason,
            simulated=suite.simulated,
            started=self.started,
            seconds=self.ended.seconds if self.ended else self.latest - self.started,
            signal=signal,
            stopped=self.ended.reason if self.ended else "",
            exit_code=exit_code(totals, signal, fail_on_flaky=suite.fail_on_flaky),
            totals=totals,
            cases=cases,
        )


def fold_case(number: int, events: Sequence[Event]) -> CaseReport:
    """The events of one conversation, the first of them its CaseStarted; one whose last is no CaseEnded was interrupted."""
    started, ended = events[0], events[-1]
    assert isinstance(started, CaseStarted)
    begun = [place for place, event in enumerate(events) if isinstance(event, AttemptStarted)]
    attempts = tuple(
        fold_attempt(events[here:there], started.steps) for here, there in zip(begun, [*begun, None][1:], strict=True)
    )
    if not isinstance(ended, CaseEnded):
        ended = CaseEnded(Outcome.ERROR, sum(attempt.seconds for attempt in attempts), _("interrupted"))
    return CaseReport(
        case=number,
        path=started.path,
        flow=started.flow,
        label=started.label,
        tags=started.tags,
        target=started.target,
        model=started.model,
        times=started.times,
        needed=started.needed,
        digest=started.digest,
        outcome=ended.outcome if ended.outcome in OUTCOMES else Outcome.ERROR,
        seconds=ended.seconds,
        reason=ended.reason,
        attempts=attempts,
    )


def fold_attempt(events: Sequence[Event], planned: int) -> AttemptReport:
    """The events of one attempt, the first of them its AttemptStarted; `planned` is how many steps it has."""
    told = Told(events)
    numbers = sorted({event.step for event in events if isinstance(event, StepStarted)} - {0})
    steps = tuple(map(told.step, numbers))
    ended = told.first(AttemptEnded)
    if ended is None:
        spent = sum(event.seconds for event in events if isinstance(event, OperationEnded))
        ended = AttemptEnded(Outcome.ERROR, spent, _("interrupted"))
    return AttemptReport(
        attempt=told.all(AttemptStarted)[0].attempt,
        outcome=ended.outcome,
        seconds=ended.seconds,
        reason=ended.reason,
        operations=told.all(OperationEnded, 0),
        steps=steps,
        not_run=max(0, planned - len(steps)),
        checks=told.all(CheckEnded, 0),
        warnings=tuple(warned.message for warned in told.all(Warned, 0)),
        http_retries=tuple(event for event in events if isinstance(event, Retried)),
        left=ended.left,
        kept=ended.kept,
    )


def fold_step(number: int, events: Sequence[Event]) -> StepReport:
    """What the events of an attempt say about one step."""
    return Told(events).step(number)


class Told:
    """The events of one attempt by step, None where they belong to none, and kind."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.found: dict[tuple[int | None, object], list[Any]] = {}
        for event in events:
            self.found.setdefault((getattr(event, "step", None), type(event)), []).append(event)

    def all(self, kind: type[Kind], step: int | None = None) -> tuple[Kind, ...]:
        return tuple(self.found.get((step, kind), ()))

    def first(self, kind: type[Kind], step: int | None = None) -> Kind | None:
        return next(iter(self.all(kind, step)), None)

    def step(self, number: int) -> StepReport:
        """One that has not ended was interrupted."""
        started = self.first(StepStarted, number) or StepStarted(number, "", 0, ())
        ended = self.first(StepEnded, number) or StepEnded(number, Outcome.ERROR, 0, _("interrupted"))
        return StepReport(
            step=number,
            name=started.name,
            line=started.line,
            user=started.user,
            outcome=ended.outcome,
            seconds=ended.seconds,
            reason=ended.reason,
            operations=self.all(OperationEnded, number),
            functions=self.all(FunctionAnswered, number),
            answer=self.first(AnswerReceived, number),
            images=self.all(ImageSaved, number),
            checks=self.all(CheckEnded, number),
            warnings=tuple(warned.message for warned in self.all(Warned, number)),
        )


def summary(case: CaseReport) -> Summary:
    answers = [answer for attempt in case.attempts for answer in attempt.answers]
    return Summary(
        case=case.case,
        path=case.path,
        label=case.label,
        title=case.title,
        tags=case.tags,
        target=case.target,
        model=case.model,
        outcome=case.outcome,
        seconds=case.seconds,
        line=case.line,
        headline=case.headline,
        attempts=len(case.attempts),
        retries=max(0, len(case.attempts) - case.times),
        http_retries=sum(len(attempt.http_retries) for attempt in case.attempts),
        checks=len(case.all_checks),
        checks_failed=len(case.wrong),
        images=sum(bool(image.path) for image in case.images),
        input_tokens=sum(answer.input_tokens or 0 for answer in answers),
        output_tokens=sum(answer.output_tokens or 0 for answer in answers),
        total_tokens=sum(answer.total_tokens or 0 for answer in answers),
        left=case.left,
        kept=case.kept,
    )


def add_up(cases: Sequence[Summary], planned: int) -> Totals:
    """`planned` is how many conversations there should have been; what is missing was not run."""
    verdicts = [case.outcome for case in cases]
    return Totals(
        flows=max(planned, len(cases)),
        passed=verdicts.count(Outcome.PASSED),
        flaky=verdicts.count(Outcome.FLAKY),
        failed=verdicts.count(Outcome.FAILED),
        errors=verdicts.count(Outcome.ERROR),
        skipped=verdicts.count(Outcome.SKIPPED),
        not_run=verdicts.count(Outcome.NOT_RUN) + max(0, planned - len(cases)),
        checks=sum(case.checks for case in cases),
        checks_failed=sum(case.checks_failed for case in cases),
        retries=sum(case.retries for case in cases),
        http_retries=sum(case.http_retries for case in cases),
        images=sum(case.images for case in cases),
        input_tokens=sum(case.input_tokens for case in cases),
        output_tokens=sum(case.output_tokens for case in cases),
        total_tokens=sum(case.total_tokens for case in cases),
    )


def exit_code(totals: Totals, signal: int, *, fail_on_flaky: bool = False) -> int:
    """The first that applies: stopped by a signal, a check failed, no verdict, nothing ran, all well."""
    if signal:
        return 128 + signal
    if totals.failed or (fail_on_flaky and totals.flaky):
        return 1
    if totals.errors or totals.not_run:
        return 4
    return 0 if totals.passed or totals.flaky else 5


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
