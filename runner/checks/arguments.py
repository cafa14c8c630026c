"""Read, write and compare the arguments of a tool's call: as an author writes them, and as a model sends them."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite

from runner.checks.allowance import TookTooLong
from runner.checks.json_answer import (
    DEEPEST,
    LARGEST,
    BadSchema,
    NotJson,
    depth,
    judges_text,
    kind_of,
    loaded,
    misfit,
    names_in_pattern,
    nested,
    same,
    spelled,
    text_of,
)
from runner.checks.reader import shorten
from runner.forms import Scalar, Value
from runner.model import Expectation, Outcome, Turn
from runner.registry import checks
from runner.values import dataclass
from runner.words import _, listed, nearest

__all__ = [
    "Difference",
    "difference",
    "differences",
    "dumps",
    "fault",
    "plain",
    "read",
    "trouble",
    "troubles",
    "typed",
    "written",
]

NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
"""A number as JSON spells it."""
MOST_NAMES = 100
"""Among so many names a misspelt one is looked for."""
MOST_SCHEMAS = 200
"""As many are looked at for one value, through references and alternatives."""
ALTERNATIVES: Mapping[str, Callable[[Iterable[bool]], bool]] = {"anyOf": any, "oneOf": any, "allOf": all}
"""Keywords with a list of schemas, and how many of them must fit."""

Problem = tuple[str, str, str | None]
Where = tuple[str | int, ...]
"""Which part of a value, as keys and indices lead to it."""
Schema = Mapping[str, object]


# ── what an author writes ────────────────────────────────────────────────────────────────────────────────────────────


def plain(value: object) -> object:
    """The value as JSON has it: a Scalar is its number, truth value or null."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def dumps(value: object) -> str:
    """The value as JSON on one line. A number keeps the author's spelling: 1.10 is not 1.1."""
    if isinstance(value, Scalar):
        number = type(value.value) in (int, float)
        return value.spelling if number and re.fullmatch(NUMBER, value.spelling) else dumps(value.value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dumps(str(name))}: {dumps(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dumps, value)) + "]"
    if isinstance(value, float) and not isfinite(value):
        return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isascii() and lone(value), default=str)


def lone(text: str) -> bool:
    """Whether a text holds half a character, which UTF-8 cannot say."""
    return re.search("[\ud800-\udfff]", text) is not None


def typed(value: object, schema: Schema | None) -> object:
    """The value as JSON, its numbers, words and texts read as the type that the schema declares for them."""
    return declared(value, schema or {}, schema or {})


def declared(value: object, schema: object, root: Schema) -> object:
    known = tuple(meant(schema, root))
    if isinstance(value, Mapping):
        return {str(name): declared(inner, property_of(str(name), known), root) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [declared(item, item_of(known), root) for item in value]
    if isinstance(value, Scalar):
        spelling = () if value.value is None else (value.spelling,)
        return next((each for each in (value.value, *spelling) if possible(each, schema, root)), in_doubt(value, known))
    if isinstance(value, str) and not possible(value, schema, root):
        return next((each for each in unquoted(value) if possible(each, schema, root)), value)
    return value


def in_doubt(value: Scalar, known: tuple[Schema, ...]) -> object:
    """What a plain word or number is where neither it nor its spelling can stand."""
    return value.spelling if value.value is not None and "string" in types_of(known) else value.value


def written(expected: Mapping[str, Value], schema: Schema | None) -> str:
    """Expected arguments as JSON, for people: with the declared types, checks among them as they stand in the file."""
    known, root = tuple(meant(schema, schema or {})), schema or {}
    shown = {
        name: value if isinstance(value, Mapping) else declared(value, property_of(str(name), known), root)
        for name, value in expected.items()
    }
    return shorten(dumps(shown))


def unquoted(text: str) -> Iterator[object]:
    """The number or truth value that a text spells, if it does."""
    if text in ("true", "false"):
        yield text == "true"
    elif re.fullmatch(NUMBER, text) and isfinite(float(text)):
        yield json.loads(text)


def meant(schema: object, root: Schema) -> Iterator[Schema]:
    """A schema and those it refers to or offers as alternatives; references within `root` only."""
    waiting, seen = [schema], 0
    while waiting and seen < MOST_SCHEMAS:
        each = waiting.pop(0)
        seen += 1
        if not isinstance(each, Mapping):
            continue
        yield each
        for name in ALTERNATIVES:
            members = each.get(name)
            waiting += members if isinstance(members, list | tuple) else ()
        if isinstance(each.get("$ref"), str):
            waiting.append(referred(str(each["$ref"]), root))


def referred(reference: str, root: Schema) -> object:
    found: object = root
    mark, *names = reference.split("/")
    for name in names:
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if mark == "#" else None


def item_of(known: tuple[Schema, ...]) -> object:
    """What the items of a list are; nothing is known where each place has a schema of its own."""
    if any("prefixItems" in each for each in known):
        return {}
    return next((each["items"] for each in known if "items" in each), {})


def types_of(known: tuple[Schema, ...]) -> frozenset[str]:
    found: list[object] = []
    for each in known:
        types = each.get("type", ())
        found += types if isinstance(types, list | tuple) else [types]
    return frozenset(each for each in found if isinstance(each, str))


def choices_of(known: tuple[Schema, ...]) -> tuple[object, ...]:
    """The values among which the schemas let choose; none when any will do."""
    found: list[object] = []
    for each in known:
        among = each.get("enum")
        found += among if isinstance(among, list | tuple) else ()
        found += [each["const"]] if "const" in each else ()
    return tuple(found)


def property_of(name: str, known: tuple[Schema, ...]) -> object:
    for each in known:
        properties = each.get("properties")
        if isinstance(properties, Mapping) and name in properties:
            return properties[name]
    return next((each["additionalProperties"] for each in known if "additionalProperties" in each), {})


def properties_of(known: tuple[Schema, ...]) -> frozenset[str]:
    """The names of an object's declared properties."""
    found: list[object] = []
    for each in known:
        properties = each.get("properties")
        found += properties if isinstance(properties, Mapping) else ()
    return frozenset(map(str, found))


def possible(value: object, schema: object, root: Schema, looks: Iterator[int] | None = None) -> bool:
    """Whether a value is of the type and among the choices that a schema declares; what else it says is not looked at."""
    looks = iter(range(MOST_SCHEMAS)) if looks is None else looks
    if not isinstance(schema, Mapping) or next(looks, None) is None:
        return True
    choices = choices_of((schema,))
    if not fits(value, types_of((schema,))) or (choices and not any(same(choice, value) for choice in choices)):
        return False
    reference = schema.get("$ref")
    if isinstance(reference, str) and not possible(value, referred(reference, root), root, looks):
        return False
    for name, enough in ALTERNATIVES.items():
        members = schema.get(name)
        if isinstance(members, list | tuple) and not enough(possible(value, each, root, looks) for each in members):
            return False
    return True


def fits(value: object, types: frozenset[str]) -> bool:
    """Whether a value is of one of the JSON types; none named means any."""
    return not types or bool(type_names(value) & types)


def type_names(value: object) -> frozenset[str]:
    """The JSON types a value is of."""
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        return frozenset({"number", "integer"} if isinstance(value, int) or value.is_integer() else {"number"})
    if isinstance(value, str):
        return frozenset({"string"})
    return frozenset({"object"} if isinstance(value, Mapping) else {"array"})


# ── what a model sends ───────────────────────────────────────────────────────────────────────────────────────────────


def read(text: str) -> dict[str, object]:
    """The arguments a model sent; none is an empty text. Raise ValueError with a sentence for what is not a JSON object."""
    if not text.strip():
        return {}
    if len(text) > LARGEST:
        raise ValueError(_("the arguments are longer than {count} characters").format(count=LARGEST))
    if depth(text) > DEEPEST:
        raise ValueError(_("the arguments are deeper than {count} levels").format(count=DEEPEST))
    try:
        found = loaded(text, object_pairs_hook=unique, parse_float=finite)
    except NotJson as error:
        raise ValueError(_("the arguments are not JSON: {reason}").format(reason=error)) from None
    if not isinstance(found, dict):
        raise ValueError(_("the arguments are {found}, not a mapping").format(found=kind_of(found)))
    return found


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise NotJson(_("it has the key `{key}` twice").format(key=shorten(name)))
        found[name] = value
    return found


def finite(spelling: str) -> float:
    number = float(spelling)
    if not isfinite(number):
        raise NotJson(_("`{number}` is too large a number").format(number=shorten(spelling)))
    return number


def fault(text: str, parameters: Schema) -> str:
    """Why the arguments a model sent do not fit the declared parameters, in a sentence; empty when they fit."""
    try:
        found = read(text)
    except ValueError as error:
        return str(error)
    try:
        wrong = misfit(parameters, found) if parameters else None
    except BadSchema as error:
        return _("the declared parameters cannot be used: {reason}").format(reason=error)
    except TookTooLong:
        return _("comparing the arguments with the declared parameters took too long")
    if wrong is None:
        return ""
    # A misspelt name is also a missing one; the slip says more.
    if wrong.validator in ("additionalProperties", "required") and (slip := misnamed(wrong.instance, wrong.schema)):
        return no_argument(slip, wrong.schema, place(wrong.absolute_path))
    return said(str(wrong.validator), wrong.validator_value, wrong.instance, place(wrong.absolute_path), wrong.message)


def place(path: Iterable[str | int]) -> str:
    """`to.stops[0]`: where in the arguments something stands."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def misnamed(found: object, schema: Schema) -> str | None:
    """The first key of a mapping that the schema does not allow."""
    if not isinstance(found, Mapping) or not unknown("", (schema,)):
        return None
    return next((str(name) for name in found if unknown(str(name), (schema,))), None)


def no_argument(name: str, schema: Schema, above: str) -> str:
    message = _("no argument `{name}` is declared").format(name=shorten(f"{above}.{name}" if above else name))
    close = nearest(name, sorted(properties_of((schema,)))[:MOST_NAMES])
    return message + _("; did you mean `{name}`?").format(name=close) if close else message


def said(keyword: str, wanted: object, found: object, name: str, message: str) -> str:
    """What a keyword of a schema has against a value, in a sentence."""
    if keyword == "required" and isinstance(wanted, list | tuple) and isinstance(found, Mapping):
        missing = (f"{name}.{key}" if name else str(key) for key in wanted if key not in found)
        return _("`{name}` is missing").format(name=shorten(next(missing, "")))
    name = shorten(name)
    actual = shorten(spelled(found))
    if keyword == "type":
        types = listed(wanted if isinstance(wanted, list | tuple) else [str(wanted)])
        return _("`{name}` is {found}, declared is {types}").format(name=name, found=actual, types=types)
    if keyword == "enum" and isinstance(wanted, list | tuple):
        allowed = shorten(", ".join(map(dumps, wanted)))
        return _("`{name}` is {found}, declared is one of {types}").format(name=name, found=actual, types=allowed)
    return _("`{name}`: {reason}").format(name=name, reason=shorten(message)) if name else shorten(message)


# ── comparing the two ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Difference:
    """An argument that is not as expected. `name` leads to it (`to.city`); `actual` is None when it is missing."""

    name: str
    expected: str
    actual: str | None
    reason: str = ""
    """What a check within the expected value says."""
    judged: bool = True
    """False when the expected value itself cannot be used, and `reason` says why."""

    def __str__(self) -> str:
        name = shorten(self.name)
        if self.reason:
            return _("`{name}`: {reason}").format(name=name, reason=self.reason)
        if self.actual is None:
            return _("`{name}` is missing").format(name=name)
        return _("`{name}` is {found}, expected is {expected}").format(name=name, found=self.actual, expected=self.expected)


def difference(expected: Mapping[str, Value], actual: Mapping[str, object], schema: Schema | None) -> str:
    """The first argument that is not as expected, in a sentence; empty when all that are expected are there.

    Others may be there, too, in mappings within as well. An expected value may be a mapping of checks on a text.
    """
    return next(map(str, differences(expected, actual, schema)), "")


def differences(expected: Mapping[str, Value], actual: Mapping[str, object], schema: Schema | None) -> Iterator[Difference]:
    """Every argument that is not as expected, in the author's order."""
    yield from compared("", expected, actual, schema or {}, schema or {})


def compared(name: str, expected: object, actual: object, schema: object, root: Schema) -> Iterator[Difference]:
    known = tuple(meant(schema, root))
    if name and isinstance(expected, Mapping):
        try:
            inner = checks_in(expected, known)
        except ValueError as error:
            yield Difference(name, shorten(dumps(expected)), shorten(spelled(actual)), str(error), judged=False)
            return
        if inner is not None:
            yield from judged(name, inner, actual)
            return
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            path = f"{name}.{key}" if name else str(key)
            if key in actual:
                yield from compared(path, value, actual[key], property_of(str(key), known), root)
            else:
                yield Difference(path, shorten(dumps(value)), None)
        return
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple) and len(expected) == len(actual):
        items = item_of(known)
        for at, (value, found) in enumerate(zip(expected, actual, strict=True)):
            yield from compared(f"{name}[{at}]", value, found, items, root)
        return
    wanted = declared(expected, schema, root)
    if isinstance(expected, Scalar) and isinstance(actual, str) and not types_of(known) and not choices_of(known):
        wanted = expected.spelling  # nothing is declared, so what was called with decides what was meant
    if not same(wanted, actual):
        yield Difference(name, shorten(dumps(wanted)), shorten(spelled(actual)))


def judged(name: str, inner: tuple[Expectation, ...], actual: object) -> Iterator[Difference]:
    for each in inner:
        verdict = each.check.evaluate(Turn(text_of(actual)))
        if verdict.outcome is not Outcome.PASSED:
            reason = _("`{check}`: {message}").format(check=each.name, message=verdict.message)
            yield Difference(name, verdict.expected, shorten(spelled(actual)), reason, verdict.outcome is Outcome.FAILED)


def checks_in(expected: Mapping[str, object], known: tuple[Schema, ...]) -> tuple[Expectation, ...] | None:
    """The checks an expected value is made of; None when its keys are those of a declared object."""
    return None if properties_of(known) & expected.keys() else nested(as_text(expected))


def as_text(value: object) -> object:
    """The value of a check as it was written."""
    if isinstance(value, Scalar):
        return value.value if value.value is None else value.spelling
    if isinstance(value, Mapping):
        return {str(name): as_text(inner) for name, inner in value.items()}
    return [as_text(item) for item in value] if isinstance(value, list | tuple) else value


# ── what can be said before anything is sent ─────────────────────────────────────────────────────────────────────────


def trouble(expected: Mapping[str, Value], schema: Schema | None) -> Iterator[Problem]:
    """What is wrong with expected arguments: names that are not declared, values that cannot be, checks that are not right."""
    return (found for _where, found in troubles(expected, schema))


def troubles(expected: Mapping[str, Value], schema: Schema | None) -> Iterator[tuple[Where, Problem]]:
    """The same, each with the part of the arguments it is about."""
    yield from amiss((), expected, schema or {}, schema or {})


def amiss(where: Where, expected: object, schema: object, root: Schema) -> Iterator[tuple[Where, Problem]]:
    known = tuple(meant(schema, root))
    name = place(where)
    if name and isinstance(expected, Mapping):
        try:
            inner = checks_in(expected, known)
        except ValueError as error:
            yield where, ("bad-value", _("`{name}`: {reason}").format(name=name, reason=error), None)
            return
        if inner is not None:
            yield from ((where, found) for found in amiss_within(expected, inner))
            return
    value = declared(expected, schema, root)
    # A text with a name in it may become anything.
    if name and not (isinstance(expected, str) and "${" in expected) and not possible(value, schema, root):
        yield where, ("impossible", cannot_be(name, value, known), meant_check(expected) or meant_value(name, value, known))
    elif isinstance(expected, Mapping):
        for key, inner_value in expected.items():
            inside = (*where, str(key))
            if unknown(str(key), known):
                yield inside, undeclared(str(key), place(inside), known)
            else:
                yield from amiss(inside, inner_value, property_of(str(key), known), root)
    elif isinstance(expected, list | tuple):
        for at, item in enumerate(expected):
            yield from amiss((*where, at), item, item_of(known), root)


def meant_check(expected: object) -> str | None:
    """What to write for the first key of a mapping that is nearly a check's name."""
    known = sorted(name for name in checks if judges_text(name))
    keys = islice(expected, MOST_NAMES) if isinstance(expected, Mapping) else ()
    close = next((near for key in keys if key not in known and (near := nearest(str(key), known))), None)
    return _("did you mean `{name}`?").format(name=close) if close else None


def meant_value(name: str, value: object, known: tuple[Schema, ...]) -> str | None:
    """The line with the number that a text begins with, or the truth value it is a word for, where such is declared."""
    if not isinstance(value, str) or choices_of(known):
        return None
    meant: str | None = None
    if "boolean" in types_of(known):
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.casefold())
    elif types_of(known) & {"number", "integer"} and (number := re.match(rf"[^\w-]?({NUMBER})(?![\w.,])\D*\Z", value)):
        meant = number[1]
    return _("write: {line}").format(line=f"{name.rpartition('.')[2]}: {meant}") if meant else None


def amiss_within(expected: Mapping[str, object], inner: tuple[Expectation, ...]) -> Iterator[Problem]:
    if names_in_pattern(expected):
        yield "bad-pattern", _("`${name}` cannot stand in a pattern here"), _("use `contains` or `equals` there")
    for each in inner:
        problems = getattr(each.check, "problems", None)
        yield from problems() if problems is not None else ()


def cannot_be(name: str, value: object, known: tuple[Schema, ...]) -> str:
    written = shorten(dumps(value))
    if among := choices_of(known):
        allowed = shorten(", ".join(map(dumps, among)))
        return _("`{name}` is declared as one of {allowed}, so it is never {value}").format(
            name=name, allowed=allowed, value=written
        )
    types = listed(sorted(types_of(known)))
    return _("`{name}` is declared as {types}, so it is never {value}").format(name=name, types=types, value=written)


def unknown(name: str, known: tuple[Schema, ...]) -> bool:
    """Whether the schemas name an object's properties, and this one is not among them."""
    if any(each.get("additionalProperties") not in (None, False) or "patternProperties" in each for each in known):
        return False
    return any("properties" in each for each in known) and name not in properties_of(known)


def undeclared(name: str, path: str, known: tuple[Schema, ...]) -> Problem:
    names = sorted(properties_of(known))
    hint = _("it has no arguments")
    if close := nearest(name, names[:MOST_NAMES]):
        hint = _("did you mean `{name}`?").format(name=close)
    elif names:
        hint = _("use one of: {names}").format(names=listed(names))
    return "unknown-argument", _("no argument `{name}` is declared").format(name=path), hint
