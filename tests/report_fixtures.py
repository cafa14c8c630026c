"""Streams of envelopes to tell: those kept in tests/data/report, and generated ones."""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st

from runner.clean import Redactor
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
from runner.ndjson import decode
from runner.report import Fold
from runner.reporters import Audience, Reporter

DATA = Path(__file__).parent / "data" / "report"
STREAMS = sorted(path.stem for path in DATA.glob("*.jsonl"))


def kept(name: str) -> tuple[Envelope, ...]:
    return tuple(decode((DATA / f"{name}.jsonl").read_text("utf-8").splitlines()))


NOTHING_KNOWN = Redactor()


def as_is(text: str) -> str:
    return text


def told(
    open_: Callable[[TextIOWrapper, Fold], Reporter],
    envelopes: Iterable[Envelope],
    encoding: str = "utf-8",
    redactor: Redactor = NOTHING_KNOWN,
) -> str:
    """What a reporter writes to a stream of that encoding."""
    stream = TextIOWrapper(BytesIO(), encoding, newline="\n")
    fold = Fold()
    audience = Audience(fold, [reporter := open_(stream, fold)], redactor)
    for envelope in envelopes:
        audience.receive(envelope)
    reporter.close()
    stream.seek(0)
    return stream.read()


def enveloped(events: Iterable[tuple[int, Event]]) -> Iterator[Envelope]:
    for number, (case, event) in enumerate(events, 1):
        yield Envelope(case, number, 1795439621.0 + number, event)


def suite(cases: int, *, simulated: bool = True) -> SuiteStarted:
    return SuiteStarted("0.1.0", "embedded", "http://embedded.invalid/api/v1", "named by --target", cases, simulated)


def case(name: str = "paint", steps: int = 1, path: str = "paint.yaml") -> CaseStarted:
    return CaseStarted(path, name, "", (), "embedded", "qwen-max", steps)


def conversation(
    *during: Event, outcome: str = "passed", seconds: float = 1, reason: str = "", started: CaseStarted | None = None
) -> list[Event]:
    """A case that came to its end at the first attempt; `during` is what happened in it."""
    ended = AttemptEnded(outcome, seconds, reason), CaseEnded(outcome, seconds, reason)
    return [started or case(), AttemptStarted(1), *during, *ended]


def turn(*during: Event, outcome: str = "passed") -> list[Event]:
    """The one step of a case; `during` is what happened in it."""
    return [StepStarted(1, "", 4, ("Draw a cat.",)), *during, StepEnded(1, outcome, 1)]


def whole(*cases: Iterable[Event], ended: SuiteEnded | None = None) -> list[Envelope]:
    """A run of these cases."""
    numbered = [(number, event) for number, events in enumerate(cases, 1) for event in events]
    return list(enveloped([(0, suite(len(cases))), *numbered, (0, ended or SuiteEnded(9))]))


def check(outcome: str = "passed", step: int = 1) -> CheckEnded:
    return CheckEnded(step, "contains", outcome, 7, 19, 7, 26, "the reply does not contain this text", '"cat"', '"dog"')


QUICK = settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without shrinking, which takes minutes for a whole run."""

# ── generated ────────────────────────────────────────────────────────────────────────────────────────────────────────

NAUGHTY = (
    "\x1b[2J\x1b]0;title\x07",
    "::error::boo\r::error::boo",
    "a\n::add-mask::b\u2028::stop-commands::x\x85::error::",
    "\u202egnp.exe\u2066\ufeff\u200b",
    "\x00\x08\x0b\x0c\x1f\x7f\x9b31m\ufffe\uffff",
    "\ud800 alone \udfff",
    "]]><!DOCTYPE x [<!ENTITY a 'b'>]>&a;<script>alert(1)</script>\"'",
    "猫の絵" * 60,
    "👩‍👩‍👧‍👦\U000e0041\U0001f3f4",
    "x" * 500,
    "",
    " ",
    "{text}{0}%s%",
)
texts = st.one_of(st.sampled_from(NAUGHTY), st.text(max_size=30))
outcomes = st.sampled_from(["passed", "failed", "error", "skipped"])
verdicts = st.sampled_from(["passed", "flaky", "failed", "error", "skipped", "not_run"])
seconds = st.floats(0, 10_000)
counts = st.one_of(st.none(), st.integers(0, 10_000))
numbers = st.integers(1, 40)


@st.composite
def during(draw: st.DrawFn, step: int) -> Event:
    """Something that happens within a step."""
    event: Event = draw(
        st.one_of(
            st.builds(OperationStarted, texts, st.just(step)),
            st.builds(OperationEnded, texts, st.just(step), outcomes, seconds, texts, texts, texts),
            st.builds(Retried, st.just(step), texts, numbers, seconds, texts),
            st.builds(RunStatusChanged, st.just(step), texts, texts),
            st.builds(TextArrived, st.just(step), texts),
            st.builds(FunctionAnswered, st.just(step), texts, texts, texts, texts, texts, seconds, texts),
            st.builds(
                AnswerReceived,
                st.just(step),
                texts,
                texts,
                st.lists(st.builds(Called, texts, texts, st.one_of(st.none(), texts), texts), max_size=2).map(tuple),
                st.integers(0, 3),
                seconds,
                counts,
                counts,
                counts,
            ),
            st.builds(ImageSaved, st.just(step), texts, texts, texts),
            st.builds(CheckEnded, st.just(step), texts, outcomes, numbers, numbers, numbers, numbers, texts, texts, texts),
            st.builds(Warned, st.just(step), texts),
        )
    )
    return event


@st.composite
def attempts(draw: st.DrawFn, number: int) -> list[Event]:
    events: list[Event] = [AttemptStarted(number)]
    for step in range(draw(st.integers(0, 2)) + 1):
        if step:
            users = st.lists(texts, max_size=2).map(tuple)
            events.append(draw(st.builds(StepStarted, st.just(step), texts, numbers, users)))
        events += draw(st.lists(during(step), max_size=3))
        if step:
            events.append(draw(st.builds(StepEnded, st.just(step), outcomes, seconds, texts)))
    ids = st.lists(texts, max_size=2).map(tuple)
    return [*events, draw(st.builds(AttemptEnded, outcomes, seconds, texts, ids, ids))]


@st.composite
def conversations(draw: st.DrawFn) -> list[Event]:
    """The events of one case, some of them cut short."""
    tags = st.lists(texts, max_size=2).map(tuple)
    played = st.integers(1, 3)
    started = draw(st.builds(CaseStarted, texts, texts, texts, tags, texts, texts, st.integers(1, 4), played, played, texts))
    again = [event for number in range(draw(st.integers(0, 3))) for event in draw(attempts(number + 1))]
    events: list[Event] = [started, *again, draw(st.builds(CaseEnded, verdicts, seconds, texts))]
    return events[: draw(st.integers(1, len(events)))] if draw(st.integers(0, 4)) == 0 else events


@st.composite
def streams(draw: st.DrawFn) -> list[Envelope]:
    """A suite of such cases, one after another or all at once, with some never begun."""
    cases = draw(st.lists(conversations(), max_size=3))
    planned = len(cases) + draw(st.integers(0, 2))
    numbered = [(number, event) for number, events in enumerate(cases, 1) for event in events]
    if draw(st.booleans()):
        rounds = max(map(len, cases), default=0)
        numbered = [(n, events[turn]) for turn in range(rounds) for n, events in enumerate(cases, 1) if turn < len(events)]
    started = SuiteStarted("0.1.0", draw(texts), draw(texts), draw(texts), planned, draw(st.booleans()), draw(st.booleans()))
    ended = SuiteEnded(draw(seconds), draw(st.sampled_from([0, 0, 2, 15])), draw(texts))
    return list(enveloped([(0, started), *numbered, (0, ended)]))
