"""The README tells the truth: its flows run, and its commands print what stands below them.

The two opening commands are run as they stand there by `.ci/run`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
RUNFLOW = Path(sys.executable).with_name("runflow")
TIMES = re.compile(r"\d+(\.\d+)? (ms|s)\b")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def name(flow: str) -> str:
    found = re.match(r"# (\S+\.yaml)\n", flow)
    assert found, "a flow of the README begins with a comment that names its file"
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for flow in blocks("yaml"):
        (tmp_path / name(flow)).write_text(flow, encoding="utf-8")
    for rows in blocks("csv"):
        (tmp_path / "greetings.csv").write_text(rows, encoding="utf-8")
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{RUNFLOW.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False
    )


def test_the_two_opening_commands_come_first() -> None:
    opening = blocks("bash")
    assert 2 == len(opening)
    assert "runflow workflows/paint.yaml" in opening[0]
    assert "pytest" in opening[1]


@pytest.mark.parametrize(("flow", "conversations"), [("shop.yaml", 1), ("greetings.yaml", 2)])
def test_a_flow_passes(flow: str, conversations: int, folder: Path) -> None:
    ended = run(["runflow", flow], folder)
    assert 0 == ended.returncode, ended.stdout
    assert f" {conversations} passed, " in ended.stdout


def test_every_flow_has_its_test() -> None:
    tested = ["shop.yaml", "capital.yaml", "greetings.yaml", "orders.yaml", "mistakes.yaml", "names.yaml"]
    assert tested == [name(flow) for flow in blocks("yaml")]


@pytest.mark.parametrize("block", blocks("console"))
def test_a_command_prints_what_stands_below_it(block: str, folder: Path) -> None:
    command, _, expected = block.partition("\n")
    ended = run(command.removeprefix("$ ").split(), folder)
    assert TIMES.sub("N ms", expected) == TIMES.sub("N ms", ended.stdout)
