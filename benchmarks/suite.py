"""How fast a suite goes against a service that is not the bottleneck, and whether a flow costs the same among many.

python -m benchmarks.suite

Two speeds are told: of the flows while they are played, from the first request to the last answer, and of the whole command,
which also starts, validates every file before the first request, and writes its report. Whatever else the machine does slows
both down, so what the CPU needed is told as well, and how much of a core was to be had.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import RUNFLOW, cost
from benchmarks.serving import Played, flows, play, served

FLOWS = 2_000
LATENCY = 0.2
RATES = ((50, 175), (400, 250))
"""How many at a time, and the flows a second that are due."""
ROUNDS = 3
CPU = 8
PEAK = 120
FEW, MANY = 1_000, 10_000
SHARE, GROWTH = 10, 30
"""By how many percent the cost of a flow may differ among many, and by how many MB the memory."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name, served("--latency", str(LATENCY)) as service:
        folder = Path(name)
        many = flows(folder, FLOWS)
        for jobs, bar in RATES:
            table(jobs, bar, [(free(), play(service, many, FLOWS, "--jobs", str(jobs))) for _ in range(ROUNDS)])
        flat(folder, jobs=RATES[-1][0])


def table(jobs: int, bar: int, rounds: Sequence[tuple[float, Played]]) -> None:
    """What the rounds with so many at a time came to."""
    every = [played for _free, played in rounds]
    print(f"{FLOWS} flows, {jobs} at a time, the model takes {LATENCY * 1000:.0f} ms: {len(rounds)} rounds")
    print(f"{'':34} {'bar':>8} {'median':>8} {'lowest':>8} {'highest':>8}")
    row(f"flows/s (at best {jobs / LATENCY:.0f})", f"≥ {bar}", "{:.0f}", every, lambda each: each.rate)
    row("flows/s of the whole command", "", "{:.0f}", every, lambda each: each.flows / each.cost.wall)
    row("ms of CPU a flow", f"≤ {CPU}", "{:.2f}", every, lambda each: each.cost.cpu / each.flows * 1000)
    row("MB of memory", f"≤ {PEAK}", "{:.0f}", every, lambda each: each.cost.peak)
    row("calls a flow", "= 8", "{:.2f}", every, lambda each: each.calls / each.flows)
    row("passed", f"= {FLOWS}", "{:.0f}", every, lambda each: each.totals["passed"])
    row("left at the service", "= 0", "{:.0f}", every, lambda each: each.left)
    row("ms of CPU a call costs the service", "", "{:.3f}", every, lambda each: each.service_cpu * 1000)
    print(f"free of a core before each round: {', '.join(f'{share:.0%}' for share, _played in rounds)}\n")


def row(title: str, bar: str, form: str, rounds: Sequence[Played], number: Callable[[Played], float]) -> None:
    found = [number(each) for each in rounds]
    told = [form.format(each) for each in (statistics.median(found), min(found), max(found))]
    print(f"{title:34} {bar:>8} {told[0]:>8} {told[1]:>8} {told[2]:>8}")


def free() -> float:
    """The share of a core that a process gets that asks for all of one."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.5:
        pass
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def flat(folder: Path, jobs: int) -> None:
    """The cost of a flow among few and among many, over what starting costs."""
    with served("--latency", str(LATENCY)) as service:
        start = cost((RUNFLOW, "--version"), folder)
        options = ("--jobs", str(jobs))
        # Few before and after many: a machine that others use changes its speed meanwhile.
        few = flows(folder, FEW)
        before = play(service, few, FEW, *options)
        many = play(service, flows(folder, MANY), MANY, *options)
        after = play(service, few, FEW, *options)

    def each(played: Played) -> float:
        return (played.cost.cpu - start.cpu) / played.flows * 1000

    usual, peak = (each(before) + each(after)) / 2, max(before.cost.peak, after.cost.peak)
    print(f"{'flows':>9} {'ms of CPU a flow':>17} {'MB':>5} {'passed':>7} {'left':>5}")
    for played in (before, many, after):
        print(f"{played.flows:>9} {each(played):>17.2f} {played.cost.peak:>5.0f} {played.totals['passed']:>7} {played.left:>5}")
    print(f"a flow costs {each(many) / usual - 1:+.0%} among {MANY}; the bar is ±{SHARE} %")
    print(f"memory grows by {many.cost.peak - peak:+.0f} MB; the bar is {GROWTH} MB")


if __name__ == "__main__":
    main()
