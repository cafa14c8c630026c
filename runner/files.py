"""Put a whole file in place of another, or leave the old one as it was."""

import os
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex

__all__ = ["replace"]


def replace(path: Path, data: bytes | Iterable[bytes], mode: int = 0o666) -> None:
    """Make `data`, or its pieces one after the other, the content of `path`, all of it or, with OSError, none: the former file
    then stays as it was. `mode` is what the file may be used for, less the user's mask."""
    path = path.resolve()
    beside = path.with_name(f".{token_hex(8)}.part")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.writelines([data] if isinstance(data, bytes) else data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    settle(path.parent)


def settle(folder: Path) -> None:
    """Make the new name last through a power cut, on systems where a folder can be synced."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
