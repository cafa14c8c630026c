"""Finished conversations on disk: results leave memory as they come, are read back one by one, and survive us."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from runner.events import Envelope, SuiteEnded, SuiteStarted
from runner.ndjson import encode
from runner.parcel import pack, unpack

__all__ = ["Archive"]


class Pile:
    """An open file that grows by whole pieces. Once the disk did not take one, it is not asked again; `trouble` is then why."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.end = file.seek(0, os.SEEK_END)
        self.trouble: OSError | None = None

    def add(self, data: bytes) -> bool:
        """Put down all of it or nothing; whether the disk took it."""
        if self.trouble is not None:
            return False
        written = 0
        try:
            # Windows has no `pwrite`.
            os.lseek(self.file.fileno(), self.end, os.SEEK_SET)
            while written < len(data):
                written += os.write(self.file.fileno(), data[written:])
        except OSError as error:
            self.trouble = error
            with suppress(OSError):
                self.file.truncate(self.end)
            return False
        self.end += len(data)
        return True

    def read(self, offset: int, length: int) -> bytes:
        os.lseek(self.file.fileno(), offset, os.SEEK_SET)
        return os.read(self.file.fileno(), length)

    def cut(self, length: int) -> None:
        """Forget what follows that many bytes."""
        self.file.truncate(length)
        self.end = length


class Archive(Pile):
    """A shelf for a Fold. With a path it also is a file of JSON lines, the events of each finished conversation put down in one
    write, for whoever comes after us; what we read back ourselves is in a file without a name, which goes with us.

    Raises OSError when it cannot be opened. What a full disk does not take stays in memory, so that no verdict is lost.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(open_private(path) if path else tempfile.TemporaryFile())  # noqa: SIM115
        self.path = path
        self.spool = Pile(tempfile.TemporaryFile(dir=path.parent)) if path else self  # noqa: SIM115
        self.places: dict[int, tuple[int, int] | bytes] = {}
        """Where each conversation stands in the spool; those that the disk did not take, themselves."""

    def receive(self, envelope: Envelope) -> None:
        """Put down how the run began and how it ended; what happens in between comes by `put`."""
        if self.path and isinstance(envelope.event, (SuiteStarted, SuiteEnded)):
            self.add(lines_of([envelope]))

    def put(self, case: int, envelopes: Sequence[Envelope]) -> None:
        data = pack(envelopes)
        place = self.spool.end, len(data)
        self.places[case] = place if self.spool.add(data) else data
        if self.path:
            self.add(lines_of(envelopes))

    def take(self, case: int) -> Sequence[Envelope]:
        place = self.places[case]
        return tuple(unpack(place if isinstance(place, bytes) else self.spool.read(*place)))

    def lines(self, offset: int, length: int) -> list[str]:
        """Those at a place in the file."""
        return self.read(offset, length).decode().splitlines()

    def close(self) -> None:
        self.file.close()
        self.spool.file.close()


def lines_of(envelopes: Iterable[Envelope]) -> bytes:
    return "".join(f"{encode(envelope)}\n" for envelope in envelopes).encode("utf-8", "backslashreplace")


def open_private(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
    return os.fdopen(descriptor, "r+b")
