"""A run as one JSON document, for machines: the Report as it is."""

import json
from collections.abc import Iterator, Sequence

from runner.ndjson import as_mapping, dumps
from runner.registry import reporter
from runner.report import Report
from runner.reporters import WholeReport

__all__ = ["Json", "compact", "schema"]


@reporter("json")
class Json(WholeReport):
    """Writes the document when the run is over; `schemas/report.schema.json` describes it."""

    def pieces(self, report: Report) -> Iterator[str]:
        head = dumps(as_mapping(report) | {"cases": []}, indent=2)
        yield head.removesuffix("[]\n}") + "["
        for number, case in enumerate(report.cases):
            yield ("," if number else "") + f"\n    {dumps(case)}"
        yield "\n  ]\n}\n" if report.summaries else "]\n}\n"


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


def schema() -> dict[str, object]:
    """The JSON Schema of the document."""
    from runner.schema import schema_of

    return {"title": "runflow report", **schema_of(Report)}
