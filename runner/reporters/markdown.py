"""A run as Markdown, for a comment on a pull request or the summary of a CI job: what did not pass, where, and why.

Texts of others stand in `<code>`, every sign of Markdown and HTML in them as a character reference, or in a fence longer than
any in them: there no service looks for names to notify, issues to link or pictures to load.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from runner.clean import inert, one_line
from runner.model import Outcome
from runner.registry import reporter
from runner.report import Report
from runner.reporters import WholeReport
from runner.reporters.terminal.ending import WRONG, behind, flaky, in_full, not_run, numbers, slowest
from runner.reporters.terminal.paint import Look, Painter, verdict
from runner.words import _

__all__ = ["Markdown", "document"]

COMMENT = 65_000
"""Bytes, of which a text never has fewer than characters; GitHub takes comments of 65,536 characters."""
ONE = 8_000
"""Bytes of one conversation."""
LOOK = Look()
SIGNS = re.compile(r"[!-+./:-@\[-`{-~]")


@reporter("markdown")
class Markdown(WholeReport):
    """Writes the document when the run is over, never more than a comment may hold."""

    def pieces(self, report: Report) -> Iterator[str]:
        return document(report, COMMENT)


def document(report: Report, most: int) -> Iterator[str]:
    """The report in at most `most` bytes: every conversation that did not pass in a table, as far as a third of these go, then
    the rest of the news, then each failure in full; what had no room is counted."""
    paint = Painter(LOOK)
    wrong = [place for place, case in enumerate(report.summaries) if case.outcome in WRONG]
    head = "".join([top(report), fenced(numbers(report, paint), ONE), *table(report, wrong, most // 3)])
    head += fenced([*flaky(report, paint), *not_run(report, paint), *behind(report, paint)], most // 8)
    last = fenced(slowest(report, paint), ONE)
    yield head
    yield from fitting((in_detail(report, place) for place in wrong), len(wrong), most - size(head) - size(last))
    yield last


def top(report: Report) -> str:
    """The sum, and what it says it of."""
    lines = [f"### {'✓' if report.exit_code == 0 else '✗'} {report.summary_line()}", ""]
    if report.target:
        target = _("target {target} ({reason})").format(target=code(report.target), reason=code(report.reason))
        lines += [f"runflow {code(report.version)} · {target}", ""]
    if report.simulated:
        said = _("no model answers here: a pass checks the flow, not a model")
        lines += [f"**{said}**", ""]
    return "\n".join(lines) + "\n"


def table(report: Report, wrong: Sequence[int], most: int) -> Iterator[str]:
    if not wrong:
        return
    heads = " | ".join((_("conversation"), _("where"), _("why")))
    yield f"| | {heads} |\n|---|---|---|---|\n"
    yield from fitting((row(report, place) for place in wrong), len(wrong), most)
    yield "\n"


def row(report: Report, place: int) -> str:
    case = report.summaries[place]
    where = code(f"{case.path}:{case.line}")
    return f"| {state(case.outcome)} | {code(case.title)} | {where} | {code(case.headline)} |\n"


def state(outcome: str) -> str:
    word, _style = verdict(outcome)
    return f"{'✗' if outcome == Outcome.FAILED else '!'} {word}"


def in_detail(report: Report, place: int) -> str:
    """One conversation as the terminal tells it, folded."""
    case = report.cases[place]
    told = fenced(in_full(case, LOOK, below=True)[2:], ONE)
    title = f"{state(case.outcome)} · {code(case.title)} · {code(f'{case.path}:{case.line}')}"
    return f"<details><summary>{title}</summary>\n\n{told}</details>\n\n"


def fitting(pieces: Iterable[str], count: int, room: int) -> Iterator[str]:
    """The first of `count` pieces that fit into `room` bytes, and how many more there are."""
    for number, piece in enumerate(pieces):
        more = "\n" + _("… and {count} more").format(count=count - number) + "\n\n"
        room -= size(piece)
        if room < size(more):
            yield more
            return
        yield piece


def size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def fenced(lines: Iterable[str], most: int) -> str:
    """Lines as they are in a fence that none of them can close, in at most `most` bytes: whole lines, for half a secret would
    not be masked."""
    text = "\n".join(map(inert, lines)).strip("\n")
    if not text:
        return ""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    room = most - 2 * len(fence) - 20
    if size(text) > room:
        kept: list[str] = []
        for line in text.split("\n"):
            room -= size(line) + 1
            if room < 0:
                break
            kept.append(line)
        text = "\n".join([*kept, "…"])
    return f"{fence}text\n{text}\n{fence}\n\n"


def code(text: str) -> str:
    """Words of others on one line, in which nothing is a sign of Markdown or HTML."""
    inside = SIGNS.sub(reference, one_line(text, 300)[:600])
    return f"<code>{inside}</code>" if inside else ""


def reference(found: re.Match[str]) -> str:
    # Addresses of mail are found when references have been read; this keeps their halves apart.
    return f"&#{ord(found[0])};" + ("<wbr>" if found[0] == "@" else "")
