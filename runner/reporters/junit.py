"""A run as JUnit XML, for CI: a suite for each flow file, a test case for each conversation."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.clean import one_line, visible
from runner.model import Outcome
from runner.registry import reporter
from runner.report import CaseReport, Report, diagnostic
from runner.reporters import WholeReport
from runner.reporters.json import compact

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["JUnit", "document"]

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for, not even escaped."""
LONGEST = 1000
"""How much is shown of one call, in cells."""


@reporter("junit")
class JUnit(WholeReport):
    """Writes the document when the run is over. A failed check is a failure, a conversation without a verdict an error."""

    def pieces(self, report: Report) -> Iterator[str]:
        yield document(report)


def document(report: Report) -> str:
    """The report as XML. Conversations never begun are skipped test cases, so that the counts are the report's."""
    from xml.etree.ElementTree import Element, indent, tostring

    root = Element(
        "testsuites", {"name": "runflow"} | counts(report.cases, report.totals.not_run) | {"time": time(report.seconds)}
    )
    for path, cases in by_file(report.cases).items():
        root.append(suite(report, path, cases))
    if report.totals.not_run:
        root.append(never_begun(report.totals.not_run))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def by_file(cases: Sequence[CaseReport]) -> dict[str, list[CaseReport]]:
    found: dict[str, list[CaseReport]] = {}
    for case in cases:
        found.setdefault(case.path, []).append(case)
    return found


def counts(cases: Sequence[CaseReport], not_run: int = 0) -> dict[str, str]:
    verdicts = [case.outcome for case in cases]
    return {
        "tests": str(len(cases) + not_run),
        "failures": str(verdicts.count(Outcome.FAILED)),
        "errors": str(verdicts.count(Outcome.ERROR)),
        "skipped": str(verdicts.count(Outcome.SKIPPED) + not_run),
    }


def suite(report: Report, path: str, cases: Sequence[CaseReport]) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    seconds = sum(case.seconds for case in cases)
    attributes = {"name": legal(path), "file": legal(path)} | counts(cases) | {"time": time(seconds)}
    found = Element("testsuite", attributes | {"timestamp": timestamp(report.started)})
    properties = SubElement(found, "properties")
    for name, value in {
        "target": report.target,
        "reason": report.reason,
        "base_url": report.base_url,
        "simulated": str(report.simulated).lower(),
        "runflow": report.version,
    }.items():
        SubElement(properties, "property", {"name": name, "value": legal(value)})
    found.extend(testcase(case) for case in cases)
    return found


def testcase(case: CaseReport) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    found = Element(
        "testcase",
        {
            "name": legal(case.title),
            "classname": legal(case.path),
            "file": legal(case.path),
            "line": str(case.line),
            "time": time(case.seconds),
        },
    )
    SubElement(SubElement(found, "properties"), "property", {"name": "model", "value": legal(case.model)})
    match case.outcome:
        case Outcome.FAILED:
            SubElement(found, "failure", {"message": legal(case.headline), "type": "failed"}).text = legal(complaints(case))
        case Outcome.ERROR:
            SubElement(found, "error", {"message": legal(case.headline), "type": "error"}).text = legal(complaints(case))
        case Outcome.SKIPPED:
            SubElement(found, "skipped", {"message": legal(case.reason)})
    if answers := told(case):
        SubElement(found, "system-out").text = legal(answers)
    return found


def never_begun(count: int) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    found = Element("testsuite", {"name": "not run"} | counts((), count) | {"time": time(0)})
    for number in range(1, count + 1):
        case = SubElement(found, "testcase", {"name": f"not run {number}", "classname": "not run", "time": time(0)})
        SubElement(case, "skipped", {"message": "not run"})
    return found


def complaints(case: CaseReport) -> str:
    """Everything that went wrong, each at its place in the file; no line begins with the words of a model or a service."""
    lines = []
    for check in case.wrong:
        lines.append(f"{case.path}:{check.line}:{check.column}: {check.message} [{check.check}]")
        lines += [f"  | {name}  {row}" for name, text in diagnostic(check, case.path).notes for row in text.splitlines()]
    lines += [f"{each.operation}: {each.message}" for each in case.all_operations if each.message]
    lines += [each.trouble for step in case.steps for each in step.calls if each.trouble]
    lines += [step.reason for step in case.steps if step.reason and step.outcome != Outcome.SKIPPED]
    said = dict.fromkeys([*lines, case.reason] if case.reason else lines)
    return "\n".join("\n  | ".join(line.splitlines()) for line in said)


def told(case: CaseReport) -> str:
    """What was said, so prefixed that no line of a log begins with the words of a model."""
    lines = []
    for step in case.steps:
        lines += [f"{step.step} > {row}" for text in step.user for row in text.splitlines()]
        lines += [f"{step.step} | {row}" for row in (step.answer.text.splitlines() if step.answer else ())]
        for call in step.calls:
            parts = (f"{call.name} {compact(call.arguments)}", None if call.output is None else compact(call.output))
            lines.append(f"{step.step} → " + " → ".join(one_line(part, LONGEST) for part in parts if part is not None))
            lines += [f"{step.step} ! {one_line(call.trouble, LONGEST)}"] if call.trouble else []
    return "\n".join(lines)


def legal(text: str) -> str:
    return ILLEGAL.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))


def time(seconds: float) -> str:
    return f"{seconds:.3f}"


def timestamp(started: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
