"""Tell what the reader of a stream can be shown: whether it is a terminal, whether colour is wanted, whether CI reads it."""

from collections.abc import Mapping
from typing import TextIO

__all__ = ["coloured", "is_ci", "is_terminal"]


def is_terminal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a terminal that knows colours and cursor movement is at the other end."""
    return stream.isatty() and environment.get("TERM") != "dumb"


def coloured(stream: TextIO, environment: Mapping[str, str], *, wanted: bool = True) -> bool:
    """Whether to colour `stream`: NO_COLOR and `--no-color` forbid it, FORCE_COLOR demands it, or else a terminal has it."""
    if not wanted or environment.get("NO_COLOR"):
        return False
    return environment.get("FORCE_COLOR", "") not in {"", "0"} or is_terminal(stream, environment)


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether a CI service says that it runs us."""
    return environment.get("CI", "").lower() not in {"", "0", "false"}
