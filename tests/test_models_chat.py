"""A chat model behind the service: what it is told, what becomes of its answers, and how each trouble ends."""

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner.embedded.chat import Chat
from runner.embedded.store import Store
from runner.transport.chat import ChatEndpoint
from tests.chat_fixtures import (
    DONE,
    KEY,
    LONG,
    Answer,
    ModelApi,
    call,
    calls,
    chat_server,
    delta,
    event,
    says,
    talk,
    usage,
)
from tests.embedded_fixtures import ADD, HandClock

ADDED = '{"left": 1, "right": 2}'


# ── what the model is told ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_model_is_told_the_instructions_the_thread_and_the_settings() -> None:
    with talk(says("Hi.")) as (api, server):
        assistant = api.assistant(instructions="Be brief.", temperature=0.5, max_tokens=50)
        run = api.ask(assistant, api.thread("One."), "Two.", additional_instructions="Be kind.", top_k=3)
    assert "completed" == run["status"]
    assert {
        "model": "qwen-max",
        "messages": [
            {"role": "system", "content": "Be brief.\nBe kind."},
            {"role": "user", "content": "One."},
            {"role": "user", "content": "Two."},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_k": 3,
        "max_tokens": 50,
    } == server.bodies[0]
    assert "/v1/chat/completions" == server.paths[0]
    assert f"Bearer {KEY}" == server.headers[0]["authorization"]


def test_without_a_key_none_is_sent() -> None:
    with talk(says("Hi."), key=None) as (api, server):
        api.ask(api.assistant(), api.thread(), "Hello.")
    assert "authorization" not in server.headers[0]


def test_a_run_may_ask_for_another_model_and_the_server_for_its_own() -> None:
    with chat_server(says("Hi."), says("Hi.")) as server:
        endpoint = ChatEndpoint(server.base_url)
        for model, asked in ((Chat(endpoint, "own"), "qwen-plus"), (Chat(endpoint, "fixed", "small"), "small")):
            api = ModelApi(model)
            run = api.ask(api.assistant(), api.thread(), "Hello.", model="qwen-plus")
            api.close()
            assert ("qwen-plus", asked) == (run["model"], server.bodies.pop()["model"])


def test_the_services_tools_become_functions_beside_the_callers() -> None:
    with talk(says("Hi.")) as (api, server):
        own = {"type": "text_to_image", "description": "For examples"}
        api.ask(api.assistant(own, "calculator", "code_interpreter", "quark_search", "rag", ADD), api.thread(), "Hello.")
    tools = server.bodies[0]["tools"]
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    assert ["text_to_image", "calculator", "code_interpreter", "quark_search", "rag", "big_add"] == list(functions)
    assert {"function"} == {tool["type"] for tool in tools}
    assert ADD["function"] == functions["big_add"]
    assert "For examples" == functions["text_to_image"]["description"]
    needed = {name: function["parameters"]["required"] for name, function in functions.items()}
    assert (["prompt"], ["formula"], ["code"]) == tuple(
        needed[name] for name in ("text_to_image", "calculator", "code_interpreter")
    )
    assert "tool_choice" not in server.bodies[0]


def test_a_function_without_parameters_gets_empty_ones() -> None:
    with talk(says("Hi.")) as (api, server):
        api.ask(api.assistant({"type": "function", "function": {"name": "now"}}), api.thread(), "Hello.")
    assert {"name": "now", "parameters": {"type": "object", "properties": {}}} == server.bodies[0]["tools"][0]["function"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("required", "required"),
        ({"type": "function", "function": {"name": "big_add"}}, {"type": "function", "function": {"name": "big_add"}}),
        ({"type": "calculator"}, {"type": "function", "function": {"name": "calculator"}}),
    ],
)
def test_a_choice_of_tool_is_forced_in_the_first_round_only(choice: Any, sent: Any) -> None:
    with talk(calls(call("calculator", '{"formula": "1+1"}')), says("2.")) as (api, server):
        api.ask(api.assistant(ADD, "calculator"), api.thread(), "Hello.", tool_choice=choice)
    assert [sent, None] == [body.get("tool_choice") for body in server.bodies]


def test_no_choice_of_tool_means_no_tools() -> None:
    with talk(says("Hi.")) as (api, server):
        run = api.ask(api.assistant(ADD, "plugin_of_mine"), api.thread(), "Hello.", tool_choice="none")
    assert "completed" == run["status"]
    assert not {"tools", "tool_choice"} & set(server.bodies[0])


def test_a_tool_that_was_not_offered_is_not_asked_for() -> None:
    with talk(calls(call("big_add", ADDED)), says("Hi.")) as (api, server):
        assert "completed" == api.ask(api.assistant(ADD), api.thread(), "Hello.", tool_choice="none")["status"]
    assert '{"error": "there is no tool `big_add`"}' == server.bodies[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("tools", "code", "message"),
    [
        (
            ["plugin_of_mine"],
            "UnsupportedOperation",
            "the tool `plugin_of_mine` cannot be used here: the embedded service has no such tool",
        ),
        (["calculator", "calculator"], "InvalidParameter", "two tools are called `calculator`"),
    ],
)
def test_a_tool_that_cannot_be_offered_is_refused(tools: Sequence[str], code: str, message: str) -> None:
    with talk() as (api, _server):
        thread = api.thread("Hello.")
        refused = api.send("POST", f"/threads/{thread}/runs", json={"assistant_id": api.assistant(*tools)})
        assert (400, code, message) == (refused.status_code, refused.json()["code"], refused.json()["message"])
        assert [] == api.get(f"/threads/{thread}/runs")["data"]


def test_earlier_runs_are_told_with_their_calls_and_outputs() -> None:
    rounds = (calls(call("big_add", ADDED), text="Let me see."), says("It is 3."), says("You asked for 1 + 2."))
    with talk(*rounds) as (api, server):
        assistant, thread = api.assistant(ADD), api.thread()
        assert "completed" == api.submit(api.ask(assistant, thread, "Add 1 and 2."), "3")["status"]
        api.ask(assistant, thread, "What did I ask?")
    made = {"id": "call_1", "type": "function", "function": {"name": "big_add", "arguments": ADDED}}
    assert [
        {"role": "user", "content": "Add 1 and 2."},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "assistant", "content": "It is 3."},
        {"role": "user", "content": "What did I ask?"},
    ] == server.bodies[2]["messages"]


def test_calls_that_nobody_answered_are_not_told() -> None:
    with talk(calls(call("big_add", ADDED), text="Let me see."), says("Hi.")) as (api, server):
        assistant, thread = api.assistant(ADD), api.thread()
        run = api.ask(assistant, thread, "Add.")
        api.send("POST", f"/threads/{thread}/runs/{run['id']}/cancel")
        api.ask(assistant, thread, "Never mind.")
    told = [("user", "Add."), ("assistant", "Let me see."), ("user", "Never mind.")]
    assert told == [(message["role"], message["content"]) for message in server.bodies[1]["messages"]]


def test_the_last_messages_are_told_and_the_runs_own_do_not_count() -> None:
    with talk(says("A."), calls(call("calculator", '{"formula": "2*3"}'), text="Wait."), says("6.")) as (api, server):
        assistant, thread = api.assistant("calculator"), api.thread("One.")
        strategy = {"type": "last_messages", "last_messages": 2}
        api.ask(assistant, thread, "Two.")
        api.ask(assistant, thread, "Three.", truncation_strategy=strategy)
    told = [[message["content"] for message in body["messages"] if message["role"] != "tool"] for body in server.bodies]
    assert [["One.", "Two."], ["A.", "Three."], ["A.", "Three.", "Wait."]] == told


# ── what becomes of an answer ────────────────────────────────────────────────────────────────────────────────────────

MESSAGE = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
]
SAID = ["thread.message.completed", "thread.run.step.completed"]
BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
RESUMED = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
TOOL = ["thread.run.step.created", "thread.run.step.in_progress"]


def names(events: Sequence[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in events if name != "thread.run.step.delta"]


def test_an_answer_is_streamed_in_the_models_pieces() -> None:
    with talk(says("It ", "is ", "漢字.")) as (api, _):
        thread = api.thread("Hello.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant())
        deltas = [data["delta"]["content"] for name, data in events if name == "thread.message.delta"]
        assert [*BEGUN, *MESSAGE, *["thread.message.delta"] * 3, *SAID, "thread.run.completed"] == names(events)
        assert [(0, "It "), (0, "is "), (0, "漢字.")] == [(one["index"], one["text"]["value"]) for [one] in deltas]
        run = events[-1][1]
        assert {
            "input_tokens": 9, "output_tokens": 4, "total_tokens": 13, "prompt_tokens": 9, "completion_tokens": 4
        } == run["usage"]  # fmt: skip
        assert "It is 漢字." == api.answer(thread)
        # Streamed or looked up, it is the same run.
        del run["request_id"]
        looked_up = api.get(f"/threads/{thread}/runs/{run['id']}")
        assert run == {name: value for name, value in looked_up.items() if name != "request_id"}


def test_a_function_goes_through_its_caller_also_in_a_stream() -> None:
    with talk(calls(call("big_add", ADDED)), says("It is 3.")) as (api, _):
        thread = api.thread("Add.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant(ADD))
        assert [*BEGUN, *TOOL, "thread.run.requires_action"] == names(events)
        run = events[-1][1]
        [made] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert {"id": "call_1", "type": "function", "function": {"name": "big_add", "arguments": ADDED}} == made
        pieces = [data["delta"]["step_details"]["tool_calls"][0] for name, data in events if name == "thread.run.step.delta"]
        assert ADDED == "".join(piece["function"]["arguments"] for piece in pieces)
        path = f"/threads/{thread}/runs/{run['id']}/submit_tool_outputs"
        events = api.events(path, tool_outputs=[{"tool_call_id": "call_1", "output": "3"}])
        assert [*RESUMED, *MESSAGE, "thread.message.delta", *SAID, "thread.run.completed"] == names(events)
        assert (18, 8) == tuple(events[-1][1]["usage"][name] for name in ("input_tokens", "output_tokens"))


def test_calls_of_both_kinds_in_one_answer_are_one_step() -> None:
    mixed = calls(
        call("calculator", '{"formula": "6 * 7"}', "a", 0), call("big_add", ADDED, "b", 1), call("nobody", "", "c", 2)
    )
    with talk(mixed, says("42 and 3.")) as (api, server):
        run = api.ask(api.assistant(ADD, "calculator"), api.thread(), "Both.")
        asked = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert ["b"] == [one["id"] for one in asked]
        [step] = api.steps(run)
        assert [("calculator", True), ("function", False), ("function", True)] == [
            (one["type"], bool(one[one["type"]]["output"])) for one in step["step_details"]["tool_calls"]
        ]
        assert "completed" == api.submit(run, "3")["status"]
    outputs = [
        (message["tool_call_id"], message["content"]) for message in server.bodies[1]["messages"] if message["role"] == "tool"
    ]
    assert [
        ("a", '{"formula": "6 * 7", "result": "42"}'), ("b", "3"), ("c", '{"error": "there is no tool `nobody`"}')
    ] == outputs  # fmt: skip


def test_the_services_tools_are_used_and_the_model_asked_again() -> None:
    rounds = (
        calls(call("text_to_image", '{"prompt": "a cat"}')),
        calls(call("code_interpreter", '{"code": "print(1)"}')),
        calls(call("quark_search", '{"query": "cats"}', "x", 0), call("rag", '{"query": "cats"}', "y", 1)),
        says("Done."),
    )
    with talk(*rounds) as (api, server):
        run = api.ask(api.assistant("text_to_image", "code_interpreter", "quark_search", "rag"), api.thread(), "Go.")
        steps = api.steps(run)
        made = [one for step in steps[:3] for one in step["step_details"]["tool_calls"]]
        kinds = [one["type"] for one in made]
        assert ["text_to_image", "code_interpreter", "quark_search", "rag"] == kinds
        outputs = {one["type"]: json.loads(one[one["type"]]["output"]) for one in made}
        url = outputs["text_to_image"]["output"]["results"][0]["url"]
        picture = api.send("GET", url)
        assert ("image/png", b"\x89PNG") == (picture.headers["content-type"], picture.content[:4])
        assert {"error": "the embedded service does not run code"} == outputs["code_interpreter"]
        assert "a canned result: nothing was searched" == outputs["quark_search"]["data"][0]["desc"]
        assert {"passages": [], "note": "the embedded service has no documents"} == outputs["rag"]
        assert ["completed"] * 4 == [step["status"] for step in steps]
        assert 4 * 13 == run["usage"]["total_tokens"]
    # The first round's id came again: each call has its own.
    told = [message["tool_call_id"] for message in server.bodies[3]["messages"] if message["role"] == "tool"]
    assert ("call_1", 4) == (told[0], len(set(told)))


def test_a_call_has_an_id_that_its_thread_has_not_seen() -> None:
    with talk(calls(call("big_add", ADDED)), says("3."), calls(call("big_add", ADDED))) as (api, _):
        assistant, thread = api.assistant(ADD), api.thread()
        first = api.ask(assistant, thread, "Add.")
        api.submit(first, "3")
        ids = [
            run["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
            for run in (first, api.ask(assistant, thread, "Again."))
        ]
    assert ("call_1", True) == (ids[0], ids[1].startswith("call_") and ids[1] != "call_1")


def test_empty_lines_in_front_of_a_call_are_no_message() -> None:
    blank = Answer([delta(content="\n"), delta(content="\n"), *call("calculator", '{"formula": "1+1"}'), delta("stop"), DONE])
    with talk(blank, says("\n", "Two.")) as (api, _):
        thread = api.thread("Add.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant("calculator"))
        assert [*BEGUN, *TOOL, RESUMED[0], *MESSAGE, "thread.message.delta", *SAID, "thread.run.completed"] == names(events)
        assert "\nTwo." == api.answer(thread)


def test_a_function_may_be_called_function() -> None:
    odd = {"type": "function", "function": {"name": "function"}}
    with talk(calls(call("function")), says("Done.")) as (api, _):
        assert "completed" == api.submit(api.ask(api.assistant(odd), api.thread(), "Go."), "1")["status"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nonsense", "the arguments are not JSON"),
        (r'{"formula": "\ud800"}', "the arguments are not JSON"),
        ("[1]", "the argument `formula` is missing; it is a text"),
        ("{}", "the argument `formula` is missing; it is a text"),
        ('{"formula": 1}', "the argument `formula` is missing; it is a text"),
    ],
)
def test_arguments_that_do_not_fit_a_tool_of_the_service_go_back_to_the_model(arguments: str, said: str) -> None:
    with talk(calls(call("calculator", arguments)), says("Sorry.")) as (api, server):
        assert "completed" == api.ask(api.assistant("calculator"), api.thread(), "Go.")["status"]
    made, output = server.bodies[1]["messages"][-2:]
    assert json.dumps({"error": said}) == output["content"]
    # Many endpoints refuse a conversation whose calls have other arguments than an object.
    taken_back = arguments if arguments.startswith("{") else json.dumps({"unreadable": arguments})
    assert taken_back == made["tool_calls"][0]["function"]["arguments"]


def test_a_model_that_never_stops_asking_fails() -> None:
    endless = [calls(call("calculator", '{"formula": "1+1"}')) for _ in range(17)]
    with talk(*endless) as (api, server):
        run = api.ask(api.assistant("calculator"), api.thread(), "Go.")
        assert ("failed", "the model asked for tools more than 16 times in one run") == (
            run["status"],
            run["last_error"]["message"],
        )
        assert (16, 17) == (len(api.steps(run)), len(server.bodies))


# ── what endpoints do instead ────────────────────────────────────────────────────────────────────────────────────────

WHOLE = {"function": {"name": "big_add", "arguments": ADDED}}
OTHER = {"function": {"name": "big_add", "arguments": '{"left": 3}'}}
NULLS = {"index": 0, "id": None, "function": {"name": None, "arguments": ADDED[len(ADDED) // 2 :]}}
ONE, TWO = [ADDED], [ADDED, '{"left": 3}']


@pytest.mark.parametrize(
    ("pieces", "made"),
    [
        pytest.param([delta(tool_calls=[WHOLE]), delta("tool_calls"), DONE], ONE, id="no id, no index"),
        pytest.param([delta(tool_calls=[{"index": 0, **WHOLE}], finish="stop"), DONE], ONE, id="whole call, stop"),
        pytest.param(
            [delta(tool_calls=[{"function": {"name": "big_add", "arguments": json.loads(ADDED)}}]), delta("stop"), DONE],
            ONE,
            id="arguments as an object",
        ),
        pytest.param([delta(tool_calls=[WHOLE, OTHER]), delta("tool_calls"), DONE], TWO, id="two without index"),
        pytest.param([delta(tool_calls=[WHOLE]), delta(tool_calls=[OTHER]), delta("stop"), DONE], TWO, id="one a chunk"),
        pytest.param(
            [delta(tool_calls=[{"index": 0, "id": "a", **WHOLE}, {"index": 0, "id": "b", **OTHER}]), delta("stop"), DONE],
            TWO,
            id="all at place 0",
        ),
        pytest.param(
            [delta(tool_calls=[{"index": 0, **WHOLE}]), delta(tool_calls=[{"index": 0, **OTHER}]), delta("stop"), DONE],
            TWO,
            id="all at place 0, no ids",
        ),
        pytest.param(
            [*call("big_add", ADDED), delta(tool_calls=[{"index": 0, "function": {"name": "big_add"}}]), delta("stop"), DONE],
            ONE,
            id="the name again",
        ),
        pytest.param(
            [delta(tool_calls=[{"index": 0, "id": "a", **WHOLE}, {"index": 1, "id": "a", **OTHER}]), delta("stop"), DONE],
            TWO,
            id="one id twice",
        ),
        pytest.param(
            [*call("big_add", ADDED)[:2], delta(tool_calls=[NULLS]), delta("stop"), DONE],
            ONE,
            id="nulls",
        ),
    ],
)  # fmt: skip
def test_calls_are_understood_however_they_come(pieces: Sequence[bytes], made: Sequence[str]) -> None:
    with talk(Answer(pieces), says("Done.")) as (api, _server):
        run = api.ask(api.assistant(ADD), api.thread(), "Add.")
        asked = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert list(made) == [one["function"]["arguments"] for one in asked]
        assert len(made) == len({one["id"] for one in asked})
        done = api.submit(run, *["3"] * len(made))
        assert ("completed", None) == (done["status"], done["usage"])


def test_half_a_surrogate_pair_is_replaced() -> None:
    odd = Answer([rb'data: {"choices": [{"delta": {"content": "\uD83D\ude00 \ud800!"}}]}' + b"\n\n", delta("stop"), DONE])
    with talk(odd) as (api, _):
        thread = api.thread()
        api.ask(api.assistant(), thread, "Hello.")
        assert "😀 \ufffd!" == api.answer(thread)


SPOKEN = [delta(content="It is "), delta(content="3.")]
WHOLE_BODY = {
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "It is 3."}}],
}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer([piece.replace(b"data: ", b"data:") for piece in (*SPOKEN, delta("stop"), DONE)]), id="no space"),
        pytest.param(Answer([b": hi\n\n", SPOKEN[0], b":\n\n", SPOKEN[1], delta("stop"), DONE]), id="keep-alives"),
        pytest.param(Answer([*SPOKEN, delta("stop")]), id="no [DONE]"),
        pytest.param(Answer([*SPOKEN, DONE]), id="no reason"),
        pytest.param(Answer([b"".join([*SPOKEN, delta("stop"), DONE]).replace(b"\n", b"\r\n")]), id="CRLF"),
        pytest.param(
            Answer([bytes([one]) for one in b"".join([*SPOKEN, delta("stop"), DONE])]),
            id="byte by byte",
        ),
        pytest.param(
            Answer([delta(content=None, reasoning_content="Hm."), *SPOKEN, delta("stop"), DONE]),
            id="thinking",
        ),
        pytest.param(Answer([delta(finish="null", content="It is "), SPOKEN[1], delta("stop"), DONE]), id="the word null"),
        pytest.param(Answer([delta(content=[{"type": "text", "text": "It is 3."}]), delta("stop"), DONE]), id="parts"),
        pytest.param(Answer([event(choices=[], prompt_filter_results=[]), *SPOKEN, delta("stop"), DONE]), id="empty choices"),
        pytest.param(Answer([json.dumps(WHOLE_BODY).encode()], kind="application/json; charset=utf-8"), id="no stream"),
    ],
)
def test_words_are_understood_however_they_come(answer: Answer) -> None:
    with talk(answer) as (api, _):
        thread = api.thread()
        assert ("completed", None) == ((run := api.ask(api.assistant(), thread, "Add."))["status"], run["usage"])
        assert "It is 3." == api.answer(thread)


def test_a_count_in_the_last_chunk_of_words_counts() -> None:
    tokens = {"prompt_tokens": 5, "completion_tokens": 6}
    last = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=tokens)
    with talk(Answer([event(choices=[], usage=None), delta(content="Hi."), last, DONE])) as (api, _):
        assert 11 == api.ask(api.assistant(), api.thread(), "Hello.")["usage"]["total_tokens"]


@pytest.mark.parametrize(
    ("reason", "of_run", "of_message"),
    [("length", "max_completion_tokens", "max_tokens"), ("content_filter", "content_filter", "content_filter")],
)
def test_an_answer_that_was_cut_off_is_incomplete(reason: str, of_run: str, of_message: str) -> None:
    with talk(says("Once upon", finish=reason)) as (api, _):
        thread = api.thread("Tell me.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant())
        ended = ["thread.message.incomplete", "thread.run.step.completed", "thread.run.incomplete"]
        assert [*BEGUN, *MESSAGE, "thread.message.delta", *ended] == names(events)
        run, message = events[-1][1], api.get(f"/threads/{thread}/messages")["data"][0]
        assert ("incomplete", {"reason": of_run}, 13) == (
            run["status"],
            run["incomplete_details"],
            run["usage"]["total_tokens"],
        )
        assert ("incomplete", {"reason": of_message}) == (message["status"], message["incomplete_details"])
        assert "Once upon" == message["content"][0]["text"]["value"]


# ── troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(status: int, said: str, kind: str = "application/json", **headers: str) -> Answer:
    return Answer([said.encode()], status, kind, headers)


def error(message: str, **more: Any) -> str:
    return json.dumps({"error": {"message": message, **more}})


SERVER, LIMIT = "server_error", "rate_limit_exceeded"
WRONG_KEY = "the model endpoint refused the call with HTTP {}; check the key in THE_KEY"
REDIRECT = "the model endpoint answered with a redirect, HTTP 307, which is not followed"
CUT = "the model endpoint's answer ended in the middle"
UNREADABLE = "the model endpoint's answer is not a chat completion"
STEERING = '{"code": "InvalidParameter", "message": "bad\\u001b[31m\\nfield"}'


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (refused(401, error(f"wrong key {KEY}")), SERVER, WRONG_KEY.format(401)),
        (refused(403, "{}"), SERVER, WRONG_KEY.format(403)),
        (refused(429, error("slow down"), **{"Retry-After": "9"}), LIMIT, "the model endpoint answered HTTP 429: slow down"),
        (refused(404, error("no model `x`")), SERVER, "the model endpoint answered HTTP 404: no model `x`"),
        (refused(500, f'{{"error": "broken {KEY}"}}'), SERVER, "the model endpoint answered HTTP 500: broken [key]"),
        (refused(503, "<html>busy</html>", "text/html"), SERVER, "the model endpoint answered HTTP 503"),
        (refused(400, STEERING), SERVER, "the model endpoint answered HTTP 400: bad [31m field"),
        (refused(307, "", Location="https://evil.example/v1"), SERVER, REDIRECT),
        (refused(200, "<html>hello</html>", "text/html"), SERVER, UNREADABLE),
        (Answer([]), SERVER, UNREADABLE),
        (Answer([delta(content="It")]), SERVER, CUT),
        (Answer([b"data: {broken\n\n"]), SERVER, UNREADABLE),
        (Answer([b"data: [1]\n\n"]), SERVER, UNREADABLE),
        (Answer([event(choices="x")]), SERVER, UNREADABLE),
        (Answer([delta("stop", tool_calls=[{"index": [1], "function": {"name": "x"}}]), event(choices=1)]), SERVER, UNREADABLE),
        (Answer([event(choices=[1])]), SERVER, UNREADABLE),
        (Answer([event(choices=[{"delta": {"tool_calls": [1]}}])]), SERVER, UNREADABLE),
        (Answer([event(choices=[{"delta": {"tool_calls": 1}}])]), SERVER, UNREADABLE),
        (Answer([delta("stop", tool_calls=[{"id": "a"}])]), SERVER, "the model endpoint's answer calls a tool without a name"),
        (Answer([delta(content="It"), event(error={"message": "no", "code": 503})]), SERVER, "the model endpoint failed: no"),
        (Answer([event(error={"message": f"slow, {KEY}", "code": 429})]), LIMIT, "the model endpoint failed: slow, [key]"),
        (Answer([event(error={"message": "slow", "type": "limit_requests"})]), LIMIT, "the model endpoint failed: slow"),
        (Answer([event(error="oh")]), SERVER, "the model endpoint failed: oh"),
        (Answer([event(code="InternalError", message="oh")]), SERVER, "the model endpoint failed: oh"),
        (refused(200, error("late"), "application/json"), SERVER, "the model endpoint failed: late"),
        (refused(500, error("x" * 500)), SERVER, f"the model endpoint answered HTTP 500: {'x' * 202}…"),
        (refused(500, error("x" * 195 + KEY)), SERVER, f"the model endpoint answered HTTP 500: {'x' * 195}[key]"),
        (Answer([event(error="x" * 210 + KEY)]), SERVER, f"the model endpoint failed: {'x' * 210}[ke…"),
    ],
)  # fmt: skip
def test_every_trouble_is_a_failed_run_with_a_sentence(answer: Answer, code: str, message: str) -> None:
    with talk(answer) as (api, server):
        thread = api.thread("Hello.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant())
        run = events[-1][1]
        assert ("failed", {"code": code, "message": message}) == (run["status"], run["last_error"])
        assert run["failed_at"]
        assert 1 == len(server.bodies)
        assert KEY not in json.dumps(events)
        # The thread is free again.
        assert 200 == api.send("POST", f"/threads/{thread}/messages", json={"content": "Again."}).status_code


def test_what_was_said_before_a_trouble_is_kept_as_incomplete() -> None:
    with talk(Answer([delta(content="It is")])) as (api, _):
        thread = api.thread("Hello.")
        events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant())
        ended = ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed"]
        assert [*BEGUN, *MESSAGE, "thread.message.delta", *ended] == names(events)
        assert "It is" == api.answer(thread)


def test_nobody_at_the_endpoint_is_a_failed_run() -> None:
    with chat_server() as server:
        gone = server.base_url
    api = ModelApi(Chat(ChatEndpoint(gone), "gone"))
    run = api.ask(api.assistant(), api.thread(), "Hello.")
    api.close()
    host = gone.removeprefix("http://").removesuffix("/v1")
    assert {"code": SERVER, "message": f"the model endpoint at {host} cannot be reached"} == run["last_error"]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (httpx.ReadTimeout("x"), "the model endpoint at host.example did not answer in time"),
        (httpx.RemoteProtocolError("x"), "the connection to the model endpoint at host.example broke"),
    ],
)
def test_a_silent_or_broken_connection_is_a_failed_run(raised: Exception, message: str) -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        raise raised

    endpoint = ChatEndpoint("https://host.example/v1", KEY, "THE_KEY")
    endpoint.client = httpx.AsyncClient(transport=httpx.MockTransport(answered))
    api = ModelApi(Chat(endpoint, "silent"))
    run = api.ask(api.assistant(), api.thread(), "Hello.")
    api.close()
    assert {"code": SERVER, "message": message} == run["last_error"]


# ── runs that end otherwise ──────────────────────────────────────────────────────────────────────────────────────────


def held(*pieces: bytes) -> tuple[Answer, threading.Event]:
    """An answer that goes on only when the event is set."""
    hold = threading.Event()
    return Answer(pieces, hold=hold, after=[delta(content=" more."), delta("stop"), usage(), DONE]), hold


def first_delta(api: ModelApi, thread: str, assistant: str, then: Any) -> list[str]:
    """Stream a run; at its first delta do this; the names of all events, the run's end among them."""

    async def session() -> list[str]:
        seen: list[str] = []
        body = {"assistant_id": assistant, "stream": True}
        async with api.client.stream("POST", f"/threads/{thread}/runs", json=body) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("event:"):
                    continue
                seen.append(line.removeprefix("event:"))
                if seen[-1] == "thread.message.delta" and seen.count(seen[-1]) == 1:
                    await then()
        return seen

    return api.runner.run(asyncio.wait_for(session(), LONG))


def test_pieces_reach_a_stream_while_the_model_still_speaks() -> None:
    answer, hold = held(delta(content="One"))
    with talk(answer) as (api, _):

        async def go_on() -> None:
            hold.set()

        seen = first_delta(api, api.thread("Hello."), api.assistant(), go_on)
    assert ["thread.message.delta"] * 2 + [*SAID, "thread.run.completed", "done"] == seen[-6:]


def test_cancelling_hangs_up_on_the_model() -> None:
    answer, _hold = held(delta(content="One"))
    with talk(answer, says("Again.")) as (api, server):
        thread, assistant = api.thread("Hello."), api.assistant()

        async def cancel() -> None:
            [run] = (await api.client.get(f"/threads/{thread}/runs")).json()["data"]
            assert "cancelling" == (await api.client.post(f"/threads/{thread}/runs/{run['id']}/cancel")).json()["status"]

        seen = first_delta(api, thread, assistant, cancel)
        ended = ["cancelling", "message.incomplete", "run.step.cancelled", "run.cancelled"]
        assert ["thread.run.cancelling", *(f"thread.{name}" for name in ended[1:]), "done"] == seen[-5:]
        assert hung_up(api, server)
        assert "One" == api.answer(thread)
        assert "completed" == api.ask(assistant, thread, "Again.")["status"]


def test_deleting_the_thread_hangs_up_on_the_model() -> None:
    answer, _hold = held(delta(content="One"))
    with talk(answer) as (api, server):
        thread = api.thread("Hello.")

        async def delete() -> None:
            assert (await api.client.delete(f"/threads/{thread}")).json()["deleted"]

        assert ["error", "done"] == first_delta(api, thread, api.assistant(), delete)[-2:]
        assert hung_up(api, server)
        assert 404 == api.send("GET", f"/threads/{thread}").status_code


def test_the_servers_end_hangs_up_on_the_model() -> None:
    answer, _hold = held(delta(content="One"))
    with talk(answer) as (api, server):
        thread = api.thread("Hello.")
        api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())
        api.runner.run(asyncio.to_thread(waited, server))
        api.runner.run(api.service.hang_up())
        assert hung_up(api, server)


def hung_up(api: Any, server: Any) -> bool:
    """Whether the service closes its connection, which it does while its loop runs."""
    left: bool = api.runner.run(asyncio.to_thread(server.left.wait, LONG))
    return left


def waited(server: Any) -> None:
    """Until the server was asked something."""
    for _ in range(LONG * 100):
        if server.bodies or server.stopping.wait(0.01):
            return


def test_a_run_that_takes_too_long_expires_and_hangs_up() -> None:
    clock = HandClock()
    answer, _hold = held(delta(content="One"))
    with talk(answer, clock=clock) as (api, server):
        thread = api.thread("Hello.")

        async def too_late() -> None:
            clock.time += 601
            [run] = (await api.client.get(f"/threads/{thread}/runs")).json()["data"]
            assert "expired" == run["status"]

        seen = first_delta(api, thread, api.assistant(), too_late)
        assert ["thread.message.incomplete", "thread.run.step.expired", "thread.run.expired", "done"] == seen[-4:]
        assert hung_up(api, server)


def test_a_run_expires_also_when_nobody_looks() -> None:
    clock = HandClock()
    answer, _hold = held(delta(content="One"))
    with talk(calls(call("big_add", ADDED)), answer, clock=clock) as (api, server):
        run = api.ask(api.assistant(ADD), api.thread(), "Add.")
        clock.time += 599.9
        assert "expired" == api.submit(run, "3")["status"]
        assert hung_up(api, server)


def test_a_run_whose_process_is_gone_ends_as_expired(tmp_path: Path) -> None:
    answer, _hold = held(delta(content="One"))
    with talk(answer, store=Store(tmp_path / "a.db")) as (api, _):
        thread = api.thread("Hello.")
        run = api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())
    with talk(store=Store(tmp_path / "a.db")) as (api, _):
        assert "expired" == api.get(f"/threads/{thread}/runs/{run['id']}")["status"]
        assert 200 == api.send("POST", f"/threads/{thread}/messages", json={"content": "Again."}).status_code


def test_a_run_that_waits_for_outputs_outlives_the_process(tmp_path: Path) -> None:
    with talk(calls(call("big_add", ADDED)), store=Store(tmp_path / "a.db")) as (api, _):
        run = api.ask(api.assistant(ADD), api.thread(), "Add.")
        assert "requires_action" == run["status"]
    with talk(says("3."), store=Store(tmp_path / "a.db")) as (api, server):
        assert "completed" == api.submit(run, "3")["status"]
        assert ["user", "assistant", "tool"] == [message["role"] for message in server.bodies[0]["messages"]]
