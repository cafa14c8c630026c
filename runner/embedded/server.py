"""The embedded service over HTTP, on loopback, closed to everyone who does not hold the token."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Announce", "ServeProblem", "ServeSettings", "chosen_token", "serve"]

Announce = Callable[[str, str], None]
"""Called once the port is open, with the base URL and the token."""


class ServeProblem(Exception):
    """Why there is no server; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve. Port 0 takes a free one; without a token a random one is made; without `db` nothing is kept.

    `latency` is how long a run takes, in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    db: Path | None = None
    token: str | None = None
    latency: float = 0.5


def chosen_token(environment: Mapping[str, str], name: str | None = None, given: str | None = None) -> str | None:
    """The token to require: as given, from the variable `name`, from RUNFLOW_TOKEN, or None; raise ServeProblem if `name`
    is not set."""
    raise NotImplementedError


def serve(settings: ServeSettings, announce: Announce) -> None:
    """Serve until SIGINT or SIGTERM; raise ServeProblem when it cannot begin."""
    raise NotImplementedError
