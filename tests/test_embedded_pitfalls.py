"""What the official SDKs stumble over (the reference's section 15), each looked at on the wire, in its order."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.embedded_fixtures import ADD, Api

TOOLS = (ADD, "text_to_image", "calculator", "code_interpreter")


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(latency=1)
    yield made
    made.close()


def bodies(api: Api) -> Iterator[Any]:
    """Every kind of success body the service gives, and every event of a plain, a plug-in and a function run."""
    assistant = api.post("/assistants", model="m", tools=[ADD, *({"type": kind} for kind in TOOLS[1:])])
    yield assistant
    yield api.post(f"/assistants/{assistant['id']}", name="x", file_ids=[], metadata=None)
    thread = api.post("/threads")
    yield thread
    for text in ("Hello.", "Draw a cat.", "Run the code.", "Use big_add on 1 and 2."):
        yield api.post(f"/threads/{thread['id']}/messages", content=text)
        path = f"/threads/{thread['id']}/runs"
        events = api.events(path, assistant_id=assistant["id"])
        yield from (data for _, data in events)
        run = f"{path}/{events[-1][1]['id']}"
        if events[-1][0] == "thread.run.requires_action":
            yield from (data for _, data in api.events(f"{run}/submit_tool_outputs", tool_outputs=[{"output": "3"}]))
        yield api.get(run)
        yield api.get(f"{run}/steps")
        yield api.post(f"{run}/cancel")
    yield api.get(f"/threads/{thread['id']}/messages")
    yield api.get(path)
    yield api.get("/assistants")
    yield api.delete(f"/assistants/{assistant['id']}")
    yield api.delete(f"/threads/{thread['id']}")


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every JSON object within a value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


def every(api: Api, *kinds: str) -> list[Mapping[str, Any]]:
    """Every object of these kinds that the service ever shows."""
    found = [one for body in bodies(api) for one in objects(body) if one.get("object") in kinds]
    assert set(kinds) == {one["object"] for one in found}
    return found


def test_1_every_success_is_200_with_a_body(api: Api) -> None:
    # Api.get, .post, .delete and .events accept 200 alone, and demand a request_id.
    assert all(isinstance(body, dict) and body["request_id"] for body in bodies(api))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/threads", b'""'),
        ("/threads", b'{"metadata":null}'),
        ("/assistants", b'{"model":"m","file_ids":[],"metadata":null,"name":null,"tools":null,"surprise":{"a":[1]}}'),
        ("/threads/{thread}/messages", b'{"content":"x","role":"user","file_ids":[],"metadata":null}'),
        (
            "/threads/{thread}/runs",
            b'{"assistant_id":"{assistant}","response_format":"json_object","parallel_tool_calls":true}',
        ),
        ("/threads/{thread}/runs", b'{"assistant_id":"{assistant}","max_prompt_tokens":5,"tool_choice":"auto","stream":false}'),
        ("/threads/{thread}/runs/{run}/cancel", b""),
    ],
)
def test_2_what_the_sdks_send_is_accepted(api: Api, path: str, content: bytes) -> None:
    assistant, other = api.assistant(), api.thread("Hello.")
    run = api.post(f"/threads/{other}/runs", assistant_id=assistant)["id"]
    thread = other if "{run}" in path else api.thread("Hello.")
    path = path.replace("{thread}", thread).replace("{run}", run)
    assert 200 == api.send("POST", path, content=content.replace(b"{assistant}", assistant.encode())).status_code


def test_3_tools_and_data_are_always_arrays(api: Api) -> None:
    assert all(isinstance(one["tools"], list) for one in every(api, "assistant", "thread.run"))
    assert all(isinstance(one["data"], list) for one in every(api, "list"))
    assert [] == api.post("/assistants", model="m", tools=None)["tools"]


def test_4_content_is_an_array_of_items_with_a_text_value(api: Api) -> None:
    found = every(api, "thread.message", "thread.message.delta")
    contents = [one.get("content", one.get("delta", {}).get("content")) for one in found]
    assert all(isinstance(content, list) for content in contents)
    items = [item for content in contents for item in content]
    assert items and all(item["type"] == "text" and isinstance(item["text"]["value"], str) for item in items)
    assert all(item["text"]["annotations"] == [] for item in items)


def test_5_what_is_a_scalar_is_never_a_list(api: Api) -> None:
    scalars = {
        "id",
        "role",
        "status",
        "model",
        "name",
        "instructions",
        "type",
        "created_at",
        "thread_id",
        "run_id",
        "assistant_id",
    }
    for one in every(api, "assistant", "thread", "thread.message", "thread.run", "thread.run.step"):
        assert [] == [name for name in scalars & set(one) if isinstance(one[name], (list, dict))]


def test_6_a_code_interpreter_call_has_arguments_and_output(api: Api) -> None:
    found = [one["code_interpreter"] for body in bodies(api) for one in objects(body) if "code_interpreter" in one]
    assert found and all({"arguments", "output"} >= set(call) for call in found)
    assert all(isinstance(text, str) for call in found for text in call.values())


def test_7_errors_and_actions_are_null_or_complete(api: Api) -> None:
    runs = every(api, "thread.run")
    assert {None} == {run["last_error"] for run in runs}
    actions = [run["required_action"] for run in runs if run["required_action"] is not None]
    for action in actions:
        [call] = action["submit_tool_outputs"]["tool_calls"]
        assert {"left": 1, "right": 2} == json.loads(call["function"]["arguments"])
        assert ("submit_tool_outputs", "function", True) == (action["type"], call["type"], bool(call["id"]))
    assert actions


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [("GET", "/x", b""), ("PUT", "/assistants", b""), ("POST", "/assistants", b"{"), ("GET", "/threads/x/runs/y/steps/z", b"")],
)
def test_8_every_error_is_json_with_its_three_fields(api: Api, method: str, path: str, content: bytes) -> None:
    status, code, message = api.refused(method, path, content=content)
    assert status in {400, 404, 405} and code and message


def test_9_events_have_no_spaces_and_done_is_last(api: Api) -> None:
    raw = api.raw(f"/threads/{api.thread('Draw 猫 cats.')}/runs", assistant_id=api.assistant("text_to_image"))
    *blocks, done, end = raw.split("\n\n")
    assert ("event:done\ndata:[DONE]", "") == (done, end)
    for block in blocks:
        name, data = block.split("\n")
        assert name.startswith("event:thread.") and data.startswith('data:{"id":')
    assert "猫" in raw and "\r" not in raw


def test_10_the_answer_is_the_first_of_the_list_within_the_same_millisecond(api: Api) -> None:
    api.service.latency = 0
    thread = api.thread("Hello.")
    api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())
    answer, question = api.get(f"/threads/{thread}/messages")["data"]
    assert answer["created_at"] == question["created_at"]
    assert ("assistant", "user") == (answer["role"], question["role"])


def test_11_times_of_runs_and_steps_fit_into_32_bits(api: Api) -> None:
    names = ("expires_at", "started_at", "cancelled_at", "failed_at", "completed_at", "expired_at")
    found = every(api, "thread.run", "thread.run.step")
    times = [one[name] for one in found for name in names if one.get(name)]
    assert times and all(time < 2**31 for time in times)
    assert all(one["created_at"] > 10**12 for one in found)


def test_12_what_java_asks_first_and_reads_strictly(api: Api) -> None:
    warm_up = api.get("/assistants", limit=1)
    assert ([], False) == (warm_up["data"], warm_up["has_more"])
    known = {"queued", "in_progress", "requires_action", "cancelling", "cancelled", "failed", "completed", "expired"}
    assert {run["status"] for run in every(api, "thread.run")} <= known
    assert all(isinstance(value, str) for one in every(api, "thread.run") for value in one["metadata"].values())


def test_13_a_run_ends_by_itself_between_two_looks(api: Api) -> None:
    thread = api.thread("Hello.")
    run = api.post(f"/threads/{thread}/runs", assistant_id=api.assistant())
    path = f"/threads/{thread}/runs/{run['id']}"
    assert "queued" == api.get(path)["status"]
    api.clock.time += 1
    assert "completed" == api.get(path)["status"]


def test_the_superset_for_the_openai_sdk(api: Api) -> None:
    """Deltas are numbered, every call has an id that is said once, and usage has both spellings."""
    shown = list(bodies(api))
    items = [item for body in shown if body.get("object") == "thread.message.delta" for item in body["delta"]["content"]]
    steps = [body["delta"]["step_details"]["tool_calls"] for body in shown if body.get("object") == "thread.run.step.delta"]
    assert items and steps
    assert {0} == {item["index"] for item in items} | {call["index"] for [call] in steps}
    ids = [call["id"] for [call] in steps if "id" in call]
    assert len(ids) == len(set(ids)) == 3
    whole = [
        call for body in shown if body.get("object") == "thread.run.step" for call in body["step_details"].get("tool_calls", ())
    ]
    assert whole and all(call["id"].startswith("call_") for call in whole)
    usages = [body["usage"] for body in shown if body.get("usage")]
    assert usages and all(one["prompt_tokens"] == one["input_tokens"] for one in usages)
    assert all(one["completion_tokens"] == one["output_tokens"] for one in usages)
