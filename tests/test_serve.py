"""`runflow serve` lets in its token's holder and nobody else, and stops when told."""

import io
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.requests import Request as HttpRequest

from runner.embedded.server import Guard, ServeProblem, ServeSettings, chosen_token, listening, serve
from tests.embedded_fixtures import Served, parsed, served, start


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


def call(server: Served, method: str, path: str, headers: Any = None, token: bool = True, **more: Any) -> httpx.Response:
    own = server.headers if token else {}
    with httpx.Client(trust_env=False) as client:
        return client.request(method, server.base_url + path, headers={**own, **(headers or {})}, **more)


def error(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert "application/json" == answer.headers["content-type"]
    assert {"code", "message", "request_id"} == set(body)
    return answer.status_code, body["code"], body["message"]


def test_the_api_answers_its_tokens_holder(server: Served) -> None:
    made = call(server, "POST", "/assistants", json={"model": "qwen-max"})
    assert (200, "assistant") == (made.status_code, made.json()["object"])
    assert made.json()["id"] in [one["id"] for one in call(server, "GET", "/assistants").json()["data"]]


KEY = (401, "InvalidApiKey", "no valid API key; send the server's token as `Authorization: Bearer TOKEN`")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x", "Bearer \xff"]
)
def test_a_wrong_token_is_refused(server: Served, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(token=server.token).encode("latin-1")}
    assert KEY == error(call(server, "GET", "/assistants", headers, token=False))


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def never(given: bytes, due: bytes) -> bool:
        compared.append((given, due))
        return False

    monkeypatch.setattr("hmac.compare_digest", never)
    headers = [(b"host", b"127.0.0.1:80"), (b"authorization", b"Bearer token")]
    request = HttpRequest({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})
    refusal = Guard("token", "127.0.0.1", 80).refusal(request)
    assert refusal is not None
    assert (401, [(b"token", b"token")]) == (refusal.status, compared)


def test_the_scheme_may_be_spelled_in_any_case(server: Served) -> None:
    assert 200 == call(server, "GET", "/assistants", {"Authorization": f"bearer {server.token}"}, token=False).status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "localhost.evil.example:{port}", ""]
)
def test_a_foreign_host_is_refused(server: Served, host: str) -> None:
    port = server.origin.rpartition(":")[2]
    refusal = error(call(server, "GET", "/assistants", {"Host": host.format(port=port)}))
    assert (403, "AccessDenied", "the Host header names another server") == refusal


def test_loopback_has_two_names(server: Served) -> None:
    port = server.origin.rpartition(":")[2]
    assert 200 == call(server, "GET", "/assistants", {"Host": f"localhost:{port}"}).status_code


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:1"])
def test_a_foreign_origin_is_refused(server: Served, origin: str) -> None:
    refusal = error(call(server, "POST", "/threads", {"Origin": origin}, json={}))
    assert (403, "AccessDenied", "requests from web pages of another origin are refused") == refusal


def test_a_page_of_our_own_origin_may_call(server: Served) -> None:
    assert 200 == call(server, "POST", "/threads", {"Origin": server.origin}, json={}).status_code


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""])
def test_a_form_is_refused(server: Served, kind: str) -> None:
    refusal = error(call(server, "POST", "/threads", {"Content-Type": kind}, content=b"{}"))
    assert (415, "InvalidParameter", "the body's Content-Type is not application/json") == refusal


def test_a_body_in_chunks_needs_its_type_too(server: Served) -> None:
    assert 415 == call(server, "POST", "/threads", content=iter([b"{}"])).status_code


def test_no_page_of_another_origin_is_told_that_it_may_call(server: Served) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused = call(server, "OPTIONS", "/threads", headers, token=False)
    assert 403 == refused.status_code
    assert [] == [name for name in refused.headers if name.startswith("access-control-")]


def test_a_large_body_is_refused(server: Served) -> None:
    large = b'"' + b"x" * (4 * 1024 * 1024) + b'"'
    refusal = error(call(server, "POST", "/threads", {"Content-Type": "application/json"}, content=large))
    assert (413, "InvalidParameter", "the body is larger than 4194304 bytes") == refusal


def test_every_answer_forbids_what_a_page_could_do_with_it(server: Served) -> None:
    for answer in (call(server, "GET", "/assistants"), call(server, "GET", "/nowhere"), call(server, "GET", "/x", token=False)):
        assert "default-src 'none'; frame-ancestors 'none'" == answer.headers["content-security-policy"]
        assert "nosniff" == answer.headers["x-content-type-options"]


def test_nothing_changes_by_get(server: Served) -> None:
    thread = call(server, "POST", "/threads", json={}).json()["id"]
    for path in (
        f"/threads/{thread}/runs/x/cancel",
        f"/threads/{thread}/runs/x/submit_tool_outputs",
        "/threads",
        "/threads/runs",
    ):
        assert call(server, "GET", path).status_code in {404, 405}
    assert 200 == call(server, "GET", f"/threads/{thread}").status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
def test_an_unknown_path_is_a_json_error(server: Served, method: str) -> None:
    assert 404 == call(server, method, "/nowhere").status_code
    assert "NotFound" == error(call(server, "GET", "/nowhere"))[1]


def painted(server: Served) -> str:
    """The URL of a picture that was asked for over HTTP."""
    body: dict[str, Any] = {"model": "m", "tools": [{"type": "text_to_image"}]}
    assistant = call(server, "POST", "/assistants", json=body).json()["id"]
    body = {
        "assistant_id": assistant,
        "thread": {"messages": [{"role": "user", "content": "Draw 布偶猫 cats."}]},
        "stream": True,
    }
    events = parsed(call(server, "POST", "/threads/runs", json=body).text)
    text = "".join(data["delta"]["content"][0]["text"]["value"] for name, data in events if name == "thread.message.delta")
    match = re.search(r"\]\((.+)\)", text)
    assert match
    return match[1]


def test_a_picture_is_fetched_without_the_token_and_decodes(server: Served) -> None:
    url = painted(server)
    assert url.startswith(f"{server.origin}/images/")
    answer = httpx.get(url, trust_env=False)
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    assert ("image/png", "布偶猫 cats") == (answer.headers["content-type"], image.text["Description"])  # type: ignore[attr-defined]


def test_pictures_cannot_be_guessed_or_changed(server: Served) -> None:
    url = painted(server)
    assert 404 == httpx.get(f"{server.origin}/images/{'a' * 32}.png", trust_env=False).status_code
    assert 401 == httpx.post(url, trust_env=False).status_code
    assert 403 == httpx.get(url, headers={"Host": "evil.example"}, trust_env=False).status_code


def test_events_are_sent_as_they_happen() -> None:
    """The first event is there while the last one is not due for a minute."""
    with served(latency=60) as server:
        assistant = call(server, "POST", "/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "Hello."}]}, "stream": True}
        with (
            httpx.Client(trust_env=False, timeout=20) as client,
            client.stream("POST", f"{server.base_url}/threads/runs", json=body, headers=server.headers) as answer,
        ):
            assert "event:thread.created" == next(answer.iter_lines())


# ── beginning and end ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_also_while_a_stream_is_open(number: int) -> None:
    with served(latency=500) as server:
        assistant = call(server, "POST", "/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "stream": True}
        with (
            httpx.Client(trust_env=False) as client,
            client.stream("POST", f"{server.base_url}/threads/runs", json=body, headers=server.headers) as answer,
        ):
            assert 200 == answer.status_code
            server.process.send_signal(number)
            output, problem = server.process.communicate(timeout=10)
        assert ("", "", 0) == (output, problem, server.process.returncode)


def test_what_is_kept_in_a_file_is_there_again(tmp_path: Path) -> None:
    db = str(tmp_path / "kept.db")
    with served("--db", db) as server:
        made = call(server, "POST", "/assistants", json={"model": "m"}).json()["id"]
    with served("--db", db) as server:
        assert 200 == call(server, "GET", f"/assistants/{made}").status_code


def test_a_random_token_is_made_unless_one_is_given() -> None:
    with served(token="") as one, served(token="") as two:
        assert one.token != two.token
        assert re.fullmatch(r"[\w-]{43}", one.token)


def test_it_listens_on_loopback_only(server: Served) -> None:
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    port = int(server.origin.rpartition(":")[2])
    for address in {str(one) for one in own if not str(one).startswith("127.")}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass
    assert server.origin.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "0.0.0.0 can be reached by others; set a token with --token-env NAME or RUNFLOW_TOKEN"),
        ("short", "0.0.0.0 can be reached by others; use a token of 16 characters or more"),
    ],
)
def test_another_host_needs_a_token_of_ones_own(token: str, problem: str) -> None:
    with start("-m", "runner", "serve", "--host", "0.0.0.0", RUNFLOW_TOKEN=token) as process:
        try:
            output, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert ("", 3) == (output, process.returncode)
    assert problem in said


def test_small_answers_are_sent_at_once() -> None:
    with listening(ServeSettings()) as listener:
        assert socket.IPPROTO_TCP == listener.proto


def test_a_taken_port_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServeProblem, match=rf"^cannot listen on 127\.0\.0\.1, port {port}: \w+"):
            serve(ServeSettings(port=port), lambda base_url, token: None)


def test_a_file_of_another_program_is_said(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(ServeProblem, match=r"x\.db is a database of another program or version$"):
        serve(ServeSettings(db=file), lambda base_url, token: None)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ServeProblem, match=r"^serving needs more packages: pip install 'runflow-assistants\[server\]'$"):
        serve(ServeSettings(), lambda base_url, token: None)


def test_the_token_is_given_or_named_or_in_runflow_token() -> None:
    environment = {"RUNFLOW_TOKEN": "usual", "MINE": "mine"}
    assert "given" == chosen_token(environment, "MINE", "given")
    assert "mine" == chosen_token(environment, "MINE")
    assert "usual" == chosen_token(environment)
    assert None is chosen_token({})
    with pytest.raises(ServeProblem, match=r"^the variable OTHER is not set; it should hold the token$"):
        chosen_token(environment, "OTHER")


@pytest.mark.parametrize(
    ("bound", "host", "ours"),
    [
        ("0.0.0.0", "192.168.1.7:80", True),
        ("0.0.0.0", "192.168.1.7", True),
        ("0.0.0.0", "rebound.example:80", False),
        ("::1", "[::1]:80", True),
        ("::1", "[::1]", True),
        ("::1", "192.168.1.7:80", False),
        ("box.example", "box.example:80", True),
    ],
)
def test_beyond_loopback_any_address_is_ours_but_no_foreign_name(bound: str, host: str, ours: bool) -> None:
    assert ours is Guard("token", bound, 80).ours(host)


def test_the_service_in_process_loads_no_web_server() -> None:
    loaded = "[name for name in ('starlette', 'uvicorn', 'asyncio', 'httpx') if name in sys.modules]"
    program = f"import sys, json, runner.embedded.service; print(json.dumps({loaded}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert [] == json.loads(done.stdout)
