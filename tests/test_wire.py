"""What a service may say, in every way it was seen to say it, and what is sent to it."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.model import (
    Assistant,
    FromFile,
    Function,
    Returns,
    Role,
    RunOverrides,
    SeedMessage,
    ServiceError,
    ThreadSetup,
    Tool,
    ToolCall,
    ToolOutput,
    Usage,
)
from runner.wire import WireError
from runner.wire import assistant_api as wire
from runner.wire.patience import retry_after
from runner.wire.sse import EVENT_LIMIT, EventDecoder, ServerEvent

SAMPLES = Path(__file__).parent / "data" / "wire" / "dashscope"


# ── the event stream ─────────────────────────────────────────────────────────────────────────────────────────────────


def events(*chunks: bytes) -> list[ServerEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"event:x\ndata:1\n\n", [("x", "1")]),
        (b"event: x\ndata: 1\n\n", [("x", "1")]),
        (b"data:  1\n\n", [("message", " 1")]),
        (b"event:x\r\ndata:1\r\n\r\n", [("x", "1")]),
        (b"event:x\rdata:1\r\r", [("x", "1")]),
        (b"data:1\ndata:2\n\n", [("message", "1\n2")]),
        (b"data\ndata:\n\n", [("message", "\n")]),
        (b": a comment\n\ndata:1\n\n", [("message", "1")]),
        (b"retry:5\nnonsense:7\ndata:1\n\n", [("message", "1")]),
        (b"event:x\n\ndata:1\n\n", [("message", "1")]),
        (b"data:1\n", []),
        (b"data:1\n\ndata:2", [("message", "1")]),
        (b"\xef\xbb\xbfdata:1\n\n", [("message", "1")]),
        (b"data:\xff\n\n", [("message", "\ufffd")]),
        (b"id:1\ndata:1\n\nid:1\ndata:1\n\nid:2\ndata:1\n\n", [("message", "1"), ("message", "1")]),
        (b"id:1\ndata:1\n\nid:1\ndata:2\n\n", [("message", "1"), ("message", "2")]),
        (b"data:1\n\ndata:1\n\n", [("message", "1"), ("message", "1")]),
        (b"", []),
    ],
)
def test_a_stream_is_read_by_the_standard(stream: bytes, expected: list[tuple[str, str]]) -> None:
    assert [ServerEvent(*each) for each in expected] == events(stream)


def test_an_event_is_given_as_soon_as_its_empty_line_has_come() -> None:
    decoder = EventDecoder()
    assert [ServerEvent("message", "1")] == list(decoder.feed(b"data:1\r\r"))
    assert [ServerEvent("message", "2")] == list(decoder.feed(b"\ndata:2\n\n"))


def test_an_event_of_more_than_1_mb_is_refused_wherever_it_is_cut() -> None:
    with pytest.raises(WireError, match="an event of the stream is longer than 1 MB"):
        events(b"data:" + b"x" * EVENT_LIMIT)
    with pytest.raises(WireError):
        events(*[b"data:" + b"x" * 1000 + b"\n"] * 1001)
    assert 2 == len(events(b"data:" + b"x" * (EVENT_LIMIT - 5) + b"\n\ndata:1\n\n"))


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


LINES = st.sampled_from(
    ["event:x", "event: y", "data:1", "data:猫 🐈", "data", "id:1", ": c", "", "", "\ufeffdata:2", "data:\ufeff"]
)


@settings(max_examples=300)
@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=30),
    cuts=st.lists(st.integers(0, 500), max_size=40),
)
def test_any_chunking_of_the_same_bytes_gives_the_same_events(lines: list[tuple[str, str]], cuts: list[int]) -> None:
    stream = "".join(line + end for line, end in lines).encode()
    assert events(stream) == events(*split(stream, cuts))
    assert events(stream) == events(*(bytes([byte]) for byte in stream))


@settings(max_examples=300)
@given(stream=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=20))
def test_any_bytes_whatever_are_read_alike_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    assert events(stream) == events(*split(stream, cuts))


@settings(max_examples=100)
@given(cuts=st.lists(st.integers(0, 5000), max_size=200))
def test_a_recorded_stream_reads_the_same_however_it_comes(cuts: list[int]) -> None:
    stream = (SAMPLES / "picture.sse").read_bytes()
    found = events(*split(stream, cuts))
    said = [wire.decode_delta(wire.decode_json(event.data)) for event in found if event.name == "thread.message.delta"]
    states = [
        wire.decode_run(json.loads(each.data)).status
        for each in found
        if each.name in ("thread.run.created", "thread.run.completed")
    ]
    assert ("这是一只猫 🐈", ["queued", "completed"]) == ("".join(said), states)
    assert ServerEvent("done", "[DONE]") == found[-1]


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_assistant_is_sent_with_what_the_author_gave_and_no_more() -> None:
    assert {"model": "qwen-max"} == wire.encode_assistant(Assistant(model="qwen-max"))
    whole = Assistant(
        model="qwen-max",
        name="Art Maestro",
        description="",
        instructions="Draw.",
        tools=(Tool("text_to_image", "For examples"), Tool("rag", None, {"prompt_ra": {"pipeline_id": ["kb"]}})),
        metadata={"team": "art"},
        temperature=0,
        top_p=0.8,
        top_k=5,
        max_tokens=100,
    )
    assert {
        "model": "qwen-max",
        "name": "Art Maestro",
        "description": "",
        "instructions": "Draw.",
        "tools": [
            {"type": "text_to_image", "description": "For examples"},
            {"type": "rag", "prompt_ra": {"pipeline_id": ["kb"]}},
        ],
        "metadata": {"team": "art"},
        "temperature": 0,
        "top_p": 0.8,
        "top_k": 5,
        "max_tokens": 100,
    } == wire.encode_assistant(whole)


def test_an_empty_thread_is_an_empty_object() -> None:
    assert {} == wire.encode_thread(None) == wire.encode_thread(ThreadSetup())
    seeded = ThreadSetup(metadata={"case": "7"}, messages=(SeedMessage(Role.ASSISTANT, "Hello."),))
    assert {"messages": [{"role": "assistant", "content": "Hello."}], "metadata": {"case": "7"}} == wire.encode_thread(seeded)


def test_a_run_is_sent_with_its_overrides() -> None:
    assert {"assistant_id": "a1", "stream": True} == wire.encode_run("a1", None, stream=True)
    overrides = RunOverrides(additional_instructions="Be brief.", tools=(), top_k=0)
    assert {
        "assistant_id": "a1",
        "stream": False,
        "additional_instructions": "Be brief.",
        "tools": [],
        "top_k": 0,
    } == wire.encode_run("a1", overrides, stream=False)


ORDER: Mapping[str, object] = {"type": "object", "properties": {"order_id": {"type": "string"}}}


def test_functions_and_plug_ins_are_sent_in_the_services_form() -> None:
    tools = (
        Tool("function", "Look up one order", {"strict": True}, Function("get_order", ORDER, Returns("x"))),
        Tool("function", None, None, Function("now", {"type": "object"})),
        Tool("my-plugin", None, {"auth": {"type": "user_http", "user_token": "t-1"}}),
    )
    assert [
        {
            "type": "function",
            "function": {"name": "get_order", "description": "Look up one order", "parameters": ORDER, "strict": True},
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
        {"type": "my-plugin", "auth": {"type": "user_http", "user_token": "t-1"}},
    ] == wire.encode_assistant(Assistant(model="m", tools=tools))["tools"]


def test_outputs_are_sent_with_their_calls() -> None:
    assert {
        "tool_outputs": [{"tool_call_id": "c1", "output": "3"}, {"tool_call_id": "", "output": ""}],
        "stream": True,
    } == wire.encode_outputs([ToolOutput("c1", "3"), ToolOutput("", "")], stream=True)


def test_a_text_still_in_its_file_is_a_bug() -> None:
    with pytest.raises(TypeError):
        wire.encode_assistant(Assistant(model="m", instructions=FromFile("prompt.md")))


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nothing", [None, {}, [], 0, -1, ""])
def test_every_way_to_say_none_is_none(nothing: object) -> None:
    run = wire.decode_run(
        {
            "id": "r1",
            "status": "completed",
            "thread_id": nothing,
            "assistant_id": nothing,
            "model": nothing,
            "required_action": nothing,
            "last_error": nothing,
            "usage": nothing,
            "request_id": nothing,
        }
    )
    assert (None, (), None, "", "", "") == (
        run.last_error,
        run.required_calls,
        run.usage,
        run.thread_id,
        run.model,
        run.request_id,
    )
    said = wire.decode_message({"id": "m1", "role": "user", "content": nothing, "run_id": nothing, "created_at": nothing})
    assert ("", "", 0.0) == (said.text, said.run_id, said.created_at)
    assert () == wire.decode_step({"id": "s1", "step_details": nothing}).calls
    assert () == wire.decode_page({"data": nothing, "last_id": nothing}).items


@pytest.mark.parametrize(("sent", "seconds"), [(1795439621153, 1795439621.153), (1795439621, 1795439621.0)])
def test_times_are_read_in_milliseconds_and_in_seconds(sent: int, seconds: float) -> None:
    assert seconds == wire.decode_message({"id": "m", "role": "user", "created_at": sent}).created_at


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a"),
        ([{"type": "text", "text": {"value": "a"}}, {"type": "text", "text": {"value": "b"}}], "a\nb"),
        ([{"type": "text", "text": "a"}], "a"),
        ("a", "a"),
        ([{"type": "hologram", "hologram": {"x": 1}}, {"type": "text", "text": {"value": "a"}}], "a"),
        ([{"type": "text", "text": {"value": "\ud83d\ude00 \ud800"}}], "😀 \ufffd"),
    ],
)
def test_a_messages_text(content: object, text: str) -> None:
    assert text == wire.decode_message({"id": "m", "role": "assistant", "content": content}).text


def test_a_messages_pictures() -> None:
    content = [
        {"type": "image_file", "image_file": {"file_id": "f1"}},
        {"type": "image_url", "image_url": {"url": "https://a/1"}},
        {"type": "image_url", "image_url": "https://a/2"},
    ]
    said = wire.decode_message({"id": "m", "role": "assistant", "content": content})
    assert (("f1",), ("https://a/1", "https://a/2")) == (said.image_file_ids, said.image_urls)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}},
            ToolCall("c", "f", "{}", None, True),
        ),
        (
            {"type": "calculator", "calculator": {"arguments": '{"f": 1}', "output": "2"}},
            ToolCall("", "calculator", '{"f": 1}', "2"),
        ),
        ({"type": "calculator", "plugin_name": {"arguments": "{}", "output": "2"}}, ToolCall("", "calculator", "{}", "2")),
        ({"calculator": {"arguments": "{}", "output": "2"}}, ToolCall("", "calculator", "{}", "2")),
        ({"function": {"name": "f", "arguments": "{}"}}, ToolCall("", "f", "{}", None, True)),
        (
            {"type": "code_interpreter", "code_interpreter": {"arguments": "{}", "output": []}},
            ToolCall("", "code_interpreter", "{}"),
        ),
        (
            {"type": "code_interpreter", "code_interpreter": {"arguments": "{}", "outputs": [{"logs": "ü"}]}},
            ToolCall("", "code_interpreter", "{}", '[{"logs": "ü"}]'),
        ),
        (
            {"type": "calculator", "calculator": {"arguments": {"f": 1}, "output": ""}},
            ToolCall("", "calculator", '{"f": 1}', ""),
        ),
        ({"type": "quark_search"}, ToolCall("", "quark_search")),
        ({"type": "quark_search", "quark_search": None}, ToolCall("", "quark_search")),
        ({"type": "quark_search", "quark_search": "gone"}, ToolCall("", "quark_search")),
        (
            {"type": "quark_search", "quark_search": {"arguments": '{"query": "cats"}', "output": {"success": True}}},
            ToolCall("", "quark_search", '{"query": "cats"}', '{"success": true}'),
        ),
        (
            {"type": "text_to_image", "text_to_image": {"arguments": {"prompt": "猫"}, "output": {"results": [{"url": "u"}]}}},
            ToolCall("", "text_to_image", '{"prompt": "猫"}', '{"results": [{"url": "u"}]}'),
        ),
        ({"type": "wanx", "wanx": {"arguments": "{}", "output": "{}"}}, ToolCall("", "wanx", "{}", "{}")),
        ({"type": "search", "plugin_name": {"arguments": "{}", "output": "x"}}, ToolCall("", "search", "{}", "x")),
        ({"type": "rag", "rag": {"arguments": "{}", "output": ["a"]}}, ToolCall("", "rag", "{}", '["a"]')),
        (
            {"id": "c", "type": "my-plugin", "my-plugin": {"arguments": "{}", "output": "x"}},
            ToolCall("c", "my-plugin", "{}", "x"),
        ),
        ({"type": "my-plugin", "arguments": "{}", "output": "x"}, ToolCall("", "my-plugin", "{}", "x")),
        ({"plugin_name": "calculator", "arguments": "{}", "output": "2"}, ToolCall("", "calculator", "{}", "2")),
        (
            {"type": "plugin", "plugin_name": "calculator", "plugin": {"arguments": "{}", "output": "2"}},
            ToolCall("", "calculator", "{}", "2"),
        ),
        (
            {"plugin_name": {"name": "calculator", "arguments": "{}", "output": "2"}},
            ToolCall("", "calculator", "{}", "2"),
        ),
        (
            {"type": "code_interpreter", "code_interpreter": {"arguments": "{}", "output": [{"logs": "1"}]}},
            ToolCall("", "code_interpreter", "{}", '[{"logs": "1"}]'),
        ),
        ({"id": "c", "type": "function", "name": "f", "arguments": "{}"}, ToolCall("c", "f", "{}", None, True)),
    ],
)
def test_a_tool_call_in_every_way_it_is_written(call: dict[str, object], expected: ToolCall) -> None:
    step = {
        "id": "s",
        "type": "tool_calls",
        "status": "in_progress",
        "step_details": {"type": "tool_calls", "tool_calls": [call]},
    }
    assert (expected,) == wire.decode_step(step).calls


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}, Usage(5, 2, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2, 7)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, None),
        ({"input_tokens": "5"}, None),
        ({"input_tokens": True, "total_tokens": True}, None),
        ({"input_tokens": 10**4299, "output_tokens": 2}, Usage(0, 2, 2)),
    ],
)
def test_usage(usage: dict[str, object], expected: Usage | None) -> None:
    assert expected == wire.decode_run({"id": "r", "status": "completed", "usage": usage}).usage


def test_required_calls_and_last_error() -> None:
    call = {"id": "", "type": "function", "function": {"name": "big_add", "arguments": '{"left": 1}'}}
    run = wire.decode_run(
        {
            "id": "r",
            "status": "requires_action",
            "required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}},
            "last_error": {"code": "server_error", "message": "no"},
        }
    )
    assert (ToolCall("", "big_add", '{"left": 1}', None, True),) == run.required_calls
    assert ServiceError("server_error", "no") == run.last_error


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ([], "a JSON object was due for the thread.run, not a list"),
        ("x", "a JSON object was due for the thread.run, not a text"),
        (None, "a JSON object was due for the thread.run, not null"),
        ({"status": []}, ""),
        ({"status": ["x"]}, "`status` is a list instead of a text"),
        ({"status": {"a": 1}}, "`status` is an object instead of a text"),
        ({"status": True}, "`status` is a boolean instead of a text"),
        ({"usage": [1]}, "a JSON object was due for the `usage`, not a list"),
        ({"last_error": "boom"}, "a JSON object was due for the `last_error`, not a text"),
        ({"required_action": {"submit_tool_outputs": {"tool_calls": 7}}}, "`tool_calls` is a number instead of a list"),
        (
            {"required_action": {"submit_tool_outputs": {"tool_calls": [7]}}},
            "a JSON object was due for the tool call, not a number",
        ),
    ],
)
def test_a_wrong_shape_is_one_sentence(payload: object, sentence: str) -> None:
    if not sentence:
        assert "" == wire.decode_run(payload).status
        return
    with pytest.raises(WireError) as raised:
        wire.decode_run(payload)
    assert sentence == str(raised.value)


KEYS = (
    *("id", "status", "usage", "content", "type", "text", "value", "data", "delta", "step_details", "tool_calls", "function"),
    *("required_action", "submit_tool_outputs", "last_error", "created_at", "error", "code", "output", "plugin_name"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=True) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(payload=JSON)
def test_no_payload_whatever_raises_anything_but_a_wire_error(payload: object) -> None:
    sent = {"model": "m", "metadata": {"a": "b"}, "tools": [{"type": "x"}], "content": "c"}
    decoders = (wire.decode_step, wire.decode_page, wire.decode_delta, wire.decode_deleted, wire.decode_error)
    for decode in decoders:
        try:
            decode(payload)
        except WireError as error:
            assert str(error)
    for decode_sent in (wire.decode_assistant, wire.decode_thread, wire.decode_message, wire.decode_run):
        try:
            decode_sent(payload, sent)
        except WireError as error:
            assert str(error)


@pytest.mark.parametrize("text", ["", "{", "[DONE]", "nul", "[" * 100_000, b"\xff", "1" * 5000])
def test_what_is_no_json_is_a_wire_error(text: str | bytes) -> None:
    with pytest.raises(WireError, match="not valid JSON"):
        wire.decode_json(text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": "InvalidApiKey", "message": "no", "request_id": "q"}, (ServiceError("InvalidApiKey", "no"), "q")),
        (
            {"error": {"code": "invalid_api_key", "message": "no"}, "request_id": "q"},
            (ServiceError("invalid_api_key", "no"), "q"),
        ),
        ({"error": {"type": "limit", "message": "no"}}, (ServiceError("limit", "no"), "")),
        ({"detail": "no"}, None),
        ([], None),
        ({"code": ["x"]}, None),
    ],
)
def test_error_bodies(body: object, expected: object) -> None:
    assert expected == wire.decode_error(body)


def test_a_page_says_where_the_next_one_begins() -> None:
    page = wire.decode_page({"object": "list", "data": [{"id": "a"}], "last_id": "a", "has_more": True})
    assert (({"id": "a"},), "a", True) == (page.items, page.last_id, page.has_more)


def test_a_delta_is_read_as_a_list_and_as_an_object() -> None:
    item = {"type": "text", "text": {"value": "Hel", "annotations": []}}
    assert "Hel" == wire.decode_delta({"delta": {"content": [item]}}) == wire.decode_delta({"delta": {"content": item}})
    assert "" == wire.decode_delta({"delta": {"content": []}})


# ── echoes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_echo_that_says_more_is_no_news() -> None:
    sent = {"model": "m", "tools": [{"type": "text_to_image"}], "metadata": {"a": "b"}, "temperature": 1, "description": ""}
    body = {
        "id": "a1",
        "object": "assistant",
        "model": "m",
        "tools": [{"type": "text_to_image", "id": "p"}],
        "metadata": {"a": "b", "c": "d"},
        "temperature": 1.0,
        "description": None,
    }
    assert () == wire.decode_assistant(body, sent).notes


def test_an_echo_that_differs_is_noted_and_cut_to_what_can_be_read() -> None:
    notes = wire.decode_assistant(
        {"object": "assistant", "model": "other", "tools": [], "instructions": "b" * 200},
        {"model": "m", "tools": [{"type": "x"}], "instructions": "a"},
    ).notes
    assert (
        "the service's assistant does not say its `tools`",
        "the service's assistant has another `instructions`: \"" + "b" * 78 + '… instead of "a"',
    ) == notes


FUNCTION = {"type": "function", "function": {"name": "get_order", "description": "Look up", "parameters": dict(ORDER)}}
PLUGIN = {"type": "my-plugin", "auth": {"type": "user_http", "user_token": "t-secret-1"}}


def about_tools(sent: list[object], got: list[object]) -> tuple[str, ...]:
    return wire.decode_assistant({"object": "assistant", "tools": got}, {"tools": sent}).notes


@pytest.mark.parametrize(
    "got",
    [
        [FUNCTION],
        [{"type": "function", "function": {"name": "get_order"}}],
        [{"type": "function", "function": {"name": "get_order", "parameters": dict(ORDER), "description": None}, "id": "x"}],
        [{"type": "function", "function": {**FUNCTION["function"], "strict": False}}],  # type: ignore[dict-item]
        [{"type": "function", "function": {"name": "get_order", "parameters": {**ORDER, "required": []}}}],
    ],
)
def test_what_a_service_leaves_out_of_a_tool_or_adds_is_no_news(got: list[object]) -> None:
    assert () == about_tools([FUNCTION], got)


def test_tools_in_another_order_are_no_news() -> None:
    assert () == about_tools([FUNCTION, {"type": "calculator"}], [{"type": "calculator"}, FUNCTION])


@pytest.mark.parametrize(
    ("got", "note"),
    [
        (
            [{"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}],
            "the service's assistant has another `parameters` for the tool `get_order`",
        ),
        (
            [{"type": "function", "function": {"name": "get_order", "description": "Look down"}}],
            "the service's assistant has another `description` for the tool `get_order`",
        ),
        (
            [{"type": "calculator"}],
            'the service\'s assistant has other tools: "calculator" instead of "get_order"',
        ),
        (
            [FUNCTION, {"type": "calculator"}],
            'the service\'s assistant has other tools: "get_order", "calculator" instead of "get_order"',
        ),
        ([7], 'the service\'s assistant has other tools: "?" instead of "get_order"'),
        (["get_order"], 'the service\'s assistant has other tools: "?" instead of "get_order"'),
    ],
)
def test_other_tools_than_sent_are_noted_by_name(got: list[object], note: str) -> None:
    assert (note,) == about_tools([FUNCTION], got)


@pytest.mark.parametrize(
    "got",
    [
        [{"type": "my-plugin", "auth": {"type": "user_http", "user_token": "t-secret-2"}}],
        [{"type": "other", "auth": {"type": "user_http", "user_token": "t-secret-1"}}],
        [{"type": "my-plugin", "auth": "t-secret-1"}],
        [],
    ],
)
def test_no_note_holds_a_token(got: list[object]) -> None:
    (note,) = about_tools([PLUGIN], got)
    assert "secret" not in note


def test_a_token_that_is_not_echoed_is_no_news() -> None:
    assert () == about_tools([PLUGIN], [{"type": "my-plugin"}])


# ── patience ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "-5", "retry-after": "3"}, 3.0),
        ({"retry-after": "Mon, 23 Nov 2026 20:00:05 GMT", "date": "Mon, 23 Nov 2026 20:00:00 GMT"}, 5.0),
        ({"retry-after": "Mon, 23 Nov 2026 20:00:05 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 19:00:05 GMT", "date": "Mon, 23 Nov 2026 20:00:00 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 20:00:05", "date": "Mon, 23 Nov 2026 20:00:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "soon", "date": "now"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_how_long_a_service_asks_to_be_left_alone(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds == retry_after(headers)


@settings(max_examples=200)
@given(written=st.text(max_size=30), date=st.text(max_size=30))
def test_no_header_whatever_raises(written: str, date: str) -> None:
    seconds = retry_after({"retry-after": written, "retry-after-ms": date, "date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("data", "id"),
    [
        (b'{"id":"thread_1","object":"thr', "thread_1"),
        (b' {"object": "thread", "created_at": 1795439621153, "deleted": null,\n "id": "thread_1"', "thread_1"),
        (b'{"request_id":"q","id":"thread_', ""),
        (b'{"metadata":{"id":"other"},"id":"thread_1"', ""),
        (b'{"data":[{"id":"other"', ""),
        (b'{"id":"a\\u002fb"', ""),
        (b'{"id":"a b"', ""),
        (b'{"id":7}', ""),
        (b'["id"', ""),
        (b"", ""),
    ],
)
def test_the_id_of_an_object_whose_json_broke_off(data: bytes, id: str) -> None:
    assert id == wire.begun_id(data)


def test_reading_an_id_takes_no_time_however_long_the_json() -> None:
    assert "" == wire.begun_id(b"{" + b'"a":"b",' * 200_000)
