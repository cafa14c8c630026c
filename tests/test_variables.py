import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks.matching import Matches
from runner.checks.text import Contains
from runner.diagnostics import Span
from runner.forms import Scalar
from runner.model import (
    Asks,
    Assistant,
    ByHttp,
    ByPython,
    Expectation,
    Fails,
    Function,
    PythonFunction,
    Replies,
    Reply,
    Returns,
    Role,
    Sample,
    SampleCall,
    SavedValue,
    SeedMessage,
    Tool,
)
from runner.variables import EmptyValue, UnknownVariable, expand, names, valid

PLACE = Span(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no variable", ()),
        ("${a} and ${b} and ${a}", ("a", "b")),
        ("$${a}", ()),
        ("$$${a}", ()),
        ("${動物}${env.HOME}", ("動物", "env.HOME")),
        ("${a b} ${}", ("a b", "")),
        ("${open", ()),
        ("$a {a}", ()),
    ],
)
def test_names_of_a_text(text: str, expected: tuple[str, ...]) -> None:
    assert expected == names(text)


@pytest.mark.parametrize("name", ["a", "_x1", "動物", "がく", "名前１", "été"])
def test_a_name_may_be_in_any_script(name: str) -> None:
    assert valid(name)
    assert "x" == expand(f"${{{name}}}", {name: "x"})


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", "a.b", "a：b", "　", "a\n"])
def test_a_name_has_no_signs(name: str) -> None:
    assert not valid(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Draw a ${animal}.", "Draw a cat."),
        ("${animal}${animal}", "catcat"),
        ("costs $${animal}", "costs ${animal}"),
        ("${literal}", "${animal}"),
        ("$5, ${ and {animal}", "$5, ${ and {animal}"),
    ],
)
def test_values_are_put_in_once(text: str, expected: str) -> None:
    assert expected == expand(text, {"animal": "cat", "literal": "${animal}"})


def test_whole_values_are_walked_and_what_does_not_change_is_kept() -> None:
    tool = Tool("rag", "about ${a}", {"prompt_ra": {"ids": ["${a}", 1]}})
    assistant = Assistant(model="m", instructions="Say ${a}.", tools=(tool,), metadata={"team": "${a}"})
    assert Assistant(
        model="m",
        instructions="Say x.",
        tools=(Tool("rag", "about x", {"prompt_ra": {"ids": ["x", 1]}}),),
        metadata={"team": "x"},
    ) == expand(assistant, {"a": "x"})
    plain = Assistant(model="m")
    assert expand(plain, {"a": "x"}) is plain
    assert SeedMessage(Role.USER, "x") == expand(SeedMessage(Role.USER, "${a}"), {"a": "x"})


def test_model_and_names_of_files_are_left_as_they_are() -> None:
    assistant = Assistant(model="${a}", id="${a}")
    assert assistant is expand(assistant, {"a": "x"})


def test_in_a_pattern_a_value_stands_for_itself() -> None:
    check = Expectation("matches", Matches("^${a}$"), PLACE, PLACE)
    assert f"^{re.escape('1+1')}$" == expand(check, {"a": "1+1"}).check.value  # type: ignore[attr-defined]
    assert SavedValue(matches=r"1\+1") == expand(SavedValue(matches="${a}"), {"a": "1+1"})
    assert SavedValue(json="$.1+1") == expand(SavedValue(json="$.${a}"), {"a": "1+1"})


def test_a_check_inside_a_check_has_its_own_way_of_writing() -> None:
    @dataclass(frozen=True)
    class Holder:
        value: tuple[Expectation, ...]
        escape = staticmethod(str.upper)

    holder = Holder((Expectation("contains", Contains("${a}"), PLACE, PLACE),))
    assert Contains("x") == expand(holder, {"a": "x"}).value[0].check


def test_allowed_environment_variables_have_a_prefix() -> None:
    assert "hello Anna" == expand("hello ${env.NAME}", {}, {"NAME": "Anna"})
    with pytest.raises(UnknownVariable) as caught:
        expand("hello ${env.NAME}", {"NAME": "Anna"})
    assert "env.NAME" == caught.value.name


def test_a_text_that_becomes_empty_is_refused() -> None:
    with pytest.raises(EmptyValue) as caught:
        expand(Expectation("contains", Contains(" ${a} "), PLACE, PLACE), {"a": ""})
    assert " ${a} " == caught.value.text


@given(st.text(alphabet="${}ab \n", max_size=30), st.text(max_size=5))
def test_expanding_leaves_nothing_that_is_known(text: str, value: str) -> None:
    try:
        expanded = expand(text, {"a": value, "b": "b"})
    except UnknownVariable as error:
        assert error.name in names(text)
        assert error.name not in ("a", "b")
    except EmptyValue:
        assert "" == value.strip() or "" == text.strip()
    else:
        assert set(names(text)) <= {"a", "b"}
        assert text == expanded or "${" in text


def test_answers_of_functions_are_filled_in_and_what_is_run_stays() -> None:
    text = "${x}"
    schema = {"type": "object", "title": text}

    def tool(function: Function) -> Tool:
        return Tool("function", text, {"strict": text}, function)

    def filled(function: Function) -> Tool:
        return Tool("function", "y", {"strict": "y"}, function)

    for written, expected in (
        (Returns({"a": [text, Scalar(1.1, "1.10")]}), Returns({"a": ["y", Scalar(1.1, "1.10")]})),
        (Fails(text), Fails("y")),
        (Replies((Reply({"id": text}, returns=text),)), Replies((Reply({"id": "y"}, returns="y"),))),
        (Replies((Reply(fails=text),)), Replies((Reply(fails="y"),))),
        (Asks(text), Asks("y")),
        (ByPython(PythonFunction(text, text)), ByPython(PythonFunction(text, text))),
        (ByHttp(text), ByHttp(text)),
    ):
        assert filled(Function(text, schema, expected)) == expand(tool(Function(text, schema, written)), {"x": "y"})


def test_sampled_arguments_are_filled_in() -> None:
    sample = Sample(calls=((SampleCall("${x}", {"a": "${x}"}),),))
    assert Sample(calls=((SampleCall("${x}", {"a": "y"}),),)) == expand(sample, {"x": "y"})
