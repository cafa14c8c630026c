"""The shape of the code: imports go downward only, and what is heavy is loaded where it is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNNER = Path(__file__).parent.parent / "runner"

# From the bottom up. A module may import from its own layer and from those before it, never from those after it.
LAYERS = (
    ("values", "words", "hosts", "console", "clean", "files", "locks", "state", "clock"),
    ("diagnostics", "forms"),
    ("model", "events", "budget"),
    ("registry", "written", "ndjson"),
    ("parcel",),
    ("source", "mistakes", "variables", "needs", "trust", "functions", "worker"),
    ("checks", "schema", "explain"),
    ("build", "validate", "lint", "salvage"),
    ("load",),
    ("selection",),
    ("history",),
    ("plan",),
    ("wire", "answers", "calls"),
    ("embedded",),
    ("transport",),
    ("targets", "tools"),
    ("ledger", "pace"),
    ("retry",),
    ("engine",),
    ("suite", "leftovers", "report", "gallery"),
    ("crew",),
    ("archive",),
    ("merge",),
    ("resume",),
    ("reporters", "settings"),
    ("cli",),
    ("pytest_plugin",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted(RUNNER.rglob("*.py"))


def room(path: Path) -> str:
    """The name right below `runner`: a module's, or its package's."""
    return path.relative_to(RUNNER).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import from within the project, late ones included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "runner":
            names = [f"runner.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "runner" and rest.partition(".")[0] in LEVEL:
                yield node.lineno, rest.partition(".")[0]


def test_every_module_has_a_layer() -> None:
    assert set() == {room(path) for path in modules()} - set(LEVEL) - {"__init__", "__main__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(RUNNER)))
def test_imports_go_downward(path: Path) -> None:
    own = LEVEL.get(room(path), len(LAYERS))
    upward = [f"{path.name}:{line} imports {name}" for line, name in imported(path) if LEVEL[name] > own]
    assert [] == upward
