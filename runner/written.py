"""How a flow file writes functions and their answers, where `model` holds them otherwise; `build` turns one into the other."""

from collections.abc import Mapping
from typing import Annotated, Any

from runner.forms import Form, NonEmpty, Value, key
from runner.model import Asks, ByHttp, InPython, Reply, SampleCall
from runner.values import dataclass
from runner.words import _

__all__ = [
    "ANSWER_KEYS",
    "OPTIONAL",
    "RESERVED",
    "ROUND",
    "ROUNDS",
    "TYPES",
    "ParameterType",
    "Parameters",
    "WrittenFunction",
    "by_http",
    "property_of",
    "short_schema",
]

TYPES = ("string", "number", "integer", "boolean", "list", "object")
"""What a parameter may be, in the short form."""
JSON_TYPES: Mapping[str, str] = {"list": "array"}
OPTIONAL = "optional "

ROUND: Any = Annotated[tuple[SampleCall, ...], Form(min_length=1)]
ROUNDS: Any = tuple[ROUND, ...]
"""The annotation of a place where sampled calls are written."""


def by_http(written: object) -> ByHttp:
    """An absolute web address as a ByHttp; raise ValueError for anything else."""
    from urllib.parse import urlsplit

    text = str(written)
    try:
        parts = urlsplit(text)
        plain = parts.scheme in ("http", "https") and parts.hostname and text.isprintable() and " " not in text
        _port = parts.port
    except ValueError:
        plain = None
    if not plain:
        raise ValueError(_("not a web address; write it like `https://example.com/orders`"))
    if "@" in parts.netloc:
        raise ValueError(_("a web address here holds no user and password; files are passed on"))
    return ByHttp(text)


class Parameters:
    """The annotation of a function's parameters: JSON Schema with `type: object`, or a name and a type each."""


class ParameterType:
    """The annotation of one parameter in the short form: a type, `optional` and a type, or a list of the allowed words."""


@dataclass(frozen=True, slots=True)
class WrittenFunction:
    """A function of yours that the assistant may call: its parameters, and one key that says how its calls are answered."""

    description: str | None = key("What the function does; the model decides by it", "Look up one order", default=None)
    parameters: Parameters | None = key(
        "Its arguments: a name and a type each, or a JSON Schema with `type: object`; none unless told",
        {"order_id": "string", "note": "optional string", "size": ["small", "large"]},
        {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        default=None,
    )
    returns: Value = key(
        "What the function always gives: a text as it is, any other value as JSON", {"status": "shipped"}, default=None
    )
    fails: NonEmpty | None = key("The error text the function always fails with", "already shipped", default=None)
    replies: Annotated[tuple[Reply, ...], Form(min_length=1)] | None = key(
        "What the function gives call by call: the first fitting answer that is unused; the last one serves without limit",
        [{"when": {"order_id": "1234"}, "returns": {"status": "shipped"}}, {"fails": "no such order"}],
        default=None,
    )
    python: InPython | None = key(
        "A function in a Python file below the flow's folder, called with the arguments; runs only when permitted",
        "tools.py:get_order",
        default=None,
    )
    http: Annotated[ByHttp, Form(parse=by_http, substitutes=False)] | None = key(
        "A web address that gets the arguments as JSON by POST; used only when permitted",
        "https://example.com/orders",
        default=None,
    )
    ask: Asks | None = key(
        "Ask the person at the terminal; a text is shown above the prompt", True, "Shipped or not?", default=None
    )


ANSWER_KEYS = ("returns", "fails", "replies", "python", "http", "ask")
RESERVED = ("type", "function", "parameters", *ANSWER_KEYS)
"""Keys that describe a function: no function's name, and no setting of a tool of the service."""


def short_schema(written: Mapping[str, str | list[str]]) -> dict[str, object]:
    """The JSON Schema of parameters in the short form."""
    return {
        "type": "object",
        "properties": {name: property_of(kind) for name, kind in written.items()},
        "required": [name for name, kind in written.items() if isinstance(kind, list) or not kind.startswith(OPTIONAL)],
        "additionalProperties": False,
    }


def property_of(kind: str | list[str]) -> dict[str, object]:
    """The JSON Schema of one parameter in the short form."""
    if isinstance(kind, list):
        return {"type": "string", "enum": kind}
    name = kind.removeprefix(OPTIONAL)
    return {"type": JSON_TYPES.get(name, name)}
