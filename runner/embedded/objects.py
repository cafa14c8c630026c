"""What the service keeps, in the words and fields of the wire: each class is one kind of object, rendered field by field."""

import json
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, ClassVar, TypeAlias
from uuid import uuid4

from runner.values import dataclass

__all__ = ["Assistant", "Json", "Kept", "Message", "Run", "RunStep", "Thread", "dumps", "new_id", "render", "text_item"]

Json: TypeAlias = dict[str, Any]
"""A JSON object that goes back to the caller as it came."""


@dataclass(frozen=True, slots=True)
class Assistant:
    KIND: ClassVar[str] = "assistant"
    PREFIX: ClassVar[str] = "asst"

    id: str
    created_at: int
    model: str
    name: str = ""
    description: str = ""
    instructions: str = ""
    tools: list[Json] = field(default_factory=list)
    file_ids: list[str] = field(default_factory=list)
    metadata: Mapping[str, str] = field(default_factory=dict)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    KIND: ClassVar[str] = "thread"
    PREFIX: ClassVar[str] = "thread"

    id: str
    created_at: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    KIND: ClassVar[str] = "thread.message"
    PREFIX: ClassVar[str] = "message"

    id: str
    created_at: int
    thread_id: str
    role: str
    content: list[Json] = field(default_factory=list)
    assistant_id: str | None = None
    run_id: str | None = None
    file_ids: list[str] = field(default_factory=list)
    metadata: Mapping[str, str] = field(default_factory=dict)
    incomplete_details: Json | None = None
    completed_at: int | None = None
    incomplete_at: int | None = None
    status: str = "completed"

    @property
    def text(self) -> str:
        return "".join(item["text"]["value"] for item in self.content)


@dataclass(frozen=True, slots=True)
class Run:
    """Its times are in seconds, apart from `created_at`: the Java SDK reads them into 32 bits."""

    KIND: ClassVar[str] = "thread.run"
    PREFIX: ClassVar[str] = "run"

    id: str
    created_at: int
    thread_id: str
    assistant_id: str
    status: str
    model: str
    required_action: Json | None = None
    last_error: Json | None = None
    incomplete_details: Json | None = None
    expires_at: int | None = None
    started_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    instructions: str = ""
    tools: list[Json] = field(default_factory=list)
    file_ids: list[str] = field(default_factory=list)
    metadata: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, int] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    truncation_strategy: Json | None = None
    enable_search: bool | None = None
    stop: str | None = None
    tool_choice: str | Json | None = None


@dataclass(frozen=True, slots=True)
class RunStep:
    """Its times are in seconds, apart from `created_at`, like a run's."""

    KIND: ClassVar[str] = "thread.run.step"
    PREFIX: ClassVar[str] = "step"

    id: str
    created_at: int
    assistant_id: str
    thread_id: str
    run_id: str
    type: str
    status: str
    step_details: Json
    last_error: Json | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, int] | None = None


Kept: TypeAlias = Assistant | Thread | Message | Run | RunStep


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid4()}"


def render(kept: Kept) -> Json:
    """The object as the wire shows it, without the answer's `request_id`."""
    own = {one.name: getattr(kept, one.name) for one in fields(kept)}
    return {"id": own.pop("id"), "object": kept.KIND, **own}


def text_item(value: str) -> Json:
    return {"type": "text", "text": {"value": value, "annotations": []}}


def dumps(value: object) -> str:
    """JSON as it stands within a text of the wire."""
    return json.dumps(value, ensure_ascii=False)
