"""Finished conversations on disk: results leave memory as they come, are read back one by one, and survive us."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from runner.events import Envelope, SuiteEnded, SuiteStarted
from runner.ndjson import decode, encode

__all__ = ["Archive"]


class Archive:
    """A shelf for a Fold: the events of each finished conversation as lines of JSON, put down in one write.

    Without a path the file has no name and goes with us. Raises OSError when it cannot be opened. What a full disk does not
    take stays in memory, so that no verdict is lost; `trouble` is then why.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.file: BinaryIO = open_private(path) if path else tempfile.TemporaryFile()  # noqa: SIM115
        self.places: dict[int, tuple[int, int] | bytes] = {}
        """Where each conversation stands in the file; those that the disk did not take, themselves."""
        self.trouble: OSError | None = None
        self.end = self.file.seek(0, os.SEEK_END)

    def receive(self, envelope: Envelope) -> None:
        """Put down how the run began and how it ended; what happens in between comes by `put`."""
        if isinstance(envelope.event, (SuiteStarted, SuiteEnded)):
            self.write(lines_of([envelope]))

    def put(self, case: int, envelopes: Sequence[Envelope]) -> None:
        data = lines_of(envelopes)
        place = self.end, len(data)
        self.places[case] = place if self.write(data) else data

    def take(self, case: int) -> Sequence[Envelope]:
        place = self.places[case]
        return tuple(decode(place.decode().splitlines() if isinstance(place, bytes) else self.lines(*place)))

    def lines(self, offset: int, length: int) -> list[str]:
        return os.pread(self.file.fileno(), length, offset).decode().splitlines()

    def cut(self, length: int) -> None:
        """Forget what follows that many bytes."""
        self.file.truncate(length)
        self.end = length

    def write(self, data: bytes) -> bool:
        """Put down whole lines, all of them or none; whether the disk took them. Once it did not, it is not asked again."""
        if self.trouble is not None:
            return False
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self.file.fileno(), data[written:], self.end + written)
        except OSError as error:
            self.trouble = error
            with suppress(OSError):
                self.file.truncate(self.end)
            return False
        self.end += len(data)
        return True

    def close(self) -> None:
        self.file.close()


def lines_of(envelopes: Iterable[Envelope]) -> bytes:
    return "".join(f"{encode(envelope)}\n" for envelope in envelopes).encode("utf-8", "backslashreplace")


def open_private(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    return os.fdopen(descriptor, "r+b")
