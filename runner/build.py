"""Read a Document into a Flow, fast and strict; `validate` finds the words when this refuses.

A reader is compiled once for each annotation, so that it accepts exactly what the schema derived from it accepts.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from runner.diagnostics import Span
from runner.forms import Form, Scalar, branches, keys_of, split
from runner.model import (
    Answer,
    Asks,
    ByPython,
    Expectation,
    Fails,
    Flow,
    Function,
    Replies,
    Returns,
    Role,
    Sample,
    SampleCall,
    SeedMessage,
    Step,
    Tool,
)
from runner.registry import checks
from runner.schema import BUILT_IN_TOOLS, EXPECTATIONS, check_value
from runner.source import Node
from runner.values import dataclass
from runner.written import ANSWER_KEYS, RESERVED, ROUNDS, Parameters, ParameterType, WrittenFunction, short_schema
from runner.written import TYPES as PARAMETER_TYPES

__all__ = ["Building", "Reference", "Refused", "build"]


class Refused(Exception):
    """The document is no flow. Nothing is said here about why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A text with `${` in it. `place` is the top-level key it stands under; `step` counts from 1, 0 outside the steps."""

    node: Node
    place: str
    step: int
    substitutes: bool


@dataclass(slots=True)
class Building:
    """What is gathered while a flow is read."""

    references: list[Reference] = field(default_factory=list)
    place: str = ""
    step: int = 0
    verdicts: dict[Node, bool] | None = None
    """Which items of lists of checks were accepted before: kept by who asks again and again, and wants nothing else."""

    def refer(self, node: Node, substitutes: bool) -> None:
        self.references.append(Reference(node, self.place, self.step, substitutes))


Reader = Callable[[Node, Building], Any]


def build(root: Node) -> tuple[Flow, tuple[Reference, ...]]:
    """The flow a document states, and its texts with `${`; raise Refused when the schema does not accept it."""
    building = Building()
    flow: Flow = reader(Flow)(root, building)
    return flow, tuple(building.references)


@cache
def reader(annotation: Any) -> Reader:
    """The function that reads a node of this annotation."""
    base, form = split(annotation)
    members = tuple(member for member in branches(base) if member not in (None, NoneType))
    if len(members) > 1:
        return any_of(members)
    if members != (base,):
        return reader(members[0])
    if form.parse is not None:
        return parsed(base, form)
    if base == EXPECTATIONS:
        return read_expectations
    if base == ROUNDS:
        return read_rounds
    match get_origin(base):
        case None:
            return named(base, form)
        case origin if origin is tuple:
            return sequence(get_args(base)[0], form)
        case origin if origin is Literal:
            return among(get_args(base))
        case _:
            names, values = get_args(base)
            return free_mapping(names, values, form)


def named(base: Any, form: Form) -> Reader:
    if base is str:
        return text(form)
    if base is bool:
        return read_bool
    if base in (int, float):
        return number(base, form)
    if base is object:
        return read_spelled if form.spelled else read_anything
    if base in OWN_FORMS:
        return OWN_FORMS[base]
    if base is Step:
        return numbered(closed_mapping(Step))
    if base is Sample:
        return filled(closed_mapping(Sample))
    if is_dataclass(base):
        return closed_mapping(base)
    raise TypeError(f"no reader for {base!r}")


def any_of(members: tuple[Any, ...]) -> Reader:
    # A number is a number first, and a text only where no number is meant.
    readers = [reader(member) for member in sorted(members, key=lambda member: member is str)]

    def read(node: Node, building: Building) -> object:
        for each in readers:
            try:
                return each(node, building)
            except Refused:
                continue
        raise Refused

    return read


# ── scalars ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def spelled(node: Node) -> str:
    """A text as it was written; plain numbers and booleans keep their spelling."""
    value = node.value
    if type(value) is str:
        return value
    if value is None or type(value) in (list, dict):
        raise Refused
    return node.spelling


def text(form: Form) -> Reader:
    if form == Form():
        return read_text
    matches = re.compile(form.pattern).search if form.pattern else None
    shortest, longest = form.min_length or 0, form.max_length
    substitutes = form.substitutes

    def read(node: Node, building: Building) -> str:
        value = spelled(node)
        if type(node.value) is str:
            if len(value) < shortest or (longest is not None and len(value) > longest):
                raise Refused
            if matches and not matches(value):
                raise Refused
        elif matches:
            raise Refused
        if "${" in value:
            building.refer(node, substitutes)
        return value

    return read


def read_text(node: Node, building: Building) -> str:
    value = spelled(node)
    if "${" in value:
        building.refer(node, True)
    return value


def read_bool(node: Node, building: Building) -> bool:
    if type(node.value) is bool:
        return node.value
    raise Refused


def number(base: type, form: Form) -> Reader:
    low, high = form.minimum, form.maximum

    def read(node: Node, building: Building) -> int | float:
        value = node.value
        if type(value) is float:
            if not isfinite(value) or (base is int and not value.is_integer()):
                raise Refused
        elif type(value) is not int:
            raise Refused
        if (low is not None and value < low) or (high is not None and value > high):
            raise Refused
        return int(value) if base is int else value

    return read


def among(values: tuple[object, ...]) -> Reader:
    def read(node: Node, building: Building) -> object:
        if any(node.value == value and type(node.value) is type(value) for value in values):
            return node.value
        raise Refused

    return read


def parsed(base: Any, form: Form) -> Reader:
    """What has a notation of its own: `parse` gets the text, the number, or any plain value where the base is `object`."""
    parse = form.parse
    assert parse is not None
    raw = text(Form(min_length=form.min_length, max_length=form.max_length, substitutes=form.substitutes))
    matches = re.compile(form.pattern).search if form.pattern else None

    def read(node: Node, building: Building) -> object:
        value: Any = node.value
        if base is object:
            value = node.plain
        elif base is str or type(value) is str:
            value = raw(node, building)
        elif type(value) not in (int, float) or not isfinite(value):
            raise Refused
        if matches and type(node.value) is str and not matches(node.value):
            raise Refused
        try:
            return parse(value)
        except ValueError:
            raise Refused from None

    return read


def read_anything(node: Node, building: Building) -> object:
    value = node.value
    if type(value) is str:
        if "${" in value:
            building.refer(node, True)
        return value
    if type(value) is list:
        return [read_anything(item, building) for item in value]
    if type(value) is dict:
        return {key: read_anything(item, building) for key, item in value.items()}
    return value


def read_spelled(node: Node, building: Building) -> object:
    value: Any = node.value
    if type(value) is list:
        return [read_spelled(item, building) for item in value]
    if type(value) is dict:
        return {key: read_spelled(item, building) for key, item in value.items()}
    if type(value) is str:
        return read_anything(node, building)
    return Scalar(value, node.spelling)


# ── lists and mappings ───────────────────────────────────────────────────────────────────────────────────────────────


def sequence(item: Any, form: Form) -> Reader:
    read_item = reader(item)
    shortest, longest = form.min_length or 0, form.max_length

    def read(node: Node, building: Building) -> tuple[Any, ...]:
        items = node.value
        if type(items) is not list or len(items) < shortest or (longest is not None and len(items) > longest):
            raise Refused
        return tuple([read_item(each, building) for each in items])

    return read


def free_mapping(names: Any, values: Any, form: Form) -> Reader:
    read_value = reader(values)
    pattern = split(names)[1].pattern
    matches = re.compile(pattern).search if pattern else None
    fewest, most = form.min_length or 0, form.max_length

    def read(node: Node, building: Building) -> Mapping[str, Any]:
        entries = mapping(node)
        if len(entries) < fewest or (most is not None and len(entries) > most):
            raise Refused
        if matches and not all(matches(key) for key in entries):
            raise Refused
        return {key: read_value(value, building) for key, value in entries.items()}

    return read


def mapping(node: Node) -> dict[str, Node]:
    if type(node.value) is dict:
        return node.value
    raise Refused


def closed_mapping(kind: Any) -> Reader:
    """A dataclass: its keys and no others."""
    made = None
    unwritten = {each.name for each in fields(kind) if "doc" not in each.metadata}
    required = sum(key.required for key in keys_of(kind))

    def read(node: Node, building: Building) -> object:
        nonlocal made
        if made is None:  # compiled at first use: a type may hold itself
            made = {key.name: (key.field, reader(key.annotation), key.required) for key in keys_of(kind)}
        values: dict[str, Any] = {"span": node.span} if "span" in unwritten else {}
        if "order" in unwritten:
            values["order"] = tuple(mapping(node))
        missing = required
        top = kind is Flow
        for name, child in mapping(node).items():
            known = made.get(name)
            if known is None:
                raise Refused
            target, read_child, needed = known
            missing -= needed
            if top:
                building.place = name
            values[target] = read_child(child, building)
        if missing:
            raise Refused
        return kind(**values)

    return read


def numbered(read_step: Reader) -> Reader:
    def read(node: Node, building: Building) -> object:
        building.step += 1
        return read_step(node, building)

    return read


def filled(read_mapping: Reader) -> Reader:
    def read(node: Node, building: Building) -> object:
        if not mapping(node):
            raise Refused
        return read_mapping(node, building)

    return read


# ── the forms a dataclass cannot say ─────────────────────────────────────────────────────────────────────────────────


@cache
def check_reader(name: str) -> tuple[Callable[[Any], Any], Reader, bool]:
    """How to make the check, how to read its value, whether it needs one; raise Refused for an unknown name."""
    if name not in checks:
        raise Refused
    value = check_value(checks[name])
    valueless = all(branch in (None, NoneType) for branch in branches(value.annotation))
    return checks[name], refuse if valueless else reader(value.annotation), value.optional


def refuse(node: Node, building: Building) -> object:
    raise Refused


def read_check(name: str, key: Span, node: Node, building: Building) -> Expectation:
    make, read_value, optional = check_reader(name)
    if node.value is None and optional:
        return Expectation(name, make(), key, key)  # type: ignore[call-arg]
    return Expectation(name, make(read_value(node, building)), key, node.span, tuple(each.span for each in parts(node)))


def parts(node: Node) -> Iterable[Node]:
    """The items of a list, or the values of a mapping."""
    if type(node.value) is dict:
        return node.value.values()
    return node.value if type(node.value) is list else ()


def read_expectations(node: Node, building: Building) -> tuple[Expectation, ...]:
    if type(node.value) is dict:
        return read_checks(node, building)
    if type(node.value) is list:
        if not node.value:
            raise Refused
        if building.verdicts is not None:
            judge_items(node.value, building, building.verdicts)
            return ()
        return tuple([read_listed(item, building) for item in node.value])
    if node.value == "" or node.value in checks:
        raise Refused
    return (read_check("contains", node.span, node, building),)


def judge_items(items: list[Node], building: Building, verdicts: dict[Node, bool]) -> None:
    for item in items:
        if item not in verdicts:
            verdicts[item] = False
            read_listed(item, building)
            verdicts[item] = True
        if not verdicts[item]:
            raise Refused


def read_checks(node: Node, building: Building) -> tuple[Expectation, ...]:
    entries = mapping(node)
    if not entries:
        raise Refused
    return tuple([read_check(name, node.keys[name], value, building) for name, value in entries.items()])


def read_listed(node: Node, building: Building) -> Expectation:
    if type(node.value) is str:
        make, _, optional = check_reader(node.value)
        if not optional:
            raise Refused
        place = node.span
        return Expectation(node.value, make(), place, place)  # type: ignore[call-arg]
    if len(mapping(node)) != 1:
        raise Refused
    return read_checks(node, building)[0]


def read_tool(node: Node, building: Building) -> Tool:
    if type(node.value) is str:
        return Tool(built_in(node.value), span=node.span)
    entries = mapping(node)
    if "type" in entries:
        others = {key: value for key, value in entries.items() if key != "type"}
        if entries["type"].value == "function":
            return api_function(others, node.span, building)
        return tool(str(entries["type"].value), others, node.span, building)
    if len(entries) != 1:
        raise Refused
    name, value = next(iter(entries.items()))
    span = node.keys[name]
    if name == "plugin":
        return plugin(value, span, building)
    if name not in BUILT_IN_TOOLS:
        return function(name, value, span, building)
    if type(value.value) is dict:
        return tool(name, value.value, span, building)
    description = None if value.value is None else read_text(value, building)
    return Tool(name, description, span=span)


def tool(name: str, entries: dict[str, Node], span: Span, building: Building) -> Tool:
    settings = {}
    description = None
    for key, value in entries.items():
        if key in RESERVED or key == "plugin" or (key in ("auth", "prompt_ra") and type(value.value) is not dict):
            raise Refused
        if key == "description":
            description = read_text(value, building)
        else:
            settings[key] = read_anything(value, building)
    return Tool(built_in(name), description, settings or None, span=span)


def built_in(name: str) -> str:
    if name in BUILT_IN_TOOLS:
        return name
    raise Refused


def plugin(node: Node, span: Span, building: Building) -> Tool:
    entries = node.value if type(node.value) is dict else {"id": node}
    if not {"id"} <= entries.keys() <= {"id", "description", "auth"}:
        raise Refused
    id = literally(entries["id"], building)
    described, auth = entries.get("description"), entries.get("auth")
    if id == "function" or (auth and type(auth.value) is not dict):
        raise Refused
    description = read_text(described, building) if described else None
    return Tool(id, description, {"auth": read_anything(auth, building)} if auth else None, span=span)


literally = text(Form(min_length=1, substitutes=False))


# ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def function(name: str, node: Node, span: Span, building: Building) -> Tool:
    """A function in the short form; one that has neither parameters nor an answer is more likely a misspelt tool."""
    entries = mapping(node)
    if not name or name in RESERVED or entries.keys().isdisjoint(("parameters", *ANSWER_KEYS)):
        raise Refused
    read: WrittenFunction = reader(WrittenFunction)(node, building)
    declared: Any = read.parameters or short_schema({})
    return Tool("function", read.description, function=Function(name, declared, answer(entries, read)), span=span)


def api_function(entries: dict[str, Node], span: Span, building: Building) -> Tool:
    """A function as the API writes it: what is beside `function` says how its calls are answered."""
    answers = {key: value for key, value in entries.items() if key != "function"}
    if "function" not in entries or not answers.keys() <= set(ANSWER_KEYS):
        raise Refused
    told = entries["function"]
    inner = mapping(told)
    if "name" not in inner or any(key in RESERVED and key != "parameters" for key in inner):
        raise Refused
    own = {key: value for key, value in inner.items() if key in ("description", "parameters")}
    read: WrittenFunction = reader(WrittenFunction)(told.holding(own | answers), building)
    name = literally(inner["name"], building)
    settings = {key: read_anything(value, building) for key, value in inner.items() if key != "name" and key not in own}
    declared: Any = read.parameters or short_schema({})
    stated = Function(name, declared, answer(answers, read))
    return Tool("function", read.description, settings or None, stated, span)


def answer(entries: Mapping[str, Node], read: WrittenFunction) -> Answer | None:
    """Who answers the calls: the first of the keys; `lint` refuses a second one."""
    for key in entries:
        match key:
            case "returns":
                return Returns(read.returns)
            case "fails":
                return Fails(str(read.fails))
            case "replies":
                return Replies(read.replies or ())
            case "python" if read.python:
                return ByPython(read.python)
            case "http":
                return read.http
            case "ask":
                return read.ask
    return None


def read_asks(node: Node, building: Building) -> Asks:
    if node.value is None or node.value is True:
        return Asks()
    if node.value is False or node.value == "":
        raise Refused
    return Asks(read_text(node, building))


def read_parameters(node: Node, building: Building) -> Mapping[str, object]:
    """The JSON Schema of a function's parameters, in whichever form they are written."""
    entries = mapping(node)
    if "type" in entries and entries["type"].value == "object":
        return as_it_stands(node, building)
    return short_schema({name: read_parameter_type(value, building) for name, value in entries.items()})


def as_it_stands(node: Node, building: Building) -> dict[str, object]:
    """The plain value; names in it are not replaced."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if type(here.value) is str and "${" in here.value:
            building.refer(here, False)
        waiting += parts(here)
    return {key: value.plain for key, value in mapping(node).items()}


def read_parameter_type(node: Node, building: Building) -> str | list[str]:
    if type(node.value) is list and node.value:
        return [literally(item, building) for item in node.value]
    if type(node.value) is str and node.value.removeprefix("optional ") in PARAMETER_TYPES:
        return node.value
    raise Refused


def read_rounds(node: Node, building: Building) -> tuple[tuple[SampleCall, ...], ...]:
    """Calls made at once are one round; a list of lists is several."""
    if type(node.value) is not list or not node.value:
        raise Refused
    if type(node.value[0].value) is not list:
        return (read_round(node, building),)
    return tuple([read_round(each, building) for each in node.value])


def read_round(node: Node, building: Building) -> tuple[SampleCall, ...]:
    if type(node.value) is not list or not node.value:
        raise Refused
    return tuple([read_sample_call(each, building) for each in node.value])


def read_sample_call(node: Node, building: Building) -> SampleCall:
    if type(node.value) is str:
        return SampleCall(literally(node, building), {})
    entries = mapping(node)
    if len(entries) != 1:
        raise Refused
    name, value = next(iter(entries.items()))
    if not name:
        raise Refused
    if value.value is None:
        return SampleCall(name, {})
    return SampleCall(name, {key: read_spelled(each, building) for key, each in mapping(value).items()})


def read_seed_message(node: Node, building: Building) -> SeedMessage:
    entries = mapping(node)
    if len(entries) != 1:
        raise Refused
    role, value = next(iter(entries.items()))
    if role not in (Role.USER, Role.ASSISTANT) or value.value == "":
        raise Refused
    return SeedMessage(Role(role), read_text(value, building))


OWN_FORMS: Mapping[Any, Reader] = {
    Tool: read_tool,
    Asks: read_asks,
    Parameters: read_parameters,
    ParameterType: read_parameter_type,
    SampleCall: read_sample_call,
    SeedMessage: read_seed_message,
}
