"""Tell a run to the person at the terminal: live while it happens, as plain lines in a pipe or a CI log."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, Protocol, TextIO

from runner.clean import one_line
from runner.events import CaseEnded, CaseStarted, Envelope, SuiteEnded, SuiteStarted
from runner.model import Outcome
from runner.registry import reporter
from runner.report import Fold
from runner.reporters import Guarded, Redact, Redacting, Sink, Stream
from runner.reporters.terminal.conversation import Conversation
from runner.reporters.terminal.ending import behind, ending
from runner.reporters.terminal.overview import Overview
from runner.reporters.terminal.paint import Look, Painter, duration, rows
from runner.reporters.terminal.screen import Moving, Still
from runner.reporters.terminal.telling import operation
from runner.words import _

__all__ = [
    "Conversations",
    "Look",
    "Overview",
    "Painter",
    "Screen",
    "Terminal",
    "duration",
    "open_terminal",
    "operation",
    "rows",
]

PLAIN = Look()
PAUSE = 0.1
"""Lines that come faster than this are printed together: each time, all that moves is drawn anew."""


def open_terminal(
    stream: TextIO,
    fold: Fold,
    redact: Redact,
    environment: Mapping[str, str],
    *,
    verbose: bool = False,
    quiet: bool = False,
    colour: bool = True,
    merged: bool = False,
) -> "Screen":
    """The terminal reporter for `stream`; `colour` false is `--no-color`, `merged` tells only how everything ended."""
    look = Look.of(stream, environment)
    sink = Stream(stream)
    look = look if colour else replace(look, colour=False)
    look = replace(look, animated=False) if merged else look
    return Screen(Terminal(Redacting(sink, redact), fold, look, verbose=verbose, quiet=quiet, merged=merged), sink)


class Screen(Guarded):
    """The guarded terminal reporter, which can make room for others."""

    def __init__(self, terminal: "Terminal", sink: Sink) -> None:
        super().__init__(terminal, sink)
        self.terminal = terminal

    @contextmanager
    def held(self) -> Iterator[Sink]:
        """Nothing on the screen moves meanwhile; what is written to the sink stays there."""
        self.terminal.screen.stop()
        try:
            yield self.terminal.sink
        finally:
            self.terminal.screen.start()


class View(Protocol):
    """How conversations are told while they are played."""

    @property
    def ready(self) -> bool:
        """Whether lines may have become final since the last time."""
        ...

    def receive(self, envelope: Envelope) -> None: ...
    def take(self) -> list[str]:
        """The lines that have become final since the last time."""
        ...

    def rest(self) -> list[str]:
        """The lines of what was interrupted."""
        ...

    def running(self) -> list[str]:
        """What is under way just now."""
        ...


@reporter("terminal")
class Terminal:
    """One conversation: its operations with their durations, the answers, the checks, the verdict. Of many a line each, and
    what did not pass once more at the end. Then a line that adds up.

    `verbose` shows every conversation like that, with whole answers, as they stream; `quiet` only what did not pass.
    """

    name: ClassVar[str]
    lasting: ClassVar[bool] = True

    def __init__(
        self,
        sink: Sink,
        fold: Fold,
        look: Look = PLAIN,
        *,
        verbose: bool = False,
        quiet: bool = False,
        merged: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sink = sink
        self.look = look
        self.verbose = verbose
        self.quiet = quiet
        self.merged = merged
        self.clock = clock
        self.fold = fold
        self.view: View | None = None
        self.printed = -PAUSE
        self.screen = Moving(sink, self.running) if look.animated else Still(sink)

    def receive(self, envelope: Envelope) -> None:
        if isinstance(envelope.event, SuiteStarted):
            self.view = self.view_of(envelope.event, envelope.time)
            self.screen.start()
            below = [""] if isinstance(self.view, Overview) and not (self.quiet or self.merged) else []
            self.screen.print(heading(envelope.event, self.look) + below)
        elif self.view is not None and not self.merged:
            self.view.receive(envelope)
            if self.view.ready and (isinstance(envelope.event, SuiteEnded) or self.clock() - self.printed >= self.pause):
                self.catch_up(self.view)

    def view_of(self, started: SuiteStarted, since: float) -> View:
        if started.cases > 1 and not self.verbose:
            return Overview(started.cases, since, self.fold, self.look, self.quiet, self.clock)
        return Conversations(self.fold, self.look, self.verbose, self.quiet, self.clock)

    @property
    def pause(self) -> float:
        return PAUSE if self.look.animated and isinstance(self.view, Overview) else 0

    def catch_up(self, view: View) -> None:
        if lines := view.take():
            self.screen.print(lines)
            self.printed = self.clock()

    def running(self) -> list[str]:
        """What is under way just now, for the moving part of a terminal."""
        return self.view.running() if self.view is not None and not self.quiet else []

    def close(self) -> None:
        """Print what was interrupted, how everything ended, and the summary; nothing when nothing began."""
        self.screen.stop()
        if self.view is None:
            return
        if not self.merged:
            self.screen.print(self.view.take())
            self.screen.print(self.view.rest())
        report = self.fold.report()
        if report.totals.flows > 1 or self.merged:
            for block in ending(report, self.look, whole=not self.verbose, quiet=self.quiet, below=self.fold.elsewhere):
                self.screen.print(block)
        else:
            self.screen.print(behind(report, Painter(self.look)))
        style = "green" if report.exit_code == 0 else "yellow" if report.exit_code == 5 else "red"
        self.screen.print(["", Painter(self.look).paint(report.summary_line(), "bold", style)])


def heading(started: SuiteStarted, look: Look) -> list[str]:
    paint = Painter(look)
    where = "" if started.simulated else f", {started.base_url}"
    target = _("target {target} ({reason})").format(target=started.target + where, reason=started.reason)
    lines = [paint.join([paint.paint(one_line(f"runflow {started.version}"), "bold"), one_line(target, 300)])]
    if started.simulated:
        lines.append(paint.paint(_("no model answers here: a pass checks the flow, not a model"), "yellow"))
    return lines


class Conversations:
    """Conversations in full, one after the other in the order in which they began.

    One that has ended while another is still told is left to the fold, and read from there when its turn comes.
    """

    ready = True

    def __init__(self, fold: Fold, look: Look, verbose: bool, quiet: bool, clock: Callable[[], float]) -> None:
        self.fold = fold
        self.look = look
        self.verbose = verbose
        self.quiet = quiet
        self.clock = clock
        self.doing: dict[int, Conversation | None] = {}

    def receive(self, envelope: Envelope) -> None:
        number = envelope.case
        if isinstance(envelope.event, CaseStarted):
            self.doing[number] = Conversation(number, envelope.event, self.look, self.verbose, self.clock)
        elif isinstance(envelope.event, CaseEnded) and number in self.fold.closed and number != next(iter(self.doing), 0):
            self.doing[number] = None
        elif conversation := self.doing.get(number):
            conversation.receive(envelope.event)

    def take(self) -> list[str]:
        lines: list[str] = []
        for number, told in list(self.doing.items()):
            conversation = told or self.again(number)
            if conversation.ended or not self.quiet:
                taken = conversation.take()
                lines += taken if not self.quiet or conversation.outcome not in {Outcome.PASSED, Outcome.SKIPPED} else []
            if not conversation.ended:
                return lines
            del self.doing[number]
        return lines

    def again(self, number: int) -> Conversation:
        """One that has ended, as the fold has it."""
        started, *rest = (envelope.event for envelope in self.fold.shelf.take(number))
        assert isinstance(started, CaseStarted)
        conversation = Conversation(number, started, self.look, self.verbose, self.clock)
        for event in rest:
            conversation.receive(event)
        return conversation

    def rest(self) -> list[str]:
        for conversation in self.doing.values():
            if conversation is not None and not conversation.ended:
                conversation.end()
        return self.take()

    def running(self) -> list[str]:
        # Another thread asks: a dict must not change while it is walked, and `list` walks it in one go.
        first = next(iter(list(self.doing.values())), None)
        return first.running() if first else []
