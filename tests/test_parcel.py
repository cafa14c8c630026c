"""Envelopes between two processes of one run: what arrives is what was sent."""

from hypothesis import given

from runner.events import CheckEnded, Envelope, Event
from runner.model import Outcome
from runner.ndjson import KINDS
from runner.parcel import pack, unpack
from tests.report_fixtures import QUICK, check, streams


def filled(kind: type[Event]) -> Event:
    """An event with a value of its own in each field, of whatever type."""
    event: Event = kind(*kind.__match_args__)
    return event


def test_every_kind_of_event_arrives() -> None:
    sent = [Envelope(number, 2, 3.5, filled(kind)) for number, kind in enumerate(KINDS.values())]
    assert sent == unpack(pack(sent))


@QUICK
@given(streams())
def test_whatever_it_says_arrives(sent: list[Envelope]) -> None:
    assert sent == unpack(pack(sent))


def test_an_outcome_stays_one() -> None:
    (arrived,) = unpack(pack([Envelope(1, 1, 0.5, check(Outcome.FAILED))]))
    assert isinstance(arrived.event, CheckEnded)
    assert Outcome.FAILED is arrived.event.outcome


def test_nothing_is_a_parcel_too() -> None:
    assert [] == unpack(pack([]))
