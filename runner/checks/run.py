"""How the run went: its end state, its time, its tokens."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from runner.checks.limits import CountLimit, TimeLimit, trouble_with
from runner.checks.reader import shorten
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["Latency", "Status", "Tokens"]


@check("status")
@dataclass(frozen=True, slots=True)
class Status:
    """The run ended so. Without this check it must be `completed`; with it, a failed run that was expected passes.

    ```yaml
    expect:
      - status: failed
    ```
    """

    name: ClassVar[str]
    value: Literal["completed", "failed", "cancelled", "expired", "incomplete"]

    def evaluate(self, turn: Turn) -> Verdict:
        actual = turn.status or _("(the service did not say)")
        if turn.error is not None:
            actual = shorten(f"{actual} ({turn.error.code}: {turn.error.message})")
        if turn.status == self.value:
            return Verdict(Outcome.PASSED, expected=self.value, actual=actual)
        return Verdict(Outcome.FAILED, _("the run ended otherwise"), self.value, actual)


@check("latency")
@dataclass(frozen=True, slots=True)
class Latency:
    """The run took so long, from sending it to its end: `under 20s`, `at most 1 min`, `over 500 ms`, `between 1s and 20s`.

    ```yaml
    expect:
      - latency: under 20s
    ```
    """

    name: ClassVar[str]
    value: TimeLimit

    def evaluate(self, turn: Turn) -> Verdict:
        actual = _("{seconds} s").format(seconds=f"{turn.seconds:.3g}" if turn.seconds < 1 else f"{turn.seconds:.2f}")
        if self.value.hold(turn.seconds):
            return Verdict(Outcome.PASSED, expected=self.value.written, actual=actual)
        slow = turn.seconds >= self.value.high
        message = _("the run took too long") if slow else _("the run ended too soon")
        return Verdict(Outcome.FAILED, message, self.value.written, actual)

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        yield from trouble_with(self.value)


@check("tokens")
@dataclass(frozen=True, slots=True)
class Tokens:
    """The run used so many tokens, input and output together. A service that does not count them makes this an error.

    ```yaml
    expect:
      - tokens: under 500
    ```
    """

    name: ClassVar[str]
    value: CountLimit

    def evaluate(self, turn: Turn) -> Verdict:
        if turn.usage is None:
            return Verdict(Outcome.ERROR, _("the service did not say how many tokens were used"), self.value.written)
        total = turn.usage.total_tokens
        actual = _("{total} tokens ({input} in, {output} out)").format(
            total=total, input=turn.usage.input_tokens, output=turn.usage.output_tokens
        )
        if self.value.hold(total):
            return Verdict(Outcome.PASSED, expected=self.value.written, actual=actual)
        many = total >= self.value.high
        message = _("the run used too many tokens") if many else _("the run used too few tokens")
        return Verdict(Outcome.FAILED, message, self.value.written, actual)

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        yield from trouble_with(self.value)
