"""What is told of a turn: the question, the answer, the calls, the checks, and why there is no verdict."""

from collections.abc import Iterator, Sequence
from itertools import islice

from runner.clean import one_line, visible
from runner.diagnostics import cells, render
from runner.events import Called, CaseStarted, CheckEnded, OperationEnded, Retried, StepStarted
from runner.model import Outcome
from runner.report import AttemptReport, CaseReport, StepReport, diagnostic
from runner.reporters.flows import is_below, lines_of
from runner.reporters.json import compact
from runner.reporters.terminal.paint import Look, Painter, duration, how_many_checks, verdict, wrapped
from runner.words import _, ngettext

__all__ = ["ANSWERING", "Teller", "operation"]

ANSWERING = "answering functions"
EXCERPT = 3
"""Rows of an answer that are shown unless all of it is asked for."""


class Teller:
    """Puts one conversation into lines, and says nothing twice.

    `below` keeps it from reading flow files outside of the current folder, for paths that came from elsewhere.
    """

    def __init__(self, started: CaseStarted | CaseReport, look: Look, *, verbose: bool = False, below: bool = False) -> None:
        self.started = started
        self.paint = Painter(look)
        self.verbose = verbose
        self.below = below
        self.path = unlike_a_command(started.path)
        self.room = look.width - 10
        self.told: list[str] = []
        self.troubles: set[str] = set()

    def forget(self) -> None:
        """What follows may say the same again: it is another attempt."""
        self.told, self.troubles = [], set()

    def title(self) -> list[str]:
        """The name, the model and the file, to be joined."""
        started = self.started
        name = f"{started.flow} [{started.label}]" if started.label else started.flow
        return [
            self.paint.paint(one_line(name), "bold"),
            one_line(started.model),
            self.paint.paint(one_line(started.path), "dim"),
        ]

    def question(self, step: StepStarted | StepReport) -> list[str]:
        first = f"  {step.step} {self.paint.prompt}"
        said = self.cut(row for text in step.user for row in wrapped(text, self.room))
        rows = [self.paint.paint(row, "bold") for row in said]
        if step.name:
            rows.insert(0, self.paint.paint(one_line(step.name), "dim"))
        if not rows:
            rows = [self.paint.paint(_("(what the thread already says)"), "dim")]
        return [f"{first} {rows[0]}", *(f"    {self.paint.prompt} {row}" for row in rows[1:])]

    def cut(self, rows: Iterator[str]) -> list[str]:
        if self.verbose:
            return list(rows)
        shown = list(islice(rows, EXCERPT + 1))
        return shown if len(shown) <= EXCERPT else [*shown[: EXCERPT - 1], f"{shown[EXCERPT - 1]} …"]

    def answered(self, step: StepReport) -> list[str]:
        """The answer and the calls of a step."""
        text = step.answer.text if step.answer is not None else ""
        lines = [f"      {self.paint.bar} {row}" for row in self.cut(wrapped(text, self.room))]
        return lines + [line for call in step.calls for line in self.call(call)]

    def call(self, call: Called) -> list[str]:
        """One call, and below it what went wrong with it."""
        lines = self.unfolded(call) if self.verbose else [self.folded(call)]
        lines = [f"      {line}" for line in lines]
        if call.trouble:
            self.troubles.add(call.trouble)
            lines += self.paint.said("        ", self.paint.paint("!", "red"), call.trouble)
        return lines

    def folded(self, call: Called) -> str:
        """A call on one line: its name, its arguments and what came of it, each cut to the room there is."""
        asked = f"{call.name} {compact(call.arguments)}"
        if call.output is None:
            return f"{self.paint.arrow} {one_line(asked, self.room)}"
        given = one_line(compact(call.output), self.room)
        head = one_line(asked, max(self.room * 3 // 5, self.room - 3 - cells(given)))
        tail = one_line(given, self.room - 3 - cells(head))
        return f"{self.paint.arrow} {head} {self.paint.arrow} {self.paint.paint(tail, 'dim')}"

    def unfolded(self, call: Called) -> list[str]:
        """The whole of a call, what came of it below."""
        bar, arrow = self.paint.bar, self.paint.arrow
        asked = wrapped(f"{call.name} {compact(call.arguments)}", self.room)
        given = wrapped(compact(call.output or ""), self.room - 4)
        # The bar keeps words of a model from the beginning of a line.
        lines = [f"{bar if number else arrow} {row}" for number, row in enumerate(asked)]
        return lines + [f"  {bar if number else arrow} {self.paint.paint(row, 'dim')}" for number, row in enumerate(given)]

    def checks(self, checks: Sequence[CheckEnded], indent: str) -> list[str]:
        """All checks side by side, and below them those that did not pass."""
        parts = [f"{self.paint.mark(check.outcome)} {one_line(check.check)}" for check in checks]
        wrong = self.wrong(checks, indent)
        return [*self.paint.flowing(parts, indent), *wrong, *([""] if wrong else [])]

    def wrong(self, checks: Sequence[CheckEnded], indent: str) -> list[str]:
        """The checks that did not pass, at their lines of the flow file."""
        lines: list[str] = []
        for check in checks:
            if check.outcome != Outcome.PASSED:
                self.told.append(check.message)
                drawn = render(diagnostic(check, self.path), self.source(), colour=self.paint.look.colour)
                lines += [f"{indent}{line}".rstrip() for line in ("", *drawn.split("\n"))]
        return lines

    def source(self) -> Sequence[str]:
        """The flow file's lines; none when it cannot be read any more, or must not be."""
        return () if self.below and not is_below(self.path) else lines_of(self.path)

    def reason(self, ended: StepReport | AttemptReport | CaseReport, indent: str) -> list[str]:
        """Why there is no verdict, unless that has been said already."""
        if not ended.reason or ended.outcome in {Outcome.PASSED, Outcome.FLAKY, Outcome.FAILED, Outcome.NOT_RUN}:
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

    def operations(self, operations: Sequence[OperationEnded], indent: str) -> list[str]:
        """How long each took, and what was wrong with it."""
        return [*self.paint.flowing(map(self.timed, operations), indent), *self.failures(operations, indent)]

    def failures(self, operations: Sequence[OperationEnded], indent: str) -> list[str]:
        lines: list[str] = []
        for ended in operations:
            if ended.message:
                self.told.append(ended.message)
                words = f"{operation(ended.operation)}: {ended.message}"
                lines += self.paint.said(indent, self.paint.mark(ended.outcome), words)
        return lines

    def timed(self, ended: OperationEnded) -> str:
        words = f"{operation(ended.operation)} {duration(ended.seconds)}"
        return f"{self.paint.mark(ended.outcome)} {self.paint.paint(words, 'dim')}"

    def warning(self, odd: str, indent: str) -> list[str]:
        return self.paint.said(indent, self.paint.paint("!", "yellow"), _("warning: {reason}").format(reason=odd))

    def again(self, call: Retried, indent: str) -> list[str]:
        """A call is made again."""
        words = _("{operation} again after {time}, because: {reason}").format(
            operation=operation(call.operation), time=duration(call.seconds), reason=call.reason
        )
        return self.paint.said(indent, self.paint.paint("!", "yellow"), words)

    def ids(self, ended: AttemptReport) -> list[str]:
        """What was left behind, as warnings."""
        left = _("left at the service: {ids}").format(ids=", ".join(ended.left)) if ended.left else ""
        kept = _("kept at the service: {ids}").format(ids=", ".join(ended.kept)) if ended.kept else ""
        return [line for odd in (left, kept) if odd for line in self.warning(odd, "  ")]

    def attempt(self, number: int) -> str:
        """The line above an attempt."""
        times = self.started.times
        words = _("attempt {number} of {times}") if times > 1 else _("attempt {number}")
        return "  " + self.paint.paint(words.format(number=number, times=times), "bold")

    def attempt_ended(self, ended: AttemptReport) -> str:
        """The verdict on one attempt of several."""
        word, style = verdict(ended.outcome)
        checks = how_many_checks(ended.outcome, len(ended.all_checks), len(ended.wrong))
        parts = [self.paint.paint(word, style), checks, duration(ended.seconds)]
        return f"  {self.paint.mark(ended.outcome)} {self.paint.join(parts)}"

    def ended(self, case: CaseReport) -> list[str]:
        """The verdict on all of it, and the pictures that were saved."""
        word, style = verdict(case.outcome)
        checks = how_many_checks(case.outcome, len(case.all_checks), len(case.wrong))
        tokens = sum(answer.total_tokens or 0 for attempt in case.attempts for answer in attempt.answers)
        counted = ngettext("{count} token", "{count} tokens", tokens).format(count=tokens) if tokens else ""
        never = case.outcome in {Outcome.SKIPPED, Outcome.NOT_RUN}
        spent = one_line(case.reason) if never else duration(case.seconds)
        parts = [self.paint.paint(word, "bold", style), attempts(case), checks, counted, spent, repeated(case)]
        paths = [visible(image.path).replace("\n", "\\n").replace("\t", "\\t") for image in case.images if image.path]
        return [
            f"  {self.paint.mark(case.outcome)} {self.paint.join(parts)}",
            *(f"    {self.paint.arrow} {path}" for path in paths),
        ]


def attempts(case: CaseReport) -> str:
    """How many attempts there were, and what came of them; nothing where there was one."""
    if case.times > 1:
        passed = sum(attempt.outcome == Outcome.PASSED for attempt in case.attempts)
        words = _("{passed} of {times} attempts passed, {needed} needed")
        return words.format(passed=passed, times=case.times, needed=case.needed)
    if len(case.attempts) > 1:
        count = len(case.attempts)
        return ngettext("{count} attempt", "{count} attempts", count).format(count=count)
    return ""


def repeated(case: CaseReport) -> str:
    """How many calls were made again; nothing where none was."""
    count = sum(len(attempt.http_retries) for attempt in case.attempts)
    return ngettext("{count} call repeated", "{count} calls repeated", count).format(count=count) if count else ""


def unlike_a_command(path: str) -> str:
    """A CI service would take a line that begins with `::` for a command."""
    return f"./{path}" if path.lstrip().startswith((":", "#")) else path


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
