"""Carry httpx's requests to one origin over asyncio's connections, each kept for the next request.

httpx's own pool looks through all its connections for every request, several times: at fifty conversations at once that was
nine tenths of what runflow did. Here a request takes the connection that became free last, or opens one.
"""

import asyncio
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from math import inf
from typing import Any, cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from runner.words import _

__all__ = ["HEAD_LIMIT", "KEPT_SECONDS", "MOST", "Connections"]

HEAD_LIMIT = 1_000_000
"""The longest block of headers, in bytes."""
KEPT_SECONDS = 5.0
"""How long a connection is kept without a request. Servers close theirs after some time as well, and a request sent just then
is lost without a word."""
MOST = 1_000
"""How many connections there are at most; a request beyond waits for one."""
FULL = 1_000_000
"""How many bytes of a body wait to be read before no more are taken from the network."""
MOUTHFUL = 65_536
"""How many bytes are taken from the network at once."""

Limits = Mapping[str, float | None]


class Connections(httpx.AsyncBaseTransport):
    """A transport to the origin of `base_url` and to no other; `context` says whom to trust, for https."""

    def __init__(self, base_url: str, context: ssl.SSLContext | None = None, *, most: int = MOST) -> None:
        url = httpx.URL(base_url)
        self.scheme, self.host, self.given_port = url.raw_scheme, url.raw_host, url.port
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.context = context
        self.most = most
        self.idle: deque[Connection] = deque()
        """The one that became free last stands last."""
        self.open: set[Connection] = set()
        self.connecting = 0
        # Each connection is done with it before the next one reads; new room for every read is most of what reading costs.
        self.room = memoryview(bytearray(MOUTHFUL))
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.closed: asyncio.Future[None] | None = None
        """Waits for the last connection to be gone."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer once its headers have come. Raises httpx's exceptions: ConnectError, ConnectTimeout and PoolTimeout when
        nothing was sent."""
        url = request.url
        if (url.raw_scheme, url.raw_host, url.port) != (self.scheme, self.host, self.given_port):
            raise httpx.UnsupportedProtocol(_("{url} is another place").format(url=url), request=request)
        data = encoded(request, await request.aread())
        limits: Limits = request.extensions.get("timeout", {})
        connection = await self.connection(limits)
        while (reply := connection.send(data, limits)) is None:
            if not connection.since:
                raise httpx.ConnectError(_("the server hung up at once"), request=request)
            connection = await self.connection(limits)
        try:
            await connection.drained()
            while not reply.begun:
                if reply.error is not None:
                    raise reply.error
                await reply.more(limits.get("read"))
        except BaseException:
            await reply.aclose()
            raise
        return httpx.Response(reply.status, headers=reply.headers, stream=reply)

    async def connection(self, limits: Limits) -> "Connection":
        """A connection that carries no request."""
        loop = asyncio.get_running_loop()
        while True:
            while self.idle:
                connection = self.idle.pop()
                if connection.usable(loop.time()):
                    return connection
                connection.abort()
            if len(self.open) + self.connecting < self.most:
                return await self.connect(limits)
            turn = loop.create_future()
            self.waiting.append(turn)
            try:
                async with asyncio.timeout(limits.get("pool")):
                    await turn
            except BaseException as error:
                if turn.done() and not turn.cancelled():
                    # It had its turn already, and leaves it to the next one.
                    self.wake()
                if isinstance(error, TimeoutError):
                    raise httpx.PoolTimeout(_("no connection became free")) from error
                raise
            finally:
                if turn in self.waiting:
                    self.waiting.remove(turn)

    async def connect(self, limits: Limits) -> "Connection":
        loop = asyncio.get_running_loop()
        host = self.host.decode("ascii")
        # Other loops than asyncio's own may not know it.
        both: dict[str, Any] = {"happy_eyeballs_delay": 0.25} if isinstance(loop, asyncio.BaseEventLoop) else {}
        self.connecting += 1
        try:
            async with asyncio.timeout(limits.get("connect")):
                _transport, connection = await loop.create_connection(
                    lambda: Connection(self), host, self.port, ssl=self.context, **both
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(_("no connection in time")) from error
        except OSError as error:
            raise httpx.ConnectError(reason(error)) from error
        finally:
            self.connecting -= 1
            self.wake()
        return connection

    def free(self, connection: "Connection", now: float) -> None:
        """Keep a connection whose answer is complete, and let go of those that nobody wanted for long."""
        connection.since = now
        self.idle.append(connection)
        while self.idle and self.idle[0].since < now - KEPT_SECONDS:
            self.idle.popleft().abort()
        self.wake()

    def lost(self, connection: "Connection") -> None:
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if self.closed is not None and not self.open and not self.closed.done():
            self.closed.set_result(None)
        self.wake()

    def wake(self) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def aclose(self) -> None:
        if not self.open:
            return
        self.closed = asyncio.get_running_loop().create_future()
        for connection in self.open:
            connection.abort()
        await self.closed


class Connection(asyncio.BufferedProtocol):
    """One connection, which carries one request after the other."""

    def __init__(self, pool: Connections) -> None:
        self.pool = pool
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.parser = HttpResponseParser(self)
        self.reply: Reply | None = None
        """What is being received."""
        self.ended = False
        """Whether all of it has come."""
        self.keeps = False
        """Whether another request may follow then."""
        self.limits: Limits = {}
        self.since = 0.0
        """When it became free; 0 before it carried a request."""
        self.full: asyncio.Future[None] | None = None
        """Waits for room when more was written than the network takes."""
        self.due = inf
        """By when something must come."""
        self.alarm: asyncio.TimerHandle | None = None
        """Rings then, or before that: it is not worth a new timer that something is due later."""

    # ── what a request does ──────────────────────────────────────────────────────────────────────────────────────────

    def usable(self, now: float) -> bool:
        """Whether the server is still there and silent: before an answer is due there is nothing to read but its good-bye."""
        if self.transport.is_closing() or self.since < now - KEPT_SECONDS:
            return False
        return not readable(self.transport.get_extra_info("socket"))

    def send(self, data: bytes, limits: Limits) -> "Reply | None":
        """Write a request; None when the connection was gone already, so that nothing was sent."""
        self.reply, self.ended, self.limits = Reply(self), False, limits
        self.transport.write(data)
        if self.transport.is_closing():
            self.reply = None
        return self.reply

    async def drained(self) -> None:
        """Wait until the request is on its way."""
        if self.full is None:
            return
        try:
            async with asyncio.timeout(self.limits.get("write")):
                await self.full
        except TimeoutError as error:
            raise httpx.WriteTimeout(_("the request could not be sent in time")) from error

    def expect(self, seconds: float | None) -> None:
        """Let whoever waits for the answer fail unless something comes within so many seconds."""
        self.due = inf if seconds is None else self.loop.time() + seconds
        if self.due < inf and (self.alarm is None or self.alarm.when() > self.due):
            self.set_alarm()

    def set_alarm(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm = self.loop.call_at(self.due, self.ring)

    def ring(self) -> None:
        self.alarm = None
        if self.reply is None or self.reply.waiter is None or self.due == inf:
            return
        if self.loop.time() < self.due:
            self.set_alarm()
        else:
            expire(self.reply.waiter)

    def abort(self) -> None:
        self.transport.abort()

    # ── what asyncio tells ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.pool.open.add(self)

    def get_buffer(self, _wanted: int) -> memoryview:
        return self.pool.room

    def buffer_updated(self, count: int) -> None:
        reply = self.reply
        if reply is None:
            # Nobody asked.
            self.abort()
            return
        try:
            self.parser.feed_data(self.pool.room[:count])
        except (HttpParserError, HttpParserUpgrade) as error:
            told = error.__context__
            if not isinstance(told, httpx.RemoteProtocolError):
                told = httpx.RemoteProtocolError(_("the answer is not HTTP: {reason}").format(reason=error))
            reply.fail(told)
            self.abort()
            return
        reply.received += count
        if not reply.begun and reply.received > HEAD_LIMIT:
            reply.fail(too_long())
            self.abort()
        elif self.ended:
            self.end()

    def end(self) -> None:
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.end()
        if self.transport.is_closing():
            return
        # An answer that came before all of the request was sent ends the connection as well.
        if self.keeps and self.full is None:
            self.pool.free(self, self.loop.time())
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.pool.lost(self)
        if self.alarm is not None:
            self.alarm.cancel()
        if self.full is not None and not self.full.done():
            self.full.set_result(None)
        reply, self.reply = self.reply, None
        if reply is None:
            return
        if error is not None:
            reply.fail(httpx.ReadError(reason(error)))
        elif not reply.begun:
            reply.fail(httpx.RemoteProtocolError(_("the server hung up without an answer")))
        elif reply.until_close:
            reply.end()
        else:
            reply.fail(httpx.RemoteProtocolError(_("the answer ended too early")))

    def pause_writing(self) -> None:
        self.full = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.full is not None and not self.full.done():
            self.full.set_result(None)
        self.full = None

    # ── what the parser finds ────────────────────────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if self.ended:
            raise httpx.RemoteProtocolError(_("the server sent more than the answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        reply = self.reply
        assert reply is not None
        reply.headers.append((name, value))
        reply.size += len(name) + len(value)
        if reply.size > HEAD_LIMIT:
            raise too_long()

    def on_headers_complete(self) -> None:
        reply = self.reply
        assert reply is not None
        reply.status = self.parser.get_status_code()
        if reply.status >= 200:
            reply.begin()

    def on_body(self, piece: bytes) -> None:
        reply = self.reply
        assert reply is not None
        reply.pieces.append(piece)
        reply.unread += len(piece)
        if reply.unread > FULL and not reply.held:
            reply.held = True
            self.transport.pause_reading()
        reply.wake()

    def on_message_complete(self) -> None:
        reply = self.reply
        assert reply is not None
        if reply.begun:
            self.ended, self.keeps = True, self.parser.should_keep_alive()
        else:
            # Only a sign that the answer is on its way.
            reply.headers.clear()


class Reply(httpx.AsyncByteStream):
    """The answer to one request: its headers, then its body piece by piece as it comes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.size = 0
        """Bytes in headers."""
        self.received = 0
        """Bytes in all."""
        self.begun = False
        """Whether the headers are complete."""
        self.until_close = False
        """Whether the end of the connection is the end of the body."""
        self.complete = False
        self.error: Exception | None = None
        self.pieces: deque[bytes] = deque()
        self.unread = 0
        """Bytes in the pieces."""
        self.held = False
        """Whether the network waits until pieces were read."""
        self.waiter: asyncio.Future[None] | None = None

    # ── what the connection tells ────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        told = {name.lower(): value.lower() for name, value in self.headers}
        chunked = told.get(b"transfer-encoding", b"").endswith(b"chunked")
        self.until_close = not chunked and b"content-length" not in told
        self.begun = True
        self.wake()

    def end(self) -> None:
        self.complete = True
        if self.held:
            self.held = False
            self.connection.transport.resume_reading()
        self.wake()

    def fail(self, error: Exception) -> None:
        self.error = self.error or error
        self.wake()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    # ── what the caller does ─────────────────────────────────────────────────────────────────────────────────────────

    async def more(self, seconds: float | None) -> None:
        """Wait until something has come; raise ReadTimeout when nothing does."""
        waiter = self.waiter = self.connection.loop.create_future()
        self.connection.expect(seconds)
        try:
            await waiter
        finally:
            self.waiter = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self.pieces:
            if self.complete:
                raise StopAsyncIteration
            if self.error is not None:
                raise self.error
            await self.more(self.connection.limits.get("read"))
        piece = self.pieces.popleft()
        self.unread -= len(piece)
        if self.held and self.unread <= FULL:
            self.held = False
            self.connection.transport.resume_reading()
        return piece

    async def aclose(self) -> None:
        # The rest would be in the way of the next answer; but when all of it has come, another request may have the connection.
        if self.connection.reply is self or self.connection.transport.is_closing():
            self.connection.abort()


def encoded(request: httpx.Request, body: bytes) -> bytes:
    """A request as it is sent; raise LocalProtocolError for a header that would be two."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise httpx.LocalProtocolError(_("a header holds a line break"), request=request)
    return b"%b\r\n\r\n%b" % (head, body)


def readable(connection: socket.socket) -> bool:
    """Whether something has come, the end included."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.fileno()], [], [], 0)[0])


def reason(error: Exception) -> str:
    """Why the network gave up, in the system's words."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.errno is None:
        return _("none of its addresses can be reached")
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout(_("no answer in time")))


def too_long() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError(_("the headers of the answer are longer than 1 MB"))
