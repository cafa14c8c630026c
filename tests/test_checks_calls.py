"""Calls of tools: which, with which arguments, how often, in which order, and what became of the output."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks import calls as module
from runner.checks.calls import Calls, ExpectedCall
from runner.diagnostics import Span
from runner.load import examine
from runner.model import Expectation, ToolCall, Turn, Verdict
from runner.plan import cases
from runner.variables import expand
from tests.checks_fixtures import told

FLOW = """\
variables: {order: '1234', part: '34'}
assistant:
  model: qwen-max
  tools:
    - calculator
    - get_order:
        parameters: {order_id: string, count: optional integer, size: [small, large]}
        returns: shipped
    - cancel_order:
        parameters: {order_id: string}
        fails: already shipped
steps:
  - user: Where is order 1234?
    expect:
"""
FIRST = FLOW.count("\n") + 1
PARAMETERS = {
    "get_order": {
        "type": "object",
        "properties": {"order_id": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["order_id"],
        "additionalProperties": False,
    },
    "cancel_order": {"type": "object", "properties": {"order_id": {"type": "string"}}, "additionalProperties": False},
}


def written(folder: Path, lines: str) -> Path:
    path = folder / "flow.yaml"
    path.write_text(FLOW + "".join(f"      {line}\n" for line in lines.splitlines()), encoding="utf-8")
    return path


def expectation(folder: Path, lines: str) -> Expectation:
    """The check as the engine gets it: read, validated, its variables replaced."""
    examined = examine(written(folder, lines))
    assert () == examined.diagnostics
    assert examined.flow is not None
    case = cases(examined.flow, {})[0]
    (each,) = expand(case.flow.steps[0].expect, case.variables)
    return each


def called(name: str, arguments: object = None, output: object = None) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments is not None else ""
    gave = output if isinstance(output, str) or output is None else json.dumps(output)
    return ToolCall(f"call_{name}", name, text, gave, is_function=name != "calculator")


def turn(*calls: ToolCall, text: str = "Done.") -> Turn:
    return Turn(text, calls=calls, parameters=PARAMETERS)


def get(order_id: str, output: object = None) -> ToolCall:
    return called("get_order", {"order_id": order_id}, output)


def cancel(order_id: str) -> ToolCall:
    return called("cancel_order", {"order_id": order_id})


DECLARED = json.dumps(PARAMETERS["get_order"])
SIX = called("calculator", {"formula": "2*3"}, {"result": 6, "steps": ["2*3"]})
SHIPPED = {"status": "shipped", "arrives": "Friday", "total": 1234.5, "gift": False, "note": None, "items": [{"id": "12"}]}


@pytest.mark.parametrize(
    ("line", "calls", "expected"),
    [
        ("calls: get_order", (get("1"),), ("passed", "", "get_order", "get_order")),
        ("calls: get_order", (), ("failed", "this tool was not called", "get_order", "(no tool was called)")),
        ("calls: get_order", (SIX, SIX), ("failed", "this tool was not called", "get_order", "calculator")),
        ("calls: {get_order: }", (get("1"),), ("passed", "", "get_order", "get_order")),
        ("calls: {get_order: {}}", (called("get_order"),), ("passed", "", "get_order {}", "get_order {}")),
        (
            'calls: {get_order: {order_id: "1234"}}',
            (get("1"), get("1234")),
            ("passed", "", 'get_order {"order_id": "1234"}', 'get_order {"order_id": "1234"}'),
        ),
        # Read with the declared type: the parameter is a text.
        (
            "calls: {get_order: {order_id: 1234}}",
            (get("1234"),),
            ("passed", "", 'get_order {"order_id": "1234"}', 'get_order {"order_id": "1234"}'),
        ),
        (
            "calls: {get_order: {order_id: '${order}'}}",
            (get("1234"),),
            ("passed", "", 'get_order {"order_id": "1234"}', 'get_order {"order_id": "1234"}'),
        ),
        (
            "calls: {get_order: {order_id: {contains: '${part}'}}}",
            (get("1234"),),
            ("passed", "", 'get_order {"order_id": {"contains": "34"}}', 'get_order {"order_id": "1234"}'),
        ),
        (
            'calls: {get_order: {order_id: "1234"}}',
            (get("1243"),),
            ("failed", '`get_order` was called with `order_id` "1243"', '"1234"', '"1243"'),
        ),
        (
            'calls: {get_order: {order_id: "1234"}}',
            (cancel("1234"),),
            ("failed", "this tool was not called", 'get_order {"order_id": "1234"}', "cancel_order"),
        ),
        # Of several calls, the nearest is told about.
        (
            'calls: {get_order: {order_id: "1234", count: 2}}',
            (get("1"), called("get_order", {"order_id": "1234", "count": 3}), get("2")),
            ("failed", "`get_order` was called with `count` 3", "2", "3"),
        ),
        (
            "calls: {tool: get_order, arguments: {count: 3}, valid: true}",
            (get("1"), called("get_order", {"count": 3}), called("get_order", {"count": 2})),
            (
                "failed",
                "`get_order` was called with arguments that do not fit: `order_id` is missing",
                DECLARED,
                '{"count": 3}',
            ),
        ),
        (
            "calls: {get_order: {order_id: {words: under 2}, count: 2}}",
            (get("ご注文の品"),),
            ("failed", "`get_order` was called without `count`", "2", '{"order_id": "ご注文の品"}'),
        ),
        # Neither the call that differs nor the one that cannot be judged says that there was none.
        (
            "calls: {get_order: {order_id: {words: 1}, size: small}}",
            (
                called("get_order", {"order_id": "ご注文の品", "size": "small"}),
                called("get_order", {"order_id": "a b", "size": "small"}),
            ),
            (
                "error",
                '`get_order` was called with `order_id` "ご注文の品": `words`: '
                "words cannot be counted in this reply, which is written without spaces; use `characters`",
                "1",
                '"ご注文の品"',
            ),
        ),
        (
            "calls: {get_order: {order_id: {words: under 2}}}",
            (get("ご注文の品"), get("1")),
            ("passed", "", 'get_order {"order_id": {"words": "under 2"}}', 'get_order {"order_id": "1"}'),
        ),
        (
            "calls: {get_order: {count: 2}}",
            (get("1"),),
            ("failed", "`get_order` was called without `count`", "2", '{"order_id": "1"}'),
        ),
        (
            "calls: {get_order: {count: 2}}",
            (called("get_order"),),
            ("failed", "`get_order` was called without `count`", "2", "{}"),
        ),
        (
            r"calls: {get_order: {order_id: {matches: '^\d{4}$'}}}",
            (get("12"),),
            (
                "failed",
                '`get_order` was called with `order_id` "12": `matches`: the reply does not match this regular expression',
                r"^\d{4}$",
                '"12"',
            ),
        ),
        (
            "calls: {get_order: {order_id: {words: under 2}}}",
            (get("ご注文の品"),),
            (
                "error",
                '`get_order` was called with `order_id` "ご注文の品": `words`: '
                "words cannot be counted in this reply, which is written without spaces; use `characters`",
                "under 2",
                '"ご注文の品"',
            ),
        ),
        (
            'calls: {get_order: {order_id: "1234"}}',
            (called("get_order", '{"order_id": "1234"'),),
            (
                "failed",
                "`get_order` was called, but the arguments are not JSON: expecting ',' delimiter, line 1",
                '{"order_id": "1234"}',
                '{"order_id": "1234"',
            ),
        ),
        ("calls: get_order", (called("get_order", "oops"),), ("passed", "", "get_order", "get_order")),
        (
            'calls: {calculator: {formula: "2*3"}}',
            (SIX,),
            ("passed", "", 'calculator {"formula": "2*3"}', 'calculator {"formula": "2*3"}'),
        ),
    ],
)
def test_a_tool_and_its_arguments(tmp_path: Path, line: str, calls: tuple[ToolCall, ...], expected: tuple[str, ...]) -> None:
    assert expected == told(expectation(tmp_path, f"- {line}").check.evaluate(turn(*calls)))


@pytest.mark.parametrize(
    ("line", "calls", "expected"),
    [
        ("calls: {tool: get_order}", (get("1"),), ("passed", "", "get_order", "get_order")),
        (
            'calls: {tool: get_order, arguments: {order_id: "1"}, times: 2}',
            (get("1"), get("2"), get("1")),
            ("passed", "", 'get_order {"order_id": "1"}', 'get_order {"order_id": "1"}, get_order {"order_id": "1"}'),
        ),
        (
            'calls: {tool: get_order, arguments: {order_id: "1"}, times: 2}',
            (get("1"), get("2")),
            ("failed", "this tool was called too few times", "2", '1: get_order {"order_id": "1"}'),
        ),
        (
            "calls: {tool: get_order, times: at most 1}",
            (get("1"), get("2")),
            ("failed", "this tool was called too often", "at most 1", "2: get_order"),
        ),
        ("calls: {tool: get_order, times: at most 1}", (SIX,), ("passed", "", "get_order", "calculator")),
        ("calls: {tool: get_order, times: 0}", (), ("passed", "", "get_order", "(no tool was called)")),
        (
            "calls: {tool: get_order, times: 0}",
            (get("1"),),
            ("failed", "this tool was called too often", "0", "1: get_order"),
        ),
        (
            "calls: {tool: get_order, times: over 1}",
            (),
            ("failed", "this tool was not called", "get_order", "(no tool was called)"),
        ),
        (
            'calls: {tool: get_order, arguments: {order_id: "1"}, times: 1}',
            (get("2"),),
            ("failed", '`get_order` was called with `order_id` "2"', '"1"', '"2"'),
        ),
        (
            "calls: {tool: get_order, arguments: {order_id: {words: 1}}, times: 1}",
            (get("1"), get("ご注文")),
            (
                "error",
                '`get_order` was called with `order_id` "ご注文": `words`: '
                "words cannot be counted in this reply, which is written without spaces; use `characters`",
                "1",
                '"ご注文"',
            ),
        ),
        (
            'calls: {tool: get_order, arguments: {order_id: "1"}, times: 0}',
            (get("1"), called("get_order", "oops")),
            ("failed", "this tool was called too often", "0", '1: get_order {"order_id": "1"}'),
        ),
        # What cannot be read might be the one call too many.
        (
            'calls: {tool: get_order, arguments: {order_id: "1"}, times: 0}',
            (called("get_order", "oops"),),
            (
                "error",
                "`get_order` was called, but the arguments are not JSON: expecting value, line 1",
                'get_order {"order_id": "1"}',
                "get_order oops",
            ),
        ),
    ],
)
def test_how_often(tmp_path: Path, line: str, calls: tuple[ToolCall, ...], expected: tuple[str, ...]) -> None:
    assert expected == told(expectation(tmp_path, f"- {line}").check.evaluate(turn(*calls)))


@pytest.mark.parametrize(
    ("arguments", "outcome", "message"),
    [
        ('{"order_id": "1"}', "passed", ""),
        ('{"order_id": 1}', "failed", "`order_id` is 1, declared is `string`"),
        ("{}", "failed", "`order_id` is missing"),
        ("oops", "failed", "the arguments are not JSON: expecting value, line 1"),
        ('{"order_id": "1", "order_id": "2"}', "failed", "the arguments are not JSON: it has the key `order_id` twice"),
        ('{"order_id": "1", "count": NaN}', "failed", "the arguments are not JSON: `NaN` is not a number in JSON"),
        ("[" * 200_000, "failed", "the arguments are deeper than 64 levels"),
        ('"' + "x" * 10_000_000, "failed", "the arguments are longer than 1000000 characters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_valid_arguments_fit_what_the_function_declares(tmp_path: Path, arguments: str, outcome: str, message: str) -> None:
    check = expectation(tmp_path, "- calls: {tool: get_order, valid: true}").check
    verdict = check.evaluate(turn(called("get_order", arguments)))
    prefix = "`get_order` was called with arguments that do not fit: " if message else ""
    assert (outcome, prefix + message) == told(verdict)[:2]
    assert len(verdict.actual) < 250


def test_one_valid_call_among_others_is_enough(tmp_path: Path) -> None:
    check = expectation(tmp_path, "- calls: {tool: get_order, valid: true}").check
    assert "passed" == told(check.evaluate(turn(called("get_order", "oops"), get("1"))))[0]


def test_valid_is_an_error_where_nothing_is_declared() -> None:
    check = Calls(ExpectedCall("get_order", valid=True))
    message = "no parameters of `get_order` are declared, so `valid` cannot be judged"
    assert ("error", message, "", "{}") == told(check.evaluate(Turn(calls=(called("get_order", "{}"),))))


@pytest.mark.parametrize(
    ("output", "gave", "expected"),
    [
        ("shipped", SHIPPED, ("passed", "", "get_order", "get_order")),
        (
            "lost",
            "shipped on Friday",
            (
                "failed",
                "in the output of `get_order`, `contains`: the reply does not contain this text",
                '"lost"',
                '"shipped on Friday"',
            ),
        ),
        ("{matches: 'Fri|Sat', not: {contains: refund}}", SHIPPED, ("passed", "", "get_order", "get_order")),
        ("{json: {'$.status': shipped}}", SHIPPED, ("passed", "", "get_order", "get_order")),
        (
            "{json: {'$.status': lost}}",
            {"status": "shipped"},
            (
                "failed",
                "in the output of `get_order`, `json`: the value at `$.status` is another",
                '"lost"',
                '"shipped"',
            ),
        ),
        ("shipped", None, ("failed", "`get_order` was called, but gave no output", "", "(no output)")),
    ],
)
def test_the_output_of_a_tool(tmp_path: Path, output: str, gave: object, expected: tuple[str, ...]) -> None:
    check = expectation(tmp_path, f"- calls: {{tool: get_order, output: {output}}}").check
    assert expected == told(check.evaluate(turn(get("1", gave))))


NO_VALUES = "the output of `get_order` has no text and no number to look for"
MANY = "the output of `get_order` has more than 1000 values; name those that matter"


@pytest.mark.parametrize(
    ("in_answer", "gave", "text", "expected"),
    [
        ("true", "It has shipped", "Yes: it has **shipped**!", ("passed", "", "get_order", "get_order")),
        ("true", SHIPPED, "Shipped (12), for 1,234.50; it is there on friday.", ("passed", "", "get_order", "get_order")),
        (
            "true",
            SHIPPED,
            "Shipped (12), for 1,234.50.",
            (
                "failed",
                "the answer does not say what `get_order` gave as `arrives`",
                '"Friday"',
                '"Shipped (12), for 1,234.50."',
            ),
        ),
        (
            "true",
            "Friday",
            "",
            ("failed", "the answer does not say what `get_order` gave", '"Friday"', "(the reply is empty)"),
        ),
        ("[status]", SHIPPED, "It has shipped.", ("passed", "", "get_order", "get_order")),
        (
            "[status, total]",
            SHIPPED,
            "It has shipped for 12345.",
            ("failed", "the answer does not say what `get_order` gave as `total`", "1234.5", '"It has shipped for 12345."'),
        ),
        ("['$.items[0].id']", SHIPPED, "Item 12.", ("passed", "", "get_order", "get_order")),
        (
            "['$.items[0].id']",
            SHIPPED,
            "Item 123.",
            ("failed", "the answer does not say what `get_order` gave as `$.items[0].id`", '"12"', '"Item 123."'),
        ),
        (
            "['$.items[0].id']",
            SHIPPED,
            "Item 312.",
            ("failed", "the answer does not say what `get_order` gave as `$.items[0].id`", '"12"', '"Item 312."'),
        ),
        ("true", {"note": "", "status": "shipped"}, "It has shipped.", ("passed", "", "get_order", "get_order")),
        ("[items]", SHIPPED, "Item 12.", ("passed", "", "get_order", "get_order")),
        ("[price]", SHIPPED, "x", ("failed", "the output of `get_order` has no `price`", "price", json.dumps(SHIPPED))),
        ("[gift]", {"gift": False}, "x", ("failed", NO_VALUES, "gift", '{"gift": false}')),
        ("true", {}, "x", ("failed", NO_VALUES, "", "{}")),
        (
            "[status]",
            "shipped",
            "shipped",
            ("failed", "the output of `get_order` is not JSON: expecting value, line 1", "status", "shipped"),
        ),
        ("true", None, "x", ("failed", "`get_order` was called, but gave no output", "", "(no output)")),
        ("true", {"n": 0.1 + 0.2}, "It is 0.3.", ("passed", "", "get_order", "get_order")),
        ("true", {"n": -5}, "It is −5 °C.", ("passed", "", "get_order", "get_order")),
        (
            "true",
            {"n": -5},
            "It is 5.",
            ("failed", "the answer does not say what `get_order` gave as `n`", "-5", '"It is 5."'),
        ),
        ("true", {"n": 5}, "From 3-5.", ("passed", "", "get_order", "get_order")),
        ("true", {"url": "http://a.example/1.png"}, "![cat](http://a.example/1.png)", ("passed", "", "get_order", "get_order")),
        ("true", "[" * 100_000, "x", None),
        ("true", list(range(2000)), " ".join(map(str, range(2000))), ("error", MANY, "", None)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_output_in_the_answer(
    tmp_path: Path, in_answer: str, gave: object, text: str, expected: tuple[str | None, ...] | None
) -> None:
    check = expectation(tmp_path, f"- calls: {{tool: get_order, in_answer: {in_answer}}}").check
    found = told(check.evaluate(turn(get("1", gave), text=text)))
    if expected is None:
        message = "the output of `get_order` is too long or too deep to be looked for in the answer"
        assert ("error", message) == found[:2]
    elif expected[3] is None:
        assert expected[:3] == found[:3]
    else:
        assert expected == found


def test_the_tools_of_the_service_have_outputs_too(tmp_path: Path) -> None:
    check = expectation(tmp_path, "- calls: {tool: calculator, in_answer: [result]}").check
    assert "passed" == told(check.evaluate(turn(SIX, text="It is 6.")))[0]
    assert ("failed", "the answer does not say what `calculator` gave as `result`", "6", '"It is 16."') == told(
        check.evaluate(turn(SIX, text="It is 16."))
    )


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "calls", "passed"),
    [
        ("[get_order, cancel_order]", (get("1"), cancel("1")), True),
        ("[get_order, cancel_order]", (SIX, get("1"), SIX, cancel("1"), SIX), True),
        ("[get_order, cancel_order]", (cancel("1"), get("1")), False),
        ("[get_order, cancel_order]", (cancel("1"), get("1"), cancel("1")), True),
        ("[get_order, get_order]", (get("1"),), False),
        ("[get_order, get_order]", (get("1"), get("1")), True),
        ('[get_order, {get_order: {order_id: "2"}}]', (get("1"), get("3"), get("2")), True),
        ('[{get_order: {order_id: "2"}}, get_order]', (get("1"), get("2")), False),
        ("[{tool: get_order, times: 2}, cancel_order]", (get("1"), get("2"), cancel("1")), True),
        ("[{tool: get_order, times: 1}, cancel_order]", (get("1"), get("2"), cancel("1")), False),
        ("[{tool: get_order, times: 2}, get_order]", (get("1"), get("2"), get("3")), True),
        ("[{tool: get_order, times: 2}, get_order]", (get("1"), get("2")), False),
        ("[{tool: get_order, times: at most 1}, cancel_order]", (cancel("1"),), True),
        ("[cancel_order, {tool: get_order, times: 0}]", (get("1"), cancel("1")), True),
        ("[cancel_order, {tool: get_order, times: 0}]", (cancel("1"), get("1")), False),
        ("[get_order]", (), False),
    ],
)
def test_a_list_is_an_order(tmp_path: Path, line: str, calls: tuple[ToolCall, ...], passed: bool) -> None:
    verdict = expectation(tmp_path, f"- calls: {line}").check.evaluate(turn(*calls))
    assert ("passed" if passed else "failed") == str(verdict.outcome)


@pytest.mark.parametrize(
    ("line", "calls", "part", "expected"),
    [
        (
            "[get_order, cancel_order]",
            (get("1"), SIX, cancel("1")),
            None,
            ("passed", "", "get_order, then cancel_order", "get_order, calculator, cancel_order"),
        ),
        (
            "[get_order, cancel_order]",
            (cancel("1"), get("1")),
            1,
            (
                "failed",
                "`cancel_order` was called, but not after `get_order`",
                "get_order, then cancel_order",
                "cancel_order, get_order",
            ),
        ),
        (
            '[get_order, {cancel_order: {order_id: "1"}}]',
            (get("1"), cancel("2")),
            1,
            ("failed", '`cancel_order` was called with `order_id` "2"', '"1"', '"2"'),
        ),
        ("[get_order, cancel_order]", (get("1"),), 1, ("failed", "this tool was not called", "cancel_order", "get_order")),
        ("[get_order, cancel_order]", (), 0, ("failed", "this tool was not called", "get_order", "(no tool was called)")),
        (
            "[cancel_order, {tool: get_order, times: 2}]",
            (cancel("1"), get("1")),
            1,
            ("failed", "this tool was called too few times", "2", "1: cancel_order, get_order"),
        ),
        (
            "[cancel_order, {tool: get_order, times: 2}]",
            (get("1"), cancel("1"), get("1")),
            1,
            ("failed", "this tool was called too few times", "2", "1: get_order, cancel_order, get_order"),
        ),
        (
            "[{get_order: {order_id: {words: 1}}}, cancel_order]",
            (get("ご注文"), get("1")),
            0,
            (
                "error",
                '`get_order` was called with `order_id` "ご注文": `words`: '
                "words cannot be counted in this reply, which is written without spaces; use `characters`",
                "1",
                '"ご注文"',
            ),
        ),
        (
            "[cancel_order, {get_order: {order_id: {words: 1}}}]",
            (cancel("1"), get("ご注文")),
            1,
            (
                "error",
                '`get_order` was called with `order_id` "ご注文": `words`: '
                "words cannot be counted in this reply, which is written without spaces; use `characters`",
                "1",
                '"ご注文"',
            ),
        ),
    ],
)
def test_an_order_says_which_call_is_not_there(
    tmp_path: Path, line: str, calls: tuple[ToolCall, ...], part: int | None, expected: tuple[str, ...]
) -> None:
    verdict = expectation(tmp_path, f"- calls: {line}").check.evaluate(turn(*calls))
    assert (part, expected) == (verdict.part, told(verdict))


# ── what it is within ────────────────────────────────────────────────────────────────────────────────────────────────

UNREAD = "`calls`: `cancel_order` was called, but the arguments are not JSON: expecting value, line 1"


@pytest.mark.parametrize(
    ("line", "calls", "expected"),
    [
        (
            'not: {calls: {cancel_order: {order_id: "1234"}}}',
            (cancel("1"), get("1234")),
            ("passed", "", 'not "1234"', '"1"'),
        ),
        (
            'not: {calls: {cancel_order: {order_id: "1234"}}}',
            (cancel("1234"),),
            (
                "failed",
                "`calls` passes, which `not` forbids",
                'not cancel_order {"order_id": "1234"}',
                'cancel_order {"order_id": "1234"}',
            ),
        ),
        (
            "not: {calls: cancel_order}",
            (called("cancel_order", "oops"),),
            ("failed", "`calls` passes, which `not` forbids", "not cancel_order", "cancel_order"),
        ),
        # It may have been the very call that is forbidden.
        (
            'not: {calls: {cancel_order: {order_id: "1234"}}}',
            (called("cancel_order", "oops"),),
            ("error", UNREAD, '{"order_id": "1234"}', "oops"),
        ),
        (
            'not: {any: [{contains: x}, {calls: {cancel_order: {order_id: "1234"}}}]}',
            (called("cancel_order", "oops"),),
            ("error", UNREAD.replace("`calls`", "`any`"), '"x" or {"order_id": "1234"}', '"Done."'),
        ),
        (
            'not: {all: [{contains: x}, {calls: {cancel_order: {order_id: "1234"}}}]}',
            (called("cancel_order", "oops"),),
            ("passed", "", 'not "x"', '"Done."'),
        ),
        (
            'not: {all: [{calls: {cancel_order: {order_id: "1234"}}}, {contains: x}]}',
            (called("cancel_order", "oops"),),
            ("passed", "", 'not {"order_id": "1234"}', "oops"),
        ),
        (
            'not: {all: [{contains: Done}, {calls: {cancel_order: {order_id: "1234"}}}]}',
            (called("cancel_order", "oops"),),
            ("error", UNREAD.replace("`calls`", "`all`"), '{"order_id": "1234"}', "oops"),
        ),
        (
            "not: {calls: [get_order, cancel_order]}",
            (cancel("1"), get("1")),
            ("passed", "", "not get_order, then cancel_order", "cancel_order, get_order"),
        ),
        (
            "not: {calls: {tool: calculator, times: over 1}}",
            (SIX, SIX),
            ("failed", "`calls` passes, which `not` forbids", "not calculator", "calculator"),
        ),
    ],
)
def test_under_not(tmp_path: Path, line: str, calls: tuple[ToolCall, ...], expected: tuple[str, ...]) -> None:
    assert expected == told(expectation(tmp_path, f"- {line}").check.evaluate(turn(*calls)))


@pytest.mark.parametrize(
    ("lines", "call", "line", "column", "end"),
    [
        ("- calls: cancel_order", get("1"), 0, 16, 28),
        ('- calls: {get_order: {order_id: "1234"}}', get("1"), 0, 28, 46),
        ('- calls:\n    tool: get_order\n    times: 1\n    arguments: {order_id: "1234"}', get("1"), 3, 22, 40),
        ("- calls:\n    tool: get_order\n    times: 2", get("1"), 2, 18, 19),
        ("- calls:\n    valid: true\n    tool: get_order", called("get_order", "{}"), 1, 18, 22),
        ("- calls:\n    tool: get_order\n    output: lost", get("1", "x"), 2, 19, 23),
        ("- calls:\n    tool: get_order\n    output:\n      contains: lost", get("1", "x"), 3, 23, 27),
        ("- calls:\n    tool: get_order\n    output:\n      - contains: [x, lost]", get("1", "x"), 3, 29, 33),
        ("- calls:\n    tool: get_order\n    in_answer: [a]", get("1", {"a": 1}), 2, 22, 25),
        ("- calls:\n    - get_order\n    - cancel_order", get("1"), 2, 13, 25),
        ('- not: {calls: {get_order: {order_id: "1"}}}', get("1"), 0, 22, 50),
    ],
)
def test_a_verdict_points_at_what_it_is_about(
    tmp_path: Path, lines: str, call: ToolCall, line: int, column: int, end: int
) -> None:
    each = expectation(tmp_path, lines)
    verdict = each.check.evaluate(turn(call))
    assert "failed" == str(verdict.outcome)
    assert Span(FIRST + line, column, FIRST + line, end) == each.place(verdict)


# ── what can be said before ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("calls: []", ("never-fails", "this list is empty, so every reply passes", "list the calls in their order")),
        (
            "calls: {get_order: 1234}",
            ("bad-value", "the arguments of `get_order` have no names", 'write `get_order: {order_id: "1234"}`'),
        ),
        (
            "calls: {tool: get_order, times: at least 0}",
            ("never-fails", "everything is `at least 0`, so every reply passes", None),
        ),
        (
            "calls: {tool: get_order, times: between 3 and 2}",
            ("impossible", "nothing is `between 3 and 2`, so no reply passes", "write `between 2 and 3`"),
        ),
        (
            "calls: {tool: get_order, output: {image: }}",
            (
                "bad-value",
                "`image` cannot judge a tool's output",
                "use checks on a text, such as `contains`, `matches`, `json`",
            ),
        ),
        (
            "calls: {tool: get_order, output: {any: [{contains: a}, {not: [{status: failed}]}]}}",
            (
                "bad-value",
                "`status` cannot judge a tool's output",
                "use checks on a text, such as `contains`, `matches`, `json`",
            ),
        ),
        (
            "calls: {tool: get_order, output: {matches: '('}}",
            (
                "bad-pattern",
                "this regular expression cannot be read: missing ), at character 2",
                "to search for the text as it is, use `contains`",
            ),
        ),
        (
            "calls: {tool: get_order, in_answer: []}",
            ("never-fails", "this list is empty, so every reply passes", "list fields, or write `in_answer: true`"),
        ),
        (
            "calls: {tool: get_order, in_answer: ['$.[']}",
            (
                "bad-path",
                "`$.[`: this path cannot be read: expected a shorthand selector",
                "write it like `'$.items[0].price'`",
            ),
        ),
        (
            "calls: [get_order, {get_order: {order_id: {contains: ''}}}]",
            ("never-fails", "every reply contains an empty text", "write the text the reply must contain"),
        ),
        (
            "calls: {get_order: {oder_id: 1}}",
            ("unknown-argument", "no argument `oder_id` is declared", "did you mean `order_id`?"),
        ),
        (
            "not: {calls: {tool: get_order, arguments: {count: few}}}",
            ("impossible", '`count` is declared as `integer`, so it is never "few"', None),
        ),
        (
            "calls: {get_order: {size: huge}}",
            ("impossible", '`size` is declared as one of "small", "large", so it is never "huge"', None),
        ),
        (
            "calls: {tool: calculator, valid: true}",
            ("impossible", "no parameters of `calculator` are declared, so `valid` cannot be judged", "delete `valid`"),
        ),
        (
            "calls: [get_order, {get_ordr: {order_id: 1}}]",
            ("tool-not-offered", "the assistant has no tool `get_ordr`", "did you mean `get_order`?"),
        ),
    ],
)
def test_lint(tmp_path: Path, line: str, found: tuple[str, str, str | None]) -> None:
    (diagnostic,) = examine(written(tmp_path, f"- {line}")).diagnostics
    assert found == (diagnostic.code, diagnostic.message, diagnostic.hint)


def test_what_is_wrong_whatever_is_declared_is_said_once() -> None:
    check = Calls({"get_order": {"order_id": {"contains": ""}}})
    assert ["never-fails"] == [code for code, _message, _hint in check.problems()]
    assert [] == list(check.problems_with(PARAMETERS))


def test_names_of_tools_are_cheap_however_many_there_are(tmp_path: Path) -> None:
    assert () == examine(written(tmp_path, "- calls: calculator\n" * 4000)).diagnostics


def test_each_tool_is_named_once() -> None:
    check = Calls(("get_order", {"cancel_order": {}}, ExpectedCall("get_order")))
    assert ("get_order", "cancel_order") == check.tools()


# ── whatever a model sends ───────────────────────────────────────────────────────────────────────────────────────────

texts = st.text() | st.sampled_from(
    [
        "{}",
        '{"order_id": "1"}',
        '{"order_id": 1}',
        '{"a":' * 100,
        '{"a": 1, "a": 2}',
        '{"order_id": NaN}',
        "[]",
        "1e999",
        "\ud800",
    ]
)
tool_calls = st.builds(
    ToolCall, st.just("c"), st.sampled_from(["get_order", "calculator", "x"]), texts, st.none() | texts, st.booleans()
)
VALUES = (
    "get_order",
    {"get_order": {"order_id": {"matches": r"^\d+$"}, "count": 2}},
    ExpectedCall("get_order", {"order_id": "1"}, valid=True, in_answer=True),
    ExpectedCall("calculator", in_answer=("result", "$..a")),
    ("get_order", {"get_order": {"order_id": "1"}}, "calculator"),
    (),
    {"get_order": "1"},
)


@given(text=texts, calls=st.lists(tool_calls, max_size=4).map(tuple), value=st.sampled_from(VALUES))
def test_every_call_gets_a_verdict_with_a_reason(text: str, calls: tuple[ToolCall, ...], value: object) -> None:
    verdict: Verdict = Calls(value).evaluate(turn(*calls, text=text))  # type: ignore[arg-type]
    assert str(verdict.outcome) in ("passed", "failed", "error")
    assert verdict.message or str(verdict.outcome) == "passed"
    assert len(verdict.actual) < 250


def test_very_many_calls_are_judged_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    check = Calls(ExpectedCall("get_order", valid=True, times=None))
    many = turn(*[called("get_order", "{}")] * 20_000)
    assert ("error", "`calls` took longer than 0.05 s", "", "") == told(check.evaluate(many))
