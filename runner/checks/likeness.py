"""Look into pictures with Pillow: whether they show more than one colour, and how alike two of them are."""

from io import BytesIO
from math import ceil
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from runner.checks.blank import FLAT
from runner.checks.pictures import Broken, Picture, damaged, examine
from runner.diagnostics import Problems
from runner.source import open_bytes
from runner.words import _

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Golden", "NotInstalled", "Unusable", "fingerprint", "flat", "opened"]

GRID = 8
"""How many cells a fingerprint has in each direction."""
EVEN = 2
"""How far the greys of two cells may lie apart, of 255, and be about the same: compression moves them as much."""
LARGEST = 40_000_000
"""The most pixels a picture may have to be looked into: unpacked, each takes four bytes, and more while it is turned."""
LARGEST_FILE = 16 * 1024 * 1024
"""The largest file a picture is compared with, in bytes; as large as an answer of a service may be."""

TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What Pillow calls the turns that EXIF numbers."""


class NotInstalled(Exception):
    """Pillow is not there."""


class Unusable(Exception):
    """A picture cannot be looked into though nothing says that it is broken; the message says why."""


DECODING = Lock()
"""Held while Pillow decodes: what it warns of is kept quiet, and that is a switch of the whole process."""


def opened(data: bytes, picture: Picture) -> "Image":
    """The picture's pixels as they are shown, in RGBA; the first picture if it moves.

    Raise Broken, NotInstalled or Unusable.
    """
    try:
        from PIL import Image
    except ImportError:
        raise NotInstalled from None
    too_large = Unusable(_("the image is too large to be looked into: {picture}").format(picture=picture))
    if picture.width * picture.height > LARGEST:
        raise too_large
    try:
        with DECODING, catch_warnings():
            simplefilter("ignore")
            found: Image.Image = Image.open(BytesIO(data), formats=[picture.format])
            if found.width * found.height > LARGEST:  # a GIF's pictures may be larger than it says it is
                raise too_large
            if found.mode.startswith("I"):  # grey of 16 bits, which Pillow cuts off at 255
                found = found.convert("I").point(lambda value: value * (1 / 256)).convert("L")
            found = found.convert("RGBA")
        turn = TURNS.get(picture.orientation)
        return found.transpose(Image.Transpose[turn]) if turn else found
    except (MemoryError, Unusable, Image.DecompressionBombError):
        raise too_large from None
    except Exception as error:
        # What Pillow raises for bytes it cannot read has nothing in common: OSError, SyntaxError, struct.error, TypeError.
        raise damaged(picture.format) from error


def flat(image: "Image") -> bool:
    """Whether it is one flat colour; what is fully transparent has no colour."""
    extrema: Any = image.convert("RGBa").getextrema()
    return all(high - low <= FLAT for low, high in extrema)


def fingerprint(image: "Image") -> tuple[int, ...]:
    """What pictures have in common that look alike: whether each cell of a coarse grid of greys is darker (-1) or lighter (1)
    than the one at its left and the one above, or about the same (0). A dHash both ways, in which even areas stay even."""
    from PIL import Image

    def greys(width: int, height: int) -> bytes:
        small = Image.new("RGBA", (width, height), "white")
        small.alpha_composite(image.resize((width, height), Image.Resampling.LANCZOS))
        return small.convert("L").tobytes()

    def step(before: int, after: int) -> int:
        return 0 if abs(after - before) <= EVEN else 1 if after > before else -1

    across, down = greys(GRID + 1, GRID), greys(GRID, GRID + 1)
    ends = range(GRID, len(across), GRID + 1)
    return (
        *(step(across[at], across[at + 1]) for at in range(len(across)) if at not in ends),
        *(step(down[at], down[at + GRID]) for at in range(GRID * GRID)),
    )


class Golden:
    """The picture that others are compared with: a file below the flow's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raise NotInstalled, or Unusable with the reason why nothing can be compared with this file."""
        folder = folder.resolve()
        try:
            path = (folder / name).resolve()
            if not path.is_relative_to(folder):
                raise Unusable(_("it lies outside the flow's folder"))
            data = open_bytes(path, LARGEST_FILE, None, name)
            image = opened(data, examine(data))
        except Problems as problems:
            raise Unusable(_("`{file}`: {reason}").format(file=name, reason=problems.diagnostics[0].message)) from None
        except (Broken, Unusable) as error:
            raise Unusable(_("`{file}`: {reason}").format(file=name, reason=error)) from None
        except (OSError, RuntimeError, ValueError):
            raise Unusable(_("`{file}` is no path").format(file=name)) from None
        if flat(image):
            raise Unusable(_("`{file}` is one flat colour, which nothing can be compared with").format(file=name))
        self.fingerprint = fingerprint(image)

    def distance(self, image: "Image") -> int:
        """How far a picture is from it, 0 to 100; 0 only when their fingerprints are the same."""
        steps = [abs(ours - theirs) for ours, theirs in zip(self.fingerprint, fingerprint(image), strict=True)]
        return ceil(100 * sum(steps) / (2 * len(steps)))
