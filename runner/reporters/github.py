"""A run as annotations on the lines of its flows, in the commands that GitHub Actions reads from a job's output; and as the
summary of the job."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from runner.clean import inert, visible
from runner.diagnostics import Diagnostic, Severity, Span
from runner.model import Outcome
from runner.registry import reporter
from runner.report import AttemptReport, CaseReport, Fold, Report, diagnostic
from runner.reporters import Redact, Redacting, Sink, WholeReport
from runner.values import dataclass
from runner.words import _

__all__ = ["Annotation", "GitHub", "annotated", "annotations", "place_in"]

MOST = 10
"""Annotations of one kind that GitHub shows of a step."""
SUMMARY = 1_000_000
"""Bytes of a step's summary; GitHub drops one beyond 1 MiB altogether."""
LONGEST = 4_000
"""Characters of one message."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note of a `kind` (error, warning or notice) on a line of a file; on none where the path is empty."""

    kind: str
    title: str
    message: str
    path: str = ""
    span: Span | None = None


@reporter("github")
class GitHub(WholeReport):
    """Writes an annotation for each check that did not pass and each conversation without a verdict, and adds the Markdown
    report to the summary of the step where the environment names its file."""

    def __init__(self, sink: Sink, fold: Fold, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__(sink, fold)
        self.environment = environment
        self.redact = sink.redact if isinstance(sink, Redacting) else str

    def pieces(self, report: Report) -> Iterator[str]:
        return annotations(found(report), self.environment)

    def close(self) -> None:
        try:
            super().close()
        finally:
            if file := self.environment.get("GITHUB_STEP_SUMMARY"):
                add_summary(Path(file), self.fold.report(), self.redact)


def add_summary(file: Path, report: Report, redact: Redact) -> None:
    """Append to what other parts of the step have written; raise OSError when that cannot be done."""
    from runner.reporters.markdown import COMMENT, document

    try:
        with file.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            if stream.tell():
                stream.write("\n\n")
            room = SUMMARY - stream.tell()
            if room >= COMMENT:
                stream.writelines(map(redact, document(report, room)))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def found(report: Report) -> Iterator[Annotation]:
    """What is worth a note: each conversation is read when its turn has come."""
    for place, summary in enumerate(report.summaries):
        if summary.outcome in {Outcome.FAILED, Outcome.ERROR}:
            case = report.cases[place]
            yield from of_attempt(case.deciding, case, "error")
        elif summary.outcome == Outcome.FLAKY:
            case = report.cases[place]
            for attempt in case.attempts:
                if attempt.outcome != Outcome.PASSED:
                    yield from of_attempt(attempt, case, "warning")
    if report.totals.not_run:
        words = _("{count} not run").format(count=report.totals.not_run)
        yield Annotation("warning", "runflow", f"{words}: {report.stopped}" if report.stopped else words)


def of_attempt(attempt: AttemptReport, case: CaseReport, kind: str) -> Iterator[Annotation]:
    title = case.title
    if len(case.attempts) > 1:
        title += ", " + _("attempt {number} of {count}").format(number=attempt.attempt, count=len(case.attempts))
    for check in attempt.wrong:
        wrong = diagnostic(check, case.path)
        rows = "".join(f"\n{name}: {text}" for name, text in wrong.notes)
        yield Annotation(kind, title, f"{wrong.message} [{wrong.code}]{rows}", case.path, wrong.span)
    if not attempt.wrong or attempt.outcome == Outcome.ERROR:
        line = next((step.line for step in attempt.steps if step.outcome == Outcome.ERROR and step.line), case.line)
        reason = attempt.reason or case.reason or _("no verdict")
        yield Annotation(kind, title, reason, case.path, Span(line, 1, line, 1))


def annotated(wrong: Diagnostic) -> Annotation:
    """What is wrong with a file, as a note on its line."""
    kind = "error" if wrong.severity is Severity.ERROR else "warning"
    hint = f"\n{wrong.hint}" if wrong.hint else ""
    return Annotation(kind, "runflow", f"{wrong.message} [{wrong.code}]{hint}", wrong.path, wrong.span)


def annotations(every: Iterable[Annotation], environment: Mapping[str, str]) -> Iterator[str]:
    """The commands, a line each: of each kind as many as are shown, and the number of the others."""
    written: dict[str, int] = {}
    more = 0
    for each in every:
        written[each.kind] = written.get(each.kind, 0) + 1
        if written[each.kind] > MOST:
            more += 1
        else:
            yield command(each, environment)
    if more:
        yield command(Annotation("notice", "runflow", _("… and {count} more").format(count=more)), environment)


def command(each: Annotation, environment: Mapping[str, str]) -> str:
    properties: dict[str, str | int] = {}
    if each.path:
        properties["file"] = place_in(environment.get("GITHUB_WORKSPACE"), each.path)
    if each.path and each.span:
        properties |= {"line": each.span.line, "endLine": each.span.end_line}
        # A column goes with a single line only.
        properties |= {"col": each.span.column} if each.span.line == each.span.end_line else {}
    properties["title"] = " ".join(visible(each.title).split())[:200]
    told = ",".join(f"{name}={escaped(str(value), also=':,')}" for name, value in properties.items())
    message = each.message if len(each.message) <= LONGEST else each.message[:LONGEST] + "…"
    return f"::{each.kind} {told}::{escaped(message)}\n"


def escaped(text: str, also: str = "") -> str:
    """Text as a part of a command, in which it can end neither the line nor, with `also`, the part."""
    return re.sub(f"[%\r\n{also}]", lambda found: f"%{ord(found[0]):02X}", inert(visible(text)))


def place_in(folder: str | None, path: str) -> str:
    """A path as it is seen from the top of the checkout, with slashes; of no folder named, of the current one."""
    given = Path(path)
    # One that lies elsewhere, or in an event stream and on no disk, is none of the folder.
    with suppress(ValueError):
        real = Path(os.path.realpath(given.parent)) / given.name
        return real.relative_to(os.path.realpath(folder or "")).as_posix()
    return Path(os.path.normpath(path)).as_posix()
