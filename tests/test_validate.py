"""Golden files: tests/data/err/language/<name>.yaml must be drawn exactly as <name>.out."""

from pathlib import Path

import pytest

from runner.diagnostics import render
from runner.load import examine
from runner.source import MAX_DEPTH

FOLDER = Path(__file__).parent / "data" / "err" / "language"
FLOWS = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith("_"))


def drawn(path: Path, shown: str | None = None) -> str:
    found = examine(path, shown=shown or path.name)
    return "".join(render(each, found.lines(each.path)) + "\n" for each in found.diagnostics)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_mistake_is_drawn_as_recorded(path: Path) -> None:
    assert path.with_suffix(".out").read_text(encoding="utf-8") == drawn(path)


def test_every_recording_has_its_flow() -> None:
    assert {path.stem for path in FLOWS} == {path.stem for path in FOLDER.glob("*.out")}


def test_findings_come_in_file_order() -> None:
    found = examine(FOLDER / "many-mistakes.yaml").diagnostics
    assert [3, 4, 7, 10, 11] == [each.span.line for each in found if each.span]


def test_nested_checks_to_the_greatest_depth_are_judged(tmp_path: Path) -> None:
    depth = MAX_DEPTH - 4
    flow = tmp_path / "deep.yaml"
    nested = "{not: " * depth + "{contian: cat}" + "}" * depth
    flow.write_text("assistant: {model: m}\nsteps:\n  - user: x\n    expect: " + nested + "\n", encoding="utf-8")
    (found,) = examine(flow).diagnostics
    assert ("unknown-check", "did you mean `contains`?") == (found.code, found.hint)


def test_long_file_with_one_mistake_is_judged_by_its_wrong_step_alone(tmp_path: Path) -> None:
    flow = tmp_path / "long.yaml"
    steps = "".join(f"  - user: Question {number}?\n    expect: answer\n" for number in range(5000))
    flow.write_text("assistant: {model: m}\nsteps:\n" + steps + "  - usr: Hello.\n    expect: hello\n", encoding="utf-8")
    (found,) = examine(flow).diagnostics
    assert ("unknown key `usr` in step 5001", 10003) == (found.message, found.span and found.span.line)
