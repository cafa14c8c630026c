"""A served embedded service for tests: the real process, on a free port, in a clean environment."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

TOKEN = "a-token-for-tests-only"

PROGRAM = """
import sys
from pathlib import Path
from runner.embedded.server import ServeProblem, ServeSettings, serve

host, db, token, latency = sys.argv[1:]
settings = ServeSettings(host=host, db=Path(db) if db else None, token=token or None, latency=float(latency))
try:
    serve(settings, lambda base_url, token: print(base_url, token, flush=True))
except ServeProblem as problem:
    sys.exit(str(problem))
print("stopped")
"""


@dataclass(frozen=True, slots=True)
class Served:
    base_url: str
    token: str
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix("/api/v1")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def clean_environment(**more: str) -> dict[str, str]:
    """What a process needs, and nothing that would steer runflow, an SDK or a proxy."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {**kept, "NO_PROXY": "*", "PYTHONUTF8": "1", **more}


def start(host: str = "127.0.0.1", db: str = "", token: str = TOKEN, latency: float = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, host, db, token, str(latency)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def served(db: str = "", token: str = TOKEN, latency: float = 0) -> Iterator[Served]:
    """A server that is ready; it is stopped by SIGTERM unless the test stopped it."""
    with start(db=db, token=token, latency=latency) as process:
        assert process.stdout is not None
        first = process.stdout.readline().split()
        if len(first) != 2:
            _, problem = process.communicate(timeout=10)
            raise AssertionError(problem)
        try:
            yield Served(*first, process)
        finally:
            process.terminate()
            process.communicate(timeout=10)
