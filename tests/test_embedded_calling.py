"""Which functions the scripted model calls, with which arguments, and how a sample's rounds are played."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.embedded.scripted import AnsweredCall, Line, Question, Reply, answer
from runner.forms import Scalar
from runner.model import Sample, SampleCall
from tests.embedded_fixtures import Api, start

NOW = 1_795_000_000  # 2026-11-18
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def function(name: str, description: str = "", required: Sequence[str] | None = None, **properties: Any) -> Any:
    """A function whose arguments are all required unless told."""
    parameters = {"type": "object", "properties": properties, "required": list(properties if required is None else required)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": {**parameters, "additionalProperties": False}},
    }


def talk(*said: str, tools: Any) -> Reply:
    """The reply to the last of these; outputs of functions called before are handed in."""
    history: list[Line] = []
    reply = Reply("")
    for text in said:
        history.append(Line("user", text))
        reply = answer(Question("", tools, history, NOW), lambda prompt: "http://x/1.png")
        done = [AnsweredCall("c", call.name, json.dumps(call.arguments), '{"status": "shipped"}') for call in reply.calls]
        told = answer(Question("", tools, history, NOW, rounds=[done]), lambda prompt: "").text if done else reply.text
        history.append(Line("assistant", told))
    return reply


def called(*said: str, tools: Any) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in talk(*said, tools=tools).calls]


ORDERS = {
    "en": [
        function("get_order", "Look up one order", order_id=TEXT),
        function("cancel_order", "Cancel an order", order_id=TEXT),
    ],
    "ja": [function("get_order", "注文を調べる", order_id=TEXT), function("cancel_order", "注文を取り消す", order_id=TEXT)],
    "zh": [function("get_order", "查询订单", order_id=TEXT), function("cancel_order", "取消订单", order_id=TEXT)],
}
GET, CANCEL = "get_order", "cancel_order"


@pytest.mark.parametrize("declared", ORDERS)
@pytest.mark.parametrize(
    ("said", "name", "order"),
    [
        (["Where is order 1234?"], GET, "1234"),
        (["What is the status of my order #AB-99?"], GET, "AB-99"),
        (["I'd like to know where order 77 is."], GET, "77"),
        (["Was order 1234 cancelled?"], GET, "1234"),
        (["Where is order 1234?", "When will it arrive?"], GET, "1234"),
        (["Where is order 1234?", "Please cancel it."], CANCEL, "1234"),
        (["Where is order 1234?", "Yes, go ahead and cancel it."], CANCEL, "1234"),
        (["Where is order 1234?", "Cancel"], CANCEL, "1234"),
        (["Where is order 1234?", "And 12-34?"], GET, "12-34"),
        (["Can you cancel order 12?"], CANCEL, "12"),
        (["Where is order 12, and please cancel order 13."], CANCEL, "13"),
        (["I want you to start the cancellation of order 12"], CANCEL, "12"),
        (["注文1234はどこですか？"], GET, "1234"),
        (["注文1234はキャンセルされましたか？"], GET, "1234"),
        (["注文1234はどこですか？", "キャンセルしてください。"], CANCEL, "1234"),
        (["注文1234はどこですか？", "それを取り消してください。"], CANCEL, "1234"),
        (["注文番号A-9をキャンセルして"], CANCEL, "A-9"),
        (["注文１２３４はどこですか？"], GET, "1234"),
        (["订单1234在哪里？"], GET, "1234"),
        (["订单1234取消了吗？"], GET, "1234"),
        (["订单1234在哪里？", "请取消。"], CANCEL, "1234"),
        (["订单1234在哪里？", "帮我取消它"], CANCEL, "1234"),
        (["取消订单A-9"], CANCEL, "A-9"),
    ],
)
def test_a_function_is_called_when_the_message_fits_it(declared: str, said: list[str], name: str, order: str) -> None:
    assert [(name, {"order_id": order})] == called(*said, tools=ORDERS[declared])


@pytest.mark.parametrize(
    "said",
    [
        ["Thanks!"],
        ["Hello"],
        ["What is the capital of France?"],
        ["How do I cancel an order?"],
        ["Don't cancel order 12!"],
        ["My order 12 came yesterday, thanks."],
        ["Where is order 1234?", "Thanks, that is great."],
        ["Where is order 1234?", "What is 17 * 23 + 4?"],
        ["こんにちは"],
        ["キャンセルの方法は？"],
        ["注文1234をキャンセルしないでください"],
        ["你好"],
        ["怎么取消订单？"],
        ["不要取消订单12"],
    ],
)
def test_no_function_is_called_that_nobody_asks_for(said: list[str]) -> None:
    for tools in ORDERS.values():
        reply = talk(*said, tools=tools)
        assert () == reply.calls and "order_id" not in reply.text


@pytest.mark.parametrize(
    ("said", "asks", "then", "order"),
    [
        ("Please cancel my order.", "To call cancel_order, I need: order_id.", "It is A-77.", "A-77"),
        ("Please cancel my order.", "To call cancel_order, I need: order_id.", "1234", "1234"),
        ("注文をキャンセルして", "cancel_order を呼び出すには、次の情報が必要です：order_id。", "1234です", "1234"),
        ("取消订单", "要调用 cancel_order，还需要：order_id。", "1234", "1234"),
    ],
)
def test_what_was_not_said_is_asked_for(said: str, asks: str, then: str, order: str) -> None:
    reply = talk(said, tools=ORDERS["en"])
    assert (asks, ()) == (reply.text, reply.calls)
    assert [(CANCEL, {"order_id": order})] == called(said, then, tools=ORDERS["en"])


def test_several_functions_are_called_in_one_action() -> None:
    assert [(GET, {"order_id": "6"}), (CANCEL, {"order_id": "5"})] == called(
        "cancel_order 5 and get_order 6", tools=ORDERS["en"]
    )
    both = [
        function(
            "get_weather", "Weather", city=TEXT, date={"type": "string", "format": "date"}, unit={"enum": ["celsius", "kelvin"]}
        ),
        function("get_time", "Time in a city", city=TEXT),
    ]
    assert [
        ("get_weather", {"city": "Paris", "date": "2026-11-19", "unit": "celsius"}),
        ("get_time", {"city": "Paris"}),
    ] == called("What is the weather in Paris tomorrow in celsius, and the time there?", tools=both)


@pytest.mark.parametrize(
    ("message", "tool", "arguments"),
    [
        ("What is the weather in New York today?", function("get_weather", city=TEXT), {"city": "New York"}),
        ("今日の東京の天気を教えて", function("get_weather", city=TEXT), {"city": "東京"}),
        ("明日の京都の天気を教えて", function("get_forecast", "町の天気予報を調べる", 町=TEXT), {"町": "京都"}),
        ("北京今天天气怎么样？", function("get_weather", city=TEXT), {"city": "北京"}),
        ("上海的天气", function("get_weather", city=TEXT), {"city": "上海"}),
        (
            'Buy 3 of "red lamp", express.',
            function("buy_product", product=TEXT, quantity=WHOLE, express={"type": "boolean"}),
            {"product": "red lamp", "quantity": 3, "express": True},
        ),
        (
            "「ランプ」を2個購入してください",
            function("buy_product", product=TEXT, quantity=WHOLE),
            {"product": "ランプ", "quantity": 2},
        ),
        ("买3个“台灯”", function("buy_product", product=TEXT, quantity=WHOLE), {"product": "台灯", "quantity": 3}),
        (
            'Send an email to ana@example.com saying "Hello there"',
            function("send_email", to=TEXT, body=TEXT),
            {"to": "ana@example.com", "body": "Hello there"},
        ),
        ("Search the docs for retries", function("search_docs", query=TEXT), {"query": "retries"}),
        (
            "Book a hotel room on March 5, 2027 for two guests",
            function("book_hotel", date=TEXT, guests=WHOLE),
            {"date": "2027-03-05", "guests": 2},
        ),
        ("3月5日にホテルを予約して", function("book_hotel", date=TEXT), {"date": "2026-03-05"}),
        ("预订酒店，2027年3月5日", function("book_hotel", date=TEXT), {"date": "2027-03-05"}),
        (
            "use f: code AB-12, level 7",
            function("f", code={"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}, level=WHOLE),
            {"code": "AB-12", "level": 7},
        ),
        (
            "use f with 3, 40 and 7",
            function("f", a={"type": "integer", "minimum": 30}, b={"type": "number", "maximum": 5}),
            {"a": 40, "b": 3},
        ),
        ("use f on orders 12 and 13", function("f", order_ids={"type": "array", "items": TEXT}), {"order_ids": ["12", "13"]}),
        (
            "use f for order 9, no gift",
            function(
                "f",
                order={"type": "object", "properties": {"order_id": TEXT}, "required": ["order_id"]},
                gift={"type": "boolean"},
            ),
            {"order": {"order_id": "9"}, "gift": False},
        ),
        (
            "use f",
            function("f", mode={"const": "fast"}, size={"type": "string", "default": "m"}),
            {"mode": "fast", "size": "m"},
        ),
        ("use f, 1,250 please", function("f", amount={"anyOf": [{"type": "null"}, {"type": "number"}]}), {"amount": 1250}),
        ("use f at 14:30", function("f", required=["time"], time=TEXT, note=TEXT), {"time": "14:30"}),
        ("use f", function("f", required=[], city=TEXT), {}),
    ],
)
def test_arguments_come_from_the_message(message: str, tool: Any, arguments: Any) -> None:
    assert [(tool["function"]["name"], arguments)] == called(message, tools=[tool])


def test_a_schema_that_is_no_schema_gets_no_call() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense", "required": ["a"]}}}
    reply = talk("use f", tools=[tool])
    assert ("To call f, I need: a.", ()) == (reply.text, reply.calls)


LEAVES = st.one_of(
    st.builds(lambda least: {"type": "integer", "minimum": least}, st.integers(-5, 50)),
    st.builds(
        lambda least, most: {"type": "number", "minimum": least, "maximum": most}, st.integers(-5, 5), st.integers(0, 50)
    ),
    st.builds(
        lambda least, most: {"type": "string", "minLength": least, "maxLength": most}, st.integers(0, 4), st.integers(0, 9)
    ),
    st.sampled_from(["^[a-z]+$", "\\d", "^A-"]).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.lists(st.sampled_from(["fast", "slow", 3, True, None]), min_size=1, unique_by=str).map(lambda some: {"enum": some}),
    st.sampled_from(
        [
            {},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"const": 7},
            {"type": "string", "format": "date"},
            {"type": "integer", "multipleOf": 5},
            {"type": "number", "exclusiveMinimum": 3},
            {"$ref": "#/$defs/id"},
            {"not": {}},
            {"type": "integer", "default": "wrong"},
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ]
    ),
)
NAMES = st.sampled_from(["order_id", "city", "query", "date", "count", "gift", "to", "tags", "名前", "x"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, needed, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in needed],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(NAMES, inner, max_size=4),
        st.sets(NAMES),
        st.booleans(),
    )


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            objects(inner),
            st.builds(
                lambda items, least: {"type": "array", "items": items, "minItems": least, "uniqueItems": True},
                inner,
                st.integers(0, 2),
            ),
        ),
        max_leaves=4,
    )
)
PIECES = [
    "order 12",
    "A-17",
    '"red lamp"',
    "in Paris",
    "3.5",
    "-4",
    "fast",
    "東京の天気",
    "tomorrow",
    "gift",
    "to ana@x.org",
    "100",
    "请",
]


@given(SCHEMAS, st.lists(st.sampled_from(PIECES)))
def test_arguments_always_fit_the_schema(schema: Any, pieces: list[str]) -> None:
    schema = {**schema, "$defs": {"id": {"type": "string", "pattern": "\\d"}}}
    tool = {"type": "function", "function": {"name": "do_it", "parameters": schema}}
    reply = talk(f"do_it {', '.join(pieces)}", tools=[tool])
    assert reply.calls or "do_it" in reply.text
    for call in reply.calls:
        Draft202012Validator(schema).validate(call.arguments)


KEYWORDS = st.sampled_from(
    ["type", "enum", "const", "default", "format", "pattern", "minLength", "maxItems", "minItems", "items", "anyOf", "allOf",
     "$ref", "properties", "required", "minimum", "multipleOf", "description", "order_id", ""]
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["string", "array", "object", "integer", "date", "(", "(a+)+$", "#/properties", "#/anyOf/0", ""]),
)  # fmt: skip
ANY = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(KEYWORDS, ANY, max_size=4), st.lists(st.sampled_from(PIECES), max_size=4))
def test_whatever_stands_for_a_schema_gets_a_reply(schema: Any, pieces: list[str]) -> None:
    tool = {"type": "function", "function": {"name": "do_it", "description": "Do", "parameters": schema}}
    reply = talk(f"do_it {', '.join(pieces)}", tools=[tool])
    assert reply.calls or reply.text


@pytest.mark.parametrize("declared", ORDERS)
@pytest.mark.parametrize(
    "repeated", ["order ", "注文", "1,000,", "get_order 12 ", "no gift ", '"', "东京的", "a@", "A-1-", "in Rome ", "("]
)
def test_a_long_message_is_read_in_short_time(declared: str, repeated: str) -> None:
    message = "Where? " + repeated * (100_000 // len(repeated))
    reply = talk(message, "Please cancel it.", tools=ORDERS[declared])
    assert reply.calls or reply.text


@pytest.mark.parametrize("deep", [5, 60, 900, 5000])
def test_a_deep_output_is_told(deep: int) -> None:
    done = [AnsweredCall("c", GET, "{}", "[" * deep + "]" * deep)]
    reply = answer(Question("", ORDERS["en"], [Line("user", "Where is order 1?")], NOW, rounds=[done]), lambda prompt: "")
    assert reply.text.startswith(("According to get_order: (", "According to get_order: ["))


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


def begin(api: Api, sample: Sample, *tools: Any, stream: bool = False) -> str:
    """The path of a new run that is to play the sample."""
    thread = api.thread("Where is order 1234?")
    body = {"assistant_id": api.assistant(*(tools or (*ORDERS["en"], "calculator", "text_to_image"))), "stream": stream}
    answered = api.send("POST", f"/threads/{thread}/runs", json=body, extensions={"runflow.sample": sample})
    assert 200 == answered.status_code
    [run] = api.get(f"/threads/{thread}/runs")["data"]
    return f"/threads/{thread}/runs/{run['id']}"


def due(api: Api, path: str) -> list[tuple[str, Any]]:
    """The calls that the run waits for."""
    run = api.get(path)
    assert "requires_action" == run["status"]
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


def submit(api: Api, path: str, *outputs: str, stream: bool = False) -> None:
    body = {"tool_outputs": [{"output": output} for output in outputs], "stream": stream}
    assert 200 == api.send("POST", f"{path}/submit_tool_outputs", json=body).status_code


def call(name: str, **arguments: Any) -> SampleCall:
    return SampleCall(name, arguments)


@pytest.mark.parametrize("stream", [False, True])
def test_a_sample_is_played_round_by_round(api: Api, stream: bool) -> None:
    rounds = ((call(GET, order_id="1"), call(GET, order_id="2")), (call(CANCEL, order_id="1"),))
    path = begin(api, Sample("Done.", rounds), stream=stream)
    assert [(GET, {"order_id": "1"}), (GET, {"order_id": "2"})] == due(api, path)
    submit(api, path, "a", "b", stream=stream)
    assert [(CANCEL, {"order_id": "1"})] == due(api, path)
    submit(api, path, "c", stream=stream)
    assert "completed" == api.get(path)["status"]
    assert "Done." == api.answer(path.split("/")[2])
    steps = api.get(f"{path}/steps", order="asc")["data"]
    assert ["tool_calls", "tool_calls", "message_creation"] == [step["type"] for step in steps]
    assert {} == api.service.samples


def test_a_sample_without_a_text_tells_all_outputs(api: Api) -> None:
    path = begin(
        api, Sample(None, ((call("calculator", formula="6*7"), call(GET, order_id="1")), (call(CANCEL, order_id="1"),)))
    )
    submit(api, path, '{"status": "paid"}')
    submit(api, path, '{"error": "too late"}')
    said = "According to get_order: status: paid. cancel_order failed: too late. 6*7 = 42."
    assert said == api.answer(path.split("/")[2])


def test_the_services_own_tools_run_within_the_round(api: Api) -> None:
    rounds = (
        (call("text_to_image", prompt="a cat"),),
        (call("calculator", formula="1/0"), call(GET, order_id="1"), call("text_to_image", prompt="a dog")),
        (call("code_interpreter", code="1"),),
    )
    path = begin(api, Sample(None, rounds))
    assert [(GET, {"order_id": "1"})] == due(api, path)
    submit(api, path, "ok")
    steps = api.get(f"{path}/steps", order="asc")["data"]
    used = [step["step_details"]["tool_calls"][0]["type"] for step in steps[:-1]]
    assert ["text_to_image", "calculator", "text_to_image", "function", "code_interpreter"] == used
    text = api.answer(path.split("/")[2])
    assert text.startswith(
        "According to get_order: ok. Here is a picture of a cat.\n\n![a cat](http://embedded.invalid/images/"
    )
    assert "calculator failed: division by zero." in text and "does not run code" in text


def test_a_sample_of_the_services_tools_alone_waits_for_nobody(api: Api) -> None:
    path = begin(api, Sample("A cat.", ((call("text_to_image", prompt="a cat"),), (call("rag", query="x"),))))
    assert "completed" == api.get(path)["status"]
    assert "A cat." == api.answer(path.split("/")[2])


def test_a_plug_in_that_is_not_there_says_so(api: Api) -> None:
    path = begin(api, Sample(None, ((call("shop-7", item="x"),),)), "shop-7")
    assert "completed" == api.get(path)["status"]
    assert "shop-7 failed: the embedded service has no plug-in `shop-7`." == api.answer(path.split("/")[2])


def test_numbers_of_a_sample_are_plain(api: Api) -> None:
    path = begin(api, Sample(None, ((call(GET, order_id=Scalar(12, "12")),),)))
    assert [(GET, {"order_id": 12})] == due(api, path)


def test_a_text_alone_calls_no_function(api: Api) -> None:
    path = begin(api, Sample("It is on its way."))
    assert "completed" == api.get(path)["status"]
    assert "It is on its way." == api.answer(path.split("/")[2])


# ── through the command ──────────────────────────────────────────────────────────────────────────────────────────────

WORKFLOWS = Path(__file__).parent.parent / "workflows"


@pytest.mark.parametrize("options", [(), ("--no-stream",)])
def test_the_orders_flow_passes_without_a_sample(options: tuple[str, ...], tmp_path: Path) -> None:
    flow = WORKFLOWS / "orders.yaml"
    assert "sample" not in flow.read_text(encoding="utf-8")
    with start("-m", "runner", "run", *options, "--target", "embedded", str(flow), HOME=str(tmp_path)) as process:
        shown, trouble = process.communicate(timeout=60)
    assert (0, "") == (process.returncode, trouble)
    assert "According to get_order: status: shipped, arrives: Friday." in shown
    assert "cancel_order failed: already shipped." in shown
