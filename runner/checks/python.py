"""Let a function of the author's judge the answer."""

from typing import ClassVar

from runner.checks.arguments import read
from runner.checks.reader import answer, shorten
from runner.model import InPython, Outcome, ToolCall, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["ByPython"]

SECONDS = 10.0


@check("python")
@dataclass(frozen=True, slots=True)
class ByPython:
    """A Python function of yours finds nothing wrong. It runs only when the flow was trusted with `runflow trust`.

    The function stands in a file below the flow's folder. It gets the answer, which has `text`, `status`, `calls` (each with
    `name`, `arguments` and `output`), `images` (how many) and `seconds`. Returning `True` or nothing passes; `False`, or a text
    that says what is wrong, fails.

    ```yaml
    expect:
      - python: checks.py:polite
    ```
    """

    name: ClassVar[str]
    runs_code: ClassVar[bool] = True
    blocks: ClassVar[bool] = True
    value: InPython

    def evaluate(self, turn: Turn) -> Verdict:
        from runner.functions import Functions, NoResult, Raised

        functions = Functions(turn.folder)
        written = str(self.value)
        try:
            judged = functions.judge(self.value, told(turn)).result(SECONDS)
        except (NoResult, Raised) as error:
            return Verdict(Outcome.ERROR, str(error), written)
        except TimeoutError:
            message = _("`{function}` was not done after {seconds:g} s").format(function=self.value, seconds=SECONDS)
            return Verdict(Outcome.ERROR, message, written)
        finally:
            functions.close()
        if judged.is_text or judged.text == "false":
            message = judged.text.strip() if judged.is_text else ""
            message = message or _("`{function}` says no").format(function=self.value)
            return Verdict(Outcome.FAILED, shorten(message), written, answer(turn.text))
        if judged.text in ("true", "null"):
            return Verdict(Outcome.PASSED, expected=written, actual=answer(turn.text))
        message = _("`{function}` returned {value}; let it return `True`, `False` or a text that says what is wrong").format(
            function=self.value, value=shorten(judged.text)
        )
        return Verdict(Outcome.ERROR, message, written)

    def files(self) -> tuple[str, ...]:
        return (self.value.file,)


def told(turn: Turn) -> dict[str, object]:
    """The answer as the function sees it."""
    return {
        "text": turn.text,
        "status": turn.status,
        "calls": [{"name": call.name, "arguments": arguments(call), "output": call.output} for call in turn.calls],
        "images": len(turn.images),
        "seconds": turn.seconds,
    }


def arguments(call: ToolCall) -> dict[str, object]:
    """The arguments of a call; none when they cannot be read."""
    try:
        return read(call.arguments)
    except ValueError:
        return {}
