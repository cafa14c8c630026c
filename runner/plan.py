"""Turn paths into the flows to play, and each flow into its cases."""

import glob
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from runner.lint import tool_names
from runner.model import Flow
from runner.source import FLOW_SUFFIXES
from runner.values import dataclass
from runner.words import _, listed, nearest

__all__ = ["Case", "UndeclaredVariable", "cases", "collect"]

NOT_FLOWS = (".cassette", ".accepted")
"""What stands before the suffix of a YAML file that is kept beside a flow."""
LABEL_VALUES, LABEL_LENGTH = 3, 30


class UndeclaredVariable(ValueError):
    """A value was given to a name that the flow does not declare. Its text is a sentence; `name` is the name."""

    def __init__(self, name: str, flow: Flow, declared: Sequence[str]) -> None:
        message = _("`{name}` is no variable of {file}").format(name=name, file=flow.path)
        if near := nearest(name, declared):
            message += _("; did you mean `{name}`?").format(name=near)
        elif declared:
            message += _("; it has {names}").format(names=listed(declared))
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation to play: a flow with one set of values. Its texts are filled in as it is played, for steps save values.

    `label` tells the rows of one flow apart; it is empty where there is only one.
    """

    flow: Flow
    label: str
    variables: Mapping[str, str]


def cases(flow: Flow, overrides: Mapping[str, str]) -> tuple[Case, ...]:
    """The conversations of a flow, one for each row of `cases`. `overrides` win; raise UndeclaredVariable for unknown names."""
    rows = flow.cases if isinstance(flow.cases, tuple) else ()
    declared = tuple(dict.fromkeys((*(flow.variables or {}), *(name for row in rows for name in row))))
    for name in overrides:
        if name not in declared:
            raise UndeclaredVariable(name, flow, declared)
    # The service fills these names in itself, so each stands for its own placeholder.
    own = {name: f"${{{name}}}" for name in tool_names(flow)}
    made = [{**(flow.variables or {}), **row, **overrides, **own} for row in rows or ({},)]
    labels = distinct([label(row) for row in rows]) if len(rows) > 1 else [""] * len(made)
    return tuple(Case(flow, text, values) for text, values in zip(labels, made, strict=True))


def label(row: Mapping[str, str]) -> str:
    """The first values of a row, on one line."""
    values = [" ".join(value.split()) for value in row.values()]
    return ", ".join(shortened(value) for value in [value for value in values if value][:LABEL_VALUES])


def shortened(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def distinct(labels: Sequence[str]) -> list[str]:
    """The same labels, numbered where several are equal."""
    return [text if text and labels.count(text) == 1 else f"{text} #{number}".strip() for number, text in enumerate(labels, 1)]


# ── what is played ───────────────────────────────────────────────────────────────────────────────────────────────────


def collect(paths: Sequence[str]) -> tuple[Path, ...]:
    """The flow files that files, folders and globs name, each once, in the order given and by name within a folder.

    A file is taken whatever its name; a folder gives what looks like a flow. A glob may match nothing. Raise
    FileNotFoundError, with the path as its `filename`, for any other path that does not exist.
    """
    found: dict[Path, Path] = {}
    for name in paths:
        for path in named(name):
            found.setdefault(path.absolute(), path)
    return tuple(found.values())


def named(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return below(path)
    if path.exists() or path.is_symlink():
        return [path]
    if not glob.has_magic(name):
        raise FileNotFoundError(2, _("there is no such file or folder"), name)
    fixed = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207  Path.glob takes no absolute pattern
    found = []
    for match in matches:
        if any(is_aside(folder) for folder in match.parents if folder != fixed and folder.is_relative_to(fixed)):
            continue
        found += below(match) if match.is_dir() and not is_aside(match) else [match] if is_flow(match) else []
    return found


def below(folder: Path) -> list[Path]:
    """The flows in a folder and its folders."""
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += [] if is_aside(entry) else below(entry)
        elif is_flow(entry):
            found.append(entry)
    return found


def is_aside(folder: Path) -> bool:
    """Whether a folder is passed over: hidden or private by its name, or a link, which may lead round in a circle."""
    return folder.name.startswith(("_", ".")) or folder.is_symlink()


def is_flow(path: Path) -> bool:
    """Whether a file found by looking around, not by name, is a flow."""
    if path.suffix.lower() not in FLOW_SUFFIXES or path.name.startswith(("_", ".")):
        return False
    return not path.stem.lower().endswith(NOT_FLOWS)
