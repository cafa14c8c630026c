"""Answers of a server: the address in the file alone is asked, and whatever comes back, or nothing, has its sentence."""

import gzip
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from runner.model import ByHttp
from tests.tools_fixtures import ORDER, Told, answers, tool, toolbox

ARGUMENTS = '{"order_id": "1234 ü", "price": 1.50}'
ANSWERS: dict[str, tuple[int, str, bytes]] = {
    "/json": (200, "application/json; charset=utf-8", '{"status":  "unterwegs ☀"}'.encode()),
    "/problem": (201, "application/problem+json", b"[1, 2]"),
    "/text": (200, "text/plain", "bald ☀".encode()),
    "/latin": (200, "text/plain; charset=latin-1", "für".encode("latin-1")),
    "/unknown": (500, "text/plain; charset=rot13", b"no such order"),
    "/punycode": (200, "text/plain; charset=PunyCode", b"bald-"),
    "/csv": (200, "text/csv", b"a,b"),
    "/unnamed": (200, "", b"bare"),
    "/empty": (204, "", b""),
    "/broken": (200, "application/json", b'{"status": '),
    "/nan": (200, "application/json", b'{"price": NaN}'),
    "/deep": (200, "application/json", b"[" * 100_000),
    "/nothing": (200, "application/json", b""),
    "/page": (200, "text/html", b"<h1>Sign in</h1>"),
    "/picture": (200, "image/png", b"\x89PNG"),
    "/bytes": (200, "text/plain", b"caf\xe9"),
    "/odd": (200, "text/plain; charset=klingon", b"qapla"),
    "/failed": (500, "text/html", b"<h1>Internal\x1b[31m\n error</h1>\xe9"),
    "/missing": (404, "application/json", b'{"detail": "no such order"}'),
    "/silent": (503, "", b""),
    "/long": (500, "text/plain", b"x" * 10_000),
    "/moved": (307, "", b""),
    "/full": (200, "text/plain", b"x" * 1_000_000),
    "/fuller": (200, "text/plain", b"x" * 1_000_001),
    "/packed": (200, "text/plain", gzip.compress(b"packed")),
    "/bomb": (200, "text/plain", gzip.compress(bytes(100_000_000))),
}


class Orders(ThreadingHTTPServer):
    """A server on this machine. `heard` gets method, path, headers and body of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.over = Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may go away in the middle of an answer."""


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Orders

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.command, self.path, dict(self.headers), body))
        self.close_connection = True
        if self.path == "/stalls":
            self.server.over.wait()
            return
        if self.path == "/hangs_up":
            return
        if self.path == "/drips":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"a beginning")
            self.wfile.flush()
            self.server.over.wait()
            return
        if self.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            while not self.server.over.is_set():
                self.wfile.write(b"x" * 65_536)
        status, kind, answer = ANSWERS.get(self.path, (200, "text/plain", b"ok"))
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if self.path in ("/packed", "/bomb"):
            self.send_header("Content-Encoding", "gzip")
        if status == 307:
            self.send_header("Location", "/text")
        self.send_header("Set-Cookie", "session=1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads a log."""


@pytest.fixture
def orders() -> Iterator[Orders]:
    server = Orders()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, seconds: float = 60) -> Told:
    return answers(toolbox(seconds=seconds), tool(ByHttp(url)), arguments=ARGUMENTS)[0]


def reason(given: Told, url: str) -> str:
    """Why there was no answer."""
    output, by, sentence = given
    assert ("", "") == (output, by)
    return sentence.removeprefix("`get_order` gave no answer: ").replace(f"`{url}`", "`URL`")


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("/json", '{"status":  "unterwegs ☀"}'),
        ("/problem", "[1, 2]"),
        ("/text", "bald ☀"),
        ("/latin", "für"),
        ("/punycode", "bald-"),
        ("/csv", "a,b"),
        ("/unnamed", "bare"),
        ("/empty", ""),
        ("/full", "x" * 1_000_000),
        ("/packed", "packed"),
    ],
)
def test_json_and_text_are_passed_on_as_they_came(orders: Orders, path: str, output: str) -> None:
    assert (output, "http", "") == ask(orders.base + path)


def test_the_arguments_are_posted_as_json_without_credentials(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login anna password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{orders.base}/orders?shop=7"
    assert [("ok", "http", "")] * 2 == answers(toolbox(), *[tool(ByHttp(url))] * 2, arguments=ARGUMENTS)
    assert 2 == len(orders.heard)
    for method, path, headers, body in orders.heard:
        assert ("POST", "/orders?shop=7", '{"order_id": "1234 ü", "price": 1.5}'.encode()) == (method, path, body)
        assert "application/json" == headers["Content-Type"]
        assert {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent", "Content-Type", "Content-Length"} == set(
            headers
        )


def test_no_arguments_are_an_empty_object(orders: Orders) -> None:
    assert [("ok", "http", "")] == answers(toolbox(), tool(ByHttp(orders.base)), arguments="")
    assert [b"{}"] == [body for *_rest, body in orders.heard]


def test_a_server_is_not_asked_with_arguments_that_do_not_fit(orders: Orders) -> None:
    [(_output, by, _trouble)] = answers(toolbox(), tool(ByHttp(orders.base), ORDER), arguments="{}")
    assert ("parameters", []) == (by, orders.heard)


@pytest.mark.parametrize(
    ("path", "output", "trouble"),
    [
        (
            "/failed",
            '{"error": "HTTP 500: <h1>Internal\\u001b[31m\\n error</h1>\ufffd"}',
            "`URL` answered 500: <h1>Internal\\u001b[31m error</h1>\ufffd",
        ),
        (
            "/missing",
            '{"error": "HTTP 404: {\\"detail\\": \\"no such order\\"}"}',
            '`URL` answered 404: {"detail": "no such order"}',
        ),
        ("/silent", '{"error": "HTTP 503"}', "`URL` answered 503"),
        ("/unknown", '{"error": "HTTP 500: no such order"}', "`URL` answered 500: no such order"),
        (
            "/moved",
            '{"error": "HTTP 307"}',
            "`URL` answered 307: it leads elsewhere, and only the address in the file is asked",
        ),
        ("/long", '{"error": "HTTP 500: %s"}' % ("x" * 2000), f"`URL` answered 500: {'x' * 199}…"),
    ],
)
def test_another_status_goes_to_the_model_and_is_told(orders: Orders, path: str, output: str, trouble: str) -> None:
    url = orders.base + path
    assert (output, "http", trouble.replace("URL", url)) == ask(url)
    assert [path] == [path for _method, path, *_rest in orders.heard]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/broken", "`URL` answered with JSON that cannot be read"),
        ("/nan", "`URL` answered with JSON that cannot be read"),
        ("/deep", "`URL` answered with JSON that cannot be read"),
        ("/nothing", "`URL` answered with JSON that cannot be read"),
        ("/page", "`URL` answered with text/html, which is neither JSON nor plain text"),
        ("/picture", "`URL` answered with image/png, which is neither JSON nor plain text"),
        ("/bytes", "`URL` answered with text that is not UTF-8"),
        ("/fuller", "`URL`: the answer is longer than 1 MB"),
        ("/endless", "`URL`: the answer is longer than 1 MB"),
        ("/bomb", "`URL`: the answer is longer than 1 MB"),
        ("/hangs_up", "`URL` could not be reached: the server hung up without an answer"),
    ],
)
def test_what_cannot_be_passed_on_is_no_answer(orders: Orders, path: str, sentence: str) -> None:
    url = orders.base + path
    assert sentence == reason(ask(url), url)


@pytest.mark.parametrize("path", ["/stalls", "/drips"])
def test_a_server_that_stalls_is_left(orders: Orders, path: str) -> None:
    url = orders.base + path
    assert "`URL` did not answer within 0.3 s" == reason(ask(url, seconds=0.3), url)


def test_a_closed_port_is_no_answer() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        assert "`URL` could not be reached: Connection refused" == reason(ask(url), url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://127.0.0.1/", "`URL` is not a URL; write it like `http://localhost:8000/orders`"),
        ("localhost:8000/orders", "`URL` is not a URL; write it like `http://localhost:8000/orders`"),
        ("http://", "`URL` is not a URL; write it like `http://localhost:8000/orders`"),
        ("http://[::1", "`URL` is not a URL"),
        ("http://localhost:port/", "`URL` is not a URL"),
        ("http://anna:secret@127.0.0.1:9/", "a URL with a user name or a password is not used"),
    ],
)
def test_what_is_no_url_is_not_asked(url: str, sentence: str) -> None:
    assert sentence == reason(ask(url), url)


def test_a_proxy_is_used_for_other_machines_and_never_for_this_one(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("http_proxy", orders.base)
    monkeypatch.setenv("HTTP_PROXY", orders.base)
    assert ("ok", "http", "") == ask("http://orders.invalid/all")
    assert [("http://orders.invalid/all", "orders.invalid")] == [
        (path, headers["Host"]) for _method, path, headers, _body in orders.heard
    ]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert ("ok", "http", "") == ask(orders.base + "/all")
