"""The states of a run and of its steps, and which may follow which. The service moves by these tables and so do its tests."""

from collections.abc import Mapping

from runner.model import RunStatus

__all__ = ["ACTIVE", "ENDED", "NEXT", "diagram", "follows"]

NEXT: Mapping[str, frozenset[str]] = {
    RunStatus.QUEUED: frozenset({RunStatus.IN_PROGRESS, RunStatus.CANCELLING, RunStatus.EXPIRED, RunStatus.FAILED}),
    RunStatus.IN_PROGRESS: frozenset(
        {
            RunStatus.REQUIRES_ACTION,
            RunStatus.COMPLETED,
            RunStatus.INCOMPLETE,
            RunStatus.FAILED,
            RunStatus.CANCELLING,
            RunStatus.EXPIRED,
        }
    ),
    RunStatus.REQUIRES_ACTION: frozenset({RunStatus.QUEUED, RunStatus.CANCELLING, RunStatus.EXPIRED}),
    RunStatus.CANCELLING: frozenset({RunStatus.CANCELLED}),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.EXPIRED: frozenset(),
    RunStatus.INCOMPLETE: frozenset(),
}
"""For each state of a run, the states it may change to; the first key is where a run begins."""

ENDED = frozenset(state for state, following in NEXT.items() if not following)
"""A run in one of these never changes again."""

ACTIVE = frozenset(NEXT) - ENDED
"""A run in one of these holds its thread: no second run, no new message."""


def follows(old: str, new: str) -> bool:
    """Whether a run may change from `old` to `new`; staying what it is is no change."""
    return old == new or new in NEXT[old]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(NEXT))}"]
    for state, following in NEXT.items():
        lines += [f"    {state} --> {after}" for after in sorted(following)] or [f"    {state} --> [*]"]
    return "\n".join(lines)
