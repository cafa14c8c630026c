"""The engine as a dialogue: the request expected, the answer given, what is told of it."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import httpx
import pytest

from runner.engine import pause, play
from runner.events import AnswerReceived, AttemptEnded, AttemptStarted, CheckEnded, ImageSaved, OperationEnded, TextArrived
from runner.model import Assistant, Outcome, Role, RunOverrides, SavedValue, SeedMessage, Step, ThreadSetup, Tool
from runner.plan import Case
from tests.engine_fixtures import (
    DELETED,
    STREAM,
    Exchange,
    Pieces,
    SteadyClock,
    Talk,
    closing,
    event,
    expect,
    flow,
    listing,
    message,
    on_virtual_time,
    opening,
    page,
    played,
    polled,
    reading,
    run,
    streamed,
    target,
)

CAT = expect("contains", "cat")


# ── the sequence ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_operation_is_told_in_order_with_its_outcome() -> None:
    result = played(closing(reading(polled("completed"))), flow(Step(user="Draw a cat.", expect=(CAT,))))
    assert Outcome.PASSED == result.outcome
    assert [
        ("create_assistant", "passed"),
        ("create_thread", "passed"),
        ("add_message", "passed"),
        ("create_run", "passed"),
        ("wait", "passed"),
        ("read_answer", "passed"),
        ("delete_thread", "passed"),
        ("delete_assistant", "passed"),
    ] == result.operations
    assert [(1, "contains", "passed")] == result.verdicts
    assert [(1, "passed", "")] == result.steps
    assert [] == result.warnings


def test_an_attempt_is_told_with_its_number() -> None:
    result = played(closing(reading(polled("completed"))), flow(), attempt=2)
    assert AttemptStarted(2) == result.events[0]
    assert AttemptEnded("passed", result.seconds) == result.events[-1]


def test_a_step_of_several_texts_adds_several_messages() -> None:
    talk = opening(said="Hello.").asks("POST", "/threads/t1/messages", role="user", content="Draw a cat.")
    talk.answers(**message("Draw a cat.", "", "user", "m1")).asks("POST", "/threads/t1/runs").answers(**run("queued"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(Step(user=("Hello.", "Draw a cat."))))
    assert Outcome.PASSED == result.outcome


def test_an_existing_assistant_and_thread_are_used_and_not_deleted() -> None:
    talk = Talk().asks("POST", "/threads/t1/messages").answers(**message("Draw a cat.", "", "user", "m1"))
    talk.asks("POST", "/threads/t1/runs", assistant_id="a1", stream=False).answers(**run("queued"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(listing(reading(talk)), flow(assistant=Assistant(id="a1"), thread=ThreadSetup(id="t1")))
    assert Outcome.PASSED == result.outcome
    assert ["add_message", "create_run", "wait", "read_answer"] == [name for name, _outcome in result.operations]


def test_seeded_history_goes_with_the_new_thread() -> None:
    talk = Talk().asks("POST", "/assistants").answers(id="a1", object="assistant", model="qwen-max")
    talk.asks("POST", "/threads", messages=[{"role": "user", "content": "Draw a cat."}]).answers(id="t1", object="thread")
    talk.asks("POST", "/threads/t1/runs").answers(**run("queued"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    seeded = ThreadSetup(messages=(SeedMessage(Role.USER, "Draw a cat."),))
    assert Outcome.PASSED == played(closing(reading(talk)), flow(Step(), thread=seeded)).outcome


def test_overrides_are_sent_with_the_run() -> None:
    talk = opening().asks(
        "POST", "/threads/t1/runs", assistant_id="a1", stream=False, model="qwen-plus", tools=[{"type": "calculator"}]
    )
    talk.answers(**run("queued", model="qwen-plus", tools=[{"type": "calculator"}]))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed", model="qwen-plus"))
    step = Step(user="Draw a cat.", run=RunOverrides(model="qwen-plus", tools=(Tool("calculator"),)))
    result = played(closing(listing(reading(talk))), flow(step))
    assert (Outcome.PASSED, []) == (result.outcome, result.warnings)


def test_only_messages_of_this_run_are_its_answer() -> None:
    talk = polled("completed").asks("GET", "/threads/t1/messages")
    talk.answers(**page(message("two"), message("one"), message("old", "r0"), message("Draw a cat.", "", "user", "m1")))
    assert "one\n\ntwo" == played(closing(talk), flow()).only(AnswerReceived)[0].text


def test_without_run_ids_the_answer_is_what_is_newer_than_the_message() -> None:
    talk = polled("completed").asks("GET", "/threads/t1/messages")
    talk.answers(**page(message("new", ""), message("Draw a cat.", "", "user", "m1"), message("old", "", id="m0")))
    assert "new" == played(closing(talk), flow()).only(AnswerReceived)[0].text


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_polling_starts_after_50_ms_and_then_waits_8_percent_of_the_time_waited() -> None:
    talk = polled(*["in_progress"] * 40, "completed")
    played(closing(reading(talk)), flow())
    polls = [at for at, asked in zip(talk.times, talk.asked, strict=True) if asked == ("GET", "/threads/t1/runs/r1")]
    gaps = [later - earlier for earlier, later in pairwise(polls)]
    assert pytest.approx(0.05) == polls[0]
    assert pytest.approx([max(0.05, 0.08 * at) for at in polls[:-1]]) == gaps


@pytest.mark.parametrize(
    ("waited", "chance", "seconds"),
    [(0.0, 0.0, 0.05), (1.0, 0.0, 0.08), (1.0, 1.0, 0.064), (100.0, 0.0, 5.0), (100.0, 0.5, 4.5)],
)
def test_a_pause_is_bounded_and_shortened_at_random(waited: float, chance: float, seconds: float) -> None:
    assert pytest.approx(seconds) == pause(waited, chance)


def test_a_streamed_run_is_read_straight_after_its_last_event() -> None:
    talk = streamed(*STREAM[:3], 1.3, *STREAM[3:]).asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(Step(user="Draw a cat.", expect=(CAT,))), streaming=True)
    assert Outcome.PASSED == result.outcome
    assert ["Here is ", "your cat."] == [piece.text for piece in result.only(TextArrived)]
    assert ["queued", "in_progress", "completed"] == result.statuses
    assert pytest.approx(1.3) == talk.times[4]


def test_every_event_keeps_a_stream_alive() -> None:
    talk = (
        streamed(*STREAM[:5], 40.0, STREAM[5], 40.0, *STREAM[6:]).asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    )
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert (Outcome.PASSED, []) == (result.outcome, result.warnings)
    assert pytest.approx(80.0) == talk.times[4]


@pytest.mark.parametrize("rest", [(20.0,), (0.0015, STREAM[5]) * 20])
def test_a_stream_that_stays_open_after_the_end_delays_nothing(rest: tuple[Any, ...]) -> None:
    talk = streamed(*STREAM[:9], *rest).asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert (Outcome.PASSED, []) == (result.outcome, result.warnings)
    assert talk.times[4] <= 0.01


@pytest.mark.parametrize("cut", range(1, len(STREAM) + 1))
def test_a_stream_cut_after_any_event_gives_the_same_verdict(cut: int) -> None:
    for end in ((), (b"event:thread.run.comp",), (httpx.ReadError("reset"),)):
        talk = streamed(*STREAM[:cut], *end)
        if cut < 9:
            talk.asks("GET", "/threads/t1/runs/r1").answers(**run("in_progress"))
        talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
        result = played(closing(reading(talk)), flow(Step(user="Draw a cat.", expect=(CAT,))), streaming=True)
        assert (Outcome.PASSED, [(1, "contains", "passed")]) == (result.outcome, result.verdicts)
        assert (cut < 9) == bool(result.warnings)


@pytest.mark.parametrize(
    ("rest", "warning"),
    [
        ((), "the stream ended before the run did; the run is polled instead"),
        ((600.0,), "the stream was silent for 45 s; the run is polled instead"),
        (
            (event("thread.run.completed", "{"),),
            "the stream broke; the run is polled instead: POST /threads/t1/runs: not valid JSON",
        ),
        (
            (event("error", {"code": "InternalError", "message": "no luck", "request_id": "q7"}),),
            "the stream broke; the run is polled instead: POST /threads/t1/runs: 200 InternalError: no luck (request id q7)",
        ),
        (
            (httpx.RemoteProtocolError("peer closed connection"),),
            "the stream broke; the run is polled instead: "
            "POST /threads/t1/runs: the connection to service.test broke: peer closed connection",
        ),
        (
            (b"data:" + b"x" * 1_000_001,),
            "the stream broke; the run is polled instead: POST /threads/t1/runs: an event of the stream is longer than 1 MB",
        ),
    ],
)
def test_a_stream_that_fails_is_left_and_the_run_polled(rest: tuple[Any, ...], warning: str) -> None:
    talk = streamed(*STREAM[:3], *rest).asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert (Outcome.PASSED, [warning]) == (result.outcome, result.warnings)


def test_a_silent_stream_is_closed_before_the_run_is_polled() -> None:
    order: list[str] = []

    class Watched(Pieces):
        async def aclose(self) -> None:
            order.append("closed")

    class Watching(Talk):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            order.append(request.method)
            return await super().__call__(request)

    talk = streamed(talk=Watching()).gives(
        httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Watched([*STREAM[:3], 600.0]))
    )
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    played(closing(reading(talk)), flow(), streaming=True)
    assert ["POST", "POST", "POST", "POST", "closed", "GET", "GET", "DELETE", "DELETE"] == order


@pytest.mark.parametrize("streaming", [True, False])
def test_a_run_that_has_ended_when_it_is_made_is_read_at_once(streaming: bool) -> None:
    talk = opening().asks("POST", "/threads/t1/runs").answers(**run("completed"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=streaming)
    assert (Outcome.PASSED, [], 0.0) == (result.outcome, result.warnings, result.seconds)


def test_comments_do_not_keep_a_silent_stream_alive() -> None:
    noise = [piece for _each in range(20) for piece in (b": keep-alive\n\n", 15.0)]
    talk = streamed(*STREAM[:3], *noise).asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert pytest.approx(45.0) == talk.times[4]
    assert Outcome.PASSED == result.outcome


@pytest.mark.parametrize("lost", [(), (600.0,), (STREAM[5], 600.0), (httpx.ReadError("reset"),)])
def test_a_run_whose_stream_does_not_name_it_is_looked_up_and_polled(lost: tuple[Any, ...]) -> None:
    class Naming(Talk):
        """It lists the run with the id of ours that came with it."""

        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and request.url.path.endswith("/runs"):
                made = json.loads(self.requests[3].content)["metadata"]
                self.exchanges[0].answer = httpx.Response(200, json=page(run("in_progress", metadata=made)))
            return await super().__call__(request)

    talk = streamed(*lost, talk=Naming()).asks("GET", "/threads/t1/runs")
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert (Outcome.PASSED, 1) == (result.outcome, talk.asked.count(("POST", "/threads/t1/runs")))
    assert result.warnings[0].startswith("no good answer came, but it was done all the same: ")


def test_a_service_that_does_not_stream_is_polled() -> None:
    talk = opening().asks("POST", "/threads/t1/runs", assistant_id="a1", stream=True).answers(**run("queued"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    assert Outcome.PASSED == played(closing(reading(talk)), flow(), streaming=True).outcome


def test_an_event_alone_is_no_verdict() -> None:
    talk = (
        streamed(*STREAM).asks("GET", "/threads/t1/runs/r1").answers(**run("failed", last_error={"code": "c", "message": "m"}))
    )
    result = played(closing(talk), flow(), streaming=True)
    assert (Outcome.ERROR, "the run ended as `failed`: c: m") == (result.outcome, result.reason)


def test_the_run_that_was_streamed_must_be_the_run_that_is_read() -> None:
    talk = streamed(*STREAM).asks("GET", "/threads/t1/runs/r1").answers(**run("completed", id="r9"))
    result = played(closing(talk), flow(), streaming=True)
    assert (Outcome.ERROR, "the answer has another `id`: r9 instead of r1") == (result.outcome, result.reason)


def test_a_run_that_goes_on_after_its_last_event_is_polled_on() -> None:
    talk = streamed(*STREAM).asks("GET", "/threads/t1/runs/r1").answers(**run("in_progress"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(), streaming=True)
    assert (Outcome.PASSED, ["queued", "in_progress", "completed", "in_progress", "completed"]) == (
        result.outcome,
        result.statuses,
    )


# ── states ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
def test_a_run_that_did_not_complete_is_an_error_with_its_reason(status: str) -> None:
    talk = polled().asks("GET", "/threads/t1/runs/r1")
    talk.answers(**run(status, last_error={"code": "server_error", "message": "no luck"}, request_id="q9"))
    result = played(closing(talk), flow(Step(user="Draw a cat.", expect=(CAT,))))
    reason = f"the run ended as `{status}`: server_error: no luck (request id q9)"
    assert (Outcome.ERROR, reason) == (result.outcome, result.reason)
    assert [(1, "error", reason)] == result.steps
    assert ("wait", "error") in result.operations
    assert [] == result.verdicts


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "incomplete"])
def test_a_run_that_was_expected_to_fail_passes(status: str) -> None:
    talk = closing(reading(polled(status), text=""))
    result = played(talk, flow(Step(user="Draw a cat.", expect=(expect("status", status),))))
    assert (Outcome.PASSED, [(1, "status", "passed")]) == (result.outcome, result.verdicts)


def test_a_status_check_within_another_check_counts() -> None:
    either = expect("any", (expect("status", "failed"), expect("status", "expired")))
    talk = closing(reading(polled("expired"), text=""))
    assert Outcome.PASSED == played(talk, flow(Step(user="Draw a cat.", expect=(either,)))).outcome


def test_a_completed_run_that_should_have_failed_is_a_failure() -> None:
    result = played(closing(reading(polled("completed"))), flow(Step(user="Draw a cat.", expect=(expect("status", "failed"),))))
    assert Outcome.FAILED == result.outcome


def test_an_unknown_state_is_waited_out() -> None:
    result = played(closing(reading(polled("pondering", "completed"))), flow())
    assert (Outcome.PASSED, ["queued", "pondering", "completed"]) == (result.outcome, result.statuses)


class Forever(Talk):
    """A service whose run never ends by itself."""

    def __init__(self, status: str, cancels: bool = True) -> None:
        super().__init__(opening().exchanges)
        self.asks("POST", "/threads/t1/runs").answers(**run("queued"))
        self.status = status
        self.cancels = cancels

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if self.exchanges:
            return await super().__call__(request)
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        if path.endswith("/cancel") and self.cancels:
            self.status = "cancelled"
        return httpx.Response(200, json=DELETED if request.method == "DELETE" else run(self.status))

    @property
    def last(self) -> list[tuple[str, str]]:
        return [asked for asked in self.asked if asked[0] != "GET"][-3:]


STOPPED = [("POST", "/threads/t1/runs/r1/cancel"), ("DELETE", "/threads/t1"), ("DELETE", "/assistants/a1")]


@pytest.mark.parametrize(
    ("status", "limit", "reason"),
    [
        ("in_progress", None, "the run was still `in_progress` after 300 s"),
        ("in_progress", 20.0, "the run was still `in_progress` after 20 s"),
        ("pondering", 20.0, "the run was in the unknown state `pondering` after 20 s"),
    ],
)
def test_a_run_that_does_not_end_in_time_is_cancelled(status: str, limit: float | None, reason: str) -> None:
    talk = Forever(status)
    result = played(talk, flow(Step(user="Draw a cat.", timeout=limit)))
    assert (Outcome.ERROR, reason) == (result.outcome, result.reason)
    assert pytest.approx(limit or 300) == result.seconds
    assert STOPPED == talk.last


def test_a_cancelled_run_is_given_five_seconds_to_end() -> None:
    talk = Forever("in_progress", cancels=False)
    result = played(talk, flow(Step(user="Draw a cat.", timeout=20)))
    assert pytest.approx(25.0) == result.seconds
    assert STOPPED == talk.last


def test_the_conversation_has_a_deadline_of_its_own() -> None:
    talk = Forever("in_progress")
    result = played(talk, flow(Step(user="Draw a cat."), timeout=60.0))
    assert (Outcome.ERROR, "the conversation was not over after 60 s") == (result.outcome, result.reason)
    assert [(1, "error", "stopped before it was done")] == result.steps
    assert STOPPED == talk.last


def test_a_step_after_one_that_timed_out_runs_if_told_to_continue() -> None:
    talk = Forever("in_progress")
    first = Step(user="Draw a cat.", timeout=20, continue_=True)
    result = played(talk, flow(first, Step(user="And a dog.", skip="later")))
    assert [(1, "error", "the run was still `in_progress` after 20 s"), (2, "skipped", "later")] == result.steps


# ── Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def cancelled(talk: Talk, after: float, again: float | None = None) -> tuple[list[Any], float]:
    """Play, cancel after some seconds, and once more if told; the events and the seconds from then to the end."""

    async def go() -> tuple[list[Any], float]:
        events: list[Any] = []
        service = target(talk)
        task = asyncio.ensure_future(play(Case(flow(), "", {}), service, events.append, clock=SteadyClock(), streaming=False))
        await asyncio.sleep(after)
        task.cancel()
        if again is not None:
            await asyncio.sleep(again)
            task.cancel()
        began = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.CancelledError):
            await task
        return events, asyncio.get_running_loop().time() - began

    result: tuple[list[Any], float] = on_virtual_time(go())
    return result


def test_ctrl_c_cancels_the_run_and_deletes_what_was_made() -> None:
    talk = Forever("in_progress")
    events, seconds = cancelled(talk, 10)
    assert STOPPED == talk.last
    assert seconds <= 2
    ended = events[-1]
    assert isinstance(ended, AttemptEnded)
    assert ("error", "interrupted", ()) == (ended.outcome, ended.reason, ended.left)


def test_ctrl_c_does_not_wait_long_for_a_run_that_goes_on() -> None:
    talk = Forever("in_progress", cancels=False)
    _events, seconds = cancelled(talk, 10)
    assert seconds <= 2
    assert STOPPED == talk.last


def test_ctrl_c_while_the_assistant_is_being_made_deletes_it() -> None:
    class Slow(Talk):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0.5)
            return await super().__call__(request)

    talk = (
        Slow()
        .asks("POST", "/assistants")
        .answers(id="a1", model="qwen-max")
        .asks("DELETE", "/assistants/a1")
        .answers(**DELETED)
    )
    events, seconds = cancelled(talk, 0.2)
    assert [("POST", "/assistants"), ("DELETE", "/assistants/a1")] == talk.asked
    assert seconds <= 2
    assert () == events[-1].left


def test_ctrl_c_while_cleaning_up_does_not_leave_things_behind() -> None:
    class Slow(Talk):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                await asyncio.sleep(0.5)
            return await super().__call__(request)

    talk = closing(reading(polled("completed", talk=Slow())))
    events, seconds = cancelled(talk, 0.3)
    assert [("DELETE", "/threads/t1"), ("DELETE", "/assistants/a1")] == talk.asked[-2:]
    assert ("passed", ()) == (events[-1].outcome, events[-1].left)
    assert seconds <= 2


def test_a_second_ctrl_c_leaves_at_once_and_names_what_is_left() -> None:
    class Stuck(Forever):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                await asyncio.sleep(60)
            return await super().__call__(request)

    events, seconds = cancelled(Stuck("in_progress"), 10, again=0.5)
    assert seconds < 0.1
    assert {"a1", "t1"} == set(events[-1].left)


# ── faults at every call ─────────────────────────────────────────────────────────────────────────────────────────────

CALLS = [
    "POST /assistants",
    "POST /threads",
    "POST /threads/t1/messages",
    "POST /threads/t1/runs",
    "GET /threads/t1/runs/r1",
    "GET /threads/t1/messages",
    "GET /threads/t1/runs/r1/steps",
    "DELETE /threads/t1",
    "DELETE /assistants/a1",
]

HTML = {"Content-Type": "text/html"}


def broken() -> dict[str, tuple[Any, str]]:
    """A way to break a call, and what is said of it after the call's name."""
    error = {"code": "InternalError", "message": "no luck", "request_id": "q1"}
    throttled = {"code": "Throttling.RateQuota", "message": "slow down", "request_id": "q2"}
    refused = {"code": "InvalidApiKey", "message": "sk-tested-key-1234 is wrong", "request_id": "q3"}
    return {
        "reset": (httpx.ReadError("reset"), "the connection to service.test broke: reset"),
        "refused": (httpx.ConnectError("no route"), "no connection to service.test: no route"),
        "stall": (70.0, "no answer from service.test within 60 s"),
        "500": (httpx.Response(500, json=error), "500 InternalError: no luck (request id q1)"),
        "429": (httpx.Response(429, json=throttled), "429 Throttling.RateQuota: slow down (request id q2)"),
        "401": (
            httpx.Response(401, json=refused),
            "401 InvalidApiKey: … is wrong: check the key in TESTED_API_KEY (request id q3)",
        ),
        "html": (httpx.Response(200, headers=HTML, content=b"<p>"), "200: the answer is text/html instead of JSON"),
        "502 html": (
            httpx.Response(502, headers=HTML, content=b"<p>"),
            "502: the answer is text/html instead of an error in JSON",
        ),
        "redirect": (
            httpx.Response(302, headers={"Location": "https://evil.test/"}),
            "302: redirected to https://evil.test/, which is not followed",
        ),
        "huge": (httpx.Response(200, content=b" " * 16_000_001), "200: the answer is longer than 16 MB"),
        "bomb": (
            httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")),
            "200: the answer is packed more than once",
        ),
        "cut": (httpx.Response(200, content=b'{"id": "x'), "200: not valid JSON"),
        "list": (httpx.Response(200, json=[]), ""),
    }


POLL = "GET /threads/t1/runs/r1"
FINAL = ("401", "html", "502 html", "redirect", "huge", "bomb")
"""What no repetition helps against."""


class Failing(Talk):
    """A service at which one call always fails, and does nothing."""

    def __init__(self, call: str, answer: Any) -> None:
        super().__init__()
        self.call = call
        self.asks("ANY", "call").gives(answer)
        self.broken = self.exchanges.pop()
        self.given = {
            "POST /assistants": {"id": "a1", "object": "assistant", "model": "qwen-max", "tools": [{"type": "calculator"}]},
            "POST /threads": {"id": "t1", "object": "thread"},
            "POST /threads/t1/messages": message("Draw a cat.", "", "user", "m1"),
            "POST /threads/t1/runs": run("queued"),
            "GET /threads/t1/runs/r1": run("completed"),
            "GET /threads/t1/messages": page(message("Here is your cat.")),
            "GET /threads/t1/runs/r1/steps": page(),
            "POST /threads/t1/runs/r1/cancel": run("cancelled"),
            "DELETE /threads/t1": DELETED,
            "DELETE /assistants/a1": DELETED,
            "GET /assistants": page(),
            "GET /threads/t1/runs": page(),
        }

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        asked = f"{request.method} {path}"
        if asked == self.call and ("POST", "/threads/t1/runs/r1/cancel") not in self.asked:
            self.exchanges.append(Exchange(request.method, path, None, self.broken.answer))
            return await super().__call__(request)
        if asked == "GET /threads/t1/messages" and self.call == "POST /threads/t1/messages":
            return httpx.Response(200, json=page())
        self.exchanges.append(Exchange(request.method, path, None, httpx.Response(200, json=self.given[asked])))
        return await super().__call__(request)

    def count(self, call: str) -> int:
        """How often a call was made before the run was cancelled, if it was."""
        cancel = ("POST", "/threads/t1/runs/r1/cancel")
        before = self.asked[: self.asked.index(cancel)] if cancel in self.asked else self.asked
        return [" ".join(asked) for asked in before].count(call)


USING = Assistant(model="qwen-max", tools=(Tool("calculator"),))


@pytest.mark.parametrize("fault", broken())
@pytest.mark.parametrize("call", [call for call in CALLS if call != POLL])
def test_a_fault_that_does_not_pass_is_an_error_that_says_all(call: str, fault: str) -> None:
    answer, said = broken()[fault]
    talk = Failing(call, answer)
    result = played(talk, flow(Step(user="Draw a cat.", expect=(CAT,)), assistant=USING))
    assert Outcome.ERROR == result.outcome
    assert result.reason.startswith(f"{call}: {said}")
    assert not said or result.reason == f"{call}: {said}"
    assert [result.reason] == [ended.message for ended in result.only(OperationEnded) if ended.outcome == "error"]
    assert (1 if fault in FINAL else 8 if fault == "429" else 4) == talk.count(call)
    assert not any("sk-tested-key" in str(told) for told in result.events)
    kept = {"DELETE /threads/t1": ("t1",), "DELETE /assistants/a1": ("a1",)}
    assert kept.get(call, ()) == result.only(AttemptEnded)[0].left


@pytest.mark.parametrize("fault", broken())
def test_a_poll_that_fails_is_no_verdict_while_there_is_time_and_hope(fault: str) -> None:
    answer, said = broken()[fault]
    result = played(talk := Failing(POLL, answer), flow())
    assert Outcome.ERROR == result.outcome
    if fault == "stall":
        assert "the run was still `queued` after 300 s" == result.reason
    elif fault in (*FINAL, "429"):
        # The pauses between throttles grow until none fits in any more.
        assert (f"{POLL}: {said}", fault == "429") == (result.reason, talk.count(POLL) > 20)
    else:
        assert result.reason.startswith(f"{POLL}: {said}")
        assert result.reason.endswith("; the retry budget is used up")
        assert 1 + 500 // 14 == talk.count(POLL)


@pytest.mark.parametrize("fault", broken())
def test_a_fault_of_the_call_that_would_stream_is_an_error(fault: str) -> None:
    answer, said = broken()[fault]
    talk = Failing("POST /threads/t1/runs", answer)
    result = played(talk, flow(), streaming=True)
    assert Outcome.ERROR == result.outcome
    if fault == "stall":
        assert "create_run: the stream was silent for 45 s" == result.reason
    else:
        assert result.reason.startswith(f"POST /threads/t1/runs: {said}")
    assert ("create_run", "error") in result.operations
    assert (1 if fault in FINAL else 8 if fault == "429" else 4) == talk.count("POST /threads/t1/runs")


@pytest.mark.parametrize(
    ("place", "fields", "reason"),
    [
        (0, {"id": None, "model": "qwen-max"}, "the answer has no `id`"),
        (0, {"id": "a1", "model": "gpt-5"}, "the answer has another `model`: gpt-5 instead of qwen-max"),
        (1, {"id": ""}, "the answer has no `id`"),
        (2, {"id": "m1", "thread_id": "t9"}, "the answer has another `thread_id`: t9 instead of t1"),
        (3, {"id": {}}, "the answer has no `id`"),
        (3, run("queued", thread_id="t9"), "the answer has another `thread_id`: t9 instead of t1"),
        (3, run("queued", assistant_id="a9"), "the answer has another `assistant_id`: a9 instead of a1"),
        (4, run("completed", id="r9"), "the answer has another `id`: r9 instead of r1"),
        (4, run("completed", thread_id="t9"), "the answer has another `thread_id`: t9 instead of t1"),
    ],
)
def test_an_answer_about_something_else_is_an_error(place: int, fields: dict[str, object], reason: str) -> None:
    talk = polled("completed")
    talk.exchanges[place].answer = httpx.Response(200, json=fields)
    del talk.exchanges[place + 1 :]
    if place >= 4 or (place == 3 and fields["id"]):
        talk.asks("POST", "/threads/t1/runs/r1/cancel").answers(**run("cancelled"))
        talk.asks("GET", "/threads/t1/runs/r1").answers(**run("cancelled"))
    if place > 1:
        talk.asks("DELETE", "/threads/t1").answers(**DELETED)
    if place > 0 or fields["id"]:
        talk.asks("DELETE", "/assistants/a1").answers(**DELETED)
    result = played(talk, flow())
    assert (Outcome.ERROR, reason) == (result.outcome, result.reason)


def test_a_missing_or_differing_echo_is_a_warning() -> None:
    talk = Talk().asks("POST", "/assistants").answers(id="a1", name="Art", instructions=None)
    talk.asks("POST", "/threads").answers(id="t1", object="thread.created")
    assistant = Assistant(model="qwen-max", name="Art Maestro", instructions="Draw.", temperature=0.5)
    talk.asks("POST", "/threads/t1/messages").answers(id="m1", object="thread.message", role="user", content=[])
    talk.asks("POST", "/threads/t1/runs").answers(**run("queued", model="qwen-turbo"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow(assistant=assistant))
    assert Outcome.PASSED == result.outcome
    assert [
        "the service's assistant does not say its `object`",
        "the service's assistant does not say its `model`",
        'the service\'s assistant has another `name`: "Art" instead of "Art Maestro"',
        "the service's assistant does not say its `instructions`",
        "the service's assistant does not say its `temperature`",
        'the service\'s thread has another `object`: "thread.created" instead of "thread"',
        "the service's thread.message does not say its `content`",
    ] == result.warnings


def test_the_runs_model_differing_from_the_assistants_is_a_warning() -> None:
    talk = opening().asks("POST", "/threads/t1/runs").answers(**run("queued", model="qwen-turbo"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("completed"))
    result = played(closing(reading(talk)), flow())
    assert ["the run names the model `qwen-turbo`, the assistant `qwen-max`"] == result.warnings


def test_what_cannot_be_deleted_is_named() -> None:
    talk = reading(polled("completed"))
    for _attempt in range(4):
        talk.asks("DELETE", "/threads/t1").answers(500, code="InternalError", message="no luck")
    talk.asks("DELETE", "/assistants/a1").answers(404, code="NotFound", message="gone")
    result = played(talk, flow(Step(user="Draw a cat.", expect=(CAT,))))
    ended = result.only(AttemptEnded)[0]
    assert ("error", "DELETE /threads/t1: 500 InternalError: no luck", ("t1",)) == (ended.outcome, ended.reason, ended.left)


def test_a_deletion_that_is_denied_is_an_error() -> None:
    talk = reading(polled("completed")).asks("DELETE", "/threads/t1").answers(deleted=False)
    talk.asks("DELETE", "/assistants/a1").answers(**DELETED)
    assert "DELETE /threads/t1: 200: the service says that it was not deleted" == played(talk, flow()).reason


def test_a_failure_stays_a_failure_when_cleaning_up_fails() -> None:
    talk = reading(polled("completed"), text="A dog.").asks("DELETE", "/threads/t1").answers(400, code="Refused")
    talk.asks("DELETE", "/assistants/a1").answers(**DELETED)
    assert Outcome.FAILED == played(talk, flow(Step(user="Draw a cat.", expect=(CAT,)))).outcome


def test_a_bug_leaves_after_the_cleaning_up() -> None:
    class Wrong:
        def evaluate(self, _turn: object) -> None:
            raise ZeroDivisionError

    talk = closing(reading(polled("completed")))
    buggy = expect("contains", "cat")
    object.__setattr__(buggy, "check", Wrong())
    with pytest.raises(ZeroDivisionError):
        played(talk, flow(Step(user="Draw a cat.", expect=(buggy,))))
    assert ("DELETE", "/assistants/a1") == talk.asked[-1]


# ── verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failed_check_stands_at_its_place_in_the_file() -> None:
    dog = expect("contains", "dog", line=9)
    result = played(closing(reading(polled("completed"))), flow(Step(user="Draw a cat.", expect=(dog, CAT))))
    ended = result.only(CheckEnded)[0]
    assert (Outcome.FAILED, "failed", 9, 1) == (result.outcome, ended.outcome, ended.line, ended.column)
    assert ("the reply does not contain this text", '"dog"') == (ended.message, ended.expected)
    assert [(1, "contains", "failed"), (1, "contains", "passed")] == result.verdicts


def test_a_completed_run_that_left_nothing_is_an_error() -> None:
    result = played(closing(reading(polled("completed"), text="")), flow())
    assert (Outcome.ERROR, "the run completed but left no text, no image and no call") == (result.outcome, result.reason)


def second(talk: Talk, said: str, answer: str) -> Talk:
    """Another step of the same conversation."""
    again = {"id": "r2"}
    talk.asks("POST", "/threads/t1/messages", role="user", content=said).answers(**message(said, "", "user", "m3"))
    talk.asks("POST", "/threads/t1/runs").answers(**run("queued", **again))
    talk.asks("GET", "/threads/t1/runs/r2").answers(**run("completed", **again))
    return talk.asks("GET", "/threads/t1/messages").answers(
        **page(message(answer, "r2", id="m4"), message(said, "", "user", "m3"))
    )


def test_a_failed_step_ends_the_conversation() -> None:
    steps = (Step(user="Draw a cat.", expect=(expect("contains", "dog"),)), Step(user="Bye."))
    result = played(closing(reading(polled("completed"))), flow(*steps, expect=(CAT,)))
    assert [(1, "failed", ""), (2, "skipped", "not run: step 1 did not pass")] == result.steps


def test_a_failed_step_goes_on_when_told_and_still_counts() -> None:
    steps = (Step(user="Draw a cat.", expect=(expect("contains", "dog"),), continue_=True), Step(user="Bye.", expect=(CAT,)))
    result = played(closing(second(reading(polled("completed")), "Bye.", "Bye, cat.")), flow(*steps))
    assert (Outcome.FAILED, [(1, "failed", ""), (2, "passed", "")]) == (result.outcome, result.steps)


def test_a_failed_check_outranks_one_that_could_not_be_judged() -> None:
    step = Step(user="Draw a cat.", expect=(expect("contains", "${order}"), expect("contains", "dog")))
    result = played(closing(reading(polled("completed"))), flow(step))
    assert (Outcome.FAILED, ["error", "failed"]) == (result.outcome, [outcome for _step, _check, outcome in result.verdicts])


def test_a_run_is_cancelled_before_the_conversation_goes_on() -> None:
    talk = polled("requires_action").asks("POST", "/threads/t1/runs/r1/cancel").answers(**run("cancelled"))
    talk.asks("GET", "/threads/t1/runs/r1").answers(**run("cancelled"))
    steps = (Step(user="Draw a cat.", continue_=True), Step(user="Bye."))
    result = played(closing(second(talk, "Bye.", "Bye.")), flow(*steps))
    assert [(1, "error"), (2, "passed")] == [(step, outcome) for step, outcome, _reason in result.steps]


def test_a_skipped_step_is_left_out_with_its_reason() -> None:
    result = played(closing(reading(polled("completed"))), flow(Step(user="Hello.", skip="not yet"), Step(user="Draw a cat.")))
    assert (Outcome.PASSED, [(1, "skipped", "not yet"), (2, "passed", "")]) == (result.outcome, result.steps)


def test_a_conversation_of_skipped_steps_makes_no_call() -> None:
    result = played(Talk(), flow(Step(user="Hello.", skip="not yet"), Step(user="Bye.", skip="not yet")))
    assert (Outcome.SKIPPED, "not yet") == (result.outcome, result.reason)


def test_checks_on_the_whole_conversation_see_all_answers() -> None:
    talk = closing(second(reading(polled("completed")), "And a dog.", "Here is your dog."))
    checks = (expect("contains", ("cat", "dog")), expect("contains", "bird"))
    result = played(talk, flow(Step(user="Draw a cat."), Step(user="And a dog."), expect=checks))
    assert [(0, "contains", "passed"), (0, "contains", "failed")] == result.verdicts
    assert Outcome.FAILED == result.outcome


def test_saved_values_are_used_by_later_steps() -> None:
    talk = reading(polled("completed"), text="Your order is #1234 (a.b).")
    steps = (
        Step(user="Draw a cat.", save={"order": SavedValue(matches=r"#(\d+)"), "odd": SavedValue(matches=r"\((.+?)\)")}),
        Step(user="Where is ${order}?", expect=(expect("contains", "${order}"), expect("matches", "^${odd} x"))),
    )
    result = played(closing(second(talk, "Where is 1234?", "a.b x 1234")), flow(*steps))
    assert [(1, "passed", ""), (2, "passed", "")] == result.steps


def test_a_value_from_json_is_saved() -> None:
    talk = reading(polled("completed"), text='Sure:\n```json\n{"order": {"id": 7, "name": "Ü"}}\n```')
    steps = (
        Step(user="Draw a cat.", save={"id": SavedValue(json="$.order.id"), "name": SavedValue(json="$.order.name")}),
        Step(user="${id} ${name}"),
    )
    assert Outcome.PASSED == played(closing(second(talk, "7 Ü", "fine")), flow(*steps)).outcome


@pytest.mark.parametrize(
    ("wanted", "text", "reason"),
    [
        (SavedValue(matches=r"#(\d+)"), "no order", r"nothing to save as `order`: the reply does not match #(\d+)"),
        (SavedValue(matches="a()"), "a", "nothing to save as `order`: what was found is empty"),
        (SavedValue(json="$.id"), "no order", "nothing to save as `order`: the reply is not JSON: expecting value, line 1"),
        (SavedValue(json="id"), "{}", "nothing to save as `order`: a path begins with `$`"),
        (
            SavedValue(matches="(a|a)+$"),
            "a" * 40 + "b",
            "nothing to save as `order`: the regular expression took too long",
        ),
        (SavedValue(json="$.id"), "{}", "nothing to save as `order`: the reply has nothing at $.id"),
    ],
)
def test_a_value_that_cannot_be_saved_is_an_error(wanted: SavedValue, text: str, reason: str) -> None:
    talk = closing(reading(polled("completed"), text=text))
    result = played(talk, flow(Step(user="Draw a cat.", save={"order": wanted})))
    assert [(1, "error", reason)] == result.steps


def test_a_value_that_cannot_be_saved_again_is_not_the_old_one() -> None:
    order = {"order": SavedValue(matches=r"#(\d+)")}
    steps = (
        Step(user="Draw a cat.", save=order),
        Step(user="Bye.", save=order, continue_=True),
        Step(user="Where is ${order}?"),
    )
    talk = second(reading(polled("completed"), text="It is #1."), "Bye.", "Bye.")
    result = played(closing(talk), flow(*steps))
    assert (3, "error", "`order` has no value") == result.steps[2]


def test_a_check_whose_value_is_missing_is_an_error_and_not_a_pass() -> None:
    talk = closing(reading(polled("completed")))
    step = Step(user="Draw a cat.", expect=(expect("contains", "${animal}"), expect("contains", "${order}")))
    result = played(talk, flow(step), variables={"animal": ""})
    assert [(1, "error", "`contains`: `${animal}` became empty")] == result.steps
    assert ["`${animal}` became empty", "`order` has no value"] == [ended.message for ended in result.only(CheckEnded)]


def test_a_text_that_becomes_empty_is_an_error() -> None:
    talk = opening()
    del talk.exchanges[2:]
    result = played(closing(talk), flow(Step(user="${animal}")), variables={"animal": " "})
    assert [(1, "error", "`${animal}` became empty")] == result.steps


def test_a_sample_matters_only_where_it_is_played() -> None:
    step = Step(user="Draw a cat.", sample="${animal}")
    talk = closing(reading(polled("completed")))
    assert Outcome.PASSED == played(talk, flow(step), variables={"animal": ""}).outcome
    assert "runflow.sample" not in talk.requests[3].extensions


def test_variables_are_filled_in_for_the_service() -> None:
    talk = closing(reading(polled("completed")))
    talk.exchanges[0].body = {"model": "qwen-max", "instructions": "Draw cats."}
    talk.exchanges[0].answer = httpx.Response(
        200, json={"id": "a1", "object": "assistant", "model": "qwen-max", "instructions": "Draw cats."}
    )
    drawing = flow(Step(user="Draw a ${animal}."), assistant=Assistant(model="qwen-max", instructions="Draw ${animal}s."))
    assert Outcome.PASSED == played(talk, drawing, variables={"animal": "cat"}).outcome


# ── calls and pictures ───────────────────────────────────────────────────────────────────────────────────────────────

PAINTED = {
    "type": "text_to_image",
    "text_to_image": {
        "arguments": '{"prompt": "a cat"}',
        "output": '{"output": {"results": [{"url": "https://service.test/images/1"}]}}',
    },
}


def test_calls_and_pictures_are_found_and_saved() -> None:
    talk = reading(polled("completed"), "Look: ![cat](https://service.test/images/1)", PAINTED)
    talk.exchanges[0].body = None
    talk.exchanges.append(Talk().asks("GET", "/images/1").gives(httpx.Response(200, content=b"PNG")).exchanges[0])
    saved: list[tuple[int, int, bytes]] = []

    def save(step: int, index: int, data: bytes) -> str:
        saved.append((step, index, data))
        return "out/1-1.png"

    step = Step(user="Draw a cat.", expect=(expect("calls", "text_to_image"),))
    painter = Assistant(model="qwen-max", tools=(Tool("text_to_image"),))
    result = played(closing(talk), flow(step, assistant=painter), save_image=save)
    assert Outcome.PASSED == result.outcome
    assert [(1, 1, b"PNG")] == saved
    assert [ImageSaved(1, "https://service.test/images/1", "out/1-1.png")] == result.only(ImageSaved)
    fetch = next(request for request in talk.requests if request.url.path == "/images/1")
    assert not {"authorization", "cookie", "x-dashscope-workspace"} & set(fetch.headers)


def test_a_picture_that_cannot_be_had_or_saved_says_why() -> None:
    text = "![a](https://service.test/1.png) ![b](http://127.0.0.1/2.png) ![c](https://service.test/3.png)"
    talk = reading(polled("completed"), text)
    talk.asks("GET", "/1.png").gives(httpx.Response(403)).asks("GET", "/3.png").gives(httpx.Response(200, content=b"x"))

    def save(_step: int, _index: int, _data: bytes) -> str:
        raise OSError(28, "No space left on device")

    result = played(closing(talk), flow(), save_image=save)
    assert [
        "the server answered 403",
        "only https addresses are fetched",
        "it could not be saved: No space left on device",
    ] == [image.trouble for image in result.only(ImageSaved)]


def test_tokens_are_told_when_the_service_counts_them() -> None:
    talk = polled()
    talk.asks("GET", "/threads/t1/runs/r1").answers(
        **run("completed", usage={"input_tokens": 5, "output_tokens": 2, "total_tokens": 7})
    )
    answer = played(closing(reading(talk)), flow()).only(AnswerReceived)[0]
    assert (5, 2, 7) == (answer.input_tokens, answer.output_tokens, answer.total_tokens)
