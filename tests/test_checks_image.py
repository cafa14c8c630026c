"""A picture counts when its bytes are whole; Pillow makes the pictures, and is not what reads them."""

import zlib
from io import BytesIO
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from runner.checks.pictures import Broken, examine, passes
from runner.model import Image, Turn
from tests.checks_fixtures import make, told


def chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def grey_png(width: int, height: int, body: bytes) -> bytes:
    header = chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def drawn(format: str, mode: str = "RGB", size: tuple[int, int] = (31, 17), **options: Any) -> bytes:
    picture = Pillow.radial_gradient("L").resize(size).convert(mode)
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


PICTURES = {
    "PNG": drawn("PNG"),
    "PNG with a palette": drawn("PNG", "P"),
    "PNG in black and white": drawn("PNG", "1"),
    "PNG with transparency": drawn("PNG", "RGBA"),
    "PNG of grey and alpha": drawn("PNG", "LA"),
    "PNG of 16 bits": drawn("PNG", "I;16"),
    "JPEG": drawn("JPEG"),
    "progressive JPEG": drawn("JPEG", progressive=True),
    "JPEG with restarts": drawn("JPEG", size=(300, 200), restart_marker_blocks=2),
    "grey JPEG": drawn("JPEG", "L"),
    "GIF": drawn("GIF", "P"),
    "GIF that moves": drawn("GIF", "P", save_all=True, append_images=[Pillow.new("P", (31, 17), 3)]),
    "WebP": drawn("WEBP"),
    "WebP without loss": drawn("WEBP", lossless=True),
    "WebP with transparency": drawn("WEBP", "RGBA"),
    "WebP that moves": drawn("WEBP", save_all=True, append_images=[Pillow.new("RGB", (31, 17), "red")]),
    "BMP": drawn("BMP"),
    "BMP in black and white": drawn("BMP", "1"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_whole_picture_is_read(name: str) -> None:
    picture = examine(PICTURES[name])
    assert picture.format in name
    assert picture.width / picture.height == pytest.approx(31 / 17, rel=0.2)


def test_an_interlaced_png_is_read() -> None:
    assert "PNG, 5 x 3" == str(examine(interlaced(5, 3)))
    assert "PNG, 1 x 1" == str(examine(interlaced(1, 1)))


def interlaced(width: int, height: int) -> bytes:
    """A grey PNG in Adam7's seven passes, which Pillow reads but does not write."""
    rows = b""
    for x, y, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        columns = len(range(x, width, across))
        rows += (b"\0" + b"\x7f" * columns) * len(range(y, height, down)) if columns else b""

    header = pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    Pillow.open(BytesIO(data)).load()
    return data


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_off_picture_is_broken(name: str, share: float) -> None:
    data = PICTURES[name]
    with pytest.raises(Broken):
        examine(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", [name for name in PICTURES if name.startswith("PNG")])
def test_a_changed_byte_in_a_png_is_seen(name: str) -> None:
    data = PICTURES[name]
    for at in range(8, len(data), 7):
        with pytest.raises(Broken):
            examine(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image is empty (0 bytes)"),
        (b"\n<!DOCTYPE html><html>", "this is a web page (HTML), not a picture"),
        (b"<HTML><head>", "this is a web page (HTML), not a picture"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "this is XML, not a picture"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "this is an SVG drawing, which is not checked"),
        (b'{"error": "expired"}', "this is JSON, not a picture"),
        (b"a cat", "this is no picture in a known format (PNG, JPEG, GIF, WebP, BMP)"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "this is no picture in a known format (PNG, JPEG, GIF, WebP, BMP)"),
        (PICTURES["PNG"][:40], "the image is cut off: PNG, 40 bytes"),
        (PICTURES["JPEG"][:-2], f"the image is cut off: JPEG, {len(PICTURES['JPEG']) - 2} bytes"),
        (PICTURES["GIF"][:-1], f"the image is cut off: GIF, {len(PICTURES['GIF']) - 1} bytes"),
        (PICTURES["WebP"][:-9], f"the image is cut off: WebP, {len(PICTURES['WebP']) - 9} bytes"),
        (PICTURES["BMP"][:-1], f"the image is cut off: BMP, {len(PICTURES['BMP']) - 1} bytes"),
        (PICTURES["PNG"][:60] + b"?" + PICTURES["PNG"][61:], "the image is damaged: PNG"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, message: str) -> None:
    with pytest.raises(Broken) as caught:
        examine(data)
    assert message == str(caught.value)


def test_a_png_that_unpacks_to_more_than_it_claims_is_stopped() -> None:
    for size, message in (
        ((4, 4), "the image is damaged: PNG"),
        ((2**31 - 1, 2**31 - 1), "the image claims to be larger than can be checked: 2147483647 x 2147483647"),
        ((0, 0), "the image is damaged: PNG"),
    ):
        with pytest.raises(Broken) as caught:
            examine(grey_png(*size, bytes(50_000_000)))
        assert message == str(caught.value)


def test_a_png_with_fewer_rows_than_it_claims_is_damaged() -> None:
    assert "PNG, 4 x 2" == str(examine(grey_png(4, 2, bytes(10))))
    for rows in (b"", bytes(5), bytes(9), bytes(11)):
        with pytest.raises(Broken, match="the image is damaged: PNG"):
            examine(grey_png(4, 2, rows))


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_png_whose_rows_are_stored_in_no_known_way_is_damaged(interlace: int) -> None:
    header = chunk(b"IHDR", pack(">IIBBBBB", 3000, 500, 8, 0, 0, 0, interlace))
    rows = b"".join((b"\4" + bytes(across)) * count for across, count in passes(3000, 500, interlace))

    def stored(body: bytes) -> bytes:
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")

    assert "PNG, 3000 x 500" == str(examine(stored(rows)))
    last = len(rows) - 3001
    for at in (0, last):
        with pytest.raises(Broken, match="the image is damaged: PNG"):
            examine(stored(rows[:at] + b"\5" + rows[at + 1 :]))


def test_a_png_of_palette_colours_without_a_palette_is_damaged() -> None:
    header = chunk(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(2))) + chunk(b"IEND", b"")
    assert "PNG, 1 x 1" == str(examine(b"\x89PNG\r\n\x1a\n" + header + chunk(b"PLTE", bytes(3)) + data))
    with pytest.raises(Broken, match="the image is damaged: PNG"):
        examine(b"\x89PNG\r\n\x1a\n" + header + data)


@settings(max_examples=300)
@given(st.sampled_from(sorted(PICTURES)), st.data())
def test_damaged_bytes_never_raise_anything_else(name: str, data: st.DataObject) -> None:
    picture = bytearray(PICTURES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        examine(bytes(picture[: data.draw(st.integers(0, len(picture)))]))
    except Broken as error:
        assert str(error)


@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b""]), st.binary())
def test_any_bytes_are_a_picture_or_broken(start: bytes, rest: bytes) -> None:
    try:
        examine(start + rest)
    except Broken as error:
        assert str(error)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((), ("failed", "no image came back", "a picture", "(no image)")),
        ((Image("https://pics.example/1.png", PICTURES["PNG"]),), ("passed", "", "a picture", "PNG, 31 x 17")),
        (
            (Image("https://pics.example/1.png", None, "404 Not Found"),),
            ("failed", "the image could not be fetched: 404 Not Found", "a picture", "https://pics.example/1.png"),
        ),
        (
            (Image("https://pics.example/1.png"),),
            ("failed", "the image could not be fetched: no reason was given", "a picture", "https://pics.example/1.png"),
        ),
        (
            (Image("https://pics.example/1.png", b"<html>"),),
            ("failed", "this is a web page (HTML), not a picture", "a picture", "https://pics.example/1.png"),
        ),
        (
            (Image("a", b"<html>"), Image("b", b"")),
            (
                "failed",
                "none of 2 images is a whole picture; the first: this is a web page (HTML), not a picture",
                "a picture",
                "a",
            ),
        ),
        ((Image("a", b"<html>"), Image("b", PICTURES["GIF"])), ("passed", "", "a picture", "GIF, 31 x 17")),
    ],
)
def test_image(images: tuple[Image, ...], expected: tuple[str, ...]) -> None:
    assert expected == told(make("image").evaluate(Turn(images=images)))
    assert expected == told(make("image", True).evaluate(Turn(images=images)))
