"""The services a flow can be played against, one file each."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from runner.model import (
    Assistant,
    AssistantObject,
    Message,
    Role,
    Run,
    RunOverrides,
    RunStep,
    Thread,
    ThreadSetup,
)

__all__ = ["Capabilities", "Connection", "StreamEvent", "Target", "TargetError"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do; a flow that needs more is refused before the first call."""

    tools: frozenset[str] | None = None
    """The types of its own tools, or None when any type may exist there (plug-ins)."""
    sampling: frozenset[str] = frozenset({"temperature", "top_p", "top_k", "max_tokens"})
    existing: bool = True
    """Whether assistants and threads made earlier can be used by id."""
    cancel: bool = True


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


class TargetError(Exception):
    """A call that gave no usable answer: `call` is like `POST /threads`; status 0 means that no answer came.

    `message` is a sentence for people; `code` and `request_id` are the service's, empty if it gave none.
    """

    def __init__(self, call: str, message: str, *, status: int = 0, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.call = call
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a streamed run: `run` when it carries the run's state, `text` when it carries a piece of the answer."""

    name: str
    run: Run | None = None
    text: str = ""


class Target(Protocol):
    """A service. Every method raises TargetError when the call gave no usable answer."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    default_base_url: ClassVar[str]
    key_variable: ClassVar[str | None]
    simulated: ClassVar[bool]

    async def create_assistant(self, assistant: Assistant) -> AssistantObject: ...
    async def create_thread(self, setup: ThreadSetup | None) -> Thread: ...
    async def add_message(self, thread_id: str, text: str, role: Role = Role.USER) -> Message: ...
    async def create_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: str | None
    ) -> Run: ...
    def stream_run(
        self, thread_id: str, assistant_id: str, overrides: RunOverrides | None, sample: str | None
    ) -> AsyncIterator[StreamEvent]: ...
    async def read_run(self, thread_id: str, run_id: str) -> Run: ...
    async def list_messages(self, thread_id: str) -> tuple[Message, ...]: ...
    async def list_steps(self, thread_id: str, run_id: str) -> tuple[RunStep, ...]: ...
    async def cancel_run(self, thread_id: str, run_id: str) -> None: ...
    async def delete_thread(self, thread_id: str) -> None: ...
    async def delete_assistant(self, assistant_id: str) -> None: ...
    async def fetch_image(self, url: str) -> bytes: ...
    async def close(self) -> None: ...
