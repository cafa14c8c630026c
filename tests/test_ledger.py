"""What is about to be made is on disk before it is made, and can be read again whatever happened to us."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import ledger
from runner.clean import Redactor
from runner.ledger import ASSISTANT, RUN, THREAD, Book, Entry, Ledger, Pages, Unwritable, entries, ledgers
from runner.targets import Connection

SHOP = Connection("dashscope", "https://dashscope-intl.aliyuncs.com/api/v1", "for tests", "DASHSCOPE_API_KEY", "ws-1")


def book_in(folder: Path) -> Book:
    return Book(folder / "state" / "ledger", wall=lambda: 7.25)


def told(folder: Path, *steps: Callable[[Ledger], Awaitable[None] | None]) -> Book:
    """A book in which a conversation noted this down; it is still open."""
    book = book_in(folder)

    async def go() -> None:
        mine = book.of(SHOP, "shop.yaml")
        for step in steps:
            waiting = step(mine)
            if waiting is not None:
                await waiting

    asyncio.run(go())
    return book


def written(folder: Path) -> list[Path]:
    return list(ledgers(folder / "state" / "ledger"))


def entry(kind: str, op: str, **more: object) -> Entry:
    place = (SHOP.target, SHOP.base_url, SHOP.key_variable, SHOP.workspace)
    return Entry(kind, op, str(more.get("parent", "")), 7.25, "shop.yaml", *place, str(more.get("id", "")), "kept" in more)


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_written_before_something_is_to_be_made(tmp_path: Path) -> None:
    book_in(tmp_path).close()
    assert [] == list(tmp_path.iterdir())


def test_every_line_of_a_ledger(tmp_path: Path) -> None:
    book = told(
        tmp_path,
        lambda mine: mine.intend(ASSISTANT, "op-1"),
        lambda mine: mine.made("op-1", "asst_1"),
        lambda mine: mine.intend(RUN, "op-2", "thread_1"),
        lambda mine: mine.gone("op-2"),
        lambda mine: mine.kept("op-1"),
    )
    [path] = written(tmp_path)
    place = {
        "flow": "shop.yaml",
        "target": "dashscope",
        "base_url": "https://dashscope-intl.aliyuncs.com/api/v1",
        "key_variable": "DASHSCOPE_API_KEY",
        "workspace": "ws-1",
    }
    assert [
        {"format": "runflow-ledger/1", "pid": os.getpid()},
        {"record": "intent", "kind": "assistant", "op": "op-1", "parent": "", "time": 7.25, **place},
        {"record": "made", "op": "op-1", "id": "asst_1"},
        {"record": "intent", "kind": "run", "op": "op-2", "parent": "thread_1", "time": 7.25, **place},
        {"record": "gone", "op": "op-2"},
        {"record": "kept", "op": "op-1"},
    ] == [json.loads(line) for line in path.read_text().splitlines()]
    assert path.name.startswith("19700101T000007250Z-")
    book.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_may_look_into_a_ledger(tmp_path: Path) -> None:
    book = told(tmp_path, lambda mine: mine.intend(ASSISTANT, "op-1"))
    [path] = written(tmp_path)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent.parent, path.parent, path)]
    assert [0o700, 0o700, 0o600] == modes
    book.close()


def test_a_ledger_is_taken_away_when_everything_in_it_is_gone(tmp_path: Path) -> None:
    book = told(
        tmp_path,
        lambda mine: mine.intend(ASSISTANT, "op-1"),
        lambda mine: mine.intend(THREAD, "op-2"),
        lambda mine: mine.made("op-2", "thread_1"),
        lambda mine: mine.intend(RUN, "op-3", "thread_1"),
        lambda mine: mine.gone("op-1"),
        lambda mine: mine.gone("op-2"),
    )
    assert 1 == len(written(tmp_path))
    book.close()
    assert [] == written(tmp_path)


@pytest.mark.parametrize("last", [lambda mine: mine.kept("op-2"), lambda mine: mine.made("op-2", "thread_1")])
def test_a_ledger_stays_while_something_is_there(tmp_path: Path, last: Callable[[Ledger], None]) -> None:
    told(
        tmp_path,
        lambda mine: mine.intend(ASSISTANT, "op-1"),
        lambda mine: mine.intend(THREAD, "op-2"),
        lambda mine: mine.gone("op-1"),
        last,
    ).close()
    assert 1 == len(written(tmp_path))


def test_what_a_service_says_is_written_without_secrets(tmp_path: Path) -> None:
    key = "sk-0123456789abcdef"
    book = Book(tmp_path / "ledger", redact=Redactor([key]).redact)

    async def go() -> None:
        mine = book.of(SHOP, f"{key}.yaml")
        await mine.intend(THREAD, "op-1")
        mine.made("op-1", key)
        await mine.intend(RUN, "op-2", key)

    asyncio.run(go())
    [path] = ledgers(tmp_path / "ledger")
    assert key not in path.read_text()
    assert 4 == path.read_text().count("***")
    book.close()


# ── what is on disk when ─────────────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """Stands where the system's own wait for the disk stood: counts, and waits until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.began = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.trouble: OSError | None = None

    def sync(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        self.sizes.append(os.fstat(descriptor).st_size)
        self.began.release()
        self.free.wait()
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.sync)
    return disk


def test_conversations_share_the_wait_for_the_disk(tmp_path: Path, disk: Disk) -> None:
    book = book_in(tmp_path)

    async def go() -> None:
        first = [asyncio.create_task(book.of(SHOP).intend(ASSISTANT, f"a{number}")) for number in range(50)]
        await asyncio.to_thread(disk.began.acquire)
        late = [asyncio.create_task(book.of(SHOP).intend(THREAD, f"t{number}")) for number in range(50)]
        await asyncio.sleep(0)
        early = [task for task in (*first, *late) if task.done()]
        disk.free.set()
        assert [] == early
        await asyncio.gather(*first)
        await asyncio.gather(*late)

    asyncio.run(go())
    assert 2 == len(disk.sizes)
    [path] = written(tmp_path)
    # The second wait is for what was written while the first one lasted: all of it.
    assert path.stat().st_size == disk.sizes[1] > disk.sizes[0]
    book.close()


def test_nobody_else_stops_waiting_when_one_does(tmp_path: Path, disk: Disk) -> None:
    book = book_in(tmp_path)

    async def go() -> None:
        first, second = (asyncio.create_task(book.of(SHOP).intend(ASSISTANT, op)) for op in ("op-1", "op-2"))
        await asyncio.to_thread(disk.began.acquire)
        first.cancel()
        disk.free.set()
        await second
        assert first.cancelled()

    asyncio.run(go())
    [path] = written(tmp_path)
    # Who stops waiting makes nothing.
    assert ["op-2"] == list(entries(path.read_bytes().splitlines()))
    book.close()


def test_a_loop_that_ends_while_the_disk_is_busy_stops_nobody_on_the_next(tmp_path: Path, disk: Disk) -> None:
    book = book_in(tmp_path)

    async def leave() -> None:
        task = asyncio.create_task(book.of(SHOP).intend(ASSISTANT, "op-1"))
        await asyncio.to_thread(disk.began.acquire)
        task.cancel()
        disk.free.set()

    asyncio.run(leave())
    asyncio.run(book.of(SHOP).intend(ASSISTANT, "op-2"))
    assert 2 == len(disk.sizes)
    book.close()


def test_what_the_disk_refuses_is_not_made_and_nothing_after_it(tmp_path: Path, disk: Disk) -> None:
    book = book_in(tmp_path)
    disk.trouble = OSError(5, "Input/output error")
    disk.free.set()
    folder = tmp_path / "state" / "ledger"
    sentence = f"nothing is made, as it could not be noted down in {folder}: Input/output error"
    for op in ("op-1", "op-2"):
        with pytest.raises(Unwritable, match="Input/output") as caught:
            asyncio.run(book.of(SHOP).intend(ASSISTANT, op))
        assert sentence == str(caught.value)
    assert 1 == len(disk.sizes)
    disk.trouble = None
    book.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Unwritable) as caught:
        asyncio.run(book_in(tmp_path).of(SHOP).intend(ASSISTANT, "op-1"))
    folder = tmp_path / "state" / "ledger"
    assert f"nothing is made, as it could not be noted down in {folder}: File exists" == str(caught.value)


def test_a_line_for_which_there_was_no_room_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = told(tmp_path, lambda mine: mine.intend(ASSISTANT, "op-1"))
    write = os.write
    mine = book.of(SHOP)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(Unwritable, match="No space left on device"):
            asyncio.run(mine.intend(THREAD, "op-2"))
    asyncio.run(mine.intend(THREAD, "op-3"))
    [path] = written(tmp_path)
    assert ["op-1", "op-3"] == list(entries(path.read_bytes().splitlines()))
    book.close()


def test_what_cannot_be_noted_down_afterwards_stops_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = told(tmp_path, lambda mine: mine.intend(ASSISTANT, "op-1"))
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda _descriptor, _data: 0)
        book.of(SHOP).made("op-1", "asst_1")
    with pytest.raises(Unwritable, match="No space left on device"):
        asyncio.run(book.of(SHOP).intend(THREAD, "op-2"))
    book.close()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_entries_are_what_is_not_gone(tmp_path: Path) -> None:
    told(
        tmp_path,
        lambda mine: mine.intend(ASSISTANT, "op-1"),
        lambda mine: mine.made("op-1", "asst_1"),
        lambda mine: mine.kept("op-1"),
        lambda mine: mine.intend(THREAD, "op-2"),
        lambda mine: mine.made("op-2", "thread_1"),
        lambda mine: mine.intend(RUN, "op-3", "thread_1"),
        lambda mine: mine.gone("op-2"),
        lambda mine: mine.intend(RUN, "op-4", "thread_2"),
    ).close()
    [path] = written(tmp_path)
    kept = entry(ASSISTANT, "op-1", id="asst_1", kept=True)
    assert [kept, entry(RUN, "op-4", parent="thread_2")] == list(entries(path.read_bytes().splitlines()).values())


LINES = [
    b'{"format":"runflow-ledger/1","pid":7}',
    *(
        json.dumps({"record": "intent", "kind": kind, "op": op, "parent": "", "time": 7.25, "flow": "shop.yaml",
                    "target": "dashscope", "base_url": SHOP.base_url, "key_variable": "DASHSCOPE_API_KEY",
                    "workspace": "ws-1"}).encode()
        for kind, op in ((ASSISTANT, "op-1"), (THREAD, "op-2"))
    ),
    b'{"record":"made","op":"op-1","id":"asst_1"}',
    b'{"record":"gone","op":"op-2"}',
    b'{"record":"kept","op":"op-1"}',
]  # fmt: skip
WHOLE = b"".join(line + b"\n" for line in LINES)


@given(st.integers(0, len(WHOLE)))
def test_a_ledger_cut_short_anywhere_tells_all_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "run.jsonl"
    path.write_bytes(WHOLE[:length])
    whole = WHOLE[:length].count(b"\n") + (WHOLE[length:].startswith(b"\n"))
    assert entries(LINES[:whole]) == entries(WHOLE[:length].splitlines())
    pages = Pages.of_the_dead(path)
    assert pages is not None
    pages.write(json.loads(LINES[2]))
    pages.close(remove=False)
    assert entries([*LINES[:whole], LINES[2]]) == entries(path.read_bytes().splitlines())


@given(st.lists(st.one_of(st.binary(), st.sampled_from(LINES), st.from_regex(rb'\{"record":"(intent|made)","op":.*\}'))))
def test_what_is_no_ledger_tells_nothing_and_breaks_nothing(lines: list[bytes]) -> None:
    assert {"op-1", "op-2"} >= set(entries(lines))


@pytest.mark.parametrize(
    ("name", "value"), [("op", None), ("base_url", 7), ("time", "now"), ("time", True), ("key_variable", []), ("flow", {})]
)
def test_a_record_of_another_shape_is_none(name: str, value: object) -> None:
    record = {**json.loads(LINES[1]), name: value}
    if value is None:
        del record[name]
    assert {} == entries([json.dumps(record).encode()])


# ── whose it is ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ledger_is_held_while_its_run_lives(tmp_path: Path) -> None:
    book = told(tmp_path, lambda mine: mine.intend(ASSISTANT, "op-1"))
    [path] = written(tmp_path)
    assert Pages.of_the_dead(path) is None
    book.close()
    pages = Pages.of_the_dead(path)
    assert pages is not None
    assert Pages.of_the_dead(path) is None
    pages.close(remove=False)


def test_a_ledger_is_free_when_its_run_was_killed(tmp_path: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
from runner.ledger import Book
from runner.targets import Connection
asyncio.run(Book(Path(sys.argv[1])).of(Connection("dashscope", "https://host", "")).intend("thread", "op-1"))
os.kill(os.getpid(), 9)
"""
    folder = tmp_path / "ledger"
    subprocess.run([sys.executable, "-c", script, folder], check=False, timeout=60)
    [path] = ledgers(folder)
    pages = Pages.of_the_dead(path)
    assert pages is not None
    assert ["op-1"] == list(entries(pages.lines()))
    pages.close(remove=True)
    assert [] == list(ledgers(folder))


def test_a_new_ledger_that_somebody_else_got_hold_of_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter([False, True])
    monkeypatch.setattr(ledger, "hold", lambda _descriptor: next(tries))
    book = told(tmp_path, lambda mine: mine.intend(ASSISTANT, "op-1"))
    sizes = sorted(path.stat().st_size > 0 for path in written(tmp_path))
    assert [False, True] == sizes
    book.close()
