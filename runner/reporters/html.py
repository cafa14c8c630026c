"""A run as one HTML page that asks nobody for anything: every conversation as it was held, and what was wrong with it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from runner import source, words
from runner.clean import ORDERS, one_line, visible
from runner.diagnostics import Problems
from runner.events import Called, CheckEnded, ImageSaved, OperationEnded, Retried
from runner.model import Outcome, RunStatus
from runner.registry import reporter
from runner.report import AttemptReport, CaseReport, Report, StepReport, Summary, Totals
from runner.reporters import Raw, Sink, WholeReport
from runner.reporters.flows import is_below, lines_of
from runner.reporters.json import compact
from runner.reporters.terminal import duration, operation
from runner.words import _, ngettext

__all__ = ["Page"]

ROOM = 20 * 1024 * 1024
"""How many bytes of pictures the page itself holds."""
LARGEST = 256 * 1024 * 1024
"""Of one picture, in bytes."""
UNFOLDED = 20
"""Conversations that did not pass are unfolded from the start when there are at most so many."""
AROUND = 300
"""Characters of a line of the flow that are shown on each side of what is marked."""
BEGINS = re.compile(r"(?m)^(\s*)::")
LONG = 1500
"""Characters of a message that may not fit on a screen, and scrolls."""


@reporter("html")
class Page(WholeReport):
    """Writes the page when the run is over. Pictures beyond `room` bytes lie in a folder beside it."""

    room: ClassVar[int] = ROOM

    def pieces(self, report: Report) -> Iterator[str]:
        return gathered(document(report, Album(self.sink, self.room, elsewhere=self.fold.elsewhere)))


# ── markup ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Html(str):
    """Markup. Whatever else meets it is text, and is escaped."""

    __slots__ = ()


def text(value: str) -> Html:
    if isinstance(value, Html):
        return value
    escaped = visible(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # The page may go to a job's output, where a CI service obeys these.
    if "##" in escaped:
        escaped = ORDERS.sub("&#35;#", escaped)
    if "::" in escaped:
        escaped = BEGINS.sub(r"\1&#58;:", escaped)
    return Html(escaped)


def tag(name: str, *inside: str, **attributes: str | bool) -> Html:
    """An element. An attribute may end in `_`, as `class_`; one that is False is left out."""
    return Html(f"{opening(name, attributes)}{''.join(map(text, inside))}</{name}>")


def around(name: str, parts: Iterable[str], **attributes: str | bool) -> Iterator[str]:
    """The same, in pieces."""
    yield opening(name, attributes)
    yield from parts
    yield Html(f"</{name}>")


def opening(name: str, attributes: Mapping[str, str | bool]) -> Html:
    written = [
        f" {key.rstrip('_').replace('_', '-')}{assigned(value)}" for key, value in attributes.items() if value is not False
    ]
    return Html(f"<{name}{''.join(written)}>")


def assigned(value: str | bool) -> str:
    return "" if value is True else '="' + text(str(value)).replace('"', "&quot;") + '"'


def gathered(parts: Iterable[str]) -> Iterator[str]:
    """The pieces, small ones joined: each is masked and written for itself."""
    some: list[str] = []
    for part in parts:
        if isinstance(part, Raw):
            yield "".join(some)
            yield part
            some = []
            continue
        some.append(text(part))
        if len(some) > 500:
            yield "".join(some)
            some = []
    yield "".join(some)


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def document(report: Report, album: "Album") -> Iterator[str]:
    summaries = report.summaries
    wrong = [each for each in summaries if each.outcome in WRONG]
    yield Html("<!doctype html>\n")
    yield opening("html", {"lang": language()})
    yield head(report)
    yield Html("\n<body>\n")
    yield tag("a", _("to the conversations"), class_="skip", href="#conversations")
    yield tag("header", *top(report, summaries))
    yield Html("\n<main>\n")
    if wrong:
        yield tag("h2", _("what did not pass"))
        yield from around("ol", map(entry, wrong), class_="wrong")
    yield from unfinished(summaries)
    yield tag("h2", _("conversations"), id="conversations")
    yield filters(report.totals, summaries)
    for case in report.cases:
        yield from conversation(case, album, unfolded=len(wrong) <= UNFOLDED)
    yield tag("p", _("none of the conversations is like that"), id="none", class_="note", hidden=True)
    if missing := report.totals.flows - len(summaries):
        sentence = ngettext("{count} conversation was never begun", "{count} conversations were never begun", missing)
        yield tag("p", sentence.format(count=missing), class_="note")
    yield Html("\n</main>\n")
    yield tag("footer", f"runflow {report.version} · {moment(report.started)}")
    yield Html(f"<script>{asset('html.js')}</script>\n</body>\n</html>\n")


def head(report: Report) -> Html:
    # A policy in the page itself: nothing is loaded, and nothing runs, but what was written here.
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self'; "
        f"style-src '{digest(asset('html.css'))}'; script-src '{digest(asset('html.js'))}'"
    )
    parts = (
        Html('<meta charset="utf-8">'),
        opening("meta", {"http_equiv": "Content-Security-Policy", "content": policy}),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        Html('<meta name="color-scheme" content="light dark">'),
        opening("link", {"rel": "icon", "href": icon(report.exit_code == 0)}),
        tag("title", f"{verdict(report)} · runflow"),
        Html(f"<style>{asset('html.css')}</style>"),
    )
    return tag("head", *(Html(f"\n{part}") for part in parts))


@lru_cache
def asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def digest(content: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"


def icon(good: bool) -> str:
    """A dot, so that a browser asks for none."""
    from base64 import b64encode

    colour = "#1a7f4f" if good else "#c4232b"
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4.5" cy="4.5" r="4" fill="{colour}"/></svg>'
    return f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"


def language() -> str:
    return words.chosen.info().get("language", "en").replace("_", "-")


def moment(time: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


WRONG = (Outcome.FAILED, Outcome.ERROR, Outcome.FLAKY)
"""What people look for first."""


def state(outcome: str) -> str:
    names = {
        Outcome.PASSED: _("passed"),
        Outcome.FLAKY: _("flaky"),
        Outcome.FAILED: _("failed"),
        Outcome.ERROR: _("error"),
        Outcome.SKIPPED: _("skipped"),
    }
    return names.get(Outcome(outcome), _("not run"))


def kind(outcome: str) -> str:
    """The outcome as a class in the style sheet; what an event stream may call otherwise is an error."""
    return outcome if outcome in set(Outcome) else Outcome.ERROR


def badge(outcome: str) -> Html:
    return tag("span", state(kind(outcome)), class_=f"state {kind(outcome)}")


def counted(totals: Totals) -> dict[Outcome, int]:
    return {
        Outcome.PASSED: totals.passed,
        Outcome.FLAKY: totals.flaky,
        Outcome.FAILED: totals.failed,
        Outcome.ERROR: totals.errors,
        Outcome.SKIPPED: totals.skipped,
        Outcome.NOT_RUN: totals.not_run,
    }


# ── its top ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def verdict(report: Report) -> str:
    totals = report.totals
    if bad := totals.failed + totals.errors + totals.not_run:
        return _("{count} of {all} conversations did not pass").format(count=bad, all=totals.flows)
    if totals.flaky:
        return _("{count} of {all} conversations passed only when tried again").format(count=totals.flaky, all=totals.flows)
    return _("every conversation passed") if totals.passed else _("no conversation was played")


def top(report: Report, summaries: Sequence[Summary]) -> Iterator[Html]:
    counts = {outcome: count for outcome, count in counted(report.totals).items() if count}
    mood = "good" if report.exit_code == 0 else "odd" if report.exit_code == 5 else "bad"
    yield tag("h1", verdict(report), class_=mood)
    yield bar(counts)
    tiles = [tag("li", tag("b", str(count)), " ", state(outcome), class_=outcome) for outcome, count in counts.items()]
    yield tag("ul", *tiles, class_="tiles")
    yield tag("p", report.summary_line(), class_="line")
    if report.stopped or report.signal:
        yield tag("p", _("ended early: {reason}").format(reason=report.stopped or _("interrupted")), class_="note bad")
    if report.simulated:
        yield tag("p", _("no model answers here: a pass checks the flow, not a model"), class_="note odd")
    yield tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts(report, summaries)), class_="facts"
    )


def bar(counts: dict[Outcome, int]) -> Html:
    """How many of each, as a picture of them side by side."""
    total = sum(counts.values()) or 1
    parts, before = [], 0
    for outcome, count in counts.items():
        place, width = f"{1000 * before / total:.1f}", f"{1000 * count / total:.1f}"
        parts.append(tag("rect", class_=outcome, x=place, width=width, height="10"))
        before += count
    return tag("svg", *parts, class_="bar", viewBox="0 0 1000 10", preserveAspectRatio="none", aria_hidden="true")


def facts(report: Report, summaries: Sequence[Summary]) -> Iterator[tuple[str, str]]:
    totals = report.totals
    targets = unique([each.target for each in summaries]) or [report.target]
    yield ngettext("target", "targets", len(targets)), listed(targets)
    if report.base_url and not report.simulated:
        yield _("address"), tag("bdi", report.base_url)
    if report.reason:
        yield _("why there"), report.reason
    models = unique([each.model for each in summaries])
    if models:
        yield ngettext("model", "models", len(models)), listed(models)
    yield (
        _("began"),
        tag("time", moment(report.started).replace("T", " ").replace("Z", " UTC"), datetime=moment(report.started)),
    )
    yield _("took"), duration(report.seconds)
    if totals.total_tokens:
        tokens = _("{total}: {input} in, {output} out").format(
            total=grouped(totals.total_tokens), input=grouped(totals.input_tokens), output=grouped(totals.output_tokens)
        )
        yield _("tokens"), tokens
    yield _("checks"), _("{failed} of {checks} not passed").format(failed=totals.checks_failed, checks=totals.checks)
    if totals.images:
        yield _("pictures"), grouped(totals.images)
    yield _("exit code"), str(report.exit_code)


def unique(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name})


def listed(names: Sequence[str]) -> Html:
    return Html(", ".join(tag("bdi", name) for name in names))


def grouped(count: int) -> str:
    return f"{count:,}"


def tokens_of(count: int) -> str:
    return ngettext("{count} token", "{count} tokens", count).format(count=grouped(count))


def entry(summary: Summary) -> Html:
    """One that did not pass, where people look first."""
    return tag(
        "li",
        badge(summary.outcome),
        tag("a", summary.title or summary.path, href=f"#c{summary.case}", dir="auto"),
        tag("code", f"{summary.path}:{summary.line}"),
        tag("span", one_line(summary.headline, 300), dir="auto") if summary.headline else "",
    )


def unfinished(summaries: Sequence[Summary]) -> Iterator[Html]:
    """The ids of what is still at the service, which somebody has to delete one day."""
    left = [id for each in summaries for id in each.left]
    kept = [id for each in summaries for id in each.kept]
    for ids, sentence in ((left, _("left at the service: {ids}")), (kept, _("kept at the service: {ids}"))):
        if ids:
            shown = ", ".join(ids[:50]) + (", …" if len(ids) > 50 else "")
            yield tag("p", sentence.format(ids=shown), class_="note odd")


def filters(totals: Totals, summaries: Sequence[Summary]) -> Html:
    """What the script makes use of; without it none of this is shown."""
    states = [
        tag(
            "label",
            opening("input", {"type": "checkbox", "value": outcome}),
            tag("span", state(outcome), " ", tag("b", str(count)), class_=f"state {outcome}"),
        )
        for outcome, count in counted(totals).items()
        if count
    ]
    tags = unique([name for each in summaries for name in each.tags])
    choice = [tag("option", _("any tag"), value=""), *(tag("option", name) for name in tags)]
    return tag(
        "div",
        tag("fieldset", tag("legend", _("state")), *states),
        tag("label", tag("span", _("tag")), tag("select", *choice, id="tag")) if tags else "",
        tag("label", tag("span", _("text")), opening("input", {"type": "search", "id": "text"})),
        tag("button", _("unfold all"), type="button", id="unfold"),
        tag("button", _("fold all"), type="button", id="fold"),
        tag("output", data_words=_("{shown} of {all} shown"), id="shown"),
        id="filter",
        role="search",
        hidden=True,
    )


# ── a conversation ───────────────────────────────────────────────────────────────────────────────────────────────────


def conversation(case: CaseReport, album: "Album", *, unfolded: bool) -> Iterator[str]:
    outcome = kind(case.outcome)
    tokens = sum(answer.total_tokens or 0 for attempt in case.attempts for answer in attempt.answers)
    wrong = outcome in WRONG
    row = tag(
        "summary",
        badge(outcome),
        tag("h3", case.title or case.path, dir="auto"),
        tag("span", *(tag("span", name) for name in case.tags), class_="tags") if case.tags else "",
        tag("span", tokens_of(tokens), class_="n") if tokens else "",
        tag("span", duration(case.seconds), class_="n"),
        tag("code", f"{case.path}:{case.line}"),
        tag("span", one_line(case.headline, 300), class_="headline", dir="auto") if case.headline else "",
    )
    yield Html("\n")
    yield opening("details", {"class": "case", "data-state": outcome, "open": wrong and unfolded})
    yield row
    yield from around("div", played(case, album), id=f"c{case.case}", class_="body")
    yield Html("</details>")


def played(case: CaseReport, album: "Album") -> Iterator[str]:
    """Every attempt; of several, those that did not decide are folded."""
    about = [tag("bdi", case.target), tag("bdi", case.model)]
    if case.times > 1:
        about.append(text(_("{needed} of {times} attempts must pass").format(needed=case.needed, times=case.times)))
    yield tag("p", Html(" · ".join(each for each in about if each)), class_="about")
    if not case.attempts:
        yield said(case.outcome, case.reason or _("not run"))
    for attempt in case.attempts:
        parts = attempted(attempt, case, album)
        if len(case.attempts) == 1:
            yield from parts
            continue
        name = _("attempt {number} of {count}").format(number=attempt.attempt, count=len(case.attempts))
        row = tag("summary", badge(attempt.outcome), tag("h4", name), tag("span", duration(attempt.seconds), class_="n"))
        yield opening("details", {"class": "attempt", "open": attempt is case.deciding})
        yield row
        yield from parts
        yield Html("</details>")


def attempted(attempt: AttemptReport, case: CaseReport, album: "Album") -> Iterator[str]:
    told: set[str] = set()
    yield from troubles(0, attempt.operations, attempt.warnings, attempt.http_retries, told)
    for step in attempt.steps:
        repeated = [each for each in attempt.http_retries if each.step == step.step]
        yield from around("section", stepped(step, case.path, repeated, album, told), class_="step")
    if attempt.not_run and attempt.steps:
        first, last = len(attempt.steps) + 1, len(attempt.steps) + attempt.not_run
        sentence = ngettext("step {steps} was not run", "steps {steps} were not run", attempt.not_run)
        yield tag("p", sentence.format(steps=first if first == last else f"{first}–{last}"), class_="said not_run")
    if attempt.checks:
        yield tag("section", tag("h4", _("the whole conversation")), checked(attempt.checks, case.path, album), class_="step")
    yield from explained(attempt.outcome, attempt.reason, told)
    for ids, sentence in (
        (attempt.left, _("left at the service: {ids}")),
        (attempt.kept, _("kept at the service: {ids}")),
    ):
        if ids:
            yield tag("p", sentence.format(ids=", ".join(ids)), class_="said odd")
    if operations := attempt.all_operations:
        count = ngettext("{count} operation", "{count} operations", len(operations)).format(count=len(operations))
        yield tag("details", tag("summary", count), tag("ol", *map(done, operations)), class_="done")


def done(ended: OperationEnded) -> Html:
    parts = [f"{operation(ended.operation)} {duration(ended.seconds)}", ended.id]
    if ended.request_id:
        parts.append(_("request {id}").format(id=ended.request_id))
    return tag("li", " · ".join(part for part in parts if part), class_=ended.outcome != Outcome.PASSED and "bad")


def troubles(
    step: int,
    operations: Iterable[OperationEnded],
    warnings: Iterable[str],
    retries: Iterable[Retried],
    told: set[str],
) -> Iterator[Html]:
    """What was odd or wrong with the calls to the service, and which were made again."""
    for each in retries:
        if each.step == step:
            sentence = _("{operation}, attempt {attempt} after {time}: {reason}")
            yield said(
                "odd",
                sentence.format(
                    operation=operation(each.operation),
                    attempt=each.attempt,
                    time=duration(each.seconds),
                    reason=each.reason,
                ),
            )
    for ended in operations:
        if ended.message:
            told.add(ended.message)
            yield said(ended.outcome, f"{operation(ended.operation)}: {ended.message}")
    for odd in warnings:
        yield said("odd", _("warning: {reason}").format(reason=odd))


def explained(outcome: str, reason: str, told: set[str]) -> Iterator[Html]:
    """Why there is no verdict, unless that was said already."""
    if reason and outcome not in {Outcome.PASSED, Outcome.FAILED} and not any(reason in each for each in told):
        told.add(reason)
        yield said(outcome, reason)


def said(outcome: str, sentence: str) -> Html:
    return tag("p", sentence, class_=f"said {outcome if outcome == 'odd' else kind(outcome)}", dir="auto")


# ── a step ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def stepped(step: StepReport, path: str, retries: Sequence[Retried], album: "Album", told: set[str]) -> Iterator[str]:
    answer = step.answer
    spent = [f"{path}:{step.line}", duration(step.seconds) if step.seconds else ""]
    if answer is not None and answer.total_tokens:
        spent.append(tokens_of(answer.total_tokens))
    name = _("step {number}").format(number=step.step) + (f" · {step.name}" if step.name else "")
    yield tag("h4", name, tag("small", " · ".join(part for part in spent if part)), dir="auto")
    for said_by_user in step.user or (_("(what the thread already says)"),):
        yield bubble("user", _("user"), said_by_user)
    for call in step.calls:
        yield called(call)
        if call.trouble:
            told.add(call.trouble)
            yield said(Outcome.ERROR, call.trouble)
    if answer is not None:
        if answer.text or not step.images:
            yield bubble("assistant", _("assistant"), answer.text or _("(an empty answer)"))
        if answer.status != RunStatus.COMPLETED:
            yield said("odd", _("the run ended as `{status}`").format(status=answer.status))
    for number, image in enumerate(step.images, 1):
        yield from album.figure(image, _("picture {number} of step {step}").format(number=number, step=step.step))
    yield from troubles(step.step, step.operations, step.warnings, retries, told)
    yield from explained(step.outcome, step.reason, told)
    if step.checks:
        yield checked(step.checks, path, album)


def bubble(side: str, name: str, message: str) -> Html:
    inside = tag("div", message, lang="", dir="auto", tabindex="0" if len(message) > LONG else False)
    return tag("div", tag("b", name), inside, class_=f"bubble {side}")


def called(call: Called) -> Html:
    """A tool call, folded to its name and the beginning of what it was asked."""
    asked = compact(call.arguments)
    rows = [tag("dt", _("arguments")), tag("dd", asked, dir="auto")]
    if call.output is not None:
        rows += [tag("dt", _("output")), tag("dd", compact(call.output), dir="auto")]
    return tag(
        "details",
        tag("summary", tag("b", one_line(call.name)), " ", tag("span", one_line(asked, 100))),
        tag("dl", *rows),
        class_="call",
    )


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def checked(checks: Sequence[CheckEnded], path: str, album: "Album") -> Html:
    told = (passed(each) if each.outcome == Outcome.PASSED else complaint(each, path, album) for each in checks)
    return tag("ul", *told, class_="checks")


def passed(check: CheckEnded) -> Html:
    return tag("li", one_line(check.check), class_=Outcome.PASSED)


def complaint(check: CheckEnded, path: str, album: "Album") -> Html:
    """A check that did not pass: what it said, the line that expected it, expected and actual."""
    where = f"{path}:{check.line}:{check.column}"
    rows = [
        part
        for name, value in ((_("expected"), check.expected), (_("actual"), check.actual))
        if value
        for part in (tag("dt", name), tag("dd", value, dir="auto"))
    ]
    return tag(
        "li",
        tag("p", tag("b", one_line(check.check)), " ", tag("bdi", check.message), " ", tag("code", where)),
        line_of(check, album.lines(path)),
        tag("dl", *rows) if rows else "",
        class_=kind(check.outcome),
    )


def line_of(check: CheckEnded, lines: Sequence[str]) -> Html:
    """The line of the flow, the part that is meant marked; nothing when it cannot be read any more."""
    if not 0 < check.line <= len(lines):
        return Html()
    line = lines[check.line - 1].rstrip()
    start = min(max(0, check.column - 1), len(line))
    end = len(line) if check.end_line > check.line else min(max(start, check.end_column - 1), len(line))
    begin, stop = max(0, start - AROUND), end + AROUND
    before = ("…" if begin else "") + (line[begin:start] if begin else line[:start].lstrip())
    after = line[end:stop] + ("…" if line[stop:] else "")
    return tag("div", tag("span", str(check.line)), tag("code", before, tag("mark", line[start:end]), after), class_="yaml")


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Album:
    """Puts saved pictures into the page until `room` bytes are full, and beside it from then on; and the lines of flows. What
    happened `elsewhere` may name any file: nothing outside of the current folder is shown then."""

    def __init__(self, sink: Sink, room: int, *, elsewhere: bool) -> None:
        self.sink = sink
        self.room = room
        self.elsewhere = elsewhere

    def lines(self, path: str) -> Sequence[str]:
        return lines_of(path) if self.may_show(path) else ()

    def may_show(self, path: str) -> bool:
        return not self.elsewhere or is_below(path)

    def figure(self, image: ImageSaved, name: str) -> Iterator[str]:
        """The picture, or why there is none. It is what its bytes say, never what a service called it."""
        from runner.checks.pictures import Broken, examine

        if not image.path:
            yield said("odd", _("a picture that is not shown: {reason}").format(reason=image.trouble or image.source))
            return
        if not self.may_show(image.path):
            yield said("odd", _("a picture outside of the current folder: {path}").format(path=image.path))
            return
        try:
            data = source.open_bytes(image.path, LARGEST, None)
            picture = examine(data)
        except (Problems, ValueError):
            yield said("odd", _("the picture is not there any more: {path}").format(path=image.path))
            return
        except Broken as broken:
            yield said("odd", f"{image.path}: {broken}")
            return
        size = {"width": str(picture.width), "height": str(picture.height), "alt": name}
        caption = tag("figcaption", tag("bdi", image.path), f" · {picture} · {volume(len(data))}")
        if len(data) <= self.room:
            from base64 import b64encode

            self.room -= len(data)
            yield Html("<figure>")
            yield Html(f'{opening("img", size)[:-1]} src="data:image/{picture.format.lower()};base64,')
            yield Raw(b64encode(data).decode())
            yield Html('">')
        elif address := self.sink.write_beside(beside(data, picture.format), data):
            yield Html("<figure>")
            yield tag("a", opening("img", size | {"src": address, "loading": "lazy", "decoding": "async"}), href=address)
        else:
            yield said("odd", _("there is no room for this picture here: {path}").format(path=image.path))
            return
        yield caption
        yield Html("</figure>")


def beside(data: bytes, format: str) -> str:
    """A name that is the same for the same picture, so that a page never shows another run's."""
    from hashlib import sha256

    return f"{sha256(data).hexdigest()[:20]}.{format.lower()}"


def volume(size: int) -> str:
    return f"{size / 1024:.0f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"
