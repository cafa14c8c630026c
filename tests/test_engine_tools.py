"""Conversations that use tools, as dialogues: what is answered, what is handed in, and that no call is answered twice."""

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import httpx
import pytest

from runner.embedded import objects as stored
from runner.embedded.faults import parse
from runner.embedded.service import Service
from runner.engine import play
from runner.events import AnswerReceived, Called, Event, FunctionAnswered, Retried, TextArrived
from runner.forms import Scalar
from runner.model import (
    Asks,
    Assistant,
    Expectation,
    Fails,
    Flow,
    Function,
    Outcome,
    Replies,
    Reply,
    Returns,
    RunOverrides,
    Sample,
    SampleCall,
    SavedValue,
    Step,
    ThreadSetup,
    Tool,
    ToolCall,
    Turn,
    Verdict,
)
from runner.plan import Case
from runner.targets import Capabilities, Connection
from runner.targets.assistant_api import AssistantApi
from runner.targets.embedded import Embedded
from runner.transport.embedded import BASE_URL, EmbeddedTransport
from runner.wire.assistant_api import decode_step
from tests.engine_fixtures import (
    Piece,
    Pieces,
    Played,
    SteadyClock,
    Talk,
    closing,
    event,
    expect,
    flow,
    message,
    on_virtual_time,
    page,
    played,
    run,
    target,
)

ORDER: Mapping[str, object] = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
    "additionalProperties": False,
}


def function(name: str = "get_order", answer: Any = None, parameters: Mapping[str, object] = ORDER) -> Tool:
    return Tool("function", "Look up one order", function=Function(name, parameters, answer or Asks()))


def call(id: str = "c1", name: str = "get_order", arguments: str = '{"order_id": "1234"}') -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answered_call(output: str | None, id: str = "c1", name: str = "get_order") -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": '{"order_id": "1234"}', "output": output}}


def action(*calls: object, **more: object) -> dict[str, object]:
    asked = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(calls or [call()])}}
    return run("requires_action", required_action=asked) | more


@dataclass
class Counting:
    """The person at the terminal, who counts how often each question comes and never says the same twice."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, name: str, arguments: str, question: str) -> str:
        self.calls.append((name, arguments))
        return f"answer {len(self.calls)}"


RUN = "/threads/t1/runs/r1"
SUBMIT = f"{RUN}/submit_tool_outputs"


def asking(*calls: object, stream: bool = False, said: str = "Where is it?") -> Talk:
    """A conversation with an existing assistant in an existing thread, up to the action."""
    talk = Talk().asks("POST", "/threads/t1/messages", role="user", content=said).answers(**message(said, "", "user", "m1"))
    talk.asks("POST", "/threads/t1/runs", assistant_id="a1", stream=stream)
    if stream:
        talk.streams(*opened(*calls))
    else:
        talk.answers(**run("queued"))
    return talk.asks("GET", RUN).answers(**action(*calls))


def opened(*calls: object) -> list[bytes]:
    return [
        event("thread.run.created", run("queued")),
        event("thread.run.in_progress", run("in_progress")),
        event("thread.run.step.delta", {"delta": {"step_details": {"type": "tool_calls", "tool_calls": []}}}),
        event("thread.run.requires_action", action(*calls)),
        event("done", "[DONE]"),
    ]


RESUMED = (
    event("thread.run.step.completed", {"id": "s1", "status": "in_progress"}),
    event("thread.run.queued", run("queued")),
    event("thread.run.in_progress", run("in_progress")),
    event("thread.message.delta", {"delta": {"content": [{"type": "text", "text": {"value": "It is "}}]}}),
    event("thread.message.delta", {"delta": {"content": [{"type": "text", "text": {"value": "on its way."}}]}}),
    event("thread.run.completed", run("completed")),
    event("done", "[DONE]"),
)


def outputs(*told: str, stream: bool = False, ids: tuple[str, ...] = ("c1", "c2")) -> dict[str, Any]:
    pairs = zip(ids, told, strict=False)
    return {"tool_outputs": [{"tool_call_id": id, "output": output} for id, output in pairs], "stream": stream}


def handed_in(talk: Talk, *told: str, ids: tuple[str, ...] = ("c1", "c2"), stream: bool = False) -> Talk:
    talk.asks("POST", SUBMIT, **outputs(*told, stream=stream, ids=ids))
    return talk.streams(*RESUMED) if stream else talk.answers(**action() | {"status": "in_progress"})


def ended(talk: Talk, *calls: object, text: str = "It is on its way.") -> Talk:
    """The run completes, and its answer is read."""
    steps = [{"id": "s1", "type": "tool_calls", "step_details": {"type": "tool_calls", "tool_calls": list(calls)}}]
    talk.asks("GET", RUN).answers(**run("completed"))
    talk.asks("GET", "/threads/t1/messages").answers(**page(message(text), message("Where is it?", "", "user", "m1")))
    return talk.asks("GET", f"{RUN}/steps").answers(**page(*(steps if calls else [])))


def cancelled(talk: Talk) -> Talk:
    talk.asks("POST", f"{RUN}/cancel").answers(**run("cancelled"))
    return talk.asks("GET", RUN).answers(**run("cancelled"))


def with_tools(*tools: Tool, **more: Any) -> Flow:
    step = Step(user="Where is it?", **more)
    return flow(step, assistant=Assistant(id="a1", tools=tools or (function(),)), thread=ThreadSetup(id="t1"))


def asked_once(talk: Talk, given: Flow | None = None, *, streaming: bool = False, **more: Any) -> tuple[Played, Counting]:
    counting = Counting()
    return played(talk, given or with_tools(), streaming=streaming, ask=counting, **more), counting


# ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_polled_call_is_answered_and_told() -> None:
    talk = ended(handed_in(asking(), "answer 1"), answered_call("answer 1"))
    result, counting = asked_once(talk)
    assert Outcome.PASSED == result.outcome
    assert [
        ("add_message", "passed"),
        ("create_run", "passed"),
        ("wait", "passed"),
        ("submit_tool_outputs", "passed"),
        ("wait", "passed"),
        ("read_answer", "passed"),
    ] == result.operations
    assert [("get_order", '{"order_id": "1234"}')] == counting.calls
    assert [FunctionAnswered(1, "c1", "get_order", '{"order_id": "1234"}', "answer 1", "ask", 0.0)] == result.only(
        FunctionAnswered
    )
    assert (Called("get_order", '{"order_id": "1234"}', "answer 1"),) == result.only(AnswerReceived)[0].calls
    assert ["queued", "requires_action", "in_progress", "completed"] == result.statuses
    assert [] == result.warnings


def test_a_streamed_call_is_answered_into_a_new_stream() -> None:
    talk = ended(handed_in(asking(stream=True), "answer 1", stream=True), answered_call("answer 1"))
    result, _counting = asked_once(talk, streaming=True)
    assert (Outcome.PASSED, []) == (result.outcome, result.warnings)
    assert ["It is ", "on its way."] == [piece.text for piece in result.only(TextArrived)]
    assert ["queued", "in_progress", "requires_action", "queued", "in_progress", "completed"] == result.statuses


def test_a_function_goes_with_the_assistant_and_its_answer_does_not() -> None:
    tool = {"type": "function", "function": {"name": "get_order", "description": "Look up one order", "parameters": ORDER}}
    talk = Talk().asks("POST", "/assistants", model="qwen-max", tools=[tool])
    talk.answers(id="a1", object="assistant", model="qwen-max", tools=[tool]).asks("POST", "/threads").answers(
        id="t1", object="thread"
    )
    talk.exchanges += asking().exchanges
    talk = closing(ended(handed_in(talk, "from 7"), answered_call("from 7")))
    shop = Assistant(model="qwen-max", tools=(function(answer=Returns("from ${order}")),))
    result = played(talk, flow(Step(user="Where is it?"), assistant=shop), variables={"order": "7"})
    assert (Outcome.PASSED, []) == (result.outcome, result.warnings)


def test_an_answer_may_use_what_an_earlier_step_saved() -> None:
    talk = ended(handed_in(asking(), "order none"), answered_call("order none"), text="Order #77.")
    later = ended(handed_in(asking(call("c2"), said="And now?"), "order 77", ids=("c2",)), answered_call("order 77", "c2"))
    talk.exchanges += later.exchanges
    steps = (Step(user="Where is it?", save={"order": SavedValue(matches=r"#(\d+)")}), Step(user="And now?"))
    tools = (function(answer=Returns("order ${order}")),)
    given = flow(*steps, assistant=Assistant(id="a1", tools=tools), thread=ThreadSetup(id="t1"))
    result = played(talk, given, variables={"order": "none"})
    assert [(1, "passed", ""), (2, "passed", "")] == result.steps


def test_an_answer_whose_value_is_not_known_yet_keeps_no_assistant_from_being_made() -> None:
    talk = Talk().asks("POST", "/assistants").answers(id="a1", object="assistant", model="qwen-max", tools=[])
    talk.asks("POST", "/threads").answers(id="t1", object="thread")
    talk.exchanges += asking().exchanges
    closing(cancelled(talk))
    shop = Assistant(model="qwen-max", tools=(function(answer=Returns("order ${order}")),))
    result = played(talk, flow(Step(user="Where is it?"), assistant=shop))
    assert [(1, "error", "`order` has no value")] == result.steps


# ── several ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streaming", [False, True])
def test_several_calls_of_one_action_are_answered_in_order_and_together(streaming: bool) -> None:
    calls = (call("c1"), call("c2", "cancel_order"))
    talk = handed_in(asking(*calls, stream=streaming), "answer 1", '{"error": "already shipped"}', stream=streaming)
    ended(talk, answered_call("answer 1"), answered_call('{"error": "already shipped"}', "c2", "cancel_order"))
    tools = (function(), function("cancel_order", Fails("already shipped")))
    result, _counting = asked_once(talk, with_tools(*tools), streaming=streaming)
    assert Outcome.PASSED == result.outcome
    assert [("c1", "ask"), ("c2", "fails")] == [(told.call, told.by) for told in result.only(FunctionAnswered)]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("ids", [True, False])
def test_sixteen_rounds_are_answered_and_no_more(streaming: bool, ids: bool) -> None:
    def asked(number: int) -> object:
        return call(f"c{number}" if ids else "", arguments=json.dumps({"order_id": str(number)}))

    for rounds in (16, 17):
        talk = asking(asked(1), stream=streaming)
        for number in range(1, 17):
            talk.asks("POST", SUBMIT, **outputs(f"answer {number}", stream=streaming, ids=(f"c{number}" if ids else "",)))
            if streaming:
                talk.streams(*opened(asked(number + 1)) if number < rounds else RESUMED)
            else:
                talk.answers(**run("in_progress"))
            if number < rounds:
                talk.asks("GET", RUN).answers(**action(asked(number + 1)))
        if rounds == 16:
            result, counting = asked_once(ended(talk), streaming=streaming)
            assert (Outcome.PASSED, []) == (result.outcome, result.warnings)
            assert 16 == len(result.only(AnswerReceived)[0].calls)
        else:
            result, counting = asked_once(cancelled(talk), streaming=streaming)
            assert [(1, "error", "the run asked for answers more than 16 times")] == result.steps
        assert 16 == len(counting.calls)


def test_a_run_that_asks_for_nothing_is_an_error() -> None:
    talk = asking()
    talk.exchanges[-1].answer = httpx.Response(200, json=run("requires_action", required_action=None))
    result, _counting = asked_once(cancelled(talk))
    assert "the run asks for an answer, but names no call" == result.reason


# ── what goes wrong with an answer ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("arguments", ["{}", '{"order_id": 7}', '{"order_id": "7", "x": 1}', "{", "[]", ""])
def test_arguments_that_do_not_fit_go_back_to_the_model(arguments: str) -> None:
    talk = asking(call(arguments=arguments)).asks("POST", SUBMIT).answers(**run("in_progress"))
    result, counting = asked_once(ended(talk, answered_call(None)))
    assert (Outcome.PASSED, []) == (result.outcome, counting.calls)
    (told,) = result.only(FunctionAnswered)
    sent = json.loads(talk.requests[3].content)["tool_outputs"][0]["output"]
    assert ("parameters", sent) == (told.by, told.output)
    assert {"error"} == json.loads(sent).keys()
    assert told.trouble.startswith("`get_order` was called with arguments that do not fit: ")
    assert told.trouble == result.only(AnswerReceived)[0].calls[0].trouble


def test_a_call_nobody_answers_is_an_error_and_loses_nothing() -> None:
    tools = (function(), function("cancel_order", Replies((Reply(when={"order_id": "9"}, returns="x"),))))
    result, _counting = asked_once(cancelled(asking(call("c1"), call("c2", "cancel_order"))), with_tools(*tools))
    reason = '`cancel_order` gave no answer: none of its `replies` that are left fits the arguments {"order_id": "1234"}'
    assert [(1, "error", reason)] == result.steps
    assert [("c1", "answer 1", "ask", ""), ("c2", "", "", reason)] == [
        (told.call, told.output, told.by, told.trouble) for told in result.only(FunctionAnswered)
    ]


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ((), "the assistant called `get_order`, which is none of the flow's functions"),
        ((function("getOrder"),), "the assistant called `get_order`, which is none of the flow's functions"),
        ((Tool("get_order"),), "the assistant called `get_order`, which is none of the flow's functions"),
    ],
)
def test_a_function_that_is_not_the_flows_is_an_error(tools: tuple[Tool, ...], reason: str) -> None:
    given = flow(Step(user="Where is it?"), assistant=Assistant(id="a1", tools=tools), thread=ThreadSetup(id="t1"))
    result, counting = asked_once(cancelled(asking()), given)
    assert (Outcome.ERROR, reason, []) == (result.outcome, result.reason, counting.calls)


def test_the_tools_of_a_run_take_the_place_of_the_assistants() -> None:
    other = function(answer=Returns({"status": "lost"}))
    talk = Talk().asks("POST", "/threads/t1/messages").answers(**message("Where is it?", "", "user", "m1"))
    talk.asks("POST", "/threads/t1/runs").answers(**run("queued")).asks("GET", RUN).answers(**action())
    handed_in(talk, '{"status": "lost"}')
    result, counting = asked_once(ended(talk), with_tools(run=RunOverrides(tools=(other,))))
    assert (Outcome.PASSED, []) == (result.outcome, counting.calls)
    assert [{"name": "get_order", "description": "Look up one order", "parameters": ORDER}] == [
        tool["function"] for tool in json.loads(talk.requests[1].content)["tools"]
    ]


def test_without_the_functions_of_a_run_the_assistants_are_not_answered() -> None:
    talk = Talk().asks("POST", "/threads/t1/messages").answers(**message("Where is it?", "", "user", "m1"))
    talk.asks("POST", "/threads/t1/runs").answers(**run("queued")).asks("GET", RUN).answers(**action())
    result, counting = asked_once(cancelled(talk), with_tools(run=RunOverrides(tools=())))
    assert ([], Outcome.ERROR) == (counting.calls, result.outcome)


# ── each call is answered once ───────────────────────────────────────────────────────────────────────────────────────

HTML = {"Content-Type": "text/html"}
PATIENT = {"Content-Type": "application/json", "Retry-After": "2"}


def broken() -> dict[str, Any]:
    """Ways to break the submission that may pass by themselves."""
    throttled = {"code": "Throttling.RateQuota", "message": "slow down"}
    return {
        "no answer": httpx.ReadError("reset"),
        "refused": httpx.ConnectError("no route"),
        "stall": 70.0,
        "408": httpx.Response(408, json={}),
        "425": httpx.Response(425, json={}),
        "429": httpx.Response(429, json=throttled),
        "429 with a wish": httpx.Response(429, json=throttled, headers=PATIENT),
        "500": httpx.Response(500, json={"code": "InternalError", "message": "no luck"}),
        "502": httpx.Response(502, headers={"Content-Type": "text/plain"}, content=b"Bad Gateway"),
        "503": httpx.Response(503, json={"code": "ModelUnavailable", "message": "later"}),
        "cut": httpx.Response(200, content=b'{"id": "r'),
        "text": httpx.Response(200, headers={"Content-Type": "text/plain"}, content=b"hello"),
        "a list": httpx.Response(200, json=[]),
    }


def torn() -> dict[str, Any]:
    """Further ways, of a stream: it says nothing before it ends, breaks, fails or falls silent."""

    def stream(*pieces: Piece) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Pieces(pieces))

    return broken() | {
        "empty stream": stream(),
        "broken stream": stream(RESUMED[0], httpx.ReadError("reset")),
        "silent stream": stream(RESUMED[0], 600.0),
        "error event": stream(event("error", {"code": "InternalError", "message": "no luck"})),
        "bad event": stream(event("thread.run.queued", "{")),
        "done alone": stream(RESUMED[-1]),
    }


NOT_STARTED = ("refused", "429", "429 with a wish")
"""After these nobody need look whether the service has the answers."""
SWEEP = [(fault, False) for fault in broken()] + [(fault, True) for fault in torn()]


@pytest.mark.parametrize("id", ["c1", ""])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize(("fault", "streaming"), SWEEP)
def test_a_submission_that_fails_and_changed_nothing_is_made_again(fault: str, streaming: bool, times: int, id: str) -> None:
    talk = asking(call(id), stream=streaming)
    for _time in range(times):
        talk.asks("POST", SUBMIT, **outputs("answer 1", stream=streaming, ids=(id,))).gives(torn()[fault])
        if fault not in NOT_STARTED:
            talk.asks("GET", RUN).answers(**action(call(id)))
    ended(handed_in(talk, "answer 1", ids=(id,), stream=streaming), answered_call("answer 1", id))
    result, counting = asked_once(talk, streaming=streaming)
    assert (Outcome.PASSED, 1, []) == (result.outcome, len(counting.calls), result.warnings)
    again = [("submit_tool_outputs", attempt) for attempt in range(2, times + 2)]
    assert again == [(event.operation, event.attempt) for event in result.only(Retried)]
    assert 1 == [name for name, _outcome in result.operations].count("submit_tool_outputs")


@pytest.mark.parametrize("id", ["c1", ""])
@pytest.mark.parametrize(
    ("fault", "streaming", "times"),
    [(*each, times) for each in SWEEP if each[0] not in NOT_STARTED for times in range(4)],
)
def test_a_submission_whose_reply_is_lost_is_not_made_again(fault: str, streaming: bool, times: int, id: str) -> None:
    for state in (run("queued"), run("in_progress"), run("completed")):
        talk = asking(call(id), stream=streaming)
        for time in range(times + 1):
            talk.asks("POST", SUBMIT, **outputs("answer 1", stream=streaming, ids=(id,))).gives(torn()[fault])
            talk.asks("GET", RUN).answers(**action(call(id)) if time < times else state)
        result, counting = asked_once(ended(talk, answered_call("answer 1", id)), streaming=streaming)
        assert (Outcome.PASSED, 1) == (result.outcome, len(counting.calls))
        assert result.warnings[-1].startswith("handing in the answers failed, but the run no longer waits for them: ")


@pytest.mark.parametrize(("fault", "streaming"), SWEEP)
def test_a_submission_that_keeps_failing_is_given_up(fault: str, streaming: bool) -> None:
    attempts = 8 if fault.startswith("429") else 4
    talk = asking(stream=streaming)
    for _time in range(attempts):
        talk.asks("POST", SUBMIT).gives(torn()[fault])
        if fault not in NOT_STARTED:
            talk.asks("GET", RUN).answers(**action())
    result, counting = asked_once(cancelled(talk), streaming=streaming)
    assert (Outcome.ERROR, 1) == (result.outcome, len(counting.calls))
    assert attempts == talk.asked.count(("POST", SUBMIT))
    assert ("submit_tool_outputs", "error") in result.operations


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_submission_that_is_answered_with_a_page_of_html_is_looked_up_and_not_made_again(
    status: int, streaming: bool
) -> None:
    page = httpx.Response(status, headers=HTML, content=b"<p>")
    talk = asking(stream=streaming).asks("POST", SUBMIT).gives(page).asks("GET", RUN).answers(**action())
    result, _counting = asked_once(cancelled(talk), streaming=streaming)
    assert result.reason.startswith(f"POST {SUBMIT}: {status}: the answer is text/html instead of ")
    talk = asking(stream=streaming).asks("POST", SUBMIT).gives(page).asks("GET", RUN).answers(**run("in_progress"))
    result, _counting = asked_once(ended(talk, answered_call("answer 1")), streaming=streaming)
    assert Outcome.PASSED == result.outcome


@pytest.mark.parametrize("streaming", [False, True])
def test_a_lost_reply_after_which_the_run_asks_for_more_is_not_sent_again(streaming: bool) -> None:
    for first, second in (("c1", "c2"), ("", "")):
        more = call(second, arguments='{"order_id": "9"}')
        talk = asking(call(first), stream=streaming).asks("POST", SUBMIT, **outputs("answer 1", stream=streaming, ids=(first,)))
        talk.gives(httpx.ReadError("reset")).asks("GET", RUN).answers(**action(more)).asks("GET", RUN).answers(**action(more))
        ended(handed_in(talk, "answer 2", ids=(second,), stream=streaming))
        result, counting = asked_once(talk, streaming=streaming)
        assert Outcome.PASSED == result.outcome
        assert ['{"order_id": "1234"}', '{"order_id": "9"}'] == [arguments for _name, arguments in counting.calls]
        assert ["answer 1", "answer 2"] == [called.output for called in result.only(AnswerReceived)[0].calls]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_that_is_gone_is_an_error_at_once(streaming: bool) -> None:
    gone = httpx.Response(404, json={"code": "NotFound", "message": "no such run", "request_id": "q1"})
    talk = asking(stream=streaming).asks("POST", SUBMIT).gives(gone).asks("GET", RUN).gives(gone)
    talk.asks("POST", f"{RUN}/cancel").gives(gone).asks("GET", RUN).gives(gone)
    result, counting = asked_once(talk, streaming=streaming)
    assert (1, f"POST {SUBMIT}: 404 NotFound: no such run (request id q1)") == (len(counting.calls), result.reason)


@pytest.mark.parametrize(
    ("status", "code", "looks"),
    [
        (400, "InvalidParameter", 1),
        (409, "Conflict", 1),
        (401, "InvalidApiKey", 0),
        (403, "AccessDenied", 0),
        (302, "", 0),
        (501, "", 1),
        (429, "PrepaidBillOverdue", 0),
    ],
)
def test_a_submission_that_is_refused_is_not_made_again(status: int, code: str, looks: int) -> None:
    talk = asking().asks("POST", SUBMIT).answers(status, code=code, message="no")
    for _look in range(looks):
        talk.asks("GET", RUN).answers(**action())
    result, counting = asked_once(cancelled(talk))
    assert (Outcome.ERROR, 1) == (result.outcome, len(counting.calls))
    assert result.reason.startswith(f"POST {SUBMIT}: {status}")


def test_a_run_that_ended_before_its_outputs_came_says_how() -> None:
    talk = asking().asks("POST", SUBMIT).answers(400, code="InvalidParameter", message="the run is `expired`")
    talk.asks("GET", RUN).answers(**run("expired")).asks("GET", RUN).answers(**run("expired"))
    result, _counting = asked_once(talk)
    assert "the run ended as `expired`" == result.reason


def test_a_run_that_cannot_be_looked_up_is_asked_for_again_and_then_given_up() -> None:
    lost = httpx.ReadError("reset")
    talk = asking().asks("POST", SUBMIT).gives(lost)
    for _time in range(4):
        talk.asks("GET", RUN).gives(httpx.Response(503, json={}))
    result, counting = asked_once(cancelled(talk))
    assert (1, 1) == (len(counting.calls), talk.asked.count(("POST", SUBMIT)))
    assert f"POST {SUBMIT}: the connection to service.test broke: reset" == result.reason


# ── how long it takes ────────────────────────────────────────────────────────────────────────────────────────────────


class UnluckyClock(SteadyClock):
    """Every pause is as long as chance allows."""

    def random(self) -> float:
        return 1.0


def submitted(talk: Talk) -> list[float]:
    return [at for at, asked in zip(talk.times, talk.asked, strict=True) if asked == ("POST", SUBMIT)]


def test_pauses_between_submissions_double() -> None:
    talk = asking()
    for _time in range(3):
        talk.asks("POST", SUBMIT).answers(500).asks("GET", RUN).answers(**action())
    ended(handed_in(talk, "answer 1"))
    asked_once(talk, clock=UnluckyClock())
    first, *later = submitted(talk)
    assert pytest.approx([0.5, 1.5, 3.5]) == [at - first for at in later]


@pytest.mark.parametrize(
    ("headers", "shortest", "longest"),
    [
        ({"Retry-After": "2"}, 2.0, 2.2),
        ({"Retry-After": "0"}, 0.0, 0.0),
        ({"Retry-After": "1.5"}, 1.5, 1.65),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25, 0.275),
        ({"Retry-After": "Mon, 23 Nov 2026 20:00:05 GMT", "Date": "Mon, 23 Nov 2026 20:00:00 GMT"}, 5.0, 5.5),
        ({"Retry-After": "60"}, 60.0, 66.0),
        ({"Retry-After": "-1"}, 0.95, 1.0),
        ({"Retry-After": "nan"}, 0.95, 1.0),
        ({"Retry-After": "soon"}, 0.95, 1.0),
        ({"Retry-After": "Mon, 23 Nov 2026 19:00:00 GMT", "Date": "Mon, 23 Nov 2026 20:00:00 GMT"}, 0.95, 1.0),
        ({"Retry-After": "Mon, 23 Nov 2026 20:00:05 GMT"}, 0.95, 1.0),
    ],
)
def test_a_service_that_asks_for_patience_gets_it(headers: dict[str, str], shortest: float, longest: float) -> None:
    for clock, seconds in ((SteadyClock(), shortest), (UnluckyClock(), longest)):
        talk = asking().asks("POST", SUBMIT).gives(httpx.Response(429, json={}, headers=headers))
        ended(handed_in(talk, "answer 1"))
        asked_once(talk, clock=clock)
        first, again = submitted(talk)
        assert pytest.approx(seconds) == again - first


def test_a_service_that_asks_for_too_much_patience_is_left_at_once() -> None:
    error = {"code": "Throttling", "message": "slow down"}
    talk = asking().asks("POST", SUBMIT).gives(httpx.Response(429, json=error, headers={"Retry-After": "86400"}))
    result, _counting = asked_once(cancelled(talk))
    assert f"POST {SUBMIT}: 429 Throttling: slow down; the service asks to wait 86400 s, which is too long" == result.reason
    assert result.seconds < 1


def test_no_pause_goes_beyond_the_steps_limit() -> None:
    error = {"code": "Throttling", "message": "slow down"}
    talk = asking().asks("POST", SUBMIT).gives(httpx.Response(429, json=error, headers={"Retry-After": "30"}))
    result, _counting = asked_once(cancelled(talk), with_tools(timeout=20.0))
    assert f"POST {SUBMIT}: 429 Throttling: slow down" == result.reason
    assert result.seconds < 1


# ── what the service still shows ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("id", ["c1", ""])
def test_an_action_that_is_still_shown_is_not_answered_again(id: str) -> None:
    talk = asking(call(id)).asks("POST", SUBMIT).answers(**action(call(id)))
    for _time in range(3):
        talk.asks("GET", RUN).answers(**action(call(id)))
    result, counting = asked_once(ended(talk, answered_call("answer 1", id)))
    assert (Outcome.PASSED, 1, 1) == (result.outcome, len(counting.calls), talk.asked.count(("POST", SUBMIT)))


@pytest.mark.parametrize("id", ["c1", ""])
def test_an_action_that_is_still_streamed_is_not_answered_again(id: str) -> None:
    talk = asking(call(id), stream=True).asks("POST", SUBMIT)
    talk.streams(event("thread.run.requires_action", action(call(id))), *RESUMED)
    result, counting = asked_once(ended(talk, answered_call("answer 1", id)), streaming=True)
    assert (Outcome.PASSED, 1, []) == (result.outcome, len(counting.calls), result.warnings)
    assert ["It is ", "on its way."] == [piece.text for piece in result.only(TextArrived)]


def test_calls_without_ids_that_are_shown_a_while_longer_are_not_answered_again() -> None:
    talk = handed_in(asking(call("")), "answer 1", ids=("",)).asks("GET", RUN).answers(**action(call("")))
    result, counting = asked_once(ended(talk, answered_call("answer 1", "")))
    assert (Outcome.PASSED, 1) == (result.outcome, len(counting.calls))


def test_calls_without_ids_that_are_shown_for_long_are_new_ones() -> None:
    talk = handed_in(asking(call("")), "answer 1", ids=("",))
    for _poll in range(40):
        talk.asks("GET", RUN).answers(**action(call("")))
    ended(handed_in(talk, "answer 2", ids=("",)), answered_call("answer 1", ""), answered_call("answer 2", ""))
    result, counting = asked_once(talk)
    assert (Outcome.PASSED, 2) == (result.outcome, len(counting.calls))
    first, again = submitted(talk)
    assert 5.0 <= again - first <= 5.5


def test_calls_without_ids_that_come_again_later_are_new_ones() -> None:
    talk = handed_in(asking(call("")), "answer 1", ids=("",)).asks("GET", RUN).answers(**run("in_progress"))
    talk.asks("GET", RUN).answers(**action(call("")))
    ended(handed_in(talk, "answer 2", ids=("",)), answered_call("answer 1", ""), answered_call("answer 2", ""))
    result, counting = asked_once(talk)
    assert (Outcome.PASSED, 2) == (result.outcome, len(counting.calls))


def test_equal_calls_without_ids_in_one_action_are_answered_each() -> None:
    talk = handed_in(asking(call(""), call("")), "answer 1", "answer 2", ids=("", ""))
    result, counting = asked_once(ended(talk, answered_call(None, ""), answered_call(None, "")))
    assert 2 == len(counting.calls)
    assert ["answer 1", "answer 2"] == [called.output for called in result.only(AnswerReceived)[0].calls]


def test_a_call_named_twice_in_one_action_is_answered_once() -> None:
    result, counting = asked_once(ended(handed_in(asking(call(), call()), "answer 1"), answered_call("answer 1")))
    assert (Outcome.PASSED, 1) == (result.outcome, len(counting.calls))


def test_an_answered_call_among_new_ones_keeps_its_answer() -> None:
    talk = handed_in(asking(), "answer 1").asks("GET", RUN).answers(**action(call(), call("c2", arguments='{"order_id": "9"}')))
    result, counting = asked_once(ended(handed_in(talk, "answer 1", "answer 2")))
    assert (Outcome.PASSED, 2) == (result.outcome, len(counting.calls))


def test_a_run_that_goes_on_asking_for_what_it_was_given_ends_with_the_step() -> None:
    class Deaf(Talk):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if self.exchanges:
                return await super().__call__(request)
            self.requests.append(request)
            self.times.append(0)
            stopped = ("POST", f"{RUN}/cancel") in self.asked
            return httpx.Response(200, json=run("cancelled") if stopped else action())

    talk = Deaf(handed_in(asking(), "answer 1").exchanges)
    result, counting = asked_once(talk)
    assert ["the run was still `requires_action` after 300 s", 1] == [result.reason, len(counting.calls)]


# ── streams that fail after the answers ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", range(2, len(RESUMED) + 1))
@pytest.mark.parametrize("end", ["end", "half", "reset", "silence"])
def test_a_second_stream_cut_after_any_event_gives_the_same_verdict(cut: int, end: str) -> None:
    rest: dict[str, tuple[Piece, ...]] = {
        "end": (),
        "half": (b"event:thread.run.comp",),
        "reset": (httpx.ReadError("reset"),),
        "silence": (600.0,),
    }
    talk = asking(stream=True).asks("POST", SUBMIT, **outputs("answer 1", stream=True)).streams(*RESUMED[:cut], *rest[end])
    if cut < 6:
        talk.asks("GET", RUN).answers(**run("in_progress"))
    ended(talk, answered_call("answer 1"))
    step = {"expect": (expect("contains", "on its way"), expect("calls", "get_order"))}
    result, counting = asked_once(talk, with_tools(**step), streaming=True)
    assert (Outcome.PASSED, 1) == (result.outcome, len(counting.calls))
    assert (cut < 6) == bool(result.warnings)


def test_a_service_that_answers_the_outputs_with_the_run_is_polled() -> None:
    talk = asking(stream=True).asks("POST", SUBMIT).answers(**action() | {"status": "in_progress"})
    talk.asks("GET", RUN).answers(**run("in_progress"))
    result, _counting = asked_once(ended(talk, answered_call("answer 1")), streaming=True)
    assert Outcome.PASSED == result.outcome


def test_text_that_comes_before_any_state_is_not_lost() -> None:
    talk = asking(stream=True).asks("POST", SUBMIT).streams(*RESUMED[3:])
    result, _counting = asked_once(ended(talk, answered_call("answer 1")), streaming=True)
    assert ["It is ", "on its way."] == [piece.text for piece in result.only(TextArrived)]


# ── what the steps of the run leave out ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [answered_call(None)],
        [answered_call("")],
        [answered_call(None, "")],
        [answered_call("answer 1")],
        [answered_call("answer 1", "other")],
    ],
)
def test_calls_and_outputs_the_service_leaves_out_are_filled_in(listed: list[object]) -> None:
    result, _counting = asked_once(ended(handed_in(asking(), "answer 1"), *listed))
    assert (Called("get_order", '{"order_id": "1234"}', "answer 1"),) == result.only(AnswerReceived)[0].calls


def test_a_service_without_a_list_of_steps_still_shows_the_calls() -> None:
    talk = ended(handed_in(asking(), "answer 1"))
    talk.exchanges[-1].answer = httpx.Response(404, json={"code": "NotFound", "message": "no such path"})
    result, _counting = asked_once(talk, with_tools(expect=(expect("calls", "get_order"),)))
    assert Outcome.PASSED == result.outcome
    assert ["the service lists no run steps, so calls of its own tools cannot be seen"] == result.warnings


def test_an_older_name_of_a_tool_is_the_one_the_author_wrote() -> None:
    talk = Talk().asks("POST", "/threads/t1/messages").answers(**message("Where is it?", "", "user", "m1"))
    talk.asks("POST", "/threads/t1/runs").answers(**run("completed"))
    ended(talk, {"type": "wanx", "wanx": {"arguments": "{}", "output": "{}"}}, {"type": "search", "search": {}})
    given = with_tools(Tool("text_to_image"), Tool("search"), expect=(expect("calls", "text_to_image"),))
    result = played(talk, given)
    assert (Outcome.PASSED, ["text_to_image", "search"]) == (
        result.outcome,
        [called.name for called in result.only(AnswerReceived)[0].calls],
    )


# ── limits, Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────────────────


async def hang(_name: str, _arguments: str, _question: str) -> str:
    await asyncio.sleep(10_000)
    raise AssertionError


def test_a_function_that_hangs_ends_with_the_step_and_the_run_is_cancelled() -> None:
    result = played(cancelled(asking()), with_tools(timeout=20.0), ask=hang)
    assert [(1, "error", "`get_order` had given no answer after 20 s")] == result.steps
    assert pytest.approx(20.0) == result.seconds
    assert ["stopped before it was done"] == [told.trouble for told in result.only(FunctionAnswered)]


def test_ctrl_c_while_a_function_answers_cancels_the_run_and_deletes_what_was_made() -> None:
    talk = Talk().asks("POST", "/assistants").answers(id="a1", object="assistant", model="qwen-max", tools=[])
    talk.asks("POST", "/threads").answers(id="t1", object="thread")
    talk.exchanges += asking().exchanges
    closing(cancelled(talk))

    async def go() -> list[Any]:
        events: list[Any] = []
        given = flow(Step(user="Where is it?"), assistant=Assistant(model="qwen-max", tools=(function(),)))
        service = target(talk)
        playing = play(Case(given, "", {}), service, events.append, clock=SteadyClock(), streaming=False, ask=hang)
        task = asyncio.ensure_future(playing)
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return events

    events = on_virtual_time(go())
    assert [] == talk.exchanges
    assert [("DELETE", "/threads/t1"), ("DELETE", "/assistants/a1")] == talk.asked[-2:]
    assert () == events[-1].left


# ── what the checks see ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Looking:
    """Keeps what it is shown, and in which thread; as a check that blocks or runs code would."""

    name: ClassVar[str] = "looking"
    turns: ClassVar[list[tuple[Turn, bool]]] = []
    value: str = ""

    def evaluate(self, turn: Turn) -> Verdict:
        self.turns.append((turn, threading.current_thread() is threading.main_thread()))
        return Verdict(Outcome.PASSED)


class Blocking(Looking):
    blocks: ClassVar[bool] = True


class Running(Blocking):
    runs_code: ClassVar[bool] = True


def looking(kind: type[Looking], *wrapped: str) -> Expectation:
    plain = expect("contains", "x")
    found = Expectation("looking", kind(), plain.key, plain.span)
    for name in wrapped:
        found = expect(name, (found,))
    return found


def looked(*checks: Expectation, trusted: bool = False, **more: Any) -> tuple[Played, list[tuple[Turn, bool]]]:
    Looking.turns.clear()
    talk = ended(handed_in(asking(), "answer 1"), answered_call("answer 1"))
    result, _counting = asked_once(talk, with_tools(expect=checks), trusted=trusted, **more)
    return result, list(Looking.turns)


def test_checks_know_the_declared_functions_and_the_flows_folder() -> None:
    from pathlib import Path

    _result, ((turn, in_main),) = looked(looking(Looking))
    assert ({"get_order": ORDER}, Path.cwd(), True) == (turn.parameters, turn.folder, in_main)


@pytest.mark.parametrize("wrapped", [(), ("any",), ("not", "all", "any")])
def test_a_check_that_blocks_is_evaluated_beside_the_loop(wrapped: tuple[str, ...]) -> None:
    _result, ((_turn, in_main),) = looked(looking(Blocking, *wrapped))
    assert not in_main


@pytest.mark.parametrize("wrapped", [(), ("not",), ("any", "not")])
def test_a_check_that_runs_code_is_an_error_without_permission(wrapped: tuple[str, ...]) -> None:
    result, turns = looked(looking(Running, *wrapped))
    assert (Outcome.ERROR, []) == (result.outcome, turns)
    assert result.reason.endswith(
        "it runs code of the flow's folder, which is not permitted; see `runflow trust` and `--allow-tools`"
    )
    _result, turns = looked(looking(Running, *wrapped), trusted=True)
    assert 1 == len(turns)


def test_checks_on_the_whole_conversation_know_the_functions_of_all_steps() -> None:
    Looking.turns.clear()
    talk = ended(handed_in(asking(), "answer 1"), answered_call("answer 1"))
    later = Talk().asks("POST", "/threads/t1/messages").answers(**message("And now?", "", "user", "m1"))
    later.asks("POST", "/threads/t1/runs").answers(**run("queued"))
    talk.exchanges += ended(later).exchanges
    other = function("cancel_order", parameters={"type": "object"})
    steps = (Step(user="Where is it?"), Step(user="And now?", run=RunOverrides(tools=(other,))))
    given = flow(
        *steps,
        assistant=Assistant(id="a1", tools=(function(),)),
        thread=ThreadSetup(id="t1"),
        expect=(looking(Looking), expect("calls", "get_order")),
    )
    result, _counting = asked_once(talk, given)
    assert [(0, "looking", "passed"), (0, "calls", "passed")] == result.verdicts
    assert {"get_order": ORDER, "cancel_order": {"type": "object"}} == Looking.turns[0][0].parameters


# ── against the embedded service, whose store is the witness ─────────────────────────────────────────────────────────


class LoopTime:
    """The service's clock, as the loop's."""

    def now(self) -> float:
        return 1_795_000_000 + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class InProcess(AssistantApi):
    """The embedded service over the engine's own way to it."""

    capabilities: ClassVar[Capabilities] = Embedded.capabilities
    simulated: ClassVar[bool] = True


@dataclass
class Witnessed:
    result: Played
    counting: Counting
    calls: list[ToolCall]
    """The calls of all run steps in the service's store."""
    runs: int


def embedded(given: Flow, *faults: str, streaming: bool = False, ask: Any = None, latency: float = 0) -> Witnessed:
    """Play a flow against a service that goes wrong as told. What it made is kept, so that its store can be asked."""
    counting = Counting()

    async def go() -> Witnessed:
        service = Service(clock=LoopTime(), latency=latency, faults=[parse(fault) for fault in faults])
        used = InProcess(EmbeddedTransport(service), Connection("embedded", BASE_URL, "for tests"))
        made, thread = await used.create_assistant(given.assistant), await used.create_thread(None)
        kept = replace(given, assistant=replace(given.assistant, id=made.id), thread=ThreadSetup(id=thread.id))
        events: list[Event] = []
        outcome = await play(
            Case(kept, "", {}), used, events.append, clock=SteadyClock(), streaming=streaming, ask=ask or counting
        )
        result = Played(outcome, events, asyncio.get_running_loop().time())
        runs, _more = service.store.page(stored.Run, thread.id, 100)
        steps = [step for each in runs for step in service.store.page(stored.RunStep, each.id, 100, newest_first=False)[0]]
        await used.close()
        calls = [each for step in steps for each in decode_step(stored.render(step)).calls]
        return Witnessed(result, counting, calls, len(runs))

    witnessed: Witnessed = on_virtual_time(go())
    return witnessed


NUMBERED = {"type": "object", "properties": {"order_id": {"type": "string"}, "line": {"type": "integer"}}}
SHOP = (function(parameters=NUMBERED), function("cancel_order", parameters=NUMBERED))


def sampled(name: str, order_id: object, line: object = "1") -> SampleCall:
    return SampleCall(name, {"order_id": order_id, "line": line})


def shopping(**more: Any) -> Flow:
    """Two calls, then a third one."""
    rounds = (
        (sampled("get_order", Scalar(1234, "1234")), sampled("get_order", "77", Scalar(2, "2"))),
        (sampled("cancel_order", "77"),),
    )
    step = Step(user="Where is order 1234?", sample=Sample("Done.", rounds), **more)
    return flow(step, assistant=Assistant(model="qwen-max", tools=SHOP))


CALLED = [
    ("get_order", {"order_id": "1234", "line": 1}),
    ("get_order", {"order_id": "77", "line": 2}),
    ("cancel_order", {"order_id": "77", "line": 1}),
]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_embedded_service_gets_each_output_once(streaming: bool) -> None:
    seen = embedded(shopping(expect=(expect("contains", "Done"),)), streaming=streaming)
    assert (Outcome.PASSED, [], 1) == (seen.result.outcome, seen.result.warnings, seen.runs)
    assert CALLED == [(name, json.loads(arguments)) for name, arguments in seen.counting.calls]
    assert [("get_order", "answer 1"), ("get_order", "answer 2"), ("cancel_order", "answer 3")] == [
        (each.name, each.output) for each in seen.calls
    ]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("which", ["@1", "@2", "@1-2", "@1-3", "@2-4", "@3-5"])
@pytest.mark.parametrize("kind", ["429", "429:1", "500", "502", "503:3", "504", "cut", "lost", "stall:50"])
def test_each_output_arrives_once_however_its_submission_fails(kind: str, which: str, streaming: bool) -> None:
    seen = embedded(shopping(), f"{kind}{which}/submit_tool_outputs", streaming=streaming)
    assert (Outcome.PASSED, 1, 3) == (seen.result.outcome, seen.runs, len(seen.counting.calls)), seen.result.reason
    assert ["answer 1", "answer 2", "answer 3"] == [each.output for each in seen.calls]
    assert 3 == len({each.id for each in seen.calls})
    told = seen.result.only(AnswerReceived)[0].calls
    assert ["answer 1", "answer 2", "answer 3"] == [called.output for called in told]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["429", "500", "html"])
def test_a_submission_that_never_succeeds_executes_nothing_twice(kind: str, streaming: bool) -> None:
    seen = embedded(shopping(), f"{kind}/submit_tool_outputs", streaming=streaming)
    assert (Outcome.ERROR, 2) == (seen.result.outcome, len(seen.counting.calls))
    assert [None, None] == [each.output for each in seen.calls]
    assert "cancelled" == seen.result.statuses[-1] or seen.result.operations[-1] == ("cancel_run", "passed")


@pytest.mark.parametrize("kind", ["expired", "failed", "incomplete", "cancelled"])
def test_a_run_that_ends_after_the_outputs_says_how(kind: str) -> None:
    seen = embedded(shopping(), f"{kind}/submit_tool_outputs")
    assert Outcome.ERROR == seen.result.outcome
    assert seen.result.reason.startswith(f"the run ended as `{kind}`")
    assert 2 == len(seen.counting.calls)


def test_a_run_that_expires_while_a_function_thinks_says_so() -> None:
    async def slow(_name: str, _arguments: str, _question: str) -> str:
        await asyncio.sleep(310)
        return "at last"

    seen = embedded(shopping(timeout=800.0), ask=slow)
    assert seen.result.reason.startswith("the run ended as `expired`")


def test_a_conversation_with_functions_and_the_embedded_service_warns_of_nothing() -> None:
    tools = (
        *SHOP,
        Tool("text_to_image", "For examples"),
        Tool("function", "X", {"strict": True}, Function("x", {"type": "object", "properties": {}}, Returns(1))),
    )
    for run_tools in (None, tools[:2]):
        step = Step(user="Hello.", sample="Hi.", run=RunOverrides(tools=run_tools))
        seen = embedded(flow(step, assistant=Assistant(model="qwen-max", tools=tools)))
        assert (Outcome.PASSED, []) == (seen.result.outcome, seen.result.warnings)
