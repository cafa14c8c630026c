"""The guards every call passes: where it may go, how much may come back, what a trace may tell."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from runner.clean import Redactor
from runner.hosts import is_loopback
from runner.transport.connections import Connections
from runner.transport.network import (
    BODY_LIMIT,
    Address,
    Proxied,
    TooLarge,
    body_of,
    open_client,
    open_network,
    unsafe,
)
from runner.transport.public import IMAGE_LIMIT, Unreachable, fetch_public, is_public
from runner.transport.trace import SHOWN, Tracing
from tests.engine_fixtures import Pieces, on_virtual_time


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://host.test/api/v1", None),
        ("http://127.0.0.1:8080/api/v1", None),
        ("http://localhost:8080/api/v1", None),
        ("http://[::1]:8080/api/v1", None),
        ("http://host.test/api/v1", "the key in API_KEY is not sent over plain http; write https://host.test"),
        ("http://127.0.0.1.evil.test/", "the key in API_KEY is not sent over plain http; write https://127.0.0.1.evil.test"),
        ("https://user:pass@host.test/", "the base URL must not hold a user name or password; write https://host.test"),
        ("https://@host.test/", "the base URL must not hold a user name or password; write https://host.test"),
        ("ftp://host.test/", "`ftp://host.test/` is not an address like https://host/api/v1"),
        ("host.test/api", "`host.test/api` is not an address like https://host/api/v1"),
        ("https://user:pass@host.test:x/", "`https://host.test:x/` is not an address like https://host/api/v1"),
        ("https://300.1.1.1/", "`https://300.1.1.1/` is not an address like https://host/api/v1"),
        ("https://[::1", "`https://[::1` is not an address like https://host/api/v1"),
    ],
)
def test_where_a_key_may_go(url: str, sentence: str | None) -> None:
    assert sentence == unsafe(url, key_variable="API_KEY")


def test_plain_http_is_allowed_without_a_key() -> None:
    assert None is unsafe("http://host.test/api/v1", key_variable=None)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.test", False),
        ("127.999.0.1", False),
        ("127.0.0.1.test", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert loopback == is_loopback(host)


def test_proxies_come_from_the_environment_but_not_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    asked: list[tuple[int, bytes]] = []

    async def go() -> None:
        async with loopback(asked) as proxy, loopback([]) as base:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            monkeypatch.setenv("http_proxy", proxy)
            async with open_client(open_network(base)) as client:
                assert "ok" == (await client.get(base)).text
            assert [] == asked
            async with open_client(open_network("http://host.test")) as client:
                assert "ok" == (await client.get("http://host.test/")).text

    asyncio.run(go())
    assert [b"GET http://host.test/ HTTP/1.1"] == [request.partition(b"\r\n")[0] for _number, request in asked]


@pytest.mark.parametrize(
    ("variables", "base", "proxied"),
    [
        ({}, "http://host.test", False),
        ({"HTTP_PROXY": "http://p.test:1"}, "http://host.test", True),
        ({"HTTP_PROXY": "http://p.test:1"}, "https://host.test", False),
        ({"HTTPS_PROXY": "http://p.test:1"}, "https://host.test", True),
        ({"ALL_PROXY": "http://p.test:1"}, "https://host.test", True),
        ({"ALL_PROXY": "http://p.test:1"}, "https://127.0.0.1:8000", False),
        ({"ALL_PROXY": "http://p.test:1"}, "http://localhost:8000", False),
        ({"NO_PROXY": "host.test"}, "https://host.test", False),
    ],
)
def test_calls_go_by_the_proxy_that_is_for_them(
    variables: dict[str, str], base: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_network(base), Proxied if proxied else Connections)


@pytest.mark.parametrize("target", ["/api/v1/threads/a%2Fb/runs", "/x?order=desc&after=m%201"])
@pytest.mark.parametrize("base", ["http://127.0.0.1:8000/api", "https://bücher.test", "https://[::1]:8443/"])
def test_an_address_is_the_same_as_httpx_would_read(base: str, target: str) -> None:
    known = httpx.URL(base)
    address = Address(known, target)
    whole = httpx.URL(f"{known.scheme}://{known.netloc.decode()}{target}")
    for part in (
        "raw_scheme",
        "raw_host",
        "port",
        "raw_path",
        "scheme",
        "host",
        "netloc",
        "path",
        "query",
        "params",
        "userinfo",
    ):
        assert getattr(whole, part) == getattr(Address(known, target), part), part
    assert (str(whole), whole, hash(whole)) == (str(address), address, hash(address))
    assert whole == httpx.URL(Address(known, target))
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(address, "nonsense")  # noqa: B009


def test_a_redirect_is_not_followed() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def go() -> int:
        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with open_client(open_network(base)) as client:
                return (await client.get(base)).status_code

    assert 307 == asyncio.run(go())


@asynccontextmanager
async def loopback(seen: list[tuple[int, bytes]]) -> AsyncIterator[str]:
    """A server on this machine that says ok and sets a cookie; `seen` gets the number of the connection and the request."""
    connections: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        number = len(connections)
        try:
            while True:
                seen.append((number, await reader.readuntil(b"\r\n\r\n")))
                writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await asyncio.gather(*filter(None, connections))


def test_connections_are_kept_and_cookies_are_not() -> None:
    seen: list[tuple[int, bytes]] = []

    async def go() -> None:
        async with loopback(seen) as base, open_client(open_network(base)) as client:
            for _each in range(3):
                async with client.stream("GET", base) as response:
                    assert b"ok" == b"".join([piece async for piece in body_of(response)])

    asyncio.run(go())
    assert [1] * 3 == [number for number, _request in seen]
    assert not any(b"cookie" in request.lower() for _number, request in seen)
    assert all(b"accept-encoding: identity" in request.lower() for _number, request in seen)


def collected(response: httpx.Response) -> bytes:
    async def go() -> bytes:
        return b"".join([piece async for piece in body_of(response)])

    return asyncio.run(go())


def test_a_body_is_counted_after_unpacking_and_while_it_comes() -> None:
    bomb = gzip.compress(b"\0" * (BODY_LIMIT + 1))
    assert len(bomb) < 20_000
    with pytest.raises(TooLarge, match="the answer is longer than 16 MB"):
        collected(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Pieces([bomb])))
    assert b"x" == collected(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Pieces([gzip.compress(b"x")])))


def test_an_endless_body_is_left_at_its_limit() -> None:
    taken = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal taken
            while True:
                taken += 1_000_000
                yield b" " * 1_000_000

    with pytest.raises(TooLarge):
        collected(httpx.Response(200, stream=Endless()))
    assert taken == BODY_LIMIT + 1_000_000


# ── pictures from elsewhere ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert public == is_public(address)


def fetched(url: str, *addresses: str, answer: httpx.Response | None = None) -> tuple[bytes, httpx.Request]:
    requests: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer or httpx.Response(200, content=b"PNG")

    async def look_up(_host: str, _port: int) -> tuple[str, ...]:
        return addresses

    data: bytes = on_virtual_time(fetch_public(url, httpx.MockTransport(serve), look_up))
    return data, requests[0]


def test_a_public_picture_is_asked_for_at_the_address_that_was_checked() -> None:
    data, request = fetched("https://pictures.test/1.png?a=b", "93.184.216.34", "93.184.216.35")
    assert b"PNG" == data
    assert "https://93.184.216.34/1.png?a=b" == str(request.url)
    assert ("pictures.test", "pictures.test") == (request.headers["Host"], request.extensions["sni_hostname"])
    assert not {"authorization", "cookie"} & set(request.headers)


def test_a_host_in_any_script_is_asked_for_by_its_ascii_name() -> None:
    _data, request = fetched("https://bücher.test:8443/猫.png", "2606:4700::1111")
    assert "https://[2606:4700::1111]:8443/%E7%8C%AB.png" == str(request.url)
    assert ("xn--bcher-kva.test:8443", "xn--bcher-kva.test") == (request.headers["Host"], request.extensions["sni_hostname"])


@pytest.mark.parametrize(
    ("url", "addresses", "sentence"),
    [
        ("http://pictures.test/1.png", ("93.184.216.34",), "only https addresses are fetched"),
        ("https://user@pictures.test/1.png", ("93.184.216.34",), "only https addresses are fetched"),
        ("file:///etc/passwd", (), "only https addresses are fetched"),
        ("https://pictures.test/1.png", ("127.0.0.1",), "pictures.test is not a public address"),
        ("https://pictures.test/1.png", ("93.184.216.34", "10.0.0.1"), "pictures.test is not a public address"),
        ("https://pictures.test/1.png", (), "pictures.test is not a public address"),
        ("https://pictures.test:x/1.png", (), "its address is not a URL"),
    ],
)
def test_a_picture_from_anywhere_else_is_refused(url: str, addresses: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(Unreachable) as raised:
        fetched(url, *addresses)
    assert sentence == str(raised.value)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"])
def test_odd_spellings_of_this_machine_are_seen_through(host: str) -> None:
    with pytest.raises(Unreachable, match=r"is not a public address|is not known"):
        asyncio.run(fetch_public(f"https://{host}/1.png"))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(302, headers={"Location": "http://127.0.0.1/"}), "the server answered 302"),
        (httpx.Response(404), "the server answered 404"),
        (httpx.Response(200, content=b" " * (IMAGE_LIMIT + 1)), "the answer is longer than 10 MB"),
        (httpx.Response(200, stream=Pieces([b"x", 11.0, b"y"])), "it did not come within 10 s"),
        (httpx.Response(200, stream=Pieces([httpx.ReadError("reset")])), "it could not be fetched: reset"),
    ],
)
def test_a_picture_that_does_not_come_is_trouble(answer: httpx.Response, sentence: str) -> None:
    with pytest.raises(Unreachable) as raised:
        fetched("https://pictures.test/1.png", "93.184.216.34", answer=answer)
    assert sentence == str(raised.value)


# ── the trace ────────────────────────────────────────────────────────────────────────────────────────────────────────

KEY = "sk-tested-key-1234"


def traced(answer: Any, body: object = None) -> list[str]:
    lines: list[str] = []

    async def serve(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    async def go() -> None:
        transport = Tracing(httpx.MockTransport(serve), lines.append, Redactor([KEY]))
        async with open_client(transport) as client:
            try:
                async with client.stream(
                    "POST", "https://h.test/x", json=body, headers={"Authorization": f"Bearer {KEY}"}
                ) as got:
                    _body = [piece async for piece in body_of(got)]
            except httpx.HTTPError:
                pass

    on_virtual_time(go())
    return lines


def without_times(lines: list[str]) -> list[str]:
    import re

    return [re.sub(r"\d+ ms", "N ms", line) for line in lines]


def test_a_trace_tells_the_call_and_its_bodies_but_no_secret() -> None:
    lines = traced(httpx.Response(200, json={"said": KEY, "bell": "\u202e"}), {"key": KEY})
    assert [
        "POST https://h.test/x: 200 in N ms",
        '  → {"key":"***"}',
        '  ← {"said":"***","bell":"\\u202e"}',
    ] == without_times(lines)


def test_a_trace_cuts_long_bodies_after_masking_and_leaves_pictures_out() -> None:
    long = traced(httpx.Response(200, headers={"Content-Type": "text/plain"}, content=b"x" * (SHOWN - 5) + KEY.encode()))
    assert "  ← " + "x" * (SHOWN - 5) + "***" == long[1]
    assert ["  ← " + "x" * SHOWN, "  ← …"] == traced(httpx.Response(200, content=b"x" * SHOWN * 2))[1:]
    assert ["  ← (image/png)"] == traced(httpx.Response(200, headers={"Content-Type": "image/png"}, content=b"\x89PNG"))[1:]


def test_a_trace_tells_of_calls_that_failed() -> None:
    assert ["POST https://h.test/x: ConnectError after N ms", "  → {}"] == without_times(traced(httpx.ConnectError("no"), {}))


def test_a_streamed_body_passes_a_trace_unchanged() -> None:
    pieces = [b"event:x\n", b"data:1\n\n"]
    lines = traced(httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Pieces(pieces)))
    assert ["  ← event:x", "  ← data:1"] == lines[1:]
