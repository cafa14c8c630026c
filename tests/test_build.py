import json
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from runner.build import Refused, build
from runner.checks.text import Contains
from runner.diagnostics import Span
from runner.forms import Scalar, keys_of
from runner.load import Sources
from runner.model import (
    Asks,
    Assistant,
    ByHttp,
    ByPython,
    Expectation,
    Fails,
    Flow,
    Function,
    PythonFunction,
    Replies,
    Reply,
    Returns,
    Sample,
    SampleCall,
    SavedValue,
    Step,
    Tool,
)
from runner.registry import checks
from runner.schema import BUILT_IN_TOOLS, flow_schema
from runner.source import Document, parse
from runner.validate import validate, validator
from runner.written import WrittenFunction

DATA = Path(__file__).parent / "data"


def document(text: str) -> Document:
    return parse(text.encode(), "x.yaml")


def built(text: str) -> Flow:
    return build(document(text).root)[0]


def step(text: str) -> Step:
    return built(f"assistant: {{model: m}}\nsteps:\n  - {text}\n").steps[0]


def test_flow_is_built_with_places() -> None:
    flow = built(
        "assistant: {model: qwen-max, tools: [calculator: For sums]}\nsteps:\n  - user: Draw a cat.\n    expect: cat\n"
    )
    place = Span(4, 13, 4, 16)
    assert (
        Flow(
            assistant=Assistant(model="qwen-max", tools=(Tool("calculator", "For sums", span=Span(1, 38, 1, 48)),)),
            steps=(
                Step(
                    user="Draw a cat.",
                    expect=(Expectation("contains", Contains("cat"), place, place),),
                    span=Span(3, 5, 4, 16),
                ),
            ),
        )
        == flow
    )


@pytest.mark.parametrize("written", ["1.10", "12:30", "0123", "no", "true", "2024-01-01", "1e3", "0x10"])
def test_text_keeps_its_spelling(written: str) -> None:
    assert written == step(f"user: {written}").user


@pytest.mark.parametrize(("written", "seconds"), [("20s", 20), ("15 min", 900), ("1.5 h", 5400), ("200ms", 0.2), ("7", 7)])
def test_durations_are_seconds(written: str, seconds: float) -> None:
    assert seconds == step(f"{{user: x, timeout: {written}}}").timeout


@pytest.mark.parametrize(
    ("written", "tool"),
    [
        ("rag", ("rag", None, None)),
        ("rag:", ("rag", None, None)),
        ("rag: Looks up", ("rag", "Looks up", None)),
        ("rag: {description: Looks up, prompt_ra: {a: 1}}", ("rag", "Looks up", {"prompt_ra": {"a": 1}})),
        ("{type: rag, description: Looks up, x: [1]}", ("rag", "Looks up", {"x": [1]})),
    ],
)
def test_forms_of_a_tool(written: str, tool: tuple[str, str | None, object]) -> None:
    flow = built(f"assistant:\n  model: m\n  tools:\n    - {written}\nsteps: [user: x]\n")
    (found,) = flow.assistant.tools
    assert tool == (found.type, found.description, found.settings)


ORDER = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"], "additionalProperties": False}
NOTHING = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
FULL = {"type": "object", "properties": {"id": {"type": "string"}}}
NULL = Scalar(None, "")


@pytest.mark.parametrize(
    ("written", "function"),
    [
        ("{f: {parameters: {id: string}}}", Function("f", ORDER)),
        ("{f: {returns: 1.10}}", Function("f", NOTHING, Returns(Scalar(1.1, "1.10")))),
        ("{f: {returns: }}", Function("f", NOTHING, Returns(NULL))),
        ("{f: {returns: [a, {b: true}]}}", Function("f", NOTHING, Returns(["a", {"b": Scalar(True, "true")}]))),
        ("{f: {fails: 404}}", Function("f", NOTHING, Fails("404"))),
        ("{f: {python: below/tools.py:f}}", Function("f", NOTHING, ByPython(PythonFunction("below/tools.py", "f")))),
        ("{f: {http: https://example.com/f?a=1}}", Function("f", NOTHING, ByHttp("https://example.com/f?a=1"))),
        ("{f: {ask: }}", Function("f", NOTHING, Asks())),
        ("{f: {ask: true}}", Function("f", NOTHING, Asks())),
        ("{f: {ask: 2 + 2?}}", Function("f", NOTHING, Asks("2 + 2?"))),
        (
            "{f: {replies: [{when: {id: 007}, fails: no, after: 2s}, {returns: }]}}",
            Function("f", NOTHING, Replies((Reply({"id": "007"}, fails="no", after=2), Reply(returns=NULL)))),
        ),
        (f"{{f: {{parameters: {json.dumps(FULL)}, returns: x}}}}", Function("f", FULL, Returns("x"))),
        (
            "{f: {parameters: {type: list, of: optional number, in: [EUR, 1]}}}",
            Function(
                "f",
                {
                    "type": "object",
                    "properties": {
                        "type": {"type": "array"},
                        "of": {"type": "number"},
                        "in": {"type": "string", "enum": ["EUR", "1"]},
                    },
                    "required": ["type", "in"],
                    "additionalProperties": False,
                },
            ),
        ),
        ("{type: function, function: {name: f}, fails: no}", Function("f", NOTHING, Fails("no"))),
        (f"{{type: function, function: {{name: f, parameters: {json.dumps(FULL)}}}}}", Function("f", FULL)),
        ("{type: function, function: {name: f, parameters: {id: string}}}", Function("f", ORDER)),
    ],
)
def test_forms_of_a_function(written: str, function: Function) -> None:
    (found,) = built(f"assistant:\n  model: m\n  tools:\n    - {written}\nsteps: [user: x]\n").assistant.tools
    assert ("function", "f", function) == (found.type, found.name, found.function)


def test_what_the_api_says_of_a_function_beside_its_parameters_is_kept_as_settings() -> None:
    tool = "{type: function, function: {name: f, description: Does, strict: true}}"
    (found,) = built(f"assistant:\n  model: m\n  tools:\n    - {tool}\nsteps: [user: x]\n").assistant.tools
    assert ("Does", {"strict": True}) == (found.description, found.settings)


@pytest.mark.parametrize(
    ("written", "settings"),
    [("plugin: tool_8", None), ("plugin: {id: tool_8, auth: {type: user_http}}", {"auth": {"type": "user_http"}})],
)
def test_a_plug_in_is_a_tool_of_its_id(written: str, settings: object) -> None:
    (found,) = built(f"assistant:\n  model: m\n  tools:\n    - {written}\nsteps: [user: x]\n").assistant.tools
    assert ("tool_8", settings, None) == (found.type, found.settings, found.function)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "//example.com",
        "ftp://example.com",
        "http://",
        "http://a@b.c",
        "https://x y.z",
        "https://x:99999",
        "5",
    ],
)
def test_only_a_web_address_without_a_password_answers(url: str) -> None:
    with pytest.raises(Refused):
        built(f"assistant: {{model: m, tools: [f: {{http: '{url}'}}]}}\nsteps: [user: x]\n")


@pytest.mark.parametrize(
    ("written", "rounds"),
    [
        ("[f]", ((SampleCall("f", {}),),)),
        ("[{f: }, {g: {a: 1}}]", ((SampleCall("f", {}), SampleCall("g", {"a": Scalar(1, "1")})),)),
        ("[[f], [{g: {}}, f]]", ((SampleCall("f", {}),), (SampleCall("g", {}), SampleCall("f", {})))),
    ],
)
def test_sampled_calls_are_one_round_or_several(written: str, rounds: object) -> None:
    assert Sample(calls=rounds) == step(f"{{user: x, sample: {{calls: {written}}}}}").sample  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("cat", ["contains"]),
        ("{contains: cat, image: }", ["contains", "image"]),
        ("[image, contains: cat]", ["image", "contains"]),
        ("[not: cat]", ["not"]),
    ],
)
def test_forms_of_expect(written: str, names: list[str]) -> None:
    assert names == [each.name for each in step(f"{{user: x, expect: {written}}}").expect]


def test_sample_and_saved_values() -> None:
    found = step("{user: x, sample: {text: y}, save: {名前: {json: $.a}}}")
    assert Sample("y") == found.sample
    assert {"名前": SavedValue(json="$.a")} == found.save


def test_texts_with_variables_are_listed_with_their_places() -> None:
    text = "assistant: {model: '${a}'}\nsteps:\n  - user: ${b}\n  - user: x\n    expect: {contains: ['${c}']}\nexpect: ${d}\n"
    references = build(document(text).root)[1]
    assert [
        ("${a}", "assistant", 0, False),
        ("${b}", "steps", 1, True),
        ("${c}", "steps", 2, True),
        ("${d}", "expect", 2, True),
    ] == [(each.node.value, each.place, each.step, each.substitutes) for each in references]


# ── the reader and the schema agree ──────────────────────────────────────────────────────────────────────────────────

SEEDS: list[object] = [
    *(parse(path.read_bytes(), path.name).root.plain for path in sorted((DATA / "ok").glob("[!e]*.yaml"))),
    # `use` is resolved before a document is built.
    parse((DATA / "ok" / "everything.yaml").read_bytes().replace(b"  use: _shared/shop.yaml\n", b""), "").root.plain,
    {"assistant": {"id": "a"}, "steps": [{"user": "x", "expect": {name: ["x"]}} for name in sorted(checks)]},
]
NAMES = sorted(
    {
        *checks,
        *BUILT_IN_TOOLS,
        "user",
        "expect",
        "type",
        "text",
        "case",
        "file",
        "matches",
        "id",
        "model",
        "timeout",
        "plugin",
        "function",
        "strict",
        "calls",
        "when",
        "after",
        *(each.name for each in keys_of(WrittenFunction)),
        "x y",
        "名前",
    }
)
VALUES: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    1e3,
    "",
    " ",
    "x",
    "20s",
    "0s",
    "under 80",
    "exact",
    [],
    {},
    [[]],
    ["x"],
]
VALUES += [
    "object",
    "optional string",
    "int",
    "tools.py:f",
    "tools.f",
    "https://x.org/a",
    "http://a:b@x.org",
    "ftp://x",
    [["x"]],
]
VALUES += [
    {"type": "object"},
    {"type": "function"},
    {"returns": None},
    {"x": {"parameters": {}}},
    [{"fails": "x"}],
    {"x": ["y"]},
]
VALUES += [{"x": "y"}, [{"x": None}], {"text": "x"}, {"description": "x"}, *NAMES, [{"image": None}], {"file": "x"}]


@st.composite
def mutated(draw: st.DrawFn) -> object:
    """A valid flow with one to three changes anywhere in it."""
    root: object = {"root": deepcopy(draw(st.sampled_from(SEEDS)))}
    for _ in range(draw(st.integers(1, 3))):
        places: list[tuple[dict[str, object] | list[object], str | int]] = []
        waiting = [root]
        while waiting:
            here = waiting.pop()
            if isinstance(here, dict):
                places += [(here, name) for name in here]
                waiting += here.values()
            elif isinstance(here, list):
                places += [(here, number) for number in range(len(here))]
                waiting += here
        holder, at = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["value", "copy", "delete", "add", "rename"]))
        if change == "value":
            holder[at] = deepcopy(draw(st.sampled_from(VALUES)))  # type: ignore[index]
        elif change == "copy":
            other, place = draw(st.sampled_from(places))
            holder[at] = deepcopy(other[place])  # type: ignore[index]
        elif change == "delete" and at != "root":
            del holder[at]  # type: ignore[arg-type]
        elif isinstance(holder, dict) and at != "root":
            value = holder.pop(at) if change == "rename" else draw(st.sampled_from(VALUES))  # type: ignore[arg-type]
            holder[draw(st.sampled_from(NAMES))] = deepcopy(value)
    assert isinstance(root, dict)
    return root["root"]


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_build_accepts_what_the_schema_accepts(flow: object) -> None:
    found = document(json.dumps(flow, ensure_ascii=False))
    judge = Draft7Validator(flow_schema(), format_checker=validator().format_checker)
    try:
        build(found.root)
        accepted = True
    except Refused:
        accepted = False
    valid = judge.is_valid(found.root.plain)
    assert (accepted, accepted) == (valid, not list(validate(Sources(found)))), flow
