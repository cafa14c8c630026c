"""Tell a run to the person at the terminal: live while it happens, as plain lines in a pipe or a CI log."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, TextIO

from runner import source
from runner.clean import inert, one_line, visible
from runner.console import coloured, is_ci, is_terminal
from runner.diagnostics import Problems, cells, render
from runner.events import (
    Called,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    RunStatusChanged,
    StepEnded,
    StepStarted,
    SuiteStarted,
    TextArrived,
    Warned,
)
from runner.model import Outcome, RunStatus
from runner.registry import reporter
from runner.report import CaseReport, Fold, StepReport, diagnostic, fold_case, fold_step
from runner.reporters import Guarded, Redact, Sink, Stream
from runner.reporters.json import compact
from runner.values import dataclass
from runner.words import _, ngettext

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

__all__ = ["Look", "Screen", "Terminal", "open_terminal"]

COLOURING = re.compile("\x1b\\[[0-9;]*m")
SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ANSWERING = "answering functions"
EXCERPT = 3
"""Rows of an answer that are shown unless all of it is asked for."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a stream can show; `animated` moves the cursor."""

    colour: bool = False
    animated: bool = False
    width: int = 100

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> "Look":
        """Only a terminal that no CI service records is animated."""
        terminal = is_terminal(stream, environment)
        return cls(
            colour=coloured(stream, environment),
            animated=terminal and not is_ci(environment),
            width=columns(stream) if terminal else 100,
        )


def columns(stream: TextIO) -> int:
    import os

    try:
        return max(40, min(os.get_terminal_size(stream.fileno()).columns or 80, 120))
    except OSError:
        return 100


def open_terminal(
    stream: TextIO,
    fold: Fold,
    redact: Redact,
    environment: Mapping[str, str],
    *,
    verbose: bool = False,
    quiet: bool = False,
    colour: bool = True,
) -> "Screen":
    """The terminal reporter for `stream`; `colour` false is `--no-color`."""
    from runner.reporters import Redacting

    look = Look.of(stream, environment)
    sink = Stream(stream)
    look = look if colour else replace(look, colour=False)
    return Screen(Terminal(Redacting(sink, redact), fold, look, verbose=verbose, quiet=quiet), sink)


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


@reporter("terminal")
class Terminal:
    """Every conversation: its operations with their durations, the answers, the checks, the verdict. Then a line that adds up.

    `verbose` shows whole answers, as they stream; `quiet` only what did not pass.
    """

    name: ClassVar[str]
    lasting: ClassVar[bool] = True

    def __init__(
        self,
        sink: Sink,
        fold: Fold,
        look: Look = Look(),
        *,
        verbose: bool = False,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sink = sink
        self.look = look
        self.verbose = verbose
        self.quiet = quiet
        self.clock = clock
        self.fold = fold
        self.conversations: dict[int, Conversation] = {}
        self.screen = Moving(sink, self.running) if look.animated else Still(sink)

    def receive(self, envelope: Envelope) -> None:
        match envelope.event:
            case SuiteStarted() as started:
                self.screen.start()
                self.screen.print(heading(started, self.look))
            case CaseStarted() as started:
                self.conversations[envelope.case] = Conversation(envelope.case, started, self.look, self.verbose, self.clock)
            case event if conversation := self.conversations.get(envelope.case):
                conversation.receive(event)
        self.catch_up()

    def catch_up(self) -> None:
        """Print what is new of the first conversation that is under way, and of all before it, which have ended."""
        for number, conversation in list(self.conversations.items()):
            lines = conversation.take() if conversation.ended or not self.quiet else []
            if not self.quiet or conversation.outcome not in {Outcome.PASSED, Outcome.SKIPPED}:
                self.screen.print(lines)
            if not conversation.ended:
                return
            del self.conversations[number]

    def running(self) -> list[str]:
        """What is under way just now, for the moving part of a terminal."""
        # Another thread asks: a dict must not change while it is walked, and `list` walks it in one go.
        first = next(iter(list(self.conversations.values())), None)
        return first.running() if first and not self.quiet else []

    def close(self) -> None:
        """Print what was interrupted, and the summary; nothing when nothing began."""
        self.screen.stop()
        if self.fold.suite is None:
            return
        for conversation in self.conversations.values():
            conversation.interrupt()
        self.catch_up()
        report = self.fold.report()
        style = "green" if report.exit_code == 0 else "yellow" if report.exit_code == 5 else "red"
        self.screen.print(["", Painter(self.look).paint(report.summary_line(), "bold", style)])


def heading(started: SuiteStarted, look: Look) -> list[str]:
    paint = Painter(look)
    where = "" if started.simulated else f", {started.base_url}"
    target = _("target {target} ({reason})").format(target=started.target + where, reason=started.reason)
    lines = [paint.join([paint.paint(f"runflow {started.version}", "bold"), one_line(target, 300)])]
    if started.simulated:
        lines.append(paint.paint(_("no model answers here: a pass checks the flow, not a model"), "yellow"))
    return lines


class Painter:
    """Signs, colours and widths for one Look."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.dot = self.paint("·", "dim")
        self.bar = self.paint("│", "dim")
        self.arrow = self.paint("→", "cyan")
        self.prompt = self.paint("❯", "cyan")

    def paint(self, text: str, *styles: str) -> str:
        if not self.look.colour or not styles:
            return text
        return f"\x1b[{';'.join(SGR[style] for style in styles)}m{text}\x1b[0m"

    def mark(self, outcome: str) -> str:
        match outcome:
            case Outcome.PASSED:
                return self.paint("✓", "green")
            case Outcome.FAILED:
                return self.paint("✗", "red")
            case Outcome.SKIPPED:
                return self.paint("–", "dim")
        return self.paint("!", "red")

    def join(self, parts: Iterable[str]) -> str:
        return f" {self.dot} ".join(part for part in parts if part)

    def flowing(self, parts: Iterable[str], indent: str) -> list[str]:
        """Parts side by side, on as many lines as they need."""
        lines: list[list[str]] = []
        room = 0
        for part in parts:
            taken = cells(COLOURING.sub("", part)) + 3
            if taken > room or not lines:
                lines.append([])
                room = self.look.width - len(indent) + 3
            lines[-1].append(part)
            room -= taken
        return [indent + self.join(line) for line in lines]

    def said(self, indent: str, mark: str, text: str) -> list[str]:
        """A sentence that others had a part in, such as a server's page of HTML: cut, and wrapped where nobody greps for it."""
        line = one_line(text, 600)
        first, *rest = rows(line, self.look.width - len(indent) - 2) if self.look.animated else [line]
        return [f"{indent}{mark} {first}", *(f"{indent}  {row}" for row in rest)]


class Conversation:
    """One conversation on its way to the screen: `take` gives the lines that have become final, `running` the others."""

    def __init__(self, number: int, started: CaseStarted, look: Look, verbose: bool, clock: Callable[[], float]) -> None:
        self.number = number
        self.paint = Painter(look)
        self.verbose = verbose
        self.clock = clock
        # A CI service would take a line that begins with `::` for a command.
        self.path = f"./{started.path}" if started.path.lstrip().startswith((":", "#")) else started.path
        self.events: list[Event] = [started]
        self.outcome = ""
        self.lines = ["", self.title(started)]
        self.step: StepStarted | None = None
        self.told: list[str] = []
        self.troubles: set[str] = set()
        self.warnings: list[str] = []
        self.operations: list[OperationEnded] = []
        self.doing: tuple[str, float] | None = None
        """What is under way, and since when: an operation, or the answering of functions between two of them."""
        self.status = ""
        self.text = ""
        self.answered: list[Called] = []
        self.room = look.width - 10

    @property
    def ended(self) -> bool:
        return bool(self.outcome)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def title(self, started: CaseStarted) -> str:
        name = f"{started.flow} [{started.label}]" if started.label else started.flow
        parts = [
            self.paint.paint(one_line(name), "bold"),
            one_line(started.model),
            self.paint.paint(one_line(started.path), "dim"),
        ]
        return f"{self.paint.paint('▸', 'cyan')} {self.paint.join(parts)}"

    def receive(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case StepStarted(step=step) if step > 0:
                self.tell_operations("  ")
                self.step, self.status = event, ""
                self.lines += self.question(event)
            case OperationStarted():
                self.doing = (event.operation, self.clock())
            case RunStatusChanged():
                self.status = event.status
            case TextArrived():
                self.text += event.text
            case FunctionAnswered():
                self.answered.append(Called(event.name, event.arguments, event.output if event.by else None, event.trouble))
            case OperationEnded():
                self.operations.append(event)
                answering = event.operation == "wait" and self.status == RunStatus.REQUIRES_ACTION
                self.doing = (ANSWERING, self.clock()) if answering else None
            case Warned():
                self.warnings.append(event.message)
            case ImageSaved() if event.trouble:
                self.warnings.append(event.trouble)
            case StepEnded(step=0):
                self.lines.append("  " + self.paint.paint(_("the whole conversation"), "bold"))
                self.lines += self.checks(
                    [each for each in self.events if isinstance(each, CheckEnded) and each.step == 0], "      "
                )
            case StepEnded(step=step):
                self.end_step(step)
            case CaseEnded():
                self.end(fold_case(self.number, self.events))

    def interrupt(self) -> None:
        if not self.ended:
            self.end(fold_case(self.number, self.events))

    def question(self, started: StepStarted) -> list[str]:
        first = f"  {started.step} {self.paint.prompt}"
        said = self.cut(row for text in started.user for row in wrapped(text, self.room))
        rows = [self.paint.paint(row, "bold") for row in said]
        if started.name:
            rows.insert(0, self.paint.paint(one_line(started.name), "dim"))
        if not rows:
            rows = [self.paint.paint(_("(what the thread already says)"), "dim")]
        return [f"{first} {rows[0]}", *(f"    {self.paint.prompt} {row}" for row in rows[1:])]

    def cut(self, rows: Iterator[str]) -> list[str]:
        if self.verbose:
            return list(rows)
        shown = list(islice(rows, EXCERPT + 1))
        return shown if len(shown) <= EXCERPT else [*shown[: EXCERPT - 1], f"{shown[EXCERPT - 1]} …"]

    def end_step(self, number: int) -> None:
        step = fold_step(number, self.events)
        self.tell_operations("      ")
        if step.answer is not None:
            self.lines += [f"      {self.paint.bar} {row}" for row in self.cut(wrapped(step.answer.text, self.room))]
        self.lines += [line for call in step.calls for line in self.call(call)]
        self.lines += self.checks(step.checks, "      ")
        self.lines += self.reason(step, "      ")
        self.step, self.doing, self.text, self.answered = None, None, "", []

    def reason(self, ended: StepReport | CaseReport, indent: str) -> list[str]:
        """Why there is no verdict, unless that has been said already."""
        if not ended.reason or ended.outcome in {Outcome.PASSED, Outcome.FAILED}:
            return []
        said = any(text and (ended.reason in text or text in ended.reason) for text in self.told)
        if said or ended.reason in self.troubles:
            return []
        if ended.outcome != Outcome.SKIPPED:
            self.told.append(ended.reason)
        words = _("error: {reason}").format(reason=ended.reason)
        if ended.outcome == Outcome.SKIPPED:
            words = _("skipped · {reason}").format(reason=ended.reason)
        return self.paint.said(indent, self.paint.mark(ended.outcome), words)

    def tell_operations(self, indent: str) -> None:
        """The operations since the last time, and what was odd or wrong about them."""
        self.lines += self.paint.flowing(map(self.timed, self.operations), indent)
        for ended in self.operations:
            if ended.message:
                self.told.append(ended.message)
                words = f"{operation(ended.operation)}: {ended.message}"
                self.lines += self.paint.said(indent, self.paint.mark(ended.outcome), words)
        for odd in self.warnings:
            self.lines += self.paint.said(indent, self.paint.paint("!", "yellow"), _("warning: {reason}").format(reason=odd))
        self.operations, self.warnings = [], []

    def timed(self, ended: OperationEnded) -> str:
        words = f"{operation(ended.operation)} {duration(ended.seconds)}"
        return f"{self.paint.mark(ended.outcome)} {self.paint.paint(words, 'dim')}"

    def call(self, call: Called) -> list[str]:
        """One call, and below it what went wrong with it."""
        lines = unfolded(call, self.paint, self.room) if self.verbose else [folded(call, self.paint, self.room)]
        lines = [f"      {line}" for line in lines]
        if call.trouble:
            self.troubles.add(call.trouble)
            lines += self.paint.said("        ", self.paint.paint("!", "red"), call.trouble)
        return lines

    def checks(self, checks: Sequence[CheckEnded], indent: str) -> list[str]:
        parts = [f"{self.paint.mark(check.outcome)} {one_line(check.check)}" for check in checks]
        lines = self.paint.flowing(parts, indent)
        for check in checks:
            if check.outcome != Outcome.PASSED:
                self.told.append(check.message)
                drawn = render(diagnostic(check, self.path), lines_of(self.path), colour=self.paint.look.colour)
                lines += [f"{indent}{line}".rstrip() for line in ("", *drawn.split("\n"))]
        return [*lines, ""] if any(check.outcome != Outcome.PASSED for check in checks) else lines

    def end(self, case: CaseReport) -> None:
        self.outcome = case.outcome
        if self.step is not None:
            self.end_step(self.step.step)
        if not case.steps:
            self.tell_operations("  ")
        if case.not_run:
            last = len(case.steps) + case.not_run
            numbers = str(last) if case.not_run == 1 else f"{len(case.steps) + 1}–{last}"
            self.lines.append("  " + self.paint.paint(f"{numbers} – " + _("not run"), "dim"))
        if case.left:
            self.warnings.append(_("left at the service: {ids}").format(ids=", ".join(case.left)))
        self.tell_operations("  ")
        self.lines += self.reason(case, "  ") if case.outcome != Outcome.SKIPPED else []
        self.lines.append(f"  {self.paint.mark(case.outcome)} {self.verdict(case)}")
        paths = [visible(image.path).replace("\n", "\\n").replace("\t", "\\t") for image in case.images if image.path]
        self.lines += [f"    {self.paint.arrow} {path}" for path in paths]

    def verdict(self, case: CaseReport) -> str:
        word, style = verdict(case.outcome)
        failed = len(case.wrong)
        count = len(case.all_checks)
        checks = ngettext("{count} check", "{count} checks", count).format(count=count)
        if not count:
            checks = _("ran, 0 checks") if case.outcome == Outcome.PASSED else ""
        elif failed:
            checks = _("{failed} of {checks} not passed").format(failed=failed, checks=checks)
        tokens = sum(step.answer.total_tokens or 0 for step in case.steps if step.answer)
        counted = ngettext("{count} token", "{count} tokens", tokens).format(count=tokens) if tokens else ""
        spent = duration(case.seconds) if case.outcome != Outcome.SKIPPED else one_line(case.reason)
        return self.paint.join([self.paint.paint(word, "bold", style), checks, counted, spent])

    def running(self) -> list[str]:
        """The operations of this moment, the one under way last, and with `verbose` the end of the answer so far."""
        doing, parts, text = self.doing, list(map(self.timed, self.operations)), self.text
        indent = "      " if self.step else "  "
        if doing is not None:
            name, since = doing
            seconds = self.clock() - since
            frame = FRAMES[int(seconds * 10) % len(FRAMES)]
            status = one_line(self.status).replace("_", " ") if name == "wait" else ""
            words = [operation(name), status, f"{seconds:.1f} s"]
            parts.append(f"{self.paint.paint(frame, 'cyan')} {' '.join(word for word in words if word)}")
        lines = self.paint.flowing(parts, indent)
        lines += [f"{indent}{folded(call, self.paint, self.room)}" for call in list(self.answered)]
        if self.verbose and text:
            lines += [f"{indent}{self.paint.bar} {row}" for row in list(wrapped(text[-2000:], self.room))[-8:]]
        return lines


class Still:
    """Lines, one after the other, as a pipe or a log wants them."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def start(self) -> None:
        pass

    def print(self, lines: Sequence[str]) -> None:
        if lines:
            self.sink.write("".join(f"{inert(line)}\n" for line in lines))
            self.sink.flush()

    def stop(self) -> None:
        pass


class Moving(Still):
    """Lines that stay, and below them what is under way, drawn again ten times a second."""

    def __init__(self, sink: Sink, running: Callable[[], list[str]]) -> None:
        from rich.console import Console

        super().__init__(sink)
        self.console = Console(file=sink, force_terminal=True, color_system="standard", highlight=False)  # type: ignore[arg-type]
        self.running = running
        self.live = self.opened()

    def opened(self) -> "Live":
        from rich.live import Live

        return Live(
            get_renderable=lambda: self.coloured(self.running()),
            console=self.console,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        )

    def coloured(self, lines: Sequence[str]) -> "Text":
        from rich.text import Text

        return Text("\n").join(map(Text.from_ansi, lines))

    def start(self) -> None:
        # One that stopped would first erase as many lines as it drew last, whoever wrote them.
        self.live = self.opened()
        self.live.start()

    def print(self, lines: Sequence[str]) -> None:
        if lines:
            self.console.print(self.coloured(lines), soft_wrap=True)

    def stop(self) -> None:
        self.live.stop()


def operation(name: str) -> str:
    words = {
        "create_assistant": _("create assistant"),
        "create_thread": _("create thread"),
        "add_message": _("add message"),
        "create_run": _("create run"),
        "wait": _("wait"),
        ANSWERING: _("answering functions"),
        "submit_tool_outputs": _("submit outputs"),
        "read_answer": _("read answer"),
        "cancel_run": _("cancel run"),
        "delete_thread": _("delete thread"),
        "delete_assistant": _("delete assistant"),
    }
    return words.get(name, one_line(name))


def folded(call: Called, paint: Painter, room: int) -> str:
    """A call on one line: its name, its arguments and what came of it, each cut to the room there is."""
    asked = f"{call.name} {compact(call.arguments)}"
    if call.output is None:
        return f"{paint.arrow} {one_line(asked, room)}"
    given = one_line(compact(call.output), room)
    head = one_line(asked, max(room * 3 // 5, room - 3 - cells(given)))
    tail = one_line(given, room - 3 - cells(head))
    return f"{paint.arrow} {head} {paint.arrow} {paint.paint(tail, 'dim')}"


def unfolded(call: Called, paint: Painter, room: int) -> list[str]:
    """The whole of a call, what came of it below."""
    asked = wrapped(f"{call.name} {compact(call.arguments)}", room)
    given = wrapped(compact(call.output or ""), room - 4)
    # The bar keeps words of a model from the beginning of a line.
    lines = [f"{paint.bar if number else paint.arrow} {row}" for number, row in enumerate(asked)]
    return lines + [f"  {paint.bar if number else paint.arrow} {paint.paint(row, 'dim')}" for number, row in enumerate(given)]


def verdict(outcome: str) -> tuple[str, str]:
    match outcome:
        case Outcome.PASSED:
            return _("passed"), "green"
        case Outcome.FAILED:
            return _("failed"), "red"
        case Outcome.SKIPPED:
            return _("skipped"), "dim"
    return _("error"), "red"


def duration(seconds: float) -> str:
    """`3 ms`, `1.3 s`, `2 min 05 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def lines_of(path: str) -> tuple[str, ...]:
    """The flow file's lines; none when it cannot be read any more."""
    try:
        return source.read(path).lines
    except Problems:
        return ()


def wrapped(text: str, room: int) -> Iterator[str]:
    """The lines of a text that say anything, cleaned, in rows of at most `room` cells."""
    for line in text.splitlines():
        if line.strip():
            yield from rows(visible(line.expandtabs(4).rstrip()), room)


def rows(line: str, room: int) -> Iterator[str]:
    """One line in rows, broken at a space where there is one near enough."""
    start = 0
    while (end := start + fitting(line[start : start + room + 1], room)) < len(line):
        space = line.rfind(" ", start + (end - start) // 2, end + 1)
        end = space if space > 0 else end
        yield line[start:end].rstrip()
        start = end + (line[end : end + 1] == " ")
    yield line[start:]


def fitting(text: str, room: int) -> int:
    """How many characters of `text` fit into `room` cells; one at least."""
    used = 0
    for place, char in enumerate(text):
        used += cells(char)
        if used > room:
            return max(1, place)
    return len(text)
