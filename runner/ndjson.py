"""Events as lines of JSON, and such lines as events again."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from runner.clean import ORDERS, UNSAFE
from runner.events import Envelope, Event
from runner.words import _

__all__ = ["KINDS", "Undecodable", "as_mapping", "decode", "dumps", "encode"]

KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


class Undecodable(ValueError):
    """A line that is no envelope; the message is a sentence that names the line."""


def as_mapping(value: Any) -> dict[str, object]:
    """The fields of one dataclass."""
    return {name: getattr(value, name) for name in value.__match_args__}


ENCODER = json.JSONEncoder(ensure_ascii=False, default=as_mapping)
"""Made once: `json.dumps` makes one each time."""


def dumps(value: object, indent: int | None = None) -> str:
    """JSON in every script, but with what could steer a terminal or a CI service escaped; it reads back the same."""
    text = json.dumps(value, ensure_ascii=False, default=as_mapping, indent=indent) if indent else ENCODER.encode(value)
    # Told much sooner than UNSAFE finds nothing; most lines are ASCII, where all but DEL is escaped already.
    harmless = "\x7f" not in text if text.isascii() else text.isprintable()
    text = text if harmless else UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)
    # Outside of texts JSON has no such sign.
    return ORDERS.sub(r"\\u0023#", text) if "##" in text else text


def encode(envelope: Envelope) -> str:
    """One line: the format, the envelope's fields, the event's name, and the event's own fields beside them."""
    event = envelope.event
    return dumps(
        {
            "format": Envelope.FORMAT,
            "case": envelope.case,
            "sequence": envelope.sequence,
            "time": envelope.time,
            "event": type(event).__name__,
            **as_mapping(event),
        }
    )


def decode(lines: Iterable[str], first: int = 1) -> Iterator[Envelope]:
    """The envelopes of such lines, blank ones left out. Raise Undecodable at the first line that is none, naming it by its
    number; `first` is that of the first line."""
    for number, line in enumerate(lines, first):
        if line.strip():
            try:
                yield envelope(json.loads(line))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                raise Undecodable(
                    _("line {number} is not an event of {format}").format(number=number, format=Envelope.FORMAT)
                ) from error


def envelope(line: object) -> Envelope:
    if not isinstance(line, dict) or line.pop("format") != Envelope.FORMAT:
        raise ValueError(line)
    case, sequence, time, name = (line.pop(each) for each in ("case", "sequence", "time", "event"))
    kind: object = KINDS[name]
    return Envelope(reader(int)(case), reader(int)(sequence), reader(float)(time), reader(kind)(line))


@cache
def reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a value that comes out of JSON one of the type `kind` of an event's field, put together once for each type. It
    raises ValueError, TypeError or OverflowError for a value that is none."""
    if isinstance(kind, type) and is_dataclass(kind):
        return record(kind)
    if get_origin(kind) is tuple:
        return series(reader(get_args(kind)[0]))
    if isinstance(kind, UnionType):
        some = reader(next(each for each in get_args(kind) if each is not type(None)))
        return lambda value: None if value is None else some(value)

    def plain(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise TypeError(value)

    return plain


def record(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = [(name, reader(hints[name])) for name in kind.__match_args__]

    def read(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != len(readers):
            raise ValueError(value)
        return kind(*[read_field(value[name]) for name, read_field in readers])

    return read


def series(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(value)
        return tuple([item(each) for each in value])

    return read
