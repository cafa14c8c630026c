"""A run as JUnit XML, for CI: a suite for each flow file, a test case for each conversation."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from runner.clean import inert, one_line, visible
from runner.model import Outcome
from runner.registry import reporter
from runner.report import AttemptReport, CaseReport, Report, Summary, diagnostic
from runner.reporters import WholeReport
from runner.reporters.json import compact

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["JUnit"]

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for, not even escaped."""
LONGEST = 1000
"""How much is shown of one call, in cells."""


@reporter("junit")
class JUnit(WholeReport):
    """Writes the document when the run is over. A failed check is a failure, a conversation without a verdict an error, one
    never begun a skipped test case; attempts before a pass are told as flaky, others that did not pass as reruns."""

    def pieces(self, report: Report) -> Iterator[str]:
        unknown = report.totals.flows - len(report.summaries)
        yield '<?xml version="1.0" encoding="UTF-8"?>\n'
        yield opening("testsuites", {"name": "runflow"} | counts(report.summaries, unknown) | {"time": time(report.seconds)})
        for path, places in by_file(report.summaries).items():
            yield from suite(report, path, places)
        if unknown:
            yield from never_begun(unknown)
        yield "</testsuites>\n"


def by_file(cases: Sequence[Summary]) -> Mapping[str, Sequence[int]]:
    """Where the conversations of each file stand in the report."""
    found: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        found.setdefault(case.path, []).append(place)
    return found


def counts(cases: Sequence[Summary], unknown: int = 0) -> dict[str, str]:
    """`unknown` is how many more were never begun, and have no name."""
    verdicts = [case.outcome for case in cases]
    return {
        "tests": str(len(cases) + unknown),
        "failures": str(verdicts.count(Outcome.FAILED)),
        "errors": str(verdicts.count(Outcome.ERROR)),
        "skipped": str(verdicts.count(Outcome.SKIPPED) + verdicts.count(Outcome.NOT_RUN) + unknown),
    }


def suite(report: Report, path: str, places: Sequence[int]) -> Iterator[str]:
    """The conversations of one file, each read when its turn has come."""
    cases = [report.summaries[place] for place in places]
    seconds = sum(case.seconds for case in cases)
    attributes = {"name": legal(path), "file": legal(path)} | counts(cases) | {"time": time(seconds)}
    yield "  " + opening("testsuite", attributes | {"timestamp": timestamp(report.started)})
    about = {
        "target": report.target,
        "reason": report.reason,
        "base_url": report.base_url,
        "simulated": str(report.simulated).lower(),
        "runflow": report.version,
    }
    yield written(properties(about))
    for place in places:
        yield written(testcase(report.cases[place]))
    yield "  </testsuite>\n"


def opening(name: str, attributes: Mapping[str, str]) -> str:
    from xml.etree.ElementTree import Element, tostring

    return tostring(Element(name, dict(attributes)), encoding="unicode").removesuffix(" />") + ">\n"


def written(element: "Element") -> str:
    """An element of a suite, on lines of its own."""
    from xml.etree.ElementTree import indent, tostring

    indent(element, level=2)
    return f"    {tostring(element, encoding='unicode')}\n"


def properties(found: Mapping[str, str]) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    every = Element("properties")
    for name, value in found.items():
        SubElement(every, "property", {"name": name, "value": legal(value)})
    return every


def testcase(case: CaseReport) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    named = {"name": legal(case.title), "classname": legal(case.path), "file": legal(case.path), "line": str(case.line)}
    found = Element("testcase", named | {"time": time(case.seconds)})
    retries = sum(len(attempt.http_retries) for attempt in case.attempts)
    about = {"model": case.model, "target": case.target, "attempts": str(len(case.attempts)), "http_retries": str(retries)}
    if case.times > 1:
        about |= {"times": str(case.times), "needed": str(case.needed)}
    found.append(properties(about))
    match case.outcome:
        case Outcome.FAILED | Outcome.ERROR:
            kind = KINDS[case.outcome]
            text = legal("\n".join(complaints(case.deciding, case.path, case.reason)))
            SubElement(found, kind, {"message": legal(case.headline), "type": case.outcome}).text = text
        case Outcome.SKIPPED:
            SubElement(found, "skipped", {"message": legal(case.reason)})
        case Outcome.NOT_RUN:
            SubElement(found, "skipped", {"message": legal(f"not run: {case.reason}" if case.reason else "not run")})
    found.extend(other_attempts(case))
    said = [told(case.deciding)]
    if case.outcome == Outcome.PASSED:
        said += [f"attempt {each.attempt}: {each.headline}" for each in case.attempts if each.outcome in KINDS]
    if answers := "\n".join(filter(None, said)):
        SubElement(found, "system-out").text = legal(answers)
    return found


KINDS: Mapping[str, str] = {Outcome.FAILED: "failure", Outcome.ERROR: "error"}


def other_attempts(case: CaseReport) -> "Iterator[Element]":
    """The attempts that did not pass, but for the one that decided, each with what was said in it. What passed in spite of
    them, as its flow allows, has none to show: no reader of this shall call it flaky."""
    from xml.etree.ElementTree import Element, SubElement

    if case.outcome == Outcome.PASSED:
        return
    again = "rerun" if case.outcome in KINDS else "flaky"
    for attempt in case.attempts:
        if attempt is case.deciding or attempt.outcome not in KINDS:
            continue
        kind = again + KINDS[attempt.outcome].title()
        found = Element(kind, {"message": legal(attempt.headline), "type": attempt.outcome})
        SubElement(found, "stackTrace").text = legal("\n".join(complaints(attempt, case.path, attempt.reason)))
        SubElement(found, "system-out").text = legal(told(attempt))
        yield found


def never_begun(count: int) -> Iterator[str]:
    from xml.etree.ElementTree import Element, SubElement

    yield "  " + opening("testsuite", {"name": "not run"} | counts((), count) | {"time": time(0)})
    for number in range(1, count + 1):
        case = Element("testcase", {"name": f"not run {number}", "classname": "not run", "time": time(0)})
        SubElement(case, "skipped", {"message": "not run"})
        yield written(case)
    yield "  </testsuite>\n"


def complaints(attempt: AttemptReport, path: str, reason: str) -> Iterator[str]:
    """Everything that went wrong, each at its place in the file; no line begins with the words of a model or a service."""
    lines = []
    for check in attempt.wrong:
        lines.append(f"{path}:{check.line}:{check.column}: {check.message} [{check.check}]")
        lines += [f"  | {name}  {row}" for name, text in diagnostic(check, path).notes for row in text.splitlines()]
    lines += [f"{each.operation}: {each.message}" for each in attempt.all_operations if each.message]
    lines += [each.trouble for step in attempt.steps for each in step.calls if each.trouble]
    lines += [step.reason for step in attempt.steps if step.reason and step.outcome != Outcome.SKIPPED]
    for said in dict.fromkeys([*lines, reason] if reason else lines):
        yield "\n  | ".join(said.splitlines())


def told(attempt: AttemptReport) -> str:
    """What was said, so prefixed that no line of a log begins with the words of a model."""
    lines = []
    for step in attempt.steps:
        lines += [f"{step.step} > {row}" for text in step.user for row in text.splitlines()]
        lines += [f"{step.step} | {row}" for row in (step.answer.text.splitlines() if step.answer else ())]
        for call in step.calls:
            parts = (f"{call.name} {compact(call.arguments)}", None if call.output is None else compact(call.output))
            lines.append(f"{step.step} → " + " → ".join(one_line(part, LONGEST) for part in parts if part is not None))
            lines += [f"{step.step} ! {one_line(call.trouble, LONGEST)}"] if call.trouble else []
    return "\n".join(lines)


def legal(text: str) -> str:
    return ILLEGAL.sub(lambda found: f"\\u{ord(found[0]):04x}", inert(visible(text)))


def time(seconds: float) -> str:
    return f"{seconds:.3f}"


def timestamp(started: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
