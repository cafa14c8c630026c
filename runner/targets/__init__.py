"""The services a flow can be played against, one file each."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, Self

from runner.model import (
    Assistant,
    AssistantObject,
    Message,
    Role,
    Run,
    RunOverrides,
    RunStep,
    Sample,
    Thread,
    ThreadSetup,
    ToolOutput,
)
from runner.needs import Needs
from runner.values import dataclass
from runner.words import _

__all__ = [
    "Capabilities",
    "Connection",
    "ConnectionProblem",
    "StreamEvent",
    "Target",
    "TargetError",
    "Unsure",
    "lacking",
    "open_target",
]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do; a flow that needs more is refused before the first call."""

    tools: frozenset[str] | None = None
    """The types of its own tools, or None when any type may exist there (plug-ins)."""
    sampling: frozenset[str] = frozenset({"temperature", "top_p", "top_k", "max_tokens"})
    existing: bool = True
    """Whether assistants and threads made earlier can be used by id."""
    cancel: bool = True
    functions: bool = True
    """Whether it asks the caller to answer functions."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to reach a service, and how it was chosen. `key_variable` names the environment variable; its value is read by
    the transport alone."""

    target: str
    base_url: str
    reason: str
    key_variable: str | None = None
    workspace: str | None = None
    streaming: bool = True
    hidden: tuple[str, ...] = ()
    """Names of further environment variables whose values must not be told: texts hold them."""


class ConnectionProblem(Exception):
    """A connection that must not be made, such as one that would carry a key to a stranger; carries a sentence."""


class TargetError(Exception):
    """A call that gave no usable answer: `call` is like `POST /threads`; status 0 means that no answer came.

    `message` is a sentence for people; `code` and `request_id` are the service's, empty if it gave none. `retry_after` is
    how many seconds it asks to be left alone, if it does. `sent` is False when nothing can have reached the service, such as
    a refused connection; `timed_out` says that an answer was waited for in vain; `final` that no repetition helps, whatever
    the status, such as a page of HTML or a certificate that is not trusted. `note` says why it was not repeated, if that is
    not plain; `id` is that of an object whose answer broke off behind it.
    """

    def __init__(
        self,
        call: str,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        sent: bool = True,
        timed_out: bool = False,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.call = call
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.sent = sent
        self.timed_out = timed_out
        self.final = final
        self.note = ""
        self.id = ""

    @property
    def sentence(self) -> str:
        """Everything support asks for, on one line: call, status, code, message, request id, and the note."""
        known = " ".join(filter(None, (str(self.status or ""), self.code)))
        line = ": ".join(filter(None, (self.call, known, self.message)))
        if self.request_id:
            line = _("{line} (request id {id})").format(line=line, id=self.request_id)
        return f"{line}; {self.note}" if self.note else line


class Unsure(TargetError):
    """A list does not tell whether it holds something: it changes faster than it can be read, or is too long."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a streamed run: `run` when it carries the run's state, `text` when it carries a piece of the answer."""

    name: str
    run: Run | None = None
    text: str = ""


class Target(Protocol):
    """A service. Every method raises TargetError when the call gave no usable answer.

    What is made with an `op`, an id of ours, is found by it again with the methods `find_…`, which give None for nothing.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    default_base_url: ClassVar[str]
    key_variable: ClassVar[str | None]
    simulated: ClassVar[bool]
    lasting: ClassVar[bool]
    """Whether what is made there outlives us, so that it must be remembered until it is deleted."""

    @classmethod
    def open(cls, connection: Connection, environment: Mapping[str, str], trace: Callable[[str], None] | None) -> Self: ...
    async def create_assistant(self, assistant: Assistant, op: str = "") -> AssistantObject: ...
    async def find_assistant(self, op: str) -> AssistantObject | None:
        """What was made with our id `op`, None where that is not there; raise Unsure where that cannot be told."""

    async def create_thread(self, setup: ThreadSetup | None, op: str = "") -> Thread: ...
    async def add_message(self, thread_id: str, text: str, role: Role = Role.USER, op: str = "") -> Message: ...
    async def find_message(
        self, thread_id: str, op: str, text: str, newer_than: str = "", role: Role = Role.USER
    ) -> Message | None:
        """The message with this `op`, else one after `newer_than` that says `text`, if there is any."""

    async def create_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None, op: str = ""
    ) -> Run: ...
    def stream_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: Sample | None, op: str = ""
    ) -> AsyncGenerator[StreamEvent, None]: ...
    async def find_run(self, thread_id: str, op: str, known: Collection[str] | None = None) -> Run | None:
        """The run with this `op`, else, on a thread all whose runs should be `known`, one that is not."""

    async def submit_outputs(self, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]) -> Run: ...
    def stream_outputs(
        self, thread_id: str, run_id: str, outputs: Sequence[ToolOutput]
    ) -> AsyncGenerator[StreamEvent, None]: ...
    async def read_run(self, thread_id: str, run_id: str) -> Run: ...
    async def list_messages(self, thread_id: str, newer_than: str = "") -> tuple[Message, ...]: ...
    async def list_steps(self, thread_id: str, run_id: str) -> tuple[RunStep, ...]: ...
    async def cancel_run(self, thread_id: str, run_id: str) -> None: ...
    async def delete_thread(self, thread_id: str) -> None: ...
    async def delete_assistant(self, assistant_id: str) -> None: ...
    async def fetch_image(self, url: str) -> bytes: ...
    async def close(self) -> None: ...


def open_target(
    connection: Connection, environment: Mapping[str, str], *, trace: Callable[[str], None] | None = None
) -> Target:
    """The target a connection names, ready for calls; `trace` receives a line about each.

    Raises KeyError when no target has the name, ConnectionProblem when the connection must not be made.
    """
    from runner.registry import targets

    kind: type[Target] = targets[connection.target]
    return kind.open(connection, environment, trace)


def lacking(needs: Needs, name: str, capabilities: Capabilities) -> Iterator[str]:
    """What a flow needs and the target called `name` does not have, in sentences."""
    from runner.schema import BUILT_IN_TOOLS

    if needs.functions and not capabilities.functions:
        yield _("target `{target}` cannot call functions").format(target=name)
    for type_ in needs.tools:
        if capabilities.tools is None or type_ in capabilities.tools:
            continue
        if type_ not in BUILT_IN_TOOLS:
            yield _("target `{target}` runs no plug-ins; `{tool}` would run with {others}").format(
                target=name, tool=type_, others=elsewhere()
            )
        else:
            yield _("target `{target}` has no tool `{tool}`").format(target=name, tool=type_)
    for setting in needs.sampling:
        if setting not in capabilities.sampling:
            yield _("target `{target}` knows no `{setting}`").format(target=name, setting=setting)
    if needs.assistant and not capabilities.existing:
        yield _("target `{target}` cannot use an existing assistant by `id`").format(target=name)
    if needs.thread and not capabilities.existing:
        yield _("target `{target}` cannot use an existing thread by `id`").format(target=name)


def elsewhere() -> str:
    """The targets that run plug-ins, as options of the command."""
    from runner.registry import targets

    return _(" or ").join(f"`--target {name}`" for name, kind in targets.items() if kind.capabilities.tools is None)
