"""Turn the bytes of an event stream, however they are cut, into its events.

A decoder of our own, because httpx-sse reads an httpx response rather than bytes, holds a final `\\r` back until more comes,
and knows no limit: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re
from collections.abc import Iterator
from dataclasses import field

from runner.values import dataclass
from runner.wire import WireError
from runner.words import _

__all__ = ["EVENT_LIMIT", "EventDecoder", "ServerEvent"]

EVENT_LIMIT = 1_000_000
"""The longest event, in bytes."""

LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, `message` when it had none, and its data lines joined."""

    name: str
    data: str


@dataclass(slots=True)
class EventDecoder:
    """Feed it chunks in order. An event is given once its empty line has come; one cut off by the end never is."""

    line: bytearray = field(default_factory=bytearray)
    name: str = ""
    data: list[str] = field(default_factory=list)
    id: str = ""
    size: int = 0
    first: bool = True
    after_return: bool = False
    given: set[int] = field(default_factory=set)

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that `chunk` completes; raise WireError when one is longer than EVENT_LIMIT."""
        if not chunk:
            return
        if self.after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self.after_return = False
        if chunk:
            self.after_return = chunk.endswith(b"\r")
        *whole, rest = LINE_END.split(chunk)
        for piece in whole:
            self.grow(piece)
            event = self.end_line()
            if event is not None:
                yield event
        self.grow(rest)

    def grow(self, piece: bytes) -> None:
        self.line += piece
        self.size += len(piece)
        if self.size > EVENT_LIMIT:
            raise WireError(_("an event of the stream is longer than 1 MB"))

    def end_line(self) -> ServerEvent | None:
        # A character cut by two chunks is whole again here: lines are decoded, never chunks.
        line = self.line.decode("utf-8", "replace")
        self.line.clear()
        if self.first:
            line = line.removeprefix("\ufeff")
            self.first = False
        if not line:
            return self.end_event()
        name, _colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self.name = value
        elif name == "data":
            self.data.append(value)
        elif name == "id":
            self.id = value
        return None

    def end_event(self) -> ServerEvent | None:
        event = ServerEvent(self.name or "message", "\n".join(self.data)) if self.data else None
        doubled = bool(self.id) and hash((self.id, event)) in self.given
        if self.id:
            self.given.add(hash((self.id, event)))
        self.name, self.id, self.size = "", "", 0
        self.data.clear()
        return None if doubled else event
