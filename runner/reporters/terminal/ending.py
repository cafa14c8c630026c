"""What is said when a run is over: what did not pass in full, what is left to do, and numbers; the sum comes last."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from runner.clean import one_line
from runner.model import Outcome
from runner.report import CaseReport, Report, StepReport, Summary
from runner.reporters.terminal.paint import Look, Painter, duration
from runner.reporters.terminal.telling import Teller, unlike_a_command
from runner.words import _, ngettext

__all__ = ["behind", "ending"]

WHOLE = 100
"""How many are told in full; of an outage one has read enough by then."""
NAMED = 10
IDS = 20
SLOWEST = 5
WRONG = {Outcome.FAILED, Outcome.ERROR}


def ending(report: Report, look: Look, *, whole: bool, quiet: bool, below: bool = False) -> Iterator[list[str]]:
    """Block by block, so that no two conversations are in memory at a time. `whole` repeats what did not pass, `quiet` leaves
    out the numbers, `below` reads no flow files outside of the current folder."""
    paint = Painter(look)
    if whole:
        yield from wrong(report, look, below=below)
    yield flaky(report, paint)
    yield not_run(report, paint)
    yield behind(report, paint)
    if not quiet:
        yield slowest(report, paint)
        yield numbers(report, paint)


def wrong(report: Report, look: Look, *, below: bool) -> Iterator[list[str]]:
    """What failed or has no verdict, each read when its turn has come."""
    places = [place for place, case in enumerate(report.summaries) if case.outcome in WRONG]
    paint = Painter(look)
    for place in places[:WHOLE]:
        yield in_full(report.cases[place], look, below=below)
    for place in places[WHOLE:]:
        yield [headline(report.summaries[place], paint)]


def headline(case: Summary, paint: Painter) -> str:
    place = one_line(f"{unlike_a_command(case.path)}:{case.line}", 200)
    return f"{paint.mark(case.outcome)} {paint.join([paint.paint(one_line(case.title), 'bold'), place])}: " + one_line(
        case.headline, 300
    )


def in_full(case: CaseReport, look: Look, *, below: bool) -> list[str]:
    """The attempt that decided: the turns with something wrong, and why there is no verdict."""
    tell = Teller(case, look, below=below)
    attempt = case.deciding
    lines = ["", f"{tell.paint.mark(case.outcome)} {tell.paint.join(tell.title())}"]
    if len(case.attempts) > 1:
        lines.append(tell.attempt(attempt.attempt))
    for step in attempt.steps:
        if step.outcome in WRONG:
            lines += turn(step, tell)
    lines += tell.failures(attempt.operations, "  ")
    lines += tell.wrong(attempt.checks, "      ")
    lines += [line for odd in attempt.warnings for line in tell.warning(odd, "  ")]
    lines += tell.reason(attempt, "  ") or tell.reason(case, "  ")
    for other in case.attempts:
        if other is not attempt and other.outcome in WRONG:
            words = _("attempt {number}: {reason}").format(number=other.attempt, reason=other.headline)
            lines += tell.paint.said("  ", tell.paint.mark(other.outcome), words)
    return [*lines, *tell.ended(case)]


def turn(step: StepReport, tell: Teller) -> Iterator[str]:
    """One turn with something wrong: the question and the answer in short, and what is wrong."""
    yield from tell.question(step)
    yield from tell.failures(step.operations, "      ")
    yield from tell.answered(step)
    drawn = tell.wrong(step.checks, "      ")
    yield from [*drawn, ""] if drawn else []
    yield from (line for odd in step.warnings for line in tell.warning(odd, "      "))
    yield from tell.reason(step, "      ")


def flaky(report: Report, paint: Painter) -> list[str]:
    """Those that passed when they were tried again, each with what went wrong first."""
    lines: list[str] = []
    for place, summary in enumerate(report.summaries):
        if summary.outcome == Outcome.FLAKY:
            case = report.cases[place]
            path = paint.paint(one_line(unlike_a_command(case.path), 200), "dim")
            again = _("passed at attempt {number}").format(number=case.deciding.attempt)
            name = paint.paint(one_line(case.title), "bold")
            lines.append(f"{paint.mark(case.outcome)} {paint.join([name, path, again])}")
            for attempt in case.attempts:
                if attempt.outcome in WRONG:
                    words = _("attempt {number}: {reason}").format(number=attempt.attempt, reason=attempt.headline)
                    lines += paint.said("  ", paint.mark(attempt.outcome), words)
    return headed(_("flaky"), lines, paint)


def not_run(report: Report, paint: Painter) -> list[str]:
    """Which were never begun, and why."""
    because = report.stopped or (_("interrupted") if report.signal else "")
    reasons: dict[str, list[str]] = {}
    for case in report.summaries:
        if case.outcome == Outcome.NOT_RUN:
            reasons.setdefault(case.headline or because, []).append(one_line(case.title))
    unknown = report.totals.flows - len(report.summaries)
    if unknown:
        reasons.setdefault(because, [])
    lines: list[str] = []
    for reason, titles in reasons.items():
        count = len(titles) + (unknown if reason == because else 0)
        said = ngettext("{count} conversation", "{count} conversations", count).format(count=count)
        lines.append(f"{paint.mark(Outcome.NOT_RUN)} {said}" + (f": {one_line(reason, 600)}" if reason else ""))
        # The dot keeps the words of others from the beginning of a line, where CI services look for commands.
        lines += [f"    {paint.dot} {title}" for title in some(titles, NAMED)]
    if report.stopped and not reasons:
        lines.append(f"{paint.paint('!', 'yellow')} {one_line(report.stopped, 600)}")
    return headed(_("not run"), lines, paint)


def some(texts: Sequence[str], most: int) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(texts) - most
    return [*texts[:most], _("… and {count} more").format(count=more)] if more > 0 else list(texts)


def behind(report: Report, paint: Painter) -> list[str]:
    """What was left or kept at the service, of which conversation, and how to delete it."""
    left = [(id, case.title) for case in report.summaries for id in case.left]
    kept = [(id, case.title) for case in report.summaries for id in case.kept]
    lines: list[str] = []
    for found, words, undo in (
        (left, _("left at the service:"), _("`runflow clean` deletes them")),
        (kept, _("kept at the service:"), _("`runflow clean --all` deletes them")),
    ):
        if found:
            lines.append(f"{paint.paint('!', 'yellow')} {words}")
            named = [paint.join([one_line(id), one_line(title) if report.totals.flows > 1 else ""]) for id, title in found]
            lines += [f"    {paint.dot} {each}" for each in some(named, IDS)]
            lines += [f"  {undo}"] if not report.simulated else []
    return ["", *lines] if lines else []


def slowest(report: Report, paint: Painter) -> list[str]:
    played = [case for case in report.summaries if case.attempts]
    if len(played) <= 10:
        return []
    longest = sorted(played, key=lambda case: -case.seconds)[:SLOWEST]
    times = [duration(case.seconds) for case in longest]
    room = max(map(len, times), default=0)
    return headed(
        _("slowest"),
        [
            f"  {time:>{room}}  {paint.join([one_line(case.title), paint.paint(one_line(case.path, 200), 'dim')])}"
            for time, case in zip(times, longest, strict=True)
        ],
        paint,
    )


def numbers(report: Report, paint: Painter) -> list[str]:
    """The tokens, and which targets and models answered how often."""
    totals = report.totals
    used = [case for case in report.summaries if case.attempts]
    targets, models = Counter(case.target for case in used), Counter(case.model for case in used if case.model)
    parts = [
        ngettext("target: {names}", "targets: {names}", len(targets)).format(names=shares(targets)) if targets else "",
        ngettext("model: {names}", "models: {names}", len(models)).format(names=shares(models)) if models else "",
        _("tokens: {total} ({input} in, {output} out)").format(
            total=totals.total_tokens, input=totals.input_tokens, output=totals.output_tokens
        )
        if totals.total_tokens
        else "",
        _("in all {time}").format(time=duration(report.seconds)),
    ]
    return ["", *paint.flowing(filter(None, parts), "")]


def shares(found: Mapping[str, int]) -> str:
    """Each name, with how often it comes where there is more than one."""
    if len(found) == 1:
        return one_line(next(iter(found)))
    return ", ".join(f"{one_line(name)} ×{count}" for name, count in found.items())


def headed(heading: str, lines: list[str], paint: Painter) -> list[str]:
    return ["", paint.paint(heading, "bold"), *lines] if lines else []
