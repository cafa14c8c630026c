"""Let the person at the terminal answer a function: show what is asked, read one line, and go on."""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

from runner.clean import inert, one_line, visible
from runner.console import is_ci
from runner.reporters.json import compact
from runner.words import _

if TYPE_CHECKING:
    from runner.reporters import Sink
    from runner.reporters.terminal import Screen
    from runner.tools import Ask

__all__ = ["Prompt", "open_ask"]

LONGEST = 2000
"""How much of the arguments is shown, in cells."""


def open_ask(screen: "Screen", output: TextIO, source: TextIO | None, environment: Mapping[str, str]) -> "Ask | None":
    """What asks on `output` and reads from `source`; None unless a person sits at both."""
    if source is None or is_ci(environment) or not (source.isatty() and output.isatty()):
        return None
    return Prompt(screen.held, source)


class Prompt:
    """Asks on a screen that is held still meanwhile. A call may be cancelled; the end of the input raises EOFError."""

    def __init__(self, held: "Callable[[], AbstractContextManager[Sink]]", source: TextIO) -> None:
        self.held = held
        self.source = source

    async def __call__(self, name: str, arguments: str, question: str) -> str:
        with self.held() as sink:
            asked = [_("the assistant calls `{function}`").format(function=one_line(f"{name} {compact(arguments)}", LONGEST))]
            asked += [line for line in visible(question).splitlines() if line.strip()]
            sink.write("\n" + "".join(f"  ? {inert(line)}\n" for line in asked) + "  ❯ ")
            sink.flush()
            answer = ""
            try:
                answer = await line(self.source)
            finally:
                # Where the line was not ended by Enter, what follows still begins on one of its own.
                if not answer.endswith("\n"):
                    sink.write("\n")
                    sink.flush()
        if not answer:
            raise EOFError
        return answer.rstrip("\r\n")


async def line(source: TextIO) -> str:
    """The next line typed, with its end if it has one; nothing at the end of the input. The loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()
    descriptor, read = source.fileno(), bytearray()

    def settle(text: str) -> None:
        if not typed.done():
            typed.set_result(text)

    def more() -> None:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            piece = b""
        read.extend(piece)
        if not piece or piece.endswith(b"\n"):
            settle(read.decode("utf-8", "surrogateescape"))

    try:
        loop.add_reader(descriptor, more)
    except NotImplementedError:
        # Windows' event loop watches no terminal; the thread ends with the process if nobody types.
        threading.Thread(target=lambda: loop.call_soon_threadsafe(settle, source.readline()), daemon=True).start()
        return await typed
    try:
        return await typed
    finally:
        loop.remove_reader(descriptor)
