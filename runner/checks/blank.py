"""Tell whether a PNG shows nothing but one flat colour, from its bytes alone.

A row is unpacked, compared, and forgotten; the first that shows a second colour ends the search.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from struct import unpack

from runner.checks.allowance import Allowance, TookTooLong
from runner.checks.pictures import CHANNELS, damaged, passes, png_chunks
from runner.values import dataclass

__all__ = ["FLAT", "Spread", "flat_png"]

FLAT = 8
"""How far apart, of 255, the values of a colour may lie in a flat picture: WebP and JPEG leave as much of one colour."""
WIDEST = 1 << 20
"""The most bytes a row may have: rows are judged whole, and in time."""

GREY, COLOURS, PALETTE = 0, 2, 3
"""Types of colour without transparency of their own."""
SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4
"""How a row is stored: less the pixel before, less the row above, less the mean of both, less what Paeth expects."""


class Spread:
    """The lowest and the highest value seen of each colour and of the opacity."""

    def __init__(self) -> None:
        self.lowest = [255] * 4
        self.highest = [0] * 4

    def take(self, planes: Sequence[Sequence[int]]) -> bool:
        """Count these values in; whether what was seen so far is flat."""
        for place, plane in enumerate(planes):
            self.lowest[place] = min(self.lowest[place], min(plane))
            self.highest[place] = max(self.highest[place], max(plane))
        return all(high - low <= FLAT for low, high in zip(self.lowest, self.highest, strict=True))


def flat_png(data: bytes, seconds: float) -> bool:
    """Whether a whole PNG is one flat colour; raise Broken or TookTooLong. What is fully transparent has no colour."""
    stored = Stored.of(data)
    allowance = Allowance(seconds)
    spread = Spread()
    before = (0, b"")
    for width, row in stored.rows(data):
        _left = allowance.left
        if (width, row) != before and not spread.take(stored.planes(row, width)):
            return False
        before = (width, row)
    return True


@dataclass(frozen=True, slots=True)
class Stored:
    """How the pixels of a PNG are stored. `clear` is what stands for transparency: a palette's, or one colour's samples."""

    width: int
    height: int
    depth: int
    colour: int
    interlace: int
    palette: bytes = b""
    clear: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> "Stored":
        chunks = {kind: bytes(body) for kind, body in png_chunks(data) if kind in (b"IHDR", b"PLTE", b"tRNS")}
        width, height, depth, colour, _compression, _filtering, interlace = unpack(">IIBBBBB", chunks[b"IHDR"])
        return cls(width, height, depth, colour, interlace, chunks.get(b"PLTE", b""), chunks.get(b"tRNS", b""))

    def rows(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """How many pixels each row has, and its bytes as they were before they were filtered and packed."""
        bits = self.depth * CHANNELS[self.colour]
        pieces = unpacked(data)
        waiting = bytearray()
        for width, height in passes(self.width, self.height, self.interlace):
            size = -(-width * bits // 8) + 1
            if size > WIDEST:
                raise TookTooLong
            above = bytes(size - 1)
            for _row in range(height):
                while len(waiting) < size:
                    waiting += next(pieces)
                above = unfiltered(waiting[0], bytes(waiting[1:size]), above, max(1, bits // 8))
                del waiting[:size]
                yield width, above

    def planes(self, row: bytes, width: int) -> list[Sequence[int]]:
        """Red, green, blue (grey thrice) and opacity of a row, 0 to 255; colours as strong as they are opaque."""
        if self.colour == PALETTE:
            row = self.samples(row, width)
            colours: list[Sequence[int]] = [row.translate(self.table(self.palette[place::3])) for place in range(3)]
            return blended(colours, row.translate(self.table(self.clear, 255)))
        row = self.samples(row, width)
        if self.depth < 8:
            row = bytes(value * 255 // ((1 << self.depth) - 1) for value in row)
        count = CHANNELS[self.colour]
        colours = [row[place::count] for place in range(count)]
        opacity: Sequence[int] = b"\xff" * width
        if self.colour not in (GREY, COLOURS):
            opacity = colours.pop()
        elif self.clear:
            key = self.key()
            opacity = [0 if pixel == key else 255 for pixel in zip(*colours, strict=True)]
        return blended(colours if len(colours) == 3 else colours * 3, opacity)

    def samples(self, row: bytes, width: int) -> bytes:
        """One byte for each sample: the upper of two, or one for each that share a byte."""
        if self.depth == 16:
            return row[::2]
        if self.depth == 8:
            return row
        most = (1 << self.depth) - 1
        shifts = range(8 - self.depth, -1, -self.depth)
        return bytes(byte >> shift & most for byte in row for shift in shifts)[:width]

    def table(self, values: bytes, rest: int = 0) -> bytes:
        return values[:256] + bytes([rest]) * (256 - len(values[:256]))

    def key(self) -> tuple[int, ...]:
        """The colour that is transparent, like the pixels it is compared with."""
        values = unpack(f">{len(self.clear) // 2}H", self.clear[: len(self.clear) // 2 * 2])
        if self.depth == 16:
            return tuple(value >> 8 for value in values)
        return tuple(value * 255 // ((1 << self.depth) - 1) for value in values)


def blended(colours: Sequence[Sequence[int]], opacity: Sequence[int]) -> list[Sequence[int]]:
    if min(opacity) < 255:
        colours = [[value * share // 255 for value, share in zip(plane, opacity, strict=True)] for plane in colours]
    return [*colours, opacity]


def unpacked(data: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    for kind, body in png_chunks(data):
        rest: bytes | memoryview = body if kind == b"IDAT" else b""
        while rest and not inflate.eof:
            yield inflate.decompress(rest, WIDEST)
            rest = inflate.unconsumed_tail


def unfiltered(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    """A row as it was before the filter `kind` was put over it; a pixel has `step` bytes. Raise Broken for no filter."""
    if kind not in (0, SUB, UP, AVERAGE, PAETH):
        raise damaged("PNG")
    if kind == 0:
        return row
    if kind in (UP, PAETH) and row.count(0) == len(row):
        return above
    if kind == UP:
        return bytes((value + over) & 255 for value, over in zip(row, above, strict=True))
    whole = bytearray(row)
    if kind == SUB:
        for place in range(min(step, len(row))):
            whole[place::step] = bytes(value & 255 for value in accumulate(row[place::step]))
        return bytes(whole)
    for at in range(len(row)):
        left = whole[at - step] if at >= step else 0
        if kind == AVERAGE:
            whole[at] = (row[at] + (left + above[at]) // 2) & 255
        else:
            whole[at] = (row[at] + paeth(left, above[at], above[at - step] if at >= step else 0)) & 255
    return bytes(whole)


def paeth(left: int, over: int, corner: int) -> int:
    """Whichever is nearest to left + over - corner, in this order."""
    expected = left + over - corner
    by_left, by_over, by_corner = abs(expected - left), abs(expected - over), abs(expected - corner)
    if by_left <= by_over and by_left <= by_corner:
        return left
    return over if by_over <= by_corner else corner
