"""Which tools the assistant used: with which arguments, how often, in which order, and what became of the output."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Annotated, ClassVar, Literal, TypeAlias

from runner.checks import matching
from runner.checks.allowance import Allowance, TookTooLong
from runner.checks.arguments import Difference, Where, differences, dumps, fault, plain, read, troubles, written
from runner.checks.json_answer import BadPath, NotJson, compiled, judges_text, loaded, oversized, spelled, values_at
from runner.checks.limits import CountLimit, Limits, trouble_with
from runner.checks.reader import answer, fold, nearest, quote, shorten, views
from runner.forms import Form, Literally, NonEmpty, Value, key
from runner.model import Expectation, Outcome, ToolCall, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _, listed

__all__ = ["Calls", "ExpectedCall"]

Problem = tuple[str, str, str | None]
Parameters = Mapping[str, Mapping[str, object]]
SOME = Limits("at least 1", low=1)
MOST_VALUES = 1000
"""How many values of an output are looked for in an answer."""
MOST_DIGITS = 300
"""Of a number in an answer."""
SECONDS = 3
"""How long judging all calls may take."""
ON_OUTPUT = ("json",)
"""Checks beside those on a text that can judge a tool's output."""


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call of a tool. It counts when everything that is written here holds for it."""

    tool: Literally = key("The tool's name", "get_order")
    arguments: Mapping[str, Value] | None = key(
        "Its arguments, all or some of them; a value may be a mapping of checks on a text", {"order_id": "1234"}, default=None
    )
    times: CountLimit | None = key("How many such calls there are; at least one unless told", 2, "at most 3", default=None)
    valid: Literal[True] | None = key("The arguments fit the function's declared `parameters`", True, default=None)
    output: tuple[Expectation, ...] | None = key(
        "What the tool gave: a text it contains, or checks on a text", "shipped", {"matches": "Fri|Sat"}, default=None
    )
    in_answer: Literal[True] | tuple[NonEmpty, ...] | None = key(
        "What the tool gave stands in the answer: all its texts and numbers, or those of these fields or JSONPaths",
        True,
        ["status", "$.items[0].price"],
        default=None,
    )
    order: tuple[str, ...] = ()

    @property
    def limits(self) -> Limits:
        return self.times or SOME


Named: TypeAlias = Annotated[Mapping[str, Value], Form(min_length=1, max_length=1)]
"""A tool's name and its arguments."""
Written: TypeAlias = NonEmpty | ExpectedCall | Named


def expected(value: str | ExpectedCall | Mapping[str, object]) -> ExpectedCall:
    """The call that is meant; raise ValueError with what is wrong."""
    if isinstance(value, ExpectedCall):
        return value
    if isinstance(value, str):
        return ExpectedCall(value)
    ((name, arguments),) = value.items()
    if isinstance(arguments, Mapping):
        return ExpectedCall(name, arguments)
    if plain(arguments) is None:
        return ExpectedCall(name)
    raise ValueError(_("the arguments of `{tool}` have no names").format(tool=name))


# ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a call of the right tool does not count: which key of the expected call says so, and how it looks."""

    key: str
    verdict: Verdict
    differences: int = 0

    @property
    def nearness(self) -> tuple[int, int]:
        """The more it had to fail at, the nearer it came."""
        return (("arguments", "valid", "output", "in_answer").index(self.key), -self.differences)


def miss(wanted: ExpectedCall, call: ToolCall, turn: Turn) -> Miss | None:
    """Why a call of the tool does not count; None when it does."""
    if wanted.arguments is not None and (found := arguments_miss(wanted, call, turn)):
        return found
    if wanted.valid and (verdict := invalid(call, turn.parameters)):
        return Miss("valid", verdict)
    if wanted.output is not None and (verdict := output_differs(wanted.output, call)):
        return Miss("output", verdict)
    if wanted.in_answer is not None and (verdict := unsaid(wanted.in_answer, call, turn)):
        return Miss("in_answer", verdict)
    return None


def arguments_miss(wanted: ExpectedCall, call: ToolCall, turn: Turn) -> Miss | None:
    assert wanted.arguments is not None
    schema = turn.parameters.get(call.name)
    try:
        arguments = read(call.arguments)
    except ValueError as error:
        message = _("`{tool}` was called, but {reason}").format(tool=call.name, reason=error)
        verdict = Verdict(Outcome.FAILED, message, written(wanted.arguments, schema), shorten(call.arguments))
        return Miss("arguments", verdict, len(wanted.arguments))
    found = tuple(differences(wanted.arguments, arguments, schema))
    if not found:
        return None
    certain = next((each for each in found if each.judged), None)
    outcome = Outcome.ERROR if certain is None else Outcome.FAILED
    return Miss("arguments", different(certain or found[0], outcome, call), len(found))


def different(found: Difference, outcome: Outcome, call: ToolCall) -> Verdict:
    names = {"tool": call.name, "name": shorten(found.name), "value": found.actual, "reason": found.reason}
    if found.actual is None:
        message = _("`{tool}` was called without `{name}`")
        return Verdict(outcome, message.format(**names), found.expected, sent(call))
    message = _("`{tool}` was called with `{name}` {value}")
    if found.reason:
        message = _("`{tool}` was called with `{name}` {value}: {reason}")
    return Verdict(outcome, message.format(**names), found.expected, found.actual)


def sent(call: ToolCall) -> str:
    """The arguments of a call for people: without escapes, if they can be read."""
    try:
        return shorten(spelled(read(call.arguments)))
    except ValueError:
        return shorten(call.arguments)


def invalid(call: ToolCall, parameters: Parameters) -> Verdict | None:
    if call.name not in parameters:
        return Verdict(Outcome.ERROR, undeclared(call.name), "", sent(call))
    if not (reason := fault(call.arguments, parameters[call.name])):
        return None
    message = _("`{tool}` was called with arguments that do not fit: {reason}").format(tool=call.name, reason=reason)
    return Verdict(Outcome.FAILED, message, shorten(dumps(parameters[call.name])), sent(call))


def undeclared(tool: str) -> str:
    return _("no parameters of `{tool}` are declared, so `valid` cannot be judged").format(tool=tool)


def output_differs(wanted: tuple[Expectation, ...], call: ToolCall) -> Verdict | None:
    if call.output is None:
        return no_output(call)
    for each in wanted:
        if stranger := not_of_text(each):
            return Verdict(Outcome.ERROR, not_on_output(stranger), each.name)
        verdict = each.check.evaluate(Turn(call.output))
        if verdict.outcome is not Outcome.PASSED:
            names = {"tool": call.name, "check": each.name, "message": verdict.message}
            message = _("in the output of `{tool}`, `{check}`: {message}").format(**names)
            return replace(verdict, message=message, at=each.place(verdict), part=None)
    return None


def not_of_text(each: Expectation) -> Expectation | None:
    """The first check that looks at more than an output, it or one it is made of: a turn made of an output has no more."""
    if each.name in ON_OUTPUT:
        return None
    if not judges_text(each.name):
        return each
    inner = getattr(each.check, "value", None)
    parts = (part for part in (inner if isinstance(inner, tuple) else ()) if isinstance(part, Expectation))
    return next(filter(None, map(not_of_text, parts)), None)


def not_on_output(inner: Expectation) -> str:
    return _("`{check}` cannot judge a tool's output").format(check=inner.name)


def no_output(call: ToolCall) -> Verdict:
    message = _("`{tool}` was called, but gave no output").format(tool=call.name)
    return Verdict(Outcome.FAILED, message, "", _("(no output)"))


# ── the output in the answer ─────────────────────────────────────────────────────────────────────────────────────────


def unsaid(wanted: Literal[True] | tuple[str, ...], call: ToolCall, turn: Turn) -> Verdict | None:
    """What of a call's output does not stand in the answer; None when all that is asked for does."""
    if call.output is None:
        return no_output(call)
    if oversized(call.output):
        message = _("the output of `{tool}` is too long or too deep to be looked for in the answer").format(tool=call.name)
        return Verdict(Outcome.ERROR, message, "", shorten(call.output))
    try:
        data = loaded(call.output)
    except NotJson as error:
        if wanted is not True:
            message = _("the output of `{tool}` is not JSON: {reason}").format(tool=call.name, reason=error)
            return Verdict(Outcome.FAILED, message, ", ".join(wanted), shorten(call.output))
        data = call.output
    try:
        return unsaid_values(wanted, data, call, turn)
    except BadPath as error:
        return Verdict(Outcome.ERROR, str(error), "", shorten(call.output))
    except TookTooLong:
        message = _("looking for the output of `{tool}` in the answer took too long").format(tool=call.name)
        return Verdict(Outcome.ERROR, message, "", shorten(call.output))


def unsaid_values(wanted: Literal[True] | tuple[str, ...], data: object, call: ToolCall, turn: Turn) -> Verdict | None:
    said = Said(turn.text)
    for name in ("",) if wanted is True else wanted:
        values = (data,) if not name else values_at(name, data) if name.startswith("$") else field(name, data)
        if not values:
            message = _("the output of `{tool}` has no `{name}`").format(tool=call.name, name=shorten(name))
            return Verdict(Outcome.FAILED, message, name, shorten(call.output or ""))
        number = 0
        for number, (place, value) in enumerate(leaves(values, name), 1):
            if number > MOST_VALUES:
                message = _("the output of `{tool}` has more than {count} values; name those that matter")
                return Verdict(Outcome.ERROR, message.format(tool=call.name, count=MOST_VALUES), "", shorten(call.output or ""))
            if not said.has(value):
                return missing(place, value, call, said)
        if not number:
            message = _("the output of `{tool}` has no text and no number to look for").format(tool=call.name)
            return Verdict(Outcome.FAILED, message, name, shorten(call.output or ""))
    return None


def missing(place: str, value: str | float, call: ToolCall, said: "Said") -> Verdict:
    text = str(value)
    message = _("the answer does not say what `{tool}` gave").format(tool=call.name)
    if place:
        message = _("the answer does not say what `{tool}` gave as `{name}`").format(tool=call.name, name=shorten(place))
    written = quote(text) if isinstance(value, str) else text
    return Verdict(Outcome.FAILED, message, written, answer(said.shown, *nearest(said.shown, text)))


def field(name: str, data: object) -> tuple[object, ...]:
    return (data[name],) if isinstance(data, Mapping) and name in data else ()


def leaves(values: Sequence[object], name: str) -> Iterator[tuple[str, str | float]]:
    """The texts and numbers in JSON, and what leads to each. Truth values, null and empty texts are said in other words."""
    for value in values:
        if isinstance(value, Mapping):
            for key_, inner in value.items():
                yield from leaves((inner,), f"{name}.{key_}" if name else str(key_))
        elif isinstance(value, list):
            yield from leaves(value, name)
        elif (isinstance(value, str) and fold(value)) or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield name, value


class Said:
    """An answer in which many values are looked for, in bounded time."""

    def __init__(self, text: str) -> None:
        shown = views(text)
        self.shown = shown[-1]
        # What a reader sees, and the addresses behind links.
        self.folded = tuple(map(fold, (*shown, text)))
        self.allowance = Allowance(matching.SECONDS)
        self.numbers: frozenset[float] | None = None

    def has(self, value: str | float) -> bool:
        """Whether a text stands there, compared like `contains`, or a number, however it is grouped: 1234 as 1,234.00."""
        _left = self.allowance.left
        if isinstance(value, str):
            return any(stands(fold(value), text) for text in self.folded)
        if self.numbers is None:
            self.numbers = frozenset(number for text in self.folded for number in numbers(text))
        return exact(value) in self.numbers


def stands(text: str, within: str) -> bool:
    """Whether a text stands in another, and not as a part of a longer number there."""
    before = r"(?<!\d)" if text[0].isdigit() else ""
    after = r"(?!\d)" if text[-1].isdigit() else ""
    return text in within and re.search(before + re.escape(text) + after, within) is not None


def numbers(text: str) -> Iterator[float]:
    for sign, digits in re.findall(r"([-\u2212]?)([0-9]{1,300}(?:,[0-9]{3})*(?:\.[0-9]{1,300})?)", text):
        plain_digits = digits.replace(",", "")
        number = exact(float(plain_digits)) if "." in digits else int(plain_digits[:MOST_DIGITS])
        yield number
        if sign:
            yield -number


def exact(number: float) -> float:
    """The number without the noise that calculating with fractions leaves: 0.1 + 0.2 is 0.3."""
    return number if isinstance(number, int) else float(f"{number:.15g}")


# ── all calls ────────────────────────────────────────────────────────────────────────────────────────────────────────


def made(calls: Sequence[ToolCall], wanted: ExpectedCall) -> str:
    """The calls as they were made; only their names when nothing else matters."""
    if wanted.arguments is None:
        return names_of(calls)
    return shorten(", ".join(f"{call.name} {sent(call)}" for call in calls))


def names_of(calls: Sequence[ToolCall]) -> str:
    return shorten(", ".join(dict.fromkeys(call.name for call in calls))) or _("(no tool was called)")


def judge_one(wanted: ExpectedCall, turn: Turn) -> Verdict:
    """Whether there are as many such calls as expected; `part` is the key of the expected call that says otherwise."""
    of_tool = [call for call in turn.calls if call.name == wanted.tool]
    allowance = Allowance(SECONDS)
    misses = [miss(wanted, call, turn) for call in of_tool if allowance.left]
    fitting = [call for call, found in zip(of_tool, misses, strict=True) if found is None]
    unjudged = next((found for found in misses if found and found.verdict.outcome is Outcome.ERROR), None)
    if unjudged and (wanted.times is not None or not fitting):
        return pointing(wanted, unjudged.key, unjudged.verdict)
    if wanted.limits.hold(len(fitting)):
        seen = fitting if wanted.arguments is not None and fitting else turn.calls
        return Verdict(Outcome.PASSED, expected=named(wanted, turn), actual=made(seen, wanted))
    if fitting:
        return counted(wanted, len(fitting), made(fitting, wanted))
    if misses:
        best = max((found for found in misses if found), key=lambda found: found.nearness)
        return pointing(wanted, best.key, best.verdict)
    return pointing(
        wanted, "tool", Verdict(Outcome.FAILED, _("this tool was not called"), named(wanted, turn), names_of(turn.calls))
    )


def counted(wanted: ExpectedCall, number: int, actual: str) -> Verdict:
    few = number < wanted.limits.low or (number == wanted.limits.low and wanted.limits.without_low)
    message = _("this tool was called too few times") if few else _("this tool was called too often")
    found = Verdict(Outcome.FAILED, message, wanted.limits.written, f"{number}: {actual}")
    return pointing(wanted, "times", found)


def pointing(wanted: ExpectedCall, name: str, verdict: Verdict) -> Verdict:
    """The verdict, at the key of the expected call it is about; in the short form, the arguments are all there is."""
    if name == "tool" and not wanted.order:
        return verdict
    return replace(verdict, part=wanted.order.index(name) if name in wanted.order else 0)


def judge_sequence(items: Sequence[ExpectedCall], turn: Turn) -> Verdict:
    """Whether the calls are made in this order. Each item has the calls up to the first that fits the next item."""
    known: dict[tuple[int, int], Miss | None] = {}
    allowance = Allowance(SECONDS)
    unjudged: Verdict | None = None

    def fits(item: int, at: int) -> bool:
        nonlocal unjudged
        _left = allowance.left
        wanted, call = items[item], turn.calls[at]
        if call.name != wanted.tool:
            return False
        if (item, at) not in known:
            known[item, at] = miss(wanted, call, turn)
        found = known[item, at]
        if found and found.verdict.outcome is Outcome.ERROR:
            unjudged = unjudged or replace(found.verdict, part=item)
        return found is None

    start = 0
    verdict = Verdict(Outcome.PASSED, expected=in_order(items, turn), actual=every(turn.calls))
    for item, wanted in enumerate(items):
        at, number = start, 0
        while at < len(turn.calls):
            if wanted.limits.hold(number) and item + 1 < len(items) and fits(item + 1, at):
                break
            number += fits(item, at)
            at += 1
        if not wanted.limits.hold(number):
            early = not number and any(fits(item, before) for before in range(start))
            verdict = replace(out_of_order(items, item, turn) if early else too_few_or_many(wanted, number, turn), part=item)
            break
        start = at
    if unjudged and (verdict.outcome is not Outcome.PASSED or any(each.times for each in items)):
        return unjudged
    return verdict


def too_few_or_many(wanted: ExpectedCall, number: int, turn: Turn) -> Verdict:
    return counted(wanted, number, every(turn.calls)) if number else judge_one(replace(wanted, times=None), turn)


def out_of_order(items: Sequence[ExpectedCall], item: int, turn: Turn) -> Verdict:
    message = _("`{tool}` was called, but not after `{before}`").format(tool=items[item].tool, before=items[item - 1].tool)
    return Verdict(Outcome.FAILED, message, in_order(items, turn), every(turn.calls))


def in_order(items: Sequence[ExpectedCall], turn: Turn) -> str:
    return shorten(_(", then ").join(named(each, turn) for each in items))


def named(wanted: ExpectedCall, turn: Turn) -> str:
    """The tool, and the arguments that are expected."""
    if wanted.arguments is None:
        return wanted.tool
    return shorten(f"{wanted.tool} {written(wanted.arguments, turn.parameters.get(wanted.tool))}")


def every(calls: Sequence[ToolCall]) -> str:
    return shorten(", ".join(call.name for call in calls)) or _("(no tool was called)")


@check("calls")
@dataclass(frozen=True, slots=True)
class Calls:
    """The assistant called this tool; with arguments, it called it so. A list: in this order, others may stand between.

    Arguments are compared as a subset: only those that are written, in mappings within as well. They are read with the type
    that the function declares, so `1234` is the text "1234" where a text is declared. A value may be a mapping of checks on a
    text, which judge the argument.

    With `tool`, more can be said: `times` (a number, `at most 2`, …), `valid` (the arguments fit what the function declares),
    `output` (checks on what the tool gave) and `in_answer` (what the tool gave stands in the answer: all of its texts and
    numbers, or those of the listed fields and JSONPaths). A call counts when all that is written holds for it.

    Under `not`: there was no such call. In the `expect` of the whole conversation, the calls of all steps are looked at.

    ```yaml
    expect:
      - calls: text_to_image
      - calls: {get_order: {order_id: "1234"}}
      - calls: {get_order: {order_id: {matches: '^\\d{4}$'}}}
      - calls: {tool: get_order, arguments: {order_id: "1234"}, times: 1, valid: true}
      - calls: {tool: get_order, output: shipped, in_answer: [status]}
      - calls: [get_order, {cancel_order: {order_id: "1234"}}]
      - not: {calls: {tool: calculator, times: over 3}}
    ```
    """

    name: ClassVar[str]
    value: Written | tuple[Written, ...]

    @property
    def compiles(self) -> bool:
        """Whether lint must compile something in it."""
        return not isinstance(self.value, str)

    @property
    def items(self) -> tuple[str | ExpectedCall | Mapping[str, object], ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)

    def calls(self) -> Iterator[ExpectedCall]:
        """The expected calls, but for those that are not written right."""
        for each in self.items:
            try:
                yield expected(each)
            except ValueError:
                continue

    def evaluate(self, turn: Turn) -> Verdict:
        try:
            items = [expected(each) for each in self.items]
        except ValueError as error:
            return Verdict(Outcome.ERROR, str(error))
        if not items:
            return Verdict(Outcome.ERROR, _("there is no call to look for"))
        try:
            verdict = judge_sequence(items, turn) if isinstance(self.value, tuple) else judge_one(items[0], turn)
        except TookTooLong:
            return Verdict(Outcome.ERROR, _("`calls` took longer than {seconds} s").format(seconds=SECONDS))
        limited = verdict.outcome is Outcome.PASSED and any(item.limits.high < inf for item in items)
        doubt = self.doubt(turn) if limited else ""
        return replace(verdict, outcome=Outcome.ERROR, message=doubt) if doubt else verdict

    def doubt(self, turn: Turn) -> str:
        """Why a FAILED verdict does not prove that there was no such call; empty when it does."""
        for wanted in self.calls():
            for call in turn.calls:
                if call.name == wanted.tool and wanted.arguments is not None:
                    try:
                        read(call.arguments)
                    except ValueError as error:
                        return _("`{tool}` was called, but {reason}").format(tool=call.name, reason=error)
        return ""

    def placed(self) -> Iterator[tuple[Where, Where, ExpectedCall]]:
        """Each call that is written right: which part of the value names its tool, which holds its arguments."""
        for number, each in enumerate(self.items):
            item = (number,) if isinstance(self.value, tuple) else ()
            try:
                wanted = expected(each)
            except ValueError:
                continue
            if isinstance(each, ExpectedCall):
                yield (*item, "tool"), (*item, "arguments"), wanted
            else:
                yield (*item, wanted.tool), (*item, wanted.tool), wanted

    def problems(self) -> Iterator[Problem]:
        return (found for _where, found in self.located())

    def located(self) -> Iterator[tuple[Where, Problem]]:
        """What is wrong with the value, each with the part it is about."""
        if not self.items:
            yield (), ("never-fails", _("this list is empty, so every reply passes"), _("list the calls in their order"))
        for number, each in enumerate(self.items):
            try:
                expected(each)
            except ValueError as error:
                where = (number,) if isinstance(self.value, tuple) else ()
                yield where, ("bad-value", str(error), _("write `{line}`").format(line='get_order: {order_id: "1234"}'))
        for tool, arguments, wanted in self.placed():
            yield from wrong(wanted, tool[:-1], arguments)

    def problems_with(self, parameters: Parameters) -> Iterator[tuple[Where, Problem]]:
        """What is wrong with the value beside the declared functions, whose schemas these are."""
        from runner.schema import BUILT_IN_TOOLS

        for tool, arguments, wanted in self.placed():
            known = set(troubles(wanted.arguments or {}, None))
            for where, found in troubles(wanted.arguments or {}, parameters.get(wanted.tool)):
                if (where, found) not in known:
                    yield (*arguments, *where), found
            if wanted.valid and wanted.tool in BUILT_IN_TOOLS:
                yield (*tool[:-1], "valid"), ("impossible", undeclared(wanted.tool), _("delete `valid`"))

    def tools(self) -> tuple[str, ...]:
        return tuple(self.named())

    def named(self) -> Mapping[str, Where]:
        """The tools that are named, and where each is first."""
        found: dict[str, Where] = {}
        for tool, _arguments, wanted in self.placed():
            found.setdefault(wanted.tool, tool)
        return found


def wrong(wanted: ExpectedCall, call: Where, arguments: Where) -> Iterator[tuple[Where, Problem]]:
    """What is wrong with an expected call, whatever the tool declares."""
    if wanted.times is not None:
        yield from (((*call, "times"), found) for found in trouble_with(wanted.times))
    for where, found in troubles(wanted.arguments or {}, None):
        yield (*arguments, *where), found
    for each in wanted.output or ():
        yield from (((*call, "output"), found) for found in wrong_on_output(each))
    for found in wrong_in_answer(wanted.in_answer):
        yield (*call, "in_answer"), found


def wrong_on_output(each: Expectation) -> Iterator[Problem]:
    if stranger := not_of_text(each):
        hint = _("use checks on a text, such as {names}").format(names=listed(("contains", "matches", "json")))
        yield "bad-value", not_on_output(stranger), hint
    elif hasattr(each.check, "problems"):
        yield from each.check.problems()


def wrong_in_answer(named: Literal[True] | tuple[str, ...] | None) -> Iterator[Problem]:
    if named == ():
        yield "never-fails", _("this list is empty, so every reply passes"), _("list fields, or write `in_answer: true`")
    for path in named if isinstance(named, tuple) else ():
        try:
            _path = compiled(path) if path.startswith("$") else None
        except BadPath as error:
            hint = _("write it like `'$.items[0].price'`")
            yield "bad-path", _("`{path}`: {reason}").format(path=shorten(path), reason=error), hint
