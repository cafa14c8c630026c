"""Turn a prompt into a PNG that says it is a placeholder: a quiet landscape in the prompt's own colours, and the prompt.

Only Latin letters are drawn, in a font made here, since no other can be assumed. The whole prompt is in the file's
`Description` text.
"""

import math
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from colorsys import hls_to_rgb

__all__ = ["SIZE", "draw"]

SIZE = 512
MARGIN, PADDING = 48, 28
CARD_TOP, CARD_BOTTOM, CORNER = 96, 336, 18

SHADES = 160
SUN, HALO, FAR, MIDDLE, NEAR, CARD, EDGE, INK, PALE = range(SHADES, SHADES + 9)
"""The palette: shades of the sky from 0 on, then these."""

GLYPH_WIDTH, GLYPH_HEIGHT, LINE = 6, 9, 11
GLYPHS = {
    letter: tuple(int(rows[start : start + 2], 16) for start in range(0, len(rows), 2))
    for letter, rows in (
        entry.split(" ")
        for entry in """\
A 0E11111F111111|B 1E11111E11111E|C 0E11101010110E|D 1C12111111121C|E 1F10101E10101F|F 1F10101E101010
G 0E11101711110F|H 1111111F111111|I 0E04040404040E|J 0702020202120C|K 11121418141211|L 1010101010101F
M 111B1515111111|N 11111915131111|O 0E11111111110E|P 1E11111E101010|Q 0E11111115120D|R 1E11111E141211
S 0F10100E01011E|T 1F040404040404|U 1111111111110E|V 11111111110A04|W 1111111515150A|X 11110A040A1111
Y 11110A04040404|Z 1F01020408101F|a 00000E010F110F|b 1010161911111E|c 00000E1010110E|d 01010D1311110F
e 00000E111F100E|f 0609081C080808|g 00000F1111110F010E|h 10101619111111|i 04000C0404040E|j 02000602020202120C
k 10101214181412|l 0C04040404040E|m 00001A15151515|n 00001619111111|o 00000E1111110E|p 0000161911111E1010
q 00000D1311110F0101|r 00001619101010|s 00000F100E011E|t 08081C08080906|u 0000111111130D|v 00001111110A04
w 0000111115150A|x 0000110A040A11|y 0000111111110F010E|z 00001F0204081F|0 0E11131519110E|1 040C040404040E
2 0E11010204081F|3 1F02040201110E|4 02060A121F0202|5 1F101E0101110E|6 0608101E11110E|7 1F010204080808
8 0E11110E11110E|9 0E11110F01020C|. 00000000000C0C|, 00000000000C0408|! 04040404040004|? 0E110102040004
' 040408|" 0A0A0A|- 0000000E|: 000C0C000C0C|; 000C0C000C0408|( 02040808080402|) 08040202020408
/ 00010204081000|& 0C12140815120D|+ 0004041F0404|= 00001F001F|% 18190204081303|# 0A0A1F0A1F0A0A
@ 0E11171517100E|* 0004150E1504|_ 0000000000001F|$ 040F140E051E04""".replace("\n", "|").split("|")
    )
}
"""Each letter as rows of five dots from the top, two hexadecimal digits a row; the last two rows hang below the line."""


def draw(prompt: str) -> bytes:
    """A PNG of SIZE x SIZE for this prompt; the same prompt gives the same bytes."""
    seed = zlib.crc32(prompt.encode("utf-8", "replace"))
    image = landscape(seed)
    card(image)
    write(image, "PLACEHOLDER", MARGIN + PADDING, CARD_TOP + 26, 2, INK, spacing=4)
    write(image, "no image model was asked", MARGIN + PADDING, CARD_BOTTOM - 36, 1, PALE, spacing=1)
    caption(image, latin(prompt) or "(see the text in this file)")
    return encoded(image, palette(seed), prompt)


# ── the scene ────────────────────────────────────────────────────────────────────────────────────────────────────────


def landscape(seed: int) -> bytearray:
    """Sky, sun and three ranges of hills; where they stand comes from the seed."""
    image = bytearray(SIZE * SIZE)
    for y in range(SIZE):
        image[y * SIZE : (y + 1) * SIZE] = bytes([y * SHADES // SIZE]) * SIZE
    centre = 110 + seed % 293
    disc(image, centre, 92, 64, HALO)
    disc(image, centre, 92, 46, SUN)
    for layer, (colour, top, height) in enumerate(((FAR, 352, 34), (MIDDLE, 396, 26), (NEAR, 446, 20))):
        phase = (seed >> (layer * 8)) % 256 / 40
        for x in range(SIZE):
            wave = math.sin(x / (70 - layer * 9) + phase) + 0.5 * math.sin(x / 31 + phase * 2)
            start = top - int(height * wave)
            image[start * SIZE + x :: SIZE] = bytes([colour]) * (SIZE - start)
    return image


def disc(image: bytearray, centre_x: int, centre_y: int, radius: int, colour: int) -> None:
    for y in range(max(0, centre_y - radius), centre_y + radius + 1):
        half = math.isqrt(radius * radius - (y - centre_y) ** 2)
        fill(image, centre_x - half, y, 2 * half + 1, colour)


def card(image: bytearray) -> None:
    """A sheet with round corners to write on."""
    for colour, grown in ((EDGE, 2), (CARD, 0)):
        top, bottom = CARD_TOP - grown, CARD_BOTTOM + grown
        for y in range(top, bottom):
            from_edge = min(y - top, bottom - 1 - y)
            inset = CORNER - math.isqrt(CORNER**2 - (CORNER - from_edge) ** 2) if from_edge < CORNER else 0
            left = MARGIN - grown + inset
            fill(image, left, y, SIZE - 2 * left, colour)


def fill(image: bytearray, x: int, y: int, width: int, colour: int) -> None:
    """A line of dots, as much of it as lies within the image."""
    left, right = max(0, x), min(SIZE, x + width)
    if 0 <= y < SIZE and left < right:
        image[y * SIZE + left : y * SIZE + right] = bytes([colour]) * (right - left)


def palette(seed: int) -> bytes:
    """Soft colours around a hue of the seed's choice."""
    hue = seed % 360 / 360
    warm = hue + 0.09
    sky = [colour(hue + (warm - hue) * place / SHADES, 0.76 + 0.16 * place / SHADES, 0.55) for place in range(SHADES)]
    rest = [
        colour(0.13, 0.93, 0.90),
        colour(0.12, 0.90, 0.60),
        colour(hue, 0.68, 0.34),
        colour(hue, 0.55, 0.32),
        colour(hue, 0.42, 0.32),
        colour(hue, 0.975, 0.50),
        colour(hue, 0.80, 0.35),
        colour(hue, 0.22, 0.35),
        colour(hue, 0.52, 0.20),
    ]
    return b"".join([*sky, *rest])


def colour(hue: float, lightness: float, saturation: float) -> bytes:
    return bytes(round(part * 255) for part in hls_to_rgb(hue % 1, lightness, saturation))


# ── the words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def latin(prompt: str) -> str:
    """What of the prompt the font can write; accents are left off."""
    plain = unicodedata.normalize("NFKD", prompt).translate(QUOTES)
    kept = (letter if letter in GLYPHS else "" if unicodedata.combining(letter) else " " for letter in plain)
    words = [word for word in "".join(kept).split() if word in "&+" or any(letter.isalnum() for letter in word)]
    return " ".join(words)


QUOTES = str.maketrans("’‘“”–—ß", "''\"\"--s")


def caption(image: bytearray, text: str) -> None:
    """The text in the largest letters that fit the card, cut when even the smallest do not."""
    room = CARD_BOTTOM - CARD_TOP - 116
    for scale in (5, 4, 3, 2):
        most = (SIZE - 2 * (MARGIN + PADDING)) // (GLYPH_WIDTH * scale)
        lines, fitting = list(wrapped(text, most)), room // (LINE * scale)
        if len(lines) <= fitting and max(map(len, text.split())) <= most:
            break
    if len(lines) > fitting:
        lines = [*lines[: fitting - 1], f"{lines[fitting - 1][: most - 3]}..."]
    for place, line in enumerate(lines):
        write(image, line, MARGIN + PADDING, CARD_TOP + 68 + place * LINE * scale, scale, INK)


def wrapped(text: str, most: int) -> Iterator[str]:
    """Lines of at most `most` letters; a longer word is cut."""
    line = ""
    for word in text.split():
        pieces = [word[start : start + most] for start in range(0, len(word), most)]
        for piece in pieces:
            if line and len(line) + 1 + len(piece) > most:
                yield line
                line = ""
            line = f"{line} {piece}".strip()
    yield line


def write(image: bytearray, text: str, x: int, y: int, scale: int, colour: int, spacing: int = 0) -> None:
    for letter in text:
        for down, row in enumerate(GLYPHS.get(letter, ())):
            for across in range(5):
                if row & (16 >> across):
                    for line in range(scale):
                        fill(image, x + across * scale, y + down * scale + line, scale, colour)
        x += GLYPH_WIDTH * scale + spacing


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def encoded(image: bytearray, colours: bytes, prompt: str) -> bytes:
    rows = b"".join(b"\0" + image[start : start + SIZE] for start in range(0, len(image), SIZE))
    words = prompt.replace("\0", " ").encode("utf-8", "replace")
    parts: Sequence[tuple[bytes, bytes]] = (
        (b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 3, 0, 0, 0)),
        (b"PLTE", colours),
        (b"iTXt", b"Description\0\0\0\0\0" + words),
        (b"IDAT", zlib.compress(rows, 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
