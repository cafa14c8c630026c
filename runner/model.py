"""The words everything is said in: the Flow as its author wrote it, and the service's Thread, Message, Run and RunStep."""

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, TypeAlias

from runner.diagnostics import Span
from runner.forms import FileName, Form, Literally, Name, NonEmpty, Value, key
from runner.values import dataclass

# ── what the author wrote ────────────────────────────────────────────────────────────────────────────────────────────


UNITS = {"ms": 0.001, "s": 1, "sec": 1, "min": 60, "h": 3600}


def seconds(written: str | float) -> float:
    """`20s`, `1.5 min`, `200 ms` or a number of seconds, as seconds. Raise ValueError for anything else, and for none."""
    from runner.words import _

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|min|h)?", str(written).strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(_("not a duration; write it like `20s`, `15 min` or as seconds"))
    return float(match[1]) * UNITS[match[2] or "s"]


Duration = Annotated[float, Form(parse=seconds, pattern=r"^\s*\d+(\.\d+)?\s*(ms|s|sec|min|h)?\s*$")]
"""Written as `20s`, `15 min` or a number of seconds; held as seconds."""


@dataclass(frozen=True, slots=True)
class FromFile:
    """A text kept in a file of its own, such as the prompt that ships."""

    file: FileName = key("A file below the flow's folder; UTF-8", "prompts/shop.md")


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function in a Python file below the flow's folder; written `tools.py:get_order`."""

    file: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


def python_function(written: object) -> PythonFunction:
    """`tools.py:get_order` as a PythonFunction; raise ValueError for anything else."""
    from runner.words import _

    file, colon, function = str(written).strip().rpartition(":")
    if not colon or not file.endswith(".py") or not function.isidentifier():
        raise ValueError(_("not a Python function; write it like `tools.py:get_order`"))
    return PythonFunction(file, function)


InPython = Annotated[PythonFunction, Form(parse=python_function, substitutes=False)]


@dataclass(frozen=True, slots=True)
class Returns:
    """A function that always gives this: a text as it is, any other value as JSON."""

    value: Value


@dataclass(frozen=True, slots=True)
class Fails:
    """A function that always fails with this text."""

    message: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a function, for the arguments it is meant for; exactly one of `returns` and `fails`."""

    when: Mapping[str, Value] | None = key(
        "The arguments it is meant for, all or some of them; a value may be a check. Any arguments unless told",
        {"order_id": "1234"},
        default=None,
    )
    returns: Value = key(
        "What the function gives: a text as it is, any other value as JSON", {"status": "shipped"}, default=None
    )
    fails: NonEmpty | None = key("The error text the function fails with", "already shipped", default=None)
    after: Duration | None = key("How long the answer takes", "2s", default=None)


@dataclass(frozen=True, slots=True)
class Replies:
    """A function with a sequence of answers: the first fitting one that is unused; the last one serves without limit."""

    entries: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class ByPython:
    """A function that is Python code; runs only when trusted."""

    function: InPython


@dataclass(frozen=True, slots=True)
class ByHttp:
    """A function behind a URL, which gets the arguments as a JSON body by POST; used only when trusted."""

    url: Literally


@dataclass(frozen=True, slots=True)
class Asks:
    """A function answered by the person at the terminal; `question` is shown above the prompt."""

    question: str = ""


Answer: TypeAlias = Returns | Fails | Replies | ByPython | ByHttp | Asks


@dataclass(frozen=True, slots=True)
class Function:
    """A function the assistant may call. `parameters` is the JSON Schema of its arguments, an object's."""

    name: Literally
    parameters: Annotated[Mapping[str, object], Form(substitutes=False)]
    answer: Answer | None = None
    """Who answers its calls; None when the file does not say."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of the service, or with `function` one of the author's. `settings` are the service's own further fields: beside
    `type` and `description`, or within the API's `function`."""

    type: Literally
    description: str | None = None
    settings: Mapping[str, object] | None = key("The service's own settings for the tool", default=None)
    function: Function | None = None
    span: Span | None = None

    @property
    def name(self) -> str:
        """What a call of it is called: the function's name, else the type."""
        return self.function.name if self.function else self.type


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model chooses its words."""

    temperature: Annotated[float, Form(minimum=0, maximum=2)] | None = key(
        "How freely the model chooses words: 0 is steady, 2 is wild", 0.2, default=None
    )
    top_p: Annotated[float, Form(minimum=0, maximum=1)] | None = key(
        "Choose only among the likeliest words that together have this probability", 0.8, default=None
    )
    top_k: Annotated[int, Form(minimum=0)] | None = key("Choose only among this many likeliest words", 50, default=None)
    max_tokens: Annotated[int, Form(minimum=1)] | None = key("The longest answer, in tokens", 500, default=None)


@dataclass(frozen=True, slots=True)
class Assistant(Sampling):
    """Who answers: the model, its instructions and its tools. With `id`, an existing one: used, never changed or deleted."""

    id: Literally | None = key("An existing assistant to use; it is never changed or deleted", "asst_0b6f", default=None)
    model: Literally | None = key("The model that answers", "qwen-max", "qwen-plus", default=None)
    name: str | None = key("The assistant's name", "Art Maestro", default=None)
    description: str | None = key("What the assistant is for", "AI assistant for painting", default=None)
    instructions: str | FromFile | None = key(
        "The system prompt: a text, or `{file: prompts/shop.md}`", "Answer in one sentence.", default=None
    )
    tools: tuple[Tool, ...] = key("What the assistant may use", ["text_to_image"], default=())
    metadata: Mapping[str, str] | None = key("Up to 16 names and texts kept with the assistant", {"team": "art"}, default=None)


class Check(Protocol):
    """One condition on an answer. A check is a frozen dataclass with one field, `value`, registered by `registry.check`."""

    name: ClassVar[str]

    def evaluate(self, turn: "Turn") -> "Verdict":
        """Judge one answer. Never raises for anything an answer may hold: what cannot be judged is an ERROR verdict."""
        ...


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check at its place in the file.

    `key` is where its name stands, `span` its value (the name again if it has none), `parts` the value's items or the values
    of its keys, in their order.
    """

    name: str
    check: Check
    key: Span
    span: Span
    parts: tuple[Span, ...] = ()

    def place(self, verdict: "Verdict") -> Span:
        """Where in the file this verdict of the check belongs."""
        if verdict.part is not None and verdict.part < len(self.parts):
            return verdict.at or self.parts[verdict.part]
        return verdict.at or self.span


@dataclass(frozen=True, slots=True)
class SavedValue:
    """A value kept from an answer for later steps; exactly one of the two."""

    matches: Annotated[str, Form(min_length=1, escape=re.escape)] | None = key(
        "A regular expression; its first group is kept, or all of it", r"#(\d+)", default=None
    )
    json: NonEmpty | None = key("A JSONPath into an answer that is JSON", "$.order.id", default=None)


@dataclass(frozen=True, slots=True)
class SampleCall:
    """A call of a tool in a sample; written `get_order: {order_id: "1234"}`."""

    name: Literally
    arguments: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer the author would be happy with: calls, round by round, and a text; at least one of the two.

    Played by the embedded service when it runs in process; without a text its model finds the words.
    """

    text: NonEmpty | None = key("The answer's text", "Here is your cat.", default=None)
    calls: tuple[Annotated[tuple[SampleCall, ...], Form(min_length=1)], ...] = key(
        "The calls made before it: a list, or a list of lists for several rounds",
        [{"get_order": {"order_id": "1234"}}],
        default=(),
    )


@dataclass(frozen=True, slots=True)
class RunOverrides(Sampling):
    """What is different for this one run."""

    model: Literally | None = key("Another model for this run", "qwen-plus", default=None)
    instructions: str | FromFile | None = key("Other instructions for this run", "Answer in French.", default=None)
    additional_instructions: str | None = key("Added to the instructions for this run", "Be brief.", default=None)
    tools: tuple[Tool, ...] | None = key("Other tools for this run", ["calculator"], default=None)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing said to the assistant, and what its answer must be."""

    user: NonEmpty | tuple[NonEmpty, ...] | None = key(
        "What is said: a text, or a list of texts sent before one run", "Draw a ragdoll cat.", default=None
    )
    run: RunOverrides | None = key("Overrides for this run only", {"model": "qwen-plus"}, default=None)
    expect: tuple[Expectation, ...] = key("What the answer must be", [{"contains": "cat"}], default=())
    save: Mapping[Name, SavedValue] | None = key(
        "Values kept for later steps, used as `${name}`", {"order": {"matches": r"#(\d+)"}}, default=None
    )
    sample: str | Sample | None = key("An answer the author would be happy with", "Here is your cat.", default=None)
    name: str | None = key("The step's name in reports", "first picture", default=None)
    timeout: Duration | None = key("The longest this step may take; 300 s unless told", "20s", default=None)
    continue_: bool = key("Go on with the next step when this one fails", True, default=False, name="continue")
    skip: NonEmpty | None = key("Why this step is left out; counted in the summary", "waits for the new model", default=None)
    span: Span | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return self.user if isinstance(self.user, tuple) else (self.user,) if self.user is not None else ()


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class SeedMessage:
    """A message that already stands in the thread; written `- user: …` or `- assistant: …`."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class ThreadSetup:
    """The conversation's beginning: seeded history, or with `id` an existing thread, never deleted."""

    id: Literally | None = key("An existing thread; it is never deleted", "thread_41aa", default=None)
    metadata: Mapping[str, str] | None = key("Up to 16 names and texts kept with the thread", {"case": "7"}, default=None)
    messages: tuple[SeedMessage, ...] = key("What was said before", [{"user": "Hello."}], default=())


@dataclass(frozen=True, slots=True)
class CasesFile:
    """Rows of variables, one conversation each."""

    file: FileName = key("A CSV file below the flow's folder; the first row names the variables", "rows.csv")


@dataclass(frozen=True, slots=True)
class Repeat:
    """How often a conversation is played whatever comes of it, and how many of these must pass."""

    times: Annotated[int, Form(minimum=1, maximum=1000)] = key("How often it is played", 10)
    pass_: Annotated[int, Form(minimum=1, maximum=1000)] = key("How many of these must pass", 8, name="pass")


@dataclass(frozen=True, slots=True)
class Flow:
    """One assistant and one conversation with it, checked after every step."""

    assistant: Assistant = key("Who answers", {"model": "qwen-max"})
    steps: Annotated[tuple[Step, ...], Form(min_length=1)] = key("The conversation", [{"user": "Draw a cat.", "expect": "cat"}])
    name: str | None = key("The flow's name in reports; the file's name unless told", "paint", default=None)
    description: str | None = key("What this flow is about", "Draws a cat.", default=None)
    tags: tuple[Literally, ...] = key("Words that go with the flow into every report", ["smoke"], default=())
    thread: ThreadSetup | None = key("How the conversation begins", {"messages": [{"user": "Hello."}]}, default=None)
    expect: tuple[Expectation, ...] = key("Checks on the whole conversation, after the last step", ["image"], default=())
    target: Literally | None = key("The service to use", "dashscope", "embedded", default=None)
    variables: Mapping[Name, str] | None = key(
        "Names and default texts, used as `${name}`; `--var name=text` overrides", {"animal": "cat"}, default=None
    )
    cases: Annotated[tuple[Mapping[Name, str], ...], Form(min_length=1)] | CasesFile | None = key(
        "One conversation for each set of variables: a list, or `{file: rows.csv}`",
        [{"animal": "cat"}],
        {"file": "rows.csv"},
        default=None,
    )
    timeout: Duration | None = key("The longest the conversation may take; 15 min unless told", "5 min", default=None)
    retries: Annotated[int, Form(minimum=0, maximum=100)] = key(
        "How often a conversation that did not pass is played again; one that passes then is reported as flaky", 2, default=0
    )
    repeat: Repeat | None = key(
        "Play the conversation several times, and say how many of these must pass", {"times": 10, "pass": 8}, default=None
    )
    path: Path = Path()
    """The file it was read from."""
    taken: tuple[Path, ...] = ()
    """The files it took its texts, its rows or its assistant from, links resolved."""
    environment: tuple[str, ...] = ()
    """The variables of the environment that its texts use, each once."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those of the assistant, and those that single steps offer instead."""
        return (*self.assistant.tools, *(tool for step in self.steps if step.run for tool in step.run.tools or ()))


# ── what the service says ────────────────────────────────────────────────────────────────────────────────────────────


class RunStatus(StrEnum):
    """The states the reference names (section 8); a service may answer with others, so a Run holds plain text."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    INCOMPLETE = "incomplete"


WAITING = frozenset({RunStatus.QUEUED, RunStatus.IN_PROGRESS, RunStatus.CANCELLING})
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED, RunStatus.INCOMPLETE})


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the service counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class ServiceError:
    """What went wrong, in the service's words: an error body, or a run's `last_error`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class AssistantObject:
    """The service's assistant; `model` is its echo of what was asked for."""

    id: str
    model: str
    request_id: str = ""
    notes: tuple[str, ...] = ()
    """What the service echoed otherwise than it was sent, in sentences; so for threads, runs and messages."""


@dataclass(frozen=True, slots=True)
class Thread:
    id: str
    request_id: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One use of a tool. `name` is the function's name or the service's tool type; `arguments` and `output` are as sent."""

    id: str
    name: str
    arguments: str = ""
    output: str | None = None
    is_function: bool = False
    trouble: str = ""
    """What was wrong with it, in a sentence: arguments that do not fit, an answer that failed."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a function's call came to, for the service."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    thread_id: str
    assistant_id: str
    status: str
    model: str = ""
    last_error: ServiceError | None = None
    required_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    request_id: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStep:
    id: str
    type: str
    status: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    role: str
    text: str
    thread_id: str = ""
    run_id: str = ""
    image_file_ids: tuple[str, ...] = ()
    image_urls: tuple[str, ...] = ()
    created_at: float = 0
    request_id: str = ""
    notes: tuple[str, ...] = ()


# ── what the checks judge ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of an answer: where it came from, its bytes if they could be had, else why not."""

    source: str
    data: bytes | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything one step's checks may look at; for the checks on a whole conversation, all steps together."""

    text: str = ""
    """The answer as it came, Markdown and all."""
    status: str = RunStatus.COMPLETED
    calls: tuple[ToolCall, ...] = ()
    images: tuple[Image, ...] = ()
    usage: Usage | None = None
    seconds: float = 0
    """From sending the run to its end."""
    error: ServiceError | None = None
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """The declared functions, and the JSON Schema of each one's arguments."""
    folder: Path = Path()
    """The flow's folder, below which files named by checks lie."""


class Outcome(StrEnum):
    """PASSED and FAILED are verdicts on an answer; ERROR means that there is none; SKIPPED carries a reason.

    Only a whole conversation can be FLAKY, which passed when it was tried again, or NOT_RUN, which the run did not get to.
    """

    PASSED = "passed"
    FLAKY = "flaky"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. `message` is a sentence; `expected` and `actual` are drawn beneath it, cut to what matters."""

    outcome: Outcome
    message: str = ""
    expected: str = ""
    actual: str = ""
    at: Span | None = None
    """Where in the file, when it is smaller than the check itself."""
    part: int | None = None
    """Which item of the check's value it is about, the first being 0; the reader of the file knows where that stands."""
