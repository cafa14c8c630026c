"""Remember what came of each conversation of a project the last time it was played, and how long it took."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Protocol

from runner.files import replace
from runner.selection import Identity, Past
from runner.state import owned
from runner.values import dataclass
from runner.words import _

__all__ = ["History", "Played", "durations", "folder_name", "load", "place", "record"]

FORMAT = "runflow-history/1"
REPORT = "runflow-report/1"
SAYS_NOTHING = ("", "not_run")
"""Outcomes of conversations that were not begun: what came of them before still holds."""

LONGEST = 1e9
"""Seconds; more is damage."""
TRIES, PAUSE = 250, 0.02
"""How often, and how many seconds apart, a lock is asked for that another run has: it writes for some milliseconds."""


class Played(Protocol):
    """A conversation that has a verdict, as a report knows it; `path` is as it was named, from the current folder."""

    @property
    def path(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class History:
    """What came of each conversation; `damage` is a sentence when there was a record that could not be read."""

    past: Mapping[Identity, Past] = field(default_factory=dict)
    damage: str = ""


def place(path: str | Path, project: Path) -> str:
    """A file as the project knows it: from its folder, with `/`, however it was named; links to folders are followed."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100  Path.absolute keeps `..`
    return f"{folder_place(folder, str(project))}{name}"


@cache
def folder_place(folder: str, project: str) -> str:
    """A folder as the project knows it, ready to be put before a name."""
    folder, project = os.path.realpath(folder), os.path.realpath(project)
    try:
        relative = os.path.relpath(folder, project)
    except ValueError:  # on another drive
        relative = folder
    return "" if relative == os.curdir else Path(relative).as_posix().rstrip("/") + "/"


def folder_name(project: Path) -> str:
    """A name for what is kept about a project among that of others."""
    from hashlib import sha256

    return sha256(os.path.realpath(project).encode("utf-8", "surrogateescape")).hexdigest()[:20]


def file_of(state: Path, project: Path) -> Path:
    return state / "history" / f"{folder_name(project)}.json"


def load(state: Path, project: Path) -> History:
    """The history of the project in the state folder. Raises nothing: what cannot be read is no history."""
    path = file_of(state, project)
    try:
        return History(decode(path.read_bytes()))
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else _("it is damaged")
        return History(damage=_("the record of earlier runs cannot be used: {path}: {reason}").format(path=path, reason=reason))


def decode(data: bytes) -> dict[Identity, Past]:
    """The entries of a file of ours; raise ValueError for one that is none. An entry that is none is left out."""
    written = json.loads(data)
    if not isinstance(written, dict) or written.get("format") != FORMAT or not isinstance(written.get("cases"), list):
        raise ValueError(written)
    found: dict[Identity, Past] = {}
    for entry in written["cases"]:
        match entry:
            case [str(path), str(label), str(outcome), int() | float() as seconds] if 0 <= seconds < LONGEST:
                found[path, label] = Past(outcome, float(seconds))
    return found


def record(state: Path, project: Path, played: Iterable[Played]) -> None:
    """Put what came of these conversations in the place of what came of them before; forget those whose file is gone. Raise
    OSError when it cannot be written. Several runs may do so at once: none loses what another wrote."""
    news = {
        (place(each.path, project), each.label): Past(each.outcome, round(each.seconds, 3))
        for each in played
        if each.outcome not in SAYS_NOTHING
    }
    path = file_of(state, project)
    owned(state)
    owned(path.parent)
    with locked(path.with_suffix(".lock")):
        merged = {**load(state, project).past, **news}
        replace(path, encode(present(merged, project)), mode=0o600)


def durations(report: Path, project: Path) -> dict[Identity, float]:
    """How long each conversation of a JSON report took. Raise OSError, or ValueError with a sentence when it is no report."""
    try:
        written = json.loads(report.read_bytes())
        if written["format"] != REPORT:
            raise ValueError(written["format"])
        played = [case for case in written["cases"] if case["outcome"] not in SAYS_NOTHING]
        return {(place(case["path"], project), str(case["label"])): float(case["seconds"]) for case in played}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(_("not a report; `--json FILE` writes one")) from error


def present(past: Mapping[Identity, Past], project: Path) -> dict[Identity, Past]:
    """The entries whose files are there."""
    there = {path: os.path.lexists(project / path) for path in {path for path, _label in past}}
    return {identity: each for identity, each in sorted(past.items()) if there[identity[0]]}


def encode(past: Mapping[Identity, Past]) -> bytes:
    """One conversation a line."""
    lines = ",\n".join(json.dumps([path, label, was.outcome, was.seconds]) for (path, label), was in past.items())
    return f'{{"format": "{FORMAT}", "cases": [\n{lines}\n]}}\n'.encode()


@contextmanager
def locked(path: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Alone, as far as others ask for the same lock; it goes when its holder does, however that ends. Raise OSError when
    another does not let go of it for some seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for _try in range(TRIES):
            try:
                lock(descriptor)
                break
            except (BlockingIOError, PermissionError):
                sleep(PAUSE)
        else:
            lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def lock(descriptor: int) -> None:
    """Take the lock, or raise BlockingIOError, on Windows PermissionError, when somebody has it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
