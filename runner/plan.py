"""Turn paths into the flows to play, and each flow into its cases."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

from runner.lint import tool_names
from runner.model import Flow
from runner.needs import Needs
from runner.source import FLOW_SUFFIXES
from runner.values import dataclass
from runner.words import _, listed, nearest

if TYPE_CHECKING:
    from runner.selection import Candidate

__all__ = ["Case", "Chosen", "Stock", "UndeclaredVariable", "cases", "collect", "declared"]

NOT_FLOWS = (".cassette", ".accepted")
"""What stands before the suffix of a YAML file that is kept beside a flow."""
LABEL_VALUES, LABEL_LENGTH = 3, 30
NUMBERED = re.compile(r"(^| )#[0-9]+$")
LOOK_BACK = 32 * 1024
"""Bytes that zlib can look back."""

Shared = TypeVar("Shared")


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
    known = declared(flow)
    for name in overrides:
        if name not in known:
            raise UndeclaredVariable(name, flow, known)
    given = {**overrides, **filled_in(flow)}
    return tuple(Case(flow, text, values(flow, row, given)) for row, text in enumerate(labels(flow), 1))


def rows_of(flow: Flow) -> tuple[Mapping[str, str], ...]:
    """The sets of variables of a flow, at least one."""
    return flow.cases if isinstance(flow.cases, tuple) and flow.cases else ({},)


def declared(flow: Flow) -> tuple[str, ...]:
    """The variables that a flow has, each once."""
    return tuple(dict.fromkeys((*(flow.variables or {}), *(name for row in rows_of(flow) for name in row))))


def values(flow: Flow, row: int, given: Mapping[str, str]) -> dict[str, str]:
    return {**(flow.variables or {}), **rows_of(flow)[row - 1], **given}


def filled_in(flow: Flow) -> dict[str, str]:
    """Names that the service fills in itself: each stands for its own placeholder."""
    return {name: f"${{{name}}}" for name in tool_names(flow)}


def labels(flow: Flow) -> list[str]:
    """What tells the rows of a flow apart; nothing when there is one."""
    rows = rows_of(flow)
    return distinct([label(row) for row in rows]) if len(rows) > 1 else [""]


def label(row: Mapping[str, str]) -> str:
    """The first values of a row, on one line."""
    values = [" ".join(value.split()) for value in row.values()]
    return ", ".join(shortened(value) for value in [value for value in values if value][:LABEL_VALUES])


def shortened(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def distinct(labels: Sequence[str]) -> list[str]:
    """The same labels, numbered where several are equal, and where one looks like a numbered one: no two are alike then."""
    times = Counter(labels)
    alone = [text and times[text] == 1 and not NUMBERED.search(text) for text in labels]
    return [text if alone[row - 1] else f"{text} #{row}".strip() for row, text in enumerate(labels, 1)]


# ── many flows ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Stock:
    """Any number of flows in little room: all but the first are kept packed, and made anew when they are asked for.

    `candidates` are their conversations, in order, as far as choosing among them needs; `needs` are those of each flow;
    `declared`, the names of all their variables.
    """

    def __init__(self, project: Path, unpacked: int = 100) -> None:
        self.project = project
        self.unpacked = unpacked
        self.kept: list[Flow | Packed] = []
        self.needs: list[Needs] = []
        self.candidates: list[Candidate] = []
        self.declared: set[str] = set()
        self.packer = Packer()
        self.same: dict[object, object] = {}
        self.last: tuple[int, Flow] | None = None

    def add(self, flow: Flow) -> None:
        from runner.history import place
        from runner.selection import Candidate

        self.declared.update(declared(flow))
        file, path = place(flow.path, self.project), str(flow.path)
        name, tags = flow.name or flow.path.stem, self.shared(flow.tags)
        target, model = self.shared(flow.target), self.shared(flow.assistant.model)
        self.candidates += [
            Candidate(len(self.kept), row, (file, text), path if path != file else file, name, tags, target, model)
            for row, text in enumerate(labels(flow), 1)
        ]
        self.needs.append(self.shared(Needs.of(flow)))
        self.kept.append(flow if len(self.kept) < self.unpacked else self.packer.pack(flow))

    def shared(self, value: Shared) -> Shared:
        """An equal value that is kept already, or this one."""
        return self.same.setdefault(value, value)  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.kept)

    def flow(self, number: int) -> Flow:
        """The flow with that place, from 0."""
        flow = self.kept[number]
        if not isinstance(flow, Packed):
            return flow
        if self.last is None or self.last[0] != number:
            self.last = number, self.packer.unpack(flow)
        return self.last[1]

    def flows(self, places: Sequence[int]) -> Iterator[Flow]:
        """The flows of the conversations at these places of `candidates`, each once."""
        return (self.flow(number) for number in dict.fromkeys(self.candidates[place].flow for place in places))

    def needed(self, places: Sequence[int]) -> "dict[Needs, Candidate]":
        """What the conversations at these places of `candidates` need, each with the first of them that does."""
        found: dict[Needs, Candidate] = {}
        for candidate in map(self.candidates.__getitem__, places):
            found.setdefault(self.needs[candidate.flow], candidate)
        return found

    def cases(self, places: Sequence[int], overrides: Mapping[str, str]) -> "Chosen":
        """The conversations at these places of `candidates`. `overrides` hold for the flows that have such variables."""
        return Chosen(self, places, overrides)


class Chosen(Sequence[Case]):
    """Conversations out of a stock, each made when it is asked for."""

    def __init__(self, stock: Stock, places: Sequence[int], overrides: Mapping[str, str]) -> None:
        self.stock = stock
        self.places = places
        self.overrides = overrides
        self.given: tuple[int, dict[str, str]] | None = None

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Case, ...]: ...
    def __getitem__(self, index: int | slice) -> Case | tuple[Case, ...]:
        if isinstance(index, slice):
            return tuple(self.case(self.stock.candidates[place]) for place in self.places[index])
        return self.case(self.stock.candidates[self.places[index]])

    def case(self, candidate: "Candidate") -> Case:
        flow = self.stock.flow(candidate.flow)
        if self.given is None or self.given[0] != candidate.flow:
            known = declared(flow) if self.overrides else ()
            own = {name: value for name, value in self.overrides.items() if name in known}
            self.given = candidate.flow, {**own, **filled_in(flow)}
        return Case(flow, candidate.label, values(flow, candidate.row, self.given[1]))


@dataclass(frozen=True, slots=True)
class Packed:
    """A flow as bytes."""

    data: bytes


class Packer:
    """Packs flows for as long as we live: each is written down by what the first of them, often much alike, does not say."""

    def __init__(self) -> None:
        self.first = b""

    def pack(self, flow: Flow) -> Flow | Packed:
        """The flow packed, or as it is where a check of somebody else's cannot be packed."""
        import pickle
        import zlib

        try:
            data = pickle.dumps(flow, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
            return flow
        self.first = self.first or data[-LOOK_BACK:]
        press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 5, zlib.Z_DEFAULT_STRATEGY, self.first)
        return Packed(press.compress(data) + press.flush())

    def unpack(self, packed: Packed) -> Flow:
        import pickle
        import zlib

        flow: Flow = pickle.loads(zlib.decompressobj(-zlib.MAX_WBITS, self.first).decompress(packed.data))
        return flow


# ── what is played ───────────────────────────────────────────────────────────────────────────────────────────────────


def collect(paths: Sequence[str]) -> tuple[Path, ...]:
    """The flow files that files, folders and globs name, each once, in the order given and by name within a folder.

    A file is taken whatever its name; a folder gives what looks like a flow. A glob may match nothing. Raise
    FileNotFoundError, with the path as its `filename`, for any other path that does not exist.
    """
    found: dict[str, Path] = {}
    for name in paths:
        for path in named(name):
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100  Path.absolute keeps `..`
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
