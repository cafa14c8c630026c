"""Many cases on one loop, against the embedded service itself; and what a signal leaves behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner import suite
from runner.embedded.service import Request, Service
from runner.engine import play
from runner.events import (
    AttemptEnded,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    RunStatusChanged,
    SuiteEnded,
    SuiteStarted,
)
from runner.model import (
    Asks,
    Assistant,
    ByPython,
    Expectation,
    Flow,
    Function,
    Outcome,
    PythonFunction,
    Returns,
    Sample,
    SampleCall,
    Step,
    Tool,
    Verdict,
)
from runner.plan import Case
from runner.suite import Job, Suite
from runner.targets import Connection, ConnectionProblem
from runner.targets.embedded import Embedded
from runner.transport.embedded import EmbeddedTransport
from tests.engine_fixtures import DELETED, expect, flow, message, on_virtual_time, page, run

CONNECTION = Connection("embedded", Embedded.default_base_url, "for tests")
PAINTER = Assistant(model="qwen-max", tools=(Tool("text_to_image"),))


class LoopTime:
    """The service's clock on the loop of the test."""

    def now(self) -> float:
        return 1_795_439_621 + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class KeptOpen(EmbeddedTransport):
    """The service outlives the target, so that it can be asked what it still holds."""

    async def aclose(self) -> None:
        pass


Serving = Callable[..., Service]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Makes services that outlive their targets, so that what is left in them can be seen."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Service:
            service = Service(**settings)
            stack.callback(service.close)
            return service

        yield make


def held(service: Service) -> list[object]:
    async def ask() -> list[object]:
        answered = await service.respond(Request("GET", "/api/v1/assistants"))
        assert isinstance(answered.body, bytes)
        data: list[object] = json.loads(answered.body)["data"]
        return data

    return asyncio.run(ask())


def embedded(service: Service) -> Embedded:
    return Embedded(KeptOpen(service), CONNECTION)


# ── the embedded service ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streaming", [True, False])
def test_a_conversation_with_the_embedded_service(streaming: bool, serving: Serving) -> None:
    service = serving(clock=LoopTime(), latency=1.3)
    events: list[Event] = []
    picture = Step(
        user="Draw a picture of a ragdoll cat.",
        expect=(expect("calls", "text_to_image"), expect("image"), expect("contains", "cat")),
    )
    sampled = Step(user="And its name?", sample="It is called ${name}.", expect=(expect("contains", "${name}"),))
    case = Case(flow(picture, sampled, assistant=PAINTER), "", {"name": "Tama"})

    async def go() -> Outcome:
        return await play(case, embedded(service), events.append, save_image=lambda *_given: "1.png", streaming=streaming)

    assert Outcome.PASSED == on_virtual_time(go())
    assert ["passed"] * 4 == [str(ended.outcome) for ended in events if isinstance(ended, CheckEnded)]
    assert ["1.png"] == [saved.path for saved in events if isinstance(saved, ImageSaved)]
    waits = [ended.seconds for ended in events if isinstance(ended, OperationEnded) and ended.operation == "wait"]
    assert all(seconds <= 1.31 if streaming else seconds <= 1.42 for seconds in waits)
    assert [] == held(service)


# ── the suite ────────────────────────────────────────────────────────────────────────────────────────────────────────


def numbered(*cases: Case) -> list[Job]:
    return [Job(number, case, CONNECTION) for number, case in enumerate(cases, 1)]


def test_envelopes_are_numbered_by_case_and_dated() -> None:
    told: list[Envelope] = []
    cases = [Case(flow(Step(user="Hello.")), "", {}), Case(flow(Step(user="Bye.")), "two", {})]
    suite.run(numbered(*cases), told.append, environment={}, wall=lambda: 7.0)
    assert [SuiteStarted, SuiteEnded] == [type(each.event) for each in told if each.case == 0]
    started = told[0].event
    assert isinstance(started, SuiteStarted)
    assert ("embedded", "for tests", 2, True) == (started.target, started.reason, started.cases, started.simulated)
    assert 0 == last(told).signal
    for number in (0, 1, 2):
        mine = [each for each in told if each.case == number]
        assert list(range(1, len(mine) + 1)) == [each.sequence for each in mine]
    assert {7.0} == {each.time for each in told}
    assert ["", "two"] == [each.event.label for each in told if isinstance(each.event, CaseStarted)]
    assert [Outcome.PASSED] * 2 == [each.event.outcome for each in told if isinstance(each.event, CaseEnded)]


def test_pictures_are_saved_under_the_name_of_the_case() -> None:
    told: list[Envelope] = []
    saved: list[tuple[str, int, int]] = []

    def save(name: str, step: int, index: int, _data: bytes) -> str:
        saved.append((name, step, index))
        return "x.png"

    case = Case(flow(Step(user="Draw a cat."), assistant=PAINTER), "row 1", {})
    suite.run(numbered(case), told.append, environment={}, save_picture=save)
    assert [("paint-row-1", 1, 1)] == saved


def test_nothing_is_told_when_the_connection_must_not_be_made() -> None:
    told: list[Envelope] = []
    remote = Connection("dashscope", "https://dashscope.aliyuncs.com/api/v1", "")
    jobs = [*numbered(Case(flow(), "", {})), Job(2, Case(flow(), "", {}), remote)]
    with pytest.raises(ConnectionProblem):
        suite.run(jobs, told.append, environment={})
    assert [] == told


def test_a_trace_receives_every_call() -> None:
    lines: list[str] = []
    case = Case(flow(Step(user="Hello.")), "", {})
    suite.run(numbered(case), lambda _envelope: None, environment={}, trace=lines.append)
    assert [
        "POST …/assistants",
        "POST …/threads",
        "POST …/threads/ID/messages",
        "POST …/threads/ID/runs",
        "GET …/threads/ID/runs/ID",
        "GET …/threads/ID/messages?order=desc",
        "GET …/threads/ID/runs/ID/steps?order=desc",
        "DELETE …/threads/ID",
        "DELETE …/assistants/ID",
    ] == [plain(line) for line in lines if not line.startswith("  ")]


def plain(line: str) -> str:
    import re

    call = line.partition(": ")[0].replace("http://embedded.invalid/api/v1", "…")
    return re.sub(r"/\w+_[0-9a-f-]{36}", "/ID", call)


def last(told: list[Envelope]) -> SuiteEnded:
    assert isinstance(told[-1].event, SuiteEnded)
    return told[-1].event


def played(service: Service, hear: Callable[[Envelope], None], *cases: Case, **more: Any) -> list[Envelope]:
    told: list[Envelope] = []

    def emit(envelope: Envelope) -> None:
        told.append(envelope)
        hear(envelope)

    every = cases or [Case(flow(Step(user="Hello.")), "", {}) for _each in range(2)]
    playing = Suite(numbered(*every), emit, lambda _connection: embedded(service), [CONNECTION], wall=lambda: 0.0, **more)
    asyncio.run(playing.play())
    return told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_case_deletes_what_was_made_and_starts_no_other(number: signal.Signals, serving: Serving) -> None:
    service = serving(latency=600)
    before = signal.getsignal(number)

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, OperationStarted) and envelope.event.operation == "wait":
            os.kill(os.getpid(), number)

    told = played(service, hear)
    assert number == last(told).signal
    assert [("error", "interrupted", ())] == [
        (each.event.outcome, each.event.reason, each.event.left) for each in told if isinstance(each.event, AttemptEnded)
    ]
    assert {"interrupted"} == {each.event.reason for each in told if isinstance(each.event, CaseEnded)}
    assert [(1, "error"), (2, "not_run")] == [
        (each.case, each.event.outcome) for each in told if isinstance(each.event, CaseEnded)
    ]
    assert ["cancel_run", "delete_thread", "delete_assistant"] == [
        each.event.operation for each in told if isinstance(each.event, OperationEnded)
    ][-3:]
    assert [] == held(service)
    assert before == signal.getsignal(number)


def test_a_second_signal_leaves_at_once_and_names_what_is_left(serving: Serving) -> None:
    service = serving(latency=600)

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, OperationStarted) and envelope.event.operation in ("wait", "cancel_run"):
            os.kill(os.getpid(), signal.SIGINT)

    told = played(service, hear)
    (ended,) = [each.event for each in told if isinstance(each.event, AttemptEnded)]
    assert 2 == len(ended.left)
    assert 2 == last(told).signal


def test_a_bug_surfaces_after_the_suite_has_ended(serving: Serving) -> None:
    service = serving()
    told: list[Envelope] = []

    def hear(envelope: Envelope) -> None:
        told.append(envelope)
        if isinstance(envelope.event, RunStatusChanged):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        played(service, hear)
    assert last(told).seconds > 0
    assert [("error", "a bug in runflow"), ("not_run", "a bug in runflow")] == [
        (each.event.outcome, each.event.reason) for each in told if isinstance(each.event, CaseEnded)
    ]
    assert [] == held(service)


def test_reporters_that_keep_failing_do_not_keep_us_from_cleaning_up(serving: Serving) -> None:
    service = serving()

    def hear(envelope: Envelope) -> None:
        if envelope.sequence > 10:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        played(service, hear)
    assert [] == held(service)


# ── functions and code of the author's ───────────────────────────────────────────────────────────────────────────────

HANGING = """
import pathlib, time

def get_order(order_id):
    pathlib.Path(__file__).with_name("called").write_text(order_id)
    time.sleep(600)

def judge(answer):
    pathlib.Path(__file__).with_name("judged").write_text(answer.text)
"""


def order(folder: Path, *checks: Expectation, answer: Any = None) -> Flow:
    (folder / "tools.py").write_text(HANGING)
    asked = Function("get_order", {"type": "object", "properties": {"order_id": {"type": "string"}}}, answer or Asks())
    sample = Sample("Shipped.", ((SampleCall("get_order", {"order_id": "1234"}),),))
    step = Step(user="Where is order 1234?", sample=sample, expect=checks)
    return flow(
        step, assistant=Assistant(model="qwen-max", tools=(Tool("function", function=asked),)), path=folder / "order.yaml"
    )


def outcomes(given: Flow, **more: Any) -> list[tuple[str, str]]:
    told: list[Envelope] = []
    suite.run(numbered(Case(given, "", {})), told.append, environment={}, **more)
    return [(each.event.outcome, each.event.reason) for each in told if isinstance(each.event, CaseEnded)]


def test_a_person_at_the_terminal_is_asked(tmp_path: Path) -> None:
    questions: list[tuple[str, str, str]] = []

    async def ask(name: str, arguments: str, question: str) -> str:
        questions.append((name, arguments, question))
        return "shipped"

    assert [("passed", "")] == outcomes(order(tmp_path, answer=Asks("Which state?")), ask=ask)
    assert [("get_order", '{"order_id": "1234"}', "Which state?")] == questions


def test_code_of_a_flow_runs_only_when_it_is_trusted(tmp_path: Path) -> None:
    judge = expect("python", PythonFunction("tools.py", "judge"))
    given = order(tmp_path, judge, answer=Returns("shipped"))
    ((outcome, reason),) = outcomes(given)
    assert "error" == outcome
    assert "`python`: it runs code of the flow's folder, which is not permitted" in reason
    assert [("error", reason)] == outcomes(given, trusted=lambda _flow: False)
    assert not (tmp_path / "judged").exists()
    assert [("passed", "")] == outcomes(given, trusted=lambda flow: flow is given)
    assert "Shipped." == (tmp_path / "judged").read_text()


def test_a_function_in_python_is_called_only_when_the_flow_is_trusted(tmp_path: Path) -> None:
    ((outcome, reason),) = outcomes(order(tmp_path, answer=ByPython(PythonFunction("tools.py", "get_order"))))
    assert ("error", True) == (outcome, "runflow trust" in reason)
    assert not (tmp_path / "called").exists()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_ctrl_c_ends_a_function_that_hangs_and_leaves_nothing(tmp_path: Path, serving: Serving) -> None:
    service = serving()
    given = order(tmp_path, answer=ByPython(PythonFunction("tools.py", "get_order")))

    def interrupt() -> None:
        while not (tmp_path / "called").exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watching = threading.Thread(target=interrupt)
    watching.start()
    told = played(service, lambda _envelope: None, Case(given, "", {}), trusted=lambda _flow: True)
    watching.join()
    assert signal.SIGINT == last(told).signal
    assert ["interrupted"] == [each.event.reason for each in told if isinstance(each.event, CaseEnded)]
    assert [("get_order", "stopped before it was done")] == [
        (each.event.name, each.event.trouble) for each in told if isinstance(each.event, FunctionAnswered)
    ]
    assert [] == held(service)


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_ctrl_c_waits_for_no_check(serving: Serving) -> None:
    service, release, over = serving(), threading.Event(), []

    class Endless:
        name = "endless"
        blocks = True

        def evaluate(self, _turn: object) -> Verdict:
            os.kill(os.getpid(), signal.SIGINT)
            release.wait(60)
            over.append("over")
            return Verdict(Outcome.PASSED)

    endless = expect("contains", "x")
    object.__setattr__(endless, "check", Endless())
    told = played(service, lambda _envelope: None, Case(flow(Step(user="Hello.", expect=(endless,))), "", {}))
    assert ([], signal.SIGINT) == (over, last(told).signal)
    assert [] == held(service)
    release.set()


# ── the command itself ───────────────────────────────────────────────────────────────────────────────────────────────


class Slow(BaseHTTPRequestHandler):
    """A service on a port of this machine whose run goes on until it is cancelled."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    running: threading.Event
    status: str

    def do_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix("/api/v1").partition("?")[0]
        kind = type(self)
        kind.asked.append(f"{self.command} {path}")
        if path.endswith("/cancel"):
            kind.status = "cancelled"
        answers: dict[str, Any] = {
            "POST /assistants": {"id": "a1", "object": "assistant", "model": "qwen-max"},
            "POST /threads": {"id": "t1", "object": "thread"},
            "POST /threads/t1/messages": message("Hello.", "", "user", "m1"),
            "GET /threads/t1/messages": page(),
        }
        known = answers.get(f"{self.command} {path}", DELETED if self.command == "DELETE" else run(kind.status))
        data = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if self.command == "GET":
            kind.running.set()

    do_GET = do_POST = do_DELETE = do_any

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[tuple[type[Slow], str]]:
    kind = type("Slowly", (Slow,), {"asked": [], "running": threading.Event(), "status": "in_progress"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}/api/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_command_with_nothing_left(
    tmp_path: Path, slow: tuple[type[Slow], str], number: signal.Signals, code: int
) -> None:
    kind, base_url = slow
    (tmp_path / "hello.yaml").write_text("assistant: {model: qwen-max}\nsteps:\n  - user: Hello.\n    expect: hi\n")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "runner",
            "hello.yaml",
            "--target",
            "dashscope",
            "--base-url",
            base_url,
            "--json",
            "report.json",
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DASHSCOPE_API_KEY": "sk-tested-key-1234"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert kind.running.wait(30)
    process.send_signal(number)
    output, _nothing = process.communicate(timeout=30)
    assert code == process.returncode, output.decode()
    assert ["POST /threads/t1/runs/r1/cancel", "DELETE /threads/t1", "DELETE /assistants/a1"] == [
        asked for asked in kind.asked if not asked.startswith("GET")
    ][-3:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (number, code) == (report["signal"], report["exit_code"])
    assert b"Traceback" not in output
    assert b"sk-tested-key" not in output
