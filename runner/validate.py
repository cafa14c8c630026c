"""Turn jsonschema's errors into diagnostics an author can act on.

Only for documents that `build` refuses. Where the schema allows several forms, the one the author meant is judged alone: it
is chosen by the kind of the value, and among mappings by the keys they share.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from itertools import islice
from math import isfinite
from typing import Any, Protocol, get_args, get_origin
from unicodedata import normalize

from jsonschema import Draft7Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from runner.build import Building, Reader, Refused, read_listed, reader
from runner.diagnostics import Diagnostic, Span
from runner.forms import branches, keys_of, split
from runner.model import Assistant, Expectation, Flow, Repeat, RunOverrides, SampleCall, Step, ThreadSetup, Tool
from runner.registry import checks
from runner.schema import BUILT_IN_TOOLS, EXPECTATIONS, bare_checks, check_value, flow_schema, formats
from runner.source import MAX_FINDINGS, Mark, Node
from runner.values import dataclass
from runner.words import _, listed, nearest, plain_name
from runner.written import ANSWER_KEYS, RESERVED, ROUND, ROUNDS, TYPES, Parameters, WrittenFunction

__all__ = ["Sources", "validate"]

Schema = Mapping[str, Any]


class Sources(Protocol):
    """Where the nodes to be judged stand; `runner.load.Sources`."""

    root: Node

    def path_of(self, node: Node) -> str: ...


def validate(sources: Sources) -> Iterator[Diagnostic]:
    """Everything the schema finds wrong with a document; nothing for one that `build` accepts."""
    findings = Findings(sources)
    suspicious = suspects(sources.root, Flow, Building(verdicts={}))
    errors = [Error.of(error) for error in islice(validator().iter_errors(suspicious), MAX_FINDINGS)]
    # A parser's sentence says more than a pattern that does not fit.
    for error in sorted(errors, key=lambda error: error.keyword != "format"):
        yield from findings.about(error)


class Suspects(list[object]):
    """A list whose other items the reader accepts, so that only those at `wrong` need be judged."""

    wrong: tuple[int, ...] = ()


def suspects(node: Node, annotation: Any, building: Building) -> object:
    """The plain value, without what the reader accepts: jsonschema takes its time over long files."""
    if isinstance(node.value, list):
        if item := item_of(annotation) if annotation != ROUNDS else item_of_rounds(node.value):
            wrong = (number for number, each in enumerate(node.value) if not accepted(each, reader_of(item), building))
            plain = Suspects([None] * len(node.value))
            plain.wrong = tuple(islice(wrong, MAX_FINDINGS))
            if annotation == ROUNDS and plain and 0 not in plain.wrong:
                plain.wrong = (0, *plain.wrong)  # the first item tells calls from rounds
            for number in plain.wrong:
                plain[number] = suspects(node.value[number], item, building)
            return plain
    elif isinstance(node.value, dict):
        if annotation is Tool:
            return suspect_tool(node.value, building)
        if is_of_parameters(annotation) and "type" in node.value and node.value["type"].value == "object":
            return {"type": "object"}  # which any JSON Schema may be
        if is_free(annotation):
            left = {name: each for name, each in node.value.items() if not entry_accepted(node, name, annotation, building)}
            return {name: each.plain for name, each in (left or dict(islice(node.value.items(), 1))).items()}
        known = annotations(node.value, annotation)
        return {name: suspects(each, known.get(name, object), building) for name, each in node.value.items()}
    return node.plain


def suspect_tool(entries: Mapping[str, Node], building: Building) -> object:
    """A tool without what the reader accepts in a function of the author's, which may be long."""
    known = annotations(entries, WrittenFunction)
    if "type" in entries:
        known = {**{name: each for name, each in known.items() if name in ANSWER_KEYS}, "function": WrittenFunction}
    elif len(entries) == 1:
        known = {name: WrittenFunction for name in entries if name not in BUILT_IN_TOOLS and name != "plugin"}
    return {name: suspects(each, known.get(name, object), building) for name, each in entries.items()}


def item_of_rounds(items: Sequence[Node]) -> Any:
    return ROUND if items and isinstance(items[0].value, list) else SampleCall


@cache
def is_of_parameters(annotation: Any) -> bool:
    return Parameters in branches(annotation)


def annotations(names: Iterable[str], annotation: Any) -> Mapping[str, Any]:
    """What stands under each of the names, as far as they are known where one kind of mapping is meant."""
    if EXPECTATIONS in (annotation, *branches(annotation)) or annotation is Expectation:
        return {name: check_value(checks[name]).annotation for name in names if name in checks}
    match shapes(annotation):
        case [kind] if is_dataclass(kind):
            return {key.name: key.annotation for key in keys_of(kind)}  # type: ignore[arg-type]
        case [kind]:
            return dict.fromkeys(names, get_args(kind)[1])
        case _:
            return {}


def shapes(annotation: Any) -> list[Any]:
    """The kinds of mapping that may stand in a place."""
    bases = (split(branch)[0] for branch in branches(split(annotation)[0]))
    return [base for base in bases if get_origin(base) is Mapping or (isinstance(base, type) and is_dataclass(base))]


@cache
def is_free(annotation: Any) -> bool:
    """Whether a mapping here has names of the author's own."""
    return [get_origin(shape) for shape in shapes(annotation)] == [Mapping] or is_of_parameters(annotation)


def entry_accepted(node: Node, name: str, annotation: Any, building: Building) -> bool:
    assert isinstance(node.value, dict)
    return accepted(node.holding({name: node.value[name]}), reader_of(annotation), building)


@cache
def item_of(annotation: Any) -> Any:
    """What the items of a list are, where only one kind of list is meant."""
    if annotation == ROUNDS:
        return None
    lists = [split(branch)[0] for branch in branches(split(annotation)[0])]
    items = [get_args(each)[0] for each in lists if get_origin(each) is tuple]
    return items[0] if len(items) == 1 else None


def reader_of(item: Any) -> Reader:
    return read_listed if item is Expectation else reader(item)


def accepted(node: Node, read: Reader, building: Building) -> bool:
    try:
        read(node, building)
    except Refused:
        return False
    return True


# ── a validator that reports one branch ──────────────────────────────────────────────────────────────────────────────


@cache
def validator() -> Any:
    """Draft 7 with our formats, telling errors by key, and of several forms only about the one meant."""
    checker = FormatChecker(formats=())
    for name, parse in formats().items():
        checker.checks(name, raises=ValueError)(judged_by(parse))
    kinds = Draft7Validator.TYPE_CHECKER.redefine("number", lambda _checker, value: is_number(value))
    kind = extend(  # type: ignore[no-untyped-call]
        Draft7Validator,
        {"anyOf": any_of, "required": required, "additionalProperties": additional_properties, "items": items},
        type_checker=kinds,
    )
    return kind(flow_schema(), format_checker=checker)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def judged_by(parse: Callable[[Any], object]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            parse(value)
        return True

    return check


def any_of(validator: Any, forms: Sequence[Schema], instance: object, schema: Schema) -> Iterator[ValidationError]:
    if all(form.keys() == {"required"} for form in forms):
        if isinstance(instance, dict) and not any(instance.keys() >= set(form["required"]) for form in forms):
            yield ValidationError("", validator="needs", instance=instance, schema=schema)
        return
    kind = kind_of(instance)
    fitting = [form for form in forms if kind in kinds_of(form)]
    if not fitting:
        yield ValidationError("", validator="type", instance=instance, schema=schema)
        return
    if len(fitting) > 1:
        if any(validator.evolve(schema=branch).is_valid(instance) for branch in fitting):
            return
        fitting.sort(key=lambda branch: likeness(branch, instance), reverse=True)
    yield from validator.descend(instance, fitting[0])


def items(validator: Any, item: Schema, instance: object, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, list):
        for number in instance.wrong if isinstance(instance, Suspects) else range(len(instance)):
            yield from validator.descend(instance[number], item, path=number)


def required(validator: Any, names: Sequence[str], instance: object, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (ValidationError(name) for name in names if name not in instance)


def additional_properties(validator: Any, allowed: object, instance: object, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        impossible = schema.get("propertyNames", {}).get("not", {}).get("enum", ())
        for name in instance:
            if name in schema.get("properties", {}) or name in impossible:
                continue
            if allowed is False:
                yield ValidationError(name)
                known = {plain_name(each): each for each in schema.get("properties", {})}
                if (meant := known.get(plain_name(name))) and meant not in instance:
                    yield from validator.descend(instance[name], schema["properties"][meant], path=name)
            else:
                yield from validator.descend(instance[name], allowed, path=name)


def kind_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def resolved(schema: Schema) -> Schema:
    """What a reference means."""
    while True:
        if "$ref" in schema:
            schema = flow_schema_definitions()[schema["$ref"].rpartition("/")[2]]
        elif "allOf" in schema:
            schema = schema["allOf"][0]
        else:
            return schema


@cache
def flow_schema_definitions() -> Mapping[str, Schema]:
    definitions: Mapping[str, Schema] = validator().schema["definitions"]
    return definitions


def kinds_of(schema: Schema) -> frozenset[str]:
    """The kinds of value a schema may accept."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return frozenset().union(*(kinds_of(branch) for branch in schema["anyOf"]))
    if "type" in schema:
        named = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return frozenset("number" if name == "integer" else name for name in named)
    if "enum" in schema:
        return frozenset(kind_of(value) for value in schema["enum"])
    return frozenset(("null", "boolean", "number", "string", "array", "object"))


def likeness(schema: Schema, instance: object) -> tuple[int, bool, bool, bool, int]:
    """How well a value fits: has a mapping the one word that marks it, what is required and no more keys than it may, known
    keys only, what is required, and how many keys do they share? Is a list's first item of the right kind?"""
    schema = resolved(schema)
    if isinstance(instance, list):
        return (int(bool(instance) and kind_of(instance[0]) in kinds_of(schema.get("items", {}))), True, True, True, 0)
    if not isinstance(instance, dict):
        return (0, True, True, True, 0)
    properties, needed = schema.get("properties", {}), schema.get("required", ())
    marks = [instance[name] == properties[name]["enum"][0] for name in needed if name in instance and is_mark(properties[name])]
    complete = all(name in instance for name in needed)
    return (
        1 if any(marks) else -1 if marks else 0,
        complete and len(instance) <= schema.get("maxProperties", len(instance)),
        instance.keys() <= properties.keys(),
        complete,
        len(instance.keys() & properties.keys()),
    )


def is_mark(schema: Schema) -> bool:
    """Whether a key that is needed can have one value only, and so tells one form from another."""
    return len(schema.get("enum", ())) == 1


# ── errors in the author's words ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Error:
    """One of jsonschema's errors, as far as we speak of it. `limit` is the keyword's value; `of_name`: a key is meant."""

    keyword: str
    message: str
    path: tuple[str | int, ...]
    instance: object
    schema: Schema
    limit: Any
    of_name: bool
    reason: str

    @classmethod
    def of(cls, error: ValidationError) -> "Error":
        schema = error.schema if isinstance(error.schema, dict) else {}
        path = tuple(error.absolute_path)
        of_name = "propertyNames" in error.absolute_schema_path
        return cls(
            str(error.validator),
            error.message,
            path,
            error.instance,
            schema,
            error.validator_value,
            of_name,
            str(error.cause or ""),
        )


class Findings:
    """Says what jsonschema found, each thing once."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.judged: set[int] = set()
        """Nodes whose notation was found wrong, by pattern or by parser."""

    def about(self, error: Error) -> Iterator[Diagnostic]:
        nodes = self.trail(error.path)
        node = nodes[-1]
        if error.keyword in ("pattern", "format") and not error.of_name:
            if id(node) in self.judged:
                return
            self.judged.add(id(node))
        place = Place(error.path, node, nodes[-2] if len(nodes) > 1 else None)
        for found in SENTENCES[error.keyword](error, place):
            if found.key is not None and isinstance(node.value, dict):
                path, span = self.sources.path_of(node.value[found.key]), node.keys[found.key]
            else:
                path, span = self.sources.path_of(node), found.span or place.span
            yield Diagnostic(found.code, found.message, path, span, hint=found.hint)

    def trail(self, path: Iterable[str | int]) -> list[Node]:
        """The nodes from the root to a place."""
        nodes = [self.sources.root]
        for step in path:
            inside: Any = nodes[-1].value
            nodes.append(inside[step])
        return nodes


@dataclass(frozen=True, slots=True)
class Found:
    """One sentence, and the key of the mapping it is about, if it is not about the value."""

    code: str
    message: str
    hint: str | None = None
    key: str | None = None
    span: Span | None = None


class Place:
    """A value in the file, and how to speak of it."""

    def __init__(self, path: tuple[str | int, ...], node: Node, parent: Node | None) -> None:
        self.path = path
        self.node = node
        self.parent = parent

    @property
    def span(self) -> Span:
        """The value's, or its key's when nothing stands after it."""
        last = self.path[-1] if self.path else None
        if self.node.value is None and isinstance(last, str) and self.parent is not None and last in self.parent.keys:
            return self.parent.keys[last]
        if isinstance(self.node.value, dict | list):
            return beginning(self.node)
        return self.node.span

    @property
    def heading(self) -> Span:
        """The key the value stands under, else the beginning of the value."""
        last = self.path[-1] if self.path else None
        if isinstance(last, str) and self.parent is not None and last in self.parent.keys:
            return self.parent.keys[last]
        if isinstance(self.node.value, dict) and self.node.value:
            return self.node.keys[next(iter(self.node.value))]
        return beginning(self.node)

    @property
    def name(self) -> str:
        """The value as the author would name it."""
        match self.path:
            case []:
                return _("the file")
            case [*_rest, "steps", int(number)]:
                return _("step {number}").format(number=number + 1)
            case [*_rest, str(key), int()]:
                return _("an item of `{key}`").format(key=key)
            case _:
                return f"`{self.path[-1]}`"

    @property
    def within(self) -> str:
        """` in `assistant``, or nothing at the top level."""
        return _(" in {place}").format(place=self.name) if self.path else ""


def beginning(node: Node) -> Span:
    """The first key of a block, or the value itself where it fits one line: underlining a whole block points at nothing."""
    span = node.span
    if span.line == span.end_line:
        return span
    if isinstance(node.value, dict) and node.value and not node.style:
        return node.keys[next(iter(node.value))]
    return Span(span.line, span.column, span.line, span.column + 1)


Sentence = Callable[[Error, Place], Iterator[Found]]


def write(line: str) -> str:
    return _("write: {line}").format(line=line)


def write_below(lines: str) -> str:
    return _("write:") + "\n" + lines


def suggestion(name: str, known: Iterable[str]) -> str:
    known = tuple(known)
    if near := nearest(name, known):
        return _("did you mean `{name}`?").format(name=near)
    return _("use one of {names}").format(names=listed(known))


def inline(value: object) -> str:
    """A text as it can be written after a key."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    plain = re.fullmatch(r"\w(?:(?:[\w .,!?'/()-]|:(?=[\w/]))*[\w.,!?')])?", value) and value not in ("true", "false", "null")
    if plain and not re.fullmatch(r"[\d.eE-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


ELSEWHERE: Mapping[str, str] = {"prompt": "user", "message": "user", "input": "user", "content": "user", "say": "user"} | {
    "system": "instructions",
    "assert": "expect",
    "check": "expect",
    "checks": "expect",
    "output": "expect",
    "max_output_tokens": "max_tokens",
    **dict.fromkeys(("retry", "reruns", "rerun", "max_retries", "num_retries", "retry_count", "attempts", "tries"), "retries"),
    **dict.fromkeys(("repeats", "repetitions", "runs", "trials", "iterations", "num_runs"), "repeat"),
    **dict.fromkeys(("count", "total", "out_of"), "times"),
    **dict.fromkeys(("passes", "passed", "needed", "required", "at_least", "min", "minimum", "successes"), "pass"),
}
"""What other tools, and people, call our keys."""

CHECKS_ELSEWHERE: Mapping[str, str] = (
    dict.fromkeys(("regex", "regexp", "pattern"), "matches")
    | dict.fromkeys(("include", "includes", "has", "text"), "contains")
    | dict.fromkeys(("equal", "is"), "equals")
    | dict.fromkeys(("time", "duration"), "latency")
    | dict.fromkeys(("tool", "tool_call", "function_call"), "calls")
    | {"length": "characters", "lang": "language", "picture": "image"}
)
"""What other tools, and people, call our checks."""

LANGUAGES: Mapping[str, str] = {
    "arabic": "ar", "bulgarian": "bg", "german": "de", "greek": "el", "english": "en", "spanish": "es", "persian": "fa",
    "french": "fr", "hebrew": "he", "hindi": "hi", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko",
    "dutch": "nl", "polish": "pl", "portuguese": "pt", "russian": "ru", "swedish": "sv", "thai": "th", "turkish": "tr",
    "ukrainian": "uk", "urdu": "ur", "vietnamese": "vi", "chinese": "zh", "日本語": "ja", "中文": "zh", "中国語": "zh",
    "日语": "ja", "汉语": "zh", "英語": "en", "英语": "en", "한국어": "ko",
}  # fmt: skip
"""The names of languages, and their codes."""

SYSTEM: Sequence[str] = ("system", "developer")
"""How the API calls a message of instructions."""


def meant_check(name: str) -> str | None:
    """The check that goes by another name, or is misspelt."""
    return CHECKS_ELSEWHERE.get(plain_name(name)) or nearest(name, checks)


def written_check(name: str, value: object) -> str | None:
    """The line for a check in other words than ours, `not contains` or `doesn't contain`; None if none of ours is meant."""
    negated = re.fullmatch(r"(?:not|(?:does|do|is|must|should)(?:_?not|n['’]?t))_?(.+)", plain_name(name))
    if negated and (meant := meant_check(negated[1])):
        shown = json.dumps(value, ensure_ascii=False) if "," in str(value) else inline(value)
        return f"not: {{{meant}: {shown if value is not None and len(shown) <= 60 else '…'}}}"
    return None


def unknown_key(error: Error, place: Place) -> Iterator[Found]:
    key = error.message
    known = tuple(error.schema["properties"])
    definitions = flow_schema_definitions()
    if error.schema is definitions["Checks"]:
        assert isinstance(place.node.value, dict)
        if key not in beside_calls(place.node.value)[1:]:  # what is said about the first one holds for all of them
            yield unknown_check(key, place)
    elif "returns" in known:
        yield from unknown_function_key(key, known, place)
    elif (
        "user" in known
        and isinstance(place.node.value, dict)
        and "role" in place.node.value
        and (key in ("role", "content") or error.schema is definitions["SeedMessage"])
    ):
        if key == "role":
            yield pasted_message(place.node.value, known, place)
    else:
        message = _("unknown key `{key}`{within}").format(key=key, within=place.within)
        yield Found("unknown-key", message, where_to_write(key, known, place), key)


def pasted_message(message: Mapping[str, Node], roles: tuple[str, ...], place: Place) -> Found:
    """A message as the API writes it."""
    role = message["role"].value
    said = message["content"].value if "content" in message else None
    if role in SYSTEM:
        hint = system_text()
    elif role == "assistant" and role not in roles:
        hint = _("what the assistant said before belongs in `thread.messages`")
    else:
        hint = write(f"- {role if role in roles else 'user'}: {inline(said) if isinstance(said, str) else '…'}")
    return Found("unknown-key", _("unknown key `role`{within}").format(within=place.within), hint, "role")


def system_text() -> str:
    return _("the system prompt belongs in `assistant.instructions`")


def where_to_write(key: str, known: tuple[str, ...], place: Place) -> str:
    """What to do about a key that is not known here."""
    name, colon, rest = re.fullmatch(r"(.*?)(?:([:：])(.*))?", key, re.DOTALL).groups()  # type: ignore[union-attr]
    if colon and name in known:
        return _("put a space after the colon: {line}").format(line=f"{name}: {rest}")
    if place.path == ("cases",):
        return _("write each row on its own line starting with `- `, or name a file: `file: rows.csv`")
    if key in SYSTEM and "user" in known:
        return system_text()
    if key == "messages" and not place.path:
        return _("say it in steps: `steps:`, and below it `  - user: …`; the system prompt belongs in `assistant.instructions`")
    if key in checks and "expect" in known:
        return _("`{key}` is a check; write it under `expect`").format(key=key)
    for home, kind in (("assistant", Assistant), ("run", RunOverrides), ("thread", ThreadSetup), ("repeat", Repeat)):
        if home in known and any(each.name == key for each in keys_of(kind)):
            return _("it belongs under `{home}`; indent it").format(home=home)
    if ELSEWHERE.get(key) in known:
        return _("did you mean `{name}`?").format(name=ELSEWHERE[key])
    if place.path and any(each.name == key for each in keys_of(Step)) and "steps" not in known and place.path[0] != "steps":
        return _("it belongs in a step, under `steps`")
    if not place.path and any(each.name == key for each in keys_of(Step)):
        return _("it belongs in a step: under `steps`, after a `- `")
    if key == "assistant" and "sample" in known:
        return _("write an answer you expect as `sample: …`; what was said before belongs in `thread.messages`")
    if place.path and any(each.name == key for each in keys_of(Flow)):
        return _("it belongs at the top level; do not indent it")
    return suggestion(key, known)


def unknown_check(name: str, place: Place) -> Found:
    match = re.fullmatch(r"\s*(\w+)\s*[:：]\s*(.+)", name)
    message = _("there is no check `{name}`").format(name=name)
    if match and match[1] in checks:
        return Found("unknown-check", message, write(f"{match[1]}: {inline(match[2])}"), name)
    in_list = bool(place.path) and isinstance(place.path[-1], int)
    assert isinstance(place.node.value, dict)
    if line := call_and_more(place.node.value, name):
        return Found("unknown-check", message, write(f"- {line}" if in_list else line), name)
    if line := written_check(name, place.node.value[name].plain):
        return Found("unknown-check", message, write(f"- {line}" if in_list else line), name)
    if place.path[-1:] == ("output",) and meant_check(name) in (None, "status"):
        line = f"output: {{json: {{'$.{name}': {brief(place.node.value[name].plain)}}}}}"
        return Found("unknown-check", message, write(line), name)
    hint = suggestion(meant_check(name) or name, sorted(checks))
    if name in {key.name for key in keys_of(Step)} and meant_check(name) is None:
        hint = _("it is a key of the step; indent it like `expect`")
    return Found("unknown-check", message, hint, name)


def missing_key(error: Error, place: Place) -> Iterator[Found]:
    key = error.message
    holder = place.name
    if key == "function" and isinstance(place.node.value, dict) and "name" in place.node.value:
        return  # what is said about `name` says where all of it belongs
    if key == "type" and isinstance(place.node.value, dict) and "function" in place.node.value:
        yield without_type(holder)
        return
    if isinstance(place.node.value, dict) and place.node.value and (near := nearest(key, place.node.value)):
        known = error.schema.get("properties", {})
        if near not in known:
            return  # the unknown key says it already
    if isinstance(place.node.value, dict) and any(ELSEWHERE.get(each) == key for each in place.node.value):
        return  # so it does where that is another name for this one
    if error.schema.get("properties", {}).keys() == {key} and place.node.value:
        return  # of one key, the unknown one beside it says enough
    own = place.node.value
    if (
        own
        and place.path
        and place.path[-1] in checks
        and isinstance(own, dict)
        and own.keys().isdisjoint(error.schema["properties"])
    ):
        return  # so does it where no key is known
    message = _("{holder} has no `{key}`").format(holder=holder, key=key)
    example = error.schema["properties"][key].get("examples", ["…"])[0]
    if key == "steps":
        hint = _("say what is asked: `steps:`, and below it `  - user: …`")
    elif key == "assistant":
        hint = _("say who answers: `assistant:`, and below it `  model: …`")
    elif key == "function":
        hint = write("function: {name: get_order, parameters: {…}}")
    elif key == "pass" and (times := number_in(place.node, "times")):
        hint = _("say how many of the {times} must pass; all of them: {line}").format(times=times, line=f"pass: {times}")
    else:
        hint = write(f"{key}: {inline(example)}")
    yield Found("missing-key", message, hint, span=place.heading)


def number_in(node: Node, key: str) -> int | None:
    """The whole number under a key of a mapping, if there is one."""
    value = node.value[key].value if isinstance(node.value, dict) and key in node.value else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# ── kinds of value ───────────────────────────────────────────────────────────────────────────────────────────────────


def kind_words(kinds: Iterable[str]) -> str:
    words = {
        "string": _("a text"),
        "number": _("a number"),
        "boolean": _("`true` or `false`"),
        "array": _("a list"),
        "object": _("a mapping of keys and values"),
        "null": _("nothing"),
    }
    kinds = set(kinds)
    if "string" in kinds:
        kinds -= {"number", "boolean"}
    if len(kinds) > 1:
        kinds -= {"null"}
    return _(" or ").join(words[kind] for kind in words if kind in kinds)


def wrong_type(error: Error, place: Place) -> Iterator[Found]:
    wanted = kinds_of(error.schema)
    actual = kind_of(error.instance)
    definitions = flow_schema_definitions()
    if error.schema is definitions["Function"]:
        yield from no_function(error, place)
        return
    if error.schema is definitions["ParameterType"]:
        yield bad_parameter(place)
        return
    if place.parent is not None and isinstance(place.parent.value, dict) and len(place.parent.value) > 1:
        holder = Place(place.path[:-1], place.parent, None)
        if is_sampled_call(holder) and sampled_call(place.parent.value):
            return  # what is said about its second key says what all of it is
    if error.instance is None:
        yield nothing_there(wanted, place)
        return
    if actual in ("string", "number", "boolean") and error.schema is definitions["Expectations"]["anyOf"][2]["items"]:
        yield bare_text(place.node.spelling)
        return
    if list(place.path[-2:-1]) == ["steps"] and actual == "string":
        line = f"- user: {inline(error.instance)}"
        yield Found("wrong-type", _("{name} is a mapping, not a text").format(name=place.name), write(line))
        return
    message = _("{name} is {wanted}, not {actual}").format(
        name=place.name, wanted=kind_words(wanted), actual=kind_words((actual,))
    )
    if error.schema.get("type") == "integer" and actual == "number":
        message = _("{name} is a whole number").format(name=place.name)
    yield Found("wrong-type", message, how_to_write(wanted, actual, error, place))


def nothing_there(wanted: frozenset[str], place: Place) -> Found:
    if place.path and isinstance(place.path[-1], int):
        return Found(
            "missing-value",
            _("{name} is empty").format(name=place.name),
            _("write something after the `- `, or delete the line"),
        )
    if not place.path:
        return Found("missing-value", _("the file is empty"), _("begin with `assistant:` and `steps:`"))
    message = _("{name} has nothing after it").format(name=place.name)
    if "string" in wanted or "number" in wanted or "boolean" in wanted:
        return Found("missing-value", message, _("write its value after the colon, or delete the key"))
    if "array" in wanted:
        return Found("missing-value", message, _("write its items below it, each on a line that starts with `- `"))
    return Found("missing-value", message, _("write its keys below it, indented by two spaces"))


def how_to_write(wanted: frozenset[str], actual: str, error: Error, place: Place) -> str | None:
    key = place.path[-1] if place.path else ""
    written = inline(error.instance) if actual in ("string", "number", "boolean") else ""
    if line := line_of_a_tool(str(key), actual, written, place):
        return line
    if place.path == ("cases",) and actual == "string":
        return write(f"cases: {{file: {written}}}")
    if place.path == ("repeat",) and actual in ("string", "number"):
        return written_repeat(str(error.instance))
    if key == "steps":
        return _("write each step on its own line starting with `- `")
    if not place.path:
        return _("begin with `assistant:` and `steps:`")
    if "string" in wanted and actual == "object":
        if key in checks:
            return example_of(error, place)
        return _('if this is one text, put it in quotes: "…"')
    if "array" in wanted and "object" not in wanted:
        if written and len(written) <= 40:
            return write(f"{key}: [{written}]")
        return _("write each item on its own line starting with `- `")
    if "object" in wanted and actual == "array" and place.node.style == "[":
        mapping = next((each for each in error.schema.get("examples", ()) if isinstance(each, dict)), None)
        if mapping is not None:
            return _("for example: {line}").format(line=f"{key}: {flow(mapping)}")
        return _("write its keys below it, indented by two spaces")
    if "object" in wanted and actual == "array":
        return _("take the `- ` away: it starts an item of a list")
    if "object" in wanted and "string" not in wanted:
        if key == "assistant" and written:
            return write(f"assistant: {{model: {written}}}")
        return _("write its keys below it, indented by two spaces")
    if "string" in wanted and actual == "array":
        items = place.node.plain
        if "under" in error.schema.get("pattern", "") and isinstance(items, list) and list(map(type, items)) == [int, int]:
            return write(f"{key}: between {items[0]} and {items[1]}")
        return _("write one text; a list is not understood here")
    if "number" in wanted:
        if actual == "string" and re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", str(error.instance)):
            return _("write it without quotes: {line}").format(line=f"{key}: {str(error.instance).strip()}")
        if error.schema.get("type") == "integer" and (count := counted(str(error.instance))):
            return write(f"{key}: {count}")
        beside = number_in(place.parent, "times") if key == "pass" and place.parent is not None else None
        if share := share_of(str(error.instance), beside):
            return write(f"pass: {share}")
        return example_of(error, place)
    if "boolean" in wanted:
        yes = not written or str(error.instance).casefold() in ("yes", "on", "y", "1", "true")
        return write(f"{key}: {'true' if yes else 'false'}")
    return None


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def not_among(error: Error, place: Place) -> Iterator[Found]:
    value = error.instance
    allowed = [each for each in error.limit if isinstance(each, str)]
    if isinstance(value, str) and error.schema is flow_schema_definitions()["ParameterType"]["anyOf"][0]:
        yield bad_parameter(place)
    elif isinstance(value, str) and "tools" in (place.path[-2:-1] + place.path[-3:-2]):
        yield unknown_tool(value, place)
    elif isinstance(value, str) and set(allowed) == set(bare_checks()) and place.path and isinstance(place.path[-1], int):
        yield bare_text(value)
    elif isinstance(value, str) and place.path[-2:] == ("output", "status"):
        hint = write(f"output: {{json: {{'$.status': {inline(value)}}}}}")
        yield Found("not-in-list", _("`{value}` is not understood here").format(value=value), hint)
    elif isinstance(value, str) and allowed:
        yield Found(
            "not-in-list", _("`{value}` is not understood here").format(value=value), suggestion(code_of(value), allowed)
        )
    elif value is False and place.path[-1] in bare_checks():
        hint = write(f"not: [{place.path[-1]}]")
        yield Found("not-in-list", _("{name} cannot be `{value}`").format(name=place.name, value=inline(value)), hint)
    else:
        names = listed(map(inline, error.limit))
        hint = _("write {names}, or delete the key") if len(error.limit) == 1 else _("use one of {names}")
        yield Found(
            "not-in-list",
            _("{name} cannot be `{value}`").format(name=place.name, value=inline(value)),
            hint.format(names=names),
        )


def code_of(value: str) -> str:
    """The code of a language given by its name."""
    return LANGUAGES.get(plain_name(value), value)


def bare_text(text: str) -> Found:
    """A text in a list of checks that is not a check without a value."""
    match = re.fullmatch(r"\s*(\w+)\s*[:：]\s*(.+)", text, re.DOTALL)
    if match and match[1] in checks:
        line = f"- {match[1]}: {inline(match[2])}"
        return Found("bare-text", _("the space after the colon is missing"), write(line))
    if text in checks:
        return Found("bare-text", _("the check `{name}` needs a value").format(name=text), write(f"- {text}: …"))
    if found := colon_missing(text):
        return found
    near = CHECKS_ELSEWHERE.get(plain_name(text))
    near = near if near in bare_checks() else nearest(text, bare_checks())
    if near and (plain_name(text) == near or plain_name(text) not in near.split("_")):
        return Found(
            "unknown-check", _("there is no check `{name}`").format(name=text), _("did you mean `{name}`?").format(name=near)
        )
    short = inline(text) if len(text) <= 60 else "…"
    return Found(
        "bare-text",
        _("`{text}` is no check").format(text=shortened(text)),
        _("to look for this text, write: {line}").format(line=f"- contains: {short}"),
    )


def colon_missing(text: str) -> Found | None:
    """`contains hello`: a check's name and, behind a space, what it can take for its value."""
    for space in islice(re.finditer(" +", text[:40]), 3):
        name, value = text[: space.start()], text[space.end() :]
        if name in checks and takes(name, value):
            line = f"- {name}: {inline(value)}"
            return Found("bare-text", _("a `:` is missing after `{key}`").format(key=name), write(line))
        if negated := written_check(name, value):
            return Found("bare-text", _("`{text}` is no check").format(text=shortened(text)), write(f"- {negated}"))
    return None


def takes(name: str, value: str) -> bool:
    """Whether a text can be the value of a check; one that takes checks is not meant by a sentence."""
    annotation = check_value(checks[name]).annotation
    nowhere = Mark(0, 0)
    node = Node(value, value, "", nowhere, nowhere)
    return EXPECTATIONS not in branches(annotation) and accepted(node, reader_of(annotation), Building(verdicts={}))


def shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:39] + "…"


def refused(error: Error, place: Place) -> Iterator[Found]:
    """A name where it cannot stand: a check's as the text of `expect`, a function's key among a tool's settings."""
    name = str(error.instance)
    if error.of_name:
        yield from out_of_place(name, place)
        return
    if error.limit == {"const": "function"}:
        message = _("`function` is no plug-in")
        yield Found("bad-value", message, _("write the id of your plug-in, or a function under its name: `- get_order: {…}`"))
        return
    key = next((step for step in reversed(place.path) if isinstance(step, str)), "expect")
    line = f"{key}: [{name}]" if name in bare_checks() else f"{key}: {{{name}: …}}"
    yield Found(
        "check-as-text",
        _("`{name}` is a check, but here it would be looked for as a text").format(name=name),
        write(line) + "\n" + _("or, to look for the word: {line}").format(line=f"{key}: {{contains: {name}}}"),
    )


def too_small(error: Error, place: Place) -> Iterator[Found]:
    if error.limit == 1:
        message = _("{name} is empty").format(name=place.name)
        hint = {
            "minLength": _("write a text, or delete the key"),
            "minItems": _("write at least one item, starting with `- `"),
            "minProperties": _("write at least one key, or delete this"),
        }[error.keyword]
        yield Found("empty-value", message, hint)
        return
    yield Found("bad-value", _("{name} is too short").format(name=place.name), _("at least {count}").format(count=error.limit))


def too_large(error: Error, place: Place) -> Iterator[Found]:
    if error.keyword != "maxProperties" or error.limit != 1:
        message = _("{name} is too long").format(name=place.name)
        yield Found("bad-value", message, _("at most {count}").format(count=error.limit))
        return
    assert isinstance(place.node.value, dict)
    first, second, *_more = place.node.value
    if list(place.path[-2:-1]) == ["tools"] and (found := spread_out(place.node.value, place.name)):
        yield found
        return
    if {"role", "content"} & place.node.value.keys():
        return  # the unknown key says how a message is written
    if any(call_and_more(place.node.value, key) for key in place.node.value):
        return  # the unknown check says what all of it is
    if is_sampled_call(place) and (line := sampled_call(place.node.value)):
        message = _("one list item holds `{first}` and `{second}`").format(first=first, second=second)
        yield Found("two-in-one-item", message, write(f"- {line}"), second)
        return
    if is_expected_call(place) and (line := expected_call(place.node.value)):
        message = _("one list item holds `{first}` and `{second}`").format(first=first, second=second)
        yield Found("two-in-one-item", message, write(f"calls: {line}"), second)
        return
    hint = _("give `{key}` a line of its own that starts with `- `").format(key=second)
    yield Found(
        "two-in-one-item", _("one list item holds `{first}` and `{second}`").format(first=first, second=second), hint, second
    )


def out_of_range(error: Error, place: Place) -> Iterator[Found]:
    low, high = error.schema.get("minimum"), error.schema.get("maximum")
    if low is not None and high is not None:
        hint = _("write a number from {low} to {high}").format(low=low, high=high)
    elif low is not None:
        hint = _("write {low} or more").format(low=low)
    else:
        hint = _("write {high} or less").format(high=high)
    large = error.keyword == "maximum"
    message = _("{name} is too large").format(name=place.name) if large else _("{name} is too small").format(name=place.name)
    yield Found("out-of-range", message, hint)


def bad_notation(error: Error, place: Place) -> Iterator[Found]:
    if error.of_name:
        name = str(error.instance)
        better = re.sub(r"\W+", "_", normalize("NFKC", name)).strip("_") or "name"
        better = f"_{better}" if better[0].isdigit() else better
        yield Found(
            "bad-name",
            _("`{name}` is no name for a variable").format(name=name),
            _("use letters, digits and `_`, no digit first: `{name}`").format(name=better),
            name,
        )
        return
    sentence = error.reason or _("not understood")
    dotted = re.fullmatch(r"([\w.]*\w)\.(\w+)", str(error.instance)) if place.path[-1:] == ("python",) else None
    hint = example_of(error, place)
    called = re.fullmatch(r"([\w./-]+\.py) *: *(\w+) *(?:\(.*\))?", str(error.instance))
    if dotted and dotted[2] != "py":
        hint = write(f"python: {dotted[1].replace('.', '/')}.py:{dotted[2]}")
    elif called and place.path[-1:] == ("python",):
        hint = write(f"python: {called[1]}:{called[2]}")
    elif place.path and (spelled := spelled_out(str(error.instance))):
        hint = write(f"{place.path[-1]}: {spelled}")
    yield Found(
        "bad-value",
        _("`{value}`: {reason}").format(value=shortened(without_password(str(error.instance))), reason=sentence),
        hint,
    )


NUMBERS: Mapping[str, int] = {
    "once": 1, "twice": 2, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
}  # fmt: skip


def counted(written: str) -> int | None:
    """A number of times in words, or with a unit."""
    found = re.fullmatch(
        r"(\d{1,4}|[^\W\d]+?) *(?:x|×|times?|tries|attempts?|runs?|回|次|遍)?", normalize("NFKC", written).strip().casefold()
    )
    return (int(found[1]) if found[1].isdecimal() else NUMBERS.get(found[1])) if found else None


def written_repeat(written: str) -> str:
    """What to write for a number of times alone, for `8/10`, for `8 of 10`, or for anything else."""
    if share := re.fullmatch(r"\s*(\d{1,4}) *(?:/|of|out of) *(\d{1,4})\s*", written):
        return write(f"repeat: {{times: {share[2]}, pass: {share[1]}}}")
    if times := counted(written):
        line = f"repeat: {{times: {times}, pass: {times}}}"
        return _("say how many of the {times} must pass; all of them: {line}").format(times=times, line=line)
    return _("for example: {line}").format(line="repeat: {times: 10, pass: 8}")


def share_of(written: str, whole: int | None) -> int | None:
    """How many of the whole a number of percent is, rounded up."""
    percent = re.fullmatch(r"(\d{1,3}) *%", normalize("NFKC", written).strip())
    return -(-whole * int(percent[1]) // 100) if percent and whole else None


UNITS: Mapping[str, str] = {"s": "s", "m": " min", "h": "h"}


def spelled_out(written: str) -> str | None:
    """A duration, or a number of times, whose unit is a whole word."""
    if written.casefold() in ("once", "twice"):
        return "1" if written.casefold() == "once" else "2"
    found = re.fullmatch(r"([0-9.]+) *(seconds?|secs|minutes?|mins|hours?)", written.strip().casefold())
    return f"{found[1]}{UNITS[found[2][0]]}" if found else None


def without_password(text: str) -> str:
    return re.sub(r"//[^/]*@", "//…@", text)


def example_of(error: Error, place: Place) -> str | None:
    examples = error.schema.get("examples", ())
    return _("for example: {line}").format(line=f"{place.path[-1]}: {inline(examples[0])}") if examples and place.path else None


# ── expected calls ───────────────────────────────────────────────────────────────────────────────────────────────────

CALL_ELSEWHERE: Mapping[str, str] = (
    dict.fromkeys(("name", "function", "tool_name"), "tool")
    | dict.fromkeys(("args", "argument", "parameters", "params", "input", "with"), "arguments")
    | {"count": "times", "result": "output", "returns": "output"}
)
"""What people call the keys of an expected call."""
LONGEST_VALUE = 60
"""Of an author's own value in a line to write."""


def is_expected_call(place: Place) -> bool:
    """Whether this is the value of the check `calls`, or an item of it."""
    path = place.path[:-1] if isinstance(place.path[-1], int) else place.path
    return path[-1:] == ("calls",) and path[-2:-1] != ("sample",)


def is_sampled_call(place: Place) -> bool:
    """Whether this is a call of a step's sample, in a round or not."""
    path = tuple(step for step in place.path[-4:] if isinstance(step, str))
    return path[-2:] == ("sample", "calls")


def sampled_call(entries: Mapping[str, Node]) -> str | None:
    """The call of a sample that is written with `tool` and `arguments`, in its own form."""
    stated = {meant: node.plain for key, node in entries.items() if (meant := meant_call_key(key))}
    if not isinstance(stated.get("tool"), str) or not stated.keys() <= {"tool", "arguments"} or len(stated) < len(entries):
        return None
    return flow({stated["tool"]: stated.get("arguments")})[1:-1].rstrip(": ")


def call_keys() -> Mapping[str, Schema]:
    keys: Mapping[str, Schema] = flow_schema_definitions()["ExpectedCall"]["properties"]
    return keys


def expected_call(entries: Mapping[str, Node]) -> str | None:
    """A call written right, that stands there with its name and its keys, or its arguments, side by side."""
    stated = {meant: node.plain for key, node in entries.items() if (meant := meant_call_key(key))}
    others = {key: node.plain for key, node in entries.items() if not meant_call_key(key)}
    if "tool" not in stated and others:
        name, arguments = next(iter(others.items()))
        if not isinstance(arguments, dict | None):
            return None
        del others[name]
        if not stated and all(isinstance(value, dict | None) for value in others.values()):
            return None  # another call
        others |= arguments or {}
        if not stated:
            return flow({name: others})
        stated = {"tool": name, **({"arguments": others} if others else {}), **stated}
    elif others:
        return None
    return flow({key: stated[key] for key in call_keys() if key in stated}) if "tool" in stated else None


def meant_call_key(key: str) -> str | None:
    return key if key in call_keys() else CALL_ELSEWHERE.get(plain_name(key))


def beside_calls(entries: Mapping[str, Node]) -> list[str]:
    """Keys of an expected call that stand level with `calls`."""
    return [key for key in entries if "calls" in entries and key in call_keys() and key not in checks]


def call_and_more(entries: Mapping[str, Node], name: str) -> str | None:
    """The check `calls` with the keys below it that stand level with it, `name` among them."""
    beside = beside_calls(entries)
    if name not in beside:
        return None
    called = entries["calls"]
    own = called.value if isinstance(called.value, dict) else {called.spelling: called.holding({})}
    if isinstance(called.value, list) or len(own) != 1:
        return None
    line = expected_call({**own, **{key: entries[key] for key in beside}})
    return f"calls: {line}" if line else None


def flow(value: object) -> str:
    """A value on one line, as an author writes it; what is long within it is left out."""
    if isinstance(value, dict):
        entries = (f"{inline(str(key))}: {'' if each is None else brief(each)}" for key, each in value.items())
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(brief, value)) + "]"
    return inline(value)


def brief(value: object) -> str:
    line = flow(value)
    return line if len(line) <= LONGEST_VALUE else "{…}" if isinstance(value, dict) else "…"


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────────

FUNCTION_KEYS = tuple(key.name for key in keys_of(WrittenFunction))
OF_THE_API = ("name", "description", "parameters", "strict")
"""What stands under the API's `function`."""

FUNCTION_ELSEWHERE: Mapping[str, str] = (
    dict.fromkeys(("return", "reply", "response", "result", "results", "output", "value", "answer", "gives", "json"), "returns")
    | dict.fromkeys(("responses", "answers", "sequence", "returns_list"), "replies")
    | dict.fromkeys(("error", "errors", "fail", "failure", "raise", "raises", "throws", "exception"), "fails")
    | dict.fromkeys(("args", "arguments", "params", "param", "input", "inputs", "schema", "input_schema"), "parameters")
    | dict.fromkeys(("url", "https", "post", "webhook", "endpoint"), "http")
    | dict.fromkeys(("code", "call", "calls", "py", "handler", "script", "command"), "python")
    | dict.fromkeys(("prompt", "question", "manual", "human", "input_from_user"), "ask")
    | dict.fromkeys(("desc", "about", "doc"), "description")
    | dict.fromkeys(("delay", "sleep", "wait", "latency"), "after")
    | dict.fromkeys(("if", "with", "where", "match"), "when")
)
"""What people call the keys of a function, and of one of its replies."""

TYPES_ELSEWHERE: Mapping[str, str] = (
    dict.fromkeys(("text", "str", "char", "date", "time", "id", "email", "url"), "string")
    | dict.fromkeys(("float", "double", "decimal", "num", "real"), "number")
    | dict.fromkeys(("int", "long", "count", "whole"), "integer")
    | dict.fromkeys(("bool", "flag", "yes_no"), "boolean")
    | dict.fromkeys(("array", "tuple", "set"), "list")
    | dict.fromkeys(("dict", "map", "mapping", "json", "hash"), "object")
)
"""What people, and programming languages, call our types."""


def meant_function_key(key: str, value: object, known: Iterable[str]) -> str | None:
    """The key of a function, or of a reply, that goes by another name or is misspelt."""
    known = tuple(known)
    meant = FUNCTION_ELSEWHERE.get(plain_name(key))
    if plain_name(key) in ("reply", "response") and isinstance(value, list):
        meant = "replies"
    if meant == "python" and isinstance(value, str) and "://" in value:
        meant = "http"
    return meant if meant in known else nearest(key, known)


def unknown_function_key(key: str, known: tuple[str, ...], place: Place) -> Iterator[Found]:
    """A key that a function, or one of its replies, does not have."""
    assert isinstance(place.node.value, dict)
    message = _("unknown key `{key}`{within}").format(key=key, within=place.within)
    meant = meant_function_key(key, place.node.value[key].plain, known)
    if key == "type" and "parameters" in known and place.node.value[key].value == "function":
        name = inline(str(place.path[-1]))
        hint = _("delete it")
        if "function" in place.node.value:
            hint = write_below(f"- type: function\n  function: {{name: {name}, parameters: {{…}}}}\n  returns: …")
    elif key == "function" and "parameters" in known and "type" in place.node.value:
        return  # what is said about `type` holds for both
    elif "function" in known and key in OF_THE_API:
        hint = _("it belongs under `function`; indent it")
        if "function" not in place.node.value:
            if key != next(each for each in place.node.value if each in OF_THE_API):
                return  # what is said about the first one holds for all of them
            hint = _("put `name`, `description` and `parameters` under `function:`, indented")
    elif meant and meant not in place.node.value:
        hint = _("did you mean `{name}`?").format(name=meant)
    elif FUNCTION_ELSEWHERE.get(plain_name(key), key) in ("after", "when"):
        name = FUNCTION_ELSEWHERE.get(plain_name(key), key)
        hint = _("`{key}` stands in an item of `replies`: {line}").format(key=name, line=f"- {{{name}: …, returns: …}}")
    elif key == "name" and "parameters" in known:
        hint = _("the function's name is {name}; delete this line").format(name=place.name)
    else:
        hint = suggestion(key, known)
    yield Found("unknown-key", message, hint, key)


def no_function(error: Error, place: Place) -> Iterator[Found]:
    """A name under `tools` that is none of the service's tools, and whose value makes it no function."""
    name = str(place.path[-1])
    beside = place.parent.value if place.parent is not None else None
    if isinstance(beside, dict) and (len(beside) > 1 or name in RESERVED):
        return  # what is said about the keys beside it says enough
    value = error.instance
    if isinstance(value, dict) and value.get("type") == "function":
        return  # the unknown key says how a function of the API is written
    known = tuple(each for each in FUNCTION_KEYS if each != "description")
    if isinstance(value, dict) and any(meant_function_key(key, value[key], known) for key in value):
        return  # the unknown key says it already
    if isinstance(value, list):
        message = _("{name} is a mapping of keys and values, not a list").format(name=place.name)
        yield Found("wrong-type", message, written_function(name), span=place.heading)
        return
    described = value.get("description") if isinstance(value, dict) else value
    yield unknown_tool(name, place, described=described, span=place.heading)


def unknown_tool(name: str, place: Place, *, described: object = None, span: Span | None = None) -> Found:
    message = _("the service has no tool `{name}`").format(name=shortened(name))
    if near := nearest(name, (*BUILT_IN_TOOLS, "plugin")):
        return Found("unknown-tool", message, _("did you mean `{name}`?").format(name=near), span=span)
    hint = _("use one of {names}, or make it a function of yours:").format(names=listed(BUILT_IN_TOOLS))
    if place.path[-1:] == ("type",):
        hint = _("use one of {names}; a plug-in of yours is written:").format(names=listed(BUILT_IN_TOOLS))
        return Found("unknown-tool", message, f"{hint}\n- plugin: {inline(shortened(name))}", span=span)
    if name == "function":
        name = "get_order"
    return Found("unknown-tool", message, f"{hint}\n{function_lines(name, described)}", span=span)


def function_lines(name: str, described: object = None) -> str:
    """A function as an author would write it."""
    lines = [f"- {shortened(name)}:"]
    if described is not None and isinstance(described, str | int | float):
        lines.append(f"    description: {inline(shortened(str(described)))}")
    return "\n".join([*lines, "    parameters: {order_id: string}", "    returns: …"])


def written_function(name: str) -> str:
    return "\n".join((_("write:"), function_lines(name)))


def out_of_place(name: str, place: Place) -> Iterator[Found]:
    """A function's key where it cannot stand: among the settings of the service's tools, or in place of a name."""
    holder = place.node.value
    assert isinstance(holder, dict)
    owner = str(holder["type"].value) if "type" in holder else str(place.path[-1])
    if place.path[-1:] == ("function",):
        message = _("`{key}` says how calls are answered, which is not sent").format(key=name)
        yield Found("unknown-key", message, _("put it beside `function`, not below it"), name)
    elif owner in BUILT_IN_TOOLS:
        message = _("`{key}` is no setting of `{tool}`: the service answers its calls itself").format(key=name, tool=owner)
        yield Found("unknown-key", message, _("delete it, or give a function of yours another name"), name)
    elif "type" in holder or len(holder) > 1:
        return  # what is said about `type`, or about the second key, holds for all of it
    elif name == "function":
        yield without_type(place.name)
    else:
        message = _("`{key}` is a key of a function, and its name is missing").format(key=name)
        yield Found("unknown-key", message, write_below(f"- get_order:\n    {name}: …"), name)


def without_type(item: str) -> Found:
    message = _("{holder} has no `{key}`").format(holder=item, key="type")
    return Found("missing-key", message, write_below("- type: function\n  function: …"), "function")


def spread_out(holder: Mapping[str, Node], item: str) -> Found | None:
    """A function whose keys stand level with its name, or that is written like the API's without `type` and `function`."""
    first, second, *_more = holder
    if "function" in holder:
        return without_type(item)
    if "name" in holder and {*FUNCTION_KEYS} & holder.keys():
        name = holder["name"].value
        line = f"- {shortened(name) if isinstance(name, str) and name else 'get_order'}: {{description: …, returns: …}}"
        message = _("the name of a function stands in front of its keys")
        return Found("two-in-one-item", message, write(line), "name")
    if first in RESERVED or second not in (*FUNCTION_KEYS, "auth", "prompt_ra"):
        return None
    message = _("`{setting}` stands level with `{name}` instead of below it").format(setting=second, name=first)
    hint = "\n".join((_("indent it, and what belongs to it:"), f"- {first}:", f"    {second}: …"))
    return Found("not-indented", message, hint, second)


def bad_parameter(place: Place) -> Found:
    """What stands where the type of a parameter should."""
    name, value = str(place.path[-1]), place.node.plain
    words = listed((*TYPES, "optional string"))
    if isinstance(value, str):
        message = _("`{value}` is no type of a parameter").format(value=shortened(value))
        if meant := meant_type(value):
            return Found("not-in-list", message, write(f"{name}: {meant}"))
        return Found("not-in-list", message, _("use one of {names}, or a list of the allowed words").format(names=words))
    if value is None:
        return Found("missing-value", _("{name} has nothing after it").format(name=place.name), write(f"{name}: string"))
    message = _("{name} is a type or a list of words, not {actual}").format(
        name=place.name, actual=kind_words((kind_of(value),))
    )
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        meant = meant_type(value["type"])
        hint = write(f"{name}: {meant or 'string'}") + "\n"
        hint += _("or a whole JSON Schema: {line}").format(line=f"parameters: {{type: object, properties: {{{name}: …}}}}")
        return Found("wrong-type", message, hint)
    return Found("wrong-type", message, _("use one of {names}, or a list of the allowed words").format(names=words))


def meant_type(written: str) -> str | None:
    """The type that goes by another name, `optional` before or behind it."""
    name = plain_name(written)
    if re.search(r"\[\]$|\b(list|array)(_?of_|[\[<(])", name):
        return "list"
    bare = re.sub(r"^(optional|required)_|_(optional|required)$|\?$|_\(optional\)$", "", name)
    meant = TYPES_ELSEWHERE.get(bare) or nearest(bare, TYPES)
    optional = "optional" in name or name.endswith("?")
    return f"optional {meant}" if meant and optional else meant


def line_of_a_tool(key: str, actual: str, written: str, place: Place) -> str | None:
    """The line to write where a function, its answer or a sampled call is of the wrong kind."""
    value = place.node.plain
    if key == "parameters":
        named = names_in(value) if isinstance(value, list) else ()
        return write(f"parameters: {{{', '.join(f'{name}: string' for name in named) or 'order_id: string'}}}")
    if key == "when" and actual != "object":
        if isinstance(value, str) and (pair := re.fullmatch(r"(\w+): +(\S.*)", value)):
            return write(f"when: {{{pair[1]}: {pair[2]}}}")
        return _("name the argument: {line}").format(line=f"when: {{order_id: {written or '…'}}}")
    if key == "replies":
        line = f"- {written_keys(value)}" if isinstance(value, dict) and value else f"- returns: {written or '…'}"
        return write_below(f"replies:\n  {line}")
    if key == "function" and actual == "string":
        return write(f"function: {{name: {written}, parameters: {{…}}}}")
    if key == "calls" and place.path[-2:-1] == ("sample",) and isinstance(value, dict) and value:
        return write(f"calls: [{', '.join(f'{{{shortened(name)}: {{…}}}}' for name in islice(value, 3))}]")
    if "sample" in place.path and "calls" in place.path[-4:-1]:
        if actual == "array" and isinstance(place.path[-1], int):
            return _("a list of calls, or a list of such lists; not both")
        return _("name the argument: {line}").format(line=f"{shortened(key)}: {{order_id: {written or '…'}}}")
    if place.path[-2:-1] == ("replies",) and written:
        return write(f"- returns: {written}")
    return None


def names_in(items: Sequence[object]) -> tuple[str, ...]:
    """The names of parameters written as a list: texts, or mappings with a `name` or one key."""
    found = []
    for item in islice(items, 4):
        if isinstance(item, dict) and item:
            item = item.get("name", next(iter(item)))
        if isinstance(item, str) and re.fullmatch(r"\w{1,30}", item):
            found.append(item)
    return tuple(found)


def written_keys(value: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{shortened(key)}: …" for key in islice(value, 3)) + "}"


SENTENCES: Mapping[str, Sentence] = {
    "needs": no_function,
    "additionalProperties": unknown_key,
    "required": missing_key,
    "type": wrong_type,
    "anyOf": wrong_type,
    "enum": not_among,
    "not": refused,
    "minLength": too_small,
    "minItems": too_small,
    "minProperties": too_small,
    "maxLength": too_large,
    "maxItems": too_large,
    "maxProperties": too_large,
    "minimum": out_of_range,
    "maximum": out_of_range,
    "pattern": bad_notation,
    "format": bad_notation,
}
