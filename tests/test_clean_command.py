"""`runflow clean`: what a killed run left is gone afterwards, or named; and nothing else is touched."""

import itertools
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from runner.ledger import Pages
from tests.leftovers_fixtures import KILLED, Place, place

NOTHING = "there was nothing to clean up"
ORPHAN = re.compile(r"possible orphan: thread without an id \(a\.yaml, dashscope at \S+, operation id (\w+)\)")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        here.flow("a.yaml")
        yield here


def noted(here: Place, *records: Mapping[str, object], run: str = "20260101T000000000Z-aaaaaaaa") -> Path:
    """A ledger of a run that is no more."""
    about = {"parent": "", "time": 7.25, "flow": "a.yaml", "target": "dashscope", "base_url": here.server.base_url,
             "key_variable": "DASHSCOPE_API_KEY", "workspace": None}  # fmt: skip
    path = here.state / "ledger" / f"{run}.jsonl"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(json.dumps({**about, **record} if "kind" in record else record) + "\n" for record in records))
    return path


def intent(kind: str, op: str, **more: object) -> dict[str, object]:
    return {"record": "intent", "kind": kind, "op": op, **more}


# ── after a kill ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", ["event", "reply"])
def test_after_a_kill_at_any_moment_nothing_is_left_or_it_is_named(here: Place, moment: str) -> None:
    orphans: set[object] = set()
    kills = 0
    for number in itertools.count(1):
        played = here.play("--kill", f"{moment}:{number}", "a.yaml")
        if played.code != KILLED:
            assert 0 == played.code, played
            break
        kills += 1
        cleaned = here.clean()
        named = set(ORPHAN.findall(cleaned.stdout))
        assert here.ops() - orphans <= named, (number, cleaned)
        # What nobody can look up would be said again each time.
        assert 0 == cleaned.code, (number, cleaned)
        if named:
            assert "`runflow clean --all` forgets it" in cleaned.stdout
            assert "forgets it" not in here.clean("--all").stdout
        orphans |= named
        assert [] == here.ledgers()
    # Each of its events, and each answer but those of a stream and of what is deleted.
    assert kills > (15 if moment == "event" else 5)
    assert (0 if moment == "event" else 1) == len(here.held())


def test_after_a_kill_while_several_are_under_way_all_of_it_is_found(here: Place) -> None:
    for name in "bcdefgh":
        here.flow(f"{name}.yaml")
    assert KILLED == here.play("--jobs", "4", "--kill", "event:70", ".").code
    before = here.ops()
    assert before
    cleaned = here.clean()
    assert here.ops() <= {each for line in cleaned.lines for each in re.findall(r"operation id (\w+)", line)}
    assert here.ops() < before


def test_a_run_that_came_to_its_end_leaves_no_ledger(here: Place) -> None:
    assert 0 == here.play("a.yaml").code
    assert [] == here.ledgers()
    assert [] == here.held()
    ended = here.clean()
    assert ([NOTHING], "", 0) == (ended.lines, ended.stderr, ended.code)


def test_what_was_kept_is_deleted_only_when_all_is(here: Place) -> None:
    assert 0 == here.play("--keep", "a.yaml").code
    assert 2 == len(here.held())
    ended = here.clean()
    assert ["2 things were to be kept; `runflow clean --all` deletes them"] == ended.lines
    assert 0 == ended.code
    assert 2 == len(here.held())
    thread, assistant = sorted((str(each["id"]) for each in here.held()), reverse=True)
    ended = here.clean("--all")
    where = f"(a.yaml, dashscope at {here.server.base_url})"
    assert [
        f"deleted thread {thread} {where}",
        f"deleted assistant {assistant} {where}",
        "2 deleted, 0 cancelled, 0 gone already; 0 left, 0 perhaps",
    ] == ended.lines
    assert ([], []) == (here.held(), here.ledgers())


# ── what is listed, and what is not ──────────────────────────────────────────────────────────────────────────────────


def test_with_no_state_folder_there_is_nothing_to_do_and_none_is_made(here: Place) -> None:
    ended = here.clean()
    assert ([NOTHING], 0) == (ended.lines, ended.code)
    assert not here.state.exists()


def test_what_is_gone_already_is_done(here: Place) -> None:
    path = noted(
        here,
        intent("assistant", "op-1"),
        {"record": "made", "op": "op-1", "id": "asst_1"},
        intent("assistant", "op-2"),
        intent("run", "op-3", parent="thread_1"),
        {"record": "made", "op": "op-3", "id": "run_1"},
        intent("run", "op-4", parent="thread_1"),
    )
    ended = here.clean()
    where = f"(a.yaml, dashscope at {here.server.base_url}"
    assert [
        f"ended already: run run_1 {where})",
        f"never made: run without an id {where}, operation id op-4)",
        f"deleted assistant asst_1 {where})",
        f"never made: assistant without an id {where}, operation id op-2)",
        "1 deleted, 0 cancelled, 3 gone already; 0 left, 0 perhaps",
    ] == [*sorted(ended.lines[:-1], key=lambda line: ("assistant" in line, "never" in line)), ended.lines[-1]]
    assert 0 == ended.code
    assert not path.exists()


def test_showing_changes_nothing(here: Place) -> None:
    assert KILLED == here.play("--kill", "event:8", "a.yaml").code
    [path] = here.ledgers()
    before = path.read_bytes()
    ended = here.clean("--dry-run")
    assert ("2 things would be dealt with", 0) == (ended.lines[-1], ended.code)
    assert before == path.read_bytes()
    assert 2 == len(here.held())


def test_what_is_too_recent_stays(here: Place) -> None:
    noted(here, intent("assistant", "op-1", time=time.time() - 60), intent("assistant", "op-2", time=time.time() - 7200))
    ended = here.clean("--older-than", "1h")
    assert "1 thing is too recent" in ended.lines
    assert 0 == ended.code
    [path] = here.ledgers()
    assert '{"record":"gone","op":"op-2"}' in path.read_text()
    assert '{"record":"gone","op":"op-1"}' not in path.read_text()


def test_a_time_that_is_none_is_said(here: Place) -> None:
    ended = here.clean("--older-than", "yesterday")
    assert 2 == ended.code
    sentence = "`--older-than yesterday`: not a duration; write it like `20s`, `15 min` or as seconds"
    assert f"runflow: {sentence}" == ended.stderr.splitlines()[0]


def test_a_run_under_way_is_left_alone_and_named(here: Place) -> None:
    pages = Pages.of_the_dead(noted(here, intent("assistant", "op-1")))
    assert pages is not None
    ended = here.clean()
    assert ["left alone: the run 20260101T000000000Z-aaaaaaaa is still under way", NOTHING] == ended.lines
    assert 0 == ended.code
    pages.close(remove=False)


def test_what_was_done_as_json(here: Place) -> None:
    noted(here, intent("thread", "op-1"), intent("assistant", "op-2"))
    ended = here.clean("--json", "-")
    assert 0 == ended.code
    told = json.loads(ended.stdout)
    about = {"run": "20260101T000000000Z-aaaaaaaa", "parent": "", "time": 7.25, "flow": "a.yaml", "target": "dashscope",
             "base_url": here.server.base_url, "key_variable": "DASHSCOPE_API_KEY", "workspace": None, "id": "",
             "kept": False}  # fmt: skip
    assert {
        "format": "runflow-clean/1",
        "things": [
            {**about, "kind": "thread", "op": "op-1", "outcome": "orphan", "reason": "threads cannot be looked up"},
            {**about, "kind": "assistant", "op": "op-2", "outcome": "never_made", "reason": ""},
        ],
        "alive": [],
        "foreign": [],
    } == told


# ── what stays, and why ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environment", "changed", "reason"),
    [
        ({"DASHSCOPE_API_KEY": ""}, {}, "DASHSCOPE_API_KEY is not set; target `dashscope` needs its key there"),
        ({}, {"target": "elsewhere"}, "there is no target `elsewhere`"),
        ({"OTHER": "x" * 9}, {"key_variable": "OTHER"}, "target `dashscope` does not take its key from OTHER"),
        (
            {},
            {"base_url": "http://example.com/api/v1"},
            "the key in DASHSCOPE_API_KEY is not sent over plain http; write https://example.com",
        ),
    ],
)
def test_what_cannot_be_reached_stays_and_says_why(
    here: Place, environment: Mapping[str, str], changed: Mapping[str, str], reason: str
) -> None:
    path = noted(here, intent("assistant", "op-1", **changed), {"record": "made", "op": "op-1", "id": "asst_1"})
    before = path.read_bytes()
    ended = here.clean(**environment)
    assert 4 == ended.code
    assert ended.lines[0].startswith("left: assistant asst_1 (a.yaml, ")
    assert ended.lines[0].endswith(f"): {reason}")
    assert before == path.read_bytes()


def test_a_key_that_is_not_accepted_is_said_without_it(here: Place) -> None:
    path = noted(here, intent("assistant", "op-1"), {"record": "made", "op": "op-1", "id": "asst_1"})
    ended = here.clean(DASHSCOPE_API_KEY="wrong-key-0123456789")
    assert 4 == ended.code
    assert "DELETE /assistants/asst_1: 401" in ended.stdout
    assert "check the key in DASHSCOPE_API_KEY" in ended.stdout
    assert "wrong-key" not in ended.stdout + ended.stderr
    assert path.exists()


def test_a_ledger_that_others_can_write_to_sends_our_key_nowhere(here: Place) -> None:
    path = noted(here, intent("assistant", "op-1"))
    path.chmod(0o622)
    ended = here.clean()
    assert [f"left alone: {path}, as somebody else can write to it", NOTHING] == ended.lines
    assert 4 == ended.code


def test_a_folder_of_ledgers_that_cannot_be_read_is_said(here: Place) -> None:
    (here.state / "ledger" / "20260101T000000000Z-aaaaaaaa.jsonl").mkdir(parents=True)
    ended = here.clean()
    path = here.state / "ledger" / "20260101T000000000Z-aaaaaaaa.jsonl"
    assert (f"runflow: {path}: Is a directory\n", 4) == (ended.stderr, ended.code)


def test_only_what_is_listed_is_deleted(here: Place) -> None:
    assert 0 == here.play("--keep", "a.yaml").code
    [kept] = here.ledgers()
    kept.rename(here.folder / "elsewhere.jsonl")
    assert KILLED == here.play("--kill", "event:9", "a.yaml").code
    assert 4 == len(here.held())
    assert 0 == here.clean("--all").code
    assert 2 == len(here.held())


# ── what cannot be noted down ────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_made_that_cannot_be_noted_down(here: Place) -> None:
    here.state.mkdir()
    (here.state / "ledger").write_text("a file")
    ended = here.play("a.yaml")
    assert 4 == ended.code
    [case] = json.loads(ended.stdout)["cases"]
    reason = f"nothing is made, as it could not be noted down in {here.state / 'ledger'}: File exists"
    assert ("error", reason) == (case["outcome"], case["reason"])
    with closing(sqlite3.connect(here.folder / "service.db")) as database:
        assert [] == database.execute("SELECT * FROM sqlite_sequence WHERE name = 'object'").fetchall()
