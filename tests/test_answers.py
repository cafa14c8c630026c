"""What of a run's leavings is the answer, and where its pictures are."""

import pytest

from runner.answers import answered, picture_sources, whole
from runner.model import Message, RunStatus, ServiceError, ToolCall, Turn, Usage


def said(text: str, run_id: str = "r1", role: str = "assistant") -> Message:
    return Message(id="m", role=role, text=text, run_id=run_id)


def test_answers_are_the_assistants_messages_of_the_run_oldest_first() -> None:
    messages = (said("two"), said("one"), said("Draw.", "r1", "user"), said("old", "r0"))
    assert ["one", "two"] == [message.text for message in answered(messages, "r1")]


def test_messages_without_a_run_count_only_when_none_names_it() -> None:
    assert ["b"] == [message.text for message in answered((said("a", ""), said("b")), "r1")]
    assert ["a"] == [message.text for message in answered((said("a", ""), said("b", "r0")), "r1")]


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("text_to_image", '{"output": {"results": [{"url": "https://a.test/1?e=2&s=3"}]}}', ("https://a.test/1?e=2&s=3",)),
        ("wanx", '{"url":"https:\\/\\/a.test\\/1?e=2\\u0026s=3"}', ("https://a.test/1?e=2&s=3",)),
        ("quark_search", '{"data": [{"url": "https://a.test/page"}]}', ()),
        ("my-plugin", '{"picture": "https://a.test/1.PNG?x=1"}', ("https://a.test/1.PNG?x=1",)),
        ("text_to_image", None, ()),
        ("text_to_image", '{"url": "https://a.test/1?a\\u003db"}', ("https://a.test/1?a=b",)),
        ("text_to_image", '{"url": "https:\\u002F\\u002Fa.test\\u002F1"}', ("https://a.test/1",)),
        ("text_to_image", '"{\\"url\\": \\"https:\\\\/\\\\/a.test\\\\/1\\"}"', ("https://a.test/1",)),
        ("text_to_image", '{"code": "Arrearage", "message": "see https://help.test/bills"}', ()),
        ("text_to_image", '{"url": "https://a.test/1_(1)|2"}', ("https://a.test/1_(1)|2",)),
        ("text_to_image", '{"text": "![cat](https://a.test/1.png), painted"}', ("https://a.test/1.png",)),
        ("text_to_image", "https://a.test/1,https://a.test/2", ("https://a.test/1", "https://a.test/2")),
        ("text_to_image", '<img src="HTTPS://a.test/1?a=1&amp;b=2">', ("HTTPS://a.test/1?a=1&b=2",)),
        ("text_to_image", "[" * 100_000, ()),
    ],
)
def test_pictures_of_tool_outputs(name: str, output: str | None, expected: tuple[str, ...]) -> None:
    assert expected == picture_sources((ToolCall("c", name, "{}", output),), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("![cat](https://a.test/1)", ("https://a.test/1",)),
        ("![cat](<https://a.test/1>)", ("https://a.test/1",)),
        ('![cat](https://a.test/1_(big).png "title")', ("https://a.test/1_(big).png",)),
        ("[here](https://a.test/1.jpg), or https://a.test/2.webp.", ("https://a.test/1.jpg", "https://a.test/2.webp")),
        ("[a page](https://a.test/page)", ()),
        ("图：https://a.test/猫.png。", ("https://a.test/猫.png",)),
        ("https://[.png", ()),
        ("![a](https://a.test/1) ![a](https://a.test/1)", ("https://a.test/1",)),
    ],
)
def test_pictures_of_a_text(text: str, expected: tuple[str, ...]) -> None:
    assert expected == picture_sources((), (said(text),))


def test_tool_outputs_come_first_and_each_picture_once() -> None:
    call = ToolCall("c", "text_to_image", "{}", '{"url": "https://a.test/2"}')
    message = Message("m", "assistant", "![](https://a.test/1) ![](https://a.test/2)", image_file_ids=("f1",))
    assert ("https://a.test/2", "f1", "https://a.test/1") == picture_sources((call,), (message,))


def test_what_an_authors_function_puts_out_is_no_picture_of_the_answer() -> None:
    call = ToolCall("c", "get_product", "{}", '{"photo": "https://a.test/1.png"}', True)
    assert () == picture_sources((call,), (said("Here is its photo."),))
    assert ("https://a.test/1.png",) == picture_sources((call,), (said("![it](https://a.test/1.png)"),))


def test_a_conversation_as_a_whole() -> None:
    first = Turn("a", usage=Usage(1, 2, 3), seconds=1)
    second = Turn("b", status=RunStatus.FAILED, usage=Usage(1, 1, 2), seconds=2, error=ServiceError("c", "m"))
    turn = whole((first, second))
    assert ("a\n\nb", "failed", Usage(2, 3, 5), 3) == (turn.text, turn.status, turn.usage, turn.seconds)
    assert ServiceError("c", "m") == turn.error


def test_a_function_that_two_turns_declare_differently_has_no_parameters_in_the_whole() -> None:
    stop = {"type": "object"}
    first = Turn("a", parameters={"find": {"properties": {"id": {"type": "integer"}}}, "stop": stop})
    second = Turn("b", parameters={"find": {"properties": {"id": {"type": "string"}}}, "stop": stop})
    assert {"stop": stop} == whole((first, second)).parameters


def test_tokens_of_a_conversation_are_unknown_when_one_step_did_not_say() -> None:
    assert None is whole((Turn("a", usage=Usage(1, 2, 3)), Turn("b"))).usage
    assert (None, "completed") == (whole(()).usage, whole(()).status)
