"""Every call of the sequence broken in every way, once and for good: no false verdict, nothing twice, nothing forgotten."""

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from runner.events import FunctionAnswered, StepEnded, Warned
from runner.model import Assistant, Flow, Function, Outcome, Returns, Step, Tool
from tests.engine_fixtures import expect
from tests.faults_fixtures import FINAL, REFUSALS, SPOILED, WAYS, Ended, always, broken, once

ORDER = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
LOOK_UP = Tool("function", "Look up one order", None, Function("get_order", ORDER, Returns({"status": "shipped"})))
FLOW = Flow(
    Assistant(model="qwen-max", tools=(LOOK_UP,)),
    (
        Step("Where is order 1234?", expect=(expect("contains", "shipped"), expect("calls", "get_order"))),
        Step("My name is Ana.", expect=(expect("contains", "Ana"),)),
    ),
)
"""It passes, wherever a service is well."""
WRONG = replace(FLOW, steps=(FLOW.steps[0], replace(FLOW.steps[1], expect=(expect("contains", "Bob"),))))
"""It fails, wherever a service is well."""
SAID = ["Where is order 1234?", "My name is Ana."]

TOO_MUCH = ("huge", "bomb")
"""Asking again for what is too long is no use; whether it was done can be found out all the same."""
PASSING = (*REFUSALS, *(way for way in SPOILED if way not in (*TOO_MUCH, "late html")))
FLOW_SECONDS, STEP_SECONDS, SETTLE_SECONDS = 900, 300, 5
BOTH = pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "polled"])


@cache
def calls(streaming: bool) -> tuple[str, ...]:
    """The calls of a conversation that goes well."""
    well = broken(FLOW, once(0, ""), streaming=streaming)
    assert Outcome.PASSED == well.outcome
    true(well)
    return tuple(well.breaking.asked)


def true(result: Ended, due: Outcome = Outcome.PASSED) -> None:
    """What holds for every conversation, however its service behaves."""
    audit, ledger, end = result.audit, result.ledger, result.end
    assert result.outcome == end.outcome
    assert result.outcome in (due, Outcome.ERROR), end.reason
    assert bool(end.reason) is (result.outcome == Outcome.ERROR)

    said = [next(text for text in SAID if text in each) for each in audit.said]
    assert SAID[: len(said)] == said, "a message was sent twice, or out of turn"
    assert len(audit.runs) <= len(said), "a run was begun twice"
    answered = Counter(event.call for event in result.only(FunctionAnswered))
    assert set(answered.values()) <= {1}, "a function was called twice for one call"
    assert audit.assistants <= 1
    assert audit.threads <= min(4, ledger.kinds["thread"])
    assert ledger.kinds["thread"] <= 8
    if result.outcome == due:
        assert SAID == said
        assert ["completed"] * 2 == audit.runs
        assert 1 == len(answered)

    if not result.breaking.disowned:
        assert set(audit.left) <= set(ledger.open), "something was left that the ledger does not know"
        known = {id for id in ledger.open.values() if id}
        assert known & set(audit.left.values()) <= set(end.left), "something was left and not told of"
    assert end.seconds <= FLOW_SECONDS + SETTLE_SECONDS + STEP_SECONDS
    assert all(step.seconds <= STEP_SECONDS + SETTLE_SECONDS for step in result.only(StepEnded))


def nothing_left(result: Ended) -> bool:
    return not (result.audit.left or result.ledger.open or result.end.left)


def orphaned(result: Ended) -> bool:
    """Whether just one thing is left, a thread whose answer was lost, and that was told."""
    told = [event.message for event in result.only(Warned) if "possible orphan" in event.message]
    [(op, id)] = result.ledger.open.items()
    return not id and not result.end.left and [True] == [op in message for message in told] and {op} >= set(result.audit.left)


# ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize("way", PASSING)
def test_one_bad_answer_changes_no_verdict(way: str, streaming: bool) -> None:
    for number, call in enumerate(calls(streaming), 1):
        result = broken(FLOW, once(number, way), streaming=streaming)
        where = f"{way} at {number}: {call}"
        assert {number: call} == result.breaking.broke, where
        assert (Outcome.PASSED, "") == (result.outcome, result.end.reason), where
        true(result)
        if call == "POST /threads" and result.ledger.open:
            assert way in SPOILED or way in ("reset", "408", "500", "502", "503", "504"), where
            assert orphaned(result), where
        else:
            assert nothing_left(result), where


@BOTH
@pytest.mark.parametrize("way", [*FINAL, *TOO_MUCH, "late html"])
def test_an_answer_that_helps_nobody_is_an_error_unless_it_was_done_all_the_same(way: str, streaming: bool) -> None:
    for number, call in enumerate(calls(streaming), 1):
        result = broken(FLOW, once(number, way), streaming=streaming)
        where = f"{way} at {number}: {call}"
        true(result)
        gone = call.startswith("DELETE") and way == "404"
        unlisted = call.endswith("/steps") and way in ("404", "501")
        found = call.startswith("POST") and call != "POST /threads" and way in SPOILED
        assert (result.outcome == Outcome.PASSED) is (gone or unlisted or found), where
        if way in FINAL and not unlisted:
            # Nothing but cleaning up follows, and looking whether outputs were taken that were refused.
            later = [each for each in result.breaking.asked[number:] if not each.startswith("DELETE")]
            cancelled = [each for each in later if each.startswith("POST")]
            assert all(each.endswith("/cancel") for each in cancelled), where


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_answer_of_the_model_never_passes(way: str) -> None:
    for number in range(11, 15):
        result = broken(WRONG, once(number, way))
        true(result, Outcome.FAILED)
        if way in PASSING:
            assert Outcome.FAILED == result.outcome, f"{way} at {number}"
            assert nothing_left(result)


# ── and all that follow ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [way for way in WAYS if way != "bomb"])
def test_a_service_that_stays_broken_is_given_up(way: str) -> None:
    for number, call in enumerate(calls(True), 1):
        result = broken(FLOW, always(number, way))
        where = f"{way} from {number} on: {call}"
        true(result)
        if not call.startswith("DELETE"):
            harmless = way == "dripping" or (way == "unknown state" and number > 12) or (way == "404" and number == 14)
            assert (result.outcome == Outcome.PASSED) is harmless, where
        elif result.outcome == Outcome.PASSED:
            # A second try may find it gone, whatever became of the first one's answer.
            assert nothing_left(result) or result.breaking.disowned, where
