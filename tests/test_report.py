"""The fold: what every conversation came to, totals that add up, and the exit code."""

import pytest
from hypothesis import given

from runner.events import Envelope, Event, StepEnded, StepStarted, SuiteEnded
from runner.report import Fold, Report, diagnostic
from tests.report_fixtures import QUICK, case, check, conversation, enveloped, kept, streams, suite


def report(planned: int, *outcomes: str, signal: int = 0) -> Report:
    """Conversations that ended so; `open` is one that did not."""
    events: list[tuple[int, Event]] = []
    for number, outcome in enumerate(outcomes, 1):
        played = [case()] if outcome == "open" else conversation(outcome=outcome)
        events += [(number, event) for event in played]
    return Report.of(enveloped([(0, suite(planned)), *events, (0, SuiteEnded(1, signal))]))


@pytest.mark.parametrize(
    ("code", "planned", "outcomes", "signal"),
    [
        (0, 1, ["passed"], 0),
        (0, 2, ["passed", "skipped"], 0),
        (1, 1, ["failed"], 0),
        (1, 3, ["passed", "failed", "skipped"], 0),
        (1, 2, ["failed", "error"], 0),
        (1, 2, ["error", "failed"], 0),
        (1, 3, ["failed"], 0),
        (1, 2, ["failed", "open"], 0),
        (4, 1, ["error"], 0),
        (4, 2, ["passed", "error"], 0),
        (4, 2, ["skipped", "error"], 0),
        (4, 1, ["open"], 0),
        (4, 2, ["passed"], 0),
        (4, 1, [], 0),
        (4, 1, ["a verdict nobody knows"], 0),
        (5, 0, [], 0),
        (5, 1, ["skipped"], 0),
        (5, 2, ["skipped", "skipped"], 0),
        (130, 1, ["passed"], 2),
        (130, 2, ["failed", "open"], 2),
        (130, 0, [], 2),
        (143, 2, ["error"], 15),
        (143, 2, ["skipped", "skipped"], 15),
    ],
)
def test_exit_code_is_the_first_that_applies(code: int, planned: int, outcomes: list[str], signal: int) -> None:
    assert code == report(planned, *outcomes, signal=signal).exit_code


@pytest.mark.parametrize(
    ("line", "planned", "outcomes"),
    [
        ("1 flow: 1 passed, 0 flaky, 0 failed, 0 errors, 0 skipped; 0 checks; 0 retries", 1, ["passed"]),
        ("0 flows: 0 passed, 0 flaky, 0 failed, 0 errors, 0 skipped; 0 checks; 0 retries", 0, []),
        (
            "5 flows: 1 passed, 0 flaky, 1 failed, 1 error, 1 skipped, 1 not run; 0 checks; 0 retries",
            5,
            ["passed", "failed", "open", "skipped"],
        ),
        ("2 flows: 0 passed, 0 flaky, 0 failed, 2 errors, 0 skipped; 0 checks; 0 retries", 2, ["error", "open"]),
    ],
)
def test_summary_line_says_every_verdict(line: str, planned: int, outcomes: list[str]) -> None:
    assert line == report(planned, *outcomes).summary_line()


def test_checks_of_steps_and_of_the_whole_conversation_are_counted() -> None:
    step = StepStarted(1, "", 3, ()), check(), check("failed"), StepEnded(1, "failed", 1)
    events = conversation(*step, check(step=0), outcome="failed")
    totals = Report.of(enveloped([(0, suite(1)), *((1, event) for event in events)])).totals
    assert (3, 1) == (totals.checks, totals.checks_failed)


def test_case_that_never_ended_is_interrupted() -> None:
    second = Report.of(kept("interrupted")).cases[1]
    assert ("error", "interrupted", 2) == (second.outcome, second.reason, second.not_run)
    assert ("error", "interrupted") == (second.steps[0].outcome, second.steps[0].reason)


def test_a_step_holds_what_happened_in_it() -> None:
    picture = Report.of(kept("picture")).cases[0]
    step = picture.steps[0]
    assert ("create_assistant", "create_thread", "delete_thread", "delete_assistant") == tuple(
        each.operation for each in picture.operations
    )
    assert ("add_message", "create_run", "wait", "read_answer") == tuple(each.operation for each in step.operations)
    assert ("calls", "image", "contains") == tuple(each.check for each in step.checks)
    assert ("runflow-out/paint/1-1.png",) == tuple(each.path for each in step.images)
    assert step.answer is not None
    assert "Here is a ragdoll cat." == step.answer.text.splitlines()[0]


def test_what_was_answered_stands_in_for_an_answer_that_never_came() -> None:
    orders, stock = Report.of(kept("functions")).cases
    assert [("get_order", ""), ("cancel_order", "`order_id` is missing"), ("get_time", "")] == [
        (call.name, call.trouble) for step in orders.steps for call in step.calls
    ]
    assert (None, 1) == (stock.steps[0].answer, len(stock.steps[0].functions))
    assert ["count"] == [call.name for call in stock.steps[0].calls]


def test_report_may_be_asked_for_while_a_case_is_under_way() -> None:
    fold = Fold()
    for envelope in kept("interrupted")[:5]:
        fold.receive(envelope)
    assert ("error", 3) == (fold.report().cases[0].outcome, fold.report().totals.not_run)


def test_a_failed_check_points_at_the_line_that_expected_it() -> None:
    found = diagnostic(check("failed"), "paint.yaml")
    assert found.span is not None
    assert ("contains", 7, 19, 7, 26) == (
        found.code,
        found.span.line,
        found.span.column,
        found.span.end_line,
        found.span.end_column,
    )
    assert (("expected", '"cat"'), ("actual", '"dog"')) == found.notes


@QUICK
@given(streams())
def test_totals_add_up_whatever_happens(envelopes: list[Envelope]) -> None:
    totals = Report.of(envelopes).totals
    assert totals.flows == totals.passed + totals.flaky + totals.failed + totals.errors + totals.skipped + totals.not_run
