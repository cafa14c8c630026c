"""An answer that is JSON is judged by path and by schema, in bounded time, with nothing fetched."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks import matching
from runner.checks.json_answer import BadPath, JsonSchema, same, values_at
from runner.model import Turn
from tests.checks_fixtures import make, outcome, problems, told, verdict

ORDER = (
    '{"order": {"id": "1234", "total": 12.5, "paid": true, "note": null, "items": [{"price": 1}, {"price": 2}]}, "注文": "送"}'
)

NO_LIMIT = "not a limit; write `under 80`, `over 3`, `at least 2`, `at most 500`, `between 20 and 80` or a number"
ITEMS = '[{"price": 1}, {"price": 2}]'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', ("passed", "", "JSON", '{"a": 1}')),
        (" [1, 2]\n", ("passed", "", "JSON", "[1, 2]")),
        ("\ufeff{}", ("passed", "", "JSON", "{}")),
        ("42", ("passed", "", "JSON", "42")),
        ('Here it is:\n```json\n{"a": 1}\n```\nEnjoy!', ("passed", "", "JSON", '{"a": 1}')),
        ("```\n[]\n```", ("passed", "", "JSON", "[]")),
        ("```python\nx = 1\n```\nand\n```JSON\n[1]\n```", ("passed", "", "JSON", "[1]")),
        ("```\n[0]\n```\n```json\n[1]\n```", ("passed", "", "JSON", "[1]")),
        ("a cat", ("failed", "the reply is not JSON: expecting value, line 1", "JSON", '"a cat"')),
        ('Here: {"a": 1}', ("failed", "the reply is not JSON: expecting value, line 1", "JSON", '"Here: {"a": 1}"')),
        ('{"a": 1}\n{', ("failed", "the reply is not JSON: extra data, line 2", "JSON", '"{"a": 1} {"')),
        ("", ("failed", "the reply is not JSON", "JSON", "(the reply is empty)")),
        ("[NaN]", ("failed", "the reply is not JSON: `NaN` is not a number in JSON", "JSON", '"[NaN]"')),
    ],
)
def test_json(answer: str, expected: tuple[str, ...]) -> None:
    assert expected == told(make("json").evaluate(Turn(answer)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("[" * 65 + "]" * 65, "the reply's JSON is deeper than 64 levels"),
        ("[" * 1_000_000, "the reply's JSON is deeper than 64 levels"),
        ('{"a":' * 100_000, "the reply's JSON is deeper than 64 levels"),
        ('"' + "a" * 1_000_000 + '"', "the reply is longer than 1000000 characters, too long to be read as JSON"),
    ],
)
def test_json_that_is_too_deep_or_too_long_is_an_error(answer: str, message: str) -> None:
    assert ("error", message) == told(make("json").evaluate(Turn(answer)))[:2]


def test_brackets_in_texts_are_not_depth() -> None:
    assert "passed" == told(make("json").evaluate(Turn(json.dumps(["[" * 100, '\\"[[' * 100]))))[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"$.order.total": 12.5}, ("passed", "", "12.5", "12.5")),
        ({"$.order.items[0].price": 1.0}, ("passed", "", "1.0", "1")),
        ({"$.order.items[-1].price": 2}, ("passed", "", "2", "2")),
        ({"$.注文": "送"}, ("passed", "", '"送"', '"送"')),
        ({"$['order']['id']": "1234"}, ("passed", "", '"1234"', '"1234"')),
        ({"$.order.note": None}, ("passed", "", "null", "null")),
        ({"$.order.paid": True, "$.order.id": "1234"}, ("passed", "", '"1234"', '"1234"')),
        ({"$.order.items": [{"price": 1}, {"price": 2}]}, ("passed", "", ITEMS, ITEMS)),
        ({"$..price": [1, 2]}, ("passed", "", "[1, 2]", "[1, 2]")),
        ({"$..price": 2}, ("passed", "", "2", "2")),
        ({"$..price": 3}, ("failed", "none of the 2 values at `$..price` fits", "3", "[1, 2]")),
        ({"$..price": [2, 1]}, ("failed", "the value at `$..price` is another", "[2, 1]", "[1, 2]")),
        ({"$.order.items[?@.price > 1].price": 2}, ("passed", "", "2", "2")),
        ({"$.order.id": "123"}, ("failed", "the value at `$.order.id` is another", '"123"', '"1234"')),
        ({"$.order.id": 1234}, ("failed", "the value at `$.order.id` is a text, expected is a number", "1234", '"1234"')),
        ({"$.order.paid": 1}, ("failed", "the value at `$.order.paid` is true or false, expected is a number", "1", "true")),
        ({"$.order.note": ""}, ("failed", "the value at `$.order.note` is null, expected is a text", '""', "null")),
        (
            {"$.order.items": {"a": 1}},
            ("failed", "the value at `$.order.items` is a list, expected is a mapping", '{"a": 1}', ITEMS),
        ),
        ({"$.order.id": {"matches": r"^\d{4}$"}}, ("passed", "", r"^\d{4}$", '"1234"')),
        ({"$.order.total": {"matches": r"^\d+\.5$"}}, ("passed", "", r"^\d+\.5$", '"12.5"')),
        (
            {"$.order.id": {"matches": "x"}},
            ("failed", "at `$.order.id`, `matches`: the reply does not match this regular expression", "x", '"1234"'),
        ),
        (
            {"$.order.id": {"characters": "under 3"}},
            (
                "failed",
                "at `$.order.id`, `characters`: the reply has too many characters",
                "under 3",
                '4 characters: "1234"',
            ),
        ),
        ({"$.order.id": {"contains": ["1", 4]}}, ("passed", "", '"1", "4"', '"1234"')),
        ({"$.注文": {"contains": {"text": "送", "case": "exact"}}}, ("passed", "", '"送"', '"送"')),
        (
            {"$.order.id": {"not": {"contains": "12"}}},
            ("failed", "at `$.order.id`, `not`: `contains` passes, which `not` forbids", 'not "12"', '"1234"'),
        ),
        ({"$.order.id": {"any": [{"contains": "9"}, {"contains": "12"}]}}, ("passed", "", '"12"', '"1234"')),
        ({"$..price": {"equals": 2}}, ("passed", "", '"2"', '"2"')),
        (
            {"$.order": {"status": "completed"}},
            (
                "failed",
                "the value at `$.order` is another",
                '{"status": "completed"}',
                '{"id": "1234", "total": 12.5, "paid": true, "note": null, "items": [{"price": 1}, {"price": 2}]}',
            ),
        ),
        ({"$.order[": 1}, ("error", "`$.order[`: this path cannot be read: unexpected end of query", "1", "")),
        (
            {"$.order.id": {"matches": "("}},
            ("error", "at `$.order.id`, `matches`: this regular expression cannot be read: missing ), at character 2", "(", ""),
        ),
        (
            {"$.order.id": {"words": "few"}},
            (
                "error",
                f"`$.order.id`: {NO_LIMIT}",
                '{"words": "few"}',
                "",
            ),
        ),
        (
            {"$.order.id": {"contains": None}},
            ("error", "`$.order.id`: `contains` cannot have this value", '{"contains": null}', ""),
        ),
    ],
)
def test_a_value_at_a_path(value: object, expected: tuple[str, ...]) -> None:
    assert expected == verdict("json", value, ORDER)


@pytest.mark.parametrize(
    "value",
    [
        {"all": ["12"]},
        {"all": [{"contains": "12"}, "34"]},
        {"all": [{"contains": "12"}, {"containz": "zzz"}]},
        {"not": [{"contains": "zzz"}, {"status": "completed"}]},
        {"any": [{"contains": "zzz"}, {"all": [{"contains": "12"}, {"calls": "get_order"}]}]},
    ],
)
def test_no_check_within_others_is_left_out(value: dict[str, object]) -> None:
    outcome, message, *_shown = verdict("json", {"$.order.id": value}, ORDER)
    assert ("error", True) == (outcome, message.endswith("` cannot have this value"))


def test_nothing_at_a_path_shows_what_there_is() -> None:
    message = "the reply's JSON has nothing at `$.cat`"
    assert ("failed", message, '"Tom"', '{"dog": "Rex"}') == verdict("json", {"$.cat": "Tom"}, '{"dog": "Rex"}')


def test_a_text_that_looks_like_json_is_a_text() -> None:
    assert ("passed", "", '"[1]"', '"[1]"') == verdict("json", {"$": "[1]"}, '"[1]"')


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("order.id", "a path begins with `$`"),
        ("$." + "a" * 500, "this path has more than 500 characters"),
        ("$.items[0.price", "this path cannot be read at character 10"),
        ("$.a[?match(@.b, '(a+)+$')]", "this path cannot be read: function 'match' is not defined"),
        (
            "$..a[?count($..*) > 1]",
            "a condition in a path may look only at what it chooses among: `@.name`, without `$` and `..`",
        ),
        ("$[" * 200, "this path cannot be read"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused(path: str, message: str) -> None:
    with pytest.raises(BadPath) as caught:
        values_at(path, {})
    assert str(caught.value).startswith(message)
    found = problems("json", {path: 1})
    assert [("bad-path", "write it like `'$.items[0].price'`")] == [(code, hint) for code, _message, hint in found]


def test_a_dollar_in_quotes_is_allowed_in_a_condition() -> None:
    assert (1,) == values_at("$[?@.c == '$..'].v", [{"c": "$..", "v": 1}, {"c": "x", "v": 2}])


def test_a_path_to_too_many_places_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SECONDS", 0.05)
    deep = "[" * 60 + "1" + "]" * 60
    answer = "[" + ",".join([deep] * 1000) + "]"
    path = "$..*..*..*..*..*..x"
    assert ("error", f"`{path}` names too many places to be judged in time", "1", "") == verdict("json", {path: 1}, answer)


def test_long_keys_are_not_copied_to_every_place() -> None:
    answer = '{"' + "k" * 900_000 + '": [' + "[]," * 20_000 + "1]}"
    assert "failed" == outcome("json", {"$..x": 1}, answer)


SCHEMA = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "answer", "expected"),
    [
        (SCHEMA, '{"status": "shipped"}', ("passed", "", json.dumps(SCHEMA), '{"status": "shipped"}')),
        (
            SCHEMA,
            '{"status": 1}',
            (
                "failed",
                "the reply's JSON does not fit the schema at `$.status`: 1 is not of type 'string'",
                json.dumps(SCHEMA),
                "1",
            ),
        ),
        (
            {"items": {"type": "string"}},
            '["a", 2]',
            (
                "failed",
                "the reply's JSON does not fit the schema at `$[1]`: 2 is not of type 'string'",
                '{"items": {"type": "string"}}',
                "2",
            ),
        ),
        (
            {"additionalProperties": False, "properties": {"a": {}}, "patternProperties": {"^b": {}}},
            '{"a": 1, "b2": 1, "c": 2}',
            (
                "failed",
                "the reply's JSON does not fit the schema at `$`: it has the key `c`, which is not allowed",
                '{"additionalProperties": false, "properties": {"a": {}}, "patternProperties": {"^b": {}}}',
                '{"a": 1, "b2": 1, "c": 2}',
            ),
        ),
        (
            {"uniqueItems": True},
            "[1, 1.0]",
            (
                "failed",
                "the reply's JSON does not fit the schema at `$`: it has an item twice",
                '{"uniqueItems": true}',
                "[1, 1.0]",
            ),
        ),
        (
            {"pattern": r"^\d+$"},
            '"12a"',
            (
                "failed",
                r"the reply's JSON does not fit the schema at `$`: it does not match `^\d+$`",
                r'{"pattern": "^\\d+$"}',
                '"12a"',
            ),
        ),
        (
            {"$ref": "https://schemas.example/order.json"},
            "{}",
            (
                "error",
                "the schema refers to `https://schemas.example/order.json`, which is not in it; nothing is fetched",
                '{"$ref": "https://schemas.example/order.json"}',
                "",
            ),
        ),
        ({"$ref": "#"}, "{}", ("error", "the schema refers to itself without end", '{"$ref": "#"}', "")),
        (
            {"required": [], "$ref": "#/required/a"},
            "{}",
            (
                "error",
                "the schema cannot be used: invalid literal for int() with base 10: 'a'",
                '{"required": [], "$ref": "#/required/a"}',
                "",
            ),
        ),
        (
            {"$defs": {"n": {"minimum": 3}}, "$ref": "#/$defs/n"},
            "2",
            (
                "failed",
                "the reply's JSON does not fit the schema at `$`: 2 is less than the minimum of 3",
                '{"$defs": {"n": {"minimum": 3}}, "$ref": "#/$defs/n"}',
                "2",
            ),
        ),
    ],
)
def test_a_schema(schema: dict[str, object], answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict("json", JsonSchema(schema), answer)


@pytest.mark.filterwarnings("ignore")  # jsonschema warns when it does fetch
def test_a_schema_in_another_file_is_not_read(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "string"}')
    message = f"the schema refers to `{other.as_uri()}`, which is not in it; nothing is fetched"
    assert ("error", message) == verdict("json", JsonSchema({"$ref": other.as_uri()}), "1")[:2]


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, json.dumps({"a": "a" * 100_000 + "!"})),
        ({"patternProperties": {"(a+)+$": {}}}, json.dumps({"a" * 100_000 + "!": 1})),
        ({"patternProperties": {"(a+)+$": {}}, "additionalProperties": False}, json.dumps({"a" * 100_000 + "!": 1})),
        (
            {
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}},
                "$ref": "#/$defs/d0",
            },
            "{}",
        ),
    ],
)
def test_a_catastrophic_schema_is_stopped(monkeypatch: pytest.MonkeyPatch, schema: dict[str, object], answer: str) -> None:
    monkeypatch.setattr(matching, "SECONDS", 0.05)
    message = "`json` took longer than 0.05 s; the schema is too costly for this reply"
    assert ("error", message) == verdict("json", JsonSchema(schema), answer)[:2]


def test_each_answer_has_the_whole_time_for_the_same_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SECONDS", 0.05)
    schema = JsonSchema({"patternProperties": {"(a+)+$": {"type": "integer"}}})
    costly, cheap, wrong = (json.dumps({name: value}) for name, value in (("a" * 100_000 + "!", 1), ("a", 1), ("a", "b")))
    assert ["error", "passed", "failed"] == [verdict("json", schema, answer)[0] for answer in (costly, cheap, wrong)]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (JsonSchema(SCHEMA), []),
        (
            JsonSchema({}),
            [("never-fails", "this schema is empty, so any JSON fits it", "write what the JSON must have, or only `json`")],
        ),
        (JsonSchema({"type": "mapping"}), [("bad-schema", '`"mapping"` cannot stand at `type` in a JSON Schema', None)]),
        (JsonSchema({"required": "status"}), [("bad-schema", '`"status"` cannot stand at `required` in a JSON Schema', None)]),
        (
            JsonSchema({"items": {"pattern": "((a{200}){200}){200}"}}),
            [
                (
                    "bad-pattern",
                    "the repeat counts of this regular expression multiply to 8000000; at most 1000 are allowed",
                    "patterns in a schema have the same bounds as `matches`",
                )
            ],
        ),
        (
            JsonSchema({"unevaluatedProperties": False, "patternProperties": {"a": {}}}),
            [("bad-schema", "`unevaluatedProperties` beside `patternProperties` is not supported", None)],
        ),
        ({}, [("never-fails", "no path is named", "write `'$.path': value`, or only `json`")]),
        ({"$.a": 1}, []),
        (
            {"$.a": {"matches": "a*"}},
            [
                (
                    "never-fails",
                    "this regular expression fits every reply, an empty one too",
                    "use `+` instead of `*`, or write what the reply must hold",
                )
            ],
        ),
        (
            {"$.a": {"not": {"matches": "${name}"}}},
            [("bad-pattern", "`${name}` cannot stand in a pattern within `json`", "use `contains` or `equals` there")],
        ),
        (
            {"$.a": {"words": "few"}},
            [
                (
                    "bad-path",
                    f"`$.a`: {NO_LIMIT}",
                    None,
                )
            ],
        ),
    ],
)
def test_what_is_wrong_with_the_value_itself(value: object, found: list[object]) -> None:
    assert found == problems("json", value)


def test_the_bare_word_has_no_problem() -> None:
    assert [] == problems("json")


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, False, False),
        ([1, {"a": 2}], (1.0, {"a": 2.0}), True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([], {}, False),
        ("", None, False),
    ],
)
def test_values_are_compared_as_json(one: object, other: object, equal: bool) -> None:
    assert (equal, equal) == (same(one, other), same(other, one))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_every_value_is_found_again(value: object) -> None:
    assert same(value, value)
    assert "passed" == outcome(
        "json",
        {"$": value if not isinstance(value, dict) else [value]},
        json.dumps([value] if isinstance(value, dict) else value),
    )


@given(st.text(), values, st.text(st.sampled_from("$.[]*?@'\"()=<>&|!0123456789abc, ")))
def test_any_answer_can_be_judged(answer: str, value: object, path: str) -> None:
    for text in (answer, json.dumps(value), f"```json\n{answer}\n```"):
        for check in (make("json"), make("json", {"$" + path: value}), make("json", {"$..*": {"contains": answer}})):
            assert str(check.evaluate(Turn(text)).outcome) in ("passed", "failed", "error")
    list(make("json", {path: value}).problems())


@given(values, values)
def test_any_mapping_taken_for_a_schema_ends_in_a_verdict(schema: object, value: object) -> None:
    check = make("json", JsonSchema({"properties": schema, "items": schema, "enum": [schema], "pattern": str(schema)}))
    list(check.problems())
    assert str(check.evaluate(Turn(json.dumps(value))).outcome) in ("passed", "failed", "error")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("$.order.items[0].nope", '{"name": "cat"}'),
        ("$.order.items[3].nope", '[{"name": "cat"}]'),
        ("$.other", '{"order": {"items": [{"name": "cat"}]}, "note": "ok"}'),
    ],
)
def test_where_a_path_leads_nowhere_the_last_place_it_led_to_is_shown(path: str, shown: str) -> None:
    reply = '{"order": {"items": [{"name": "cat"}]}, "note": "ok"}'
    assert ("failed", f"the reply's JSON has nothing at `{path}`", "1", shown) == verdict("json", {path: 1}, reply)
