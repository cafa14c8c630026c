"""Remember which flows may run the author's code and call the author's URLs, as long as not one byte of either changes.

A permission belongs to a path and to a fingerprint of everything that decides what would run: the flow file, the files it
takes its assistant, texts or rows from, what it names, and every file below its folder that Python could import. The
fingerprint is taken again when a conversation begins. What remains is the time between that and Python's own reading of a
module, at its first call: somebody who can write into the folder just then can slip another one in, as could anybody who may
change the files of the person running them.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from runner.diagnostics import Problems
from runner.files import replace
from runner.model import Flow
from runner.needs import Use, uses
from runner.source import MAX_BYTES, open_bytes
from runner.state import state_folder
from runner.values import dataclass
from runner.words import _

__all__ = ["Permit", "Standing", "Store", "TrustProblem", "fingerprint", "importable", "needs"]

FORMAT = "runflow-trust/1"
IMPORTABLE = (".py", ".pyw", ".pyc", ".so", ".pyd")
MOST = 20_000
"""Importable files below one folder; whoever has more keeps the flow at the top of something else."""


class TrustProblem(Exception):
    """Why nothing can be trusted as things stand, in a sentence for people."""


def needs(flow: Flow) -> tuple[str, ...]:
    """What a flow needs permission for, each once, in order; nothing for a flow that runs no code and calls no URL."""
    return tuple(dict.fromkeys(use.what for use in uses(flow)))


# ── its fingerprint ──────────────────────────────────────────────────────────────────────────────────────────────────


def fingerprint(flow: Flow) -> str:
    """A hash of everything that decides what a flow would run, as it lies on disk now. Raise TrustProblem when a part of it
    cannot be read or lies outside the flow's folder."""
    path = Path(os.path.realpath(flow.path))
    try:
        own = hashlib.sha256(open_bytes(path, MAX_BYTES, None, str(flow.path))).hexdigest()
    except Problems as problems:
        raise TrustProblem(f"{flow.path}: {problems}") from problems
    named = [(use.what, *located(path.parent, use)) for use in dict.fromkeys(uses(flow))]
    taken = [(os.path.relpath(file, path.parent), digest(file)) for file in flow.taken]
    files = [(name, digest(path.parent / name)) for name in importable(path.parent)]
    return hashlib.sha256(json.dumps([FORMAT, own, taken, named, files]).encode("utf-8", "backslashreplace")).hexdigest()


def located(folder: Path, use: Use) -> tuple[str, ...]:
    """Where the file of a use really lies, and its hash; nothing for a URL."""
    if not use.file:
        return ()
    real = Path(os.path.realpath(folder / use.file))
    if not real.is_relative_to(folder):
        raise TrustProblem(_("`{what}` lies outside {folder}, the flow's folder").format(what=use.what, folder=folder))
    return real.relative_to(folder).as_posix(), digest(real)


def importable(folder: Path) -> tuple[str, ...]:
    """Every file below a folder that Python could import from there, in order; hidden folders and caches excepted.

    Links to folders are followed; a folder met again is named itself. Raise TrustProblem when there are too many, or one of
    the folders is closed to us.
    """
    found: list[str] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, onerror=closed, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            found.append(Path(here).relative_to(folder).as_posix())
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        found += [(Path(here) / name).relative_to(folder).as_posix() for name in names if name.lower().endswith(IMPORTABLE)]
        if len(found) > MOST:
            raise TrustProblem(
                _("there are more than {count} Python files below {folder}; keep the flow in a folder of its own").format(
                    count=MOST, folder=folder
                )
            )
    return tuple(sorted(found))


def closed(error: OSError) -> None:
    raise unreadable(Path(error.filename or ""), error) from error


def digest(path: Path) -> str:
    """The hash of a file's bytes, or what else there is; never blocks."""
    try:
        if not path.is_file():
            return "no file"
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> TrustProblem:
    return TrustProblem(
        _("{path} cannot be read, so that nobody can tell what would run: {reason}").format(
            path=path, reason=error.strerror or type(error).__name__
        )
    )


# ── what was permitted ───────────────────────────────────────────────────────────────────────────────────────────────


class Standing(StrEnum):
    """How a flow stands: it needs no trust, has it, never had it, or has changed since."""

    UNNEEDED = "unneeded"
    TRUSTED = "trusted"
    NEVER = "never"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Permit:
    """A permission as it is kept: the flow's path, links resolved, what it may use, and the fingerprint it had."""

    path: str
    needs: tuple[str, ...]
    fingerprint: str


class Store:
    """A folder of permissions, a file for each, that nobody but its owner may have written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls) -> "Store":
        """The one in the user's state folder."""
        return cls(state_folder() / "trust")

    def standing(self, flow: Flow) -> Standing:
        """How a flow stands, as it lies on disk now. Raise TrustProblem when that cannot be told: it is not trusted then."""
        return self.compared(flow.path, needs(flow), lambda: fingerprint(flow))

    def standing_of_settings(self, path: Path, variables: tuple[str, ...]) -> Standing:
        """The same for a configuration file, which names variables of the environment."""
        return self.compared(path, variables, lambda: digest(path))

    def compared(self, path: Path, wanted: tuple[str, ...], now: Callable[[], str]) -> Standing:
        if not wanted:
            return Standing.UNNEEDED
        permit = self.permit(path)
        if permit is None:
            return Standing.NEVER
        return Standing.TRUSTED if permit.fingerprint == now() else Standing.CHANGED

    def permits(self, flow: Flow) -> bool:
        """Whether a flow may be played as it is; never raises."""
        try:
            return self.standing(flow) in {Standing.UNNEEDED, Standing.TRUSTED}
        except TrustProblem:
            return False

    def allow(self, flow: Flow) -> Permit:
        """Keep the permission for a flow as it lies on disk now. Raise TrustProblem when it cannot be kept."""
        return self.keep(Permit(os.path.realpath(flow.path), needs(flow), fingerprint(flow)))

    def allow_settings(self, path: Path, variables: tuple[str, ...]) -> Permit:
        """Keep the permission for a configuration file to put these variables into texts."""
        return self.keep(Permit(os.path.realpath(path), variables, digest(path)))

    def keep(self, permit: Permit) -> Permit:
        text = json.dumps({"format": FORMAT, **asdict(permit)}, indent=2) + "\n"
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.guard()
            replace(self.place(permit.path), text.encode("utf-8", "backslashreplace"), mode=0o600)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TrustProblem(
                _("the permission cannot be kept in {folder}: {reason}").format(folder=self.folder, reason=reason)
            ) from error
        return permit

    def forget(self, path: Path) -> bool:
        """Take the permission of a file back; whether there was one."""
        try:
            self.place(os.path.realpath(path)).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TrustProblem(
                _("{folder} cannot be written to: {reason}").format(folder=self.folder, reason=error.strerror)
            ) from error
        return True

    def permit(self, path: Path) -> Permit | None:
        """The permission of a file, if it ever had one."""
        place = self.place(os.path.realpath(path))
        kept = self.read(place)
        if kept is not None and kept.path != os.path.realpath(path):
            raise damaged(place)
        return kept

    def all(self) -> tuple[Permit, ...]:
        """Every permission, by path."""
        try:
            names = sorted(path for path in self.folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise unreadable(self.folder, error) from error
        return tuple(sorted((kept for path in names if (kept := self.read(path))), key=lambda kept: kept.path))

    def place(self, path: str) -> Path:
        return self.folder / (hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest() + ".json")

    def read(self, place: Path) -> Permit | None:
        try:
            descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(place, error) from error
        try:
            with os.fdopen(descriptor, "rb") as file:
                self.guard()
                owned(place, os.fstat(descriptor))
                return decoded(file.read(MAX_BYTES) or b"")
        except OSError as error:
            raise unreadable(place, error) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise damaged(place) from error

    def guard(self) -> None:
        """Raise TrustProblem when somebody else may have put permissions into the store."""
        for folder in (self.folder.parent, self.folder):
            try:
                owned(folder, folder.lstat())
            except OSError as error:
                raise unreadable(folder, error) from error


def decoded(data: bytes) -> Permit:
    """A permission as it was written; raise ValueError, KeyError or TypeError for anything else."""
    kept = json.loads(data)
    path, wanted, print_ = kept["path"], kept["needs"], kept["fingerprint"]
    texts = isinstance(wanted, list) and all(isinstance(each, str) for each in wanted)
    if kept["format"] != FORMAT or not isinstance(path, str) or not isinstance(print_, str) or not texts:
        raise ValueError(kept)
    return Permit(path, tuple(wanted), print_)


def owned(path: Path, found: os.stat_result) -> None:
    """Raise TrustProblem unless a file or folder is the user's, who alone may write to it."""
    if os.name == "nt":
        return
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise TrustProblem(
            _("{path} can be written by others, so that nothing in it is trusted; make it yours alone: {command}").format(
                path=path, command=f"chmod go-w {path}"
            )
            if found.st_uid == os.geteuid()
            else _("{path} belongs to another user, so that nothing in it is trusted").format(path=path)
        )


def damaged(place: Path) -> TrustProblem:
    return TrustProblem(
        _("{path} is damaged, so that it permits nothing; delete it, then trust the flow again").format(path=place)
    )
