"""Many cases on one loop, against the embedded service itself; and what a signal leaves behind."""

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runner import __version__, engine, suite
from runner.budget import Budget
from runner.embedded.service import Request, Service
from runner.events import (
    AttemptEnded,
    AttemptStarted,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    RunStatusChanged,
    SuiteEnded,
    SuiteStarted,
)
from runner.gallery import Gallery
from runner.model import (
    Asks,
    Assistant,
    AssistantObject,
    ByPython,
    Expectation,
    Flow,
    Function,
    Outcome,
    PythonFunction,
    Repeat,
    Returns,
    Sample,
    SampleCall,
    Step,
    Tool,
    Verdict,
)
from runner.ndjson import dumps
from runner.plan import Case
from runner.report import Report
from runner.suite import Job, Limits, Suite
from runner.targets import Connection, ConnectionProblem, TargetError
from runner.targets.embedded import Embedded
from runner.transport.embedded import EmbeddedTransport
from tests.engine_fixtures import DELETED, expect, flow, message, on_virtual_time, page, run
from tests.suite_fixtures import HERE, Answers, Dice, Model, SteadyClock, job, jobs, play, refusal

CONNECTION = Connection("embedded", Embedded.default_base_url, "for tests")
PAINTER = Assistant(model="qwen-max", tools=(Tool("text_to_image"),))


class LoopTime:
    """The service's clock on the loop of the test."""

    def now(self) -> float:
        return 1_795_439_621 + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class KeptOpen(EmbeddedTransport):
    """The service outlives the target, so that it can be asked what it still holds."""

    async def aclose(self) -> None:
        pass


Serving = Callable[..., Service]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Makes services that outlive their targets, so that what is left in them can be seen."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Service:
            service = Service(**settings)
            stack.callback(service.close)
            return service

        yield make


def held(service: Service) -> list[object]:
    async def ask() -> list[object]:
        answered = await service.respond(Request("GET", "/api/v1/assistants"))
        assert isinstance(answered.body, bytes)
        data: list[object] = json.loads(answered.body)["data"]
        return data

    return asyncio.run(ask())


def embedded(service: Service) -> Embedded:
    return Embedded(KeptOpen(service), CONNECTION)


# ── the embedded service ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streaming", [True, False])
def test_a_conversation_with_the_embedded_service(streaming: bool, serving: Serving) -> None:
    service = serving(clock=LoopTime(), latency=1.3)
    events: list[Event] = []
    picture = Step(
        user="Draw a picture of a ragdoll cat.",
        expect=(expect("calls", "text_to_image"), expect("image"), expect("contains", "cat")),
    )
    sampled = Step(user="And its name?", sample="It is called ${name}.", expect=(expect("contains", "${name}"),))
    case = Case(flow(picture, sampled, assistant=PAINTER), "", {"name": "Tama"})

    async def go() -> Outcome:
        return await engine.play(
            case, embedded(service), events.append, save_image=lambda *_given: "1.png", streaming=streaming
        )

    assert Outcome.PASSED == on_virtual_time(go())
    assert ["passed"] * 4 == [str(ended.outcome) for ended in events if isinstance(ended, CheckEnded)]
    assert ["1.png"] == [saved.path for saved in events if isinstance(saved, ImageSaved)]
    waits = [ended.seconds for ended in events if isinstance(ended, OperationEnded) and ended.operation == "wait"]
    assert all(seconds <= 1.31 if streaming else seconds <= 1.42 for seconds in waits)
    assert [] == held(service)


# ── the suite ────────────────────────────────────────────────────────────────────────────────────────────────────────


def numbered(*cases: Case) -> list[Job]:
    return [Job(number, case, CONNECTION) for number, case in enumerate(cases, 1)]


def test_envelopes_are_numbered_by_case_and_dated() -> None:
    told: list[Envelope] = []
    cases = [Case(flow(Step(user="Hello.")), "", {}), Case(flow(Step(user="Bye.")), "two", {})]
    suite.run(numbered(*cases), told.append, environment={}, wall=lambda: 7.0)
    assert [SuiteStarted, SuiteEnded] == [type(each.event) for each in told if each.case == 0]
    started = told[0].event
    assert isinstance(started, SuiteStarted)
    assert ("embedded", "for tests", 2, True) == (started.target, started.reason, started.cases, started.simulated)
    assert 0 == last(told).signal
    for number in (0, 1, 2):
        mine = [each for each in told if each.case == number]
        assert list(range(1, len(mine) + 1)) == [each.sequence for each in mine]
    assert {7.0} == {each.time for each in told}
    assert ["", "two"] == [each.event.label for each in told if isinstance(each.event, CaseStarted)]
    assert [Outcome.PASSED] * 2 == [each.event.outcome for each in told if isinstance(each.event, CaseEnded)]


def test_pictures_are_saved_in_the_folder_of_the_job() -> None:
    told: list[Envelope] = []
    saved: list[tuple[str, int, int]] = []

    def save(name: str, step: int, index: int, _data: bytes) -> str:
        saved.append((name, step, index))
        return "x.png"

    case = Case(flow(Step(user="Draw a cat."), assistant=PAINTER), "row 1", {})
    suite.run([Job(1, case, CONNECTION, folder="paint-row-1")], told.append, environment={}, save_picture=save)
    assert [("paint-row-1", 1, 1)] == saved


def test_nothing_is_told_when_the_connection_must_not_be_made() -> None:
    told: list[Envelope] = []
    remote = Connection("dashscope", "https://dashscope.aliyuncs.com/api/v1", "")
    jobs = [*numbered(Case(flow(), "", {})), Job(2, Case(flow(), "", {}), remote)]
    with pytest.raises(ConnectionProblem):
        suite.run(jobs, told.append, environment={})
    assert [] == told


def test_a_trace_receives_every_call() -> None:
    lines: list[str] = []
    case = Case(flow(Step(user="Hello.")), "", {})
    suite.run(numbered(case), lambda _envelope: None, environment={}, trace=lines.append)
    assert [
        "POST …/assistants",
        "POST …/threads",
        "POST …/threads/ID/messages",
        "POST …/threads/ID/runs",
        "GET …/threads/ID/runs/ID",
        "GET …/threads/ID/messages?order=desc",
        "DELETE …/threads/ID",
        "DELETE …/assistants/ID",
    ] == [plain(line) for line in lines if not line.startswith("  ")]


def plain(line: str) -> str:
    call = line.partition(": ")[0].replace("http://embedded.invalid/api/v1", "…")
    return re.sub(r"/\w+_[0-9a-f-]{36}", "/ID", call)


def last(told: list[Envelope]) -> SuiteEnded:
    assert isinstance(told[-1].event, SuiteEnded)
    return told[-1].event


def played(service: Service, hear: Callable[[Envelope], None], *cases: Case, **more: Any) -> list[Envelope]:
    told: list[Envelope] = []

    def emit(envelope: Envelope) -> None:
        told.append(envelope)
        hear(envelope)

    every = cases or [Case(flow(Step(user="Hello.")), "", {}) for _each in range(2)]
    playing = Suite(numbered(*every), emit, lambda _connection: embedded(service), [CONNECTION], wall=lambda: 0.0, **more)
    asyncio.run(playing.play())
    return told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_case_deletes_what_was_made_and_starts_no_other(number: signal.Signals, serving: Serving) -> None:
    service = serving(latency=600)
    before = signal.getsignal(number)

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, OperationStarted) and envelope.event.operation == "wait":
            os.kill(os.getpid(), number)

    told = played(service, hear)
    assert number == last(told).signal
    assert [("error", "interrupted", ())] == [
        (each.event.outcome, each.event.reason, each.event.left) for each in told if isinstance(each.event, AttemptEnded)
    ]
    assert {"interrupted"} == {each.event.reason for each in told if isinstance(each.event, CaseEnded)}
    assert [(1, "error"), (2, "not_run")] == [
        (each.case, each.event.outcome) for each in told if isinstance(each.event, CaseEnded)
    ]
    assert ["cancel_run", "delete_thread", "delete_assistant"] == [
        each.event.operation for each in told if isinstance(each.event, OperationEnded)
    ][-3:]
    assert [] == held(service)
    assert before == signal.getsignal(number)


def test_a_second_signal_leaves_at_once_and_names_what_is_left(serving: Serving) -> None:
    service = serving(latency=600)

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, OperationStarted) and envelope.event.operation in ("wait", "cancel_run"):
            os.kill(os.getpid(), signal.SIGINT)

    told = played(service, hear)
    (ended,) = [each.event for each in told if isinstance(each.event, AttemptEnded)]
    assert 2 == len(ended.left)
    assert 2 == last(told).signal


def test_a_bug_surfaces_after_the_suite_has_ended(serving: Serving) -> None:
    service = serving()
    told: list[Envelope] = []

    def hear(envelope: Envelope) -> None:
        told.append(envelope)
        if isinstance(envelope.event, RunStatusChanged):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        played(service, hear)
    assert last(told).seconds > 0
    assert [("error", "a bug in runflow"), ("not_run", "a bug in runflow")] == [
        (each.event.outcome, each.event.reason) for each in told if isinstance(each.event, CaseEnded)
    ]
    assert [] == held(service)


def test_reporters_that_keep_failing_do_not_keep_us_from_cleaning_up(serving: Serving) -> None:
    service = serving()

    def hear(envelope: Envelope) -> None:
        if envelope.sequence > 10:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        played(service, hear)
    assert [] == held(service)


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("limit", "seconds"), [(1, 11.0), (3, 4.4), (10, 1.1)])
def test_so_many_conversations_are_under_way_at_once_and_no_more(limit: int, seconds: float) -> None:
    service = Model()
    played = play(jobs(10), service, limits=Limits(jobs=limit))
    assert dict.fromkeys(range(1, 11), "passed") == played.outcomes
    assert (limit, {}) == (service.most, service.there)
    assert seconds == pytest.approx(played.seconds)


def test_conversations_begin_in_their_order() -> None:
    service = Model(slow={"long": 5.0})
    given = [job(number, model="long" if number % 3 == 0 else "short") for number in (7, 3, 9, 4, 5, 6, 1)]
    played = play(given, service, limits=Limits(jobs=3))
    assert [7, 3, 9, 4, 5, 6, 1] == list(played.only(CaseStarted))


def test_the_same_suite_gives_the_same_report_however_many_are_played_at_once(tmp_path: Path, serving: Serving) -> None:
    draw = Step(user="Draw a ragdoll cat.", expect=(expect("image"), expect("contains", "cat")))
    given = [
        job(1, "Say no.", retries=2),
        Job(2, Case(flow(draw, assistant=PAINTER), "", {}), HERE, folder="paint"),
        job(3, skip="not today"),
        job(4, repeat=(3, 2)),
        Job(5, Case(flow(draw, assistant=PAINTER, path=Path("other/paint.yaml")), "", {}), HERE, folder="paint-2"),
        Job(
            6,
            Case(flow(draw, assistant=PAINTER, path=Path("other/PAINT.yaml"), repeat=Repeat(2, 1)), "", {}),
            HERE,
            folder="PAINT-3",
        ),
        *(job(number, "Is it ${number}?", variables={"number": str(number)}) for number in range(7, 20)),
    ]
    reports = []
    for limit in (1, 8):
        service = serving(clock=LoopTime(), latency=0.3)
        gallery = Gallery(tmp_path / str(limit))
        played = play(given, embedded(service), limits=Limits(jobs=limit), save_picture=gallery.save)
        reports.append(without_times_and_ids(played.report).replace(str(tmp_path / str(limit)), ""))
        assert [] == held(service)
    assert reports[0] == reports[1]
    for path in ("/paint/1-1.png", "/paint-2/1-1.png", "/PAINT-3/1-1.png", "/PAINT-3/attempt-2/1-1.png"):
        assert path in reports[0]


def without_times_and_ids(report: Report) -> str:
    told = dumps([report.totals, *report.cases], indent=1)
    told = re.sub(r"images/[\w-]+\.png|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9-]{10} [0-9:]{8}\.[0-9]{3}", "SOME", told)
    return re.sub(r'"(seconds|id|request_id)": ("[^"]*"|[0-9.e-]+)', r'"\1": 0', told)


def test_a_model_that_is_throttled_holds_up_no_other() -> None:
    service = Model(busy={"busy": 40.0})
    given = [job(number, model="busy" if number <= 20 else "idle") for number in range(1, 31)]
    played = play(given, service, limits=Limits(jobs=8))
    assert {"passed"} == set(played.outcomes.values())
    order = [each.case for each in played.told if isinstance(each.event, CaseEnded)]
    assert set(range(21, 31)) == set(order[:10])


def test_jobs_are_looked_up_once_in_their_order_and_forgotten() -> None:
    looked: list[int] = []
    known: list[weakref.ref[Case]] = []

    class Known(Case):
        """May be asked whether it is still there."""

    class Lazy(Sequence[Job]):
        def __len__(self) -> int:
            return 50

        def __getitem__(self, index: Any) -> Any:
            looked.append(index)
            gc.collect()
            assert sum(each() is not None for each in known) <= 6
            made = job(index + 1)
            case = Known(made.case.flow, "", {})
            known.append(weakref.ref(case))
            return replace(made, case=case)

    played = play(Lazy(), Model(), limits=Limits(jobs=4), connections=[HERE])
    assert list(range(50)) == looked
    assert 50 == played.report.totals.passed


def test_of_those_that_wait_for_a_place_only_so_many_are_looked_up() -> None:
    looked: list[int] = []
    then: list[int] = []

    class Lazy(Sequence[Job]):
        def __len__(self) -> int:
            return 2 * suite.PARKED

        def __getitem__(self, index: Any) -> Any:
            looked.append(index)
            return job(index + 1, model="busy")

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, RunStatusChanged) and not then:
            then.append(len(looked))

    played = play(Lazy(), Model(busy={"busy": 40.0}), hear, limits=Limits(jobs=8), connections=[HERE])
    assert suite.PARKED < then[0] <= suite.PARKED + 8
    assert 2 * suite.PARKED == played.report.totals.passed


def test_jobs_over_several_connections_are_one_suite() -> None:
    there = Connection("other", "https://other.test/api/v1", "as --target says", streaming=False)
    again = replace(HERE, reason="for another reason")
    services: dict[str, Model] = {}

    def open_(connection: Connection) -> Model:
        assert connection.target not in services
        services[connection.target] = Model()
        return services[connection.target]

    played = play([job(1), job(2, connection=there), job(3, connection=again), job(4)], open_, fail_on_flaky=True)
    assert ["simple", "other", "simple", "simple"] == [each.target for (each,) in played.only(CaseStarted).values()]
    assert {"simple": 3, "other": 1} == {name: service.made["run"] for name, service in services.items()}
    assert [1, 1] == [service.closed for service in services.values()]
    assert (
        SuiteStarted(
            version=__version__,
            target="simple, other",
            base_url="https://service.test/api/v1, https://other.test/api/v1",
            reason="for tests, as --target says",
            cases=4,
            simulated=True,
            fail_on_flaky=True,
        )
        == played.told[0].event
    )


def test_two_conversations_never_ask_the_person_at_once(tmp_path: Path) -> None:
    asking: list[str] = []

    async def ask(name: str, _arguments: str, _question: str) -> str:
        assert not asking
        asking.append(name)
        await asyncio.sleep(0.01)
        asking.remove(name)
        return "shipped"

    told: list[Envelope] = []
    every = numbered(*[Case(order(tmp_path, answer=Asks("Which state?")), "", {})] * 4)
    suite.run(every, told.append, environment={}, ask=ask, limits=Limits(jobs=4))
    assert 4 == Report.of(told).totals.passed


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BROKEN = refusal(400)
BECAUSE = "POST /threads/t/runs: 400 InvalidParameter: on purpose"
P, F, E = "passed", "failed", "error"


@pytest.mark.parametrize(
    ("retries", "answers", "attempts", "verdict"),
    [
        (0, ["yes"], [P], (P, "")),
        (0, ["no", "yes"], [F], (F, "")),
        (0, [BROKEN, "yes"], [E], (E, BECAUSE)),
        (2, ["yes"], [P], (P, "")),
        (2, ["no", "yes"], [F, P], ("flaky", "")),
        (2, [BROKEN, "yes"], [E, P], ("flaky", "")),
        (2, ["no", BROKEN, "yes"], [F, E, P], ("flaky", "")),
        (2, ["no", "no", "no", "yes"], [F, F, F], (F, "")),
        (2, ["no", BROKEN, BROKEN, "yes"], [F, E, E], (F, "")),
        (2, [BROKEN, BROKEN, BROKEN, "yes"], [E, E, E], (E, BECAUSE)),
        (1, [BROKEN, refusal(409, "Second")], [E, E], (E, BECAUSE)),
    ],
)
def test_a_conversation_that_did_not_pass_is_played_again(
    retries: int, answers: list[str | Exception], attempts: list[str], verdict: tuple[str, str]
) -> None:
    service = Model({"Is it 1?": answers})
    played = play([job(1, retries=retries), job(2)], service)
    assert {1: attempts, 2: [P]} == played.attempts
    assert {1: verdict, 2: (P, "")} == played.verdicts
    assert len(attempts) - 1 == played.report.totals.retries
    assert {} == service.there


@pytest.mark.parametrize("failure", [refusal(401), refusal(403), refusal(400, "Arrearage")])
def test_nothing_is_played_again_for_a_service_that_will_not_have_us(failure: TargetError) -> None:
    played = play([job(1, retries=5)], Model({"Is it 1?": [failure, "yes"]}))
    assert ({1: [E]}, {1: (E, failure.sentence)}) == (played.attempts, played.verdicts)
    repeated = play([job(1, repeat=(5, 1))], Model({"Is it 1?": [failure, "yes"]}))
    because = f"0 of 5 passed, 1 is needed: {failure.sentence}"
    assert ({1: [E]}, {1: (E, because)}) == (repeated.attempts, repeated.verdicts)


def replace_wish(failure: TargetError, seconds: float) -> TargetError:
    """The same, from a service that asks to be left alone for so long; as it is told in the end."""
    failure.retry_after = seconds
    failure.note = f"the service asks to wait {seconds:g} s, which is too long"
    return failure


class Closed(Model):
    """Lets nobody in who asks for one model."""

    async def create_assistant(self, assistant: Assistant, *op: str) -> AssistantObject:
        if assistant.model == "closed":
            self.calls += 1
            raise refusal(401)
        return await super().create_assistant(assistant, *op)


def test_no_more_conversations_begin_where_the_service_lets_nobody_in() -> None:
    service = Closed()
    played = play([*jobs(6, model="closed"), job(7)], service, limits=Limits(jobs=2))
    why = refusal(401).sentence
    assert {1: E, 2: E, **dict.fromkeys((3, 4, 5, 6), "not_run"), 7: P} == played.outcomes
    assert {why} == {reason for outcome, reason in played.verdicts.values() if outcome != P}
    assert (why, 4) == (played.ended.reason, played.report.exit_code)


@pytest.mark.parametrize("failure", [refusal(401), refusal(400, "Arrearage"), replace_wish(refusal(429), 86400.0)])
def test_a_refusal_that_everybody_gets_ends_the_run_for_its_model_also_later(failure: TargetError) -> None:
    played = play([*jobs(6), job(7, model="another")], Model({"Is it 2?": [failure]}))
    assert {1: P, 2: E, **dict.fromkeys((3, 4, 5, 6), "not_run"), 7: P} == played.outcomes
    assert {failure.sentence} == {reason for outcome, reason in played.verdicts.values() if outcome != P}


class Away:
    """A service that cannot be asked anything from one time to another."""

    def __init__(self, failure: Callable[[], TargetError], begins: float, ends: float = inf) -> None:
        self.service = Model()
        self.failure = failure
        self.begins = begins
        self.ends = ends
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.service, name)
        if not callable(found) or name == "close":
            return found

        async def asked(*given: Any) -> Any:
            if self.begins <= asyncio.get_running_loop().time() < self.ends:
                self.refused += 1
                raise self.failure()
            return await found(*given)

        return asked


def nobody_there() -> TargetError:
    return TargetError("POST /x", "connection refused", sent=False)


@pytest.mark.parametrize("failure", [nobody_there, lambda: refusal(503)])
@pytest.mark.parametrize("seconds", [1, 5, 20])
def test_a_service_that_is_out_of_order_for_a_while_is_waited_for(failure: Callable[[], TargetError], seconds: int) -> None:
    service: Any = Away(failure, 3, 3 + seconds)
    played = play(jobs(400), service, limits=Limits(jobs=50), clock=Dice())
    assert {P} == set(played.outcomes.values())
    assert {} == service.there
    # Fifty are under way when it goes away. Most of them need not ask in vain, and then one at a time finds out.
    assert 5 < service.refused < 50


@pytest.mark.parametrize("failure", [nobody_there, lambda: refusal(503)])
def test_a_service_that_stays_away_ends_the_run(failure: Callable[[], TargetError]) -> None:
    service: Any = Away(failure, 3)
    played = play(jobs(2000), service, limits=Limits(jobs=50), clock=Dice())
    counted = Counter(played.outcomes.values())
    assert {"passed", "error", "not_run"} == set(counted)
    assert counted["error"] < 100
    assert played.ended.reason.endswith("; the service has been out of order for too long")
    assert (True, 4) == (service.refused < 500, played.report.exit_code)
    assert 120 < played.seconds < 180


def test_no_more_conversations_begin_where_nobody_is_there() -> None:
    service: Any = Away(nobody_there, 0)
    played = play(jobs(50), service, limits=Limits(jobs=20))
    counted = Counter(played.outcomes.values())
    assert {"error": counted["error"], "not_run": 50 - counted["error"]} == counted
    assert 1 <= counted["error"] <= 4
    assert {"POST /x: connection refused"} == {reason for _outcome, reason in played.verdicts.values()}
    assert service.refused <= 16


class Sticky(Model):
    """Takes long to delete a thread."""

    async def delete_thread(self, thread_id: str) -> None:
        await asyncio.sleep(1000)


def test_a_verdict_that_was_reached_stays_when_the_run_is_stopped_while_it_cleans_up() -> None:
    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, OperationStarted) and envelope.event.operation == "delete_thread":
            os.kill(os.getpid(), signal.SIGINT)

    service = Sticky({"Is it 2?": ["no"]})
    played = play(jobs(2), service, hear, limits=Limits(jobs=2))
    assert {1: P, 2: F} == played.outcomes
    assert (130, signal.SIGINT) == (played.report.exit_code, played.ended.signal)
    left = {case: ended.left for case, (ended,) in played.only(AttemptEnded).items()}
    assert {1: ("assistant-1", "thread-1"), 2: ("assistant-2", "thread-2")} == left


@pytest.mark.parametrize(("timeout", "seconds"), [(4.0, 30), (60.0, 60), (900.0, 300)])
def test_cleaning_up_takes_no_longer_than_the_conversation_may(timeout: float, seconds: int) -> None:
    played = play([job(1, timeout=timeout)], Sticky())
    assert {1: (E, "there was no time to delete what was made")} == played.verdicts
    assert seconds - 2 < played.seconds < seconds + 2


def test_one_who_is_refused_later_keeps_no_others_out() -> None:
    played = play(jobs(4), Model({"Is it 2?": [refusal(403)]}))
    assert {1: P, 2: E, 3: P, 4: P} == played.outcomes


@pytest.mark.parametrize(
    ("times", "needed", "answers", "verdict"),
    [
        (3, 3, ["yes"], (P, "")),
        (3, 2, ["yes", "no", "yes"], (P, "")),
        (3, 2, ["no", "yes", BROKEN], (E, f"1 of 3 passed, 2 are needed: {BECAUSE}")),
        (3, 2, ["no", "no", "yes"], (F, "1 of 3 passed, 2 are needed")),
        (3, 2, [BROKEN, "no", "no"], (F, "0 of 3 passed, 2 are needed")),
        (3, 1, ["no", "no", "no"], (F, "0 of 3 passed, 1 is needed")),
        (3, 1, ["no", "no", BROKEN], (E, f"0 of 3 passed, 1 is needed: {BECAUSE}")),
        (2, 2, [BROKEN, BROKEN], (E, f"0 of 2 passed, 2 are needed: {BECAUSE}")),
    ],
)
def test_a_conversation_may_be_played_several_times_of_which_some_must_pass(
    times: int, needed: int, answers: list[str | Exception], verdict: tuple[str, str]
) -> None:
    service = Model({"Is it 1?": answers})
    played = play([job(1, repeat=(times, needed))], service)
    assert {1: verdict} == played.verdicts
    assert times == len(played.attempts[1])
    ((started,),) = played.only(CaseStarted).values()
    assert (times, needed, 0) == (started.times, started.needed, played.report.totals.retries)


def test_a_conversation_that_is_skipped_is_skipped_once() -> None:
    played = play([job(1, skip="not today", retries=3), job(2, skip="not today", repeat=(3, 2))], Model())
    assert {1: ("skipped", "not today"), 2: ("skipped", "not today")} == played.verdicts
    assert {1: ["skipped"], 2: ["skipped"]} == played.attempts


# ── ending early ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("limit", "begun"), [(1, 4), (3, 6)])
def test_no_conversation_begins_after_so_many_failures(limit: int, begun: int) -> None:
    service = Model({"Is it 2?": ["no"], "Is it 4?": [BROKEN], "Is it 5?": ["no"]})
    played = play(jobs(9, retries=0), service, limits=Limits(jobs=limit, max_failures=2))
    expected = {1: P, 2: F, 3: P, 4: E, 5: F, 6: P}
    assert {number: expected[number] if number <= begun else "not_run" for number in range(1, 10)} == played.outcomes
    assert "stopped after 2 failures" == played.ended.reason == played.verdicts[9][1]
    assert {} == service.there


def test_after_so_many_failures_nothing_is_played_again_but_what_was_begun_is_played_to_its_end() -> None:
    service = Model({f"Is it {number}?": ["no", "yes"] for number in (1, 2, 3)}, slow={"slow": 5.0})
    given = [job(1), job(2, model="slow", retries=3), job(3, model="slow", repeat=(3, 2)), job(4), job(5)]
    played = play(given, service, limits=Limits(jobs=3, max_failures=1))
    assert {1: [F], 2: [F], 3: [F, P, P]} == played.attempts
    assert {1: F, 2: F, 3: P, 4: "not_run", 5: "not_run"} == played.outcomes


def test_a_flaky_conversation_is_no_failure() -> None:
    played = play(jobs(3, retries=1), Model({"Is it 1?": ["no", "yes"]}), limits=Limits(max_failures=1))
    assert {1: "flaky", 2: P, 3: P} == played.outcomes
    assert "" == played.ended.reason


def test_nothing_ended_early_when_nothing_was_left_to_begin() -> None:
    played = play(jobs(2), Model({"Is it 2?": ["no"]}), limits=Limits(max_failures=1))
    assert ({1: P, 2: F}, "") == (played.outcomes, played.ended.reason)


def test_when_the_time_of_the_run_is_up_what_is_under_way_is_cleaned_up_and_has_no_verdict() -> None:
    service = Model(seconds=4.0)
    played = play(jobs(8, retries=1), service, limits=Limits(jobs=3, seconds=10.0))
    late = "the run was not over after 10 s"
    assert {1: P, 2: P, 3: P, 4: P, 5: P, 6: P, 7: E, 8: E} == played.outcomes
    assert {(E, late)} == {played.verdicts[7], played.verdicts[8]}
    assert [late] == [each.reason for each in played.only(AttemptEnded)[7]]
    assert late == played.ended.reason
    assert ({}, True) == (service.there, played.seconds < 12)


def test_conversations_not_begun_when_the_time_is_up_are_told_as_not_run() -> None:
    played = play(jobs(4), Model(seconds=4.0), limits=Limits(seconds=6.0))
    late = "the run was not over after 6 s"
    assert {1: (P, ""), 2: (E, late), 3: ("not_run", late), 4: ("not_run", late)} == played.verdicts
    assert 4 == played.report.exit_code
    assert {1, 2} == set(played.attempts)


def test_a_retry_cut_short_leaves_no_verdict_for_it_might_have_passed() -> None:
    played = play([job(1, retries=1)], Model({"Is it 1?": ["no"]}, seconds=4.0), limits=Limits(seconds=6.0))
    assert ({1: [F, E]}, {1: (E, "the run was not over after 6 s")}) == (played.attempts, played.verdicts)


def test_a_verdict_given_before_the_time_was_up_stands() -> None:
    service = Model({"Is it 1?": ["no"]})
    played = play(jobs(2), service, limits=Limits(jobs=2, seconds=1.05))
    assert {1: F, 2: P} == played.outcomes
    assert {} == service.there


@pytest.mark.parametrize(
    ("budget", "outcomes", "why"),
    [
        (Budget(calls=1000), [P, P, P, P], ""),
        (Budget(tokens=20), [P, P, "not_run", "not_run"], "the budget of 20 tokens is used up"),
        (Budget(calls=14), [P, P, "not_run", "not_run"], "the budget of 14 calls is used up"),
    ],
)
def test_no_conversation_begins_when_the_budget_is_used_up(budget: Budget, outcomes: list[str], why: str) -> None:
    service = Model()
    played = play(jobs(4), service, limits=Limits(budget=budget))
    assert outcomes == list(played.outcomes.values())
    assert why == played.ended.reason


@pytest.mark.parametrize("calls", [1, 7, 20, 33])
def test_all_conversations_share_one_budget_which_leaves_enough_to_clean_up(calls: int) -> None:
    service = Model()
    budget = Budget(calls=calls)
    played = play(jobs(12, retries=3), service, limits=Limits(jobs=4, budget=budget))
    why = f"the budget of {calls} calls is used up"
    assert {why} == {reason for outcome, reason in played.verdicts.values() if outcome != P}
    assert service.calls - service.tidied <= calls <= service.calls == budget.calls_used.total
    assert {} == service.there
    assert "not_run" == played.outcomes[12]
    assert 0 == played.report.totals.retries


def test_what_waited_for_a_place_does_not_begin_when_the_budget_is_used_up_meanwhile() -> None:
    budget, used = Budget(tokens=40), []

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, AttemptStarted):
            used.append(budget.tokens_used.total)

    played = play(jobs(12, model="busy"), Model(busy={"busy": 40.0}), hear, limits=Limits(jobs=8, budget=budget))
    assert max(used) < 40 <= budget.tokens_used.total
    assert "not_run" == played.outcomes[12]


def test_several_attempts_end_when_the_budget_does() -> None:
    played = play([job(1, repeat=(5, 2)), job(2, repeat=(3, 1))], Model(), limits=Limits(budget=Budget(tokens=10)))
    assert {1: [P]} == played.attempts
    why = "the budget of 10 tokens is used up"
    assert {1: (E, f"1 of 5 passed, 2 are needed: {why}"), 2: ("not_run", why)} == played.verdicts


def test_requests_come_no_faster_than_told() -> None:
    service = Model(seconds=0.0)
    played = play(jobs(10), service, limits=Limits(jobs=10, max_rps=5.0))
    # So many may go at once within the first second.
    assert (service.calls - 5) / 5.0 <= played.seconds <= service.calls / 5.0 * 1.05


def test_what_lasts_is_noted_down_for_each_attempt_and_may_be_kept() -> None:
    noted: list[tuple[str, ...]] = []

    class Noting:
        def of(self, connection: Connection, flow: str = "") -> "Noting":
            noted.append((connection.target, flow))
            return self

        async def intend(self, kind: str, _op: str, parent: str = "") -> None:
            noted.append((kind, parent))

        def made(self, _op: str, id: str) -> None:
            noted.append(("made", id))

        def gone(self, _op: str) -> None:
            noted.append(("gone",))

        def kept(self, _op: str) -> None:
            noted.append(("kept",))

    class Lasting(Model):
        lasting: ClassVar[bool] = True

    service = Lasting({"Is it 1?": ["no", "yes"]})
    played = play([job(1, retries=1)], service, ledger=Noting(), limits=Limits(keep=True))
    once = [("simple", "flow1.yaml"), ("assistant", ""), ("made", "assistant-1"), ("thread", ""), ("made", "thread-1")]
    assert once == noted[:5]
    assert 2 == noted.count(("simple", "flow1.yaml"))
    assert 4 == noted.count(("kept",))
    assert [("assistant-1", "thread-1"), ("assistant-2", "thread-2")] == [
        tuple(sorted(each.kept)) for each in played.only(AttemptEnded)[1]
    ]
    assert 4 == len(service.there)
    play([job(1)], Model(), ledger=Noting())
    assert 2 == len([each for each in noted if each[0] == "simple"])


# ── going on with an earlier run ─────────────────────────────────────────────────────────────────────────────────────


def test_what_was_finished_before_is_told_again_in_its_place_and_not_played() -> None:
    answers: Answers = {"Is it 2?": ["no", "yes"], "Is it 4?": ["no"]}
    given = jobs(5, retries=1)
    unbroken = play(given, Model(answers))
    kept = {case: [each for each in unbroken.told if each.case == case and each.sequence % 7] for case in (2, 4)}
    service = Model(answers)
    resumed = play(given, service, finished=kept, limits=Limits(jobs=2))
    assert {1, 3, 5} == {int(text.strip("Is it?")) for text in service.asked}
    assert unbroken.verdicts == resumed.verdicts
    assert unbroken.attempts == resumed.attempts


def test_failures_of_an_earlier_run_count() -> None:
    given = jobs(4)
    earlier = play(given, Model({"Is it 1?": ["no"], "Is it 4?": ["no"]}))
    kept = {case: [each for each in earlier.told if each.case == case] for case in (1, 4)}
    resumed = play(given, Model(), finished=kept, limits=Limits(max_failures=1))
    assert {1: F, 2: "not_run", 3: "not_run", 4: F} == resumed.outcomes


# ── bugs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bug_in_one_conversation_lets_the_others_clean_up() -> None:
    service = Model({"Is it 2?": [ZeroDivisionError("in here")]}, slow={"slow": 50})
    given = [job(1, model="slow"), job(2), job(3, model="slow"), job(4)]
    played = play(given, service, limits=Limits(jobs=3))
    assert isinstance(played.bug, ZeroDivisionError)
    assert {(E, "a bug in runflow")} == {played.verdicts[number] for number in (1, 2, 3)}
    assert "not_run" == played.outcomes[4]
    assert ({}, 1) == (service.there, service.closed)


def test_all_clean_up_when_the_suite_itself_is_cancelled() -> None:
    service = Model(seconds=50)
    told: list[Envelope] = []

    async def go() -> None:
        target: Any = service
        task = asyncio.ensure_future(Suite(jobs(5), told.append, lambda _connection: target, [HERE], Limits(jobs=3)).play())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on_virtual_time(go())
    assert ["error"] * 3 == [str(each.event.outcome) for each in told if isinstance(each.event, CaseEnded)]
    assert ({}, 1) == (service.there, service.closed)


def test_a_signal_lets_all_clean_up_and_a_second_one_does_not_wait() -> None:
    for signals, left in ((1, 0), (2, 6)):
        service = Model(seconds=50)
        heard: list[str] = []

        def hear(envelope: Envelope, heard: list[str] = heard, signals: int = signals) -> None:
            event = envelope.event
            due = dict(enumerate(["create_run", "delete_thread"][:signals])).get(len(heard))
            if isinstance(event, OperationStarted) and (envelope.case, event.operation) == (3, due):
                heard.append(event.operation)
                os.kill(os.getpid(), signal.SIGTERM)

        played = play(jobs(5), service, hear, limits=Limits(jobs=3))
        assert {1: E, 2: E, 3: E, 4: "not_run", 5: "not_run"} == played.outcomes
        assert {"interrupted"} == {reason for _outcome, reason in played.verdicts.values()}
        assert (SuiteEnded(played.ended.seconds, signal.SIGTERM, "interrupted"), 143) == (
            played.ended,
            played.report.exit_code,
        )
        assert left == len(service.there) == sum(len(each.left) for each in played.report.cases)
        assert played.seconds < 2


def test_a_signal_leaves_little_time_to_tell_what_never_began() -> None:
    class Slowly(Sequence[Job]):
        """Each takes a while to look up."""

        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, index: Any) -> Any:
            clock.seconds += 0.1
            return job(index + 1)

    class Later(SteadyClock):
        seconds = 0.0

        def now(self) -> float:
            return super().now() + self.seconds

    clock = Later()

    def hear(envelope: Envelope) -> None:
        if isinstance(envelope.event, CaseStarted) and envelope.case == 1:
            os.kill(os.getpid(), signal.SIGINT)

    played = play(Slowly(), Model(), hear, connections=[HERE], clock=clock)
    assert 8 < len(played.outcomes) < 16
    assert (10_000, 9_999) == (played.report.totals.flows, played.report.totals.not_run)


# ── functions and code of the author's ───────────────────────────────────────────────────────────────────────────────

HANGING = """
import pathlib, time

def get_order(order_id):
    pathlib.Path(__file__).with_name("called").write_text(order_id)
    time.sleep(600)

def judge(answer):
    pathlib.Path(__file__).with_name("judged").write_text(answer.text)
"""


def order(folder: Path, *checks: Expectation, answer: Any = None) -> Flow:
    (folder / "tools.py").write_text(HANGING)
    asked = Function("get_order", {"type": "object", "properties": {"order_id": {"type": "string"}}}, answer or Asks())
    sample = Sample("Shipped.", ((SampleCall("get_order", {"order_id": "1234"}),),))
    step = Step(user="Where is order 1234?", sample=sample, expect=checks)
    return flow(
        step, assistant=Assistant(model="qwen-max", tools=(Tool("function", function=asked),)), path=folder / "order.yaml"
    )


def outcomes(given: Flow, **more: Any) -> list[tuple[str, str]]:
    told: list[Envelope] = []
    suite.run(numbered(Case(given, "", {})), told.append, environment={}, **more)
    return [(each.event.outcome, each.event.reason) for each in told if isinstance(each.event, CaseEnded)]


def test_a_person_at_the_terminal_is_asked(tmp_path: Path) -> None:
    questions: list[tuple[str, str, str]] = []

    async def ask(name: str, arguments: str, question: str) -> str:
        questions.append((name, arguments, question))
        return "shipped"

    assert [("passed", "")] == outcomes(order(tmp_path, answer=Asks("Which state?")), ask=ask)
    assert [("get_order", '{"order_id": "1234"}', "Which state?")] == questions


def test_code_of_a_flow_runs_only_when_it_is_trusted(tmp_path: Path) -> None:
    judge = expect("python", PythonFunction("tools.py", "judge"))
    given = order(tmp_path, judge, answer=Returns("shipped"))
    ((outcome, reason),) = outcomes(given)
    assert "error" == outcome
    assert "`python`: it runs code of the flow's folder, which is not permitted" in reason
    assert [("error", reason)] == outcomes(given, trusted=lambda _flow: False)
    assert not (tmp_path / "judged").exists()
    assert [("passed", "")] == outcomes(given, trusted=lambda flow: flow is given)
    assert "Shipped." == (tmp_path / "judged").read_text()


def test_a_function_in_python_is_called_only_when_the_flow_is_trusted(tmp_path: Path) -> None:
    ((outcome, reason),) = outcomes(order(tmp_path, answer=ByPython(PythonFunction("tools.py", "get_order"))))
    assert ("error", True) == (outcome, "runflow trust" in reason)
    assert not (tmp_path / "called").exists()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_ctrl_c_ends_a_function_that_hangs_and_leaves_nothing(tmp_path: Path, serving: Serving) -> None:
    service = serving()
    given = order(tmp_path, answer=ByPython(PythonFunction("tools.py", "get_order")))

    def interrupt() -> None:
        while not (tmp_path / "called").exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watching = threading.Thread(target=interrupt)
    watching.start()
    told = played(service, lambda _envelope: None, Case(given, "", {}), trusted=lambda _flow: True)
    watching.join()
    assert signal.SIGINT == last(told).signal
    assert ["interrupted"] == [each.event.reason for each in told if isinstance(each.event, CaseEnded)]
    assert [("get_order", "stopped before it was done")] == [
        (each.event.name, each.event.trouble) for each in told if isinstance(each.event, FunctionAnswered)
    ]
    assert [] == held(service)


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_ctrl_c_waits_for_no_check(serving: Serving) -> None:
    service, release, over = serving(), threading.Event(), []

    class Endless:
        name = "endless"
        blocks = True

        def evaluate(self, _turn: object) -> Verdict:
            os.kill(os.getpid(), signal.SIGINT)
            release.wait(60)
            over.append("over")
            return Verdict(Outcome.PASSED)

    endless = expect("contains", "x")
    object.__setattr__(endless, "check", Endless())
    told = played(service, lambda _envelope: None, Case(flow(Step(user="Hello.", expect=(endless,))), "", {}))
    assert ([], signal.SIGINT) == (over, last(told).signal)
    assert [] == held(service)
    release.set()


# ── the command itself ───────────────────────────────────────────────────────────────────────────────────────────────


class Slow(BaseHTTPRequestHandler):
    """A service on a port of this machine whose run goes on until it is cancelled."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    running: threading.Event
    status: str

    def do_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.removeprefix("/api/v1").partition("?")[0]
        kind = type(self)
        kind.asked.append(f"{self.command} {path}")
        if path.endswith("/cancel"):
            kind.status = "cancelled"
        answers: dict[str, Any] = {
            "POST /assistants": {"id": "a1", "object": "assistant", "model": "qwen-max"},
            "POST /threads": {"id": "t1", "object": "thread"},
            "POST /threads/t1/messages": message("Hello.", "", "user", "m1"),
            "GET /threads/t1/messages": page(),
        }
        known = answers.get(f"{self.command} {path}", DELETED if self.command == "DELETE" else run(kind.status))
        data = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if self.command == "GET":
            kind.running.set()

    do_GET = do_POST = do_DELETE = do_any

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[tuple[type[Slow], str]]:
    kind = type("Slowly", (Slow,), {"asked": [], "running": threading.Event(), "status": "in_progress"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}/api/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_command_with_nothing_left(
    tmp_path: Path, slow: tuple[type[Slow], str], number: signal.Signals, code: int
) -> None:
    kind, base_url = slow
    (tmp_path / "hello.yaml").write_text("assistant: {model: qwen-max}\nsteps:\n  - user: Hello.\n    expect: hi\n")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "runner",
            "hello.yaml",
            "--target",
            "dashscope",
            "--base-url",
            base_url,
            "--json",
            "report.json",
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DASHSCOPE_API_KEY": "sk-tested-key-1234"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert kind.running.wait(30)
    process.send_signal(number)
    output, _nothing = process.communicate(timeout=30)
    assert code == process.returncode, output.decode()
    assert ["POST /threads/t1/runs/r1/cancel", "DELETE /threads/t1", "DELETE /assistants/a1"] == [
        asked for asked in kind.asked if not asked.startswith("GET")
    ][-3:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (number, code) == (report["signal"], report["exit_code"])
    assert b"Traceback" not in output
    assert b"sk-tested-key" not in output
