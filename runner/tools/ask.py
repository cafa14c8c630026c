"""Answer calls by the person at the terminal."""

from runner.model import ToolCall
from runner.tools import Ask, NoAnswer
from runner.words import _

__all__ = ["asked"]


async def asked(ask: Ask | None, call: ToolCall, question: str) -> str:
    """What the person says; raise NoAnswer when there is nobody to ask, or no answer."""
    if ask is None:
        raise NoAnswer(_("`ask` needs a terminal, and there is none; write `returns` or `replies` for runs without one"))
    try:
        return await ask(call.name, call.arguments, question)
    except EOFError as end:
        raise NoAnswer(_("the input ended before there was one")) from end
