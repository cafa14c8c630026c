"""Run whole processes in turn and compare them: medians of pairs, so that a drifting machine changes no ratio."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUNFLOW = str(Path(sys.executable).with_name("runflow"))
BARE = (sys.executable, "-c", "pass")


@dataclass(frozen=True, slots=True)
class Cost:
    """One finished process: wall seconds, CPU seconds, peak resident memory in MB."""

    wall: float
    cpu: float
    peak: float


def environment() -> Mapping[str, str]:
    """The caller's environment without what would choose a target or a language."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNFLOW_", "DASHSCOPE_")) and name != "CI"
    }
    return kept | {"LC_ALL": "C.UTF-8"}


def cost(command: Sequence[str], folder: Path) -> Cost:
    """Run `command` in `folder` to its end; raise RuntimeError with its output when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode(errors='replace')}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def against_bare(command: Sequence[str], folder: Path, rounds: int = 15) -> tuple[float, float, float, Cost]:
    """The wall-time ratio of `command` to `python -c pass`, pair by pair: (lowest, median, highest), and its median cost."""
    cost(command, folder)
    pairs = [(cost(BARE, folder), cost(command, folder)) for _ in range(rounds)]
    ratios = sorted(theirs.wall / bare.wall for bare, theirs in pairs)
    middle = sorted((theirs for _, theirs in pairs), key=lambda found: found.wall)[rounds // 2]
    return ratios[0], statistics.median(ratios), ratios[-1], middle
