"""Keep the pictures of a run: one folder for each conversation, one file for each picture."""

import unicodedata
from pathlib import Path

from runner.files import replace

__all__ = ["Folders", "Gallery", "extension", "safe_name"]

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³")}
"""What Windows takes for a device, whatever the extension."""
LONGEST = 120
"""Of a name, in bytes; file systems allow 255, Windows 260 for a whole path."""


class Gallery:
    """Saves pictures below `folder`, which is made with the first of them. No two pictures of one run share a file."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.taken: set[str] = set()

    def save(self, folder: str, step: int, index: int, data: bytes) -> str:
        """Write one picture; return its path, `runflow-out/paint/1-1.png` where the folder is `paint`, which may have folders
        in it, parted by `/`. Raise OSError when it cannot be written."""
        path = self.free("/".join(map(safe_name, folder.split("/"))), f"{step}-{index}", extension(data))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)
        return str(path)

    def free(self, name: str, stem: str, suffix: str) -> Path:
        """A path no other picture of this run has; `PAINT` and `paint` are the same to some file systems."""
        number = 1
        while True:
            path = self.folder / (name if number == 1 else f"{name}-{number}") / f"{stem}.{suffix}"
            if str(path).casefold() not in self.taken:
                self.taken.add(str(path).casefold())
                return path
            number += 1


class Folders:
    """Names of folders for the conversations of a run, no two of them the same to any file system."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        """A name like `wanted` that was not given before: `paint`, then `paint-2`."""
        name = first = safe_name(wanted)
        number = self.taken.get(first.casefold(), 0)
        while name.casefold() in self.taken:
            number += 1
            ending = f"-{number}"
            name = first.encode()[: LONGEST - len(ending)].decode(errors="ignore") + ending
        self.taken[name.casefold()] = 1
        self.taken[first.casefold()] = max(number, 1)
        return name


def extension(data: bytes) -> str:
    """By the first bytes alone: what is no picture we know gets an extension that nothing opens as a page."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((suffix for signature, suffix in SIGNATURES if data.startswith(signature)), "bin")


def safe_name(name: str) -> str:
    """`name` as a folder's name on every system: letters of any script, digits, `-`, `_` and `.` inside."""
    kept = (
        char if unicodedata.category(char)[0] in "LMN" or char in "-_." else " " for char in unicodedata.normalize("NFC", name)
    )
    words = "-".join("".join(kept).split())
    cut = words.encode()[:LONGEST].decode(errors="ignore").strip("-.")
    if cut.partition(".")[0].casefold() in RESERVED:
        return f"_{cut}"
    return cut or "flow"
