"""How long the commands of the first minute take, as multiples of `python -c pass`, and how much memory.

python -m benchmarks.startup
"""

import tempfile
from pathlib import Path

from benchmarks.measure import RUNFLOW, against_bare

PAINT = str(Path(__file__).parent.parent / "workflows" / "paint.yaml")
COMMANDS = (
    ("runflow --version", (RUNFLOW, "--version"), 5),
    ("runflow validate paint.yaml", (RUNFLOW, "validate", PAINT), 15),
    ("runflow paint.yaml", (RUNFLOW, PAINT), 30),
)
PEAK = 80


def main() -> None:
    print(f"{'command':28} {'bar':>6} {'median':>8} {'lowest':>8} {'highest':>8} {'wall':>9} {'peak':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for title, command, bar in COMMANDS:
            low, median, high, cost = against_bare(command, Path(folder))
            row = f"{bar:>5}× {median:>7.1f}× {low:>7.1f}× {high:>7.1f}× {cost.wall * 1000:>6.0f} ms {cost.peak:>6.0f} MB"
            print(f"{title:28} {row}")
    print(f"the bar for peak memory is {PEAK} MB")


if __name__ == "__main__":
    main()
