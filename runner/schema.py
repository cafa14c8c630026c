"""Derive JSON Schema (draft-07) from the types: of a flow file as it may be written, of events and reports as we write them."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from runner.forms import Form, Key, branches, keys_of, split
from runner.model import Asks, Assistant, Check, Expectation, Flow, Role, Sample, SampleCall, SeedMessage, Tool
from runner.registry import checks
from runner.source import parse
from runner.values import dataclass
from runner.written import ANSWER_KEYS, RESERVED, ROUNDS, TYPES, Parameters, ParameterType, WrittenFunction

__all__ = [
    "BUILT_IN_TOOLS",
    "EXPECTATIONS",
    "USE",
    "CheckValue",
    "bare_checks",
    "check_value",
    "first_paragraph",
    "flow_schema",
    "formats",
    "schema_of",
]

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"

BUILT_IN_TOOLS: Mapping[str, str] = {
    "text_to_image": "Draws pictures",
    "calculator": "Calculates",
    "code_interpreter": "Runs Python code",
    "quark_search": "Searches the web",
    "rag": "Looks things up in a knowledge base; its settings stand under `prompt_ra`",
}
"""The tools a service brings along."""

USE = Key(
    name="use",
    field="",
    annotation=str,
    doc="Take the assistant from another YAML file below the flow's folder; keys written beside it win",
    examples=("_shared/shop.yaml",),
    required=False,
)

EXPECTATIONS: Any = tuple[Expectation, ...]
"""The annotation of a place where checks are written."""

TEXT: Schema = {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class CheckValue:
    """What may stand after a check's name. `optional`: the bare word is a check, too."""

    annotation: Any
    optional: bool


@cache
def check_value(check: type[Check]) -> CheckValue:
    """The one field `value` of a check class."""
    value = next(each for each in fields(check) if each.name == "value")  # type: ignore[arg-type]
    return CheckValue(
        annotation=get_type_hints(check, include_extras=True)["value"],
        optional=value.default is not MISSING or value.default_factory is not MISSING,
    )


def examples_of(check: type[Check]) -> tuple[object, ...]:
    """Values that editors propose for a check."""
    value = next(each for each in fields(check) if each.name == "value")  # type: ignore[arg-type]
    return tuple(value.metadata.get("examples", ())) or tuple(shown(check))


def shown(check: type[Check]) -> Iterator[object]:
    """The values that the manual page of a check gives it in its examples."""
    for block in re.findall(r"```yaml\n(.*?)```", inspect.cleandoc(check.__doc__ or ""), re.DOTALL):
        yield from values_of(check.name, parse(block.encode(), check.name).root.plain)


def values_of(name: str, written: object) -> Iterator[object]:
    if isinstance(written, list):
        for item in written:
            yield from values_of(name, item)
    elif isinstance(written, dict):
        for key, value in written.items():
            yield from [value] if key == name else values_of(name, value)
    elif written == name:
        yield None


def bare_checks() -> tuple[str, ...]:
    """The names of the checks that need no value."""
    return tuple(name for name in sorted(checks) if check_value(checks[name]).optional)


def first_paragraph(doc: str | None) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(inspect.cleandoc(doc or "").partition("\n\n")[0].split())


class Deriver:
    """Collects definitions while types are walked.

    `written` chooses between what an author may write (texts also as numbers, keys left out, no null) and what we write.
    """

    def __init__(self, *, written: bool) -> None:
        self.written = written
        self.definitions: dict[str, Schema] = {}
        self.formats: dict[str, Callable[[Any], object]] = {}

    def of(self, annotation: Any) -> Schema:
        """The schema of one annotation of `runner.forms`."""
        base, form = split(annotation)
        members = branches(base)
        if len(members) > 1:
            return {"anyOf": [self.of(member) for member in members]}
        if form.parse is not None:
            return self.parsed(base, form)
        return self.plain(base) | self.conditions(base, form)

    def plain(self, base: Any) -> Schema:
        if self.written and base == EXPECTATIONS:
            return self.shared("Expectations", self.expectations)
        if self.written and base == ROUNDS:
            return self.shared("SampleCalls", self.rounds)
        match get_origin(base):
            case None:
                return self.named(base)
            case origin if origin in (tuple, Sequence):
                return {"type": "array", "items": self.of(get_args(base)[0])}
            case origin if origin is Literal:
                return self.among(get_args(base))
            case _:
                names, values = get_args(base)
                schema: Schema = {"type": "object", "additionalProperties": self.of(values)}
                pattern = split(names)[1].pattern
                return schema | ({"propertyNames": {"pattern": pattern}} if pattern else {})

    def named(self, base: Any) -> Schema:
        if base is str:
            return dict(TEXT) if self.written else {"type": "string"}
        if base in (bool, int, float, None, NoneType):
            return {"type": {bool: "boolean", int: "integer", float: "number"}.get(base, "null")}
        if base is object:
            return {}
        if self.written and base in (own := self.own_forms()):
            return self.shared(base.__name__, own[base])
        if isinstance(base, type) and is_dataclass(base):
            return self.shared(base.__name__, lambda: self.mapping(base))
        if issubclass(base, Enum):
            return self.among(tuple(member.value for member in base))
        if issubclass(base, PurePath):
            return {"type": "string"}
        raise TypeError(f"no schema for {base!r}")

    def among(self, values: tuple[object, ...]) -> Schema:
        return {"type": "string", "enum": list(values)} if all(isinstance(v, str) for v in values) else {"enum": list(values)}

    def conditions(self, base: Any, form: Form) -> Schema:
        unit = "Items" if get_origin(base) is tuple else "Length" if base is str else "Properties"
        schema = {
            f"min{unit}": form.min_length,
            f"max{unit}": form.max_length,
            "minimum": form.minimum,
            "maximum": form.maximum,
            "pattern": form.pattern,
        }
        return {name: value for name, value in schema.items() if value is not None} | (
            {"type": "string"} if form.pattern and base is str else {}
        )

    def parsed(self, base: Any, form: Form) -> Schema:
        """A value with a notation of its own: the pattern is for editors, the parser behind the format has the last word."""
        assert form.parse is not None
        name = f"runflow-{form.parse.__name__.strip('_').replace('_', '-')}"
        self.formats[name] = form.parse
        schema: Schema = {} if base is object else dict(TEXT) if base is str else {"type": ["string", "number"]}
        conditions = self.conditions(str, form)
        return schema | {name: value for name, value in conditions.items() if name != "type"} | {"format": name}

    def shared(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # a type may hold itself
            self.definitions[name] = make()
        return {"$ref": f"#/definitions/{name}"}

    def mapping(self, kind: type) -> Schema:
        """A closed object with exactly the keys of a dataclass."""
        keys = keys_of(kind)
        properties = {key.name: self.documented(key.doc, key.examples, self.value(key)) for key in keys}
        if self.written and kind is Assistant:
            properties = {USE.name: self.documented(USE.doc, USE.examples, {"type": "string", "minLength": 1})} | properties
        if not keys:
            hints = get_type_hints(kind, include_extras=True)
            properties = {each.name: self.of(hints[each.name]) for each in fields(kind)}
        required = [key.name for key in keys if key.required] if self.written else list(properties)
        schema: Schema = {"type": "object", "description": first_paragraph(kind.__doc__), "properties": properties}
        return schema | ({"required": required} if required else {}) | {"additionalProperties": False}

    def value(self, key: Key) -> Schema:
        if not self.written:
            return self.of(key.annotation)
        present = [branch for branch in branches(key.annotation) if branch not in (None, NoneType)]
        alternatives = [self.of(branch) for branch in present]
        return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}

    def documented(self, doc: str, examples: tuple[object, ...], schema: Schema, markdown: str | None = None) -> Schema:
        # Beside `$ref`, draft-07 ignores every other keyword.
        schema = {"allOf": [schema]} if "$ref" in schema else schema
        hover = {"markdownDescription": markdown} if markdown else {}
        return {"description": doc} | hover | ({"examples": list(examples)} if examples else {}) | schema

    # ── the forms a dataclass cannot say ─────────────────────────────────────────────────────────────────────────────

    def own_forms(self) -> Mapping[type, Callable[[], Schema]]:
        return {
            Tool: self.tool,
            Asks: self.ask,
            Parameters: self.parameters,
            ParameterType: self.parameter_type,
            Sample: lambda: self.mapping(Sample) | {"minProperties": 1},
            SampleCall: self.sample_call,
            SeedMessage: self.seed_message,
        }

    def expectations(self) -> Schema:
        bare = [{"type": "string", "enum": list(bare_checks())}] if bare_checks() else []
        one = {"allOf": [self.shared("Checks", self.checks)], "maxProperties": 1}
        return {
            "description": "A text the answer contains, one mapping of checks, or a list of checks",
            "anyOf": [
                TEXT | {"minLength": 1, "not": {"enum": sorted(checks)}},
                {"$ref": "#/definitions/Checks"},
                {"type": "array", "minItems": 1, "items": {"anyOf": [*bare, one]}},
            ],
        }

    def checks(self) -> Schema:
        properties = {name: self.check(checks[name]) for name in sorted(checks)}
        return {"type": "object", "minProperties": 1, "properties": properties, "additionalProperties": False}

    def check(self, kind: type[Check]) -> Schema:
        value = check_value(kind)
        schema = self.of(value.annotation)
        if value.optional:
            present = [branch for branch in branches(value.annotation) if branch not in (None, NoneType)]
            schema = {"anyOf": [*(self.of(branch) for branch in present), {"type": "null"}]} if present else {"type": "null"}
        markdown = inspect.cleandoc(kind.__doc__ or "")
        return self.documented(first_paragraph(kind.__doc__), examples_of(kind), schema, markdown)

    def tool(self) -> Schema:
        description = self.documented(
            "What the assistant should use the tool for", ("For creating visual examples",), dict(TEXT)
        )
        auth = self.documented("How the service signs in at the tool", ({"type": "user_http"},), {"type": "object"})
        settings = {
            "description": description,
            "auth": auth,
            "prompt_ra": self.documented("What `rag` looks up", ({"pipeline_id": ["kb_1"]},), {"type": "object"}),
        }
        names = list(BUILT_IN_TOOLS)
        named = {"type": "string", "enum": names, "enumDescriptions": list(BUILT_IN_TOOLS.values())}
        return {
            "description": "A tool of the service, alone or with a description or settings; a plug-in of yours; a function",
            "anyOf": [
                named,
                self.named_tool(settings, {"description": description, "auth": auth}),
                {
                    "type": "object",
                    "properties": {"type": self.documented("Which tool of the service", ("text_to_image",), named), **settings},
                    "required": ["type"],
                }
                | self.without(*RESERVED[1:], "plugin"),
                self.api_function(),
            ],
        }

    def named_tool(self, settings: Schema, of_plugin: Schema) -> Schema:
        """One key, the tool's name: the service's, `plugin`, or the author's own."""
        held = {"type": "object", "properties": settings} | self.without(*RESERVED, "plugin")
        value = {"anyOf": [TEXT, self.shared("ToolSettings", lambda: held), {"type": "null"}]}
        example = "For creating visual examples"
        built_in = {name: self.documented(doc, (example,), value) for name, doc in BUILT_IN_TOOLS.items()}
        id = TEXT | {"minLength": 1, "not": {"const": "function"}}
        plugin = {
            "type": "object",
            "properties": {"id": self.documented("The plug-in's id", ("tool_8a41",), id), **of_plugin},
            "required": ["id"],
            "additionalProperties": False,
        }
        doc = "A plug-in of yours: its id, alone or with how the service signs in"
        examples = ("tool_8a41", {"id": "tool_8a41", "auth": {"type": "user_http"}})
        plugins = self.documented(doc, examples, {"anyOf": [id, self.shared("Plugin", lambda: plugin)]})
        return {
            "type": "object",
            "properties": built_in | {"plugin": plugins},
            "additionalProperties": self.shared("Function", self.function),
            "minProperties": 1,
            "maxProperties": 1,
        } | self.without(*RESERVED, shortest=1)

    def without(self, *names: str, shortest: int = 0) -> Schema:
        return {"propertyNames": {"not": {"enum": list(names)}} | ({"minLength": shortest} if shortest else {})}

    def function(self) -> Schema:
        stated = [{"required": [name]} for name in ("parameters", *ANSWER_KEYS)]
        return self.mapping(WrittenFunction) | {"anyOf": stated}

    def api_function(self) -> Schema:
        """A function as the API writes it, its answer beside it."""
        keys = self.mapping(WrittenFunction)["properties"]
        name = self.documented("The function's name", ("get_order",), TEXT | {"minLength": 1})
        inner = {
            "type": "object",
            "properties": {"name": name, "description": keys["description"], "parameters": keys["parameters"]},
            "required": ["name"],
        } | self.without(*(each for each in RESERVED if each != "parameters"))
        example = {"name": "get_order", "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}}}
        function = self.shared("ApiFunction", lambda: inner)
        return {
            "type": "object",
            "properties": {
                "type": self.documented("A function of yours", ("function",), {"type": "string", "enum": ["function"]}),
                "function": self.documented("The function as the API writes it", (example,), function),
                **{name: keys[name] for name in ANSWER_KEYS},
            },
            "required": ["type", "function"],
            "additionalProperties": False,
        }

    def ask(self) -> Schema:
        return {"anyOf": [{"type": ["string", "number"], "minLength": 1}, {"enum": [True]}, {"type": "null"}]}

    def parameters(self) -> Schema:
        doc = "Marks the parameters as a JSON Schema"
        mark = self.documented(doc, ("object",), {"type": "string", "enum": ["object"]})
        return {
            "description": "A name and a type each; or a JSON Schema with `type: object`",
            "anyOf": [
                {"title": "JSON Schema", "type": "object", "properties": {"type": mark}, "required": ["type"]},
                {"type": "object", "additionalProperties": self.of(ParameterType)},
            ],
        }

    def parameter_type(self) -> Schema:
        words = [*TYPES, *(f"optional {name}" for name in TYPES)]
        return {
            "description": "A type, `optional` and a type, or a list of the allowed words",
            "anyOf": [
                {"type": "string", "enum": words},
                {"type": "array", "minItems": 1, "items": TEXT | {"minLength": 1}},
            ],
        }

    def sample_call(self) -> Schema:
        arguments = {"anyOf": [{"type": "object"}, {"type": "null"}]}
        return {
            "description": "A call of a tool: its name, alone or with the arguments",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "additionalProperties": arguments,
                    "propertyNames": {"minLength": 1},
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        }

    def rounds(self) -> Schema:
        one = {"type": "array", "minItems": 1, "items": self.of(SampleCall)}
        several = {"type": "array", "minItems": 1, "items": one}
        return {"description": "Calls made at once; or a list of such lists, one for each round", "anyOf": [one, several]}

    def seed_message(self) -> Schema:
        text = TEXT | {"minLength": 1}
        docs = {Role.USER: ("What was said to the assistant", "Hello."), Role.ASSISTANT: ("What the assistant said", "Hi!")}
        return {
            "description": first_paragraph(SeedMessage.__doc__),
            "type": "object",
            "properties": {role.value: self.documented(doc, (example,), text) for role, (doc, example) in docs.items()},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }


@cache
def derived() -> Deriver:
    deriver = Deriver(written=True)
    deriver.of(Flow)
    return deriver


def flow_schema() -> Schema:
    """The schema of a flow file, with every check the registry knows."""
    definitions = dict(derived().definitions)
    flow = definitions.pop("Flow")
    return {"$schema": DRAFT, "title": "runflow flow", **flow, "definitions": dict(sorted(definitions.items()))}


def formats() -> Mapping[str, Callable[[Any], object]]:
    """The parsers behind the schema's own formats; each raises ValueError with a sentence."""
    return derived().formats


def schema_of(kind: Any) -> Schema:
    """The schema of values that we write, such as events: every field present, texts as texts."""
    deriver = Deriver(written=False)
    schema = deriver.of(kind)
    return {"$schema": DRAFT, **schema, "definitions": dict(sorted(deriver.definitions.items()))}
