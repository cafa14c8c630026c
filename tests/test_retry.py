"""Calls that fail: which are made again and when, what is looked up first, and that nothing happens twice."""

import asyncio
import json
import re
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
import pytest

from runner.budget import Budget, Count
from runner.clock import LoopClock
from runner.embedded import objects as stored
from runner.embedded.faults import parse
from runner.embedded.service import Service
from runner.engine import play
from runner.events import AttemptEnded, Event, Retried
from runner.ledger import Unwritable
from runner.model import Assistant, Flow, Outcome, Role, SeedMessage, Step, ThreadSetup
from runner.pace import Pace
from runner.plan import Case
from runner.retry import Passing, Patience, Patient, RetryBudget, passing
from runner.targets import Connection, TargetError
from runner.transport.embedded import BASE_URL, EmbeddedTransport
from tests.engine_fixtures import Played, SteadyClock, expect, flow, on_virtual_time, page
from tests.test_engine_tools import InProcess, LoopTime, UnluckyClock

SAID = Step(user="Draw a cat.", expect=(expect("contains", "cat"),))


# ── a service that loses answers, and what is left of it ─────────────────────────────────────────────────────────────


@dataclass
class Losing(EmbeddedTransport):
    """The embedded service; the first answers to some calls get lost on their way, and its metadata if told."""

    service: Service
    lost: dict[str, list[Exception]]
    forgetful: bool = False
    asked: list[tuple[float, str]] = field(default_factory=list)
    bodies: list[tuple[str, Any]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        call = f"{request.method} {re.sub(r'(asst|thread|run)_[^/]+', '*', path)}"
        self.asked.append((asyncio.get_running_loop().time(), call))
        self.bodies.append((call, json.loads(await request.aread() or b"null")))
        answer = await super().handle_async_request(request)
        due = self.lost.get(call)
        if due:
            raise due.pop(0)
        if self.forgetful and answer.headers["content-type"] == "application/json":
            text = re.sub(rb'"metadata":\{[^}]*\}', b'"metadata":{}', await answer.aread())
            return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, content=text)
        return answer

    @property
    def calls(self) -> list[str]:
        return [call for _at, call in self.asked]

    def times(self, call: str) -> list[float]:
        return [at for at, asked in self.asked if asked == call]


@dataclass
class Notes:
    """A ledger that remembers all it was told, and fails when told to."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    full: bool = False

    async def intend(self, kind: str, op: str, parent: str = "") -> None:
        await asyncio.sleep(0)
        if self.full:
            raise Unwritable("nothing is made, as it could not be noted down")
        self.told.append(("intend", kind, op, parent))

    def made(self, op: str, id: str) -> None:
        self.told.append(("made", op, id))

    def gone(self, op: str) -> None:
        self.told.append(("gone", op))

    def kept(self, op: str) -> None:
        self.told.append(("kept", op))

    @property
    def open(self) -> dict[str, str]:
        """What may be there still: kind by op."""
        gone = {note[1] for note in self.told if note[0] == "gone"}
        return {note[2]: note[1] for note in self.told if note[0] == "intend" and note[2] not in gone}


@dataclass
class Seen:
    result: Played
    transport: Losing
    notes: Notes
    runs: list[stored.Run]
    messages: list[stored.Message]
    left: Counter[str]
    ops: dict[str, str]

    @property
    def said(self) -> list[str]:
        return [each.content[0]["text"]["value"] for each in self.messages if each.role == "user"]

    @property
    def again(self) -> list[tuple[str, int]]:
        return [(event.operation, event.attempt) for event in self.result.only(Retried)]


def served(
    given: Flow,
    *faults: str,
    lost: Mapping[str, Iterable[Exception]] | None = None,
    streaming: bool = False,
    clock: LoopClock | None = None,
    forgetful: bool = False,
    notes: Notes | None = None,
    patience: Callable[[LoopClock], Patience] | None = None,
    latency: float = 0,
    kind: type[Losing] = Losing,
    **more: Any,
) -> Seen:
    """Play a flow against the embedded service and look into its store before it is closed."""
    clock = clock or SteadyClock()
    notes = notes or Notes()

    async def go() -> Seen:
        service = Service(clock=LoopTime(), latency=latency, faults=[parse(fault) for fault in faults])
        transport = kind(service, {call: list(errors) for call, errors in (lost or {}).items()}, forgetful)
        target = InProcess(transport, Connection("embedded", BASE_URL, "for tests"))
        made: list[tuple[list[stored.Run], list[stored.Message]]] = []
        events: list[Event] = []
        delete = service.store.delete

        def look_and_delete(identity: str) -> None:
            if identity.startswith("thread_"):
                made.append((service.store.page(stored.Run, identity, 100)[0], messages_of(service, identity)))
            delete(identity)

        service.store.delete = look_and_delete  # type: ignore[method-assign]
        outcome = await play(
            Case(given, "", {}),
            target,
            events.append,
            clock=clock,
            streaming=streaming,
            ledger=notes,
            patience=patience(clock) if patience else None,
            **more,
        )
        assistants = service.store.page(stored.Assistant, None, 100)[0]
        threads = service.store.page(stored.Thread, None, 100)[0]
        ops = {each.id: each.metadata.get("runflow_op", "") for each in assistants}
        for thread in threads:
            ops[thread.id] = thread.metadata.get("runflow_op", "")
            made.append((service.store.page(stored.Run, thread.id, 100)[0], messages_of(service, thread.id)))
        result = Played(outcome, events, asyncio.get_running_loop().time())
        await target.close()
        runs = [run for of_thread, _said in made for run in of_thread]
        messages = [message for _runs, said in made for message in said]
        counts = Counter(assistant=len(assistants), thread=len(threads))
        return Seen(result, transport, notes, runs, messages, counts, ops)

    seen: Seen = on_virtual_time(go())
    return seen


def messages_of(service: Service, thread: str) -> list[stored.Message]:
    return service.store.page(stored.Message, thread, 100, newest_first=False)[0]


LOST: dict[str, Callable[[], Exception]] = {
    "reset": lambda: httpx.ReadError("reset"),
    "hung up": lambda: httpx.RemoteProtocolError("the server hung up"),
    "timed out": lambda: httpx.ReadTimeout("nothing came"),
}
CREATES = ("POST /assistants", "POST /threads/*/messages", "POST /threads/*/runs")


# ── one run and one message, whatever is lost ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("call", CREATES)
def test_a_lost_answer_to_any_create_leads_to_one_object(call: str, way: str, streaming: bool) -> None:
    seen = served(flow(SAID), lost={call: [LOST[way]()]}, streaming=streaming)
    assert Outcome.PASSED == seen.result.outcome, seen.result.reason
    assert (1, ["Draw a cat."]) == (len(seen.runs), seen.said)
    assert (0, {}, []) == (seen.left.total(), seen.notes.open, seen.again)
    assert 1 == seen.transport.calls.count(call)
    assert ["no good answer came, but it was done all the same: "] == [warning[:51] for warning in seen.result.warnings]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("which", ["@1", "@1-2", "@1-3", "@2", "@2-3"])
@pytest.mark.parametrize("kind", ["lost", "cut", "stall:50", "500", "502", "503:1", "504", "429", "429:1"])
@pytest.mark.parametrize("call", ["create_assistant", "create_thread", "add_message", "create_run"])
def test_each_create_happens_once_however_it_fails(call: str, kind: str, which: str, streaming: bool) -> None:
    seen = served(flow(SAID, Step(user="And now a dog.")), f"{kind}{which}/{call}", streaming=streaming)
    assert Outcome.PASSED == seen.result.outcome, seen.result.reason
    assert (2, ["Draw a cat.", "And now a dog."]) == (len(seen.runs), seen.said)
    assert 0 == seen.left["assistant"]
    # A thread whose answer got lost cannot be looked up; it is in the ledger.
    assert set(seen.ops.values()) <= set(seen.notes.open)
    assert call == "create_thread" or seen.left.total() == len(seen.notes.open) == 0


def test_a_thread_whose_answer_got_lost_is_told_as_a_possible_orphan_and_made_again() -> None:
    seen = served(flow(SAID), lost={"POST /threads": [LOST["reset"](), LOST["timed out"]()]})
    assert (Outcome.PASSED, {"thread": 2}) == (seen.result.outcome, +seen.left)
    assert ["thread", "thread"] == list(seen.notes.open.values())
    assert [
        f"possible orphan: no answer came when a thread was made; its operation id is {op}" for op in seen.notes.open
    ] == seen.result.warnings
    assert set(seen.ops.values()) == set(seen.notes.open)


def test_a_thread_whose_answer_broke_off_behind_its_id_is_used() -> None:
    seen = served(flow(SAID), "cut@1/create_thread")
    assert (Outcome.PASSED, 0, {}) == (seen.result.outcome, seen.left.total(), seen.notes.open)
    assert (1, []) == (seen.transport.calls.count("POST /threads"), seen.again)
    assert ["no good answer came, but it was done all the same: POST /threads: 200: not valid JSON"] == seen.result.warnings


def test_a_thread_is_made_again_three_times_at_most() -> None:
    seen = served(flow(SAID), lost={"POST /threads": [LOST["reset"]() for _each in range(9)]})
    assert (Outcome.ERROR, 4) == (seen.result.outcome, seen.transport.calls.count("POST /threads"))
    assert "POST /threads: the connection to embedded.invalid broke: reset" == seen.result.reason
    assert 4 == len(seen.notes.open) == seen.left["thread"]


class Changing(Losing):
    """Has a list of assistants that is never read to its end."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) != ("GET", "/api/v1/assistants"):
            return await super().handle_async_request(request)
        others = [] if "after" in request.url.params else [{"id": "another", "object": "assistant", "metadata": {}}]
        return httpx.Response(200, json={"object": "list", "data": others, "has_more": True})


def test_an_assistant_of_which_the_list_does_not_tell_is_a_possible_orphan() -> None:
    seen = served(flow(SAID), lost={"POST /assistants": [LOST["reset"]()]}, kind=Changing)
    assert (Outcome.PASSED, {"assistant": 1}) == (seen.result.outcome, +seen.left)
    (op,) = seen.notes.open
    warning = f"possible orphan: no answer came when an assistant was made; its operation id is {op}"
    assert ([warning], {op}) == (seen.result.warnings, set(seen.ops.values()))


@pytest.mark.parametrize("call", CREATES[1:])
def test_a_service_that_keeps_no_metadata_is_asked_by_text_and_by_what_is_new(call: str) -> None:
    seen = served(flow(SAID, SAID), lost={call: [LOST["reset"](), LOST["reset"]()]}, forgetful=True)
    assert (Outcome.PASSED, 2, 2) == (seen.result.outcome, len(seen.runs), len(seen.said))
    assert {} == seen.notes.open


def test_the_same_text_seeded_before_is_no_proof_that_a_message_came() -> None:
    seeded = ThreadSetup(messages=(SeedMessage(Role.USER, "Draw a cat."), SeedMessage(Role.ASSISTANT, "A cat.")))
    seen = served(flow(SAID, thread=seeded), "500@1/add_message", forgetful=True)
    assert (Outcome.PASSED, ["Draw a cat.", "Draw a cat."]) == (seen.result.outcome, seen.said)


def test_an_assistant_without_room_for_our_id_is_a_possible_orphan() -> None:
    full = Assistant(model="qwen-max", metadata={f"key{each}": "x" for each in range(16)})
    seen = served(flow(SAID, assistant=full), lost={"POST /assistants": [LOST["reset"]()]})
    assert (Outcome.PASSED, {"assistant": 1}, ["assistant"]) == (
        seen.result.outcome,
        +seen.left,
        list(seen.notes.open.values()),
    )
    (op,) = seen.notes.open
    warning = f"possible orphan: no answer came when an assistant was made; its operation id is {op}"
    assert [warning] == seen.result.warnings
    sent = [body["metadata"] for call, body in seen.transport.bodies if call == "POST /assistants"]
    assert [full.metadata, full.metadata] == sent


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500/list_runs", "POST /threads/*/runs: the connection to embedded.invalid broke: reset"),
        ("404", "POST /threads/*/runs: the connection to embedded.invalid broke: reset"),
    ],
)
def test_what_cannot_be_looked_up_is_not_sent_again(fault: str, reason: str) -> None:
    class Blind(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and request.url.path.endswith("/runs"):
                self.asked.append((0, "GET /threads/*/runs"))
                return httpx.Response(int(fault[:3]), json={"code": "No", "message": "no"})
            return await super().handle_async_request(request)

    async def go() -> tuple[list[str], str]:
        transport = Blind(Service(clock=LoopTime()), {"POST /threads/*/runs": [LOST["reset"]()]})
        events: list[Any] = []
        target = InProcess(transport, Connection("embedded", BASE_URL, "for tests"))
        await play(Case(flow(SAID), "", {}), target, events.append, clock=SteadyClock(), streaming=False)
        await target.close()
        return transport.calls, re.sub(r"thread_[^/]+", "*", events[-1].reason)

    calls, told = on_virtual_time(go())
    assert (1, 4 if fault.startswith("5") else 1) == (
        calls.count("POST /threads/*/runs"),
        calls.count("GET /threads/*/runs"),
    )
    assert reason == told


def test_what_cannot_be_looked_up_stays_in_the_ledger() -> None:
    class Blind(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                return httpx.Response(400, json={"code": "No", "message": "no"})
            return await super().handle_async_request(request)

    seen = served(flow(SAID), lost={"POST /assistants": [LOST["reset"]()]}, kind=Blind)
    assert (Outcome.ERROR, {"assistant": 1}) == (seen.result.outcome, +seen.left)
    assert list(seen.ops.values()) == list(seen.notes.open)


def test_a_run_that_shows_only_after_the_service_refused_a_second_one_is_found() -> None:
    class Slow(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if self.calls.count("GET /threads/*/runs") == 1 and self.calls[-1] == "GET /threads/*/runs":
                return httpx.Response(200, json=page())
            return answer

    seen = served(flow(SAID), lost={"POST /threads/*/runs": [LOST["reset"]()]}, kind=Slow, latency=3)
    assert (Outcome.PASSED, 1) == (seen.result.outcome, len(seen.runs))
    assert 2 == seen.transport.calls.count("POST /threads/*/runs") == seen.transport.calls.count("GET /threads/*/runs")


# ── our ids ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_made_carries_an_id_of_ours_beside_the_authors_metadata() -> None:
    seen = served(flow(SAID, assistant=Assistant(model="qwen-max", metadata={"team": "art"})))
    sent = {call: body["metadata"] for call, body in seen.transport.bodies if call.startswith("POST")}
    assert {"POST /assistants", "POST /threads", *CREATES} == set(sent)
    assert "art" == sent["POST /assistants"].pop("team")
    ops = [metadata.pop("runflow_op") for metadata in sent.values()]
    assert 4 == len({op for op in ops if re.fullmatch("[0-9a-f]{32}", op)})
    assert all(metadata == {} for metadata in sent.values())
    assert [] == seen.result.warnings


def test_a_service_that_does_not_echo_our_id_is_not_complained_about() -> None:
    assert [] == served(flow(SAID), forgetful=True).result.warnings
    author = flow(SAID, assistant=Assistant(model="qwen-max", metadata={"team": "art"}))
    warnings = served(author, forgetful=True).result.warnings
    assert ["the service's assistant does not say its `metadata`"] == warnings


# ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_made_is_noted_down_before_and_after_and_when_it_is_gone() -> None:
    seen = served(flow(SAID))
    ops = [note[2] for note in seen.notes.told if note[0] == "intend"]
    ids = {note[1]: note[2] for note in seen.notes.told if note[0] == "made"}
    assistant, thread, run = ops
    assert [
        ("intend", "assistant", assistant, ""),
        ("made", assistant, ids[assistant]),
        ("intend", "thread", thread, ""),
        ("made", thread, ids[thread]),
        ("intend", "run", run, ids[thread]),
        ("made", run, ids[run]),
        ("gone", run),
        ("gone", thread),
        ("gone", assistant),
    ] == seen.notes.told
    assert ["asst", "thread", "run"] == [ids[op].split("_")[0] for op in ops]


def test_nothing_is_made_that_cannot_be_noted_down() -> None:
    seen = served(flow(SAID), notes=Notes(full=True))
    assert ([], "nothing is made, as it could not be noted down") == (seen.transport.calls, seen.result.reason)


def test_what_the_service_refused_to_make_is_no_longer_looked_for() -> None:
    seen = served(flow(SAID, assistant=Assistant(model="")))
    assert (Outcome.ERROR, {}, 1) == (seen.result.outcome, seen.notes.open, len(seen.transport.calls))


def test_what_is_to_be_kept_is_neither_deleted_nor_left() -> None:
    seen = served(flow(SAID), keep=True)
    ended = seen.result.only(AttemptEnded)[0]
    assert ("passed", (), {"assistant": 1, "thread": 1}) == (ended.outcome, ended.left, +seen.left)
    assert set(ended.kept) == set(seen.ops)
    assert set(seen.ops.values()) == {note[1] for note in seen.notes.told if note[0] == "kept"}
    assert not [call for call in seen.transport.calls if call.startswith("DELETE")]


# ── which failures pass ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"sent": False}, Passing.TRANSIENT),
        ({}, Passing.TRANSIENT),
        ({"timed_out": True}, Passing.TIMED_OUT),
        ({"status": 408}, Passing.TIMED_OUT),
        ({"status": 425}, Passing.TRANSIENT),
        ({"status": 429}, Passing.THROTTLED),
        ({"status": 429, "code": "Throttling.BurstRate"}, Passing.THROTTLED),
        ({"status": 400, "code": "Throttling.AllocationQuota"}, Passing.THROTTLED),
        ({"status": 500}, Passing.TRANSIENT),
        ({"status": 502}, Passing.TRANSIENT),
        ({"status": 503}, Passing.TRANSIENT),
        ({"status": 504}, Passing.TRANSIENT),
        ({"status": 200}, Passing.TRANSIENT),
        ({"status": 200, "final": True}, None),
        ({"status": 503, "final": True}, None),
        ({"sent": False, "final": True}, None),
        ({"status": 301}, None),
        ({"status": 400}, None),
        ({"status": 401, "code": "InvalidApiKey"}, None),
        ({"status": 400, "code": "Arrearage"}, None),
        ({"status": 403, "code": "AllocationQuota.FreeTierOnly"}, None),
        ({"status": 429, "code": "PrepaidBillOverdue"}, None),
        ({"status": 429, "code": "PostpaidBillOverdue"}, None),
        ({"status": 429, "code": "CommodityNotPurchased"}, None),
        ({"status": 429, "code": "insufficient_quota"}, None),
        ({"status": 404}, None),
        ({"status": 409}, None),
        ({"status": 501}, None),
        ({"status": 505}, None),
    ],
)
def test_which_failures_may_pass(failure: dict[str, Any], kind: Passing | None) -> None:
    assert kind is passing(TargetError("GET /", "", **failure))


@pytest.mark.parametrize("fault", ["html", "html@1"])
def test_a_page_of_html_is_an_error_after_one_request(fault: str) -> None:
    seen = served(flow(SAID), f"{fault}/create_assistant")
    reason = "POST /assistants: 502: the answer is text/html instead of an error in JSON"
    assert (Outcome.ERROR, reason) == (seen.result.outcome, seen.result.reason)
    # Whether the work was done behind the page is looked up, once.
    assert ["POST /assistants", "GET /assistants"] == seen.transport.calls


def test_a_refused_key_is_an_error_after_one_request() -> None:
    class Refusing(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked.append((0, request.method))
            return httpx.Response(401, json={"code": "InvalidApiKey", "message": "sk-tested-key-1234 is wrong"})

    async def go() -> tuple[list[str], str]:
        transport = Refusing(Service(), {})
        events: list[Any] = []
        connection = Connection("embedded", BASE_URL, "for tests", "TESTED_API_KEY")
        target = InProcess(transport, connection, "sk-tested-key-1234")
        await play(Case(flow(SAID), "", {}), target, events.append, clock=SteadyClock())
        await target.close()
        return transport.calls, events[-1].reason

    reason = "POST /assistants: 401 InvalidApiKey: … is wrong: check the key in TESTED_API_KEY"
    assert (["POST"], reason) == on_virtual_time(go())


def test_a_connection_that_was_refused_is_tried_again_without_a_look() -> None:
    class Closed(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked.append((asyncio.get_running_loop().time(), request.method))
            raise httpx.ConnectError("connection refused")

    async def go() -> tuple[list[str], list[float], list[Event]]:
        transport = Closed(Service(), {})
        events: list[Event] = []
        target = InProcess(transport, Connection("embedded", BASE_URL, "for tests"))
        notes = Notes()
        await play(Case(flow(SAID), "", {}), target, events.append, clock=UnluckyClock(), ledger=notes)
        await target.close()
        assert {} == notes.open
        return transport.calls, [at for at, _call in transport.asked], events

    calls, times, events = on_virtual_time(go())
    assert (["POST"] * 4, [0.0, 0.5, 1.5, 3.5]) == (calls, times)
    refused = "POST /assistants: no connection to embedded.invalid: connection refused"
    assert [
        Retried(0, "create_assistant", attempt, seconds, refused) for attempt, seconds in ((2, 0.5), (3, 1.0), (4, 2.0))
    ] == [event for event in events if isinstance(event, Retried)]


def test_a_certificate_that_is_not_trusted_is_an_error_after_one_request() -> None:
    class Selfsigned(Losing):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.asked.append((0, request.method))
            refused = ssl.SSLCertVerificationError("refused")
            refused.verify_message = "self-signed certificate"
            raise httpx.ConnectError("all attempts failed") from refused

    async def go() -> list[str]:
        transport = Selfsigned(Service(), {})
        target = InProcess(transport, Connection("embedded", BASE_URL, "for tests"))
        await play(Case(flow(SAID), "", {}), target, lambda _event: None, clock=SteadyClock())
        await target.close()
        return transport.calls

    assert ["POST"] == on_virtual_time(go())


# ── how long it takes ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "pauses"),
    [
        (Passing.TRANSIENT, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]),
        (Passing.THROTTLED, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
    ],
)
def test_pauses_double_up_to_a_limit(kind: Passing, pauses: list[float]) -> None:
    from runner.retry import pause_after

    assert pauses == [pause_after(kind, times, 1.0) for times in range(1, len(pauses) + 1)]
    shortest = 0.5 if kind is Passing.THROTTLED else 0.0
    assert [shortest * each for each in pauses] == [pause_after(kind, times, 0.0) for times in range(1, len(pauses) + 1)]
    assert pauses[-1] == pause_after(kind, 5_000, 1.0)


@pytest.mark.parametrize("clock", [SteadyClock(), UnluckyClock()])
@pytest.mark.parametrize(
    "call", ["create_assistant", "add_message", "create_run", "read_run", "list_messages", "delete_thread"]
)
def test_a_wish_for_two_seconds_is_granted_and_a_little_more(call: str, clock: LoopClock) -> None:
    names = {
        "create_assistant": "POST /assistants",
        "add_message": "POST /threads/*/messages",
        "create_run": "POST /threads/*/runs",
        "read_run": "GET /threads/*/runs/*",
        "list_messages": "GET /threads/*/messages",
        "delete_thread": "DELETE /threads/*",
    }
    seen = served(flow(SAID), f"429:2@1/{call}", clock=clock)
    first, again, *_more = seen.transport.times(names[call])
    assert Outcome.PASSED == seen.result.outcome
    assert 2.0 <= round(again - first, 9) <= 2.3


@pytest.mark.parametrize("fault", ["503:2", "429:2"])
def test_a_wish_to_be_left_alone_holds_for_all_who_share_the_pace(fault: str) -> None:
    opened: list[float] = []
    others: list[asyncio.Future[None]] = []

    def shared(clock: LoopClock) -> Patience:
        patience = alone()(clock)

        async def other() -> None:
            await asyncio.sleep(0.2)
            await patience.pace.turn()
            opened.append(clock.now())

        others.append(asyncio.ensure_future(other()))
        return patience

    served(flow(SAID), f"{fault}@1/list_messages", patience=shared)
    assert pytest.approx([2.05]) == opened


def test_a_wish_for_a_day_ends_the_conversation_at_once() -> None:
    seen = served(flow(SAID), "429:86400@1/create_run")
    assert seen.result.reason.endswith(
        "429 Throttling.RateQuota: too many requests, on demand (request id "
        + seen.result.reason.partition("request id ")[2].partition(")")[0]
        + "); the service asks to wait 86400 s, which is too long"
    )
    assert (Outcome.ERROR, 0) == (seen.result.outcome, seen.left.total())
    assert seen.result.seconds < 1


def test_no_pause_goes_beyond_the_step_and_none_beyond_the_conversation() -> None:
    step = served(flow(Step(user="Draw a cat.", timeout=20.0)), "429:30/create_run")
    assert 1 == step.transport.calls.count("POST /threads/*/runs")
    assert step.result.steps[0][2].startswith("POST /threads/") and "429 Throttling.RateQuota" in step.result.steps[0][2]
    whole = served(flow(SAID, timeout=20.0), "429:30/create_assistant")
    assert (["POST /assistants"], 0.0) == (whole.transport.calls, whole.result.seconds)


def test_a_turn_that_does_not_come_in_time_ends_the_step() -> None:
    def shared(clock: LoopClock) -> Patience:
        patience = alone()(clock)
        asyncio.get_running_loop().call_later(0.01, patience.pace.pause, 60)
        return patience

    seen = served(flow(Step(user="Draw a cat.", timeout=20.0)), patience=shared)
    assert [(1, "error", "the run was still `queued` after 20 s")] == seen.result.steps
    # What was made is deleted as soon as the service may be asked again, the run at once.
    assert ["POST /threads/*/runs/*/cancel", "GET /threads/*/runs/*", "DELETE /threads/*", "DELETE /assistants/*"] == (
        seen.transport.calls[-4:]
    )
    assert pytest.approx(20.0) == seen.transport.times("POST /threads/*/runs/*/cancel")[0]
    assert pytest.approx(60.01) == seen.transport.times("DELETE /threads/*")[0]
    assert 0 == seen.left.total()


def test_after_a_throttle_a_run_is_polled_once_a_second_at_most() -> None:
    calm = served(flow(SAID), latency=3).transport.times("GET /threads/*/runs/*")
    strained = served(flow(SAID), "429:0@1/create_run", latency=3).transport.times("GET /threads/*/runs/*")
    assert len(calm) > 20
    assert all(later - earlier >= 1 for earlier, later in pairwise(strained))
    assert len(strained) <= 5


def test_a_throttle_is_met_with_eight_attempts_and_other_trouble_with_four() -> None:
    throttled = served(flow(SAID), "429/create_assistant")
    assert [("create_assistant", attempt) for attempt in range(2, 9)] == throttled.again
    mixed = served(flow(SAID), "429@1-5/create_assistant", "500@6-8/create_assistant", "429@9-10/create_assistant")
    assert (Outcome.PASSED, 11) == (mixed.result.outcome, mixed.transport.calls.count("POST /assistants"))
    broken = served(flow(SAID), "500/create_assistant")
    assert [("create_assistant", attempt) for attempt in range(2, 5)] == broken.again


# ── what it may cost ─────────────────────────────────────────────────────────────────────────────────────────────────


def alone(retries: RetryBudget | None = None, budget: Budget | None = None) -> Callable[[LoopClock], Patience]:
    return lambda clock: Patience(Pace(clock, 1), retries or RetryBudget(), budget or Budget(), clock)


def test_each_kind_of_repetition_has_its_price_and_a_clean_success_gives_one_back() -> None:
    for fault, price in (("500", 14), ("504", 14), ("429", 5)):
        retries = RetryBudget(400)
        seen = served(flow(SAID), f"{fault}@1/list_messages", patience=alone(retries))
        clean = len(seen.transport.calls) - 2
        assert 400 - price + clean == retries.left
    retries = RetryBudget(400)
    seen = served(flow(SAID), lost={"GET /threads/*/messages": [LOST["timed out"]()]}, patience=alone(retries))
    assert 400 - 10 + len(seen.transport.calls) - 2 == retries.left
    full = RetryBudget()
    served(flow(SAID), patience=alone(full))
    assert 500 == full.left


def test_a_retry_budget_that_is_used_up_ends_calls_at_once() -> None:
    seen = served(flow(SAID), "500@1/create_assistant", patience=alone(RetryBudget(13)))
    assert seen.result.reason.endswith("; the retry budget is used up")
    # What became of the lost one is looked up all the same.
    assert (["POST /assistants", "GET /assistants"], []) == (seen.transport.calls, seen.again)


def test_what_was_made_is_deleted_whatever_is_left_of_the_retry_budget() -> None:
    seen = served(flow(SAID), "500@1-3/delete_thread", patience=alone(RetryBudget(13)))
    assert (Outcome.PASSED, 0, 4) == (seen.result.outcome, seen.left.total(), seen.transport.calls.count("DELETE /threads/*"))


def test_all_conversations_draw_on_one_retry_budget() -> None:
    retries = RetryBudget(100)
    seen = [served(flow(SAID), "500/create_assistant", patience=alone(retries)) for _conversation in range(5)]
    assert [3, 3, 1, 0, 0] == [len(each.again) for each in seen]


def test_every_call_counts_and_a_budget_of_calls_ends_a_conversation_that_then_cleans_up() -> None:
    budget = Budget(calls=5)
    seen = served(flow(SAID), latency=60, patience=alone(budget=budget))
    assert [(1, "error", "the budget of 5 calls is used up")] == seen.result.steps
    assert (0, {}) == (seen.left.total(), seen.notes.open)
    assert ("DELETE /assistants/*", len(seen.transport.calls)) == (seen.transport.calls[-1], budget.calls_used.total)
    assert "POST /threads/*/runs/*/cancel" in seen.transport.calls


def test_a_budget_that_is_used_up_before_lets_nothing_be_made() -> None:
    seen = served(flow(SAID), patience=alone(budget=Budget(calls=1, calls_used=Count(1))))
    assert ([], "the budget of 1 calls is used up") == (seen.transport.calls, seen.result.reason)


def test_what_the_budget_did_not_let_us_make_is_not_looked_for() -> None:
    seen = served(flow(SAID), "429@1/create_assistant", patience=alone(budget=Budget(calls=1)))
    assert ("the budget of 1 calls is used up", 1) == (seen.result.reason, len(seen.transport.calls))
    assert {} == seen.notes.open


def test_the_tokens_of_an_answer_are_counted() -> None:
    budget = Budget()
    seen = served(flow(SAID, SAID), patience=alone(budget=budget))
    assert sum(run.usage["total_tokens"] for run in seen.runs if run.usage) == budget.tokens_used.total > 0


# ── calls, and what is told of them ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tools", [False, True])
def test_a_plain_conversation_takes_eight_calls(tools: bool) -> None:
    from runner.model import Tool

    assistant = Assistant(model="qwen-max", tools=(Tool("calculator"),) if tools else ())
    calls = served(flow(SAID, assistant=assistant), streaming=True).transport.calls
    steps = ["GET /threads/*/runs/*/steps"] if tools else []
    assert [
        "POST /assistants",
        "POST /threads",
        "POST /threads/*/messages",
        "POST /threads/*/runs",
        "GET /threads/*/runs/*",
        "GET /threads/*/messages",
        *steps,
        "DELETE /threads/*",
        "DELETE /assistants/*",
    ] == calls


@pytest.mark.parametrize("call", ["read_run", "list_messages", "delete_thread", "delete_assistant"])
def test_what_changes_nothing_is_simply_asked_again(call: str) -> None:
    seen = served(flow(SAID), f"500@1-3/{call}")
    names = {"read_run": "wait", "list_messages": "read_answer"}
    assert Outcome.PASSED == seen.result.outcome
    assert [(names.get(call, call), attempt) for attempt in (2, 3, 4)] == seen.again
    assert ([], 0) == (seen.result.warnings, seen.left.total())


def test_a_deletion_whose_answer_got_lost_is_done() -> None:
    seen = served(flow(SAID), lost={"DELETE /threads/*": [LOST["reset"]()], "DELETE /assistants/*": [LOST["reset"]()]})
    assert (Outcome.PASSED, 0, {}) == (seen.result.outcome, seen.left.total(), seen.notes.open)


def stopped(after: float, patience: Callable[[LoopClock], Patience]) -> tuple[list[str], float, Any, Notes]:
    """The calls of a conversation that is told to stop after some seconds, and how long it takes then."""

    async def go() -> tuple[list[str], float, Any, Notes]:
        clock, notes = SteadyClock(), Notes()
        events: list[Event] = []
        transport = Losing(Service(clock=LoopTime(), latency=600), {})
        target = InProcess(transport, Connection("embedded", BASE_URL, "for tests"))
        playing = play(Case(flow(SAID), "", {}), target, events.append, clock=clock, patience=patience(clock), ledger=notes)
        task = asyncio.ensure_future(playing)
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seconds = asyncio.get_running_loop().time() - after
        await target.close()
        return transport.calls, seconds, events[-1], notes

    result: tuple[list[str], float, Any, Notes] = on_virtual_time(go())
    return result


def test_ctrl_c_while_a_turn_is_waited_for_sends_nothing_more() -> None:
    def paused(clock: LoopClock) -> Patience:
        pace = Pace(clock, 1)
        pace.pause(30)
        return Patience(pace, RetryBudget(), Budget(), clock)

    calls, seconds, _ended, notes = stopped(1.0, paused)
    assert ([], 0.0, {}) == (calls, seconds, notes.open)


def test_ctrl_c_waits_for_no_turn_to_clean_up() -> None:
    calls, seconds, ended, notes = stopped(9.0, lambda clock: Patience(Pace(clock, 1, 0.5), RetryBudget(), Budget(), clock))
    assert ["POST /threads/*/runs/*/cancel", "DELETE /threads/*", "DELETE /assistants/*"] == [
        call for call in calls[4:] if not call.startswith("GET")
    ]
    assert seconds <= 2
    assert ((), {}) == (ended.left, notes.open)


def test_a_call_by_itself_is_made_through_the_pace() -> None:
    async def go() -> list[float]:
        clock, times = SteadyClock(), []
        target: Any = None
        calls = Patient(
            target, Patience(Pace(clock, 1, 2.0), RetryBudget(), Budget(), clock), lambda *_told: None, lambda _told: None
        )

        async def call() -> None:
            times.append(clock.now())

        for _each in range(3):
            await calls.repeat(call)
        return times

    assert pytest.approx([0, 0, 2 / 1.92]) == on_virtual_time(go())
