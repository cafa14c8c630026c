"""How long the commands of the first minute take, as multiples of what nobody can do without, and how much memory.

python -m benchmarks.startup
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import BARE, RUNFLOW, against
from benchmarks.serving import KEY, flows, served

HERE = Path(__file__).parent
PAINT = str(HERE.parent / "workflows" / "paint.yaml")
COMMANDS = (
    ("runflow --version", (RUNFLOW, "--version"), 5),
    ("runflow validate paint.yaml", (RUNFLOW, "validate", PAINT), 12),
    ("runflow paint.yaml", (RUNFLOW, PAINT), 30),
)
OVER_NETWORK = 2
PEAK = 80


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heading("as multiples of `python -c pass`")
        for title, command, bar in COMMANDS:
            row(title, bar, command, BARE, folder)
        heading("as multiples of a script that makes the same calls")
        with served("--latency", "0") as service:
            flow = next(flows(folder, 1).iterdir())
            over = (RUNFLOW, str(flow), "--target", "dashscope", "--base-url", service.base_url)
            bare = (sys.executable, str(HERE / "bare.py"), service.base_url)
            row("runflow over loopback", OVER_NETWORK, over, bare, folder, KEY | {"RUNFLOW_STATE_DIR": str(folder / "state")})
    print(f"the bar for peak memory is {PEAK} MB")


def heading(title: str) -> None:
    print(title)
    print(f"{'command':28} {'bar':>6} {'median':>8} {'lowest':>8} {'highest':>8} {'wall':>9} {'peak':>9}")


def row(
    title: str,
    bar: int,
    command: Sequence[str],
    other: Sequence[str],
    folder: Path,
    more: Mapping[str, str] | None = None,
) -> None:
    low, median, high, cost = against(command, other, folder, more=more)
    ratios = f"{bar:>5}× {median:>7.1f}× {low:>7.1f}× {high:>7.1f}×"
    print(f"{title:28} {ratios} {cost.wall * 1000:>6.0f} ms {cost.peak:>6.0f} MB")


if __name__ == "__main__":
    main()
