"""Keep account of the calls in one run: which were answered, which answers the service has, and what all of them came to."""

from collections.abc import Iterable, Sequence
from dataclasses import field, replace

from runner.model import Run, RunStatus, Tool, ToolCall
from runner.values import dataclass

__all__ = ["Answers", "asks_again", "by_declared_name", "completed", "identity"]

LAG_SECONDS = 5.0
"""How long a service may go on showing calls without an id after it took their outputs; later they are new calls."""
OTHER_NAMES = {"wanx": "text_to_image", "search": "quark_search"}
"""Older names of tools, and what they are called now."""


@dataclass(slots=True)
class Answers:
    """What the author's functions answered in one run. Two calls are the same when their id, name and arguments are; a call
    without an id is told apart by its place in the action."""

    given: list[ToolCall] = field(default_factory=list)
    """The calls with their outputs, in order."""
    taken: set[tuple[str, str, str]] = field(default_factory=set)
    """The calls whose outputs the service has."""
    newest: tuple[ToolCall, ...] = ()
    """The calls it took outputs for last."""
    since: float | None = None
    """When that was; None once the run was seen in another state."""
    rounds: int = 0

    def known(self, call: ToolCall) -> ToolCall | None:
        """The call with its output, if it was answered before."""
        return next((each for each in self.given if call.id and identity(each) == identity(call)), None)

    def stale(self, calls: Sequence[ToolCall], now: float) -> bool:
        """Whether the service has the answers to all these calls, and does not show it yet."""
        if calls and all(call.id for call in calls):
            return self.taken.issuperset(map(identity, calls))
        late = self.since is not None and now - self.since < LAG_SECONDS
        return late and (not calls or alike(calls, self.newest))


def identity(call: ToolCall) -> tuple[str, str, str]:
    return call.id, call.name, call.arguments


def alike(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> bool:
    """Whether these are the same calls in the same order."""
    return list(map(identity, calls)) == list(map(identity, others))


def asks_again(now: Run, before: Run) -> bool:
    """Whether the run still waits for the outputs it asked for before."""
    if now.status != RunStatus.REQUIRES_ACTION:
        return False
    asked, calls = set(map(identity, before.required_calls)), now.required_calls
    return not calls or alike(calls, before.required_calls) or any(call.id and identity(call) in asked for call in calls)


def completed(listed: Iterable[ToolCall], given: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """The calls that the service lists, with what we know of those we answered; then the answered ones it does not list.

    They are told apart by their ids; where one has none, or another one, by what was called, in order.
    """
    calls, rest = list(listed), list(given)
    unknown = [place for place, call in enumerate(calls) if call.is_function]
    for same in (same_id, same_call):
        for place in tuple(unknown):
            call = calls[place]
            ours = next((each for each in rest if same(call, each)), None)
            if ours is not None:
                calls[place] = replace(call, output=call.output or ours.output, trouble=ours.trouble)
                rest.remove(ours)
                unknown.remove(place)
    return (*calls, *rest)


def same_id(call: ToolCall, other: ToolCall) -> bool:
    return bool(call.id) and call.id == other.id


def same_call(call: ToolCall, other: ToolCall) -> bool:
    return call.name == other.name and (not (call.id and other.id) or call.arguments == other.arguments)


def by_declared_name(calls: Iterable[ToolCall], tools: Sequence[Tool]) -> tuple[ToolCall, ...]:
    """The calls, each called what the author calls the tool: a service may use the other one of two names."""
    declared = {tool.name for tool in tools}
    known = {old: new for one, other in OTHER_NAMES.items() for old, new in ((one, other), (other, one))}
    return tuple(
        replace(call, name=known[call.name])
        if call.name not in declared and not call.is_function and known.get(call.name) in declared
        else call
        for call in calls
    )
