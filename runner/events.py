"""What can happen while flows are played: past tense, flat fields, JSON types only. A Report is a fold of these."""

from typing import ClassVar, Protocol

from runner.values import dataclass

__all__ = [
    "AnswerReceived",
    "AttemptEnded",
    "AttemptStarted",
    "CaseEnded",
    "CaseStarted",
    "CheckEnded",
    "Emit",
    "Envelope",
    "Event",
    "FunctionAnswered",
    "ImageSaved",
    "OperationEnded",
    "OperationStarted",
    "Retried",
    "RunStatusChanged",
    "StepEnded",
    "StepStarted",
    "SuiteEnded",
    "SuiteStarted",
    "TextArrived",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class SuiteStarted:
    """`reason` says why this target was chosen, in words; `cases` is how many conversations this run plays."""

    version: str
    target: str
    base_url: str
    reason: str
    cases: int
    simulated: bool
    """True when no model answers (the embedded service's `scripted`): a pass checks the flow, not a model."""
    fail_on_flaky: bool = False
    selected: int = 0
    """How many conversations this run and the other shards play together; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class CaseStarted:
    """One conversation with one verdict, whatever attempts it takes. `label` tells the rows of one flow apart, empty when there
    is one."""

    path: str
    flow: str
    label: str
    tags: tuple[str, ...]
    target: str
    model: str
    steps: int
    times: int = 1
    """How often it is played whatever comes of it, as `repeat` says; `needed` of these must pass."""
    needed: int = 1
    digest: str = ""
    """Of everything that decides what is played; equal digests, equal conversations."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The conversation is played from its beginning, for the `attempt`th time."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Steps count from 1; 0 is the conversation as a whole."""

    step: int
    name: str
    line: int
    user: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperationStarted:
    """One of: create_assistant, create_thread, add_message, create_run, wait, submit_tool_outputs, read_answer, cancel_run,
    delete_thread, delete_assistant."""

    operation: str
    step: int


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """`outcome` is passed or error; `message` says what was wrong, with call, status, code and request id."""

    operation: str
    step: int
    outcome: str
    seconds: float
    id: str = ""
    request_id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Retried:
    """A call of an operation is made again, as the `attempt`th, after so many seconds; `reason` says what came of the last."""

    step: int
    operation: str
    attempt: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class RunStatusChanged:
    step: int
    run: str
    status: str


@dataclass(frozen=True, slots=True)
class TextArrived:
    """A piece of the answer while it streams."""

    step: int
    text: str


@dataclass(frozen=True, slots=True)
class FunctionAnswered:
    """A call of one of the author's functions was answered. `by` is the key that answered it, such as `returns` or `python`,
    or `parameters` when the arguments did not fit them, or empty when nobody did; `trouble` says what went wrong with it."""

    step: int
    call: str
    name: str
    arguments: str
    output: str
    by: str
    seconds: float
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Called:
    """One tool call of an answer; `trouble` says what was wrong with it."""

    name: str
    arguments: str
    output: str | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    """The whole answer of a step. Tokens are None when the service did not say; `seconds` is the time the run took."""

    step: int
    text: str
    status: str
    calls: tuple[Called, ...]
    images: int
    seconds: float
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class ImageSaved:
    """`path` is where it was written, empty if not; `trouble` says why."""

    step: int
    source: str
    path: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class CheckEnded:
    """One check's verdict, at its place in the flow file; step 0 for checks on the whole conversation."""

    step: int
    check: str
    outcome: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something odd that changes no verdict, such as an echoed field that differs."""

    step: int
    message: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """`outcome` is passed, failed, error or skipped; `reason` for skipped and error."""

    step: int
    outcome: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """`left` are ids that could not be deleted, `kept` those that were to stay."""

    outcome: str
    seconds: float
    reason: str = ""
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseEnded:
    """The verdict on one conversation: passed, flaky, failed, error, skipped, or not_run when it was never begun."""

    outcome: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SuiteEnded:
    """`signal` is 0, or the number of the signal that ended it early (2, 15); `reason` says why it ended early, if it did."""

    seconds: float
    signal: int = 0
    reason: str = ""


Event = (
    SuiteStarted
    | CaseStarted
    | AttemptStarted
    | StepStarted
    | OperationStarted
    | OperationEnded
    | Retried
    | RunStatusChanged
    | TextArrived
    | FunctionAnswered
    | AnswerReceived
    | ImageSaved
    | CheckEnded
    | Warned
    | StepEnded
    | AttemptEnded
    | CaseEnded
    | SuiteEnded
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event on its way: which case (0 for the suite), its number within the case, and when (Unix time, seconds).

    Cases are numbered from 1 by their place in the whole selection, also when a shard plays only some of them.
    """

    FORMAT: ClassVar[str] = "runflow-events/1"

    case: int
    sequence: int
    time: float
    event: Event


class Emit(Protocol):
    """Where the engine sends what happens in one case; envelopes are made behind it."""

    def __call__(self, event: Event, /) -> None: ...
