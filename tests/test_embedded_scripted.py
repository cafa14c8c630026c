"""The scripted model: what it does with a message, the tools it has and what was said before."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.embedded.scripted import AnsweredCall, Line, Question, Reply, answer, tokens
from runner.model import Sample

PICTURE = {"type": "text_to_image"}
CALCULATOR = {"type": "calculator"}


def reply(*said: str, tools: Any = (), instructions: str = "", **more: Any) -> Reply:
    """The reply to the last of these, all but the last being answered with `Yes.`"""
    lines = [line for text in said[:-1] for line in (Line("user", text), Line("assistant", "Yes."))]
    history = [*lines, Line("user", said[-1])]
    return answer(Question(instructions, tools, history, 0, **more), lambda prompt: f"http://x/{len(prompt)}.png")


@pytest.mark.parametrize(
    ("said", "prompt", "sentence"),
    [
        (["Draw a picture of a ragdoll cat."], "a ragdoll cat", "Here is a picture of a ragdoll cat."),
        (
            ["Please paint me two dogs in the rain, please!"],
            "two dogs in the rain",
            "Here is a picture of two dogs in the rain.",
        ),
        (["Can you draw a fox? Thanks."], "a fox", "Here is a picture of a fox."),
        (["I would like an image showing the sea."], "the sea", "Here is a picture of the sea."),
        (["Draw a cat.", "Make it blue."], "a cat, blue", "Here is a picture of a cat, blue."),
        (["Draw a cat.", "Make it blue.", "Give it a hat."], "a cat, blue, a hat", "Here is a picture of a cat, blue, a hat."),
        (["Draw a cat.", "How are you?", "Paint it red"], "a cat, red", "Here is a picture of a cat, red."),
        (["ラグドールの猫の絵を描いてください。"], "ラグドールの猫", "ラグドールの猫の絵です。"),
        (["富士山を描いて"], "富士山", "富士山の絵です。"),
        (["富士山を描いて", "それを赤くして"], "富士山、赤く", "富士山、赤くの絵です。"),
        (["请画一只布偶猫。"], "布偶猫", "这是布偶猫的图片。"),
        (["生成一张长城的图片"], "长城", "这是长城的图片。"),
        (["请画一只布偶猫。", "把它变成蓝色。"], "布偶猫，蓝色", "这是布偶猫，蓝色的图片。"),
    ],
)
def test_a_wanted_picture_is_drawn(said: list[str], prompt: str, sentence: str) -> None:
    drawn = reply(*said, tools=[PICTURE])
    assert [("text_to_image", {"prompt": prompt})] == [(use.tool, use.arguments) for use in drawn.uses]
    assert f"{sentence}\n\n![{prompt}](http://x/{len(prompt)}.png)" == drawn.text
    assert [{"url": f"http://x/{len(prompt)}.png"}] == drawn.uses[0].output["output"]["results"]


@pytest.mark.parametrize(
    "text",
    [
        "Do not draw anything.",
        "How do I paint a sunset?",
        "What is a good picture?",
        "不要画猫。",
        "絵を描かないで。",
        "Hello.",
    ],
)
def test_no_picture_is_drawn_that_nobody_wants(text: str) -> None:
    assert () == reply(text, tools=[PICTURE]).uses


def test_no_tool_is_used_that_was_not_declared() -> None:
    assert () == reply("Draw a cat.").uses
    assert "a cat" in reply("Draw a cat.").text
    assert () == reply("What is 2 + 2?", tools=[PICTURE]).uses


@pytest.mark.parametrize(
    ("text", "formula", "result"),
    [
        ("What is 17 * 23?", "17 * 23", "391"),
        ("What is 17 times 23?", "17 * 23", "391"),
        ("12 ÷ 8", "12 / 8", "1.5"),
        ("Compute (2 + 3) × 4.", "(2 + 3) * 4", "20"),
        ("1,000,000 minus 1", "1000000 - 1", "999999"),
        ("2^10", "2**10", "1024"),
        ("３＋４は？", "3+4", "7"),
        ("3加4等于多少？", "3+4", "7"),
        ("0.1 + 0.2", "0.1 + 0.2", "0.3"),
    ],
)
def test_small_arithmetic_is_calculated(text: str, formula: str, result: str) -> None:
    [use] = reply(text, tools=[CALCULATOR]).uses
    assert {"formula": formula, "result": result} == use.output
    assert f"{formula} = {result}" in reply(text, tools=[CALCULATOR]).text


@pytest.mark.parametrize(
    ("tool", "text", "said"),
    [
        ("code_interpreter", "Run this:\n```python\nprint(1)\n```", "does not run code"),
        ("code_interpreter", "请运行代码", "不会运行代码"),
        ("quark_search", "Search for the latest news about Mars.", "does not search the web"),
        ("quark_search", "東京のニュースを検索して", "ウェブを検索しません"),
        ("rag", "What does the manual say about returns?", "has no documents"),
    ],
)
def test_a_tool_that_is_not_there_says_so(tool: str, text: str, said: str) -> None:
    used = reply(text, tools=[{"type": tool}])
    assert [tool] == [use.tool for use in used.uses]
    assert said in used.text


def test_code_is_passed_on_but_never_run() -> None:
    [use] = reply("```python\nprint(1)\n```", tools=[{"type": "code_interpreter"}]).uses
    assert {"language": "python", "code": "print(1)\n"} == use.arguments
    assert {"error": "the embedded service does not run code"} == use.output


@pytest.mark.parametrize(
    ("prompt_ra", "arguments", "passages"),
    [
        (None, {"query": "the manual say about returns"}, {}),
        ("odd", {"query": "the manual say about returns"}, {}),
        (
            {"pipeline_id": ["kb"], "parameters": {"properties": {"query_word": {"type": "str", "value": "${document1}"}}}},
            {"query_word": "the manual say about returns"},
            {"document1": ""},
        ),
    ],
)
def test_documents_are_asked_for_by_the_names_declared(prompt_ra: Any, arguments: Any, passages: Any) -> None:
    [use] = reply("What does the manual say about returns?", tools=[{"type": "rag", "prompt_ra": prompt_ra}]).uses
    assert arguments == use.arguments
    assert {**passages, "passages": [], "note": "the embedded service has no documents"} == use.output


def test_a_search_gives_what_the_reference_names() -> None:
    [use] = reply("Search for the latest news about Mars.", tools=[{"type": "quark_search"}]).uses
    assert {"success", "errorCode", "errorMsg", "data", "requestId", "failed"} == set(use.output)
    assert {"title", "url", "desc", "type", "source"} == set(use.output["data"][0])


def function(name: str, parameters: Any = None) -> Any:
    return {"type": "function", "function": {"name": name, **({"parameters": parameters} if parameters else {})}}


ORDER = function(
    "get_order",
    {
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "speed": {"enum": ["slow", "fast"]},
            "count": {"type": "integer"},
            "price": {"type": "number"},
            "gift": {"type": "boolean"},
            "tags": {"type": "array"},
            "more": {"type": "object"},
            "note": {"type": "string"},
        },
        "required": ["order_id", "speed", "count", "price", "gift", "tags", "more"],
    },
)


def test_a_named_function_is_called_with_what_its_schema_requires() -> None:
    [call] = reply('Call get_order for "A-17", fast, 2 of them at 3.5 each, as a gift.', tools=[ORDER]).calls
    assert call.name == "get_order"
    assert {
        "order_id": "A-17", "speed": "fast", "count": 2, "price": 3.5, "gift": True, "tags": [], "more": {},
    } == call.arguments  # fmt: skip


@pytest.mark.parametrize(("text", "called"), [
    ("get_order 1234", True), ("Please get order 1234.", True), ("Use Get-Order now", True), ("get_orderを使って", True),
    ("forget_order", False), ("get_orders", False), ("Don't use get_order.", False), ("不要用get_order", False),
    ("get_orderを使わないで", False), ("get_orderは使用しないでください", False),
])  # fmt: skip
def test_a_function_is_called_when_it_is_named(text: str, called: bool) -> None:
    assert called is bool(reply(text, tools=[function("get_order")]).calls)


@pytest.mark.parametrize(
    ("asked", "output", "answered"),
    [
        (
            "get_order 1",
            '{"status": "shipped", "arrives": "Friday"}',
            "According to get_order: status: shipped, arrives: Friday.",
        ),
        ("get_order 1", "[1, 2.50]", "According to get_order: 1, 2.50."),
        ("get_order 1", "It is on its way.", "According to get_order: It is on its way."),
        ("get_order 1", '{"paid": true, "note": null}', "According to get_order: paid: true, note: null."),
        (
            "get_order 1",
            '{"to": {"city": "Bonn", "zip": "53111"}, "items": [{"sku": "a"}, {"sku": "b"}]}',
            "According to get_order: to: city: Bonn, zip: 53111, items: (sku: a); (sku: b).",
        ),
        ("get_order 1", "", "get_order gave no output."),
        ("get_order 1", "[" * 5000, f"According to get_order: {'[' * 4000}…."),
        ("get_order 1", r'{"status": "\ud800"}', r'According to get_order: {"status": "\ud800"}.'),
        ("get_order 1", '{"error": "already shipped"}', "get_order failed: already shipped."),
        ("get_order 1", '{"error": {"code": 7}}', "get_order failed: code: 7."),
        ("get_orderで1を調べて", '{"status": "発送済み"}', "get_order によると、status: 発送済み です。"),
        ("get_orderで1を調べて", '{"error": "見つかりません"}', "get_order は失敗しました：見つかりません。"),
        ("get_orderで1を調べて", " ", "get_order の結果は空でした。"),
        ("用get_order查1", '{"status": "已发货"}', "get_order 的结果：status: 已发货。"),
        ("用get_order查1", '{"error": "已经发货"}', "get_order 失败：已经发货。"),
        ("用get_order查1", "", "get_order 没有返回结果。"),
    ],
)
def test_outputs_are_told_in_the_answer(asked: str, output: str, answered: str) -> None:
    told = reply(asked, tools=[ORDER], rounds=[[AnsweredCall("c", "get_order", "{}", output)]])
    assert (answered, ()) == (told.text, told.calls)


def test_all_rounds_are_told() -> None:
    rounds = [
        [AnsweredCall("c", "first", "{}", "1"), AnsweredCall("d", "second", "{}", "2")],
        [AnsweredCall("e", "third", "{}", "3")],
    ]
    told = reply("Go.", tools=[ORDER], rounds=rounds).text
    assert "According to first: 1. According to second: 2. According to third: 3." == told


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (["My name is Ana.", "What is my name?"], "Your name is Ana."),
        (["Call me Bo.", "Hello.", "Who am I?"], "Your name is Bo."),
        (["My favourite colour is green.", "What is my favourite colour?"], "Your favourite colour is green."),
        (["My name is Ana.", "My name is Eva.", "What's my name?"], "Your name is Eva."),
        (["What is my name?"], "You have not told me your name."),
        (["私の名前はアナです。", "私の名前は何ですか？"], "あなたの名前はアナです。"),
        (["私の好きな色は緑です。", "私の好きな色は何でしたか？"], "あなたの好きな色は緑です。"),
        (["私の名前は何ですか？"], "名前はまだうかがっていません。"),
        (["我叫安娜。", "我叫什么名字？"], "你的名字是安娜。"),
        (["我的名字是安娜。", "我的名字是什么？"], "你的名字是安娜。"),
        (["我最喜欢的颜色是绿色", "我叫什么？"], "你还没有告诉我你的名字。"),
        (["My name is Ana."], "Nice to meet you, Ana."),
        (["My dog is old and my cat is young."], "I will remember that your dog is old and my cat is young."),
    ],
)
def test_the_thread_is_remembered(said: list[str], answered: str) -> None:
    assert answered == reply(*said).text


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("What is the capital of France?", "the capital of France"),
        ("Tell me about impressionism.", "impressionism"),
        ("Where is order 1234?", "order 1234"),
        ("返品の方法を教えてください。", "返品の方法"),
        ("如何退货？", "退货"),
        ("Wie spät ist es?", "Wie spät ist es"),
        ("?!", "?!"),
    ],
)
def test_an_answer_names_what_was_asked(text: str, noun: str) -> None:
    assert noun in reply(text).text


def test_an_answer_is_in_the_messages_language_unless_told() -> None:
    assert "内蔵サービス" in reply("返品の方法は？").text
    assert "内置服务" in reply("如何退货？").text
    assert "embedded service" in reply("如何退货？", instructions="Always answer in English.").text
    assert "内蔵サービス" in reply("Returns?", instructions="必ず日本語で答えてください。").text
    assert "Asked for French" in reply("Returns?", instructions="Answer in French.").text
    assert "Asked" not in reply("Returns?", instructions="Answer in JSON.").text


def test_a_follow_up_names_what_went_before() -> None:
    assert "(the Louvre)" in reply("Tell me about the Louvre.", "How old is it?").text


def test_a_sample_is_said_and_functions_are_left_alone() -> None:
    played = reply("get_order 1", tools=[ORDER], sample=Sample("It is on its way."))
    assert ("It is on its way.", ()) == (played.text, played.calls)


def test_tokens_are_words_signs_and_wide_characters() -> None:
    assert [0, 3, 4, 3, 2] == [tokens(text) for text in ("", "Hello, world", "布偶猫。", "a猫b", "see http://x.y/z?a=1")]
    counted = reply("Hello.", instructions="Be kind.")
    assert (5, 10) == (counted.input_tokens, counted.output_tokens)


@given(st.text(max_size=200), st.text(max_size=50))
def test_every_message_gets_a_reply_quickly(text: str, instructions: str) -> None:
    tools = [PICTURE, CALCULATOR, ORDER, {"type": "rag"}, {"type": "quark_search"}, {"type": "code_interpreter"}]
    made = reply(text, tools=tools, instructions=instructions)
    assert made.text or made.calls
    json.dumps([call.arguments for call in made.calls])


HARD = (
    "my ",
    "a ",
    "picture of ",
    "1+",
    "(",
    "私の",
    "-",
    "1 ",
    "1,000",
    "find out",
    "do not ",
    "我的",
    "draw ",
    "__",
    "'",
    "\n",
)


@pytest.mark.parametrize("repeated", HARD)
def test_a_long_message_takes_no_long_time(repeated: str) -> None:
    text = repeated * (100_000 // len(repeated)) + "1"
    tools = [PICTURE, CALCULATOR, ORDER, {"type": "rag"}, {"type": "quark_search"}, {"type": "code_interpreter"}]
    for made in (reply(text, "Make it blue", tools=tools), reply(text, tools=tools, instructions=text)):
        assert made.text or made.calls
