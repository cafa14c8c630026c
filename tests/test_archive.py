"""The shelf of a run on a disk that is full: nothing that was to be put down is lost, and the file stays readable."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner.archive import Archive
from runner.events import CaseEnded, CaseStarted, Envelope, SuiteEnded
from runner.model import Outcome
from runner.ndjson import decode


def conversation(number: int) -> tuple[Envelope, ...]:
    started = CaseStarted("flow.yaml", "flow", "x" * 200, (), "embedded", "m", 1, 1, 1, "digest")
    return Envelope(number, 1, 1.5, started), Envelope(number, 2, 2.5, CaseEnded(Outcome.PASSED, 1.0, ""))


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond that: as on a full disk, part of what is written then fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("named", [True, False])
def test_what_a_full_disk_does_not_take_is_held(named: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl" if named else None
    with closing(Archive(path)) as archive:
        with room_for(1000):
            for number in (1, 2, 3, 4):
                archive.put(number, conversation(number))
            archive.receive(Envelope(0, 1, 3.5, SuiteEnded(2.0, 0)))
        assert archive.trouble is not None
        assert 4 == len(archive.places)
        assert [conversation(number) for number in (1, 2, 3, 4)] == [archive.take(number) for number in (1, 2, 3, 4)]
    if path:
        assert list(conversation(1)) == list(decode(path.read_text("utf-8").splitlines()))


def test_what_fits_is_all_in_the_file(tmp_path: Path) -> None:
    with closing(Archive(tmp_path / "run.jsonl")) as archive:
        for number in (2, 1):
            archive.put(number, conversation(number))
        assert (None, conversation(1)) == (archive.trouble, archive.take(1))
    assert [*conversation(2), *conversation(1)] == list(decode((tmp_path / "run.jsonl").read_text("utf-8").splitlines()))


@pytest.mark.parametrize("named", [True, False])
def test_it_does_without_what_windows_lacks(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread")
    monkeypatch.delattr(os, "pwrite")
    with closing(Archive(tmp_path / "run.jsonl" if named else None)) as archive:
        archive.put(1, conversation(1))
        assert conversation(1) == archive.take(1)
        archive.put(2, conversation(2))
        assert [conversation(2), conversation(1)] == [archive.take(2), archive.take(1)]


def test_what_it_reads_back_itself_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    with closing(Archive(tmp_path / "run.jsonl")) as archive:
        archive.put(1, conversation(1))
    assert ["run.jsonl"] == [path.name for path in tmp_path.iterdir()]
