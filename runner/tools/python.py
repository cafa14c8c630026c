"""Answer calls by the author's Python functions."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from runner.functions import Functions, NoResult, Raised
from runner.model import PythonFunction
from runner.tools import Answered, NoAnswer
from runner.tools.values import error
from runner.words import _

__all__ = ["InProcess"]


class InProcess:
    """The Python functions of one conversation, in their process; a call that takes longer than `seconds` ends it."""

    def __init__(self, folder: Path, *, seconds: float, debug: bool) -> None:
        self.functions = Functions(folder, debug=debug)
        self.seconds = seconds

    async def answer(self, function: PythonFunction, arguments: Mapping[str, object]) -> Answered:
        """What the function returns or raises; raise NoAnswer when it does neither."""
        try:
            async with asyncio.timeout(self.seconds):
                returned = await asyncio.wrap_future(self.functions.call(function, arguments))
        except Raised as raised:
            return Answered(error(raised.said), "python", str(raised))
        except NoResult as reason:
            raise NoAnswer(str(reason)) from reason
        except TimeoutError as late:
            self.functions.kill()
            sentence = _("`{function}` was not done after {seconds:g} s").format(function=function, seconds=self.seconds)
            raise NoAnswer(sentence) from late
        except asyncio.CancelledError:
            self.functions.kill()
            raise
        return Answered(returned.text, "python")

    async def close(self) -> None:
        await asyncio.to_thread(self.functions.close)
