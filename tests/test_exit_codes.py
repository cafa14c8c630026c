"""How a suite ends, through the command and over HTTP, with a service that goes wrong on demand; tests/test_cli.py has the
table of single flows and of the other commands."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.embedded_fixtures import served
from tests.test_cli import RUNFLOW, Ended, clean, run

FLOW = """\
assistant: {{model: m}}
{more}
steps:
  - user: Tell me about a cat.
    sample: a tabby cat
    expect: [contains: {word}]
"""
FLOWS = {
    "passes": FLOW.format(more="tags: [a]", word="cat"),
    "fails": FLOW.format(more="tags: [b]", word="dodo"),
    "again": FLOW.format(more="retries: 1", word="cat"),
    "often": FLOW.format(more="repeat: {times: 2, pass: 1}", word="cat"),
    "skipped": FLOW.format(more="tags: [c]", word="cat") + "    skip: waits\n",
    "invalid": FLOW.format(more="tgas: [a]", word="cat"),
}
NO_VERDICT = ("failed@1",)
"""The first run ends without an answer."""


@pytest.mark.parametrize(
    ("code", "command", "faults"),
    [
        (0, "passes skipped", ()),
        (0, "again", NO_VERDICT),
        (0, "often", NO_VERDICT),
        (0, "passes", ("503@1/create_run", "lost@1/add_message")),
        (0, "fails passes --tag a", ()),
        (1, "again --fail-on-flaky", NO_VERDICT),
        (1, "passes fails skipped", ()),
        (1, "passes fails", NO_VERDICT),
        (1, "fails passes --max-failures 1", ()),
        (3, "passes invalid fails", ()),
        (3, "invalid skipped", ("500",)),
        (4, "passes", NO_VERDICT),
        (4, "passes skipped", NO_VERDICT),
        (4, "passes again --max-failures 1", ("failed@1",)),
        (4, "again", ("failed@1-2",)),
        (4, "passes --budget 3calls", ()),
        (4, "passes again --budget 1tokens", ()),
        (4, "passes --deadline 1ms", ()),
        (4, "passes --timeout 300ms", ("stall:30/create_run",)),
        (4, "passes", ("429:600/create_assistant",)),
        (5, "skipped", ()),
        (5, "passes --tag b", ()),
        (5, "passes --shard 1/2 --tag a -k passes", ()),
    ],
)
def test_a_suite_ends_with_its_code(code: int, command: str, faults: Sequence[str], tmp_path: Path) -> None:
    with served(*(word for fault in faults for word in ("--fault", fault))) as server:
        ended = play(tmp_path, command, server.base_url, server.token)
    assert (code, False) == (ended.code, "Traceback" in ended.stderr), ended.stdout + ended.stderr


def play(folder: Path, command: str, base_url: str, key: str) -> Ended:
    words = command.split()
    for name in (word for word in words if word in FLOWS):
        (folder / f"{name}.yaml").write_text(FLOWS[name], encoding="utf-8")
    words = [f"{word}.yaml" if word in FLOWS and (at == 0 or words[at - 1] != "-k") else word for at, word in enumerate(words)]
    return run(folder, *words, "--jobs", "1", "--base-url", base_url, DASHSCOPE_API_KEY=key)


def test_nothing_outlives_the_embedded_service_so_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FLOWS["passes"], encoding="utf-8")
    ended = run(tmp_path, "passes.yaml", "--keep")
    assert (0, "runflow: `--keep` keeps nothing here: the embedded service ends with the run\n") == (ended.code, ended.stderr)
    assert "kept at" not in ended.stdout


def test_what_is_kept_is_named_with_the_command_that_deletes_it(tmp_path: Path) -> None:
    with served() as server:
        kept = play(tmp_path, "passes --keep", server.base_url, server.token)
        cleaned = run(tmp_path, "clean", "--all", DASHSCOPE_API_KEY=server.token)
    assert (0, "") == (kept.code, kept.stderr)
    assert "  `runflow clean --all` deletes them\n" in kept.stdout
    assert (0, "2 deleted, 0 cancelled, 0 gone already; 0 left, 0 perhaps") == (cleaned.code, cleaned.stdout.splitlines()[-1])


def test_taking_a_run_up_says_which_and_how_much_of_it_was_over(tmp_path: Path) -> None:
    words = ("fails passes --max-failures 1", "fails passes --resume")
    with served() as server:
        first, second = (play(tmp_path, command, server.base_url, server.token) for command in words)
    assert (1, TO_BE_RESUMED) == (first.code, first.stderr)
    [archive] = (tmp_path / "home" / "state" / "runflow" / "runs").glob("*/*.jsonl")
    taken_up = f"runflow: the run {archive.stem} is taken up: 1 conversation of 2 was over\n"
    assert (1, taken_up + FAILED) == (second.code, second.stderr)


TO_BE_RESUMED = "runflow: 1 conversation has no verdict yet; the same command with `--resume` plays only that\n"
FAILED = "runflow: the same command with `--last-failed` plays only what did not pass\n"


@pytest.mark.parametrize(
    ("command", "faults", "said"),
    [
        ("passes fails --budget 11calls", (), TO_BE_RESUMED),
        ("passes fails again --quiet", ("failed@1",), TO_BE_RESUMED),
        ("passes fails again", ("failed@1",), TO_BE_RESUMED + FAILED),
        ("passes fails", (), FAILED),
        ("passes fails --quiet", (), ""),
        # Where it would play everything, nothing needs to be said.
        ("fails", (), ""),
        ("fails again", (), FAILED),
        ("passes again", ("failed",), ""),
    ],
)
def test_what_is_left_to_do_is_named_with_the_option_that_plays_only_that(
    command: str, faults: Sequence[str], said: str, tmp_path: Path
) -> None:
    with served(*(word for fault in faults for word in ("--fault", fault))) as server:
        ended = play(tmp_path, command, server.base_url, server.token)
    assert said == ended.stderr, ended.stdout


def test_a_machine_that_is_thrown_away_is_told_of_no_state(tmp_path: Path) -> None:
    for name in ("passes", "fails"):
        (tmp_path / f"{name}.yaml").write_text(FLOWS[name], encoding="utf-8")
    ended = run(tmp_path, "passes.yaml", "fails.yaml", "--target", "embedded", CI="true")
    assert (1, "") == (ended.code, ended.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use is not deleted there")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("run ../passes.yaml --target embedded", 2, "runflow: the current folder has been deleted; change to another one\n"),
        ("validate ../passes.yaml", 2, "runflow: the current folder has been deleted; change to another one\n"),
        ("clean", 2, "runflow: the current folder has been deleted; change to another one\n"),
        ("validate passes.yaml", 2, "runflow: there is no file or folder `passes.yaml`\n"),
        # These need no folder.
        ("--version --debug", 0, ""),
        ("explain contains", 0, ""),
    ],
)
def test_a_folder_that_has_been_deleted_is_named_where_it_is_needed(command: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FLOWS["passes"], encoding="utf-8")
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        ["sh", "-c", 'rmdir ../gone && exec "$@"', "sh", RUNFLOW, *command.split()],
        cwd=tmp_path / "gone",
        env=clean(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (code, said) == (ended.returncode, ended.stderr.decode())
