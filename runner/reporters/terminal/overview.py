"""Many conversations on the screen: a line for each when it has ended, and below them what is under way."""

from collections.abc import Callable, Iterable

from runner.clean import one_line
from runner.diagnostics import cells
from runner.events import (
    AttemptStarted,
    CaseEnded,
    CaseStarted,
    Envelope,
    Event,
    OperationEnded,
    OperationStarted,
    Retried,
    StepEnded,
    StepStarted,
)
from runner.model import Outcome
from runner.report import Fold, Summary
from runner.reporters.terminal.paint import FRAMES, Look, Painter, duration, how_many_checks
from runner.reporters.terminal.telling import operation, unlike_a_command
from runner.values import dataclass
from runner.words import _, ngettext

__all__ = ["Overview", "line"]

SHOWN = 8
"""How many conversations under way are shown."""
QUIET = {Outcome.PASSED, Outcome.SKIPPED}


@dataclass(slots=True)
class Doing:
    """What a conversation is at just now; once it has ended, the line that says so."""

    title: str
    steps: int
    since: float
    step: int = 0
    operation: str = ""
    attempt: int = 1
    line: str | None = None
    told_again: bool = False
    """It was played by an earlier run, which this one goes on with."""


class Overview:
    """Every conversation in one line, in the order in which they began: one that has ended waits for those before it.

    Only those under way are kept, and those that wait.
    """

    def __init__(self, planned: int, since: float, fold: Fold, look: Look, quiet: bool, clock: Callable[[], float]) -> None:
        self.planned = planned
        self.since = since
        self.fold = fold
        self.look = look
        self.paint = Painter(look)
        self.quiet = quiet
        self.clock = clock
        self.began = clock()
        self.usual: CaseStarted | None = None
        """The first one; where another has the same model and target, they are not named."""
        self.doing: dict[int, Doing] = {}
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.played = 0
        self.ready = False

    def receive(self, envelope: Envelope) -> None:
        event = envelope.event
        if isinstance(event, CaseStarted):
            self.usual = self.usual or event
            name = f"{event.flow} [{event.label}]" if event.label else event.flow
            self.doing[envelope.case] = Doing(one_line(name), event.steps, self.clock(), told_again=envelope.time < self.since)
        elif isinstance(event, CaseEnded):
            self.end(envelope.case)
        elif doing := self.doing.get(envelope.case):
            follow(doing, event)

    def end(self, number: int) -> None:
        doing, summary = self.doing.get(number), self.fold.closed.get(number)
        if doing is None or summary is None:
            return
        self.outcomes[Outcome(summary.outcome)] += 1
        self.played += not doing.told_again and summary.outcome not in {Outcome.SKIPPED, Outcome.NOT_RUN}
        silent = summary.outcome == Outcome.NOT_RUN or (self.quiet and summary.outcome in QUIET)
        doing.line = "" if silent else line(summary, self.paint, self.usual)
        self.ready = True

    def take(self) -> list[str]:
        """The lines that have become final."""
        self.ready = False
        lines: list[str] = []
        while (number := next(iter(self.doing), None)) is not None:
            line = self.doing[number].line
            if line is None:
                break
            lines += [line] if line else []
            del self.doing[number]
        return lines

    def rest(self) -> list[str]:
        """The lines of all that is left, which was interrupted."""
        known = {summary.case: summary for summary in self.fold.report().summaries}
        for number, doing in self.doing.items():
            if doing.line is None:
                doing.line = line(known[number], self.paint, self.usual)
        return self.take()

    def running(self) -> list[str]:
        """How far it is, and the conversations under way, those first that began first."""
        # Another thread asks: a dict must not change while it is walked, and `list` walks it in one go.
        every = [doing for doing in list(self.doing.values()) if doing.line is None]
        lines = [self.under_way(doing) for doing in every[:SHOWN]]
        if len(every) > SHOWN:
            lines.append("  " + self.paint.paint(_("… and {count} more").format(count=len(every) - SHOWN), "dim"))
        return ["", *self.progress(), *lines]

    def progress(self) -> list[str]:
        told = self.outcomes
        done = sum(told.values())
        counts = [
            self.paint.paint(_("{count} of {all} done").format(count=done, all=max(self.planned, done)), "bold"),
            _("{count} passed").format(count=told[Outcome.PASSED]),
            _("{count} flaky").format(count=told[Outcome.FLAKY]) if told[Outcome.FLAKY] else "",
            self.alarming(_("{count} failed"), told[Outcome.FAILED]),
            self.alarming(ngettext("{count} error", "{count} errors", told[Outcome.ERROR]), told[Outcome.ERROR]),
            self.left(done),
        ]
        return self.paint.flowing(filter(None, counts), "  ")

    def alarming(self, words: str, count: int) -> str:
        said = words.format(count=count)
        return self.paint.paint(said, "red") if count else said

    def left(self, done: int) -> str:
        """How long it will take yet, if those still to come take as long as those that have ended."""
        if self.played < 2 or done >= self.planned:
            return ""
        seconds = (self.clock() - self.began) / self.played * (self.planned - done)
        time = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
        return _("about {time} left").format(time=time)

    def under_way(self, doing: Doing) -> str:
        seconds = self.clock() - doing.since
        frame = self.paint.paint(FRAMES[int(seconds * 10) % len(FRAMES)], "cyan")
        step = _("step {number} of {count}").format(number=doing.step, count=doing.steps) if doing.step else ""
        again = _("attempt {number}").format(number=doing.attempt) if doing.attempt > 1 else ""
        parts = [again, step, operation(doing.operation) if doing.operation else "", f"{seconds:.1f} s"]
        said = " · ".join(filter(None, parts))
        room = max(12, self.look.width - 7 - cells(said))
        return f"  {frame} {one_line(doing.title, room)} {self.paint.paint(f'· {said}', 'dim')}"


def follow(doing: Doing, event: Event) -> None:
    match event:
        case AttemptStarted(attempt=attempt):
            doing.attempt, doing.step, doing.operation = attempt, 0, ""
        case StepStarted(step=step) if step:
            doing.step = step
        case OperationStarted(operation=name) | Retried(operation=name):
            doing.operation = name
        case OperationEnded():
            doing.operation = ""
        case StepEnded():
            doing.step = 0


def line(case: Summary, paint: Painter, usual: CaseStarted | None) -> str:
    """A conversation that has ended. A terminal gets as much of it as fits on one row; what others grep is whole."""
    path = unlike_a_command(case.path) + ("" if case.outcome in {*QUIET, Outcome.FLAKY} else f":{case.line}")
    elsewhere = usual is not None and case.target != usual.target
    other = usual is not None and case.model != usual.model
    tokens = case.total_tokens
    attempts = ngettext("{count} attempt", "{count} attempts", case.attempts).format(count=case.attempts)
    told = {
        "path": (one_line(path, 200), "dim"),
        "target": (one_line(case.target) if elsewhere else "", ""),
        "model": (one_line(case.model) if other else "", ""),
        "checks": (how_many_checks(case.outcome, case.checks, case.checks_failed), ""),
        "attempts": (attempts if case.attempts > 1 else "", ""),
        "tokens": (ngettext("{count} token", "{count} tokens", tokens).format(count=tokens) if tokens else "", ""),
        "spent": (one_line(case.headline) if case.outcome == Outcome.SKIPPED else duration(case.seconds), ""),
    }
    title = one_line(case.title, 200)
    if paint.look.animated:
        for name in ("tokens", "path", "target", "model", "attempts", "checks"):
            if taken(title, told.values()) > paint.look.width:
                del told[name]
        title = one_line(title, max(12, paint.look.width - taken("", told.values())))
    rest = [paint.paint(text, style) if style else text for text, style in told.values()]
    return f"{paint.mark(case.outcome)} {paint.join([paint.paint(title, 'bold'), *rest])}"


def taken(title: str, told: Iterable[tuple[str, str]]) -> int:
    """How many cells that line has."""
    return 2 + cells(title) + sum(3 + cells(text) for text, _style in told if text)
