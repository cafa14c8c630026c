"""Envelopes as bytes, and such bytes as envelopes again, on the way between two processes of one run.

Only ever for bytes that we wrote ourselves: whoever can write them can run code.
"""

import pickle
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from runner.events import Envelope, Event
from runner.ndjson import KINDS

__all__ = ["pack", "unpack"]


def values_of(kind: type[Event]) -> Callable[[Envelope], tuple[Any, ...]]:
    """What reads an envelope of such an event, and the event, in one go."""
    return attrgetter("case", "sequence", "time", "event.__class__", *(f"event.{name}" for name in kind.__match_args__))


VALUES = {kind: values_of(kind) for kind in KINDS.values()}


def pack(envelopes: Iterable[Envelope]) -> bytes:
    # As plain values: in half the time that the objects themselves take, and in half the bytes.
    return pickle.dumps([VALUES[type(each.event)](each) for each in envelopes], pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> list[Envelope]:
    """What was packed. Other bytes raise whatever they like."""
    return [Envelope(case, sequence, time, kind(*rest)) for case, sequence, time, kind, *rest in pickle.loads(data)]
