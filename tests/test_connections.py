"""Connections of our own, against servers on this machine that say exactly what a test tells them to."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.targets.assistant_api import refused_certificate
from runner.transport.connections import FULL, HEAD_LIMIT, Connection, Connections
from runner.transport.network import open_network

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TLS = Path(__file__).parent / "data" / "tls"
LIMITS = {"connect": 5.0, "write": 5.0, "read": 5.0, "pool": 5.0}

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server on this machine; `serve` is called for each connection, which is closed when it returns."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None) -> None:
        self.serve = serve
        self.context = context
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        """Set when a request has come."""
        self.answered = asyncio.Event()
        """Set when a whole answer was written."""
        self.closed = asyncio.Event()
        """Set when the client has hung up."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.base = ""

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request on a connection; ends the connection when there is none."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            self.closed.set()
            raise
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        found = head + await reader.readexactly(length)
        self.requests.append(found)
        self.asked.set()
        return found


@asynccontextmanager
async def serving(serve: "Callable[[Server], Serve]", context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(lambda reader, writer: serve(server)(reader, writer), context)
    listening = await asyncio.start_server(server.meet, "127.0.0.1", 0, ssl=context, backlog=1024)
    host = "localhost" if context else "127.0.0.1"
    server.base = f"{'https' if context else 'http'}://{host}:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await asyncio.gather(*server.tasks)


def answering(*pieces: bytes) -> Callable[[Server], Serve]:
    """Every request is answered with these pieces, one at a time."""

    def serve(server: Server) -> Serve:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await server.request(reader)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                server.answered.set()

        return answer

    return serve


def closing(*pieces: bytes, reset: bool = False) -> Callable[[Server], Serve]:
    """The first request of a connection is answered with these pieces and the end."""

    def serve(server: Server) -> Serve:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.request(reader)
            writer.writelines(pieces)
            await writer.drain()
            if reset:
                handle = writer.get_extra_info("socket")
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()

        return answer

    return serve


def silent(server: Server) -> Serve:
    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)

    return listen


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def request(server: Server, method: str = "GET", path: str = "/x", **more: Any) -> httpx.Request:
    limits = LIMITS | more.pop("limits", {})
    return httpx.Request(method, server.base + path, extensions={"timeout": limits}, **more)


async def read(response: httpx.Response) -> bytes:
    try:
        return b"".join([piece async for piece in response.aiter_raw()])
    finally:
        await response.aclose()


async def asked(way: Connections, server: Server, **more: Any) -> bytes:
    return await read(await way.handle_async_request(request(server, **more)))


def bodies(serve: Callable[[Server], Serve], times: int = 1) -> tuple[list[bytes], Server]:
    """What the bodies of so many requests are, one after the other."""

    async def go() -> tuple[list[bytes], Server]:
        async with serving(serve) as server, Connections(server.base) as way:
            return [await asked(way, server) for _each in range(times)], server

    found: tuple[list[bytes], Server] = run(go())
    return found


# ── requests and answers ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_sent_as_it_was_made() -> None:
    async def go() -> bytes:
        async with serving(answering(OK)) as server, Connections(server.base) as way:
            await asked(way, server, method="POST", path="/a/b%20c?d=e", json={"said": "ü"}, headers={"X-One": "1"})
            assert server.base.removeprefix("http://").encode() in server.requests[0]
            return server.requests[0].replace(server.base.removeprefix("http://").encode(), b"HERE")

    assert (
        b"POST /a/b%20c?d=e HTTP/1.1\r\nHost: HERE\r\nX-One: 1\r\nContent-Length: 13\r\n"
        b'Content-Type: application/json\r\n\r\n{"said":"\xc3\xbc"}'
    ) == run(go())


def test_status_and_headers_are_given_before_the_body_has_come() -> None:
    async def go() -> None:
        head = b"HTTP/1.1 418 Short\r\nA: 1\r\nA:\r\nB: \xe9\r\nContent-Length: 2\r\n\r\n"
        async with serving(answering(head)) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server))
            assert (418, ["1", ""], "é") == (response.status_code, response.headers.get_list("a"), response.headers["B"])
            await response.aclose()

    run(go())


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
    b"5;a=b\r\nevent\r\nB\r\n: x\r\ndata:1\r\n2\r\n\n\n\r\n0\r\nTrailer: z\r\n\r\n"
)
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK


@pytest.mark.parametrize(
    ("answer", "body"),
    [(OK, b"ok"), (CHUNKED, b"event: x\r\ndata:1\n\n"), (INFORMED, b"ok")],
    ids=["length", "chunked", "informed"],
)
def test_an_answer_may_be_cut_anywhere(answer: bytes, body: bytes) -> None:
    found, server = bodies(answering(*(answer[place : place + 1] for place in range(len(answer)))), 2)
    assert ([body, body], 1) == (found, server.connections)
    for place in range(len(answer)):
        found, server = bodies(answering(answer[:place], answer[place:]), 2)
        assert ([body, body], 1) == (found, server.connections)


def test_headers_of_a_sign_before_the_answer_are_no_headers_of_the_answer() -> None:
    async def go() -> list[str]:
        async with serving(answering(INFORMED)) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server))
            await read(response)
            return list(response.headers)

    assert ["content-length"] == run(go())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_body_may_end_with_its_connection(answer: bytes) -> None:
    found, server = bodies(closing(answer), 2)
    assert ([b"hello", b"hello"], 2) == (found, server.connections)


def test_an_answer_without_a_body_leaves_its_connection_for_the_next() -> None:
    found, server = bodies(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), 3)
    assert ([b""] * 3, 1) == (found, server.connections)


def test_a_connection_that_the_server_is_done_with_is_not_used_again() -> None:
    found, server = bodies(answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), 2)
    assert ([b"ok", b"ok"], 2) == (found, server.connections)


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (b"", httpx.RemoteProtocolError, "the server hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", httpx.RemoteProtocolError, "the server hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", httpx.RemoteProtocolError, "the answer ended too early"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            httpx.RemoteProtocolError,
            "the answer ended too early",
        ),
        (b"<html>\r\n\r\n", httpx.RemoteProtocolError, "the answer is not HTTP: Expected HTTP/, RTSP/ or ICE/"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            httpx.RemoteProtocolError,
            "the answer is not HTTP: ",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", httpx.RemoteProtocolError, "the answer is not HTTP: "),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            httpx.RemoteProtocolError,
            "the answer is not HTTP: ",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", httpx.RemoteProtocolError, "the answer is not HTTP: "),
    ],
)
def test_half_an_answer_is_none(answer: bytes, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as raised:
        bodies(closing(answer))
    assert str(raised.value).startswith(sentence)


def test_what_came_before_an_early_end_is_given() -> None:
    async def go() -> list[bytes]:
        found: list[bytes] = []
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
        async with serving(closing(cut)) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server))
            with pytest.raises(httpx.RemoteProtocolError):
                async for piece in response.aiter_raw():
                    found.append(piece)
            await response.aclose()
        return found

    assert [b"ok"] == run(go())


def test_a_reset_is_told_in_the_systems_words() -> None:
    with pytest.raises(httpx.ReadError, match="Connection reset by peer"):
        bodies(closing(reset=True))


@pytest.mark.parametrize("more", [OK, b"ok", b"\0"])
def test_more_than_the_answer_is_no_answer(more: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        bodies(answering(OK + more))


def test_what_comes_unasked_is_not_taken_for_the_next_answer() -> None:
    heard = asyncio.Event()

    def serve(server: Server) -> Serve:
        async def insist(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.request(reader)
            writer.write(OK)
            await heard.wait()
            writer.write(OK.replace(b"ok", b"no"))
            await server.request(reader)

        return insist

    async def go() -> None:
        async with serving(serve) as server, Connections(server.base) as way:
            for _each in range(2):
                heard.clear()
                assert b"ok" == await asked(way, server)
                heard.set()
                await server.closed.wait()
                server.closed.clear()
            assert 2 == server.connections

    run(go())


@pytest.mark.parametrize("line", [b"a" * 999 + b": x\r\n", b"a: " + b"x" * 10_000], ids=["many", "one"])
def test_endless_headers_are_left_at_their_limit(line: bytes) -> None:
    taken = 0

    def serve(server: Server) -> Serve:
        async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            await server.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(line)
                await writer.drain()
                taken += len(line)

        return bomb

    with pytest.raises(httpx.RemoteProtocolError, match="the headers of the answer are longer than 1 MB"):
        bodies(serve)
    # The system's own buffers take some as well.
    assert HEAD_LIMIT - 100_000 < taken < 20 * HEAD_LIMIT


def test_trailers_are_counted_like_headers() -> None:
    trailers = b"a: " + b"x" * 600_000 + b"\r\n"
    with pytest.raises(httpx.RemoteProtocolError, match="the headers of the answer are longer than 1 MB"):
        bodies(closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers * 2 + b"\r\n"))


def test_headers_up_to_the_limit_are_read() -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\nLong: " + b"x" * (HEAD_LIMIT - 100) + b"\r\n\r\n")
    assert [b"ok"] == bodies(answering(answer))[0]


def test_a_body_that_nobody_reads_is_not_taken_from_the_network() -> None:
    size = 40 * FULL
    sent = 0

    def serve(server: Server) -> Serve:
        async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await server.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            while sent < size:
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

        return pour

    async def go() -> None:
        async with serving(serve) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server))
            before = -1
            while before != sent:
                before = sent
                for _turn in range(100):
                    await asyncio.sleep(0)
            assert sent < size / 2
            assert size == len(await read(response))
            assert (1, 1) == (len(way.open), server.connections)

    run(go())


# ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────────


def together(count: int) -> Callable[[Server], Serve]:
    """Requests are answered once `count` of them wait."""
    waiting: list[asyncio.Event] = []

    def serve(server: Server) -> Serve:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await server.request(reader)
                turn = asyncio.Event()
                waiting.append(turn)
                if len(waiting) == count:
                    for each in waiting:
                        each.set()
                    waiting.clear()
                await turn.wait()
                writer.write(OK)

        return answer

    return serve


def test_a_hundred_requests_at_once_use_a_hundred_connections_and_use_them_again() -> None:
    async def go() -> None:
        async with serving(together(100)) as server, Connections(server.base) as way:
            for _round in range(3):
                assert [b"ok"] * 100 == await asyncio.gather(*(asked(way, server) for _each in range(100)))
            assert (100, 300) == (server.connections, len(server.requests))

    run(go())


def test_a_request_waits_for_a_connection_when_all_are_taken() -> None:
    async def go() -> None:
        async with serving(together(3)) as server, Connections(server.base, most=3) as way:
            assert [b"ok"] * 12 == await asyncio.gather(*(asked(way, server) for _each in range(12)))
            assert 3 == server.connections

    run(go())


def test_a_request_that_no_connection_becomes_free_for_is_given_up() -> None:
    async def go() -> None:
        async with serving(silent) as server, Connections(server.base, most=1) as way:
            first = asyncio.ensure_future(asked(way, server))
            await asyncio.sleep(0)
            with pytest.raises(httpx.PoolTimeout):
                await asked(way, server, limits={"pool": 0.01})
            assert [] == list(way.waiting)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    run(go())


def test_a_request_that_is_given_up_as_its_turn_comes_leaves_it_to_the_next() -> None:
    async def go() -> None:
        released = asyncio.Event()

        def held(server: Server) -> Serve:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await server.request(reader)
                    await released.wait()
                    writer.write(OK)

            return answer

        async with serving(held) as server, Connections(server.base, most=1) as way:
            first = asyncio.ensure_future(asked(way, server))
            await server.asked.wait()
            second, third = (asyncio.ensure_future(asked(way, server, limits={"pool": 1})) for _each in range(2))
            await asyncio.sleep(0)
            wake = way.wake

            def wake_and_give_up() -> None:
                way.wake = wake  # type: ignore[method-assign]
                wake()
                second.cancel()

            way.wake = wake_and_give_up  # type: ignore[method-assign]
            released.set()
            assert [b"ok", b"ok"] == [*await asyncio.gather(first, third)]
            assert second.cancelled()

    run(go())


def test_a_connection_that_could_not_be_made_leaves_its_place_to_the_next() -> None:
    async def go() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            async with Connections(base, most=1) as way:
                for outcome in await asyncio.gather(
                    *(way.handle_async_request(httpx.Request("GET", base)) for _each in range(3)), return_exceptions=True
                ):
                    assert isinstance(outcome, httpx.ConnectError)
                    assert "Connection refused" == str(outcome)

    run(go())


def test_a_connection_closed_while_idle_loses_no_request() -> None:
    async def go() -> None:
        async with serving(closing(OK)) as server, Connections(server.base) as way:
            for _each in range(3):
                assert b"ok" == await asked(way, server, method="POST", json={})
                await asyncio.gather(*server.tasks)
            assert not way.idle
            assert (3, 3) == (server.connections, len(server.requests))

    run(go())


def test_a_request_given_up_as_its_answer_comes_takes_no_connection_from_the_next() -> None:
    async def go() -> None:
        answered = asyncio.Event()

        def serve(server: Server) -> Serve:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await server.request(reader)
                    writer.write(OK)
                    answered.set()

            return answer

        async with serving(serve) as server, Connections(server.base) as way:
            first = asyncio.create_task(asked(way, server))
            await answered.wait()
            # The answer is read in this turn of the loop; whoever waits for it is told in the next, after us.
            await asyncio.sleep(0)
            first.cancel()
            assert b"ok" == await asked(way, server)
            assert (1, 2) == (server.connections, len(server.requests))
            assert [True] == [
                isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(first, return_exceptions=True)
            ]

    run(go())


def test_a_connection_closed_while_nobody_looked_loses_no_request() -> None:
    """The loop was busy, so that the end of the connection is known to the system alone."""
    listening = socket.create_server(("127.0.0.1", 0))
    closed = threading.Event()
    served: list[bytes] = []

    def serve() -> None:
        for _each in range(2):
            connection, _address = listening.accept()
            with connection:
                served.append(connection.recv(65536))
                connection.sendall(OK)
                connection.shutdown(socket.SHUT_RDWR)
            closed.set()

    thread = threading.Thread(target=serve)
    thread.start()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def go() -> None:
        async with Connections(base) as way:
            # The answer and the end may come as one; what counts is that the second request is not lost.
            assert b"ok" == await read(await way.handle_async_request(httpx.Request("POST", base)))
            assert closed.wait(10)
            assert b"ok" == await read(await way.handle_async_request(httpx.Request("POST", base)))

    run(go())
    thread.join()
    listening.close()
    assert 2 == len(served)


def test_a_connection_is_not_kept_for_ever() -> None:
    async def go() -> None:
        async with serving(answering(OK)) as server, Connections(server.base) as way:
            assert b"ok" == await asked(way, server)
            way.idle[0].since -= 60
            assert b"ok" == await asked(way, server)
            assert 2 == server.connections

    run(go())


def test_connections_that_nobody_wanted_for_long_are_let_go() -> None:
    async def go() -> None:
        async with serving(together(3)) as server, Connections(server.base) as way:
            await asyncio.gather(*(asked(way, server) for _each in range(3)))
            assert 3 == len(way.open)
            for connection in way.idle:
                connection.since -= 60
            way.free(way.idle.pop(), asyncio.get_running_loop().time())
            await server.closed.wait()
            assert 1 == len(way.idle)

    run(go())


def test_a_connection_reset_between_look_and_write_loses_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.transport.connections.readable", lambda _connection: False)
    listening = socket.create_server(("127.0.0.1", 0))
    reset = threading.Event()
    served: list[bytes] = []

    def serve() -> None:
        for _each in range(2):
            connection, _address = listening.accept()
            served.append(connection.recv(65536))
            connection.sendall(OK)
            if len(served) == 1:
                heard.wait(10)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
            reset.set()

    heard = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def go() -> None:
        async with Connections(base) as way:
            assert b"ok" == await read(await way.handle_async_request(httpx.Request("POST", base)))
            heard.set()
            assert reset.wait(10)
            assert b"ok" == await read(await way.handle_async_request(httpx.Request("POST", base)))

    run(go())
    thread.join()
    listening.close()
    assert 2 == len(served)


def test_a_new_connection_that_takes_nothing_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "send", lambda *_given: None)

    async def go() -> None:
        async with serving(silent) as server, Connections(server.base) as way:
            with pytest.raises(httpx.ConnectError, match="the server hung up at once"):
                await asked(way, server)

    run(go())


def test_a_connection_lost_while_a_request_is_sent_is_noticed_at_once() -> None:
    def serve(_server: Server) -> Serve:
        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.transport.abort()

        return leave

    async def go() -> None:
        async with serving(serve) as server, Connections(server.base) as way:
            with pytest.raises(httpx.ReadError):
                await asked(way, server, method="POST", content=b"x" * 30_000_000)

    run(go())


def test_a_body_that_filled_the_room_for_it_leaves_its_connection_for_the_next() -> None:
    size = FULL + 1
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size

    async def go() -> None:
        async with serving(answering(answer)) as server, Connections(server.base) as way:
            for _each in range(2):
                response = await way.handle_async_request(request(server))
                await server.answered.wait()
                server.answered.clear()
                assert size == len(await read(response))
            assert 1 == server.connections

    run(go())


def test_an_answer_that_is_left_early_takes_its_connection_with_it() -> None:
    async def go() -> None:
        async with serving(answering(CHUNKED[:-8])) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server))
            async for _piece in response.aiter_raw():
                break
            await response.aclose()
            await server.closed.wait()
            assert set() == way.open

    run(go())


def test_a_request_that_is_cancelled_takes_its_connection_with_it() -> None:
    async def go() -> None:
        async with serving(silent) as server, Connections(server.base) as way:
            task = asyncio.ensure_future(asked(way, server))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.closed.wait()
            assert set() == way.open

    run(go())


def test_no_connection_is_left_open() -> None:
    async def go() -> None:
        async with serving(answering(OK)) as server:
            way = Connections(server.base)
            assert b"ok" == await asked(way, server)
            await way.aclose()
            await server.closed.wait()
            await way.aclose()

    run(go())


# ── limits and guards ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_is_silent_is_left() -> None:
    async def go() -> None:
        async with serving(silent) as server, Connections(server.base) as way:
            with pytest.raises(httpx.ReadTimeout):
                await asked(way, server, limits={"read": 0.01})
            await server.closed.wait()

    run(go())


def test_a_body_that_falls_silent_is_left() -> None:
    async def go() -> None:
        async with serving(answering(CHUNKED[:-8])) as server, Connections(server.base) as way:
            response = await way.handle_async_request(request(server, limits={"read": 0.05}))
            with pytest.raises(httpx.ReadTimeout):
                await read(response)
            await server.closed.wait()

    run(go())


def test_a_server_that_takes_nothing_is_left() -> None:
    release = asyncio.Event()

    def serve(_server: Server) -> Serve:
        async def stare(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await release.wait()

        return stare

    async def go() -> None:
        async with serving(serve) as server, Connections(server.base) as way:
            with pytest.raises(httpx.WriteTimeout):
                await asked(way, server, method="POST", content=b"x" * 30_000_000, limits={"write": 0.05})
            release.set()

    run(go())


def test_a_long_request_is_sent_whole() -> None:
    async def go() -> None:
        async with serving(answering(OK)) as server, Connections(server.base) as way:
            assert b"ok" == await asked(way, server, method="POST", content=b"x" * 5_000_000)
            assert server.requests[0].endswith(b"\r\n\r\n" + b"x" * 5_000_000)

    run(go())


def test_a_connection_that_takes_too_long_is_given_up() -> None:
    async def go() -> None:
        async with serving(answering(OK)) as server, Connections(server.base) as way:
            with pytest.raises(httpx.ConnectTimeout):
                await asked(way, server, limits={"connect": 0.0})
            assert [] == server.requests

    run(go())


def test_a_host_that_nobody_knows_cannot_be_connected() -> None:
    async def go() -> None:
        async with Connections("http://nobody.invalid") as way:
            with pytest.raises(httpx.ConnectError):
                await way.handle_async_request(httpx.Request("GET", "http://nobody.invalid/"))

    run(go())


def test_only_one_origin_is_asked() -> None:
    async def go() -> None:
        async with Connections("http://127.0.0.1:8000/api/v1") as way:
            for url in ("http://127.0.0.1:8001/", "https://127.0.0.1:8000/", "http://localhost:8000/"):
                with pytest.raises(httpx.UnsupportedProtocol, match="is another place"):
                    await way.handle_async_request(httpx.Request("GET", url))

    run(go())


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\nB: c", "a\rB: c"])
def test_a_header_is_one_line(value: str) -> None:
    async def go() -> None:
        async with serving(answering(OK)) as server, Connections(server.base) as way:
            with pytest.raises(httpx.LocalProtocolError, match="a header holds a line break"):
                await asked(way, server, headers={"A": value})
            assert [] == server.requests

    run(go())


def encrypted() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async def go() -> None:
        async with serving(answering(OK), encrypted()) as server, open_network(server.base) as way:
            with pytest.raises(httpx.ConnectError) as raised:
                await way.handle_async_request(request(server))
            assert "self-signed certificate" == refused_certificate(raised.value)
            assert [] == server.requests

    run(go())


def test_an_authority_named_by_the_environment_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))

    async def go() -> None:
        async with serving(answering(OK), encrypted()) as server, open_network(server.base) as way:
            assert isinstance(way, Connections)
            for _each in range(2):
                assert b"ok" == await asked(way, server)
            assert (1, 2) == (server.connections, len(server.requests))

    run(go())


def test_a_certificate_is_for_one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))

    async def go() -> None:
        async with serving(answering(OK), encrypted()) as server:
            server.base = server.base.replace("localhost", "127.0.0.1")
            async with open_network(server.base) as way:
                with pytest.raises(httpx.ConnectError) as raised:
                    await way.handle_async_request(request(server))
                assert "127.0.0.1" in refused_certificate(raised.value)

    run(go())


def test_a_shorter_limit_counts_although_a_longer_one_was_set_before() -> None:
    def serve(server: Server) -> Serve:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.request(reader)
            writer.write(OK)
            await server.request(reader)
            await server.request(reader)

        return once

    async def go() -> None:
        async with serving(serve) as server, Connections(server.base) as way:
            assert b"ok" == await asked(way, server, limits={"read": 600.0})
            with pytest.raises(httpx.ReadTimeout, match="no answer in time"):
                await asked(way, server, limits={"read": 0.05})
            assert 1 == server.connections

    run(go())
