"""Where a run is told: a reporter turns envelopes into text and hands it to a sink. One file each."""

import codecs
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from errno import EACCES, EISDIR, ENOENT
from functools import cache
from operator import is_
from pathlib import Path
from typing import Any, ClassVar, Protocol, TextIO, get_type_hints

from runner.clean import Redactor
from runner.events import Envelope, SuiteEnded, TextArrived
from runner.files import replace as replace_file
from runner.registry import reporters
from runner.report import Fold, Report
from runner.words import _

__all__ = [
    "Audience",
    "Guarded",
    "Log",
    "Raw",
    "Redact",
    "Redacting",
    "Reporter",
    "Sink",
    "Stream",
    "WholeFile",
    "WholeReport",
    "open_reporter",
]

Redact = Callable[[str], str]


class Raw(str):
    """A piece of a document that is not text to read, such as a picture's bytes in base64: nothing in it is masked, which would
    only break it."""

    __slots__ = ()


class Sink(Protocol):
    """Where a reporter writes. `write` and `write_whole` raise OSError when the text did not arrive."""

    def write(self, text: str) -> object: ...
    def write_whole(self, pieces: Iterable[str]) -> object:
        """Write one document, given in pieces; where it replaces a file, all of it or nothing."""
        ...

    def write_beside(self, name: str, data: bytes) -> str:
        """Put a file into the folder that belongs to this document; return its address as the document links to it, empty when
        it has no such folder."""
        ...

    def flush(self) -> object: ...
    def close(self) -> object: ...


class Listener(Protocol):
    """Somebody who is told."""

    def receive(self, envelope: Envelope) -> None: ...


class Reporter(Protocol):
    """Made with the sink it writes to and the fold of what happened; told everything just after the fold was, then closed,
    which is when a whole document is written."""

    name: ClassVar[str]
    lasting: ClassVar[bool]
    """True when each write adds to the file, False when one write is the whole of it."""

    def receive(self, envelope: Envelope) -> None: ...
    def close(self) -> None: ...


class WholeReport:
    """A reporter that writes one document when the run is over; a subclass gives its pieces, and holds no two conversations at
    once."""

    name: ClassVar[str]
    lasting: ClassVar[bool] = False

    def __init__(self, sink: Sink, fold: Fold) -> None:
        self.sink = sink
        self.fold = fold

    def receive(self, envelope: Envelope) -> None:
        pass

    def close(self) -> None:
        self.sink.write_whole(self.pieces(self.fold.report()))

    def pieces(self, report: Report) -> Iterator[str]:
        raise NotImplementedError


def open_reporter(name: str, destination: str, fold: Fold, redact: Redact, out: TextIO | None = None) -> Reporter:
    """The reporter `name`, writing to the file `destination`, or for `-` to `out`, standard output unless told.

    Raise OSError with a sentence for people when the file cannot be made; nothing is written yet.
    """
    kind = reporters[name]
    sink = Stream(out or sys.stdout) if destination == "-" else open_sink(Path(destination), lasting=kind.lasting)
    return Guarded(kind(Redacting(sink, redact), fold), sink)


class Audience:
    """Everybody who is told of a run. What is told passes here once: secrets are taken out, then the fold hears of it, then
    each reporter."""

    def __init__(self, fold: Fold, listeners: Sequence[Listener], redactor: Redactor) -> None:
        self.fold = fold
        self.listeners = listeners
        self.redactor = redactor
        self.arriving: dict[int, Envelope] = {}
        """The piece of an answer that each case told last, behind what was held back of those before: a secret may come in
        pieces, and only what follows tells where it ends."""
        self.harmless: set[object] = set(NOTHING)
        """Values that hide nothing: short texts, such as outcomes and ids, come again and again."""

    def receive(self, envelope: Envelope) -> None:
        before = self.arriving.pop(envelope.case, None)
        if isinstance(envelope.event, TextArrived):
            self.arriving[envelope.case] = self.joined(before, envelope, envelope.event) if before else envelope
            return
        if before:
            self.tell(before)
        if isinstance(envelope.event, SuiteEnded):
            for last in self.arriving.values():
                self.tell(last)
        self.tell(envelope)

    def joined(self, before: Envelope, envelope: Envelope, event: TextArrived) -> Envelope:
        """Tell what an earlier piece surely is; the later one, with the rest of the earlier in front of it."""
        assert isinstance(before.event, TextArrived)
        text = before.event.text
        at = self.redactor.open_end(text)
        if at == len(text):
            self.tell(before)
            return envelope
        self.tell(replace(before, event=replace(before.event, text=text[:at])))
        return replace(envelope, event=replace(event, text=text[at:] + event.text))

    def tell(self, envelope: Envelope) -> None:
        event = self.redacted(envelope.event)
        told = envelope if event is envelope.event else replace(envelope, event=event)
        self.fold.receive(told)
        for listener in self.listeners:
            listener.receive(told)

    def redacted(self, value: Any) -> Any:
        """`value` with every text in it redacted, however deep in dataclasses and tuples, and `value` itself where that changes
        nothing: what is written is redacted as well, but a reporter may have escaped or cut a text by then."""
        if isinstance(value, str):
            return self.redacted_text(value)
        if isinstance(value, tuple):
            items = tuple(map(self.redacted, value))
            return value if all(map(is_, items, value)) else items
        kind: object = type(value)
        changed = {}
        for name in telling(kind):
            before = getattr(value, name)
            if before not in self.harmless and (after := self.redacted(before)) is not before:
                changed[name] = after
        return replace(value, **changed) if changed else value

    def redacted_text(self, text: str) -> str:
        if (masked := self.redactor.redact(text)) != text:
            return masked
        if len(self.harmless) > REMEMBERED:
            self.harmless = set(NOTHING)
        if len(text) < SHORT:
            self.harmless.add(text)
        return text


def open_sink(path: Path, *, lasting: bool) -> Sink:
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, _("there is no folder for this file; make it first"), str(path))
    if path.is_dir():
        raise IsADirectoryError(EISDIR, _("this is a folder; name a file"), str(path))
    if lasting or (path.exists() and not path.is_file()):
        return Log(path)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(EACCES, _("the folder of this file cannot be written to"), str(path))
    return WholeFile(path)


def encoded(text: str) -> bytes:
    """Half a surrogate pair cannot be UTF-8; JSON reads the escape written for it back."""
    return text.encode("utf-8", "backslashreplace")


def about(path: Path, error: OSError) -> OSError:
    """The same trouble, naming the file that was wanted: a full disk names none, a replaced file a temporary one."""
    return OSError(error.errno, error.strerror, str(path))


class WholeFile:
    """A file that is replaced by what is written, all of it or nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        self.write_whole([text])

    def write_whole(self, pieces: Iterable[str]) -> None:
        try:
            replace_file(self.path, map(encoded, pieces))
        except OSError as error:
            raise about(self.path, error) from error

    def write_beside(self, name: str, data: bytes) -> str:
        from urllib.parse import quote

        folder = self.path.with_name(f"{self.path.stem}_files")
        folder.mkdir(exist_ok=True)
        replace_file(folder / name, data)
        return quote(f"{folder.name}/{name}".encode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class Log:
    """A file that grows by whole lines as they are written, begun anew by each run that has something to tell; a pipe or a
    device just the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self.length = 0

    def write(self, text: str) -> None:
        rest = data = memoryview(encoded(text))
        try:
            if not self.length:
                self.cut()
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            self.cut()
            raise about(self.path, error) from error
        self.length += len(data)

    def cut(self) -> None:
        """Forget what follows the lines that were written."""
        if stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            os.ftruncate(self.descriptor, self.length)

    def write_whole(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_beside(self, _name: str, _data: bytes) -> str:
        return ""

    def flush(self) -> None:
        pass

    def close(self) -> None:
        os.close(self.descriptor)


GLYPHS = {"✓": "ok", "✗": "FAILED", "│": "|", "·": "-", "–": "-", "→": "->", "▸": ">", "❯": ">", "…": "..."}
"""Our own signs, for streams whose encoding lacks them."""


def spelled(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: what cannot be encoded in other characters, or as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(GLYPHS.get(char) or char.encode("ascii", "backslashreplace").decode() for char in missing), error.end


codecs.register_error("runflow.spelled", spelled)


class Stream:
    """An open text stream, never closed here. What its encoding cannot say is spelled in what it can."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> None:
        self.stream.write(text.encode(self.encoding, "runflow.spelled").decode(self.encoding))

    def write_whole(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_beside(self, _name: str, _data: bytes) -> str:
        return ""

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        self.stream.flush()


class Redacting:
    """A sink that lets no secret through."""

    def __init__(self, sink: Sink, redact: Redact) -> None:
        self.sink = sink
        self.redact = redact

    def write(self, text: str) -> None:
        self.sink.write(self.redact(text))

    def write_whole(self, pieces: Iterable[str]) -> None:
        self.sink.write_whole(piece if isinstance(piece, Raw) else self.redact(piece) for piece in pieces)

    def write_beside(self, name: str, data: bytes) -> str:
        return self.sink.write_beside(name, data)

    def flush(self) -> None:
        self.sink.flush()

    def close(self) -> None:
        self.sink.close()


class Guarded:
    """Stands before every reporter and keeps its trouble from the run.

    When the disk is full or the pipe closed the run goes on, so that what was made at the service is deleted; `close` then
    raises the OSError.
    """

    name: ClassVar[str] = ""
    lasting: ClassVar[bool] = True

    def __init__(self, reporter: Reporter, sink: Sink) -> None:
        self.reporter = reporter
        self.sink = sink
        self.trouble: OSError | None = None

    def receive(self, envelope: Envelope) -> None:
        if self.trouble is not None:
            return
        try:
            self.reporter.receive(envelope)
        except OSError as error:
            self.trouble = error

    def close(self) -> None:
        try:
            if self.trouble is not None:
                raise self.trouble
            self.reporter.close()
        finally:
            with suppress(OSError):
                self.sink.close()


@cache
def telling(kind: object) -> tuple[str, ...]:
    """The fields of a dataclass that may hold text; none where it is no dataclass."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return ()
    hints = get_type_hints(kind)
    return tuple(field.name for field in fields(kind) if hints[field.name] not in MUTE)


MUTE = (int, float, bool, int | None)
"""Types of fields that hold no text."""
NOTHING = frozenset({"", (), None})
"""Nothing is hidden in what is empty, and most texts of most events are."""
SHORT = 100
"""Longer texts seldom come again."""
REMEMBERED = 4096
