"""A run as one JSON document, for machines: the Report as it is."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from runner.clean import UNSAFE
from runner.registry import reporter
from runner.report import Report
from runner.reporters import WholeReport

__all__ = ["Json", "as_mapping", "compact", "document", "dumps", "schema"]


@reporter("json")
class Json(WholeReport):
    """Writes the document when the run is over; `schemas/report.schema.json` describes it."""

    def document(self, report: Report) -> str:
        return document(report)


def document(report: Report) -> str:
    return dumps(report, indent=2) + "\n"


def as_mapping(value: Any) -> dict[str, object]:
    """The fields of one dataclass."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def compact(text: str) -> str:
    """The arguments or the output of a call as JSON that people can read, if it is JSON; as it came otherwise. Numbers keep
    their spelling."""
    from runner.checks import arguments
    from runner.forms import Scalar

    def number(spelling: str) -> Scalar:
        return Scalar(float(spelling), spelling)

    try:
        return arguments.dumps(json.loads(text, parse_float=number, parse_constant=refuse, object_pairs_hook=unique))
    except (ValueError, RecursionError):
        return text


def refuse(constant: str) -> object:
    raise ValueError(constant)


def unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError
    return found


def dumps(value: object, indent: int | None = None) -> str:
    """JSON in every script, but with what could steer a terminal escaped; it reads back the same."""
    text = json.dumps(value, ensure_ascii=False, default=as_mapping, indent=indent)
    return UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def schema() -> dict[str, object]:
    """The JSON Schema of the document."""
    from runner.schema import schema_of

    return {"title": "runflow report", **schema_of(Report)}
