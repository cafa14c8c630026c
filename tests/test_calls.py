"""What the calls of a run come to: those the service lists, and those that were answered."""

import pytest

from runner.calls import by_declared_name, completed
from runner.model import Tool, ToolCall


def asked(id: str, arguments: str = "{}", output: str | None = None, name: str = "get_order", trouble: str = "") -> ToolCall:
    return ToolCall(id, name, arguments, output, True, trouble)


@pytest.mark.parametrize(
    ("listed", "given", "expected"),
    [
        ([], [asked("a", output="1")], [asked("a", output="1")]),
        ([asked("a")], [asked("a", output="1", trouble="odd")], [asked("a", output="1", trouble="odd")]),
        ([asked("a", output="theirs")], [asked("a", output="1")], [asked("a", output="theirs")]),
        (
            [asked("b"), asked("a")],
            [asked("a", output="1"), asked("b", output="2")],
            [asked("b", output="2"), asked("a", output="1")],
        ),
        (
            [asked(""), asked("")],
            [asked("", output="1"), asked("", output="2")],
            [asked("", output="1"), asked("", output="2")],
        ),
        (
            [asked(""), asked("b")],
            [asked("b", output="2"), asked("a", output="1")],
            [asked("", output="1"), asked("b", output="2")],
        ),
        ([asked("", name="x")], [asked("", output="1")], [asked("", name="x"), asked("", output="1")]),
        ([asked("z", "[1]")], [asked("a", "[2]", "1")], [asked("z", "[1]"), asked("a", "[2]", "1")]),
        ([asked("z", "[1]")], [asked("a", "[1]", "1")], [asked("z", "[1]", "1")]),
        (
            [ToolCall("a", "calculator", "{}", "2"), asked("a")],
            [asked("a", output="1")],
            [ToolCall("a", "calculator", "{}", "2"), asked("a", output="1")],
        ),
    ],
)
def test_listed_calls_are_completed_by_what_was_answered(
    listed: list[ToolCall], given: list[ToolCall], expected: list[ToolCall]
) -> None:
    assert tuple(expected) == completed(listed, given)


@pytest.mark.parametrize(
    ("called", "declared", "expected"),
    [
        ("wanx", "text_to_image", "text_to_image"),
        ("text_to_image", "wanx", "wanx"),
        ("search", "quark_search", "quark_search"),
        ("wanx", "wanx", "wanx"),
        ("wanx", "calculator", "wanx"),
        ("calculator", "text_to_image", "calculator"),
    ],
)
def test_a_tool_is_called_what_the_author_calls_it(called: str, declared: str, expected: str) -> None:
    (call,) = by_declared_name([ToolCall("", called)], [Tool(declared)])
    assert expected == call.name


def test_a_function_keeps_its_name() -> None:
    (call,) = by_declared_name([asked("", name="search")], [Tool("quark_search")])
    assert "search" == call.name
