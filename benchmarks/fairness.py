"""How well a suite gets on with a service that throttles, and with one that fails.

python -m benchmarks.fairness
"""

import tempfile
from pathlib import Path

from benchmarks.serving import Played, flows, play, served

RATE = 20
"""Requests a second that the throttling service takes."""
JOBS = 10
THROTTLED, FAULTY = 20, 100
CALLS = 8
"""How many calls a flow needs."""
SEEDS = (1, 2, 3)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        few, many = flows(Path(name), THROTTLED), flows(Path(name), FAULTY)
        throttled(few)
        faulty(many)


def throttled(folder: Path) -> None:
    # The service takes a second's worth at once, then the rest at its rate.
    ideal = (THROTTLED * CALLS - RATE) / RATE
    print(f"{THROTTLED} flows, {JOBS} at a time; the service takes {RATE} requests a second: at best {ideal:.1f} s")
    print(f"{'':20} {'share':>7} {'bar':>5} {'seconds':>8} {'calls':>6} {'refused':>8} {'passed':>7} {'left':>5}")
    for title, bar, options in ((f"--max-rps {RATE}", 0.90, ("--max-rps", str(RATE))), ("the rate is learnt", 0.60, ())):
        with served("--latency", "0.2", "--rate", str(RATE)) as service:
            played = play(service, folder, THROTTLED, "--jobs", str(JOBS), *options)
        print(
            f"{title:20} {ideal / played.seconds:>7.2f} {bar:>5.2f} {played.seconds:>8.1f} {played.calls:>6} "
            f"{played.answers.get('429', 0):>8} {verdicts(played):>7} {played.left:>5}"
        )


def faulty(folder: Path) -> None:
    print(f"\n{FAULTY} flows; of the requests 3 % are answered with 5xx, 1 % with a reset, 1 % with half an answer")
    print(
        f"{'':20} {'passed':>7} {'bar':>5} {'left':>5} {'bar':>4} {'doubled':>8} {'repeated':>9}   threads nobody can know of"
    )
    for seed in SEEDS:
        with served("--latency", "0.2", "--faults", "1", "--seed", str(seed)) as service:
            played = play(service, folder, FAULTY, "--jobs", str(JOBS))
        print(
            f"{f'dice {seed}':20} {verdicts(played):>7} {FAULTY:>5} {played.left:>5} {0:>4} {played.doubled:>8} "
            f"{played.totals['http_retries']:>9}   {played.lost}"
        )


def verdicts(played: Played) -> int:
    return played.totals["passed"]


if __name__ == "__main__":
    main()
