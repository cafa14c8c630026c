"""The kinds of value a flow file may hold, and what a Python type alone cannot say about them.

The dataclasses of `model` and `checks` are the one statement of the language. `schema` derives the JSON Schema from their
annotations, `build` reads a Document into them, and the manual is their docstrings. The annotations understood by both:

* `str`: a text; a plain number or boolean keeps its spelling. `bool`, `int`, `float`, `None`, `Literal[…]`: themselves.
* `tuple[X, ...]`: a list. `Mapping[str, X]`: a mapping with free keys. A dataclass: a mapping with exactly its fields as keys.
* `X | Y`: any of these; the branch is chosen by the kind of the value, and among mappings by the keys they share.
* `Annotated[X, Form(…)]`: X under further conditions. `object`: any JSON value.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any

__all__ = ["FileName", "Form", "Literally", "Name", "NonEmpty", "key"]


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


NonEmpty = Annotated[str, Form(min_length=1)]
Literally = Annotated[str, Form(min_length=1, substitutes=False)]
FileName = Annotated[str, Form(min_length=1, substitutes=False)]
"""A path below the flow's folder."""
Name = Annotated[str, Form(pattern=r"^[^\W\d]\w*$", substitutes=False)]
"""A name for `${name}`: letters of any script, digits and underscores."""


def key(doc: str, *examples: object, default: object = MISSING, name: str | None = None) -> Any:
    """A dataclass field that is a key of the file: its documentation, examples for editors, its spelling if it differs."""
    metadata = {"doc": doc, "examples": examples, "name": name}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)
