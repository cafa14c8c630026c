"""The embedded service answers the Assistant API as the reference has it: every call, every refusal, every stream."""

import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.embedded.service import SystemClock
from runner.embedded.store import Store, StoreProblem
from runner.model import Sample, SampleCall
from tests.embedded_fixtures import ADD, Api, parsed

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


@pytest.fixture
def slow() -> Iterator[Api]:
    """A service whose runs take ten seconds."""
    made = Api(latency=10)
    yield made
    made.close()


def names(events: list[tuple[str, Any]], deltas: bool = False) -> list[str]:
    return [name.removeprefix("thread.") for name, _ in events if deltas or not name.endswith(".delta")]


# ── assistants ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_assistant_is_echoed_with_all_its_fields(api: Api) -> None:
    tool = {"type": "text_to_image", "description": "For examples", "anything": {"else": 1}}
    made = api.post("/assistants", model="qwen-max", name="Art", tools=[tool], file_ids=[], metadata=None, temperature=0.5)
    assert re.fullmatch(f"asst_{UUID4}", made.pop("id"))
    del made["request_id"]
    assert made == {
        "object": "assistant",
        "created_at": 1_795_000_000_000,
        "model": "qwen-max",
        "name": "Art",
        "description": "",
        "instructions": "",
        "tools": [tool],
        "file_ids": [],
        "metadata": {},
        "temperature": 0.5,
        "top_p": None,
        "top_k": None,
        "max_tokens": None,
    }


def test_an_assistant_is_read_and_deleted(api: Api) -> None:
    made = api.assistant()
    assert made == api.get(f"/assistants/{made}")["id"]
    gone = api.delete(f"/assistants/{made}")
    assert {"id": made, "object": "assistant.deleted", "deleted": True} == {k: gone[k] for k in ("id", "object", "deleted")}
    assert (404, "NotFound", f"there is no assistant `{made}`") == api.refused("GET", f"/assistants/{made}")


def test_modifying_leaves_what_is_absent_or_null(api: Api) -> None:
    made = api.assistant("calculator", name="One", metadata={"a": "b"}, file_ids=["f"])
    new = api.post(f"/assistants/{made}", name="Two", file_ids=[], metadata=None)
    assert ("Two", {"a": "b"}, ["f"], [{"type": "calculator"}], "qwen-max") == (
        new["name"], new["metadata"], new["file_ids"], new["tools"], new["model"]
    )  # fmt: skip
    assert new == {**api.get(f"/assistants/{made}"), "request_id": new["request_id"]}


def test_modifying_replaces_metadata_and_clears_tools(api: Api) -> None:
    made = api.assistant("calculator", metadata={"a": "b"})
    new = api.post(f"/assistants/{made}", tools=[], metadata={"c": "d"})
    assert ([], {"c": "d"}) == (new["tools"], new["metadata"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "`model` is required"),
        ({"model": ""}, "`model` is required"),
        ({"model": 3}, "`model` is not a text"),
        ({"model": "m", "tools": "calculator"}, "`tools` is not a list of objects"),
        ({"model": "m", "tools": [{}]}, "`tools[0].type` is required"),
        ({"model": "m", "tools": [{"type": "function"}]}, "`tools[0].function.name` is required"),
        ({"model": "m", "temperature": 2.5}, "`temperature` is not between 0 and 2"),
        ({"model": "m", "temperature": True}, "`temperature` is not a number"),
        ({"model": "m", "top_k": 1.5}, "`top_k` is not a whole number"),
        ({"model": "m", "max_tokens": 0}, "`max_tokens` is not at least 1"),
        ({"model": "m", "file_ids": [1]}, "`file_ids` is not a list of texts"),
        ({"model": "m", "metadata": []}, "`metadata` is not an object"),
        ({"model": "m", "metadata": {"a": 1}}, "`metadata.a` is not a text"),
        ({"model": "m", "metadata": {"a": "x" * 513}}, "`metadata.a` is longer than 512 characters"),
        ({"model": "m", "metadata": {str(n): "" for n in range(17)}}, "`metadata` has 17 pairs; at most 16 are kept"),
        ({"model": "m", "metadata": {"k" * 65: ""}}, f"a key of `metadata` is longer than 64 characters: `{'k' * 64}…`"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, body: object, message: str) -> None:
    assert (400, "InvalidParameter", message) == api.refused("POST", "/assistants", json=body)


def test_metadata_may_use_all_its_room(api: Api) -> None:
    full = {f"{n:064}": "x" * 512 for n in range(16)}
    assert full == api.post("/assistants", model="m", metadata=full)["metadata"]


def test_legacy_files_are_kept_with_the_assistant_and_the_message(api: Api) -> None:
    made = api.assistant()
    assert "assistant.file" == api.post(f"/assistants/{made}/files", file_id="f1")["object"]
    api.post(f"/assistants/{made}/files", file_id="f2")
    assert ["f1", "f2"] == [file["id"] for file in api.get(f"/assistants/{made}/files")["data"]]
    assert api.delete(f"/assistants/{made}/files/f1")["deleted"]
    assert (404, "NotFound", "there is no file `f1` here") == api.refused("GET", f"/assistants/{made}/files/f1")
    thread = api.thread()
    message = api.post(f"/threads/{thread}/messages", content="x", file_ids=["f3"])["id"]
    assert "f3" == api.get(f"/threads/{thread}/messages/{message}/files")["data"][0]["id"]
    assert message == api.get(f"/threads/{thread}/messages/{message}/files/f3")["message_id"]


# ── threads and messages ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [b'""', b"{}", b"", b'{"messages":[],"metadata":null,"unknown":1}'])
def test_a_thread_is_made_from_whatever_an_sdk_sends(api: Api, content: bytes) -> None:
    made = api.send("POST", "/threads", content=content).json()
    assert re.fullmatch(f"thread_{UUID4}", made["id"])
    assert ("thread", {}, 1_795_000_000_000) == (made["object"], made["metadata"], made["created_at"])
    assert "messages" not in made


def test_a_thread_is_modified_and_deleted_with_all_it_holds(api: Api) -> None:
    thread = api.thread("Hello.")
    message = api.get(f"/threads/{thread}/messages")["data"][0]["id"]
    run = api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())["id"]
    assert {"a": "b"} == api.post(f"/threads/{thread}", metadata={"a": "b"})["metadata"]
    assert {"a": "b"} == api.post(f"/threads/{thread}", metadata=None)["metadata"]
    assert "thread.deleted" == api.delete(f"/threads/{thread}")["object"]
    for path in ("", "/messages", f"/messages/{message}", "/runs", f"/runs/{run}", f"/runs/{run}/steps"):
        assert 404 == api.send("GET", f"/threads/{thread}{path}").status_code, path
    [left] = api.service.store.database.execute("SELECT count(*) FROM object WHERE kind != 'assistant'").fetchone()
    assert 0 == left


def test_a_message_has_the_documented_form(api: Api) -> None:
    thread = api.thread()
    made = api.post(f"/threads/{thread}/messages", content="Grüße 猫", metadata={"a": "b"})
    assert re.fullmatch(f"message_{UUID4}", made["id"])
    assert ("thread.message", "user", thread, {"a": "b"}, []) == tuple(
        made[name] for name in ("object", "role", "thread_id", "metadata", "file_ids")
    )
    assert [{"type": "text", "text": {"value": "Grüße 猫", "annotations": []}}] == made["content"]
    assert made == {**api.get(f"/threads/{thread}/messages/{made['id']}"), "request_id": made["request_id"]}
    assert {} == api.post(f"/threads/{thread}/messages/{made['id']}", metadata={})["metadata"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "`content` is required"),
        ({"content": ""}, "`content` is required"),
        ({"content": ["a"]}, "`content` is not a text"),
        ({"content": "x", "role": "system"}, "`role` is `system`; it is `user` or `assistant`"),
    ],
)
def test_a_wrong_message_is_refused(api: Api, body: object, message: str) -> None:
    assert (400, "InvalidParameter", message) == api.refused("POST", f"/threads/{api.thread()}/messages", json=body)


def test_a_message_belongs_to_its_thread(api: Api) -> None:
    message = api.get(f"/threads/{api.thread('Hello.')}/messages")["data"][0]["id"]
    assert (404, "NotFound", f"there is no message `{message}`") == api.refused(
        "GET", f"/threads/{api.thread()}/messages/{message}"
    )


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def listed(api: Api, thread: str, **query: Any) -> tuple[list[str], bool]:
    page = api.get(f"/threads/{thread}/messages", **query)
    assert "list" == page["object"]
    ids = [message["id"] for message in page["data"]]
    assert (ids[0] if ids else None, ids[-1] if ids else None) == (page["first_id"], page["last_id"])
    return [message["content"][0]["text"]["value"] for message in page["data"]], page["has_more"]


def test_lists_are_newest_first_also_within_a_millisecond(api: Api) -> None:
    thread = api.thread("1", "2", "3")
    assert (["3", "2", "1"], False) == listed(api, thread)
    assert (["1", "2", "3"], False) == listed(api, thread, order="asc")


def test_pages_follow_one_another_in_the_requested_order(api: Api) -> None:
    thread = api.thread(*"12345")
    ids = {m["content"][0]["text"]["value"]: m["id"] for m in api.get(f"/threads/{thread}/messages")["data"]}
    assert (["5", "4"], True) == listed(api, thread, limit=2)
    assert (["3", "2"], True) == listed(api, thread, limit=2, after=ids["4"])
    assert (["1"], False) == listed(api, thread, limit=2, after=ids["2"])
    assert ([], False) == listed(api, thread, after=ids["1"])
    assert (["3", "4", "5"], False) == listed(api, thread, order="asc", after=ids["2"])
    assert (["5", "4"], False) == listed(api, thread, before=ids["3"])
    assert (["4", "3"], True) == listed(api, thread, before=ids["2"], limit=2)
    assert (["1", "2"], False) == listed(api, thread, order="asc", before=ids["3"])


def test_a_page_holds_twenty_unless_told(api: Api) -> None:
    thread = api.thread(*map(str, range(101)))
    assert (20, True) == (len(listed(api, thread)[0]), listed(api, thread)[1])
    assert 100 == len(listed(api, thread, limit=100)[0])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "`limit` is `0`; it is a whole number from 1 to 100"),
        ({"limit": "101"}, "`limit` is `101`; it is a whole number from 1 to 100"),
        ({"limit": "9" * 5000}, f"`limit` is `{'9' * 5000}`; it is a whole number from 1 to 100"),
        ({"limit": "two"}, "`limit` is `two`; it is a whole number from 1 to 100"),
        ({"order": "up"}, "`order` is `up`; it is `asc` or `desc`"),
        ({"after": "a", "before": "b"}, "`after` and `before` exclude each other"),
        ({"after": "message_none"}, "there is no message `message_none` in this list"),
    ],
)
def test_a_wrong_page_is_refused(api: Api, query: dict[str, str], message: str) -> None:
    assert (400, "InvalidParameter", message) == api.refused("GET", f"/threads/{api.thread()}/messages", params=query)


def test_an_empty_list_is_an_empty_array(api: Api) -> None:
    page = api.get("/assistants", limit=1)
    del page["request_id"]
    assert {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False} == page


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_goes_its_way_by_the_clock(slow: Api) -> None:
    thread = slow.thread("Hello.")
    run = slow.post(f"/threads/{thread}/runs", assistant_id=slow.assistant())
    assert re.fullmatch(f"run_{UUID4}", run["id"])
    assert ("queued", None, None) == (run["status"], run["usage"], run["started_at"])
    path = f"/threads/{thread}/runs/{run['id']}"
    slow.clock.time += 2
    assert "in_progress" == slow.get(path)["status"]
    slow.clock.time += 7.9
    assert "in_progress" == slow.get(path)["status"]
    slow.clock.time += 0.2
    ended = slow.get(path)
    assert ("completed", {"input_tokens": 2, "output_tokens": 10, "total_tokens": 12}) == (
        ended["status"],
        {name: ended["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens")},
    )
    assert "Hello! What would you like to talk about?" == slow.answer(thread)


def test_a_run_takes_over_and_overrides_its_assistant(api: Api) -> None:
    assistant = api.assistant("calculator", instructions="Be kind.", temperature=0.2, top_k=5)
    thread = api.thread("Hello.")
    run = api.post(
        f"/threads/{thread}/runs",
        assistant_id=assistant,
        model="qwen-plus",
        additional_instructions="Be brief.",
        temperature=1,
        tools=[{"type": "quark_search"}],
        response_format="json_object",
        additional_messages=[{"role": "user", "content": "And good day."}],
    )
    assert ("qwen-plus", "Be kind.\nBe brief.", 1, 5, [{"type": "quark_search"}]) == tuple(
        run[name] for name in ("model", "instructions", "temperature", "top_k", "tools")
    )
    assert 3 == len(api.get(f"/threads/{thread}/messages")["data"])


def test_runs_are_listed_and_modified(api: Api) -> None:
    assistant, thread = api.assistant(), api.thread("Hello.")
    runs = [api.ask(assistant, thread, "Again.")["id"] for _ in range(3)]
    assert runs[::-1] == [run["id"] for run in api.get(f"/threads/{thread}/runs")["data"]]
    assert {"a": "b"} == api.post(f"/threads/{thread}/runs/{runs[0]}", metadata={"a": "b"})["metadata"]
    assert (404, "NotFound", "there is no run `run_none`") == api.refused("GET", f"/threads/{thread}/runs/run_none")


def test_an_active_run_holds_its_thread(slow: Api) -> None:
    assistant, thread = slow.assistant(), slow.thread("Hello.")
    run = slow.post(f"/threads/{thread}/runs", assistant_id=assistant)["id"]
    assert (400, "InvalidParameter", f"a second run cannot start while run `{run}` is `queued`") == slow.refused(
        "POST", f"/threads/{thread}/runs", json={"assistant_id": assistant}
    )
    assert (400, "InvalidParameter", f"a message cannot be added while run `{run}` is `queued`") == slow.refused(
        "POST", f"/threads/{thread}/messages", json={"content": "And?"}
    )
    slow.clock.time += 10
    assert "user" == slow.post(f"/threads/{thread}/messages", content="And?")["role"]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "InvalidParameter", "`assistant_id` is required")),
        ({"assistant_id": "asst_none"}, (404, "NotFound", "there is no assistant `asst_none`")),
        ({"assistant_id": "asst_none", "stream": True}, (404, "NotFound", "there is no assistant `asst_none`")),
    ],
)
def test_a_run_needs_an_assistant(api: Api, body: object, refusal: tuple[int, str, str]) -> None:
    thread = api.thread("Hello.")
    assert refusal == api.refused("POST", f"/threads/{thread}/runs", json=body)
    assert [] == api.get(f"/threads/{thread}/runs")["data"]


def test_a_refused_thread_and_run_leaves_nothing_behind(api: Api) -> None:
    api.refused("POST", "/threads/runs", json={"assistant_id": "asst_none", "thread": {"messages": [{"content": "x"}]}})
    assert (0,) == api.service.store.database.execute("SELECT count(*) FROM object").fetchone()


def test_thread_and_run_are_made_in_one_call(api: Api) -> None:
    run = api.post("/threads/runs", assistant_id=api.assistant(), thread={"messages": [{"role": "user", "content": "Hello."}]})
    assert ("thread.run", "queued") == (run["object"], run["status"])
    assert "Hello! What would you like to talk about?" == api.answer(run["thread_id"])


def test_the_model_sees_the_last_messages_only(api: Api) -> None:
    assistant = api.assistant()
    for between, strategy, answer in (
        (8, None, "Your name is Ana."),
        (9, None, "You have not told me your name."),
        (9, {"type": "last_messages", "last_messages": 11}, "Your name is Ana."),
    ):
        thread = api.thread("My name is Ana.", *["So."] * between, "What is my name?")
        api.post(f"/threads/{thread}/runs", assistant_id=assistant, truncation_strategy=strategy)
        assert answer == api.answer(thread)


def test_steps_are_listed_and_read(api: Api) -> None:
    thread = api.thread()
    run = api.ask(api.assistant("calculator"), thread, "What is 6 * 7?")
    path = f"/threads/{thread}/runs/{run['id']}/steps"
    message, tool = api.get(path)["data"]
    assert ("message_creation", "tool_calls", "completed", "completed") == (
        message["type"], tool["type"], message["status"], tool["status"]
    )  # fmt: skip
    assert re.fullmatch(f"step_{UUID4}", tool["id"])
    assert api.get(f"/threads/{thread}/messages")["data"][0]["id"] == message["step_details"]["message_creation"]["message_id"]
    [call] = tool["step_details"]["tool_calls"]
    assert call.pop("id").startswith("call_")
    plug_in = {"arguments": '{"formula": "6 * 7"}', "output": '{"formula": "6 * 7", "result": "42"}'}
    assert {"type": "calculator", "calculator": plug_in} == call
    assert tool["id"] == api.get(f"{path}/{tool['id']}")["id"]
    assert (404, "NotFound", "there is no run step `step_none`") == api.refused("GET", f"{path}/step_none")


# ── calls of functions ───────────────────────────────────────────────────────────────────────────────────────────────


def waiting(api: Api, text: str = "Call big_add with 3 and 4.") -> tuple[str, str, list[str]]:
    """A run that waits for the outputs of its calls: its path, its thread and the ids of the calls."""
    other = {"type": "function", "function": {"name": "now"}}
    thread = api.thread()
    run = api.ask(api.assistant(ADD, other), thread, text)
    assert "requires_action" == run["status"]
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    return f"/threads/{thread}/runs/{run['id']}", thread, [call["id"] for call in calls]


def test_a_named_function_is_called_with_arguments_from_the_message(api: Api) -> None:
    path, _, [call] = waiting(api)
    action = api.get(path)["required_action"]
    function = {"name": "big_add", "arguments": '{"left": 3, "right": 4}'}
    assert {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {"tool_calls": [{"id": call, "type": "function", "function": function}]},
    } == action
    [step] = api.get(f"{path}/steps")["data"]
    assert ("in_progress", None) == (step["status"], step["step_details"]["tool_calls"][0]["function"]["output"])


@pytest.mark.parametrize("named", [True, False])
def test_outputs_are_matched_by_id_or_by_place(api: Api, named: bool) -> None:
    path, thread, [first, second] = waiting(api, "Call big_add with 3 and 4, and now.")
    entries = [{"tool_call_id": second, "output": "noon"}, {"tool_call_id": first, "output": "7"}]
    outputs = entries if named else [{"tool_call_id": "", "output": "7"}, {"output": "noon"}]
    run = api.post(f"{path}/submit_tool_outputs", tool_outputs=outputs)
    assert "in_progress" == run["status"]
    assert 2 == len(run["required_action"]["submit_tool_outputs"]["tool_calls"])
    ended = api.get(path)
    assert ("completed", None) == (ended["status"], ended["required_action"])
    assert "According to big_add: 7. According to now: noon." == api.answer(thread)
    tool = api.get(f"{path}/steps", order="asc")["data"][0]
    assert ["7", "noon"] == [call["function"]["output"] for call in tool["step_details"]["tool_calls"]]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (None, "`tool_outputs` is required"),
        ([], "`tool_outputs` is required"),
        ([{"output": "7"}], "the output of call `{1}` is missing; all outputs go in one request"),
        ([{"output": "7"}, {"output": None}], "`tool_outputs[1].output` is required"),
        ([{"output": 7}, {"output": "8"}], "`output` is not a text"),
        ([{"tool_call_id": "call_x", "output": "7"}], "`tool_outputs[0]` belongs to no call of this run"),
        ([{"output": "1"}, {"output": "2"}, {"output": "3"}], "`tool_outputs[2]` belongs to no call of this run"),
        ([{"output": "1"}, {"tool_call_id": "{0}", "output": "2"}], "there are two outputs for call `{0}`"),
    ],
)
def test_wrong_outputs_are_refused_and_change_nothing(api: Api, outputs: Any, message: str) -> None:
    path, _, calls = waiting(api, "big_add 3 and 4, and now")
    for entry in outputs or []:
        if "tool_call_id" in entry:
            entry |= {"tool_call_id": entry["tool_call_id"].format(*calls)}
    refusal = api.refused("POST", f"{path}/submit_tool_outputs", json={"tool_outputs": outputs})
    assert (400, "InvalidParameter", message.format(*calls)) == refusal
    assert "requires_action" == api.get(path)["status"]


def test_outputs_are_taken_once(api: Api) -> None:
    path, _, _ = waiting(api)
    api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "7"}])
    assert (400, "InvalidParameter", "the run is `completed`; outputs are taken while it is `requires_action`") == api.refused(
        "POST", f"{path}/submit_tool_outputs", json={"tool_outputs": [{"output": "7"}]}
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["cancelled", "expired", "completed"])
def test_a_run_that_has_ended_takes_no_outputs(api: Api, end: str, stream: bool) -> None:
    path, _, _ = waiting(api)
    body = {"tool_outputs": [{"output": "7"}], "stream": stream}
    if end == "cancelled":
        succeeded_empty(api, f"{path}/cancel")
    elif end == "expired":
        api.clock.time += 600
    else:
        api.send("POST", f"{path}/submit_tool_outputs", json=body)
    refusal = f"the run is `{end}`; outputs are taken while it is `requires_action`"
    assert (400, "InvalidParameter", refusal) == api.refused("POST", f"{path}/submit_tool_outputs", json=body)
    steps = api.get(f"{path}/steps", order="asc")["data"]
    assert (end, end) == (api.get(path)["status"], steps[0]["status"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_at_work_on_its_outputs_takes_no_more(slow: Api, stream: bool) -> None:
    thread = slow.thread("Call big_add with 3 and 4.")
    run = slow.post(f"/threads/{thread}/runs", assistant_id=slow.assistant(ADD))["id"]
    path = f"/threads/{thread}/runs/{run}"
    slow.clock.time += 10
    slow.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "7"}])
    body = {"tool_outputs": [{"output": "8"}], "stream": stream}
    refusal = "the run is `in_progress`; outputs are taken while it is `requires_action`"
    assert (400, "InvalidParameter", refusal) == slow.refused("POST", f"{path}/submit_tool_outputs", json=body)
    slow.clock.time += 10
    assert "According to big_add: 7." == slow.answer(thread)


@pytest.mark.parametrize(
    "outputs", [[], [{"output": "7"}] * 2, [{"tool_call_id": "call_x", "output": "7"}], [{"output": 7}], [{}]]
)
def test_wrong_outputs_are_refused_before_a_stream_begins(api: Api, outputs: Any) -> None:
    path, _, _ = waiting(api)
    status, code, _ = api.refused("POST", f"{path}/submit_tool_outputs", json={"tool_outputs": outputs, "stream": True})
    assert (400, "InvalidParameter") == (status, code)
    assert "requires_action" == api.get(path)["status"]
    events = api.events(f"{path}/submit_tool_outputs", tool_outputs=[{"tool_call_id": "", "output": "7"}])
    assert "run.completed" == names(events)[-1]


def test_a_run_expires_in_its_second_round(api: Api) -> None:
    two = Sample(None, ((SampleCall("big_add", {"left": 1, "right": 2}),), (SampleCall("big_add", {"left": 3, "right": 4}),)))
    thread, body = api.thread("Hello."), {"assistant_id": api.assistant(ADD)}
    run = api.send("POST", f"/threads/{thread}/runs", json=body, extensions={"runflow.sample": two}).json()["id"]
    path = f"/threads/{thread}/runs/{run}"
    api.post(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "3"}])
    assert "requires_action" == api.get(path)["status"]
    api.clock.time += 600
    assert "expired" == api.get(path)["status"]
    assert ["completed", "expired"] == [step["status"] for step in api.get(f"{path}/steps", order="asc")["data"]]


# ── how runs end early ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_cancelled_with_what_it_leaves_open(slow: Api) -> None:
    thread = slow.thread("Draw a cat.")
    run = slow.post(f"/threads/{thread}/runs", assistant_id=slow.assistant())["id"]
    path = f"/threads/{thread}/runs/{run}"
    slow.clock.time += 7
    assert "in_progress" == slow.get(f"{path}/steps")["data"][0]["status"]
    assert "cancelling" == succeeded_empty(slow, f"{path}/cancel")["status"]
    assert "cancelling" == succeeded_empty(slow, f"{path}/cancel")["status"]
    slow.clock.time += 10
    ended = succeeded_empty(slow, f"{path}/cancel")
    assert ("cancelled", 1_795_000_017) == (ended["status"], ended["cancelled_at"])
    assert ["cancelled"] == [step["status"] for step in slow.get(f"{path}/steps")["data"]]
    assert ["incomplete", "completed"] == [message["status"] for message in slow.get(f"/threads/{thread}/messages")["data"]]
    slow.clock.time += 1000
    assert "cancelled" == slow.get(path)["status"]


def succeeded_empty(api: Api, path: str) -> Any:
    """A POST as the SDK's cancel sends it: no body, no content type."""
    answer = api.send("POST", path)
    assert (200, "0") == (answer.status_code, answer.request.headers["content-length"])
    assert "content-type" not in answer.request.headers
    return answer.json()


def test_cancelling_an_ended_run_changes_nothing(api: Api) -> None:
    thread = api.thread()
    run = api.ask(api.assistant(), thread, "Hello.")
    assert "completed" == succeeded_empty(api, f"/threads/{thread}/runs/{run['id']}/cancel")["status"]


def test_a_cancelled_run_lets_the_thread_go_on(api: Api) -> None:
    path, thread, _ = waiting(api)
    succeeded_empty(api, f"{path}/cancel")
    ended = api.get(path)
    assert ("cancelled", None) == (ended["status"], ended["required_action"])
    assert "completed" == api.ask(api.assistant(), thread, "Hello.")["status"]


def test_a_run_that_waits_expires_after_ten_minutes(api: Api) -> None:
    path, _, _ = waiting(api)
    api.clock.time += 599.9
    assert "requires_action" == api.get(path)["status"]
    api.clock.time += 0.1
    refusal = api.refused("POST", f"{path}/submit_tool_outputs", json={"tool_outputs": [{"output": "7"}]})
    assert "the run is `expired`; outputs are taken while it is `requires_action`" == refusal[2]
    assert "expired" == api.get(path)["status"]
    assert ("expired", 1_795_000_600) == tuple(api.get(f"{path}/steps")["data"][0][name] for name in ("status", "expired_at"))


def test_a_run_that_takes_too_long_expires() -> None:
    api = Api(latency=2000)
    thread = api.thread("Hello.")
    run = api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())["id"]
    api.clock.time += 5000
    assert "expired" == api.get(f"/threads/{thread}/runs/{run}")["status"]
    api.close()


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────

MESSAGE_STEP = [
    "run.step.created", "run.step.in_progress", "message.created", "message.in_progress", "message.completed",
    "run.step.completed", "run.completed",
]  # fmt: skip
BEGINNING = ["run.created", "run.queued", "run.in_progress"]
TOOL_STEP = ["run.step.created", "run.step.in_progress", "run.step.completed"]


def test_a_plain_run_streams_in_the_documented_order(api: Api) -> None:
    thread = api.thread("Hello.")
    events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant())
    assert [*BEGINNING, *MESSAGE_STEP] == names(events)
    statuses = [data["status"] for name, data in events if name in {f"thread.{one}" for one in (*BEGINNING, "run.completed")}]
    assert ["queued", "queued", "in_progress", "completed"] == statuses
    data = dict(events)
    assert [] == data["thread.message.created"]["content"]
    assert api.answer(thread) == data["thread.message.completed"]["content"][0]["text"]["value"]
    assert api.answer(thread) == pieces(events)
    assert (
        data["thread.message.created"]["id"]
        == data["thread.run.step.created"]["step_details"]["message_creation"]["message_id"]
    )
    assert 12 == data["thread.run.completed"]["usage"]["total_tokens"]
    assert 1 == len({one["request_id"] for _, one in events})


def pieces(events: list[tuple[str, Any]]) -> str:
    deltas = [data["delta"] for name, data in events if name == "thread.message.delta"]
    assert all(delta["role"] == "assistant" and delta["file_ids"] == [] and len(delta["content"]) == 1 for delta in deltas)
    assert len(deltas) > 1
    return "".join(delta["content"][0]["text"]["value"] for delta in deltas)


def test_a_plug_in_runs_in_a_step_of_its_own(api: Api) -> None:
    events = api.events(f"/threads/{api.thread('What is 6 * 7?')}/runs", assistant_id=api.assistant("calculator"))
    assert [*BEGINNING, *TOOL_STEP, *MESSAGE_STEP] == names(events)
    assert [] == dict(events[:4])["thread.run.step.created"]["step_details"]["tool_calls"]
    parts = [data["delta"]["step_details"]["tool_calls"][0] for name, data in events if name == "thread.run.step.delta"]
    assert '{"formula": "6 * 7"}' == "".join(part["calculator"].get("arguments", "") for part in parts)
    assert '{"formula": "6 * 7", "result": "42"}' == "".join(part["calculator"].get("output", "") for part in parts)


def test_a_function_pauses_the_stream_until_its_output_comes(api: Api) -> None:
    thread = api.thread("Call big_add with 3 and 4.")
    events = api.events(f"/threads/{thread}/runs", assistant_id=api.assistant(ADD))
    assert [*BEGINNING, "run.step.created", "run.step.in_progress", "run.requires_action"] == names(events)
    run = events[-1][1]
    assert "submit_tool_outputs" == run["required_action"]["type"]
    path = f"/threads/{thread}/runs/{run['id']}"
    events = api.events(f"{path}/submit_tool_outputs", tool_outputs=[{"output": "7"}])
    assert ["run.step.completed", "run.queued", "run.in_progress", *MESSAGE_STEP] == names(events)
    assert "7" == events[0][1]["step_details"]["tool_calls"][0]["function"]["output"]
    assert [None, None] == [data["required_action"] for _, data in events[1:3]]
    assert "According to big_add: 7." == pieces(events)


def test_thread_and_run_stream_the_thread_first(api: Api) -> None:
    body = {"assistant_id": api.assistant(), "thread": {"messages": [{"content": "Hello."}]}}
    events = api.events("/threads/runs", **body)
    assert ["created", *BEGINNING, *MESSAGE_STEP] == names(events)
    assert "thread" == events[0][1]["object"]


def test_a_stream_waits_for_each_event(slow: Api) -> None:
    events = slow.events(f"/threads/{slow.thread('Hello.')}/runs", assistant_id=slow.assistant())
    assert len(slow.clock.slept) == len(events) - 2
    assert pytest.approx(10) == sum(slow.clock.slept)


def test_a_silent_stream_sends_comments() -> None:
    api = Api(latency=560)
    raw = api.raw(f"/threads/{api.thread('Hello.')}/runs", assistant_id=api.assistant())
    assert ": waiting\n\n" in raw
    assert "run.completed" == names(parsed(raw))[-1]
    api.close()


def test_a_stream_tells_that_its_run_expired() -> None:
    api = Api(latency=2000)
    events = api.events(f"/threads/{api.thread('Hello.')}/runs", assistant_id=api.assistant())
    assert "run.expired" == names(events)[-1]
    api.close()


def test_a_stream_tells_that_its_run_was_cancelled(slow: Api) -> None:
    thread, assistant = slow.thread("Hello."), slow.assistant()

    async def watch() -> str:
        seen = b""
        path, body = f"/threads/{thread}/runs", {"assistant_id": assistant, "stream": True}
        async with slow.client.stream("POST", path, json=body) as answer:
            async for piece in answer.aiter_bytes():
                seen += piece
                if b"thread.run.in_progress" in piece:
                    run = (await slow.client.get(path)).json()["data"][0]["id"]
                    await slow.client.post(f"{path}/{run}/cancel")
        return seen.decode()

    assert ["run.cancelling", "run.cancelled"] == names(parsed(slow.runner.run(watch())))[-2:]


def test_a_stream_whose_thread_is_deleted_ends_with_an_error(slow: Api) -> None:
    thread, assistant = slow.thread("Hello."), slow.assistant()

    async def watch() -> str:
        seen = b""
        body = {"assistant_id": assistant, "stream": True}
        async with slow.client.stream("POST", f"/threads/{thread}/runs", json=body) as answer:
            async for piece in answer.aiter_bytes():
                seen += piece
                if b"thread.run.in_progress" in piece:
                    await slow.client.delete(f"/threads/{thread}")
        return seen.decode()

    name, data = parsed(slow.runner.run(watch()))[-1]
    assert ("error", {"code", "message", "request_id"}, "NotFound") == (name, set(data), data["code"])


def test_metadata_set_while_a_run_streams_is_in_its_last_event(slow: Api) -> None:
    thread, assistant = slow.thread("Hello."), slow.assistant()

    async def watch() -> str:
        seen = b""
        path, body = f"/threads/{thread}/runs", {"assistant_id": assistant, "stream": True}
        async with slow.client.stream("POST", path, json=body) as answer:
            async for piece in answer.aiter_bytes():
                seen += piece
                if b"thread.run.in_progress" in piece:
                    run = (await slow.client.get(path)).json()["data"][0]["id"]
                    await slow.client.post(f"{path}/{run}", json={"metadata": {"a": "b"}})
        return seen.decode()

    assert {"a": "b"} == parsed(slow.runner.run(watch()))[-1][1]["metadata"]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "/nowhere", (404, "NotFound", "there is nothing at GET /api/v1/nowhere")),
        ("GET", "/assistants/", (404, "NotFound", "there is nothing at GET /api/v1/assistants/")),
        ("GET", "http://embedded.invalid/assistants", (404, "NotFound", "there is nothing at GET /assistants")),
        ("PUT", "/threads", (405, "MethodNotAllowed", "PUT is not possible here; use POST")),
        ("PATCH", "/threads/x", (405, "MethodNotAllowed", "PATCH is not possible here; use GET, POST, DELETE")),
        ("POST", "/files", (404, "NotFound", "there is nothing at POST /api/v1/files")),
        ("GET", "/threads/thread_none", (404, "NotFound", "there is no thread `thread_none`")),
        ("GET", "http://embedded.invalid/images/x.png", (404, "NotFound", "there is no such picture, or no longer")),
        ("POST", "http://embedded.invalid/images/x.png", (405, "MethodNotAllowed", "POST is not possible here; use GET")),
    ],
)
def test_unknown_paths_and_methods_are_refused(api: Api, method: str, path: str, refusal: tuple[int, str, str]) -> None:
    assert refusal == api.refused(method, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b'{"model":NaN}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"model":"\\ud800"}', "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"null", "the body is not a JSON object"),
        (b'"text"', "the body is not a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(api: Api, content: bytes, message: str) -> None:
    assert (400, "InvalidParameter", message) == api.refused("POST", "/assistants", content=content)


def test_an_internal_failure_is_an_answer_too(api: Api) -> None:
    api.service.store.database.execute("DROP TABLE object")
    status, code, message = api.refused("GET", "/assistants")
    assert (500, "InternalError") == (status, code)
    assert "the embedded service failed: OperationalError: no such table: object" == message


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(api: Api, text: str = "Draw a picture of a ragdoll cat.") -> str:
    """The URL of a picture, from the step's tool output."""
    thread = api.thread()
    run = api.ask(api.assistant("text_to_image"), thread, text)
    tool = api.get(f"/threads/{thread}/runs/{run['id']}/steps", order="asc")["data"][0]
    [call] = tool["step_details"]["tool_calls"]
    output = json.loads(call["text_to_image"]["output"])
    assert ("SUCCEEDED", 1) == (output["output"]["task_status"], output["usage"]["image_count"])
    [result] = output["output"]["results"]
    assert f"]({result['url']})" in api.answer(thread)
    return str(result["url"])


def test_a_picture_is_fetched_from_where_the_service_was_reached(api: Api) -> None:
    url = drawn(api)
    assert re.fullmatch(r"http://embedded\.invalid/images/[\w-]{32}\.png", url)
    answer = api.send("GET", url)
    assert (200, "image/png", b"\x89PNG") == (answer.status_code, answer.headers["content-type"], answer.content[:4])


def test_a_picture_lives_for_a_day(api: Api) -> None:
    url = drawn(api)
    api.clock.time += 24 * 3600
    assert 200 == api.send("GET", url).status_code
    api.clock.time += 1
    assert 404 == api.send("GET", url).status_code


def test_a_sample_is_the_answer_word_for_word(api: Api) -> None:
    assistant, thread = api.assistant("text_to_image", ADD), api.thread("Draw a cat, and big_add.")
    sample = {"runflow.sample": Sample("  Voilà, a cat.\n")}
    run = api.send("POST", f"/threads/{thread}/runs", json={"assistant_id": assistant}, extensions=sample).json()
    assert "  Voilà, a cat.\n" == api.answer(thread)
    steps = api.get(f"/threads/{thread}/runs/{run['id']}/steps", order="asc")["data"]
    assert ["tool_calls", "message_creation"] == [step["type"] for step in steps]


# ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_objects_and_runs_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "service.db"
    first = Api(Store(file), latency=10)
    thread = first.thread("Hello.")
    run = first.post(f"/threads/{thread}/runs", assistant_id=first.assistant())["id"]
    first.clock.time += 5
    assert "in_progress" == first.get(f"/threads/{thread}/runs/{run}")["status"]
    first.close()

    second = Api(Store(file))
    second.clock.time = first.clock.time + 6
    assert "completed" == second.get(f"/threads/{thread}/runs/{run}")["status"]
    assert "Hello! What would you like to talk about?" == second.answer(thread)
    second.close()


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
def test_a_database_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "service.db"
    Store(file).close()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    other = sqlite3.connect(file)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = file.read_bytes()
    with pytest.raises(StoreProblem, match=r"other\.db is a database of another program or version$"):
        Store(file)
    assert before == file.read_bytes()


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"not a database" * 100)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "x.db")
    with pytest.raises(StoreProblem, match=r"x\.db: "):
        Store(tmp_path / "x.db")


def test_two_services_share_a_file(tmp_path: Path) -> None:
    one, two = Api(Store(tmp_path / "x.db")), Api(Store(tmp_path / "x.db"))
    made = one.assistant()
    assert made == two.get(f"/assistants/{made}")["id"]
    one.close()
    two.close()


def test_setting_the_systems_clock_moves_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.now()
    monkeypatch.setattr("time.time", lambda: before - 3600)
    assert before <= clock.now() < before + 60
