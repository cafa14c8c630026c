"""A service in a process of its own whose database is the witness, players that are killed, and what is run after them."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner.ledger import ledgers
from tests.embedded_fixtures import Served, clean_environment, served

__all__ = ["FLOW", "KILLED", "Ended", "Place", "place"]

FLOW = """\
assistant:
  model: qwen-max
steps:
  - user: Tell me about a ragdoll cat.
    expect:
      - contains: cat
"""
KILLED = -9


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to work in, a service, and the state folder of a user."""

    folder: Path
    server: Served

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(
            DASHSCOPE_API_KEY=self.server.token,
            DASHSCOPE_HTTP_BASE_URL=self.server.base_url,
            RUNFLOW_STATE_DIR=str(self.state),
            PYTHONPATH=str(Path(__file__).parent.parent),
        )

    def command(self, *arguments: str, **environment: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def play(self, *arguments: str) -> Ended:
        return self.command("-m", "tests.player", *arguments)

    def clean(self, *arguments: str, **environment: str) -> Ended:
        return self.command("-m", "runner", "clean", *arguments, **environment)

    def flow(self, name: str, text: str = FLOW) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def held(self) -> list[Mapping[str, object]]:
        """The assistants and threads that the service has."""
        wanted = "SELECT body FROM object WHERE kind IN ('assistant', 'thread') ORDER BY sequence"
        with closing(sqlite3.connect(self.folder / "service.db")) as database:
            return [json.loads(body) for (body,) in database.execute(wanted)]

    def ops(self) -> set[object]:
        """Our own ids of the attempts to make what the service has."""
        found = set()
        for each in self.held():
            metadata = each["metadata"]
            assert isinstance(metadata, dict)
            found.add(metadata["runflow_op"])
        return found

    def ledgers(self) -> list[Path]:
        return list(ledgers(self.state / "ledger"))


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    with served("--db", str(folder / "service.db")) as server:
        yield Place(folder, server)
