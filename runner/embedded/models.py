"""What a model is to the service: it is asked with a whole conversation, and answers in pieces as they come.

The `scripted` model is none of these: it decides at once, and its runs move by beats in the service's own time.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from runner.embedded.objects import Json
from runner.embedded.scripted import AnsweredCall
from runner.values import dataclass

__all__ = ["Call", "Completion", "Entry", "Model", "ModelTrouble", "Prompt", "Tokens"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool the model wants used; `arguments` is what it wrote, JSON or not. The id may be empty."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Something said by `user` or `assistant`, and the tools that the assistant used right after it."""

    role: str
    text: str
    used: tuple[AnsweredCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """All the model is told: the run's model and instructions, the thread so far, this run's own rounds at its end.

    `tools` are functions as Chat Completions has them, the service's own tools among them. `tool_choice` is given when the
    model is not free to choose: `required`, or the name of the function it has to call.
    """

    model: str
    instructions: str
    entries: Sequence[Entry]
    tools: Sequence[Json] = ()
    tool_choice: str | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an answer cost, as the model counts it."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an answer: its whole text, the tools it wants used, why it ended (`stop`, `length` or `content_filter`)."""

    text: str
    calls: tuple[Call, ...] = ()
    tokens: Tokens | None = None
    finish: str = "stop"


class ModelTrouble(Exception):
    """No answer. `code` and `message` are what the run's `last_error` says."""

    def __init__(self, message: str, code: str = "server_error") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Model(Protocol):
    """Answers prompts, several at a time. `label` says to people what answers."""

    label: str

    def answer(self, prompt: Prompt) -> AsyncGenerator[str | Completion, None]:
        """Pieces of text, then one Completion; raises ModelTrouble. Closing the generator stops the model."""
        ...

    async def close(self) -> None: ...
