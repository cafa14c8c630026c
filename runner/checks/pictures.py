"""Tell from its bytes whether a picture is whole: PNG, JPEG, GIF, WebP or BMP, followed to its end without an image library."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from struct import error as StructError
from struct import unpack, unpack_from

from runner.values import dataclass
from runner.words import _

__all__ = ["CHANNELS", "Broken", "Picture", "damaged", "examine", "passes", "png_chunks"]

LARGEST = 1 << 30
"""The most bytes a picture may unpack to; one that claims more is refused."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file of an image is: its format, and its size in pixels as it is shown."""

    format: str
    width: int
    height: int
    orientation: int = 1
    """How EXIF asks to turn what is stored before it is shown: 1 not at all, 2 to 4 upright, 5 to 8 on its side."""

    def __str__(self) -> str:
        return f"{self.format}, {self.width} x {self.height}"


class Broken(Exception):
    """These bytes are no picture that can be shown; the message says why."""


def examine(data: bytes) -> Picture:
    """The picture these bytes hold; raise Broken if they hold none, or not all of it."""
    if not data:
        raise Broken(_("the image is empty (0 bytes)"))
    for signature, format, read in FORMATS:
        if data.startswith(signature):
            try:
                picture = read(data)
            except (IndexError, StructError):
                raise Broken(_("the image is cut off: {format}, {size} bytes").format(format=format, size=len(data))) from None
            if not picture.width or not picture.height:
                raise Broken(_("the image has no pixels: {picture}").format(picture=picture))
            if picture.orientation > 4:
                return replace(picture, width=picture.height, height=picture.width)
            return picture
    raise Broken(no_picture(data))


def no_picture(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _("this is a web page (HTML), not a picture")
    if b"<svg" in start:
        return _("this is an SVG drawing, which is not checked")
    if start.startswith(b"<"):
        return _("this is XML, not a picture")
    if start.startswith((b"{", b"[")):
        return _("this is JSON, not a picture")
    return _("this is no picture in a known format (PNG, JPEG, GIF, WebP, BMP)")


def damaged(format: str) -> Broken:
    return Broken(_("the image is damaged: {format}").format(format=format))


ORIENTATION = 0x0112


def orientation(exif: bytes) -> int:
    """What a block of EXIF says of how the picture is turned; 1 when it says nothing that can be read."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = ">" if exif.startswith(b"MM") else "<"
    try:
        (at,) = unpack_from(f"{order}I", exif, 4)
        (entries,) = unpack_from(f"{order}H", exif, at)
        for entry in range(entries):
            tag, _kind, _count, value = unpack_from(f"{order}HHIH", exif, at + 2 + 12 * entry)
            if tag == ORIENTATION:
                return value if value in range(1, 9) else 1
    except StructError:
        return 1
    return 1


# ── PNG ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
BY_PALETTE = 3
LAST_FILTER = 4
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    at = 8
    view = memoryview(data)
    while True:
        length, kind = unpack_from(">I4s", data, at)
        body = view[at + 8 : at + 8 + length]
        if unpack_from(">I", data, at + 8 + length)[0] != zlib.crc32(body, zlib.crc32(kind)):
            raise damaged("PNG")
        yield kind, body
        if kind == b"IEND":
            return
        at += length + 12


def png(data: bytes) -> Picture:
    header: tuple[int, ...] | None = None
    inflate = zlib.decompressobj()
    size = 0
    wanted = 0
    layout: list[tuple[int, int, int]] = []
    palette = False
    turned = 1
    for kind, body in png_chunks(data):
        if kind == b"IHDR":
            header = unpack(">IIBBBBB", body)
            layout = png_layout(header)
            wanted = layout[-1][1] if layout else 0
        elif header is None or (kind == b"IDAT" and header[3] == BY_PALETTE and not palette):
            raise damaged("PNG")
        elif kind == b"PLTE":
            palette = True
        elif kind == b"IDAT":
            for piece in inflated(inflate, body):
                if size + len(piece) > wanted or any(filters(piece, size, layout)):
                    raise damaged("PNG")
                size += len(piece)
        elif kind == b"eXIf":
            turned = orientation(bytes(body))
    if header is None or size != wanted:
        raise damaged("PNG")
    return Picture("PNG", header[0], header[1], turned)


def png_layout(header: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Where each pass over the picture begins and ends in the unpacked data, and how many bytes its rows have."""
    width, height, depth, colour, compression, filtering, interlace = header
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise damaged("PNG")
    layout, at = [], 0
    for across, rows in passes(width, height, interlace):
        row = -(-across * depth * CHANNELS[colour] // 8) + 1
        layout.append((at, at + row * rows, row))
        at += row * rows
    if at > LARGEST:
        raise Broken(
            _("the image claims to be larger than can be checked: {width} x {height}").format(width=width, height=height)
        )
    return layout


def filters(piece: bytes, at: int, layout: list[tuple[int, int, int]]) -> Iterator[bool]:
    """Of each pass that has rows beginning in this piece of the data: whether one of them is stored in no known way."""
    for begin, end, row in layout:
        first = begin + max(0, -(-(at - begin) // row)) * row - at
        if starts := piece[first : max(0, end - at) : row]:
            yield max(starts) > LAST_FILTER


def passes(width: int, height: int, interlace: int) -> list[tuple[int, int]]:
    """How wide and how high each pass over the picture is; there is one unless it is interlaced."""
    if not interlace:
        return [(width, height)]
    sizes = ((-(-(width - x) // step), -(-(height - y) // down)) for x, y, step, down in PASSES)
    return [(across, rows) for across, rows in sizes if across > 0 and rows > 0]


def inflated(inflate: "zlib._Decompress", body: bytes | memoryview) -> Iterator[bytes]:
    """What this part unpacks to, piece by piece."""
    try:
        while body and not inflate.eof:
            yield inflate.decompress(body, 1 << 20)
            body = inflate.unconsumed_tail
    except zlib.error:
        raise damaged("PNG") from None


# ── JPEG ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BARE = frozenset({0x01, *range(0xD0, 0xD8)})


def jpeg(data: bytes) -> Picture:
    at = 2
    picture: Picture | None = None
    scanned = False
    turned = None
    while True:
        while data[at] != 0xFF:
            raise damaged("JPEG")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0xD9:
            break
        if marker in BARE:
            continue
        (length,) = unpack_from(">H", data, at)
        if length < 2:
            raise damaged("JPEG")
        if marker in FRAMES:
            height, width = unpack_from(">HH", data, at + 3)
            picture = Picture("JPEG", width, height)
        elif marker == 0xE1 and turned is None and data.startswith(b"Exif\0\0", at + 2):
            turned = orientation(data[at + 2 : at + length])
        at += length
        if marker == 0xDA:
            scanned = True
            at = after_scan(data, at)
    if picture is None or not scanned:
        raise damaged("JPEG")
    return replace(picture, orientation=turned or 1)


def after_scan(data: bytes, at: int) -> int:
    """Where the next marker stands after the compressed data; in it, 0xFF is followed by 0 or a restart marker."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise IndexError
        if data[at + 1] != 0 and data[at + 1] not in BARE:
            return at
        at += 2


# ── GIF, WebP, BMP ───────────────────────────────────────────────────────────────────────────────────────────────────


def gif(data: bytes) -> Picture:
    width, height, flags = unpack_from("<HHB", data, 6)
    at = 13 + colours(flags)
    pictures = 0
    while data[at] != 0x3B:
        kind = data[at]
        if kind == 0x2C:
            pictures += 1
            at += 10 + colours(data[at + 9]) + 1
        elif kind == 0x21:
            at += 2
        else:
            raise damaged("GIF")
        while data[at]:
            at += data[at] + 1
        at += 1
    if not pictures:
        raise damaged("GIF")
    return Picture("GIF", width, height)


def colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def webp(data: bytes) -> Picture:
    (size,) = unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise Broken(no_picture(b""))
    if size + 8 > len(data):
        raise IndexError
    at = 12
    canvas: tuple[int, int] | None = None
    picture: tuple[int, int] | None = None
    turned = 1
    while at + 8 <= size + 8:
        kind, length = unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise IndexError
        if kind == b"VP8X":
            canvas = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        elif kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
            width, height = unpack_from("<HH", body, 6)
            picture = (width & 0x3FFF, height & 0x3FFF)
        elif kind == b"VP8L" and body[:1] == b"\x2f":
            (bits,) = unpack_from("<I", body, 1)
            picture = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        elif kind == b"ANMF":
            picture = canvas
        elif kind == b"EXIF":
            turned = orientation(body)
        at += 8 + length + length % 2
    if picture is None:
        raise damaged("WebP")
    return Picture("WebP", *(canvas or picture), turned)


def bmp(data: bytes) -> Picture:
    size, _reserved, offset, header, width, height, _planes, bits, compression = unpack_from("<IIIIiiHHI", data, 2)
    if header < 40 or bits not in (1, 4, 8, 16, 24, 32) or width < 0:
        raise damaged("BMP")
    wanted = offset + (width * bits + 31) // 32 * 4 * abs(height) if compression in (0, 3) else size
    if len(data) < wanted:
        raise IndexError
    return Picture("BMP", width, abs(height))


FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG", png),
    (b"\xff\xd8\xff", "JPEG", jpeg),
    (b"GIF87a", "GIF", gif),
    (b"GIF89a", "GIF", gif),
    (b"RIFF", "WebP", webp),
    (b"BM", "BMP", bmp),
)
