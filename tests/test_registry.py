"""A check from another package is found like one of ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner.registry import Registry, checks

POLITE = '''
from dataclasses import dataclass

from runner.model import Outcome, Turn, Verdict
from runner.registry import check


@check("polite")
@dataclass(frozen=True, slots=True)
class Polite:
    """The reply says please."""

    value: None = None

    def evaluate(self, turn: Turn) -> Verdict:
        return Verdict(Outcome.PASSED if "please" in turn.text else Outcome.FAILED, "not polite")
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "polite.py").write_text(POLITE)
    info = tmp_path / "polite-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[runflow.checks]\npolite = polite\n")
    return tmp_path


def test_an_installed_package_adds_a_check(site: Path) -> None:
    flow = site / "flow.yaml"
    flow.write_text("assistant: {model: m}\nsteps:\n  - user: Say please.\n    expect: [polite]\n")
    command = [sys.executable, "-m", "runner", "validate", str(flow)]
    ended = subprocess.run(command, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False)
    assert (0, "1 file: no problems\n") == (ended.returncode, ended.stdout)


def test_a_name_is_given_once() -> None:
    registry: Registry[object] = Registry("runner.checks", "none")

    @registry.register("a")
    class First:
        pass

    with pytest.raises(ValueError, match="two none named 'a'"):

        @registry.register("a")
        class Second:
            pass


def test_built_in_checks_are_found_by_name() -> None:
    assert "contains" == checks["contains"].name
    assert "no such check" not in checks
