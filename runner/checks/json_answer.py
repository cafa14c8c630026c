"""Judge an answer that is JSON: whether it is, what stands at a path, whether it fits a schema."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from functools import cache, lru_cache
from itertools import islice
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from runner.checks import matching
from runner.checks.allowance import Allowance, TookTooLong
from runner.checks.matching import BadPattern, find, trouble_with
from runner.checks.reader import answer, seen, shorten
from runner.diagnostics import Span
from runner.forms import branches, key, split
from runner.model import Check, Expectation, Outcome, Turn, Verdict
from runner.registry import check, checks
from runner.values import dataclass
from runner.words import _

__all__ = ["BadPath", "BadSchema", "JsonAnswer", "JsonSchema", "NotJson", "TooLarge", "read", "values_at"]

LARGEST = 1_000_000
"""The longest answer that is read as JSON, in characters."""
DEEPEST = 64
"""How deep its lists and mappings may stand within each other."""
LONGEST_PATH = 500

FENCE = r"(?ms)^[ \t]*```[ \t]*([^\n`]*)\n(.*?)^[ \t]*```"
LABELS = ("json", "")
"""What may stand after the marks of a fenced block that is read; the first is preferred."""
STRINGS = r'(?s)"(?:[^"\\]|\\.)*+"?'
QUOTED = r"'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\""

Problem = tuple[str, str, str | None]
NOWHERE = Span(0, 0, 0, 0)


class NotJson(Exception):
    """An answer that is not JSON; the message says why."""


class TooLarge(Exception):
    """JSON that is too long or too deep to be judged; the message says which."""


class BadPath(Exception):
    """A JSONPath that cannot be used; the message says why."""


class BadSchema(Exception):
    """A JSON Schema that cannot be used; the message says why."""


# ── reading the answer ───────────────────────────────────────────────────────────────────────────────────────────────


def read(text: str) -> object:
    """The JSON an answer is, or that stands in its first fenced block. Raise NotJson or TooLarge."""
    if len(text) > LARGEST:
        raise TooLarge(_("the reply is longer than {count} characters, too long to be read as JSON").format(count=LARGEST))
    labelled = ((label.strip().lower(), block) for label, block in re.findall(FENCE, text))
    blocks = sorted(((label, block) for label, block in labelled if label in LABELS), key=lambda pair: LABELS.index(pair[0]))
    text = (blocks[0][1] if blocks else text).strip("\ufeff \t\r\n")
    if depth(text) > DEEPEST:
        raise TooLarge(_("the reply's JSON is deeper than {count} levels").format(count=DEEPEST))
    return loaded(text)


def oversized(text: str) -> bool:
    """Whether a text is too long or too deep to be read as JSON."""
    return len(text) > LARGEST or depth(text) > DEEPEST


def loaded(text: str, **hooks: Any) -> object:
    """The JSON a text is; raise NotJson. `hooks` are those of `json.loads`."""
    try:
        return json.loads(text, parse_constant=no_number, **hooks)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise NotJson(_("{reason}, line {line}").format(reason=reason, line=error.lineno)) from None
    except ValueError:
        raise NotJson(_("it holds a number of thousands of digits")) from None


def no_number(name: str) -> object:
    raise NotJson(_("`{name}` is not a number in JSON").format(name=name))


def depth(text: str) -> int:
    deepest = level = 0
    for bracket in re.findall(r"[\[{\]}]", re.sub(STRINGS, "", text)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def environment() -> Any:
    """RFC 9535 and nothing more; its functions `match` and `search` are left out, since they cannot be stopped."""
    from jsonpath import JSONPathEnvironment

    found = JSONPathEnvironment(strict=True)
    for name in ("match", "search", "isinstance", "is", "typeof", "type", "startswith"):
        found.function_extensions.pop(name, None)
    return found


def compiled(path: str) -> Any:
    """The path, ready to use; raise BadPath."""
    from jsonpath import JSONPathError

    if not path.startswith("$"):
        raise BadPath(_("a path begins with `$`"))
    if len(path) > LONGEST_PATH:
        raise BadPath(_("this path has more than {count} characters").format(count=LONGEST_PATH))
    _before, _mark, condition = re.sub(QUOTED, "", path).partition("?")
    if "$" in condition or ".." in condition:
        raise BadPath(_("a condition in a path may look only at what it chooses among: `@.name`, without `$` and `..`"))
    try:
        return environment().compile(path)
    except (JSONPathError, RecursionError, ValueError, IndexError, KeyError) as error:
        raise BadPath(unreadable(error)) from None


def unreadable(error: Exception) -> str:
    """What the library says about a path, unless it speaks of its own insides."""
    token = getattr(error, "token", None)
    reason = str(error.args[0]) if error.args else ""
    if reason and "TOKEN" not in reason:
        return _("this path cannot be read: {reason}").format(reason=reason)
    if token is None:
        return _("this path cannot be read")
    return _("this path cannot be read at character {position}").format(position=token.index + 1)


def values_at(path: str, data: object, seconds: float | None = None, *, above: int = 0) -> tuple[object, ...]:
    """Everything in `data` that the JSONPath names, without its last `above` segments; raise BadPath or TookTooLong."""
    from jsonpath import JSONPathError, JSONPathMatch

    allowance = Allowance(matching.SECONDS if seconds is None else seconds)

    class Place(JSONPathMatch):
        """A place that costs time and remembers nothing of how it was reached."""

        __slots__ = ()

        def new_child(self, obj: object, key: int | str) -> JSONPathMatch:
            _left = allowance.left
            return Place(filter_context={}, obj=obj, parent=None, path="", parts=(), root=self.root)

        def add_child(self, *children: JSONPathMatch) -> None:
            """Nobody asks for them, and they would keep all places in memory."""

    places: Any = [Place(filter_context={}, obj=data, parent=None, path="", parts=(), root=data)]  # type: ignore[arg-type]
    segments = compiled(path).segments
    for segment in segments[: len(segments) - above]:
        places = segment.resolve(places)
    try:
        return tuple(place.obj for place in places)
    except (JSONPathError, RecursionError) as error:
        raise BadPath(_("this path cannot be followed: {reason}").format(reason=error)) from None


# ── expected values ──────────────────────────────────────────────────────────────────────────────────────────────────


def nested(expected: object) -> tuple[Expectation, ...] | None:
    """The checks an expected value is made of; None when it is a plain JSON value. Raise ValueError with a sentence."""
    if not isinstance(expected, dict) or not expected:
        return None
    if not all(isinstance(name, str) and name in checks and judges_text(name) for name in expected):
        return None
    return tuple(made(name, value) for name, value in expected.items())


def judges_text(name: str) -> bool:
    """Whether a check looks at nothing but a text, so that it can judge a value within JSON."""
    return getattr(checks[name], "of_text", False) is True


def made(name: str, value: object) -> Expectation:
    kind: Callable[[Any], Check] = checks[name]
    annotation = get_type_hints(kind, include_extras=True)["value"]
    if annotation == tuple[Expectation, ...]:
        parts = [nested(each) for each in (value if isinstance(value, list | tuple) else [value])]
        inner = [each for part in parts for each in part or ()]
        # One that is no check on a text must not be left out: what is left would pass without it.
        if not inner or None in parts:
            raise ValueError(_("`{check}` cannot have this value").format(check=name))
        return Expectation(name, kind(tuple(inner)), NOWHERE, NOWHERE)
    for branch in branches(annotation):
        base, form = split(branch)
        if isinstance(value, str | int | float) and form.parse is not None:
            return Expectation(name, kind(form.parse(value)), NOWHERE, NOWHERE)
        if (fitted := fit(base, value)) is not None:
            return Expectation(name, kind(fitted), NOWHERE, NOWHERE)
    raise ValueError(_("`{check}` cannot have this value").format(check=name))


def fit(base: Any, value: object) -> object | None:
    """A plain value as the text, list of texts, choice or dataclass a check asks for; None if it is none of these."""
    if base is str and isinstance(value, str | int | float):
        return value if isinstance(value, str) else json.dumps(value)
    if get_origin(base) is tuple and isinstance(value, list | tuple):
        return tuple(str(item) if isinstance(item, str) else json.dumps(item) for item in value)
    if value in get_args(base):
        return value
    if is_dataclass(base) and isinstance(base, type) and isinstance(value, dict):
        names = {each.name for each in fields(base)}
        return base(**value) if "text" in value and value.keys() <= names else None
    return None


def same(expected: object, found: object) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, but true is not 1 and "1" is not 1."""
    if isinstance(expected, bool) or isinstance(found, bool) or expected is None or found is None:
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return expected == found
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(same(expected[name], found[name]) for name in expected)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(map(same, expected, found))
    return isinstance(expected, str) and expected == found


def kind_of(value: object) -> str:
    if value is None:
        return _("null")
    if isinstance(value, bool):
        return _("true or false")
    if isinstance(value, int | float):
        return _("a number")
    if isinstance(value, str):
        return _("a text")
    return _("a list") if isinstance(value, list | tuple) else _("a mapping")


def spelled(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def text_of(value: object) -> str:
    """A value as the text that a check within JSON judges."""
    return value if isinstance(value, str) else spelled(value)


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON Schema that the answer fits."""

    schema: Mapping[str, object] = key(
        "A JSON Schema; draft 2020-12 unless `$schema` names another, `$ref` only within it",
        {"type": "object", "required": ["total"]},
    )


ALLOWANCE: ContextVar[Allowance] = ContextVar("ALLOWANCE")
"""The time for what is being judged: a validator of jsonschema, which makes others of its kind, has no room for it."""


@cache
def bounded(base: Any) -> Any:
    """The class of validators like one of jsonschema's that search within bounds and stop when the time is used up."""
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    def fits(pattern: str, text: str) -> bool:
        return find(pattern, text, ALLOWANCE.get().left) is not None

    def pattern(validator: Any, expected: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "string") and not fits(expected, instance):
            yield ValidationError(_("it does not match `{pattern}`").format(pattern=expected))

    def by_pattern(validator: Any, expected: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
        if validator.is_type(instance, "object"):
            for each, subschema in expected.items():
                for name, value in instance.items():
                    if fits(each, name):
                        yield from validator.descend(value, subschema, path=name, schema_path=each)

    def additional(validator: Any, expected: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not validator.is_type(instance, "object"):
            return
        for name, value in instance.items():
            if name in schema.get("properties", {}) or any(fits(each, name) for each in schema.get("patternProperties", {})):
                continue
            if expected is False:
                yield ValidationError(_("it has the key `{key}`, which is not allowed").format(key=shorten(name)))
            else:
                yield from validator.descend(value, expected, path=name)

    def unique(validator: Any, expected: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if expected and validator.is_type(instance, "array"):
            spellings = {json.dumps(normal(item), sort_keys=True) for item in instance}
            if len(spellings) < len(instance):
                yield ValidationError(_("it has an item twice"))

    def metered(judge: Any) -> Any:
        def judge_in_time(*arguments: Any) -> Iterator[ValidationError]:
            _left = ALLOWANCE.get().left
            yield from judge(*arguments) or ()

        return judge_in_time

    own = {"pattern": pattern, "patternProperties": by_pattern, "additionalProperties": additional, "uniqueItems": unique}
    keywords = {name: metered(judge) for name, judge in (dict(base.VALIDATORS) | own).items()}
    return extend(base, keywords)  # type: ignore[no-untyped-call]


def normal(value: Any) -> Any:
    """The value with 1.0 written as 1, as JSON Schema compares."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [normal(item) for item in value]
    return {name: normal(item) for name, item in value.items()} if isinstance(value, dict) else value


def judge_schema(schema: Mapping[str, object], data: object) -> Verdict:
    expected = shorten(spelled(schema))
    try:
        found = misfit(schema, data)
    except BadSchema as error:
        return Verdict(Outcome.ERROR, str(error), expected)
    except TookTooLong:
        message = _("`json` took longer than {seconds} s; the schema is too costly for this reply")
        return Verdict(Outcome.ERROR, message.format(seconds=f"{matching.SECONDS:g}"), expected)
    if found is None:
        return Verdict(Outcome.PASSED, expected=expected, actual=shorten(spelled(data)))
    place = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found.absolute_path)
    message = _("the reply's JSON does not fit the schema at `{place}`: {reason}").format(
        place=shorten(place), reason=shorten(found.message)
    )
    return Verdict(Outcome.FAILED, message, expected, shorten(spelled(found.instance)))


def misfit(schema: Mapping[str, object], data: object) -> Any:
    """The first thing in which `data` does not fit, an error of jsonschema, or None; raise BadSchema or TookTooLong. Nothing
    that the schema refers to is fetched."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, UnknownType, best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not usable(spelled(schema)):
        for _code, message, _hint in schema_trouble(schema):
            raise BadSchema(message)
    ALLOWANCE.set(Allowance(matching.SECONDS))
    try:
        validator = bounded(validator_for(schema, default=Draft202012Validator))(schema, registry=Registry())
        return best_match(islice(validator.iter_errors(data), 1))
    except (BadPattern, SchemaError, UnknownType, Unresolvable, ValueError, ArithmeticError, RecursionError) as error:
        raise BadSchema(schema_error(error)) from None


@lru_cache(maxsize=100)
def usable(schema: str) -> bool:
    """Whether this is the JSON of a schema. Much the same few schemas judge every answer and every call of a run."""
    return not any(schema_trouble(json.loads(schema)))


def schema_error(error: Exception) -> str:
    from referencing.exceptions import Unresolvable

    if isinstance(error, BadPattern):
        return str(error)
    if isinstance(error, Unresolvable):
        return _("the schema refers to `{name}`, which is not in it; nothing is fetched").format(name=shorten(str(error.ref)))
    if isinstance(error, RecursionError):
        return _("the schema refers to itself without end")
    return _("the schema cannot be used: {reason}").format(reason=shorten(str(getattr(error, "message", error))))


def schema_trouble(schema: Mapping[str, object]) -> Iterator[Problem]:
    """What makes this no schema: code, message, hint."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not schema:
        yield "never-fails", _("this schema is empty, so any JSON fits it"), _("write what the JSON must have, or only `json`")
        return
    for pattern in patterns_of(schema):
        for code, message, hint in trouble_with(pattern):
            if code == "bad-pattern":
                yield code, message, None if hint is None else _("patterns in a schema have the same bounds as `matches`")
    if mentions(schema, "unevaluatedProperties") and mentions(schema, "patternProperties"):
        yield "bad-schema", _("`unevaluatedProperties` beside `patternProperties` is not supported"), None
        return
    try:
        base: Any = validator_for(schema, default=Draft202012Validator)
        base.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        value = shorten(spelled(error.instance))
        message = _("this is not a JSON Schema: `{value}`").format(value=value)
        if place := ".".join(map(str, error.absolute_path)):
            message = _("`{value}` cannot stand at `{place}` in a JSON Schema").format(value=value, place=place)
        yield "bad-schema", message, None
    except (RecursionError, TypeError, ValueError) as error:
        yield "bad-schema", _("this is not a JSON Schema: {reason}").format(reason=shorten(str(error))), None


def written_trouble(schema: Mapping[str, object]) -> Iterator[Problem]:
    """What is wrong with a schema in a file: code, message, hint. All that it refers to must stand in it and have an end."""
    found = list(schema_trouble(schema))
    yield from found or reference_trouble(schema)


def reference_trouble(schema: Mapping[str, object]) -> Iterator[Problem]:
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if mentions(schema, "$id"):
        return  # a part with an address of its own changes where others lead
    written = dict.fromkeys(references_in(schema))
    if not written:
        return
    resource: Any = Resource.from_contents(schema, default_specification=DRAFT202012)
    # Crawled at once: else each look crawls all of it.
    resolver: Any = Registry().with_resource("", resource).crawl().resolver()
    ended: set[str] = set()
    for reference in written:
        way: dict[str, None] = {}
        following: object = reference
        while isinstance(following, str) and following not in ended:
            if following in way:
                yield "bad-schema", _("the schema refers to itself without end"), None
                break
            way[following] = None
            try:
                found = resolver.lookup(following).contents
            except (Unresolvable, ValueError):
                message = _("the schema refers to `{name}`, which is not in it; nothing is fetched")
                yield "bad-schema", message.format(name=shorten(following)), _("write it out here")
                break
            following = found.get("$ref") if isinstance(found, Mapping) else None
        ended.update(way)


def references_in(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from references_in(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from references_in(inner)


def patterns_of(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), Mapping):
            yield from map(str, schema["patternProperties"])
        for inner in schema.values():
            yield from patterns_of(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from patterns_of(inner)


def mentions(schema: object, keyword: str) -> bool:
    if isinstance(schema, Mapping):
        return keyword in schema or any(mentions(inner, keyword) for inner in schema.values())
    return isinstance(schema, list | tuple) and any(mentions(inner, keyword) for inner in schema)


# ── the check ────────────────────────────────────────────────────────────────────────────────────────────────────────


@check("json")
@dataclass(frozen=True, slots=True)
class JsonAnswer:
    r"""The reply is JSON: all of it, or its first fenced block. With paths, these values stand there; with `schema`, it fits.

    A path is a JSONPath (RFC 9535) and stands in quotes. Its value is compared as JSON, so `1` is `1.0` but not `"1"`; or it
    is a mapping of checks on a text, which judge the value's text. Where a path names several places, a list is compared with
    all of them and anything else must fit one.

    ```yaml
    expect:
      - json
      - json: {'$.status': shipped, '$.items[0].price': 12.5}
      - json: {'$.order': {matches: '^\d{4}$'}}
      - json: {schema: {type: object, required: [status]}}
    ```
    """

    name: ClassVar[str]
    compiles: ClassVar[bool] = True
    value: JsonSchema | Mapping[str, object] | None = None

    def evaluate(self, turn: Turn) -> Verdict:
        shown = seen(turn.text)
        try:
            data = read(turn.text)
        except NotJson as error:
            message = _("the reply is not JSON: {reason}").format(reason=error) if shown else _("the reply is not JSON")
            return Verdict(Outcome.FAILED, message, "JSON", answer(shown))
        except TooLarge as error:
            return Verdict(Outcome.ERROR, str(error), "JSON", answer(shown))
        if isinstance(self.value, JsonSchema):
            return judge_schema(self.value.schema, data)
        verdict = Verdict(Outcome.PASSED, expected="JSON", actual=shorten(spelled(data)))
        for part, (path, expected) in enumerate((self.value or {}).items()):
            verdict = judge_path(path, expected, data)
            if verdict.outcome is not Outcome.PASSED:
                return replace(verdict, part=part)
        return verdict

    def problems(self) -> Iterator[Problem]:
        if self.value is None:
            return
        if isinstance(self.value, JsonSchema):
            yield from written_trouble(self.value.schema)
            return
        if not self.value:
            yield "never-fails", _("no path is named"), _("write `'$.path': value`, or only `json`")
        for path, expected in self.value.items():
            yield from path_trouble(path, expected)


def path_trouble(path: str, expected: object) -> Iterator[Problem]:
    try:
        compiled(path)
    except BadPath as error:
        hint = _("write it like `'$.items[0].price'`")
        yield "bad-path", _("`{path}`: {reason}").format(path=shorten(path), reason=error), hint
    try:
        inner = nested(expected)
    except ValueError as error:
        yield "bad-path", _("`{path}`: {reason}").format(path=path, reason=error), None
        return
    if names_in_pattern(expected):
        yield "bad-pattern", _("`${name}` cannot stand in a pattern within `json`"), _("use `contains` or `equals` there")
    for each in inner or ():
        problems: Callable[[], Iterator[Problem]] | None = getattr(each.check, "problems", None)
        if problems is not None:
            yield from problems()


def names_in_pattern(expected: object) -> bool:
    """Whether a value would be put into a regular expression as it is; only the check itself can keep it literal."""
    if isinstance(expected, list | tuple):
        return any(map(names_in_pattern, expected))
    if not isinstance(expected, Mapping):
        return False
    return "${" in str(expected.get("matches", "")) or any(map(names_in_pattern, expected.values()))


def judge_path(path: str, expected: object, data: object) -> Verdict:
    written = shorten(spelled(expected))
    try:
        found = values_at(path, data)
        inner = nested(expected)
    except (BadPath, ValueError) as error:
        return Verdict(Outcome.ERROR, _("`{path}`: {reason}").format(path=path, reason=error), written)
    except TookTooLong:
        return Verdict(Outcome.ERROR, _("`{path}` names too many places to be judged in time").format(path=path), written)
    if not found:
        message = _("the reply's JSON has nothing at `{path}`").format(path=path)
        return Verdict(Outcome.FAILED, message, written, shorten(spelled(nearest_above(path, data))))
    single = compiled(path).singular_query()
    if inner is None and isinstance(expected, list | tuple) and not single:
        found = (list(found),)
    judged = [judge_value(path, expected, inner, value) for value in islice(found, 1000)]
    best = next((verdict for verdict in judged if verdict.outcome is not Outcome.FAILED), judged[0])
    if best.outcome is Outcome.FAILED and len(judged) > 1:
        message = _("none of the {count} values at `{path}` fits").format(count=len(found), path=path)
        return Verdict(Outcome.FAILED, message, written, shorten(spelled(list(found[:20]))))
    return best


def nearest_above(path: str, data: object) -> object:
    """What the answer holds where the path still led somewhere."""
    for above in range(1, len(compiled(path).segments)):
        try:
            if found := values_at(path, data, above=above):
                return found[0]
        except (BadPath, TookTooLong):
            break
    return data


def judge_value(path: str, expected: object, inner: tuple[Expectation, ...] | None, value: object) -> Verdict:
    """Compare one value, or let checks judge its text; the verdict has no place of its own in the file."""
    if inner is not None:
        verdict = Verdict(Outcome.PASSED)
        for each in inner:
            verdict = replace(each.check.evaluate(Turn(text_of(value))), at=None, part=None)
            if verdict.outcome is not Outcome.PASSED:
                message = _("at `{path}`, `{check}`: {message}").format(path=path, check=each.name, message=verdict.message)
                return replace(verdict, message=message)
        return verdict
    written, actual = shorten(spelled(expected)), shorten(spelled(value))
    if same(expected, value):
        return Verdict(Outcome.PASSED, expected=written, actual=actual)
    message = _("the value at `{path}` is another").format(path=path)
    if kind_of(value) != kind_of(expected):
        message = _("the value at `{path}` is {found}, expected is {expected}").format(
            path=path, found=kind_of(value), expected=kind_of(expected)
        )
    return Verdict(Outcome.FAILED, message, written, actual)
