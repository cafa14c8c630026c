"""Answers of functions that need no code: values, failures, sequences, people; and what every answer has in common."""

import asyncio
import json
import subprocess
import sys
from gettext import NullTranslations
from pathlib import Path

import pytest

from runner import words
from runner.diagnostics import Span
from runner.forms import Scalar
from runner.model import Asks, ByHttp, ByPython, Fails, PythonFunction, Replies, Reply, Returns, Tool
from runner.tools import Toolbox
from tests.tools_fixtures import ORDER, answers, told, tool, toolbox


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("shipped", "shipped"),
        ("", ""),
        ('{"looks": "like JSON"}', '{"looks": "like JSON"}'),
        ({"status": "shipped", "arrives": "金曜日"}, '{"status": "shipped", "arrives": "金曜日"}'),
        ({"price": Scalar(1.1, "1.10")}, '{"price": 1.10}'),
        (("a", Scalar(2, "2"), Scalar(True, "true")), '["a", 2, true]'),
        (Scalar(None, "null"), "null"),
        (Scalar(12, "12"), "12"),
        ((), "[]"),
    ],
)
def test_returns_gives_a_text_as_it_is_and_any_other_value_as_json(value: object, output: str) -> None:
    assert [(output, "returns", "")] == answers(toolbox(), tool(Returns(value)))


def test_fails_gives_an_error_text() -> None:
    assert [('{"error": "already „shipped“ \\"today\\""}', "fails", "")] == answers(
        toolbox(), tool(Fails('already „shipped“ "today"'))
    )


# ── sequences ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_replies_come_in_order_and_the_last_one_for_ever() -> None:
    asked = tool(Replies((Reply(returns="packed"), Reply(fails="try later"), Reply(returns="shipped"))))
    assert [
        ("packed", "replies", ""),
        ('{"error": "try later"}', "replies", ""),
        ("shipped", "replies", ""),
        ("shipped", "replies", ""),
    ] == answers(toolbox(), *[asked] * 4)


def test_replies_are_for_the_arguments_they_are_meant_for() -> None:
    entries = (
        Reply(when={"order_id": "1"}, returns="first of 1"),
        Reply(when={"order_id": Scalar(2, "2")}, returns="of 2"),
        Reply(when={"order_id": "1"}, returns="second of 1"),
        Reply(when={"order_id": {"starts_with": "9"}}, returns="of nines"),
    )

    asked = tool(Replies(entries), ORDER)

    async def converse() -> list[str]:
        box = toolbox()
        given = [await told(box, asked, f'{{"order_id": "{id}"}}') for id in ("2", "1", "1", "99", "98", "1", "2")]
        return [output or trouble for output, _by, trouble in given]

    assert [
        "of 2",
        "first of 1",
        "second of 1",
        "of nines",
        "of nines",
        '`get_order` gave no answer: none of its `replies` that are left fits the arguments {"order_id": "1"}',
        '`get_order` gave no answer: none of its `replies` that are left fits the arguments {"order_id": "2"}',
    ] == asyncio.run(converse())


def test_a_sequence_goes_on_when_its_texts_were_filled_in_anew_and_each_place_has_its_own() -> None:
    one = tool(Replies((Reply(returns="first"), Reply(returns="last"))))
    same = tool(Replies((Reply(returns="first, filled in"), Reply(returns="last, filled in"))))
    other = tool(Replies((Reply(returns="another first"), Reply(returns="another last"))), at=Span(9, 7, 9, 16))
    given = answers(toolbox(), one, same, other, other)
    assert ["first", "last, filled in", "another first", "another last"] == [output for output, *_rest in given]


def test_conversations_have_sequences_of_their_own() -> None:
    asked = tool(Replies((Reply(returns="first"), Reply(returns="last"))))
    assert answers(toolbox(), asked) == answers(toolbox(), asked)


def test_after_passes_time_before_the_answer() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    box = Toolbox(Path(), sleep=sleep)
    asked = tool(Replies((Reply(returns="slow", after=2.5), Reply(fails="slower", after=70), Reply(returns="at once"))))
    assert ["slow", '{"error": "slower"}', "at once"] == [output for output, *_rest in answers(box, *[asked] * 3)]
    assert [2.5, 70] == slept


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_person_is_asked_with_the_name_the_arguments_and_the_question() -> None:
    heard: list[tuple[str, str, str]] = []

    async def ask(name: str, arguments: str, question: str) -> str:
        heard.append((name, arguments, question))
        return "Freitag"

    given = answers(toolbox(trusted=False, ask=ask), tool(Asks("Which day?"), ORDER), arguments='{"order_id": "7"}')
    assert [("Freitag", "ask", "")] == given
    assert [("get_order", '{"order_id": "7"}', "Which day?")] == heard


def test_without_a_terminal_nobody_is_asked() -> None:
    reason = "`ask` needs a terminal, and there is none; write `returns` or `replies` for runs without one"
    assert [("", "", f"`get_order` gave no answer: {reason}")] == answers(toolbox(), tool(Asks()))


def test_input_that_ends_is_no_answer() -> None:
    async def ask(_name: str, _arguments: str, _question: str) -> str:
        raise EOFError

    assert [("", "", "`get_order` gave no answer: the input ended before there was one")] == answers(
        toolbox(ask=ask), tool(Asks())
    )


def test_what_a_terminal_could_not_decode_can_be_sent_all_the_same() -> None:
    async def ask(_name: str, _arguments: str, _question: str) -> str:
        return "caf\udce9"

    assert [("caf?", "ask", "")] == answers(toolbox(ask=ask), tool(Asks()))


# ── in common ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (None, "the assistant called `get_order`, which is none of the flow's functions"),
        (Tool("calculator"), "the assistant called `calculator`, which is none of the flow's functions"),
        (
            tool(None),
            "`get_order` was called, and the flow does not say who answers: "
            "write `returns`, `fails`, `replies`, `python`, `http` or `ask` under it",
        ),
    ],
)
def test_a_call_that_nobody_answers_is_none(asked: Tool | None, sentence: str) -> None:
    assert [("", "", sentence)] == answers(toolbox(), asked)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "`order_id` is missing"),
        ('{"order_id": 7}', '`order_id` is 7, declared is `string`'),
        ("[]", "the arguments are a list, not a mapping"),
        ('{"order_id": ', "the arguments are not JSON: expecting value, line 1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "answer",
    [Returns("shipped"), Replies((Reply(returns="once"), Reply(returns="then"))), ByPython(PythonFunction("gone.py", "f"))],
)
def test_arguments_that_do_not_fit_go_back_and_use_nothing_up(arguments: str, reason: str, answer: Returns) -> None:
    box = toolbox(trusted=False)
    trouble = f"`get_order` was called with arguments that do not fit: {reason}"
    assert [(json.dumps({"error": reason}), "parameters", trouble)] == answers(box, tool(answer, ORDER), arguments=arguments)
    assert {} == box.used


def test_a_model_is_told_in_english_and_people_in_their_language(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(NullTranslations):
        def gettext(self, message: str) -> str:
            return f"«{message}»"

    monkeypatch.setattr(words, "chosen", Foreign())
    [(output, _by, trouble)] = answers(toolbox(), tool(Returns("shipped"), ORDER), arguments="{}")
    assert '{"error": "`order_id` is missing"}' == output
    assert "«`get_order` was called with arguments that do not fit: «`order_id` is missing»»" == trouble


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (ByPython(PythonFunction("tools.py", "get_order")), "tools.py:get_order"),
        (ByHttp("http://127.0.0.1:9/orders"), "http://127.0.0.1:9/orders"),
    ],
)
def test_nothing_of_the_authors_runs_without_permission(answer: ByPython | ByHttp, what: str, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("open('ran', 'w')\ndef get_order(): return 'ran'\n")
    reason = f"`{what}` is used only with permission; give it by `runflow trust FILE`, or add `--allow-tools`"
    given = answers(toolbox(tmp_path, trusted=False), tool(answer))
    assert [("", "", f"`get_order` gave no answer: {reason}")] == given
    assert ["tools.py"] == [path.name for path in tmp_path.iterdir()]


def test_permission_must_be_given() -> None:
    box = Toolbox(Path(), sleep=asyncio.sleep)
    assert "is used only with permission" in answers(box, tool(ByHttp("http://127.0.0.1:9/")))[0][2]


def test_an_answer_has_at_most_a_million_characters() -> None:
    fitting, longer = tool(Returns("é" * 1_000_000)), tool(Returns("é" * 1_000_001))
    (output, *_rest), refused = answers(toolbox(), fitting, longer)
    assert 1_000_000 == len(output)
    sentence = "`get_order` gave no answer: it has 1000001 characters; at most 1000000 are passed on"
    assert ("", "", sentence) == refused


def test_a_toolbox_may_be_closed_twice_and_unused() -> None:
    async def close() -> None:
        box = toolbox()
        await box.close()
        await box.close()

    asyncio.run(close())


def test_nothing_is_loaded_before_it_is_used() -> None:
    heavy = {"subprocess", "asyncio", "httpx", "jsonschema", "runner.functions", "runner.worker", "runner.transport"}
    for loading in ("import runner.tools", "from runner.registry import checks; checks['python']"):
        program = f"import sys; {loading}; print(sorted({heavy} & sys.modules.keys()))"
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "[]\n" == ran.stdout
