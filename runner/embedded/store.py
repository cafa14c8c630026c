"""Keep the service's objects in SQLite: in memory, or in a file where they survive a restart."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from runner.embedded.objects import Json, Kept, Run, render
from runner.values import dataclass

__all__ = ["Beat", "Logged", "Store", "StoreProblem"]

Kind = TypeVar("Kind", bound=Kept)

APPLICATION = 0x72756E66  # "runf": tells our files from other people's
VERSION = 1

TABLES = """
CREATE TABLE object (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    parent TEXT REFERENCES object (id) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE INDEX object_of_parent ON object (parent, kind, sequence);
CREATE TABLE beat (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    thread TEXT NOT NULL,
    due REAL NOT NULL,
    event TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    logged INTEGER NOT NULL
);
CREATE INDEX beat_of_run ON beat (run, sequence);
CREATE INDEX beat_of_thread ON beat (thread, sequence);
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX event_of_run ON event (run, sequence);
CREATE TABLE picture (token TEXT PRIMARY KEY, made REAL NOT NULL, prompt TEXT NOT NULL);
"""


class StoreProblem(Exception):
    """The database file cannot be used; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One step of a run's script: at `due`, `event` happens to the object `target`, changing (or making) it by `body`.

    A logged beat leaves its event for a stream to read.
    """

    due: float
    event: str
    target: str
    body: Json
    logged: bool = False
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Logged:
    """An event that happened, for a stream to read."""

    sequence: int
    name: str
    body: str


class Store:
    """The objects, the scripts of active runs, the events of streamed ones, and the prompts of pictures."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or create `path`, or a database in memory; raise StoreProblem when the file is not ours or cannot be used."""
        try:
            if path is not None:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self.database = sqlite3.connect(path or ":memory:", timeout=5, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreProblem(f"{path}: {getattr(error, 'strerror', None) or error}") from error
        try:
            self.open(path)
        except sqlite3.Error as error:
            self.database.close()
            raise StoreProblem(f"{path}: {error}") from error
        except StoreProblem:
            self.database.close()
            raise

    def open(self, path: Path | None) -> None:
        ours = self.ours(path)
        self.database.execute("PRAGMA foreign_keys = ON")
        if path is not None:
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = NORMAL")
        if not ours:
            self.make_tables(path)

    def ours(self, path: Path | None) -> bool:
        """Whether the tables are there; False for an empty database. Raise StoreProblem when it is another program's."""
        [version] = self.database.execute("PRAGMA user_version").fetchone()
        [owner] = self.database.execute("PRAGMA application_id").fetchone()
        [tables] = self.database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and (owner, version) != (APPLICATION, VERSION):
            raise StoreProblem(f"{path} is a database of another program or version")
        return bool(tables)

    def make_tables(self, path: Path | None) -> None:
        with self.writing():
            # Somebody may have been quicker while we waited to write.
            if self.ours(path):
                return
            for statement in TABLES.split(";"):
                self.database.execute(statement)
            self.database.execute(f"PRAGMA application_id = {APPLICATION}")
            self.database.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All changes within happen together or not at all; inside another one it is part of that."""
        if self.database.in_transaction:
            yield
            return
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, kept: Kept, parent: str | None = None) -> None:
        self.database.execute(
            "INSERT INTO object (id, kind, parent, body) VALUES (?, ?, ?, ?)", (kept.id, kept.KIND, parent, written(kept))
        )

    def save(self, kept: Kept) -> None:
        self.database.execute("UPDATE object SET body = ? WHERE id = ?", (written(kept), kept.id))

    def find(self, kind: type[Kind], identity: str, parent: str | None = None) -> Kind | None:
        """The object of this kind and id, standing below `parent` if it is given."""
        row = self.database.execute(
            "SELECT body FROM object WHERE id = ? AND kind = ? AND (? IS NULL OR parent = ?)",
            (identity, kind.KIND, parent, parent),
        ).fetchone()
        return kind(**json.loads(row[0])) if row else None

    def delete(self, identity: str) -> None:
        """Remove an object and everything below it."""
        self.database.execute("DELETE FROM object WHERE id = ?", (identity,))

    def page(
        self,
        kind: type[Kind],
        parent: str | None,
        limit: int,
        newest_first: bool = True,
        after: str | None = None,
        before: str | None = None,
    ) -> tuple[list[Kind], bool]:
        """At most `limit` objects in this order, and whether there are more beyond them.

        `after` continues behind an id; `before` gives those that stand right in front of one.
        """
        forward = newest_first is (before is not None)
        edge = after or before
        rows = self.database.execute(
            f"""
            SELECT body FROM object WHERE kind = ? AND parent IS ?
            AND (? IS NULL OR sequence {">" if forward else "<"} (SELECT sequence FROM object WHERE id = ?))
            ORDER BY sequence {"ASC" if forward else "DESC"} LIMIT ?
            """,
            (kind.KIND, parent, edge, edge, limit + 1),
        ).fetchall()
        found = [kind(**json.loads(body)) for (body,) in rows[:limit]]
        return found[::-1] if before is not None else found, len(rows) > limit

    def newest_run(self, thread: str) -> Run | None:
        runs, _ = self.page(Run, thread, 1)
        return runs[0] if runs else None

    # ── scripts of runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def write_script(self, run: Run, beats: Sequence[Beat]) -> None:
        """Put these beats behind those the run still has."""
        self.database.executemany(
            "INSERT INTO beat (run, thread, due, event, target, body, logged) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(run.id, run.thread_id, beat.due, beat.event, beat.target, json.dumps(beat.body), beat.logged) for beat in beats],
        )

    def drop_script(self, run: str) -> None:
        self.database.execute("DELETE FROM beat WHERE run = ?", (run,))

    def due(self, thread: str, now: float) -> list[tuple[str, Beat]]:
        """The beats of the thread's runs whose time has come, with their run's id, in order."""
        rows = self.database.execute(
            "SELECT run, due, event, target, body, logged, sequence FROM beat WHERE thread = ? AND due <= ? ORDER BY sequence",
            (thread, now),
        ).fetchall()
        return [(run, Beat(due, event, target, json.loads(body), bool(logged), number))
                for run, due, event, target, body, logged, number in rows]  # fmt: skip

    def done(self, beat: Beat) -> None:
        self.database.execute("DELETE FROM beat WHERE sequence = ?", (beat.sequence,))

    def next_due(self, run: str) -> float | None:
        row = self.database.execute("SELECT due FROM beat WHERE run = ? ORDER BY sequence LIMIT 1", (run,)).fetchone()
        return row[0] if row else None

    # ── events of streamed runs ──────────────────────────────────────────────────────────────────────────────────────

    def log(self, run: str, name: str, body: Json) -> None:
        self.database.execute("INSERT INTO event (run, name, body) VALUES (?, ?, ?)", (run, name, json.dumps(body)))

    def events(self, run: str, behind: int = 0) -> list[Logged]:
        rows = self.database.execute(
            "SELECT sequence, name, body FROM event WHERE run = ? AND sequence > ? ORDER BY sequence", (run, behind)
        )
        return [Logged(*row) for row in rows]

    # ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def keep_picture(self, token: str, prompt: str, now: float) -> None:
        self.database.execute("INSERT INTO picture (token, made, prompt) VALUES (?, ?, ?)", (token, now, prompt))

    def picture(self, token: str, made_since: float) -> str | None:
        """The prompt of the picture under this token, unless it is older than that."""
        row = self.database.execute("SELECT prompt FROM picture WHERE token = ? AND made >= ?", (token, made_since)).fetchone()
        return row[0] if row else None


def written(kept: Kept) -> str:
    body = render(kept)
    del body["object"]
    return json.dumps(body)
