"""Get lines onto a stream: one after the other, or above a part that moves."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runner.clean import inert
from runner.reporters import Sink

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

__all__ = ["Moving", "Still"]


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
