"""Understand a request: every value read with its type, or a refusal that names the parameter."""

import json
from collections.abc import Mapping

from runner.embedded.objects import Json
from runner.values import dataclass

__all__ = [
    "Page",
    "Refused",
    "Said",
    "decode",
    "metadata",
    "number",
    "objects",
    "page",
    "said",
    "sampling",
    "text",
    "texts",
    "tools",
]

PAIRS, KEY_LENGTH, VALUE_LENGTH = 16, 64, 512
LIMIT, MOST = 20, 100


class Refused(Exception):
    """An answer that is an error: HTTP status, code and sentence, as the wire has them."""

    def __init__(self, message: str, status: int = 400, code: str = "InvalidParameter") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Page:
    """What a list request asks for."""

    limit: int
    newest_first: bool
    after: str | None
    before: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """A message as a request gives it."""

    role: str
    text: str
    file_ids: list[str]
    metadata: Mapping[str, str]


def decode(data: bytes) -> Json:
    """The body's object. None at all, and the SDK's two-byte `""`, are an empty one."""
    if not data:
        return {}
    try:
        body = json.loads(data, parse_constant=unknown_constant)
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused("the body is not JSON") from error
    if body == "":
        return {}
    if not isinstance(body, dict):
        raise Refused("the body is not a JSON object")
    return body


def unknown_constant(name: str) -> object:
    raise ValueError(name)


def text(body: Json, name: str, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if value is None or (required and value == ""):
        raise Refused(f"`{name}` is required")
    if not isinstance(value, str):
        raise Refused(f"`{name}` is not a text")
    return value


def texts(body: Json, name: str) -> list[str]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refused(f"`{name}` is not a list of texts")
    return value


def number(body: Json, name: str, lowest: float, highest: float = float("inf"), whole: bool = False) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise Refused(f"`{name}` is not a {'whole ' if whole else ''}number")
    if not lowest <= value <= highest:
        raise Refused(
            f"`{name}` is not {f'between {lowest} and {highest}' if highest < float('inf') else f'at least {lowest}'}"
        )
    return value


def sampling(body: Json) -> Json:
    """The sampling fields the body sets."""
    read = {
        "temperature": number(body, "temperature", 0, 2),
        "top_p": number(body, "top_p", 0, 1),
        "top_k": number(body, "top_k", 0, whole=True),
        "max_tokens": number(body, "max_tokens", 1, whole=True),
    }
    return {name: value for name, value in read.items() if value is not None}


def metadata(body: Json) -> Mapping[str, str] | None:
    """The metadata the body sets; None when it sets none."""
    value = body.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Refused("`metadata` is not an object")
    if len(value) > PAIRS:
        raise Refused(f"`metadata` has {len(value)} pairs; at most {PAIRS} are kept")
    for key, entry in value.items():
        if len(key) > KEY_LENGTH:
            raise Refused(f"a key of `metadata` is longer than {KEY_LENGTH} characters: `{key[:KEY_LENGTH]}…`")
        if not isinstance(entry, str):
            raise Refused(f"`metadata.{key}` is not a text")
        if len(entry) > VALUE_LENGTH:
            raise Refused(f"`metadata.{key}` is longer than {VALUE_LENGTH} characters")
    return value


def objects(body: Json, name: str) -> list[Json]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(f"`{name}` is not a list of objects")
    return value


def tools(body: Json) -> list[Json] | None:
    """The tools the body sets, every key of theirs kept; None when it sets none."""
    if body.get("tools") is None:
        return None
    read = objects(body, "tools")
    for place, tool in enumerate(read):
        if not isinstance(tool.get("type"), str) or not tool["type"]:
            raise Refused(f"`tools[{place}].type` is required")
        if tool["type"] != "function":
            continue
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise Refused(f"`tools[{place}].function.name` is required")
        if not isinstance(function.get("parameters") or {}, dict):
            raise Refused(f"`tools[{place}].function.parameters` is not an object")
    return read


def said(body: Json) -> Said:
    role = text(body, "role") or "user"
    if role not in ("user", "assistant"):
        raise Refused(f"`role` is `{role}`; it is `user` or `assistant`")
    return Said(role, content(body), texts(body, "file_ids"), metadata(body) or {})


def content(body: Json) -> str:
    """What a message says: a text, or texts in parts, as the OpenAI SDK may send them."""
    parts = body.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return text(body, "content", required=True) or ""
    for place, part in enumerate(parts):
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise Refused(f'`content[{place}]` is not a text; write it like {{"type": "text", "text": "…"}}')
    whole = "".join(part["text"] for part in parts)
    if not whole:
        raise Refused("`content` is required")
    return whole


def page(query: Mapping[str, str]) -> Page:
    limit, order = query.get("limit") or str(LIMIT), query.get("order") or "desc"
    after, before = query.get("after") or None, query.get("before") or None
    if not limit.isdecimal() or not limit.isascii() or not 1 <= int(limit[:9]) <= MOST:
        raise Refused(f"`limit` is `{limit}`; it is a whole number from 1 to {MOST}")
    if order not in ("asc", "desc"):
        raise Refused(f"`order` is `{order}`; it is `asc` or `desc`")
    if after and before:
        raise Refused("`after` and `before` exclude each other")
    return Page(int(limit), order == "desc", after, before)
