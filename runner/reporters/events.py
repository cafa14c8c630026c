"""A run as it happens, one JSON object a line."""

from typing import Any, ClassVar

from runner.events import Envelope
from runner.ndjson import KINDS, encode
from runner.registry import reporter
from runner.report import Fold
from runner.reporters import Sink

__all__ = ["Events", "schema"]


@reporter("events")
class Events:
    """Writes a line the moment something happens, so that a run that dies leaves whole lines behind."""

    name: ClassVar[str]
    lasting: ClassVar[bool] = True

    def __init__(self, sink: Sink, _fold: Fold) -> None:
        self.sink = sink

    def receive(self, envelope: Envelope) -> None:
        self.sink.write(encode(envelope) + "\n")
        self.sink.flush()

    def close(self) -> None:
        pass


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
