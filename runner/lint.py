"""Find what a schema cannot say: a name that nothing defines, a check that cannot fail, a conversation that cannot begin."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Protocol

from runner.build import Reference
from runner.diagnostics import Diagnostic, Severity, Span
from runner.forms import keys_of, parts_of
from runner.model import Check, Expectation, Flow, Function, Replies, Role, RunOverrides, SampleCall, Step, Tool
from runner.registry import checks
from runner.source import MAX_FINDINGS, Node
from runner.values import dataclass
from runner.variables import environment_name, names, valid
from runner.words import _, listed, nearest
from runner.written import ANSWER_KEYS, OPTIONAL, TYPES, property_of

__all__ = ["Sources", "lint", "tool_names"]

MAX_PAIRS, MAX_NAME, MAX_TEXT = 16, 64, 512
"""Of metadata; the service refuses more."""


MAX_COMPILED = 100_000
"""Characters of patterns, paths and schemas in one file: compiling them takes a thousand times as long as reading them."""
LEAST_COMPILED = 30
"""Each counts for as many, however short it is."""
MOST_NAMES = 100
"""Among so many names a misspelt one is looked for."""
MOST_JUDGED = 20
"""Sampled calls compared with a JSON Schema, each of which may take a while."""
MOST_WRITTEN = 5
"""Tools are named in a line to write."""
NO_CALL = ("none", "no", "nothing", "never", "false", "0")
SOME_CALL = ("any", "some", "yes", "true")
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every service takes for a function's name."""
ELSEWHERE = frozenset(("$ref", "allOf", "anyOf", "oneOf", "patternProperties", "if"))
"""Keywords of JSON Schema that may declare properties, too."""
OF_A_NAME = ("unknown-argument", "tool-not-offered")
"""What is said of a key, not of its value."""
OF_A_RUN = frozenset(key.name for key in keys_of(RunOverrides))


Problem = tuple[str, str, str | None]
"""Code, message and hint."""
Where = tuple[str | int, ...]
"""Which part of a value, as keys and indices lead to it."""


class Sources(Protocol):
    """The files a flow was made of; `runner.load.Sources`."""

    root: Node

    def path_of(self, node: Node) -> str: ...
    def lines(self, path: str) -> Sequence[str]: ...


def lint(
    flow: Flow,
    references: Sequence[Reference],
    sources: Sources,
    *,
    require_checks: bool = False,
    environment: Collection[str] = (),
) -> Iterator[Diagnostic]:
    """Everything wrong or odd with a flow that the schema accepts, in no order."""
    root = sources.root.value
    assert isinstance(root, dict)
    yield from islice(Linter(flow, sources, root, frozenset(environment)).findings(references, require_checks), MAX_FINDINGS)


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of an assistant, as far as the file tells; of an existing one it tells only how some calls are answered."""

    names: Mapping[str, None]
    functions: Mapping[str, Function]
    schemas: Mapping[str, Mapping[str, object]]
    """The JSON Schema of each function's arguments."""
    complete: bool
    largest: Mapping[str, object]
    """The schema with the most names."""

    @classmethod
    def of(cls, tools: Sequence[Tool], complete: bool = True) -> "Offer":
        functions = {tool.name: tool.function for tool in tools if tool.function}
        schemas = {name: function.parameters for name, function in functions.items()}
        largest = max(schemas.values(), key=lambda schema: len(str(schema)), default={})
        return cls(dict.fromkeys(tool.name for tool in tools), functions, schemas, complete, largest)

    def lacks(self, name: str) -> bool:
        return self.complete and name not in self.names


class Linter:
    """One pass over a flow beside the nodes it was built from."""

    def __init__(self, flow: Flow, sources: Sources, root: dict[str, Node], environment: frozenset[str]) -> None:
        self.flow = flow
        self.sources = sources
        self.root = root
        self.environment = environment
        self.left_alone = tool_names(flow)
        self.room = MAX_COMPILED
        self.judged = 0
        rows = flow.cases if isinstance(flow.cases, tuple) else ()
        self.columns = dict.fromkeys(column for row in rows for column in row)
        self.declared = dict.fromkeys((*(flow.variables or {}), *self.columns))
        self.saved_at: dict[tuple[str, bool], int] = {}
        """Where each name is first saved: by any step, and by one that is not skipped."""
        for number, step in enumerate(flow.steps, 1):
            for name in step.save or ():
                self.saved_at.setdefault((name, True), number)
                if step.skip is None:
                    self.saved_at.setdefault((name, False), number)

    def findings(self, references: Sequence[Reference], require_checks: bool) -> Iterator[Diagnostic]:
        yield from self.assistant()
        if self.flow.thread is not None:
            yield from self.thread()
        if self.flow.repeat is not None or self.flow.retries:
            yield from self.attempts()
        yield from self.steps(require_checks)
        if self.flow.expect:
            yield from self.expectations(self.flow.expect, Offer.of(self.flow.tools, self.flow.assistant.id is None))
        if self.declared:
            yield from self.cases(references)
        if references:
            yield from self.variables(references)

    def report(
        self, code: str, message: str, node: Node, hint: str | None = None, *, span: Span | None = None, warning: bool = False
    ) -> Diagnostic:
        severity = Severity.WARNING if warning else Severity.ERROR
        return Diagnostic(code, message, self.sources.path_of(node), span or node.span, hint=hint, severity=severity)

    def at_key(
        self, code: str, message: str, holder: Node, key: str, hint: str | None = None, *, warning: bool = False
    ) -> Diagnostic:
        assert isinstance(holder.value, dict)
        node = holder.value[key]
        return self.report(code, message, node, hint, span=holder.keys[key], warning=warning)

    # ── who answers, and how the conversation begins ─────────────────────────────────────────────────────────────────

    def assistant(self) -> Iterator[Diagnostic]:
        node = self.root["assistant"]
        assistant = self.flow.assistant
        assert isinstance(node.value, dict)
        if assistant.id is not None:
            for key in node.value:
                if key not in ("id", "tools"):
                    message = _("`{key}` cannot be set: the assistant exists, and is never changed").format(key=key)
                    hint = _("delete it, or set it for one step under `run`") if key in OF_A_RUN else _("delete it")
                    yield self.at_key("existing-assistant", message, node, key, hint)
        elif assistant.model is None:
            message = _("`assistant` has no `model`")
            hint = _("write: {line}").format(line="model: qwen-max")
            yield self.report("missing-model", message, node, hint, span=self.root_key("assistant"))
        if assistant.metadata:
            yield from self.metadata(node.value["metadata"])
        for key in ("id", "model"):
            if key in node.value and not str(node.value[key].value).strip():
                yield self.report("empty-value", _("`{key}` is empty").format(key=key), node.value[key], _("write a name"))
        yield from self.tools(assistant.tools, self.listed(node, "tools"))

    def root_key(self, key: str) -> Span:
        return self.sources.root.keys[key]

    def listed(self, holder: Node, key: str) -> list[Node]:
        if not isinstance(holder.value, dict) or key not in holder.value:
            return []
        items = holder.value[key].value
        return items if isinstance(items, list) else []

    def metadata(self, node: Node) -> Iterator[Diagnostic]:
        assert isinstance(node.value, dict)
        if len(node.value) > MAX_PAIRS:
            message = _("`metadata` holds {count} entries; the service keeps {most}").format(
                count=len(node.value), most=MAX_PAIRS
            )
            key = list(node.value)[MAX_PAIRS]
            yield self.at_key("metadata-limit", message, node, key, _("delete some"))
        for key, value in node.value.items():
            if len(key) > MAX_NAME:
                message = _("this name is {count} characters long; the service keeps {most}").format(
                    count=len(key), most=MAX_NAME
                )
                yield self.at_key("metadata-limit", message, node, key, _("shorten it"))
            if len(value.spelling) > MAX_TEXT:
                count = len(value.spelling)
                message = _("this text is {count} characters long; the service keeps {most}").format(count=count, most=MAX_TEXT)
                yield self.report("metadata-limit", message, value, _("shorten it"))

    def thread(self) -> Iterator[Diagnostic]:
        node = self.root["thread"]
        thread = self.flow.thread
        assert thread is not None
        assert isinstance(node.value, dict)
        if thread.id is not None:
            for key in node.value:
                if key != "id":
                    message = _("`{key}` cannot be set: the thread exists already").format(key=key)
                    yield self.at_key(
                        "existing-thread", message, node, key, _("delete it, or delete `id` to begin a new thread")
                    )
            if self.flow.repeat or self.flow.retries or (isinstance(self.flow.cases, tuple) and len(self.flow.cases) > 1):
                message = _("several conversations take place in this thread, and each finds there what was said before")
                hint = _("delete `id`, so that each begins with a new thread")
                yield self.at_key("existing-thread", message, node, "id", hint, warning=True)
        if thread.metadata:
            yield from self.metadata(node.value["metadata"])

    def attempts(self) -> Iterator[Diagnostic]:
        """What is said of how often the conversation is played."""
        repeat, retries = self.flow.repeat, self.flow.retries
        if repeat is not None and retries:
            message = _("`retries` and `repeat` exclude each other")
            hint = _("keep one: `repeat` plays it {times} times in any case, `retries` again only when it did not pass").format(
                times=repeat.times
            )
            later = max("retries", "repeat", key=lambda key: self.root_key(key))
            yield self.at_key("repeat-and-retries", message, self.sources.root, later, hint)
        if repeat is not None and repeat.pass_ > repeat.times:
            message = _("{needed} of {times} cannot pass").format(needed=repeat.pass_, times=repeat.times)
            hint = _("write: {line}").format(line=f"pass: {repeat.times}")
            yield self.report("impossible", message, self.child(self.root["repeat"], "pass"), hint)

    # ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────

    def steps(self, require_checks: bool) -> Iterator[Diagnostic]:
        nodes = self.listed(self.sources.root, "steps")
        last = len(nodes)
        called: dict[str, int] = {}
        usual = Offer.of(self.flow.assistant.tools, self.flow.assistant.id is None)
        for number, (step, node) in enumerate(zip(self.flow.steps, nodes, strict=True), 1):
            if step.user is None:
                yield from self.silent(number, node)
            if not step.expect and step.skip is None and not (number == last and self.flow.expect):
                yield self.unchecked(node, require_checks)
            offer = Offer.of(step.run.tools) if step.run and step.run.tools is not None else usual
            if step.run and step.run.tools:
                yield from self.tools(step.run.tools, self.listed(self.child(node, "run"), "tools"))
            yield from self.expectations(step.expect, offer)
            yield from self.sampled(step, node, offer)
            yield from self.saved(step, node)
            if step.name is not None:
                if step.name in called:
                    message = _("step {number} has this name, too").format(number=called[step.name])
                    yield self.report(
                        "duplicate-step-name", message, self.child(node, "name"), _("give each step a name of its own")
                    )
                called.setdefault(step.name, number)
            if step.skip is not None and isinstance(self.child(node, "skip").value, bool):
                message = _("`skip` takes the reason, so `{word}` skips the step, too").format(word=step.skip)
                yield self.report("skip-reason", message, self.child(node, "skip"), _("write why it is left out, or delete it"))
            if step.continue_ and number == last:
                message = _("no step follows, so `continue` changes nothing")
                yield self.at_key("useless-continue", message, node, "continue", _("delete it"), warning=True)
        if all(step.skip is not None for step in self.flow.steps):
            message = _("every step is skipped, so nothing is checked")
            yield self.report("all-skipped", message, self.child(nodes[0], "skip"), _("take `skip` off one step"), warning=True)

    def child(self, holder: Node, key: str) -> Node:
        assert isinstance(holder.value, dict)
        return holder.value[key]

    def silent(self, number: int, node: Node) -> Iterator[Diagnostic]:
        """A step in which the user says nothing."""
        thread = self.flow.thread
        seeded = thread is not None and (
            thread.id is not None or bool(thread.messages and thread.messages[-1].role is Role.USER)
        )
        if number == 1 and seeded:
            return
        if number == 1 and thread is not None and thread.messages:
            message = _("step 1 has no `user`, and `thread.messages` ends with the assistant")
        else:
            message = _("step {number} has no `user`").format(number=number)
        yield self.report("no-user-message", message, node, _("write: {line}").format(line="user: …"), span=opening(node))

    def unchecked(self, node: Node, require_checks: bool) -> Diagnostic:
        message = _("this step checks nothing")
        hint = _("add what the answer must be: `expect: …`")
        return self.report("no-check", message, node, hint, span=opening(node), warning=not require_checks)

    def saved(self, step: Step, node: Node) -> Iterator[Diagnostic]:
        if not step.save:
            return
        save = self.child(node, "save")
        for name, value in step.save.items():
            entry = self.child(save, name)
            if (value.matches is None) == (value.json is None):
                message = _("`{name}` needs either `matches` or `json`").format(name=name)
                yield self.at_key(
                    "save-one-of", message, save, name, _("write: {line}").format(line=rf"{name}: {{matches: '#(\d+)'}}")
                )
            if name in self.declared or name in self.left_alone:
                message = _("`{name}` is a variable already").format(name=name)
                yield self.at_key("shadowed-name", message, save, name, _("save it under another name"))
            if value.matches is not None and "matches" in checks and "${" not in value.matches:
                pattern = self.child(entry, "matches")
                yield from self.problems(checks["matches"], value.matches, pattern, ("never-fails",))

    def problems(self, kind: type, value: object, node: Node, except_for: Collection[str]) -> Iterator[Diagnostic]:
        check = kind(value)
        for _where, (code, message, hint) in self.asked(check):
            if code not in except_for:
                yield self.report(code, message, node, hint)

    def asked(self, check: Check) -> Iterator[tuple[Where, Problem]]:
        """What a check says against its own value; too many that must be compiled for it are refused."""
        if not hasattr(check, "problems"):
            return
        if getattr(check, "compiles", False):
            room = self.room
            if not self.affords(getattr(check, "value", "")):
                yield from (((), found) for found in self.too_much(room))
                return
        yield from check.located() if hasattr(check, "located") else (((), found) for found in check.problems())

    def affords(self, compiled: object, schema: Mapping[str, object] | None = None) -> bool:
        """Whether there is still room for what must be compiled, or compared with a schema's names."""
        properties = (schema or {}).get("properties")
        names = len(properties) if isinstance(properties, Mapping) else 0
        self.room -= max(LEAST_COMPILED, len(str(compiled)), names)
        return self.room >= 0

    def too_much(self, room: int) -> Iterator[tuple[str, str, str | None]]:
        """Said once, when the room that there was has just been used up."""
        if room >= 0:
            message = _("the patterns, paths and schemas up to here are longer than {most} characters")
            yield "too-large", message.format(most=f"{MAX_COMPILED:,}"), _("split it into several files")

    # ── the checks ───────────────────────────────────────────────────────────────────────────────────────────────────

    def expectations(self, expectations: Sequence[Expectation], offer: Offer, negated: bool = False) -> Iterator[Diagnostic]:
        for each in expectations:
            check = each.check
            inner = getattr(check, "value", None)
            if isinstance(inner, tuple) and inner and isinstance(inner[0], Expectation):
                yield from self.expectations(inner, offer, negated != (each.name == "not"))
                continue
            for where, found in self.asked(check):
                yield self.at(found, each, where)
            if hasattr(check, "tools"):
                wanted = check.named() if hasattr(check, "named") else dict.fromkeys(check.tools(), ())
                yield from self.offered(each, wanted, offer, negated)
            if hasattr(check, "problems_with"):
                room = self.room
                compares = getattr(check, "compiles", False)
                room_left = not compares or self.affords("", offer.largest)
                too_much = (((), found) for found in self.too_much(room))
                for where, found in check.problems_with(offer.schemas) if room_left else too_much:
                    yield self.at(found, each, where)

    def at(self, problem: Problem, each: Expectation, where: Where) -> Diagnostic:
        """A finding about a part of a check's value, or all of it."""
        code, message, hint = problem
        span = each.span
        if where and (node := node_at(self.sources.root, span)):
            span = part_of(node, where, code in OF_A_NAME)
        return Diagnostic(code, message, self.sources.path_of(self.sources.root), span, hint=hint)

    def offered(self, each: Expectation, wanted: Mapping[str, Where], offer: Offer, negated: bool) -> Iterator[Diagnostic]:
        for name, where in wanted.items():
            if offer.lacks(name):
                hint = other_calls(name, offer.names) if each.name == "calls" else None
                hint = hint or self.way_to_offer(name, offer.names)
                yield self.at(("tool-not-offered", not_offered(name, negated), hint), each, where)

    def way_to_offer(self, name: str, known: Collection[str]) -> str:
        if near := nearest(name, islice(known, MOST_NAMES)):
            return _("did you mean `{name}`?").format(name=near)
        if known:
            return _("add it under `tools`, or use one of {names}").format(names=listed(known))
        return _("add it to the assistant: `tools: [{name}]`").format(name=name)

    # ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tools(self, tools: Sequence[Tool], nodes: Sequence[Node]) -> Iterator[Diagnostic]:
        seen: set[str] = set()
        for tool, node in zip(tools, nodes, strict=True):
            if tool.name in seen:
                message = _("the tool `{name}` is listed twice").format(name=tool.name)
                hint = _("give one of the two another name") if tool.function else _("keep one of the two")
                yield self.report("tool-twice", message, node, hint, span=tool.span)
            seen.add(tool.name)
            if tool.function is not None:
                yield from self.function(tool.function, node)

    def function(self, function: Function, node: Node) -> Iterator[Diagnostic]:
        answers, told = function_nodes(node)
        assert isinstance(answers.value, dict)
        assert isinstance(told.value, dict)
        name = function.name
        place = told.keys["name"] if answers is not told else node.keys[function.name]
        if not FUNCTION_NAME.fullmatch(function.name):
            message = _("services refuse `{name}` as a function's name").format(name=name)
            hint = _("use up to 64 letters from a to z, digits, `_` and `-`")
            if FUNCTION_NAME.fullmatch(better := re.sub(r"[ .]+", "_", function.name.strip())):
                hint = _("write: {line}").format(line=better)
            yield self.report("function-name", message, told, hint, span=place, warning=True)
        given = [key for key in answers.value if key in ANSWER_KEYS]
        if not given:
            message = _("nothing answers the calls of `{name}`, so a call of it ends the step with an error").format(name=name)
            yield self.report(
                "unanswered-function", message, told, _("write: {line}").format(line="returns: …"), span=place, warning=True
            )
        yield from self.empty(answers)
        for key in given[1:]:
            message = _("`{first}` answers the calls of `{name}` already").format(first=given[0], name=name)
            yield self.at_key("one-answer", message, answers, key, _("keep one of the two"))
        if "parameters" in told.value and is_full(told.value["parameters"]):
            yield from self.schema(function, told.value["parameters"])
        elif "parameters" in told.value:
            yield from self.types(told.value["parameters"])
        if isinstance(function.answer, Replies):
            yield from self.replies(function, function.answer, answers.value["replies"])

    def empty(self, holder: Node) -> Iterator[Diagnostic]:
        """`returns:` with nothing behind it, which would be sent as `null`."""
        assert isinstance(holder.value, dict)
        if "returns" in holder.value and (given := holder.value["returns"]).value is None and not given.spelling:
            message = _("{name} has nothing after it").format(name="`returns`")
            hint = _("write its value after the colon, or delete the key")
            yield self.at_key("missing-value", message, holder, "returns", hint)

    def types(self, parameters: Node) -> Iterator[Diagnostic]:
        """`[string]`: one allowed word, where a list of texts is meant; and a name with no letter."""
        assert isinstance(parameters.value, dict)
        for name, kind in parameters.value.items():
            if not name.strip():
                message = _("{name} is empty").format(name=_("an item of `{key}`").format(key="parameters"))
                yield self.at_key("empty-value", message, parameters, name, _("write a name"))
            if isinstance(kind.value, list) and len(kind.value) == 1 and kind.value[0].value in TYPES:
                message = _("`{value}` is no type of a parameter").format(value=f"[{kind.value[0].value}]")
                yield self.report("not-in-list", message, kind, _("write: {line}").format(line=f"{name}: list"))

    def needed(self, parameters: Mapping[str, object], node: Node) -> Iterator[Diagnostic]:
        """Names that a schema requires and that are none of its properties."""
        properties, required = parameters.get("properties"), parameters.get("required")
        if not isinstance(properties, Mapping) or not isinstance(required, list) or parameters.keys() & ELSEWHERE:
            return
        for number, name in enumerate(required):
            if isinstance(name, str) and name not in properties:
                near = nearest(name, islice(map(str, properties), MOST_NAMES))
                hint = _("did you mean `{name}`?").format(name=near) if near else None
                message = _("no argument `{name}` is declared").format(name=name)
                yield self.report("unknown-argument", message, node, hint, span=part_of(node, ("required", number), False))

    def schema(self, function: Function, node: Node) -> Iterator[Diagnostic]:
        """What makes a function's parameters no JSON Schema."""
        from runner.checks.json_answer import written_trouble

        room = self.room
        if not self.affords(function.parameters):
            for code, message, hint in self.too_much(room):
                yield self.report(code, message, node, hint, span=opening(node))
            return
        for name, kind in function.parameters.items():
            if name not in ("type", "title", "description") and is_short(kind):
                message = _("`{name}` is no keyword of JSON Schema").format(name=name)
                hint = _("delete `type: object` and write the names alone, or put them under `properties`")
                yield self.at_key("bad-schema", message, node, name, hint)
        yield from self.needed(function.parameters, node)
        for code, message, what in written_trouble(function.parameters):
            yield self.report(code, message, node, what or short_property(function.parameters), span=opening(node))

    def replies(self, function: Function, replies: Replies, node: Node) -> Iterator[Diagnostic]:
        from runner.checks.arguments import troubles

        assert isinstance(node.value, list)
        for entry, item in zip(replies.entries, node.value, strict=True):
            assert isinstance(item.value, dict)
            yield from self.empty(item)
            stated = [key for key in ("returns", "fails") if key in item.value]
            if len(stated) != 1:
                message = _("a reply needs either `returns` or `fails`")
                if stated:
                    message = _("a reply either `returns` or `fails`, not both")
                hint = _("keep one of the two") if stated else _("write: {line}").format(line="returns: …")
                yield self.report("one-answer", message, item, hint, span=opening(item))
            if entry.when:
                room = self.room
                room_left = self.affords(entry.when, function.parameters)
                when = item.value["when"]
                found = list(troubles(entry.when, function.parameters)) if room_left else []
                for where, (code, message, what) in found:
                    yield self.report(code, message, when, what, span=part_of(when, where, code in OF_A_NAME))
                for code, message, what in self.never(function, entry.when) if room_left else self.too_much(room):
                    if not found:
                        yield self.report(code, message, when, what)

    def never(self, function: Function, when: Mapping[str, object]) -> Iterator[tuple[str, str, str | None]]:
        """Why no call that fits the parameters has such arguments. Mappings are not judged: they may be checks, or parts."""
        from runner.checks.arguments import dumps, fault, typed
        from runner.checks.json_answer import written_trouble

        values = {
            name: value for name, value in when.items() if not isinstance(value, list | Mapping) and "${" not in str(value)
        }
        if not values or is_simple(function.parameters):
            return
        self.judged += 1
        if self.judged > MOST_JUDGED or any(written_trouble(function.parameters)):
            return
        kept = ("$schema", "$defs", "definitions", "properties")
        schema = {"type": "object"} | {key: value for key, value in function.parameters.items() if key in kept}
        if reason := fault(dumps(typed(values, function.parameters)), schema):
            yield (
                "impossible",
                _("the arguments of `{tool}` do not fit: {reason}").format(tool=function.name, reason=reason),
                None,
            )

    def sampled(self, step: Step, node: Node, offer: Offer) -> Iterator[Diagnostic]:
        """The calls of a step's sample: of tools that are offered, with arguments that fit."""
        if step.sample is None or isinstance(step.sample, str) or not step.sample.calls:
            return
        items = self.listed(self.child(node, "sample"), "calls")
        if len(step.sample.calls) > 1 or isinstance(items[0].value, list):
            items = [item for each in items if isinstance(each.value, list) for item in each.value]
        for call, item in zip(chain.from_iterable(step.sample.calls), items, strict=True):
            if offer.lacks(call.name):
                hint = self.way_to_offer(call.name, offer.names)
                yield self.report("tool-not-offered", not_offered(call.name), item, hint, span=opening(item))
            elif function := offer.functions.get(call.name):
                for where, (code, message, what) in self.unfit(call, function):
                    span = part_of(item, where, code in OF_A_NAME) if where else opening(item)
                    yield self.report(code, message, item, what, span=span)

    def unfit(self, call: SampleCall, function: Function) -> Iterator[tuple[Where, Problem]]:
        """Why the arguments of a sampled call are not what the function declares."""
        from runner.checks.arguments import dumps, fault, troubles, typed

        room_left = self.affords(call.arguments, function.parameters)
        wrong = list(troubles(call.arguments, function.parameters)) if room_left else []
        yield from (((call.name, *where), found) for where, found in wrong)
        required = function.parameters.get("required")
        missing = [name for name in required if name not in call.arguments] if isinstance(required, list) else []
        if missing and not wrong:
            message = _("`{tool}` needs the argument `{name}`").format(tool=call.name, name=missing[0])
            hint = _("write: {line}").format(line=f"{call.name}: {{{missing[0]}: …}}")
            yield (), ("sample-arguments", message, hint)
        elif not wrong and not is_simple(function.parameters) and "${" not in str(call.arguments):
            self.judged += 1
            if self.judged <= MOST_JUDGED and (
                reason := fault(dumps(typed(call.arguments, function.parameters)), function.parameters)
            ):
                message = _("the arguments of `{tool}` do not fit: {reason}").format(tool=call.name, reason=reason)
                yield (), ("sample-arguments", message, None)

    # ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cases(self, references: Sequence[Reference]) -> Iterator[Diagnostic]:
        used = {name for reference in references for name in names(reference.node.spelling)}
        defaults = self.flow.variables or {}
        for name in defaults:
            if name in self.left_alone:
                message = _("`{name}` belongs to the tool `rag`, which fills it in itself").format(name=name)
                yield self.at_key("shadowed-name", message, self.root["variables"], name, _("give the variable another name"))
        rows = self.flow.cases if isinstance(self.flow.cases, tuple) else ()
        if "cases" in self.root and not rows:
            yield self.report(
                "empty-value", _("`cases` is empty"), self.root["cases"], _("write one `- name: value` for each conversation")
            )
        known = tuple(dict.fromkeys((*defaults, *used)))
        needed = tuple(column for column in self.columns if column not in defaults and column in used)
        for row, node in zip(rows, self.listed(self.sources.root, "cases"), strict=False):
            if missing := [column for column in needed if column not in row]:
                message = _("this row has no `{name}`").format(name=missing[0])
                hint = _("add it, or give it a default under `variables`")
                yield self.report("missing-column", message, node, hint, span=opening(node))
            for column in row:
                if column not in defaults and column not in used:
                    message = _("nothing uses `{name}`").format(name=column)
                    yield self.unused(node, column, message, known)

    def unused(self, row: Node, column: str, message: str, known: Sequence[str]) -> Diagnostic:
        near = nearest(column, islice(known, MOST_NAMES))
        hint = (
            _("did you mean `{name}`?").format(name=near)
            if near
            else _("write `{name}` where it belongs, or delete it").format(name=f"${{{column}}}")
        )
        if row.places and column in row.places:
            return self.at_key("unused-column", message, row, column, hint, warning=True)
        path = self.sources.path_of(row)
        header = self.sources.lines(path)[0]
        start = header.find(column) + 1 or 1
        return Diagnostic(
            "unused-column", message, path, Span(1, start, 1, start + len(column)), hint=hint, severity=Severity.WARNING
        )

    def variables(self, references: Sequence[Reference]) -> Iterator[Diagnostic]:
        for reference in references:
            for name in names(reference.node.spelling):
                if found := self.wrong(name, reference):
                    message, code, hint = found
                    yield self.report(code, message, reference.node, hint, span=self.place_of(name, reference.node))
            if reference.substitutes and (unclosed := re.search(r"(?<!\$)\$\{[^{}]*(?:[\n{]|$)", reference.node.spelling)):
                message = _("`${` is not closed with `}`")
                hint = _("write `${name}`, or `$${` for these two characters themselves")
                yield self.report(
                    "unclosed-variable", message, reference.node, hint, span=self.place_of("", reference.node, unclosed[0])
                )

    def wrong(self, name: str, reference: Reference) -> tuple[str, str, str | None] | None:
        """Message, code and hint about one use of a name."""
        if name in self.left_alone:
            return None
        written = f"${{{name}}}"
        if not reference.substitutes or reference.place in ("variables", "cases"):
            if reference.place == "cases" and self.sources.path_of(reference.node) != self.sources.path_of(self.sources.root):
                return None  # rows of a CSV file are data
            message = _("`{variable}` is not replaced here").format(variable=written)
            hint = _("write the text itself")
            if reference.substitutes:
                hint = _("write the text itself; for these characters as they stand, `$${text}`").format(text=f"{{{name}}}")
            return message, "no-substitution", hint
        if (wanted := environment_name(name)) is not None:
            if wanted in self.environment:
                return None
            message = _("the environment variable `{name}` is not allowed in texts").format(name=wanted)
            hint = _("use a variable, and give its value with `--var`; or list the name under `env` in runflow.toml")
            return message, "environment-not-allowed", hint
        if self.is_known(name, reference):
            return None
        return _("`{name}` is not defined here").format(name=name), "undefined-variable", self.define(name, reference)

    def is_known(self, name: str, reference: Reference) -> bool:
        if name in self.declared:
            return True
        skipped = reference.step > 0 and self.flow.steps[reference.step - 1].skip is not None
        saved = self.saved_at.get((name, True)) if skipped else self.saved_at.get((name, False))
        return saved is not None and (reference.place == "expect" or saved < reference.step)

    def define(self, name: str, reference: Reference) -> str:
        """What to do about a name that is not defined where it is used."""
        if name.strip() in self.declared:
            return _("write `{variable}`, without spaces").format(variable=f"${{{name.strip()}}}")
        if not valid(name):
            return _("for these characters as they stand, write `$${text}`").format(text=f"{{{name}}}")
        if (name, False) in self.saved_at:
            number = self.saved_at[name, False]
            return _("step {number} saves it; only the steps after it can use it").format(number=number)
        if (name, True) in self.saved_at:
            return _("step {number} saves it, but is skipped").format(number=self.saved_at[name, True])
        everything = chain(self.declared, (saved for saved, _skipped in self.saved_at))
        known = dict.fromkeys(each for each in islice(everything, MOST_NAMES) if self.is_known(each, reference))
        if near := nearest(name, known):
            return _("did you mean `{variable}`?").format(variable=f"${{{near}}}")
        if known:
            return _("add it under `variables`; known here: {names}").format(names=listed(known))
        return _("add it: `variables: {entry}`").format(entry=f"{{{name}: …}}")

    def place_of(self, name: str, node: Node, written: str | None = None) -> Span | None:
        """Where `${name}` stands within a text; None when escapes or folding hide it."""
        wanted = written.rstrip("\n") if written else f"${{{name}}}"
        lines = self.sources.lines(self.sources.path_of(node))
        for number in range(node.line, min(node.end_line, len(lines)) + 1):
            line = lines[number - 1]
            start = node.column - 1 if number == node.line else 0
            found = re.search(rf"(?<!\$){re.escape(wanted)}", line[start:])
            if found:
                return Span(number, start + found.start() + 1, number, start + found.end() + 1)
        return None


def not_offered(name: str, negated: bool = False) -> str:
    if negated:
        return _("the assistant has no tool `{name}`, so this can never fail").format(name=name)
    return _("the assistant has no tool `{name}`").format(name=name)


def other_calls(text: str, known: Collection[str]) -> str | None:
    """The line to write where the text of `calls` is no tool's name: several, a call with arguments, a word for none or any."""
    named = re.split(r"\s*,\s*", text)
    if len(named) > 1 and all(each in known for each in named):
        return _("write: {line}").format(line=f"calls: [{', '.join(named)}]")
    if called := re.fullmatch(r"(\w+): *(\{.*\})", text):
        return _("write: {line}").format(line=f"calls: {{{called[1]}: {called[2]}}}")
    word = text.casefold()
    if not known or len(known) > MOST_WRITTEN or word not in NO_CALL + SOME_CALL:
        return None
    line = ", ".join(f"{{calls: {each}}}" for each in known)
    if len(known) > 1:
        line = f"{{any: [{line}]}}"
    return _("write: {line}").format(line=f"not: {line}" if word in NO_CALL else line[1:-1])


def function_nodes(node: Node) -> tuple[Node, Node]:
    """Where a function's answer stands, and where its description and parameters: the same but in the API's form."""
    assert isinstance(node.value, dict)
    if "function" in node.value:
        return node, node.value["function"]
    (inner,) = node.value.values()
    return inner, inner


def is_simple(schema: Mapping[str, object]) -> bool:
    """Whether a schema says no more than names, types and allowed words."""
    properties = schema.get("properties", {})
    inner = properties.values() if isinstance(properties, Mapping) else ()
    plain = all(isinstance(each, Mapping) and each.keys() <= {"type", "enum", "description"} for each in inner)
    return plain and schema.keys() <= {"type", "properties", "required", "additionalProperties"}


def is_full(parameters: Node) -> bool:
    """Whether a function's parameters are a JSON Schema, not a name and a type each."""
    return isinstance(parameters.value, dict) and "type" in parameters.value and parameters.value["type"].value == "object"


def is_short(kind: object) -> bool:
    """Whether a value is a type in the short form."""
    return isinstance(kind, str) and kind.removeprefix(OPTIONAL) in TYPES


def short_property(schema: Mapping[str, object]) -> str | None:
    """The line to write for a property in the short form, which a JSON Schema does not know."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    for name, written in properties.items():
        if isinstance(written, str):
            kind = property_of(written)["type"] if is_short(written) else "string"
            return _("write: {line}").format(line=f"{name}: {{type: {kind}}}")
    return None


def tool_names(flow: Flow) -> frozenset[str]:
    """The names that `rag` fills in itself: those its `prompt_ra` uses."""
    return frozenset(name for tool in flow.tools if tool.settings for name in within(tool.settings.get("prompt_ra")))


def within(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from names(value)
    for part in parts_of(value):
        yield from within(part)


def node_at(root: Node, span: Span) -> Node | None:
    """The node that stands there; None where aliases have put the nodes out of their order."""
    node: Node | None = root
    while node is not None and node.span != span:
        inner = node.value
        children = list(inner.values()) if isinstance(inner, dict) else inner if isinstance(inner, list) else []
        number = bisect_right(children, (span.line, span.column), key=lambda child: (child.line, child.column))
        node = children[number - 1] if number else None
    return node


def part_of(node: Node, where: Where, of_name: bool) -> Span:
    """A part of a value, as far as it is there: its beginning, or its key where that is meant or nothing stands after it."""
    span = opening(node)
    for number, step in enumerate(where, 1):
        holder = node
        if isinstance(holder.value, dict) and step in holder.value:
            node = holder.value[str(step)]
            named = node.value is None or (of_name and number == len(where))
            span = holder.keys[str(step)] if named else opening(node)
        elif isinstance(holder.value, list) and isinstance(step, int) and step < len(holder.value):
            node = holder.value[step]
            span = opening(node)
    return span


def opening(node: Node) -> Span:
    """The first key of a mapping: enough to point at all of it."""
    if isinstance(node.value, dict) and node.places:
        return node.keys[next(iter(node.value))]
    span = node.span
    return span if span.line == span.end_line else Span(span.line, span.column, span.line, span.column + 1)
