"""Note down what is about to be made on a service before it is made, so that not even a crash leaves what nobody can find.

One file for each process that makes something, held while it lives; a line of JSON for each thing that happens. What a line
announces is made only once the line is on disk. Conversations that announce something at the same time share one wait for
the disk, which a thread of its own does.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from secrets import token_hex

from runner.files import settle
from runner.locks import hold
from runner.state import owned
from runner.targets import Connection
from runner.values import dataclass
from runner.words import _

__all__ = [
    "ASSISTANT",
    "FORMAT",
    "RUN",
    "THREAD",
    "Book",
    "Entry",
    "Ledger",
    "Pages",
    "Unwritable",
    "entries",
    "ledgers",
    "name_of_run",
]

FORMAT = "runflow-ledger/1"
ASSISTANT, THREAD, RUN = "assistant", "thread", "run"
ENCODER = json.JSONEncoder(separators=(",", ":"))
FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Unwritable(Exception):
    """Nothing can be noted down, so nothing may be made; carries a sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was to be made, and where. `op` is our own id of the attempt to make it, `parent` a run's thread; `id` is
    the service's, empty when its answer never came."""

    kind: str
    op: str
    parent: str
    time: float
    flow: str
    target: str
    base_url: str
    key_variable: str | None
    workspace: str | None
    id: str = ""
    kept: bool = False


def name_of_run(wall: float) -> str:
    """A name for one run of runflow: when it began, and what tells it from others that began then."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(wall))}{int(wall % 1 * 1000):03}Z-{token_hex(4)}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def entries(lines: Iterable[bytes]) -> dict[str, Entry]:
    """What a ledger's lines tell of and is not gone, by op, in order.

    A line that cannot be read was cut short by a crash: what it announced was not made, as it never was on disk as a whole.
    """
    found: dict[str, Entry] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            apply(found, json.loads(line))
    return found


def apply(found: dict[str, Entry], record: Mapping[str, object]) -> None:
    what, op = record["record"], str(record["op"])
    if what == "intent":
        found[op] = entry_of(record)
    elif op not in found:
        return
    elif what == "made":
        found[op] = replace(found[op], id=str(record["id"]))
    elif what == "kept":
        found[op] = replace(found[op], kept=True)
    elif what == "gone":
        forget(found, op)


def forget(found: dict[str, Entry], op: str) -> None:
    """Take out an entry, and with a thread the runs on it."""
    gone = found.pop(op, None)
    if gone is not None and gone.kind == THREAD and gone.id:
        for run in [entry.op for entry in found.values() if entry.kind == RUN and entry.parent == gone.id]:
            del found[run]


def entry_of(record: Mapping[str, object]) -> Entry:
    """An intent as an Entry; raise KeyError or TypeError when it is none."""
    texts = {name: record[name] for name in ("kind", "op", "parent", "flow", "target", "base_url")}
    maybe = {name: record[name] for name in ("key_variable", "workspace")}
    when = record["time"]
    if not all(isinstance(value, str) for value in texts.values()) or type(when) not in (int, float):
        raise TypeError(record)
    if not all(value is None or isinstance(value, str) for value in maybe.values()):
        raise TypeError(record)
    return Entry(time=when, **texts, **maybe)  # type: ignore[arg-type]  # looked at just now


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Pages:
    """The open file of a ledger, held by us. Every line goes to the system at once, so that it survives our own death."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path
        size = os.fstat(descriptor).st_size
        self.torn = size > 0 and self.read(size - 1, 1) != b"\n"
        """Whether the last line is cut short, so that the next must begin a new one."""

    @classmethod
    def new(cls, folder: Path, run: str) -> "Pages":
        """A new file in a folder that only its owner can look into. Raise OSError."""
        owned(folder.parent)
        path = owned(folder) / f"{run}.jsonl"
        descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        # Whoever cleans up may have found it in between, held it and taken it away.
        if not hold(descriptor) or not os.fstat(descriptor).st_nlink:
            os.close(descriptor)
            return cls.new(folder, f"{run}-{token_hex(2)}")
        return cls(descriptor, path)

    @classmethod
    def of_the_dead(cls, path: Path) -> "Pages | None":
        """The ledger of a process that has ended; None while it lives, or somebody else cleans up. Raise OSError."""
        descriptor = os.open(path, FLAGS)
        if not hold(descriptor):
            os.close(descriptor)
            return None
        return cls(descriptor, path)

    def write(self, record: Mapping[str, object]) -> None:
        """Raise OSError when it could not be written as a whole."""
        data = (b"\n" if self.torn else b"") + ENCODER.encode(record).encode() + b"\n"
        self.torn = True
        if os.write(self.descriptor, data) != len(data):
            raise OSError(28, os.strerror(28), str(self.path))
        self.torn = False

    def lines(self) -> list[bytes]:
        return self.read(0, os.fstat(self.descriptor).st_size).splitlines()

    def read(self, place: int, length: int) -> bytes:
        os.lseek(self.descriptor, place, os.SEEK_SET)
        pieces = []
        while length and (piece := os.read(self.descriptor, length)):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self, *, remove: bool) -> None:
        """Let go of the file, or take it away. Raise OSError."""
        try:
            if not remove:
                self.sync()
        finally:
            os.close(self.descriptor)
        if remove:
            # Not before it is closed, which Windows asks for; who holds it meanwhile finds nothing in it.
            self.path.unlink(missing_ok=True)


class Book:
    """What this process makes: a file below `folder` that is there from the first intent until everything in it is gone.

    `redact` masks secrets in what others say. For one event loop at a time.
    """

    def __init__(
        self, folder: Path, *, redact: Callable[[str], str] = lambda text: text, wall: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.redact = redact
        self.wall = wall
        self.pages: Pages | None = None
        self.open = 0
        """How many things there are, or may be."""
        self.staying = 0
        """How many of them are to stay."""
        self.trouble: OSError | None = None
        """Why nothing more can be noted down."""
        self.waiting: list[asyncio.Future[None]] = []
        self.busy: asyncio.AbstractEventLoop | None = None
        """The loop that waits for the disk just now."""

    def of(self, connection: Connection, flow: str = "") -> "Ledger":
        """Where one conversation, of the flow in the file `flow`, notes down what it makes over a connection."""
        return Ledger(self, connection, self.redact(flow))

    def announce(self, record: Mapping[str, object]) -> None:
        """Raise Unwritable when it cannot be noted down."""
        try:
            if self.trouble is not None:
                raise self.trouble
            if self.pages is None:
                self.pages = Pages.new(self.folder, name_of_run(self.wall()))
                self.pages.write({"format": FORMAT, "pid": os.getpid()})
                settle(self.folder)
            self.pages.write(record)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self.open += 1

    def tell(self, record: Mapping[str, object]) -> None:
        """Note down what has happened already; if that cannot be done, the next intent says so."""
        if self.pages is None:
            return
        try:
            self.pages.write(record)
        except OSError as error:
            self.trouble = error

    async def settled(self) -> None:
        """Return when everything told so far is on disk. Raise Unwritable."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self.waiting.append(waiter)
        if self.busy is not loop:
            self.busy = loop
            loop.call_soon(self.begin, loop)
        await waiter

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """One wait for the disk, for all who wait for it now."""
        assert self.pages is not None
        group, self.waiting = self.waiting, []
        done = loop.run_in_executor(None, self.pages.sync)
        done.add_done_callback(lambda synced: self.end(loop, group, synced))

    def end(
        self, loop: asyncio.AbstractEventLoop, group: Iterable["asyncio.Future[None]"], synced: "asyncio.Future[None]"
    ) -> None:
        error = None if synced.cancelled() else synced.exception()
        if isinstance(error, OSError):
            # What the disk refused once may be lost although it takes more later.
            self.trouble = error
        for waiter in group:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(unwritable(self.folder, error))
            else:
                waiter.set_result(None)
        if self.waiting:
            self.begin(loop)
        else:
            self.busy = None

    def close(self) -> tuple[str, ...]:
        """Let go of the file, which stays when something in it is not gone. Sentences say what went wrong, and whether anything
        is not gone that was not to stay."""
        pages, self.pages = self.pages, None
        if pages is None:
            return ()
        told = []
        try:
            pages.close(remove=not self.open)
        except OSError as error:
            told.append(_("cannot write {what}").format(what=f"{self.folder}: {error.strerror}"))
        if self.open > self.staying:
            told.append(may_be_left())
        return tuple(told)


def may_be_left() -> str:
    return _("something may be left at the service; `runflow clean` shows and deletes it")


def unwritable(folder: Path, error: BaseException) -> Unwritable:
    reason = getattr(error, "strerror", None) or str(error)
    return Unwritable(
        _("nothing is made, as it could not be noted down in {folder}: {reason}").format(folder=folder, reason=reason)
    )


@dataclass(slots=True)
class Ledger:
    """What one conversation makes over one connection."""

    book: Book
    connection: Connection
    flow: str
    ids: dict[str, str] = field(default_factory=dict)
    """The assistants and threads there are, or may be: the service's id by op."""
    runs: dict[str, str] = field(default_factory=dict)
    """The runs, likewise: their thread's id by op."""

    async def intend(self, kind: str, op: str, parent: str = "") -> None:
        """Note down that one of ASSISTANT, THREAD or RUN is about to be made, and return when that is on disk. `op` is what
        the service is told to keep in its metadata, `parent` the thread of a run. Raise Unwritable; whatever is raised,
        nothing may be made then."""
        at = self.connection
        self.book.announce(
            {
                "record": "intent",
                "kind": kind,
                "op": op,
                "parent": self.book.redact(parent) if parent else "",
                "time": self.book.wall(),
                "flow": self.flow,
                "target": at.target,
                "base_url": at.base_url,
                "key_variable": at.key_variable,
                "workspace": at.workspace,
            }
        )
        if kind == RUN:
            self.runs[op] = parent
        else:
            self.ids[op] = ""
        try:
            await self.book.settled()
        except BaseException:
            self.gone(op)
            raise

    def made(self, op: str, id: str) -> None:
        """It was made, and the service calls it `id`."""
        if op in self.ids:
            self.ids[op] = id
        self.book.tell({"record": "made", "op": op, "id": self.book.redact(id)})

    def gone(self, op: str) -> None:
        """It is there no more, or surely never was; with a thread, neither are its runs."""
        before = len(self.ids) + len(self.runs)
        self.runs.pop(op, None)
        if id := self.ids.pop(op, None):
            self.runs = {run: parent for run, parent in self.runs.items() if parent != id}
        self.book.open -= before - len(self.ids) - len(self.runs)
        self.book.tell({"record": "gone", "op": op})

    def kept(self, op: str) -> None:
        """It is to stay."""
        self.book.staying += 1
        self.book.tell({"record": "kept", "op": op})


def ledgers(folder: Path) -> Iterator[Path]:
    """Every ledger there is, the oldest first."""
    yield from sorted(folder.glob("*.jsonl"))
