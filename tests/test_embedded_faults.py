"""Faults on demand: how they are written, and what each does to a request, a stream or a run."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import httpx
import pytest

from runner.embedded import states
from runner.embedded.faults import CALLS, Fault, parse
from tests.embedded_fixtures import ADD, Api, served

Faulty = Callable[..., Api]


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    """Makes a service that has these faults."""
    made: list[Api] = []

    def make(*texts: str, latency: float = 0) -> Api:
        made.append(Api(latency=latency, faults=[parse(text) for text in texts]))
        return made[-1]

    yield make
    for api in made:
        api.close()


# ── how they are written ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("failed", Fault("failed")),
        ("failed:rate_limit_exceeded", Fault("failed", "rate_limit_exceeded")),
        ("incomplete@2", Fault("incomplete", first=2, last=2)),
        ("cancelled@2-4/submit_tool_outputs", Fault("cancelled", first=2, last=4, call="submit_tool_outputs")),
        ("429", Fault("429")),
        ("429:2.5@1/create_run", Fault("429", "2.5", 1, 1, "create_run")),
        (" 503:0 ", Fault("503", "0")),
        ("stall:30/read_run", Fault("stall", "30", call="read_run")),
        ("lost/create_thread", Fault("lost", call="create_thread")),
        ("cut@10-10", Fault("cut", first=10, last=10)),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert fault == parse(text)


EVERY = ", ".join(CALLS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "`` is no fault; write it like `429:2@1/create_run`"),
        ("@2", "`@2` is no fault; write it like `429:2@1/create_run`"),
        ("429@", "`429@` is no fault; write it like `429:2@1/create_run`"),
        ("429 502", "`429 502` is no fault; write it like `429:2@1/create_run`"),
        (
            "completed",
            "there is no fault `completed`; there are cancelled, completed, failed, expired, incomplete",
        ),
        ("stall", "`stall` needs its seconds; write it like `stall:30`"),
        ("stall:", "`stall` needs its seconds; write it like `stall:30`"),
        ("stall:nan", "`nan` is no number of seconds"),
        ("429:２", "`２` is no number of seconds"),
        ("429:-1", "`-1` is no number of seconds"),
        ("500:2", "`500` takes no value"),
        ("html:x", "`html` takes no value"),
        ("429/make_coffee", f"`429` cannot happen in `make_coffee`; it can in {EVERY}"),
        ("429/", f"`429` cannot happen in ``; it can in {EVERY}"),
        ("failed/read_run", "`failed` cannot happen in `read_run`; it can in create_run, submit_tool_outputs"),
        ("429@0", "`429@0` never happens; the first one is `@1`"),
        ("429@3-2", "`429@3-2` never happens; the first one is `@1`"),
    ],
)
def test_what_is_no_fault_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    kinds = "cancelled, failed, expired, incomplete, 429, 500, 502, 503, 504, stall, cut, html, lost"
    assert sentence.replace("cancelled, completed, failed, expired, incomplete", kinds) == str(caught.value)


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "refusal", "retry_after"),
    [
        ("429", (429, "Throttling.RateQuota", "too many requests, on demand"), None),
        ("429:2", (429, "Throttling.RateQuota", "too many requests, on demand"), "2"),
        ("500", (500, "InternalError", "a failure, on demand"), None),
        ("502", (502, "InternalError", "a failure behind the gateway, on demand"), None),
        ("503:0.5", (503, "ModelUnavailable", "unavailable, on demand"), "0.5"),
        ("504", (504, "RequestTimeOut", "too late, on demand"), None),
    ],
)
def test_a_request_is_refused_and_nothing_done(
    faulty: Faulty, text: str, refusal: tuple[int, str, str], retry_after: str | None
) -> None:
    api = faulty(f"{text}@1")
    assert refusal == api.refused("POST", "/assistants", json={"model": "m"})
    assert [] == api.get("/assistants")["data"]
    api = faulty(text)
    assert retry_after == api.send("GET", "/assistants").headers.get("retry-after")


def test_a_lost_answer_leaves_its_work_done(faulty: Faulty) -> None:
    api = faulty("lost@1/create_assistant", "lost@1/create_run")
    lost = (500, "InternalError", "the work is done and its answer lost, on demand")
    assert lost == api.refused("POST", "/assistants", json={"model": "m"})
    [made] = api.get("/assistants")["data"]
    thread = api.thread("Hello.")
    assert lost == api.refused("POST", f"/threads/{thread}/runs", json={"assistant_id": made["id"], "stream": True})
    assert ["completed"] == [run["status"] for run in api.get(f"/threads/{thread}/runs")["data"]]


def test_a_page_of_a_gateway_is_no_json(faulty: Faulty) -> None:
    api = faulty("html")
    answer = api.send("POST", "/assistants", json={"model": "m"})
    assert (502, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert answer.text.startswith("<!doctype html>")


def test_an_answer_comes_after_silence(faulty: Faulty) -> None:
    api = faulty("stall:30@2")
    api.assistant()
    assert [] == api.clock.slept
    api.assistant()
    assert [30] == api.clock.slept


def test_a_stream_is_silent_behind_its_first_event(faulty: Faulty) -> None:
    api = faulty("stall:50/create_run")
    events = api.events(f"/threads/{api.thread('Hello.')}/runs", assistant_id=api.assistant())
    assert ("thread.run.created", "thread.run.completed") == (events[0][0], events[-1][0])
    assert [50] == api.clock.slept


def test_a_stream_is_cut_within_an_event(faulty: Faulty) -> None:
    api = faulty("cut/create_run")
    raw = api.broken(f"/threads/{api.thread('Hello.')}/runs", assistant_id=api.assistant())
    first, second = raw.split("\n\n")
    assert first.startswith("event:thread.run.created\ndata:{") and first.endswith("}")
    assert second.startswith("event:thread.run.queued\ndata:{") and not second.endswith("}")


def test_a_body_is_shorter_than_promised(faulty: Faulty) -> None:
    api = faulty("cut@1/create_assistant")
    answer = api.send("POST", "/assistants", json={"model": "m"})
    assert 200 == answer.status_code
    assert int(answer.headers["content-length"]) == pytest.approx(2 * len(answer.content), abs=1)
    with pytest.raises(ValueError, match=r"^Unterminated string|^Expecting"):
        json.loads(answer.content)
    assert 1 == len(api.get("/assistants")["data"])


PATHS = {
    "create_assistant": ("POST", "/assistants"),
    "create_thread": ("POST", "/threads"),
    "add_message": ("POST", "/threads/t/messages"),
    "create_run": ("POST", "/threads/t/runs"),
    "read_run": ("GET", "/threads/t/runs/r"),
    "submit_tool_outputs": ("POST", "/threads/t/runs/r/submit_tool_outputs"),
    "list_messages": ("GET", "/threads/t/messages"),
    "list_steps": ("GET", "/threads/t/runs/r/steps"),
    "cancel_run": ("POST", "/threads/t/runs/r/cancel"),
    "delete_thread": ("DELETE", "/threads/t"),
    "delete_assistant": ("DELETE", "/assistants/a"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_fault_keeps_to_its_operation(faulty: Faulty, call: str) -> None:
    api = faulty(f"504/{call}")
    assert [call] == [name for name, path in PATHS.items() if api.send(*path).status_code == 504]


def test_a_thread_made_with_its_run_is_created_as_a_run(faulty: Faulty) -> None:
    api = faulty("504/create_run")
    assert 504 == api.send("POST", "/threads/runs", json={}).status_code


def test_faults_count_what_fits_them(faulty: Faulty) -> None:
    api = faulty("500@2/create_thread", "503@3-4")
    paths = ("/threads", "/threads", "/threads", "/nowhere", "/threads")
    statuses = [api.send("POST", path, json={}).status_code for path in paths]
    assert [200, 500, 503, 503, 200] == statuses


def test_pictures_are_spared(faulty: Faulty) -> None:
    api = faulty("500")
    assert 404 == api.send("GET", "http://embedded.invalid/images/x.png").status_code


@pytest.mark.parametrize("fault", ["429:1", Fault("429", "1")])
def test_one_request_may_carry_its_fault(api: Api, fault: object) -> None:
    answer = api.send("POST", "/threads", json={}, extensions={"runflow.fault": fault})
    assert (429, "1") == (answer.status_code, answer.headers["retry-after"])
    assert 200 == api.send("POST", "/threads", json={}).status_code


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

ENDS = {"failed": "failed", "expired": "expired", "incomplete": "failed", "cancelled": "cancelled"}


def ended(api: Api, thread: str, run: str) -> tuple[Any, Any, Any]:
    """The run, its only step and the message it left."""
    [step] = api.get(f"/threads/{thread}/runs/{run}/steps")["data"]
    return api.get(f"/threads/{thread}/runs/{run}"), step, api.get(f"/threads/{thread}/messages")["data"][0]


@pytest.mark.parametrize("status", ENDS)
def test_a_run_ends_as_told(faulty: Faulty, status: str) -> None:
    api = faulty(f"{status}@1")
    thread, assistant = api.thread(), api.assistant()
    run, step, message = ended(api, thread, api.ask(assistant, thread, "Hello.")["id"])
    error = {"code": "server_error", "message": f"the run ended as `{status}`, on demand"}
    assert (status, error, None) == (run["status"], run["last_error"], run["usage"])
    assert (ENDS[status], error) == (step["status"], step["last_error"])
    reason = "max_tokens" if status == "incomplete" else f"run_{status}"
    assert ("incomplete", {"reason": reason}) == (message["status"], message["incomplete_details"])
    assert "Hello! What would yo" == message["content"][0]["text"]["value"].strip()
    assert "completed" == api.ask(assistant, thread, "Hello.")["status"]


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("latency", [0, 5])
def test_a_stream_tells_that_its_run_ended_so(faulty: Faulty, status: str, latency: float) -> None:
    api = faulty(f"{status}:rate_limit_exceeded", latency=latency)
    events = api.events(f"/threads/{api.thread('Hello.')}/runs", assistant_id=api.assistant())
    name, run = events[-1]
    assert (f"thread.run.{status}", status, "rate_limit_exceeded") == (name, run["status"], run["last_error"]["code"])
    went = [data["status"] for name, data in events if data["object"] == "thread.run"]
    assert [] == [(old, new) for old, new in pairwise(went) if not states.follows(old, new)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_ends_so_after_its_outputs(faulty: Faulty, stream: bool) -> None:
    api = faulty("failed/submit_tool_outputs")
    thread = api.thread()
    run = api.ask(api.assistant(ADD), thread, "Call big_add with 3 and 4.")
    path = f"/threads/{thread}/runs/{run['id']}"
    assert "requires_action" == run["status"]
    body = {"tool_outputs": [{"output": "7"}], "stream": stream}
    assert 200 == api.send("POST", f"{path}/submit_tool_outputs", json=body).status_code
    assert ("failed", None) == tuple(api.get(path)[name] for name in ("status", "required_action"))
    assert ["failed", "completed"] == [step["status"] for step in api.get(f"{path}/steps")["data"]]


def test_a_run_that_is_refused_is_no_run(faulty: Faulty) -> None:
    api = faulty("failed@1", "429@1/create_run")
    thread, assistant = api.thread("Hello."), api.assistant()
    body = {"assistant_id": assistant}
    assert 429 == api.send("POST", f"/threads/{thread}/runs", json=body).status_code
    run = api.post(f"/threads/{thread}/runs", **body)
    assert "failed" == api.get(f"/threads/{thread}/runs/{run['id']}")["status"]


def test_one_run_may_carry_its_end(api: Api) -> None:
    thread, assistant = api.thread("Hello."), api.assistant()
    asked: Mapping[str, Any] = {"json": {"assistant_id": assistant}, "extensions": {"runflow.fault": "expired"}}
    run = api.send("POST", f"/threads/{thread}/runs", **asked).json()["id"]
    assert "expired" == api.get(f"/threads/{thread}/runs/{run}")["status"]
    assert "completed" == api.ask(assistant, thread, "Hello.")["status"]


# ── over HTTP, where a body can really end too early ─────────────────────────────────────────────────────────────────


def test_a_served_body_ends_before_its_promised_length() -> None:
    with served("--fault", "cut@1/create_thread") as server, httpx.Client(trust_env=False, headers=server.headers) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{server.base_url}/threads", json={})
        assert 200 == client.post(f"{server.base_url}/threads", json={}).status_code


def test_a_served_stream_ends_within_an_event() -> None:
    with served("--fault", "cut/create_run") as server, httpx.Client(trust_env=False, headers=server.headers) as client:
        assistant = client.post(f"{server.base_url}/assistants", json={"model": "m"}).json()["id"]
        thread = {"messages": [{"role": "user", "content": "Hello."}]}
        body = {"assistant_id": assistant, "thread": thread, "stream": True}
        with client.stream("POST", f"{server.base_url}/threads/runs", json=body) as answer:
            pieces = answer.iter_text()
            assert next(pieces).startswith("event:thread.created\ndata:{")
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                assert not "".join(pieces).endswith("\n\n")


def test_a_served_page_of_a_gateway_is_html() -> None:
    with served("--fault", "html@1") as server, httpx.Client(trust_env=False, headers=server.headers) as client:
        page = client.get(f"{server.base_url}/assistants")
        assert (502, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
        assert 200 == client.get(f"{server.base_url}/assistants").status_code
