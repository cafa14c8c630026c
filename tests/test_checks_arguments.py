"""Arguments as authors write them and models send them: read with the declared type, within bounds, compared as a subset."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks import matching
from runner.checks.arguments import difference, dumps, fault, plain, read, trouble, typed
from runner.forms import Scalar

ORDER: dict[str, object] = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "count": {"type": "integer"},
        "price": {"type": ["number", "null"]},
        "gift": {"type": "boolean"},
        "unit": {"enum": ["c", "f"]},
        "level": {"enum": [1, 2]},
        "words": {"type": "array", "items": {"type": "string"}},
        "to": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
        "size": {"anyOf": [{"type": "integer"}, {"enum": ["all"]}]},
        "parcel": {"$ref": "#/$defs/parcel"},
        "label": {"$ref": "#/$defs/a~1b~0c"},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    },
    "required": ["order_id"],
    "additionalProperties": False,
    "$defs": {
        "a/b~c": {"type": "string"},
        "parcel": {"type": "object", "properties": {"code": {"type": "string"}, "inner": {"$ref": "#/$defs/parcel"}}},
    },
}


def number(spelling: str) -> Scalar:
    return Scalar(json.loads(spelling), spelling)


NO_LIMIT = "not a limit; write `under 80`, `over 3`, `at least 2`, `at most 500`, `between 20 and 80` or a number"
YES = Scalar(True, "true")
NOTHING = Scalar(None, "")


# ── what an author writes ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (number("1.10"), "1.10"),
        (number("1e3"), "1e3"),
        (Scalar(16, "0x10"), "16"),
        (Scalar(7, "+7"), "7"),
        (Scalar(float("inf"), ".inf"), '"inf"'),
        (YES, "true"),
        (Scalar(False, "False"), "false"),
        (NOTHING, "null"),
        ("送料 é", '"送料 é"'),
        ("\ud800", '"\\ud800"'),
        ('a "b"\n', '"a \\"b\\"\\n"'),
        ({"a": [number("1.0"), {}], "b": "1.10"}, '{"a": [1.0, {}], "b": "1.10"}'),
        ([], "[]"),
        (1.5, "1.5"),
        (None, "null"),
    ],
)
def test_json_keeps_the_spelling_of_numbers(value: object, written: str) -> None:
    assert written == dumps(value)


def test_plain_values_have_the_types_of_json() -> None:
    assert {"a": [1.1, True, None, "x"], "b": {}} == plain({"a": (number("1.10"), YES, NOTHING, "x"), "b": {}})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("order_id", number("1234"), "1234"),
        ("order_id", Scalar(83, "0123"), "0123"),
        ("order_id", number("1.10"), "1.10"),
        ("order_id", YES, "true"),
        ("order_id", NOTHING, None),
        ("count", "7", 7),
        ("count", number("7"), 7),
        ("count", "seven", "seven"),
        ("count", "9" * 500, "9" * 500),
        ("count", "1e999", "1e999"),
        ("price", "1.50", 1.5),
        ("price", "1e999", "1e999"),
        ("price", "9" * 5000, "9" * 5000),
        ("price", "0." + "1" * 5000, float("0." + "1" * 5000)),
        ("price", NOTHING, None),
        ("gift", "true", True),
        ("gift", "yes", "yes"),
        ("gift", YES, True),
        ("unit", "c", "c"),
        ("level", "1", 1),
        ("level", number("1"), 1),
        ("words", [number("1"), "b"], ["1", "b"]),
        ("to", {"city": number("1.10"), "other": number("1.10")}, {"city": "1.10", "other": 1.1}),
        ("size", number("3"), 3),
        ("size", "3", 3),
        ("size", "all", "all"),
        ("parcel", {"inner": {"code": number("12")}}, {"inner": {"code": "12"}}),
        ("label", number("12"), "12"),
        ("pair", [number("1"), number("2")], [1, 2]),
        ("unknown", number("1.10"), 1.1),
    ],
)
def test_values_are_read_with_the_declared_type(name: str, value: object, expected: object) -> None:
    found = typed({name: value}, ORDER)
    assert {name: expected} == found
    assert type(expected) is type(found[name])


def test_without_a_schema_a_value_is_what_it_looks_like() -> None:
    assert {"a": 1.1, "b": "1"} == typed({"a": number("1.10"), "b": "1"}, None)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [("1", "1"), ("5", 5)],
)
def test_a_choice_without_a_type_decides_between_a_number_and_its_spelling(spelling: str, expected: object) -> None:
    assert expected == typed(number(spelling), {"enum": ["1", 5]})


# ── what a model sends ───────────────────────────────────────────────────────────────────────────────────────────────


def test_arguments_are_read_from_their_json() -> None:
    assert {"order_id": "1234", "n": 1.5} == read(' {"order_id": "1234", "n": 1.5}')
    assert {} == read("") == read(" \n") == read("{}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("order 1", "the arguments are not JSON: expecting value, line 1"),
        ('{"a": 1', "the arguments are not JSON: expecting ',' delimiter, line 1"),
        ("```json\n{}\n```", "the arguments are not JSON: expecting value, line 1"),
        ("[1]", "the arguments are a list, not a mapping"),
        ("null", "the arguments are null, not a mapping"),
        ('"{}"', "the arguments are a text, not a mapping"),
        ('{"a": NaN}', "the arguments are not JSON: `NaN` is not a number in JSON"),
        ('{"a": -Infinity}', "the arguments are not JSON: `-Infinity` is not a number in JSON"),
        ('{"a": 1e999}', "the arguments are not JSON: `1e999` is too large a number"),
        ('{"a": ' + "9" * 5000 + "}", "the arguments are not JSON: it holds a number of thousands of digits"),
        ('{"a": {"b": 1, "b": 2}}', "the arguments are not JSON: it has the key `b` twice"),
        ('{"a":' * 65 + "1" + "}" * 65, "the arguments are deeper than 64 levels"),
        ("[" * 1_000_000, "the arguments are deeper than 64 levels"),
        ('{"a": "' + "x" * 10_000_000 + '"}', "the arguments are longer than 1000000 characters"),
    ],
    ids=lambda text: str(text)[:30],
)
def test_what_cannot_be_read_has_its_sentence(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(reason)}$"):
        read(text)


def test_a_key_twice_among_many_is_found_at_once() -> None:
    text = "{" + ",".join(f'"{name}":1' for name in range(80_000)) + ',"79999":1}'
    with pytest.raises(ValueError, match="it has the key `79999` twice"):
        read(text)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ('{"order_id": "1"}', ""),
        ('{"order_id": "1", "price": null, "level": 2, "size": "all"}', ""),
        ("", "`order_id` is missing"),
        ("{}", "`order_id` is missing"),
        ("oops", "the arguments are not JSON: expecting value, line 1"),
        ('{"order_id": 1}', "`order_id` is 1, declared is `string`"),
        ('{"order_id": "1", "price": "x"}', '`price` is "x", declared is `number`, `null`'),
        ('{"order_id": "1", "unit": "k"}', '`unit` is "k", declared is one of "c", "f"'),
        ('{"order_id": "1", "words": ["a", 2]}', "`words[1]` is 2, declared is `string`"),
        ('{"order_id": "1", "to": {"city": []}}', "`to.city` is [], declared is `string`"),
        ('{"order_id": "1", "oder": 1}', "no argument `oder` is declared"),
        ('{"orderid": "1"}', "no argument `orderid` is declared; did you mean `order_id`?"),
        ('{"order_id": "1", "size": 1.5}', "`size`: 1.5 is not valid under any of the given schemas"),
        ('{"order_id": "1", "count": true}', "`count` is true, declared is `integer`"),
    ],
)
def test_arguments_that_do_not_fit_have_their_sentence(arguments: str, sentence: str) -> None:
    assert sentence == fault(arguments, ORDER)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({}, ""),
        (
            {"type": "mapping"},
            'the declared parameters cannot be used: `"mapping"` cannot stand at `type` in a JSON Schema',
        ),
        (
            {"$ref": "https://schemas.example/order.json"},
            "the declared parameters cannot be used: the schema refers to `https://schemas.example/order.json`, "
            "which is not in it; nothing is fetched",
        ),
        ({"$ref": "#"}, "the declared parameters cannot be used: the schema refers to itself without end"),
        ({"minProperties": 2}, "{'a': 'aaaa'} does not have enough properties"),
        ({"properties": {"a": {"maxLength": 3}}}, "`a`: 'aaaa' is too long"),
        ({"properties": {"a": {"pattern": "^b"}}}, "`a`: it does not match `^b`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_schema_decides_or_says_why_it_cannot(schema: dict[str, object], sentence: str) -> None:
    assert sentence == fault('{"a": "aaaa"}', schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "(a+)+$"}, '"' + "a" * 100_000 + '!"'),
        (
            {
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/properties/a/$defs/d{n + 1}"}] * 2} for n in range(40)}
                | {"d40": {}},
                "$ref": "#/properties/a/$defs/d0",
            },
            "{}",
        ),
    ],
    ids=("pattern", "references"),
)
def test_a_costly_schema_is_stopped(monkeypatch: pytest.MonkeyPatch, schema: dict[str, object], value: str) -> None:
    monkeypatch.setattr(matching, "SECONDS", 0.05)
    found = fault('{"a": ' + value + "}", {"properties": {"a": schema}})
    assert "comparing the arguments with the declared parameters took too long" == found


def test_references_without_end_are_not_followed_when_arguments_are_compared() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {"type": "string"}}
    schema = {
        "$defs": doubling | {"loop": {"$ref": "#/$defs/loop"}},
        "properties": {"a": {"$ref": "#/$defs/d0"}, "b": {"$ref": "#/$defs/loop"}},
    }
    assert "" == difference({"a": "x", "b": "x"}, {"a": "x", "b": "x"}, schema)
    assert [] == list(trouble({"a": "x", "b": "x"}, schema))


# ── comparing the two ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "actual", "sentence"),
    [
        ({}, {"order_id": "1"}, ""),
        ({"order_id": number("1234")}, {"order_id": "1234", "count": 1}, ""),
        ({"order_id": "1234"}, {"order_id": "1243"}, '`order_id` is "1243", expected is "1234"'),
        ({"order_id": "1234"}, {}, "`order_id` is missing"),
        ({"order_id": "1234"}, {"order_id": 1234}, '`order_id` is 1234, expected is "1234"'),
        ({"count": "2"}, {"count": 2}, ""),
        ({"count": number("2")}, {"count": 2.0}, ""),
        ({"gift": YES}, {"gift": 1}, "`gift` is 1, expected is true"),
        ({"level": number("1")}, {"level": "1"}, '`level` is "1", expected is 1'),
        ({"price": NOTHING}, {"price": None}, ""),
        ({"price": NOTHING}, {}, "`price` is missing"),
        ({"to": {"city": "Oslo"}}, {"to": {"city": "Oslo", "zip": "0150"}}, ""),
        ({"to": {"city": "Oslo"}}, {"to": {"city": "Bergen"}}, '`to.city` is "Bergen", expected is "Oslo"'),
        ({"to": {"city": "Oslo"}}, {"to": {}}, "`to.city` is missing"),
        ({"to": {"city": "Oslo"}}, {"to": "Oslo"}, '`to` is "Oslo", expected is {"city": "Oslo"}'),
        ({"words": ["a", number("1")]}, {"words": ["a", "1"]}, ""),
        ({"words": ["a"]}, {"words": ["a", "b"]}, '`words` is ["a", "b"], expected is ["a"]'),
        ({"words": ["a", "b"]}, {"words": ["a", "c"]}, '`words[1]` is "c", expected is "b"'),
        ({"order_id": {"matches": r"^\d{4}$"}}, {"order_id": "1234"}, ""),
        (
            {"order_id": {"matches": r"^\d{4}$"}},
            {"order_id": "12"},
            "`order_id`: `matches`: the reply does not match this regular expression",
        ),
        ({"order_id": {"contains": number("1.10")}}, {"order_id": "v1.10"}, ""),
        (
            {"order_id": {"contains": number("1.10")}},
            {"order_id": "v1.1"},
            "`order_id`: `contains`: the reply does not contain this text",
        ),
        ({"words": {"contains": "cat"}}, {"words": ["a cat"]}, ""),
        ({"to": {"city": {"starts_with": "Os"}}}, {"to": {"city": "Oslo"}}, ""),
        ({"words": [{"contains": "a"}]}, {"words": ["cat"]}, ""),
        ({"order_id": {"not": {"contains": "12"}}}, {"order_id": "34"}, ""),
        ({"order_id": {"words": "few"}}, {"order_id": "1"}, f"`order_id`: {NO_LIMIT}"),
    ],
)
def test_expected_arguments_are_a_subset(expected: dict[str, object], actual: dict[str, object], sentence: str) -> None:
    assert sentence == difference(expected, actual, ORDER)


def test_keys_of_a_declared_object_are_values_and_not_checks() -> None:
    schema = {"properties": {"filter": {"type": "object", "properties": {"contains": {"type": "string"}}}}}
    assert "" == difference({"filter": {"contains": "a"}}, {"filter": {"contains": "a"}}, schema)
    assert '`filter.contains` is "ab", expected is "a"' == difference(
        {"filter": {"contains": "a"}}, {"filter": {"contains": "ab"}}, schema
    )


def test_where_nothing_is_declared_a_number_is_also_its_spelling() -> None:
    assert "" == difference({"formula": number("1.10")}, {"formula": "1.10"}, None)
    assert "" == difference({"formula": number("1.10")}, {"formula": 1.1}, None)
    assert '`formula` is "1.1", expected is "1.10"' == difference({"formula": number("1.10")}, {"formula": "1.1"}, None)
    assert '`formula` is "5", expected is "6"' == difference({"formula": "6"}, {"formula": "5"}, None)


# ── what can be said before ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({"order_id": number("1234"), "count": "7", "to": {"city": number("1")}, "words": [number("1")]}, []),
        ({"size": "all", "price": NOTHING, "pair": ["x", "y"], "parcel": {"inner": {"code": "x"}}}, []),
        ({"order_id": "${order}", "count": "${count}", "unit": "${unit}"}, []),
        (
            {"oder_id": "1"},
            [("unknown-argument", "no argument `oder_id` is declared", "did you mean `order_id`?")],
        ),
        (
            {"to": {"zzz": "1"}},
            [("unknown-argument", "no argument `to.zzz` is declared", "use one of: `city`, `zip`")],
        ),
        ({"count": "seven"}, [("impossible", '`count` is declared as `integer`, so it is never "seven"', None)]),
        ({"count": number("1.5")}, [("impossible", "`count` is declared as `integer`, so it is never 1.5", None)]),
        ({"order_id": NOTHING}, [("impossible", "`order_id` is declared as `string`, so it is never null", None)]),
        ({"unit": "k"}, [("impossible", '`unit` is declared as one of "c", "f", so it is never "k"', None)]),
        ({"words": "a"}, [("impossible", '`words` is declared as `array`, so it is never "a"', None)]),
        ({"words": [["a"]]}, [("impossible", '`words[0]` is declared as `string`, so it is never ["a"]', None)]),
        (
            {"order_id": {"contians": "12"}},
            [
                (
                    "impossible",
                    '`order_id` is declared as `string`, so it is never {"contians": "12"}',
                    "did you mean `contains`?",
                )
            ],
        ),
        ({"size": "some"}, [("impossible", '`size` is declared as one of "all", so it is never "some"', None)]),
        ({"parcel": {"cod": "x"}}, [("unknown-argument", "no argument `parcel.cod` is declared", "did you mean `code`?")]),
        (
            {"order_id": {"matches": "("}},
            [
                (
                    "bad-pattern",
                    "this regular expression cannot be read: missing ), at character 2",
                    "to search for the text as it is, use `contains`",
                )
            ],
        ),
        (
            {"order_id": {"matches": "${order}"}},
            [("bad-pattern", "`${name}` cannot stand in a pattern here", "use `contains` or `equals` there")],
        ),
        (
            {"order_id": {"contains": ""}},
            [("never-fails", "every reply contains an empty text", "write the text the reply must contain")],
        ),
    ],
)
def test_lint_of_expected_arguments(expected: dict[str, object], found: list[tuple[str, str, str | None]]) -> None:
    assert found == list(trouble(expected, ORDER))


def test_a_function_without_arguments_has_none() -> None:
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert [("unknown-argument", "no argument `id` is declared", "it has no arguments")] == list(trouble({"id": "1"}, closed))


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "object"},
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
        {"properties": {"a": {}}, "patternProperties": {"^i": {}}},
    ],
)
def test_other_names_may_be_allowed(schema: dict[str, object] | None) -> None:
    assert [] == list(trouble({"id": "1"}, schema))


def test_a_check_that_cannot_be_read_is_said() -> None:
    assert [("bad-value", f"`order_id`: {NO_LIMIT}", None)] == list(trouble({"order_id": {"words": "few"}}, ORDER))


# ── whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything: st.SearchStrategy[Any] = st.recursive(
    scalars | st.builds(Scalar, st.none() | st.booleans() | st.integers() | st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
KEYWORDS = (
    "type",
    "properties",
    "items",
    "enum",
    "anyOf",
    "allOf",
    "$ref",
    "additionalProperties",
    "required",
    "pattern",
    "const",
)
schemas = st.recursive(
    anything | st.sampled_from(["string", "#", "#/properties/a", "object", "integer"]),
    lambda inner: st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.text(max_size=5) | st.just("a"), anything, max_size=3)


@given(expected=mappings, actual=st.dictionaries(st.text(max_size=5) | st.just("a"), values, max_size=3), schema=schemas)
def test_no_arguments_and_no_schema_break_the_comparison(expected: Any, actual: Any, schema: Any) -> None:
    schema = {"properties": {"a": schema}, "additionalProperties": schema}
    assert isinstance(difference(expected, actual, schema), str)
    assert all(len(found) == 3 for found in trouble(expected, schema))
    json.loads(dumps(expected))
    json.dumps(typed(expected, schema))


@given(value=values)
def test_a_value_equals_itself_whatever_is_declared(value: Any) -> None:
    assert "" == difference({"a": [value]}, {"a": [value]}, {"properties": {"a": {"type": "array"}}})
    assert value == plain(value) == json.loads(dumps(value))


@given(text=st.text() | values.map(json.dumps), schema=schemas)
def test_no_text_and_no_schema_break_the_judgement(text: str, schema: Any) -> None:
    assert isinstance(fault(text, {"properties": {"a": schema}}), str)
    try:
        assert isinstance(read(text), dict)
    except ValueError as error:
        assert str(error).startswith("the arguments are ")
