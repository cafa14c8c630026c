"""Which tools the assistant used."""

from dataclasses import dataclass
from typing import ClassVar

from runner.checks.reader import shorten
from runner.forms import Literally
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.words import _

__all__ = ["Calls"]


@check("calls")
@dataclass(frozen=True, slots=True)
class Calls:
    """The assistant called this tool. Under `not`: it did not.

    ```yaml
    expect:
      - calls: text_to_image
      - not: {calls: code_interpreter}
    ```
    """

    name: ClassVar[str]
    value: Literally

    def evaluate(self, turn: Turn) -> Verdict:
        called = tuple(dict.fromkeys(call.name for call in turn.calls))
        actual = shorten(", ".join(called)) if called else _("(no tool was called)")
        if self.value in called:
            return Verdict(Outcome.PASSED, expected=self.value, actual=actual)
        return Verdict(Outcome.FAILED, _("this tool was not called"), self.value, actual)

    def tools(self) -> tuple[str, ...]:
        return (self.value,)
