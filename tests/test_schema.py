import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from runner.events import Envelope
from runner.registry import checks
from runner.schema import flow_schema, schema_of
from runner.source import read

ROOT = Path(__file__).parent.parent
COMMITTED = ROOT / "schemas" / "flow.schema.json"
LATER = (
    "files",
    "judge",
    "similar",
    "cost",
)


def keys(schema: object, path: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    """Every key an author can write, with its schema."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}.{name}", inner
        for name, inner in schema.items():
            if name not in ("examples", "enum"):
                yield from keys(inner, f"{path}/{name}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from keys(inner, f"{path}/{number}")


def test_schema_is_a_draft_7_schema() -> None:
    Draft7Validator.check_schema(flow_schema())


def test_committed_schema_is_the_derived_one() -> None:
    """After a change of the types: runflow schema --output schemas/flow.schema.json"""
    assert flow_schema() == json.loads(COMMITTED.read_text(encoding="utf-8"))


def test_every_key_has_a_description_and_an_example() -> None:
    found = list(keys(flow_schema()))
    assert len(found) > 60
    assert [] == [path for path, schema in found if not schema.get("description") or not schema.get("examples")]


def test_every_mapping_with_keys_is_closed() -> None:
    def mappings(schema: object) -> Iterator[dict[str, object]]:
        if isinstance(schema, dict):
            if "properties" in schema:
                yield schema
            for name, inner in schema.items():
                if name != "examples":
                    yield from mappings(inner)
        elif isinstance(schema, list):
            for inner in schema:
                yield from mappings(inner)

    # A tool's settings are the service's own; only what describes a function is kept out. A JSON Schema may hold anything.
    assert [] == [
        each
        for each in mappings(flow_schema())
        if each.get("additionalProperties") is not False and "propertyNames" not in each and each.get("title") != "JSON Schema"
    ]


def test_every_check_is_described_by_its_manual_page() -> None:
    described = flow_schema()["definitions"]["Checks"]["properties"]
    assert set(checks) == set(described)
    assert all("```yaml" in each["markdownDescription"] for each in described.values())


def test_examples_of_every_key_are_what_the_key_accepts() -> None:
    schema = flow_schema()
    for path, inner in keys(schema):
        judge = Draft7Validator({**inner, "definitions": schema["definitions"]})
        wrong = [example for example in inner["examples"] if not judge.is_valid(example)]  # type: ignore[attr-defined]
        assert [] == wrong, path


@pytest.mark.parametrize("name", LATER)
def test_keys_of_later_versions_are_unknown(name: str) -> None:
    assert name not in {path.rpartition(".")[2] for path, _schema in keys(flow_schema())}


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.yaml")), ids=lambda path: path.name)
def test_example_flows_are_valid_for_any_draft_7_validator(path: Path) -> None:
    assert [] == list(Draft7Validator(flow_schema()).iter_errors(read(path).root.plain))


def test_the_language_s_own_example_is_valid() -> None:
    paint = {
        "assistant": {
            "name": "Art Maestro",
            "model": "qwen-max",
            "description": "AI assistant for painting and art knowledge",
            "instructions": "Use tools to generate images.\n",
            "tools": [{"text_to_image": "For creating visual examples"}],
        },
        "steps": [
            {
                "user": "Draw a picture of a ragdoll cat.",
                "expect": [{"calls": "text_to_image"}, "image", {"contains": "cat"}],
            }
        ],
    }
    assert [] == list(Draft7Validator(flow_schema()).iter_errors(paint))


def test_schema_of_what_we_write_takes_texts_only_as_texts_and_every_field() -> None:
    schema = schema_of(Envelope)
    Draft7Validator.check_schema(schema)
    started = schema["definitions"]["StepStarted"]
    assert {"type": "string"} == started["properties"]["name"]
    assert ["step", "name", "line", "user"] == started["required"]
