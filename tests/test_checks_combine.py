"""Calls, and checks made of checks."""

import pytest

from runner.model import ToolCall, Turn
from tests.checks_fixtures import INSIDE, expectation, make, problems, told

CAT = Turn(
    "Here is your cat.", calls=(ToolCall("1", "text_to_image"), ToolCall("2", "calculator"), ToolCall("3", "calculator"))
)
NOTHING = Turn("")

cat, dog, eyes = expectation("contains", "cat"), expectation("contains", "dog"), expectation("contains", "eyes")
unclear = expectation("contains", "")
painted = expectation("calls", "text_to_image")
picture = expectation("image")


@pytest.mark.parametrize(
    ("value", "turn", "expected"),
    [
        ("calculator", CAT, ("passed", "", "calculator", "text_to_image, calculator")),
        ("rag", CAT, ("failed", "this tool was not called", "rag", "text_to_image, calculator")),
        ("rag", NOTHING, ("failed", "this tool was not called", "rag", "(no tool was called)")),
        ("calc", CAT, ("failed", "this tool was not called", "calc", "text_to_image, calculator")),
    ],
)
def test_calls(value: str, turn: Turn, expected: tuple[str, ...]) -> None:
    assert expected == told(make("calls", value).evaluate(turn))


@pytest.mark.parametrize(
    ("name", "value", "expected", "placed"),
    [
        ("not", (dog,), ("passed", "", 'not "dog"', '"Here is your cat."'), False),
        ("not", (dog, eyes, picture), ("passed", "", 'not "dog" or "eyes" or a picture', '"Here is your cat."'), False),
        ("not", (dog, cat), ("failed", "`contains` passes, which `not` forbids", 'not "cat"', '"Here is your cat."'), True),
        (
            "not",
            (painted,),
            ("failed", "`calls` passes, which `not` forbids", "not text_to_image", "text_to_image, calculator"),
            True,
        ),
        ("not", (cat, unclear), ("error", "`contains`: the expected text is empty", "", ""), True),
        ("not", (), ("passed", "", "", ""), False),
        ("any", (dog, cat), ("passed", "", '"cat"', '"Here is your cat."'), False),
        ("any", (unclear, cat), ("passed", "", '"cat"', '"Here is your cat."'), False),
        ("any", (dog, unclear), ("error", "`contains`: the expected text is empty", "", ""), True),
        (
            "any",
            (dog, picture),
            ("failed", "none of these checks passes: `contains`, `image`", '"dog" or a picture', '"Here is your cat."'),
            False,
        ),
        (
            "any",
            (dog,),
            ("failed", "`contains`: the reply does not contain this text", '"dog"', '"Here is your cat."'),
            True,
        ),
        ("any", (), ("error", "there is no check to pass", "", ""), False),
        ("all", (cat, painted), ("passed", "", '"cat" and text_to_image', '"Here is your cat."'), False),
        (
            "all",
            (cat, dog),
            ("failed", "`contains`: the reply does not contain this text", '"dog"', '"Here is your cat."'),
            True,
        ),
        ("all", (dog, unclear), ("error", "`contains`: the expected text is empty", "", ""), True),
        ("all", (), ("error", "there is no check to pass", "", ""), False),
    ],
)
def test_a_combination_says_which_check_decided(
    name: str, value: tuple[object, ...], expected: tuple[str, ...], placed: bool
) -> None:
    verdict = make(name, value).evaluate(CAT)
    assert expected == told(verdict)
    assert (INSIDE if placed else None) == verdict.at


def test_a_combination_within_another_keeps_the_innermost_place() -> None:
    from dataclasses import replace

    from runner.diagnostics import Span

    innermost = Span(9, 1, 9, 4)
    inner = expectation("all", (cat, replace(dog, span=innermost)))
    assert innermost == make("all", (inner,)).evaluate(CAT).at
    nested = expectation("not", (replace(cat, span=innermost),))
    assert innermost == make("any", (nested,)).evaluate(CAT).at


def test_a_combination_names_the_tools_of_its_checks() -> None:
    inner = expectation("not", (expectation("calls", "rag"),))
    assert ("text_to_image", "rag") == make("any", (painted, cat, inner)).tools()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "not",
            [
                (
                    "never-fails",
                    "`not` has no check, so every reply passes",
                    "write what must not be: `not: {contains: …}`",
                )
            ],
        ),
        ("any", [("impossible", "`any` has no check, so no reply passes", "list the checks of which one must pass")]),
        ("all", [("never-fails", "`all` has no check, so every reply passes", "list the checks that must pass")]),
    ],
)
def test_a_combination_of_nothing_is_a_problem(name: str, found: list[object]) -> None:
    assert found == problems(name, ())
    assert [] == problems(name, (cat,))
