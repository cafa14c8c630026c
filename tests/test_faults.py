"""Every call of the sequence broken in every way, once and for good: no false verdict, nothing twice, nothing forgotten."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.embedded.service import Service
from runner.events import AttemptEnded, FunctionAnswered, StepEnded, Warned
from runner.model import Assistant, Flow, Function, Outcome, Returns, Step, Tool
from runner.plan import Case
from runner.suite import Job, Limits
from runner.targets import Connection
from runner.transport.embedded import EmbeddedTransport
from tests.engine_fixtures import expect
from tests.faults_fixtures import (
    FINAL,
    HERE,
    REFUSALS,
    SPOILED,
    SPOILED_STREAMS,
    WAYS,
    Audit,
    Breaking,
    Ended,
    InProcess,
    LoopTime,
    NotedDown,
    always,
    broken,
    once,
)
from tests.leftovers_fixtures import FLOW as YAML
from tests.leftovers_fixtures import KILLED, Place, place
from tests.suite_fixtures import play

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
AS_OTHERS = ("no name", "425", "502", "504")
"""To be told apart by nothing that comes later."""
FLOW_SECONDS, STEP_SECONDS, SETTLE_SECONDS = 900, 300, 5
BOTH = pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "polled"])


@cache
def calls(streaming: bool) -> tuple[str, ...]:
    """The calls of a conversation that goes well."""
    well = broken(FLOW, once(0, ""), streaming=streaming)
    assert Outcome.PASSED == well.outcome
    true(well)
    return tuple(well.breaking.asked)


def swept(streaming: bool) -> Iterator[tuple[int, str]]:
    """The calls to break, counted from 1: all of them, and those that are others when polled."""
    for number, call in enumerate(calls(streaming), 1):
        if streaming or ("/runs" in call and not call.endswith("/steps")):
            yield number, call


def true(result: Ended, due: Outcome = Outcome.PASSED) -> None:
    """What holds for every conversation, however its service behaves."""
    audit, ledger, end = result.audit, result.ledger, result.end
    assert result.outcome == end.outcome
    assert result.outcome in (due, Outcome.ERROR), end.reason
    assert bool(end.reason) is (result.outcome == Outcome.ERROR)

    for thread, texts in audit.said.items():
        said = [next(text for text in SAID if text in each) for each in texts]
        assert SAID[: len(said)] == said, "a message was sent twice, or out of turn"
        assert len(audit.runs.get(thread, ())) <= len(said), "a run was begun twice"
    answered = Counter(event.call for event in result.only(FunctionAnswered))
    assert set(answered.values()) <= {1}, "a function was called twice for one call"
    assert audit.assistants <= 1
    assert audit.threads <= min(4, ledger.begun("thread"))
    assert ledger.begun("thread") <= 8
    if result.outcome == due:
        assert [2] == [len(texts) for texts in audit.said.values()]
        assert [["completed"] * 2] == [*audit.runs.values()]
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
    for number, call in swept(streaming):
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
    for number, call in swept(streaming):
        result = broken(FLOW, once(number, way), streaming=streaming)
        where = f"{way} at {number}: {call}"
        true(result)
        gone = call.startswith("DELETE") and way == "404"
        unlisted = call.endswith("/steps") and way in ("404", "501")
        found = call.startswith("POST") and call != "POST /threads" and way in SPOILED
        assert (result.outcome == Outcome.PASSED) is (gone or unlisted or found), where
        if call == "POST /threads" and way in SPOILED:
            assert orphaned(result), where
        elif not call.startswith("DELETE"):
            assert not (result.audit.left or result.end.left), where
            # What was refused in doubt, and not found, stays noted down for `runflow clean` to look up once more.
            assert [""] * len(result.ledger.open) == [*result.ledger.open.values()], where
            assert len(result.ledger.open) <= (call in ("POST /assistants", "POST /threads/…/runs", "POST /threads")), where
        if way in FINAL and not unlisted:
            # Nothing but cleaning up follows, and looking whether outputs were taken that were refused.
            later = [each for each in result.breaking.asked[number:] if not each.startswith("DELETE")]
            cancelled = [each for each in later if each.startswith("POST")]
            assert all(each.endswith("/cancel") for each in cancelled), where


@pytest.mark.parametrize("way", ["429", "500", "reset", *FINAL, *SPOILED])
def test_a_wrong_answer_of_the_model_never_passes(way: str) -> None:
    for number in range(11, 15):
        result = broken(WRONG, once(number, way))
        true(result, Outcome.FAILED)
        if way in PASSING:
            assert Outcome.FAILED == result.outcome, f"{way} at {number}"
            assert nothing_left(result)


# ── and all that follow ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [way for way in WAYS if way not in (*AS_OTHERS, "bomb")])
def test_a_service_that_stays_broken_is_given_up(way: str) -> None:
    for number, call in enumerate(calls(True), 1):
        if number in (9, 10, 13):
            # From there on it is as from the next one, or as in the other step.
            continue
        result = broken(FLOW, always(number, way))
        where = f"{way} from {number} on: {call}"
        true(result)
        if not call.startswith("DELETE"):
            harmless = way == "dripping" or (way == "unknown state" and number > 12) or (way == "404" and number == 14)
            assert (result.outcome == Outcome.PASSED) is harmless, where
        elif result.outcome == Outcome.PASSED:
            # A second try may find it gone, whatever became of the first one's answer.
            assert nothing_left(result) or result.breaking.disowned, where


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [4, 6, 11])
def test_a_stream_cut_after_any_event_changes_no_verdict(number: int) -> None:
    lost = 0
    for way in SPOILED_STREAMS:
        result = broken(FLOW, once(number, way))
        true(result)
        assert (Outcome.PASSED, "") == (result.outcome, result.end.reason), way
        assert nothing_left(result)
        lost += any("polled instead" in event.message for event in result.only(Warned))
    assert lost >= 6, "the cuts must take something away"


@BOTH
@pytest.mark.parametrize("status", ["failed", "expired", "cancelled", "incomplete"])
def test_a_run_that_ends_badly_never_passes(status: str, streaming: bool) -> None:
    for number in range(4, 9):
        result = broken(FLOW, once(number, "lost"), streaming=streaming, faults=[f"{status}/create_run"])
        assert Outcome.ERROR == result.outcome
        assert f"the run ended as `{status}`" in result.end.reason
        assert [[status]] == [*result.audit.runs.values()]
        assert nothing_left(result)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", range(1, 17))
def test_what_a_service_asks_to_wait_is_waited(number: int) -> None:
    result = broken(FLOW, once(number, "429 after 2"))
    before, after = result.breaking.times[number - 1 : number + 1]
    assert 2.0 <= after - before <= 2.3


def test_a_service_that_asks_for_too_long_is_left_at_once() -> None:
    for number, call in enumerate(calls(True), 1):
        result = broken(FLOW, once(number, "429 after a day"))
        true(result)
        assert Outcome.ERROR == result.outcome, call
        assert "the service asks to wait 86400 s, which is too long" in result.end.reason
        assert result.seconds <= 1


@BOTH
@pytest.mark.parametrize("way", ["silent", "no answer", "429", "500", "unknown state", "dripping"])
def test_a_conversation_ends_within_its_own_time(way: str, streaming: bool) -> None:
    hasty = replace(FLOW, timeout=70.0, steps=tuple(replace(step, timeout=30.0) for step in FLOW.steps))
    for number in (1, 2, 3, 4, 5, 6, 8, 11):
        result = broken(hasty, always(number, way), streaming=streaming)
        true(result)
        assert all(step.seconds <= 30 + SETTLE_SECONDS for step in result.only(StepEnded))
        begun = next((event.seconds for event in result.only(StepEnded)[-1:]), 0)
        assert begun <= 70
        assert result.end.seconds <= 70 + SETTLE_SECONDS + STEP_SECONDS


# ── more than one ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=80, derandomize=True)
@given(
    first=st.integers(1, 18),
    apart=st.integers(1, 12),
    ways=st.tuples(st.sampled_from(WAYS), st.sampled_from(WAYS)),
    streaming=st.booleans(),
)
def test_two_bad_answers_make_no_false_verdict(first: int, apart: int, ways: tuple[str, str], streaming: bool) -> None:
    plan = {first: ways[0], first + apart: ways[1]}
    result = broken(FLOW, lambda at: plan.get(at, ""), streaming=streaming)
    true(result)
    if set(ways) <= set(PASSING):
        assert (Outcome.PASSED, "") == (result.outcome, result.end.reason)
        assert result.ledger.orphans


@pytest.mark.parametrize("every", range(2, 16))
def test_a_suite_over_a_service_that_breaks_every_so_many_calls(every: int) -> None:
    due = {number: "failed" if number % 3 == 0 else "passed" for number in range(1, 13)}
    jobs = [Job(number, Case(WRONG if outcome == "failed" else FLOW, "", {}), HERE) for number, outcome in due.items()]
    ledger = NotedDown()
    made: list[Audit] = []
    ways = cycle(PASSING)

    def open_(connection: Connection) -> InProcess:
        service = Service(clock=LoopTime())
        made.append(Audit(service))
        wrong = Breaking(EmbeddedTransport(service), lambda at: next(ways) if at % every == 0 else "")
        return InProcess(wrong, connection)

    played = play(jobs, open_, limits=Limits(jobs=4), ledger=ledger)
    [audit] = made
    audit.close()
    assert set(audit.left) <= set(ledger.open)
    told = {id for ended in played.only(AttemptEnded).values() for end in ended for id in end.left}
    assert {id for id in ledger.open.values() if id} & set(audit.left.values()) <= told
    assert all(len(set(texts)) == len(texts) for texts in audit.said.values())
    assert all(len(runs) <= len(audit.said[thread]) for thread, runs in audit.runs.items())
    if every < 5:
        # One in four is more than attempts and the retry budget are for; it may only be said so, and never otherwise.
        assert all(verdict in (due[number], "error") for number, verdict in played.outcomes.items())
        assert all(reason for outcome, reason in played.verdicts.values() if outcome == "error")
    else:
        assert due == played.outcomes
        assert ledger.orphans
        assert 12 == len(audit.runs)


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grown(here: Place) -> int:
    """How many things were ever made at the service."""
    with closing(sqlite3.connect(here.folder / "service.db")) as database:
        [found] = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'object'").fetchall() or [(0,)]
        return int(found[0])


def killed(here: Place, more: int, *options: str) -> int:
    """The code of a run that is killed as soon as it has made so many things."""
    at = grown(here) + more
    command = [sys.executable, "-m", "runner", "run", ".", "--jobs", "2", "--quiet", *options]
    with subprocess.Popen(command, cwd=here.folder, env=here.environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and grown(here) < at:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        return process.wait()


def cleaned_but_for_orphans(here: Place) -> None:
    """What is left after cleaning up is a thread whose making the kill fell into, and is told."""
    cleaned = here.clean()
    orphans = [line for line in cleaned.lines if line.startswith("possible orphan: thread without an id")]
    assert cleaned.code == 0, cleaned.stderr
    assert [each["id"] for each in here.held() if not str(each["id"]).startswith("thread_")] == []
    assert all(any(str(op) in line for line in orphans) for op in here.ops()), cleaned.stdout


def outcomes(text: str) -> list[tuple[str, str]]:
    return [(case["path"], case["outcome"]) for case in json.loads(text)["cases"]]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed like that there")
def test_the_command_killed_again_and_again_leaves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    run = "-m", "runner", "run", ".", "--jobs", "2", "--json", "-", "--quiet"
    with place(tmp_path) as here:
        for name, text in zip("abcdef", ("cat", "dog", "cat", "cat", "dog", "cat"), strict=True):
            here.flow(f"{name}.yaml", YAML.replace("contains: cat", f"contains: {text}"))
        whole = here.command(*run)
        assert 1 == whole.code
        each = grown(here) // 6
        for number, more in enumerate((1, 3, 2 * each + 2)):
            assert KILLED == killed(here, more, *(["--resume"] if number else []))
            if number == 1:
                cleaned_but_for_orphans(here)
        before = grown(here)
        resumed = here.command(*run, "--resume")
        assert grown(here) - before <= 5 * each, "what had its verdict was played again"
        assert outcomes(whole.stdout) == outcomes(resumed.stdout)
        assert whole.code == resumed.code
        cleaned_but_for_orphans(here)
