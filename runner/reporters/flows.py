"""The lines of flow files that reports show, and what of the disk a report may show at all."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from runner import source
from runner.diagnostics import Problems

__all__ = ["is_below", "lines_of"]


def lines_of(path: str) -> Sequence[str]:
    """A flow file's lines; none when it cannot be read any more. Many checks stand in one file, which is read once."""
    try:
        status = os.stat(path)  # noqa: PTH116  the path may be none that a system could have
    except (OSError, ValueError):
        return ()
    return read(path, status.st_mtime_ns, status.st_size)


@lru_cache(8)
def read(path: str, _changed: int, _size: int) -> Sequence[str]:
    try:
        return source.split(source.decode(source.open_bytes(path, source.MAX_BYTES, source.FLOW_SUFFIXES), path))
    except (Problems, ValueError):
        return ()


def is_below(path: str) -> bool:
    """Whether a path leads to below the current folder. What others say happened may name any file there is."""
    try:
        return Path(path).resolve().is_relative_to(Path.cwd())
    except (OSError, ValueError, RuntimeError):
        return False
