"""Run whole processes in turn and compare them: medians of pairs, so that a drifting machine changes no ratio."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
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


def environment() -> dict[str, str]:
    """The caller's environment without what would choose a target or a language."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RUNFLOW_", "DASHSCOPE_")) and name != "CI"
    }
    return kept | {"LC_ALL": "C.UTF-8"}


def cost(command: Sequence[str], folder: Path, more: Mapping[str, str] | None = None, codes: Collection[int] = (0,)) -> Cost:
    """Run `command` in `folder`, with `more` in its environment, to its end; raise RuntimeError with its output when it ends
    with none of the exit codes. Its CPU seconds include those of processes it started; its peak is the largest one's."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment() | dict(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode(errors='replace')}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def against(
    command: Sequence[str], other: Sequence[str], folder: Path, rounds: int = 15, more: Mapping[str, str] | None = None
) -> tuple[float, float, float, Cost]:
    """The wall-time ratio of `command` to `other`, pair by pair: (lowest, median, highest), and its median cost."""
    cost(command, folder, more)
    pairs = [(cost(other, folder, more), cost(command, folder, more)) for _ in range(rounds)]
    ratios = sorted(theirs.wall / bare.wall for bare, theirs in pairs)
    middle = sorted((theirs for _, theirs in pairs), key=lambda found: found.wall)[rounds // 2]
    return ratios[0], statistics.median(ratios), ratios[-1], middle
