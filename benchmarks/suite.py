"""How fast a suite goes against a service that is not the bottleneck, and whether a flow costs the same among many.

python -m benchmarks.suite
"""

import tempfile
from pathlib import Path

from benchmarks.measure import RUNFLOW, cost
from benchmarks.serving import Played, flows, play, served

FLOWS = 2_000
LATENCY = 0.2
RATES = ((50, 175), (400, 250))
"""How many at a time, and the flows a second that are due."""
CPU = 8
PEAK = 120
FEW, MANY = 1_000, 10_000


def main() -> None:
    print(f"{FLOWS} flows, the model takes {LATENCY * 1000:.0f} ms")
    print(f"{'at a time':>9} {'flows/s':>9} {'bar':>5} {'ideal':>7} {'CPU':>13} {'bar':>4} {'peak':>8} {'bar':>5}", end="  ")
    print(f"{'calls a flow':>12} {'passed':>7} {'left':>5} {'a call costs the service':>25}")
    with tempfile.TemporaryDirectory() as name, served("--latency", str(LATENCY)) as service:
        folder = Path(name)
        many = flows(folder, FLOWS)
        for jobs, bar in RATES:
            row(jobs, bar, play(service, many, FLOWS, "--jobs", str(jobs)))
        flat(folder, service_jobs=RATES[-1][0])


def row(jobs: int, bar: int, played: Played) -> None:
    cpu = played.cost.cpu / played.flows * 1000
    print(
        f"{jobs:>9} {played.rate:>9.0f} {bar:>5} {jobs / LATENCY:>7.0f} {cpu:>5.2f} ms a flow {CPU:>4} "
        f"{played.cost.peak:>5.0f} MB {PEAK:>5}  {played.calls / played.flows:>12.1f} {played.totals['passed']:>7} "
        f"{played.left:>5} {played.service_cpu * 1000:>22.3f} ms"
    )


def flat(folder: Path, service_jobs: int) -> None:
    """The cost of a flow among few and among many, over what starting costs."""
    with served("--latency", str(LATENCY)) as service:
        start = cost((RUNFLOW, "--version"), folder)
        found = [(count, play(service, flows(folder, count), count, "--jobs", str(service_jobs))) for count in (FEW, MANY)]
    print(f"\n{'flows':>9} {'CPU':>13} {'peak':>8}   the bar is ±10 % and +30 MB")
    for count, played in found:
        each = (played.cost.cpu - start.cpu) / count * 1000
        print(f"{count:>9} {each:>5.2f} ms a flow {played.cost.peak:>5.0f} MB")


if __name__ == "__main__":
    main()
