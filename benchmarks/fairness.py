"""How well a suite gets on with a service that throttles, and with one that fails.

python -m benchmarks.fairness
"""

import tempfile
from pathlib import Path

from benchmarks.serving import Played, flows, play, served

RATE = 20
"""Requests a second that the throttling service takes."""
JOBS, MANY_JOBS = 10, 60
"""How many at a time in one process, and in several where there are several cores."""
THROTTLED, FAULTY = 20, 100
CALLS = 8
"""How many calls a flow needs."""
SEEDS = (1, 2, 3)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, many = flows(folder, THROTTLED), flows(folder, FAULTY)
        print(f"the service takes {RATE} requests a second; the share is that of the best time")
        print(f"{'':44} {'share':>7} {'bar':>5} {'seconds':>8} {'calls':>6} {'refused':>8} {'passed':>7} {'left':>5}")
        throttled(few, THROTTLED, JOBS, 0.90, "--max-rps", str(RATE))
        throttled(few, THROTTLED, JOBS, 0.60)
        throttled(flows(folder, MANY_JOBS), MANY_JOBS, MANY_JOBS, 0.60)
        print("\nof the requests 3 % are answered with 5xx, 1 % with a reset, 1 % with half an answer")
        print(f"{'':44} {'passed':>7} {'bar':>5} {'left':>5} {'bar':>4} {'doubled':>8} {'repeated':>9}   lost threads")
        for jobs in (JOBS, MANY_JOBS):
            for seed in SEEDS:
                faulty(many, jobs, seed)


def throttled(folder: Path, count: int, jobs: int, bar: float, *options: str) -> None:
    # The service takes a second's worth at once, then the rest at its rate.
    ideal = (count * CALLS - RATE) / RATE
    with served("--latency", "0.2", "--rate", str(RATE)) as service:
        played = play(service, folder, count, "--jobs", str(jobs), *options)
    title = f"{count} flows, {jobs} at a time, {' '.join(options) or 'the rate is learnt'}"
    print(
        f"{title:44} {ideal / played.seconds:>7.2f} {bar:>5.2f} {played.seconds:>8.1f} {played.calls:>6} "
        f"{played.answers.get('429', 0):>8} {verdicts(played):>7} {played.left:>5}"
    )


def faulty(folder: Path, jobs: int, seed: int) -> None:
    with served("--latency", "0.2", "--faults", "1", "--seed", str(seed)) as service:
        played = play(service, folder, FAULTY, "--jobs", str(jobs))
    print(
        f"{f'{FAULTY} flows, {jobs} at a time, dice {seed}':44} {verdicts(played):>7} {FAULTY:>5} {played.left:>5} {0:>4} "
        f"{played.doubled:>8} {played.totals['http_retries']:>9}   {played.lost}"
    )


def verdicts(played: Played) -> int:
    return played.totals["passed"]


if __name__ == "__main__":
    main()
