"""Put values in the place of `${name}`: substitution only, no expressions; `$${` writes a literal `${`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from runner.diagnostics import Span
from runner.forms import NAME, Form
from runner.model import Expectation

__all__ = ["EmptyValue", "UnknownVariable", "environment_name", "expand", "names", "valid"]

T = TypeVar("T")
Escape = Callable[[str], str]

PLACEHOLDER = re.compile(r"\$(\$?)\{(?:([^{}\n]*)\})?")
VALID = re.compile(NAME)
ENVIRONMENT = "env."
TEXTLESS = (NoneType, int, float, Span)
"""Most of what a flow holds; nothing in these is replaced."""


class UnknownVariable(KeyError):
    """A text uses a name that has no value. `name` is that name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class EmptyValue(ValueError):
    """A text became empty because all it consisted of was empty values. `text` is how it was written."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def names(text: str) -> tuple[str, ...]:
    """The names a text uses, each once, in order; `env.NAME` for the environment. They need not be valid names."""
    found = (match[2] for match in PLACEHOLDER.finditer(text) if not match[1] and match[2] is not None)
    return tuple(dict.fromkeys(found))


def valid(name: str) -> bool:
    """Whether a variable may have this name."""
    return VALID.fullmatch(name) is not None


def environment_name(name: str) -> str | None:
    """`HOME` for `env.HOME`; None for the name of a variable."""
    return name.removeprefix(ENVIRONMENT) if name.startswith(ENVIRONMENT) else None


def expand(value: T, values: Mapping[str, str], environment: Mapping[str, str] | None = None) -> T:
    """The same text, dataclass, tuple or mapping with every `${name}` replaced.

    `environment` holds the allowed variables only, for `${env.NAME}`. A class attribute or Form called `escape` says how a
    value is written there, so that it stands for itself. Raise UnknownVariable, or EmptyValue for a text that becomes empty.
    """
    known = dict(values)
    known.update({ENVIRONMENT + name: text for name, text in (environment or {}).items()})
    expanded: T = walk(value, known, None)
    return expanded


def walk(value: Any, known: Mapping[str, str], escape: Escape | None) -> Any:
    if isinstance(value, str):
        return fill(value, known, escape) if "${" in value else value
    if isinstance(value, TEXTLESS):
        return value
    if value is None:
        return None
    if isinstance(value, tuple | list):
        items = [walk(item, known, escape) for item in value]
        return type(value)(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, Mapping):
        entries = {key: walk(item, known, escape) for key, item in value.items()}
        return entries if any(entries[key] is not value[key] for key in entries) else value
    if is_dataclass(value) and not isinstance(value, type):
        own = getattr(type(value), "escape", None if isinstance(value, Expectation) else escape)
        changed = {}
        for name, form in expandable(type(value)):
            old = getattr(value, name)
            new = walk(old, known, form.escape or own)
            if new is not old:
                changed[name] = new
        return replace(value, **changed) if changed else value
    return value


@cache
def expandable(kind: type) -> tuple[tuple[str, Form], ...]:
    """The fields of a dataclass in which names are replaced, and under what conditions."""
    hints = get_type_hints(kind, include_extras=True)
    found = ((each.name, innermost(hints[each.name])) for each in fields(kind))
    return tuple((name, form) for name, form in found if form.substitutes)


def innermost(annotation: Any) -> Form:
    """The Form of a text within a union or list; the first that has something to say about substitution."""
    parts = get_args(annotation)
    if get_origin(annotation) is Mapping:
        parts = parts[1:]
    for part in parts:
        if isinstance(part, Form) and (part.escape or not part.substitutes):
            return part
        inner = innermost(part)
        if inner.escape or not inner.substitutes:
            return inner
    return Form()


def fill(text: str, known: Mapping[str, str], escape: Escape | None) -> str:
    def put(match: re.Match[str]) -> str:
        doubled, name = match[1], match[2]
        if doubled or name is None:
            return match[0].removeprefix("$") if doubled else match[0]
        if name not in known:
            raise UnknownVariable(name)
        return escape(known[name]) if escape else known[name]

    filled = PLACEHOLDER.sub(put, text)
    if not filled.strip():
        raise EmptyValue(text)
    return filled
