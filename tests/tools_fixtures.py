"""What the tests of tools share: a function and its answer, a call, and what came of it as plain texts."""

import asyncio
import os
import select
from collections.abc import Mapping
from pathlib import Path

from runner.diagnostics import Span
from runner.model import Answer, ByPython, Function, PythonFunction, Tool, ToolCall
from runner.tools import Ask, NoAnswer, Toolbox

PLACE = Span(4, 7, 4, 16)
ORDER: Mapping[str, object] = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
    "additionalProperties": False,
}
Told = tuple[str, str, str]


def tool(
    answer: Answer | None, parameters: Mapping[str, object] | None = None, name: str = "get_order", at: Span = PLACE
) -> Tool:
    return Tool("function", function=Function(name, parameters or {}, answer), span=at)


def python(function: str, parameters: Mapping[str, object] | None = None) -> Tool:
    """A tool answered by this function of `tools.py`, and called like it."""
    return tool(ByPython(PythonFunction("tools.py", function)), parameters, name=function)


def call(arguments: str = "", name: str = "get_order") -> ToolCall:
    return ToolCall("call_1", name, arguments, is_function=True)


def toolbox(folder: Path = Path(), *, trusted: bool = True, ask: Ask | None = None, seconds: float = 60) -> Toolbox:
    return Toolbox(folder, sleep=asyncio.sleep, trusted=trusted, ask=ask, seconds=seconds)


async def told(box: Toolbox, asked: Tool | None, arguments: str = "") -> Told:
    """What goes to the service, by which answer key, and what went wrong; of a call without an answer only the last."""
    try:
        answered = await box.answer(call(arguments, asked.name if asked else "get_order"), asked)
    except NoAnswer as reason:
        return ("", "", str(reason))
    return (answered.output, answered.by, answered.trouble)


def answers(box: Toolbox, *asked: Tool | None, arguments: str = "") -> list[Told]:
    """What is told of a call of each, one after another in one conversation."""

    async def converse() -> list[Told]:
        try:
            return [await told(box, each, arguments) for each in asked]
        finally:
            await box.close()

    return asyncio.run(converse())


class Alive:
    """Tells whether some process still holds the writing end of a pipe that has a name."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alive"
        os.mkfifo(self.path)
        self.end = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self) -> bytes:
        """What was written next; nothing when nobody holds it any more. Fails when there is nothing for long."""
        assert select.select([self.end], [], [], 30)[0], "somebody lives on"
        return os.read(self.end, 100)

    def close(self) -> None:
        os.close(self.end)
