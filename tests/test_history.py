import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.history import History, durations, file_of, folder_name, load, locked, place, record
from runner.selection import Past


@dataclass(frozen=True, slots=True)
class Played:
    path: str
    label: str
    outcome: str
    seconds: float = 1.0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with flows in it, and the current folder."""
    folder = tmp_path / "project"
    (folder / "flows").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / "flows" / f"{name}.yaml").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def outcomes(state: Path, project: Path) -> dict[str, str]:
    return {" ".join(filter(None, identity)): past.outcome for identity, past in load(state, project).past.items()}


# ── what a conversation is known by ──────────────────────────────────────────────────────────────────────────────────


def test_a_file_has_one_place_however_it_is_named(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    names = ("flows/a.yaml", "./flows/../flows/a.yaml", str(project / "flows" / "a.yaml"), str(tmp_path / "link/flows/a.yaml"))
    assert {"flows/a.yaml"} == {place(name, project) for name in names} | {place("flows/a.yaml", tmp_path / "link")}
    monkeypatch.chdir(project / "flows")
    assert "flows/a.yaml" == place("a.yaml", project)
    assert "top.yaml" == place(project / "top.yaml", project)
    assert "../other/x.yaml" == place(tmp_path / "other" / "x.yaml", project)


def test_projects_do_not_share_a_history(project: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    assert folder_name(project) == folder_name(tmp_path / "link") != folder_name(tmp_path)
    record(state, project, [Played("flows/a.yaml", "", "failed")])
    assert {"flows/a.yaml": "failed"} == outcomes(state, tmp_path / "link")
    assert {} == outcomes(state, tmp_path)


# ── remembering ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_came_last_is_kept_and_the_rest_stays(project: Path, state: Path) -> None:
    record(state, project, [Played("flows/a.yaml", "", "passed"), Played("flows/b.yaml", "x", "failed", 2.12345)])
    record(state, project, [Played("flows/a.yaml", "", "error"), Played("flows/b.yaml", "犬", "flaky")])
    assert History(
        {
            ("flows/a.yaml", ""): Past("error", 1.0),
            ("flows/b.yaml", "x"): Past("failed", 2.123),
            ("flows/b.yaml", "犬"): Past("flaky", 1.0),
        }
    ) == load(state, project)


def test_what_was_not_begun_says_nothing(project: Path, state: Path) -> None:
    record(state, project, [Played("flows/a.yaml", "", "failed")])
    record(state, project, [Played("flows/a.yaml", "", "not_run"), Played("flows/b.yaml", "", "not_run")])
    assert {"flows/a.yaml": "failed"} == outcomes(state, project)


def test_files_that_are_gone_are_forgotten(project: Path, state: Path) -> None:
    record(state, project, [Played("flows/a.yaml", "", "failed"), Played("flows/b.yaml", "", "failed")])
    (project / "flows" / "a.yaml").unlink()
    assert {"flows/a.yaml": "failed", "flows/b.yaml": "failed"} == outcomes(state, project)
    record(state, project, [Played("flows/c.yaml", "", "passed")])
    assert {"flows/b.yaml": "failed", "flows/c.yaml": "passed"} == outcomes(state, project)


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_nobody_else_can_read_it(project: Path, state: Path) -> None:
    record(state, project, [Played("flows/a.yaml", "", "passed")])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.rglob("*"))}
    name = folder_name(project)
    assert {"state": 0o700, "history": 0o700, f"{name}.json": 0o600, f"{name}.lock": 0o600} == modes


def test_reading_writes_nothing(project: Path, state: Path) -> None:
    assert History() == load(state, project)
    assert not state.exists()


RECORD = """
import sys
from pathlib import Path
from runner.history import record
from tests.test_history import Played
state, project, name = map(Path, sys.argv[1:])
for number in range(20):
    record(state, project, [Played(f"flows/{name}.yaml", str(number), "passed")])
"""


def test_runs_at_once_lose_nothing_of_each_other(project: Path, state: Path) -> None:
    root = str(Path(__file__).parent.parent)
    both = [
        subprocess.Popen([sys.executable, "-c", RECORD, state, project, name], env={**os.environ, "PYTHONPATH": root})
        for name in ("a", "b")
    ]
    assert [0, 0] == [each.wait(60) for each in both]
    assert {(f"flows/{name}.yaml", str(number)) for name in "ab" for number in range(20)} == set(load(state, project).past)


def test_a_lock_that_another_keeps_is_not_waited_for_without_end(tmp_path: Path) -> None:
    paused: list[float] = []
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", paused.append):
        raise AssertionError
    assert 5 == pytest.approx(sum(paused))


def test_a_lock_is_gone_when_its_holder_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "lock"):
        raise RuntimeError
    with locked(tmp_path / "lock"):
        pass


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"format": "runflow-history/1"}',
        b'{"format": "runflow-history/2", "cases": []}',
        b"[" * 100_000,
    ],
    ids=["empty", "cut", "bytes", "list", "no cases", "of another version", "deep"],
)
def test_damaged_record_is_no_record(project: Path, state: Path, written: bytes) -> None:
    path = file_of(state, project)
    path.parent.mkdir(parents=True)
    path.write_bytes(written)
    assert History(damage=f"the record of earlier runs cannot be used: {path}: it is damaged") == load(state, project)
    record(state, project, [Played("flows/a.yaml", "", "passed")])
    assert {"flows/a.yaml": "passed"} == outcomes(state, project)


def test_record_that_cannot_be_read_says_why(project: Path, state: Path) -> None:
    path = file_of(state, project)
    path.mkdir(parents=True)
    assert f"the record of earlier runs cannot be used: {path}: Is a directory" == load(state, project).damage


def test_odd_entries_are_left_out(project: Path, state: Path) -> None:
    path = file_of(state, project)
    path.parent.mkdir(parents=True)
    good = ["flows/a.yaml", "", "failed", 1]
    odd: list[object] = [
        ["flows/a.yaml", "x"],
        [1, "", "failed", 1],
        ["p", "", "failed", -1],
        ["p", "", "failed", 10**400],
        {},
        "x",
    ]
    odd += [["p", "", "failed", float("nan")], ["p", "", "failed", None]]
    path.write_text(json.dumps({"format": "runflow-history/1", "cases": [*odd, good]}), encoding="utf-8")
    assert History({("flows/a.yaml", ""): Past("failed", 1.0)}) == load(state, project)


def test_state_folder_that_cannot_be_written_is_an_error(project: Path, state: Path) -> None:
    state.touch()
    with pytest.raises(OSError, match="exists"):
        record(state, project, [Played("flows/a.yaml", "", "passed")])


# ── durations ────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(tmp_path: Path, *cases: dict[str, object], kind: str = "runflow-report/1") -> Path:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"format": kind, "cases": cases}), encoding="utf-8")
    return path


def test_durations_are_those_of_a_report(project: Path, tmp_path: Path) -> None:
    case = {"label": "x", "outcome": "passed", "seconds": 2}
    written = report(
        tmp_path, {**case, "path": "./flows/a.yaml"}, {**case, "path": "flows/b.yaml", "outcome": "not_run", "seconds": 0}
    )
    assert {("flows/a.yaml", "x"): 2.0} == durations(written, project)


def test_what_is_no_report_is_refused(project: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{", encoding="utf-8")
    for path in (wrong, report(tmp_path, {"path": "x"}), report(tmp_path, kind="other")):
        with pytest.raises(ValueError, match=r"^not a report; `--json FILE` writes one$"):
            durations(path, project)
