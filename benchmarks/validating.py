"""Validate 1,000 and 10,000 different files of 30 lines: files a second of CPU time, and whether memory grows.

python -m benchmarks.validating
"""

import tempfile
from pathlib import Path

from benchmarks.measure import RUNFLOW, cost

FLOW = """\
# A flow of thirty lines, number {number}.
name: order desk {number}
tags: [smoke, orders]

assistant:
  name: Order desk {number}
  model: qwen-max
  description: Answers questions about orders
  instructions: |
    Answer questions about orders.
    Be brief, and never promise a refund.
  tools:
    - text_to_image: For drawing the parcel

variables:
  animal: cat{number}

steps:
  - name: the order
    user: Where is order {number}?
    expect:
      - contains: order
      - words: under 80
  - user: Draw a picture of a ${{animal}} in the parcel.
    expect:
      - calls: text_to_image
      - image
      - contains: [cat, picture]
      - not: {{contains: refund}}

timeout: 5 min
"""


def main() -> None:
    assert len(FLOW.splitlines()) in range(30, 33)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "one").mkdir()
        (folder / "one" / "flow.yaml").write_text(FLOW.format(number=0))
        for count in (1_000, 10_000):
            batch = folder / str(count)
            batch.mkdir()
            for number in range(count):
                (batch / f"flow-{number:05}.yaml").write_text(FLOW.format(number=number))
        validate = (RUNFLOW, "validate")
        cost((*validate, "one"), folder)
        start = cost((*validate, "one"), folder)
        few = cost((*validate, "1000"), folder)
        many = cost((*validate, "10000"), folder)
    print("the bar is 400 files a second of CPU time, and the same memory for 10,000 files as for 1,000")
    for count, found in ((1_000, few), (10_000, many)):
        rate = (count - 1) / (found.cpu - start.cpu)
        print(f"{count:>6} files: {rate:6.0f} files/s of CPU over start-up, peak {found.peak:.0f} MB")


if __name__ == "__main__":
    main()
