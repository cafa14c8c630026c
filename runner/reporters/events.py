"""A run as it happens, one JSON object a line; `decode` reads the lines back."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from runner.events import Envelope, Event
from runner.registry import reporter
from runner.reporters import Sink
from runner.reporters.json import as_mapping, dumps
from runner.words import _

__all__ = ["Events", "Undecodable", "decode", "encode", "schema"]

KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


@reporter("events")
class Events:
    """Writes a line the moment something happens, so that a run that dies leaves whole lines behind."""

    name: ClassVar[str]
    lasting: ClassVar[bool] = True

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def receive(self, envelope: Envelope) -> None:
        self.sink.write(encode(envelope) + "\n")
        self.sink.flush()

    def close(self) -> None:
        pass


class Undecodable(ValueError):
    """A line that is no envelope; the message is a sentence that names the line."""


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


def decode(lines: Iterable[str]) -> Iterator[Envelope]:
    """The envelopes of such lines, blank ones left out. Raise Undecodable at the first line that is none."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield envelope(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise Undecodable(
                    _("line {number} is not an event of {format}").format(number=number, format=Envelope.FORMAT)
                ) from error


def envelope(line: object) -> Envelope:
    if not isinstance(line, dict) or line.pop("format") != Envelope.FORMAT:
        raise ValueError(line)
    case, sequence, time, name = (line.pop(each) for each in ("case", "sequence", "time", "event"))
    return Envelope(typed(int, case), typed(int, sequence), typed(float, time), typed(KINDS[name], line))


def typed(kind: Any, value: Any) -> Any:
    """`value`, out of JSON, as the type `kind` of an event's field. Raise ValueError or TypeError when it is not one."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != {field.name for field in fields(kind)}:
            raise ValueError(value)
        return kind(**{name: typed(hints[name], item) for name, item in value.items()})
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise TypeError(value)
        return tuple(typed(get_args(kind)[0], item) for item in value)
    if isinstance(kind, UnionType):
        return None if value is None else typed(next(each for each in get_args(kind) if each is not type(None)), value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(value)
    return value


def schema() -> dict[str, object]:
    """The JSON Schema of one line: any of the events, each with the envelope's own fields beside its own."""
    from runner.schema import schema_of

    derived: dict[str, Any] = dict(schema_of(Envelope))
    definitions = derived.pop("definitions")
    around = definitions.pop("Envelope")["properties"]
    shared = {"format": {"const": Envelope.FORMAT}} | {name: around[name] for name in ("case", "sequence", "time")}
    for name in KINDS:
        own = definitions[name]
        own["properties"] = shared | {"event": {"const": name}} | own["properties"]
        own["required"] = [*shared, "event", *own["required"]]
    return {
        "$schema": derived["$schema"],
        "title": "runflow event",
        "anyOf": [{"$ref": f"#/definitions/{name}"} for name in KINDS],
        "definitions": definitions,
    }
