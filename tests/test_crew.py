"""Runs that are played in several processes: the same report, the same limits, and nothing left whoever is killed."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers_fixtures import FLOW, KILLED, Ended, Place, place
from tests.test_resume import timeless

DIES = "the process that played it was killed by signal 9"
LEFT = "something may be left at the service; `runflow clean` shows and deletes it\n"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as found:
        yield found


def flows(here: Place, passing: str, failing: str = "") -> None:
    for name in passing + failing:
        here.flow(f"{name}.yaml", FLOW if name in passing else FLOW.replace("contains: cat", "contains: dog"))


def outcomes(played: Ended) -> list[str]:
    return [each["outcome"] for each in json.loads(played.stdout)["cases"]]


def reasons(played: Ended) -> set[str]:
    """Why conversations came to no verdict."""
    return {each["reason"] for each in json.loads(played.stdout)["cases"] if each["outcome"] in ("error", "not_run")}


def test_the_report_is_that_of_one_process(here: Place) -> None:
    flows(here, "acdfgh", failing="be")
    here.flow("i.yaml", FLOW + "repeat: {times: 3, pass: 2}\n")
    here.flow("j.yaml", FLOW.replace("contains: cat", "contains: dog") + "retries: 1\n")
    here.flow("k.yaml", FLOW.replace("    expect:", "    skip: not today\n    expect:"))
    alone = here.play("--jobs", "4", ".")
    together = here.play("--jobs", "4", "--processes", "3", ".")
    assert (1, "") == (alone.code, alone.stderr) == (together.code, together.stderr)
    assert timeless(json.loads(alone.stdout)) == timeless(json.loads(together.stdout))
    assert ([], []) == (here.held(), here.ledgers())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_of_them_and_the_run_is_taken_up(here: Place, number: int, code: int) -> None:
    flows(here, "abcdef")
    for moment in (2, 20, 45, 90):
        stopped = here.play("--processes", "2", "--jobs", "4", "--kill", f"event:{moment}", "--signal", str(int(number)), ".")
        assert (code, code) == (stopped.code, json.loads(stopped.stdout)["exit_code"]), stopped
        assert 6 == len(outcomes(stopped))
        assert reasons(stopped) == {"interrupted"}
        assert ([], []) == (here.held(), here.ledgers())
    resumed = here.play("--resume", "--processes", "2", "--jobs", "4", ".")
    assert (0, ["passed"] * 6) == (resumed.code, outcomes(resumed))


HANDED_DOWN = """\
import runpy, signal, sys
number, handling = sys.argv.pop(1), sys.argv.pop(1)
signal.signal(getattr(signal, number), getattr(signal, handling))
runpy.run_module("tests.player", run_name="__main__")
"""
"""What a process does about a signal is handed down from whoever starts it."""


def test_whoever_started_us_may_ignore_what_becomes_of_children(here: Place) -> None:
    flows(here, "abcd")
    ended = here.command("-c", HANDED_DOWN, "SIGCHLD", "SIG_IGN", "--processes", "2", "--jobs", "4", ".")
    assert (0, "", ["passed"] * 4) == (ended.code, ended.stderr, outcomes(ended))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_ends_with_its_terminal_unless_it_is_to_survive_that(here: Place, processes: str) -> None:
    flows(here, "abcd")
    told = ("--processes", processes, "--jobs", "4", "--kill", "event:20", "--signal", str(int(signal.SIGHUP)), ".")
    ended = here.command("-c", HANDED_DOWN, "SIGHUP", "SIG_DFL", *told)
    assert (129, {"interrupted"}, []) == (ended.code, reasons(ended), here.held())
    ended = here.command("-c", HANDED_DOWN, "SIGHUP", "SIG_IGN", *told)
    assert (0, ["passed"] * 4) == (ended.code, outcomes(ended))


def test_when_the_first_process_is_killed_the_others_clean_up_and_end(here: Place) -> None:
    flows(here, "acdef", failing="b")
    whole = here.play(".")
    for resuming, moment in (((), 40), (("--resume",), 70), (("--resume",), 90)):
        killed = here.play(*resuming, "--processes", "2", "--jobs", "4", "--kill", f"event:{moment}", ".")
        # It has returned when nobody holds its output any more.
        assert KILLED == killed.code
        assert ([], []) == (here.held(), here.ledgers())
    resumed = here.play("--resume", "--processes", "2", "--jobs", "4", ".")
    assert timeless(json.loads(whole.stdout)) == timeless(json.loads(resumed.stdout))


def test_what_a_process_that_was_killed_played_has_no_verdict(here: Place) -> None:
    flows(here, "acde")
    here.flow("b.yaml", FLOW.replace("    expect:", "    skip: not today\n    expect:"))
    # An answer is about 26 replies, most of them of a stream, so that only the first process comes to the 35th, in `c`.
    played = here.play("--processes", "2", "--jobs", "2", "--kill", "reply:35", ".")
    assert (4, LEFT) == (played.code, played.stderr)
    assert ["passed", "skipped", "error", "passed", "not_run"] == outcomes(played)
    assert {DIES} == reasons(played)
    assert 1 == len(here.ledgers())
    assert 0 == here.clean().code
    assert ([], []) == (here.held(), here.ledgers())
    resumed = here.play("--resume", "--processes", "2", "--jobs", "2", ".")
    assert (0, ["passed", "skipped", "passed", "passed", "passed"]) == (resumed.code, outcomes(resumed))


def test_no_more_conversations_fail_than_are_allowed_but_those_under_way(here: Place) -> None:
    flows(here, "", failing="abcdefghijklmnop")
    played = here.play("--processes", "2", "--jobs", "2", "--max-failures", "3", ".")
    counted = Counter(outcomes(played))
    assert 3 <= counted["failed"] <= 4
    assert {"failed": counted["failed"], "not_run": 16 - counted["failed"]} == counted
    assert {"stopped after 3 failures"} == reasons(played)
    assert "stopped after 3 failures" == json.loads(played.stdout)["stopped"]


def test_all_processes_spend_one_budget(here: Place) -> None:
    flows(here, "abcdefghij")
    played = here.play("--processes", "2", "--jobs", "4", "--calls", "40", ".")
    assert {"the budget of 40 calls is used up"} == reasons(played)
    # Seven calls each, and one that cleans up and is always made.
    assert 1 <= Counter(outcomes(played))["passed"] <= 40 // 6
    assert [] == here.held()


BROKEN = """\
import os, signal, sys
from functools import partial
from runner import crew, plan, settings, suite
from runner.load import load
from runner.targets import Connection, ConnectionProblem

def trusted(flow):
    if sys.argv[1] == "there" and flow.path.stem == "c":
        raise RuntimeError("a mistake of ours")
    return False

def emit(envelope):
    print(type(envelope.event).__name__)
    if sys.argv[1] == "here" and type(envelope.event).__name__ == "StepStarted":
        raise RuntimeError("a mistake of ours")

connection = settings.choose(None, environment=os.environ, settings=settings.Settings())
if sys.argv[1] == "nowhere":
    connection = Connection("dashscope", "https://dashscope.aliyuncs.com/api/v1", "for tests", "ANOTHER_KEY")
cases = [case for path in plan.collect(["."]) for case in plan.cases(load(path), {})]
jobs = [suite.Job(number, case, connection) for number, case in enumerate(cases, 1)]
try:
    suite.run(jobs, emit, environment=os.environ, limits=suite.Limits(jobs=4), trusted=trusted,
        player=partial(crew.play, count=2))
except Exception as problem:
    print(type(problem).__name__, str(problem).strip().splitlines()[-1])
"""


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_bug_ends_all_of_them_and_nothing_is_left(here: Place, where: str) -> None:
    flows(here, "abcd")
    ended = here.command("-c", BROKEN, where)
    problem = "RuntimeError a mistake of ours" if where == "here" else "PartFailed RuntimeError: a mistake of ours"
    # Who is told of something and breaks is told that it is over all the same.
    assert ["SuiteStarted", "SuiteEnded", problem] == [ended.lines[0], *ended.lines[-2:]]
    assert (0, "", []) == (ended.code, ended.stderr, here.held())


def test_nothing_is_told_where_no_connection_can_be_made(here: Place) -> None:
    flows(here, "abcd")
    ended = here.command("-c", BROKEN, "nowhere")
    assert ["ConnectionProblem ANOTHER_KEY is not set; target `dashscope` needs its key there"] == ended.lines
