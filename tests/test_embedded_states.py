"""Runs move as the table says, whatever a caller does, and the database holds what the answers said."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from runner.embedded import states
from runner.model import ENDED, WAITING, RunStatus, Sample, SampleCall
from tests.embedded_fixtures import ADD, Api, parsed


def test_every_state_of_the_reference_is_in_the_table() -> None:
    assert set(RunStatus) == set(states.NEXT)
    assert set(ENDED) == states.ENDED
    assert {*WAITING, RunStatus.REQUIRES_ACTION} == states.ACTIVE


def test_every_state_can_be_reached_and_every_run_can_end() -> None:
    reached = {RunStatus.QUEUED.value}
    for _ in states.NEXT:
        reached |= {after for state in reached for after in states.NEXT[state]}
    assert set(states.NEXT) == reached
    ending = set(states.ENDED)
    for _ in states.NEXT:
        ending |= {state for state, following in states.NEXT.items() if following & ending}
    assert set(states.NEXT) == ending


def test_the_diagram_shows_the_table() -> None:
    arrows = set(re.findall(r"    (\S+) --> (\S+)", states.diagram()))
    expected = {(state, after) for state, following in states.NEXT.items() for after in following}
    expected |= {("[*]", "queued"), *((state, "[*]") for state in states.ENDED)}
    assert expected == arrows


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    assert not [(old, new) for old in states.ENDED for new in states.NEXT if old != new and states.follows(old, new)]


ROUNDS = Sample(
    "Done.",
    (
        (SampleCall("big_add", {"left": 1, "right": 2}), SampleCall("big_add", {"left": 3, "right": 4})),
        (SampleCall("text_to_image", {"prompt": "a cat"}),),
        (SampleCall("big_add", {"left": 5, "right": 6}),),
    ),
)
"""An action of two calls, one of the service's own, and another action."""


class Calls(RuleBasedStateMachine):
    """Threads, messages, runs, cancels, outputs and time in any order; `seen` remembers the last status of each run."""

    threads = Bundle("threads")
    runs = Bundle("runs")

    @initialize(latency=st.sampled_from([0, 5, 700]))
    def begin(self, latency: float) -> None:
        self.api = Api(latency=latency)
        self.assistant = self.api.assistant(ADD, "text_to_image")
        self.seen: dict[str, str] = {}
        self.said: dict[str, list[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "api"):
            self.api.close()

    def stored(self, kind: str, parent: str | None = None) -> list[dict[str, Any]]:
        """What the database itself holds, oldest first."""
        rows = self.api.service.store.database.execute(
            "SELECT body FROM object WHERE kind = ? AND parent IS ? ORDER BY sequence", (kind, parent)
        )
        return [json.loads(body) for (body,) in rows]

    def active(self, thread: str) -> bool:
        """Whether a run holds the thread by now: asked of the service, so that time has had its effect."""
        self.api.send("GET", f"/threads/{thread}/runs")
        return any(run["status"] in states.ACTIVE for run in self.stored("thread.run", thread))

    @rule(target=threads)
    def make_thread(self) -> str:
        thread = self.api.thread()
        self.said[thread] = []
        return thread

    @rule(thread=threads)
    def delete_thread(self, thread: str) -> None:
        status = self.api.send("DELETE", f"/threads/{thread}").status_code
        assert (200 if thread in self.said else 404) == status
        self.said.pop(thread, None)

    @rule(thread=threads, text=st.sampled_from(["Hello.", "Draw a cat.", "Use big_add on 1 and 2."]))
    def say(self, thread: str, text: str) -> None:
        held = self.active(thread)
        status = self.api.send("POST", f"/threads/{thread}/messages", json={"content": text}).status_code
        assert (404 if thread not in self.said else 400 if held else 200) == status
        if status == 200:
            self.said[thread].append(text)

    @rule(target=runs, thread=threads, stream=st.booleans(), sample=st.sampled_from([None, ROUNDS]))
    def run(self, thread: str, stream: bool, sample: Sample | None) -> tuple[str, str]:
        held = self.active(thread)
        before = len(self.stored("thread.run", thread))
        body = {"assistant_id": self.assistant, "stream": stream}
        extensions = {"runflow.sample": sample}
        answer = self.api.send("POST", f"/threads/{thread}/runs", json=body, extensions=extensions)
        assert (404 if thread not in self.said else 400 if held else 200) == answer.status_code
        if answer.status_code != 200:
            return thread, "run_none"
        newest = self.stored("thread.run", thread)[before]
        self.seen[newest["id"]] = RunStatus.QUEUED
        return thread, newest["id"]

    @rule(run=runs)
    def read(self, run: tuple[str, str]) -> None:
        thread, identity = run
        answer = self.api.send("GET", f"/threads/{thread}/runs/{identity}")
        held = [one for one in self.stored("thread.run", thread) if one["id"] == identity]
        assert (200 if held else 404) == answer.status_code
        if held:
            assert {**held[0], "object": "thread.run", "request_id": answer.json()["request_id"]} == answer.json()
            assert (held[0]["status"] == "requires_action") == (held[0]["required_action"] is not None)

    @rule(run=runs)
    def cancel(self, run: tuple[str, str]) -> None:
        thread, identity = run
        answer = self.api.send("POST", f"/threads/{thread}/runs/{identity}/cancel")
        held = [one for one in self.stored("thread.run", thread) if one["id"] == identity]
        assert (200 if held else 404) == answer.status_code
        if held:
            assert held[0]["status"] in {*states.ENDED, "cancelling"}

    @rule(run=runs, stream=st.booleans(), off=st.sampled_from([0, 0, 0, 1, -1]))
    def submit(self, run: tuple[str, str], stream: bool, off: int) -> None:
        """As many outputs as there are calls, or one more or less."""
        thread, identity = run
        self.api.send("GET", f"/threads/{thread}/runs/{identity}")
        held = [one for one in self.stored("thread.run", thread) if one["id"] == identity]
        waits = bool(held) and held[0]["status"] == "requires_action"
        calls = held[0]["required_action"]["submit_tool_outputs"]["tool_calls"] if waits else [{}]
        body = {"tool_outputs": [{"output": "3"}] * (len(calls) + off), "stream": stream}
        answer = self.api.send("POST", f"/threads/{thread}/runs/{identity}/submit_tool_outputs", json=body)
        assert (404 if not held else 200 if waits and not off else 400) == answer.status_code
        if answer.status_code == 200:
            steps = self.stored("thread.run.step", identity)
            ids = {call["id"] for call in calls}
            done = [call["function"]["output"] for step in steps if step["status"] == "completed"
                    for call in step["step_details"].get("tool_calls", ()) if call["id"] in ids]  # fmt: skip
            assert ["3"] * len(calls) == done

    @rule(seconds=st.sampled_from([0.5, 4, 300, 1000]))
    def wait(self, seconds: float) -> None:
        self.api.clock.time += seconds

    @invariant()
    def the_database_agrees(self) -> None:
        for thread, said in self.said.items():
            runs = self.stored("thread.run", thread)
            assert [] == [run["id"] for run in runs[:-1] if run["status"] in states.ACTIVE]
            for run in runs:
                assert run["status"] in reachable(self.seen[run["id"]]), (self.seen[run["id"]], run["status"])
                self.seen[run["id"]] = run["status"]
                steps = self.stored("thread.run.step", run["id"])
                waiting = [step["type"] for step in steps if step["status"] == "in_progress"]
                assert run["status"] != "requires_action" or waiting == ["tool_calls"]
                if run["status"] in states.ENDED:
                    assert "in_progress" not in {step["status"] for step in steps}
            messages = self.stored("thread.message", thread)
            assert said == [message["content"][0]["text"]["value"] for message in messages if message["role"] == "user"]
            completed = [run["id"] for run in runs if run["status"] == "completed"]
            answers = [message["run_id"] for message in messages if message["role"] == "assistant"]
            assert completed == [one for one in answers if one in completed]
        kept = [thread["id"] for thread in self.stored("thread")]
        assert list(self.said) == kept
        [orphans] = self.api.service.store.database.execute(
            "SELECT count(*) FROM beat WHERE run NOT IN (SELECT id FROM object)"
        ).fetchone()
        assert 0 == orphans


def reachable(state: str) -> set[str]:
    """A state and all that may come after it: several changes may lie between two looks."""
    found = {state}
    for _ in states.NEXT:
        found |= {after for one in found for after in states.NEXT[one]}
    return found


Calls.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestCalls = Calls.TestCase


@pytest.mark.parametrize("latency", [0, 10])
def test_every_change_of_a_run_with_rounds_is_in_the_table(latency: float) -> None:
    api = Api(latency=latency)
    assistant, thread = api.assistant(ADD, "text_to_image"), api.thread("Hello.")
    body = {"assistant_id": assistant, "stream": True}
    began = api.send("POST", f"/threads/{thread}/runs", json=body, extensions={"runflow.sample": ROUNDS})
    events = parsed(began.content.decode())
    path = f"/threads/{thread}/runs/{events[-1][1]['id']}/submit_tool_outputs"
    events += api.events(path, tool_outputs=[{"output": "3"}, {"output": "7"}])
    events += api.events(path, tool_outputs=[{"output": "11"}])
    went = [data["status"] for _, data in events if data["object"] == "thread.run"]
    assert ["requires_action", "requires_action", "completed"] == [one for one in went if one not in ("queued", "in_progress")]
    assert [] == [(old, new) for old, new in pairwise(went) if not states.follows(old, new)]
    assert "Done." == api.answer(thread)
    api.close()


@pytest.mark.parametrize("latency", [0, 10])
def test_every_change_of_a_run_is_in_the_table(latency: float) -> None:
    api = Api(latency=latency)
    for text in ("Hello.", "Use big_add on 1 and 2.", "Draw a cat."):
        events = api.events(f"/threads/{api.thread(text)}/runs", assistant_id=api.assistant(ADD, "text_to_image"))
        went = [data["status"] for name, data in events if data["object"] == "thread.run"]
        assert [] == [(old, new) for old, new in pairwise(went) if not states.follows(old, new)]
    api.close()
