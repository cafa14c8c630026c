"""Standard streams that take any text and end quietly when nobody reads them."""

import io
import os
import sys
from typing import TextIO

__all__ = ["OutputLost", "Stream", "prepare"]


class OutputLost(OSError):
    """Something could not be written, and not because its reader had left; says what and why."""


class Stream(io.TextIOWrapper):
    """UTF-8 in and out, whatever the terminal claims; after the reader has left, everything written is dropped."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self.mute()
        except OSError as error:
            raise self.lost(error) from error
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self.mute()
        except OSError as error:
            raise self.lost(error) from error

    def mute(self) -> None:
        """Point the descriptor at nothing, so that what is still buffered goes there too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)

    def lost(self, error: OSError) -> OutputLost:
        self.mute()
        return OutputLost(f"{str(self.name).strip('<>')}: {error.strerror}")


def prepare() -> None:
    """Replace standard output and standard error by Streams; a closed one by nowhere."""
    sys.stdout = replaced(sys.stdout)
    sys.stderr = replaced(sys.stderr)


def replaced(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, Stream):
        return stream
    lines, through = stream.line_buffering, stream.write_through
    return Stream(stream.detach(), encoding="utf-8", errors="backslashreplace", line_buffering=lines, write_through=through)
