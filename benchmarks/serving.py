"""Play flows against the service of these benchmarks: start it, run the command, read what came of it on both sides."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from benchmarks.measure import RUNFLOW, Cost, cost, environment

__all__ = ["Played", "Served", "flows", "play", "served"]

FLOW = """\
name: flow {number}
assistant:
  model: qwen-max
  instructions: Be brief.
steps:
  - user: Hello, this is number {number}.
    expect: the answer you asked for
"""
VERDICTS = (0, 1, 4)
KEY = {"DASHSCOPE_API_KEY": "sk-benchmark"}


@dataclass(frozen=True, slots=True)
class Served:
    """A running service, and what it has counted."""

    base_url: str

    def count(self) -> "dict[str, object]":
        # No proxy has a way to this machine.
        with build_opener(ProxyHandler({})).open(self.base_url.replace("/api/v1", "/-/count")) as answer:
            counted: dict[str, object] = json.load(answer)
        return counted


@contextmanager
def served(*options: str) -> Iterator[Served]:
    """The service in a process of its own, with these options of its command line."""
    command = (sys.executable, "-m", "benchmarks.service", *options)
    with subprocess.Popen(
        command, cwd=Path(__file__).parent.parent, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Served(process.stdout.readline().strip())
        finally:
            process.kill()


def flows(folder: Path, count: int) -> Path:
    """A folder of so many flow files."""
    made = folder / f"flows-{count}"
    made.mkdir()
    for number in range(count):
        (made / f"flow-{number:05}.yaml").write_text(FLOW.format(number=number))
    return made


@dataclass(frozen=True, slots=True)
class Played:
    """A finished run: what it cost, what its report says, and what the service counted meanwhile."""

    flows: int
    seconds: float
    """From the first conversation to the end of the last."""
    cost: Cost
    totals: dict[str, int]
    calls: int
    answers: dict[str, int]
    left: int
    """Objects that are still there, without the threads whose creation was never answered."""
    lost: int
    """Those threads: nobody can know of them."""
    doubled: int
    """Threads with more messages of the user's, or more runs, than one."""
    service_cpu: float

    @property
    def rate(self) -> float:
        return self.flows / self.seconds


def play(service: Served, folder: Path, count: int, *options: str) -> Played:
    """Play so many flows with these options of `runflow`."""
    before = service.count()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        report = place / "report.json"
        command = (
            RUNFLOW, "run", str(folder), "--target", "dashscope", "--base-url", service.base_url, "-q", "--json", str(report),
            *options,
        )  # fmt: skip
        found = cost(command, place, KEY | {"RUNFLOW_STATE_DIR": str(place / "state")}, VERDICTS)
        told = head(report)
    after = service.count()
    calls = sum(numbers(after, "calls").values()) - sum(numbers(before, "calls").values())
    return Played(
        flows=count,
        seconds=told["seconds"],
        cost=found,
        totals=told["totals"],
        calls=calls,
        answers=numbers(after, "answers"),
        left=sum(numbers(after, "left").values()) - whole(after, "lost_threads"),
        lost=whole(after, "lost_threads"),
        doubled=whole(after, "doubled"),
        service_cpu=(fraction(after, "cpu") - fraction(before, "cpu")) / max(1, calls),
    )


def head(report: Path) -> "dict[str, Any]":
    """A JSON report without its conversations. All of it would make us large, and the system counts what we held when we start
    a process as that one's."""
    with report.open() as file:
        text, cases, _rest = file.read(10_000).partition('"cases": [')
    assert cases
    found: dict[str, Any] = json.loads(text.rstrip().removesuffix(",") + "}")
    return found


def numbers(counted: "dict[str, object]", name: str) -> dict[str, int]:
    found = counted[name]
    assert isinstance(found, dict)
    return found


def whole(counted: "dict[str, object]", name: str) -> int:
    found = counted[name]
    assert isinstance(found, int)
    return found


def fraction(counted: "dict[str, object]", name: str) -> float:
    found = counted[name]
    assert isinstance(found, float)
    return found
