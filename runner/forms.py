"""The kinds of value a flow file may hold, and what a Python type alone cannot say about them.

The dataclasses of `model` and `checks` are the one statement of the language. `schema` derives the JSON Schema from their
annotations, `build` reads a Document into them, and the manual is their docstrings. The annotations understood by both:

* `str`: a text; a plain number or boolean keeps its spelling. `bool`, `int`, `float`, `None`, `Literal[…]`: themselves.
* `tuple[X, ...]`: a list. `Mapping[str, X]`: a mapping with free keys. A dataclass: a mapping with exactly its fields as keys.
  Its fields `span` and `order`, made without `key`, get the mapping's place and its keys as they follow each other.
* `X | Y`: any of these; the branch is chosen by the kind of the value, and among mappings by the keys they share.
* `Annotated[X, Form(…)]`: X under further conditions. `object`: any JSON value.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from runner.values import dataclass

__all__ = [
    "FileName",
    "Form",
    "Key",
    "Literally",
    "Name",
    "NonEmpty",
    "Scalar",
    "Value",
    "branches",
    "key",
    "keys_of",
    "parts_of",
    "split",
]


@dataclass(frozen=True, slots=True)
class Form:
    """Conditions on a value. `parse` turns what was written into the value; it raises ValueError with a sentence for people."""

    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    parse: Callable[[Any], object] | None = None
    substitutes: bool = True
    """Whether `${name}` in it is replaced."""
    escape: Callable[[str], str] | None = None
    """How a substituted value is written here, so that it stands for itself."""
    spelled: bool = False
    """Whether plain numbers and words in it are kept as `Scalar`, with their spelling."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, `true`, `false` or `null` as it stands in the file: a declared type decides later whether it was a text."""

    value: float | None
    spelling: str


NonEmpty = Annotated[str, Form(min_length=1)]
Literally = Annotated[str, Form(min_length=1, substitutes=False)]
FileName = Annotated[str, Form(min_length=1, substitutes=False)]
"""A path below the flow's folder."""
Value = Annotated[object, Form(spelled=True)]
"""Any value: texts, lists, mappings, and `Scalar` for whatever else stands plain in the file."""
# Spelled by exclusion: editors read it as JavaScript, whose `\w` knows no letters but A to Z.
ODD = (
    r"\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u3000-\u3004\u3008-\u3020\u3030"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
NAME = rf"[^\x00-@\[-^`{{-\x7f{ODD}][^\x00-/:-@\[-^`{{-\x7f{ODD}]*"
Name = Annotated[str, Form(pattern=rf"^{NAME}$", substitutes=False)]
"""A name for `${name}`: letters of any script, digits and underscores; no digit first."""


def key(doc: str, *examples: object, default: object = MISSING, name: str | None = None) -> Any:
    """A dataclass field that is a key of the file: its documentation, examples for editors, its spelling if it differs."""
    metadata = {"doc": doc, "examples": examples, "name": name}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a dataclass as the file spells it, and the field that holds it. `null` in the annotation means absent."""

    name: str
    field: str
    annotation: Any
    doc: str
    examples: tuple[object, ...]
    required: bool


@cache
def keys_of(kind: type) -> tuple[Key, ...]:
    """The keys of a dataclass, in order: its fields made by `key`."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        Key(
            name=each.metadata["name"] or each.name,
            field=each.name,
            annotation=hints[each.name],
            doc=each.metadata["doc"],
            examples=each.metadata["examples"],
            required=each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(kind)
        if "doc" in each.metadata
    )


def split(annotation: Any) -> tuple[Any, Form]:
    """`Annotated[X, Form(…)]` as X and the Form; any other annotation with a Form that asks for nothing."""
    if get_origin(annotation) is not Annotated:
        return annotation, Form()
    base, *extras = get_args(annotation)
    return base, next((extra for extra in extras if isinstance(extra, Form)), Form())


def branches(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else, itself alone."""
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(branch for member in get_args(annotation) for branch in branches(member))


def parts_of(value: object) -> Iterable[object]:
    """What a value of a flow is made of, one level down: a mapping's values, a list's items, a dataclass's fields; a text or a
    number is made of nothing."""
    kind: Any = type(value)
    return inside(kind)(value)


@cache
def inside(kind: Any) -> Callable[[Any], Iterable[object]]:
    """What takes a value of this type apart: every value of every flow is, more than once."""
    if issubclass(kind, Mapping):
        return lambda value: value.values()
    if issubclass(kind, tuple | list):
        return lambda value: value
    if is_dataclass(kind):
        names = tuple(each.name for each in fields(kind))
        return lambda value: [getattr(value, name) for name in names]
    return lambda _value: ()
