"""What a picture must be, from the line in a flow to the verdict; Pillow makes the pictures, and is the second opinion."""

import re
import sys
import zlib
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from runner.checks.blank import flat_png
from runner.checks.image import HasImage, aspect
from runner.checks.likeness import Golden, Unusable, fingerprint, flat, opened
from runner.checks.pictures import CHANNELS, DEPTHS, examine, passes
from runner.embedded.picture import draw
from runner.load import examine as read_flow
from runner.model import Expectation, Image, Turn, Verdict
from runner.registry import checks

FLOW = """\
assistant: {model: qwen-max, tools: [text_to_image]}
steps:
  - user: Draw a cat.
    expect:
"""
FIRST = FLOW.count("\n") + 1
NEEDED = "`{key}` needs Pillow here; install it: pip install 'runflow-assistants[images]'"


def written(picture: Pillow.Image, format: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def scene(size: tuple[int, int] = (640, 360)) -> Pillow.Image:
    """Something to be recognised: a bright disc at the right of a dark slope."""
    slope = Pillow.linear_gradient("L").resize(size)
    disc = Pillow.radial_gradient("L").resize((size[1] // 2, size[1] // 2))
    slope.paste(ImageOps.invert(disc), (size[0] // 2, size[1] // 5))
    return slope.convert("RGB")


GOLDEN = written(scene())
CAT = draw("a ragdoll cat")
DOG = draw("a dog in the rain")
WHITE = written(Pillow.new("RGB", (64, 64), "white"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "golden.png").write_bytes(GOLDEN)
    return tmp_path


def expectation(folder: Path, lines: str) -> Expectation:
    path = folder / "flow.yaml"
    path.write_text(FLOW + "".join(f"      {line}\n" for line in lines.splitlines()), encoding="utf-8")
    examined = read_flow(path)
    assert [] == [found.message for found in examined.diagnostics]
    assert examined.flow is not None
    return examined.flow.steps[0].expect[0]


def judged(folder: Path, lines: str, *pictures: bytes) -> Verdict:
    images = tuple(Image(f"https://pics.example/{number}.png", data) for number, data in enumerate(pictures, 1))
    return expectation(folder, lines).check.evaluate(Turn(images=images, folder=folder))


def told(verdict: Verdict) -> tuple[str, str, str, str]:
    return str(verdict.outcome), verdict.message, verdict.expected, verdict.actual


# ── size, proportion, format ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("- image: {width: 640, height: 360}", ""),
        ("- image: {width: at least 640, height: between 100 and 360}", ""),
        ("- image: {width: at least 1024}", "width 640, not at least 1024"),
        ("- image: {height: under 360}", "height 360, not under 360"),
        ("- image: {height: 361}", "height 360, not 361"),
        ("- image: {aspect: 16:9}", ""),
        ("- image: {aspect: '16 : 9'}", ""),
        ("- image: {aspect: 1.76}", ""),
        ("- image: {aspect: 1:1}", "aspect 1.78, not 1:1"),
        ("- image: {aspect: 9:16}", "aspect 1.78, not 9:16"),
        ("- image: {aspect: 1.5}", "aspect 1.78, not 1.5"),
        ("- image: {format: png}", ""),
        ("- image: {format: webp}", "format png, not webp"),
        ("- image: {not_blank: true}", ""),
        ("- image: {width: 1, format: gif}", "width 640, not 1; format png, not gif"),
        ("- not: {image: {width: 1024}}", ""),
        ("- not: {image: {width: 640}}", "`image` passes, which `not` forbids"),
    ],
)
def test_what_the_bytes_tell_of_a_picture(folder: Path, line: str, message: str) -> None:
    verdict = judged(folder, line, GOLDEN)
    assert ("failed" if message else "passed", message) == (str(verdict.outcome), verdict.message)


def test_a_verdict_says_what_was_wanted_and_what_came(folder: Path) -> None:
    lines = "- image: {width: at least 512, height: at most 512, aspect: 1:1, format: png, not_blank: true, like: golden.png}"
    expected = "a picture, width at least 512, height at most 512, aspect 1:1, format png, not_blank, like golden.png"
    distance = Golden(folder, "golden.png").distance(opened(CAT, examine(CAT)))
    assert 30 < distance < 60
    assert (
        "failed",
        f"distance {distance} from `golden.png`, more than 8",
        expected,
        f"PNG, 512 x 512, distance {distance} from golden.png",
    ) == told(judged(folder, lines, CAT))
    assert ("failed", "no image came back", "a picture, format gif", "(no image)") == told(
        judged(folder, "- image: {format: gif}")
    )


@pytest.mark.parametrize(
    ("lines", "line", "column", "end"),
    [
        ("- image: {format: png, width: 3, height: 360}", 0, 37, 38),
        ("- image:\n    height: 360\n    format: png\n    aspect: 1:1\n    width: at least 3", 3, 19, 22),
        ("- image:\n    like:\n      distance: 0\n      file: golden.png\n    width: 640", 2, 13, 29),
    ],
)
def test_a_failed_condition_is_underlined(folder: Path, lines: str, line: int, column: int, end: int) -> None:
    each = expectation(folder, lines)
    place = each.place(each.check.evaluate(Turn(images=(Image("a", GOLDEN), Image("b", CAT[:90])), folder=folder)))
    if "distance" in lines:
        place = each.place(each.check.evaluate(Turn(images=(Image("a", written(scene((640, 362)).rotate(3))),), folder=folder)))
    assert (FIRST + line, column, end) == (place.line, place.column, place.end_column)


@pytest.mark.parametrize(
    ("size", "wanted", "holds"),
    [
        ((1664, 928), "16:9", True),
        ((1344, 768), "16:9", True),
        ((1280, 800), "16:9", False),
        ((1472, 1104), "4:3", True),
        ((1280, 1024), "4:3", False),
        ((100, 99), "1:1", True),
        ((100, 102), "1:1", True),
        ((100, 97), "1:1", False),
        ((97, 100), "1:1", False),
    ],
)
def test_a_proportion_is_met_within_two_percent(size: tuple[int, int], wanted: str, holds: bool) -> None:
    assert holds is aspect(wanted).holds(size[0] / size[1])


def test_a_very_long_picture_has_its_proportion_told_in_pixels(folder: Path) -> None:
    line = written(Pillow.new("L", (2000, 3)))
    assert "aspect 2000:3, not 1:1" == judged(folder, "- image: {aspect: 1:1}", line).message


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_each_format_is_known_by_its_bytes(folder: Path, format: str) -> None:
    data = written(scene(), format)
    for name in ("png", "jpeg", "gif", "webp", "bmp"):
        passed = str(judged(folder, f"- image: {{format: {name}}}", data).outcome) == "passed"
        assert passed is (name == format.lower())


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_as_large_as_it_is_shown(format: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x010F], exif[0x0112] = "A maker of cameras", orientation
    data = written(scene((64, 36)), format, exif=exif)
    shown = ImageOps.exif_transpose(Pillow.open(BytesIO(data)))
    picture = examine(data)
    assert shown.size == (picture.width, picture.height)
    assert shown.convert("RGBA").tobytes() == opened(data, picture).tobytes()


def test_of_two_exif_blocks_in_a_jpeg_the_first_counts() -> None:
    data = written(scene((64, 36)), "JPEG")
    blocks = b""
    for orientation in (6, 1):
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
        blocks += b"\xff\xe1" + pack(">H", len(exif) + 2) + exif
    assert "JPEG, 36 x 64" == str(examine(data[:2] + blocks + data[2:]))


@given(st.binary(max_size=80), st.sampled_from([b"Exif\0\0", b""]), st.sampled_from([b"MM\0*", b"II*\0", b""]))
def test_any_exif_is_read_or_left_alone(rest: bytes, start: bytes, order: bytes) -> None:
    chunk = named(b"eXIf", start + order + rest)
    assert (36, 36) <= tuple(sorted((examine(CAT[:33] + chunk + CAT[33:]).width, 36)))


# ── several pictures ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_picture_must_meet_all_conditions(folder: Path) -> None:
    wide, tall = written(scene((640, 360)), "JPEG"), written(scene((360, 640)))
    line = "- image: {width: 640, format: png}"
    verdict = judged(folder, line, wide, tall)
    assert (
        "failed",
        "none of 2 images meets all conditions; the nearest is number 1: format jpeg, not png",
        "a picture, width 640, format png",
        "JPEG, 640 x 360",
    ) == told(verdict)
    assert 1 == verdict.part
    assert "passed" == str(judged(folder, line, wide, tall, GOLDEN).outcome)


def test_the_nearest_picture_is_the_one_that_meets_most(folder: Path) -> None:
    line = "- image: {width: 640, height: 360, like: golden.png}"
    pictures = (b"<html>", DOG, written(scene((640, 400))), CAT)
    assert "none of 4 images meets all conditions; the nearest is number 3: height 400, not 360" == (
        judged(folder, line, *pictures).message
    )


def test_of_pictures_equally_wrong_the_most_alike_is_the_nearest(folder: Path) -> None:
    mirrored = written(ImageOps.mirror(scene()))
    verdict = judged(folder, "- image: {like: {file: golden.png, distance: 0}}", DOG, written(scene().rotate(4)), mirrored)
    assert verdict.message.startswith("none of 3 images meets all conditions; the nearest is number 2: distance ")


def test_a_broken_picture_is_never_the_nearest(folder: Path) -> None:
    verdict = judged(folder, "- image: {width: 1, height: 1}", b"<html>", GOLDEN)
    assert (
        "none of 2 images meets all conditions; the nearest is number 2: width 640, not 1; height 360, not 1" == verdict.message
    )


def test_broken_pictures_are_named_as_without_conditions(folder: Path) -> None:
    assert (
        "failed",
        "none of 2 images is a whole picture; the first: this is a web page (HTML), not a picture",
        "a picture, width 640",
        "https://pics.example/1.png",
    ) == told(judged(folder, "- image: {width: 640}", b"<html>", b""))
    turn = Turn(images=(Image("https://pics.example/1.png", None, "404 Not Found"),), folder=folder)
    verdict = expectation(folder, "- image: {like: golden.png}").check.evaluate(turn)
    assert ("failed", "the image could not be fetched: 404 Not Found") == told(verdict)[:2]


# ── one flat colour ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("colour", ["white", "black", (250, 3, 120), (17, 200, 31)])
def test_one_flat_colour_is_blank_in_every_format(folder: Path, format: str, colour: Any) -> None:
    verdict = judged(folder, "- image: {not_blank: true}", written(Pillow.new("RGB", (300, 200), colour), format))
    assert ("failed", "the picture is one flat colour", 0) == (str(verdict.outcome), verdict.message, verdict.part)
    spot = Pillow.new("RGB", (300, 200), colour)
    spot.paste((128, 128, 128), (280, 180, 299, 199))
    assert "passed" == str(judged(folder, "- image: {not_blank: true}", written(spot, format)).outcome)


def test_colours_that_nobody_sees_do_not_count(folder: Path) -> None:
    for format in ("PNG", "WEBP"):
        hidden = scene((64, 36))
        hidden.putalpha(0)
        data = written(hidden, format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
        assert "the picture is one flat colour" == judged(folder, "- image: {not_blank: true}", data).message
        hidden.putpixel((60, 30), (9, 9, 9, 255))
        data = written(hidden, format, **({"lossless": True} if format == "WEBP" else {}))
        assert "passed" == str(judged(folder, "- image: {not_blank: true}", data).outcome)


def named(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, interlace: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = named(b"IHDR", pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + extra + named(b"IDAT", zlib.compress(rows)) + named(b"IEND", b"")


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """PNGs of every kind of pixel, each row under a filter of its own, most of them nearly flat."""
    colour = draw(st.sampled_from(sorted(CHANNELS)))
    depth = draw(st.sampled_from(DEPTHS[colour]))
    width, height, interlace = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 1))
    kinds = [[0], [0], [0, 0, 0, 0, 255], [0, 5], [0, 0, 0, 9], [*range(256)]]
    rows = b""
    for across, down in passes(width, height, interlace):
        size = -(-across * depth * CHANNELS[colour] // 8)
        for _row in range(down):
            some = draw(st.sampled_from(kinds))
            rows += bytes([draw(st.integers(0, 4)), *draw(st.lists(st.sampled_from(some), min_size=size, max_size=size))])
    extra = b""
    values = st.sampled_from([0, 3, 128, 255])
    if colour == 3:
        extra += named(b"PLTE", bytes(draw(st.lists(values, min_size=3 << depth, max_size=3 << depth))))
        extra += named(b"tRNS", bytes(draw(st.lists(values, min_size=1, max_size=1 << depth))))
    elif colour in (0, 2) and draw(st.booleans()):
        most = (1 << depth) - 1
        extra += named(b"tRNS", b"".join(pack(">H", draw(st.sampled_from([0, most]))) for _channel in range(CHANNELS[colour])))
    return png(width, height, depth, colour, interlace, rows, extra)


@settings(max_examples=400)
@given(pngs())
def test_the_bytes_of_a_png_tell_the_same_as_pillow(data: bytes) -> None:
    assert flat(opened(data, examine(data))) is flat_png(data, 60)


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        ((9, 1, 1, 0, 1), b"\0\xc0\0\x80\0\x80\0\xf0", False),  # the same byte is one pixel in a pass, and two in the next
        ((3, 2, 8, 0, 0), b"\0\x20\x20\x20" + b"\3\0\0\0", False),  # less the mean of a grey above is half of it
        ((3, 1, 8, 0, 0), b"\0\5\0\5", False),  # greys alike, of which one is transparent
    ],
)
def test_a_second_colour_is_found_where_it_hides(kind: tuple[int, ...], rows: bytes, expected: bool) -> None:
    width, height, depth, colour, interlace = kind
    clear = named(b"tRNS", b"\0\5") if rows.startswith(b"\0\5") else b""
    data = png(width, height, depth, colour, interlace, rows, clear)
    assert expected is flat_png(data, 60) is flat(opened(data, examine(data)))


def test_a_png_of_an_unknown_filter_is_damaged(folder: Path) -> None:
    data = png(2, 2, 8, 0, 0, b"\0\1\2" + b"\7\1\2")
    assert "failed" == str(judged(folder, "- image", data).outcome)
    assert "the image is damaged: PNG" == judged(folder, "- image: {not_blank: true}", data).message


def test_a_row_too_wide_to_be_judged_in_time_is_left_to_pillow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(Pillow.new("RGB", (400_000, 1)))
    assert "the picture is one flat colour" == judged(folder, "- image: {not_blank: true}", data).message
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert ("error", NEEDED.format(key="not_blank")) == told(judged(folder, "- image: {not_blank: true}", data))[:2]


# ── like another picture ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "picture",
    [
        GOLDEN,
        written(scene(), "JPEG", quality=30),
        written(scene(), "WEBP", quality=30),
        written(scene().convert("P"), "GIF"),
        written(scene(), "BMP"),
        written(scene().resize((160, 90))),
        written(scene().resize((300, 300))),
        written(scene().convert("CMYK"), "JPEG"),
        written(scene().convert("L").convert("I").point(lambda value: value * 257).convert("I;16")),
        written(scene().quantize(16)),
        written(scene(), save_all=True, append_images=[Pillow.new("RGB", (640, 360))]),
        written(scene(), "GIF", save_all=True, append_images=[Pillow.new("RGB", (640, 360))]),
        written(scene(), "WEBP", save_all=True, append_images=[Pillow.new("RGB", (640, 360))]),
    ],
    ids=[
        "same",
        "jpeg",
        "webp",
        "gif",
        "bmp",
        "small",
        "square",
        "cmyk",
        "16bit",
        "palette",
        "apng",
        "moving gif",
        "moving webp",
    ],
)
def test_a_picture_stays_alike_however_it_is_stored(folder: Path, picture: bytes) -> None:
    verdict = judged(folder, "- image: {like: {file: golden.png, distance: 5}}", picture)
    assert ("passed", "") == told(verdict)[:2]
    assert re.search(r", distance [0-5] from golden.png$", verdict.actual)


def test_another_picture_is_told_apart(folder: Path) -> None:
    for other in (CAT, DOG, WHITE, written(ImageOps.mirror(scene())), written(scene().rotate(180))):
        verdict = judged(folder, "- image: {like: golden.png}", other)
        assert "failed" == str(verdict.outcome)
        assert verdict.message.startswith("distance ")
        assert verdict.message.endswith(" from `golden.png`, more than 8")


def test_what_is_transparent_is_seen_on_white() -> None:
    clear = Pillow.new("RGBA", (90, 80), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (50, 0, 90, 80))
    white = Pillow.new("RGB", (90, 80), "white")
    white.paste((0, 0, 0), (50, 0, 90, 80))
    prints = {fingerprint(picture.convert("RGBA")) for picture in (clear, white)}
    assert 1 == len(prints)


def test_an_even_area_stays_even_under_a_little_noise(folder: Path) -> None:
    poster = Pillow.new("L", (160, 160), 128)
    poster.paste(20, (40, 40, 90, 120))
    (folder / "poster.png").write_bytes(written(poster))
    noisy = poster.copy()
    for place in range(160 * 160):
        at = place % 160, place // 160
        noisy.putpixel(at, int(poster.getpixel(at)) + (at[0] // 20 + at[1] // 20) % 2)  # type: ignore[arg-type]
    verdict = judged(folder, "- image: {like: {file: poster.png, distance: 3}}", written(noisy))
    assert "passed" == str(verdict.outcome)


def test_the_most_that_may_differ_is_the_authors_to_say(folder: Path) -> None:
    turned = written(scene().rotate(4))
    distance = Golden(folder, "golden.png").distance(opened(turned, examine(turned)))
    assert 0 < distance <= 30
    for most, outcome in ((distance, "passed"), (distance - 1, "failed")):
        line = f"- image: {{like: {{file: golden.png, distance: {most}}}}}"
        assert outcome == str(judged(folder, line, turned).outcome)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "`missing.png`: there is no such file"),
        ("sub", "`sub`: this is a folder, not a file"),
        ("flow.yaml", "`flow.yaml`: this is no picture in a known format (PNG, JPEG, GIF, WebP, BMP)"),
        ("cut.png", f"`cut.png`: the image is cut off: PNG, {len(GOLDEN) // 2} bytes"),
        ("white.png", "`white.png` is one flat colour, which nothing can be compared with"),
        ("big.png", "`big.png`: the file is larger than 16384 KiB"),
        ("../golden.png", "`../golden.png`: it lies outside the flow's folder"),
        ("out.png", "`out.png`: it lies outside the flow's folder"),
        ("a\0b", "`a\0b` is no path"),
    ],
)
def test_a_file_that_nothing_can_be_compared_with_is_an_error(tmp_path: Path, name: str, reason: str) -> None:
    flows = tmp_path / "flows"
    (flows / "sub").mkdir(parents=True)
    (tmp_path / "golden.png").write_bytes(GOLDEN)
    (flows / "flow.yaml").write_text("a: b\n")
    (flows / "cut.png").write_bytes(GOLDEN[: len(GOLDEN) // 2])
    (flows / "white.png").write_bytes(WHITE)
    with (flows / "big.png").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    (flows / "out.png").symlink_to(tmp_path / "golden.png")
    with pytest.raises(Unusable) as caught:
        Golden(flows, name)
    assert reason == str(caught.value)


def test_a_file_that_went_away_is_an_error_and_not_a_failure(folder: Path) -> None:
    each = expectation(folder, "- image:\n    width: 640\n    like: golden.png")
    (folder / "golden.png").unlink()
    turn = Turn(images=(Image("a", GOLDEN),), folder=folder)
    verdict = each.check.evaluate(turn)
    assert ("error", "`golden.png`: there is no such file", "a picture, width 640, like golden.png", "") == told(verdict)
    assert FIRST + 2 == each.place(verdict).line
    inverse = checks["not"]((each,))  # type: ignore[call-arg]
    assert "error" == str(inverse.evaluate(turn).outcome)


def test_links_within_the_folder_are_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "golden.png")
    assert "passed" == str(judged(folder, "- image: {like: link.png}", GOLDEN).outcome)


def test_the_files_a_check_needs_are_named(folder: Path) -> None:
    for line, files in (
        ("- image", ()),
        ("- image: {width: 640}", ()),
        ("- image: {like: golden.png}", ("golden.png",)),
        ("- image: {like: {file: golden.png, distance: 4}}", ("golden.png",)),
    ):
        check = expectation(folder, line).check
        assert isinstance(check, HasImage)
        assert files == check.files()


# ── without Pillow ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "format", "outcome", "message"),
    [
        ("- image", "WEBP", "passed", ""),
        ("- image: {width: 640, height: 360, aspect: 16:9, format: webp}", "WEBP", "passed", ""),
        ("- image: {not_blank: true}", "PNG", "passed", ""),
        ("- image: {not_blank: true}", "JPEG", "error", NEEDED.format(key="not_blank")),
        ("- not: {image: {not_blank: true}}", "JPEG", "error", f"`image`: {NEEDED.format(key='not_blank')}"),
        ("- image: {like: golden.png}", "PNG", "error", NEEDED.format(key="like")),
        ("- image: {width: 3, like: golden.png}", "PNG", "error", NEEDED.format(key="like")),
    ],
)
def test_without_pillow_what_the_bytes_tell_still_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, format: str, outcome: str, message: str
) -> None:
    data = written(scene(), format)
    monkeypatch.setitem(sys.modules, "PIL", None)
    verdict = judged(folder, line, data)
    assert (outcome, message) == (str(verdict.outcome), verdict.message)


# ── hostile pictures ─────────────────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = "- image: {width: at least 2, aspect: 1:1, not_blank: true, like: {file: golden.png, distance: 30}}"


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_a_picture_with_too_many_pixels_is_an_error(folder: Path, format: str) -> None:
    data = bytearray(written(Pillow.new("L", (8, 8)), format))
    huge = 16_000 if format == "WEBP" else 65_535
    if format == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = pack(">HH", huge, huge)
    elif format == "GIF":
        data[6:10] = pack("<HH", huge, huge)
    elif format == "WEBP":
        at = data.index(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = pack("<HH", huge, huge)
    elif format == "BMP":
        data = bytearray(written(Pillow.new("1", (8000, 8000)), "BMP"))
        huge = 8000
    else:
        data = bytearray(written(Pillow.new("1", (8000, 8000))))
        huge = 8000
    name = "WebP" if format == "WEBP" else format
    verdict = judged(folder, "- image: {like: golden.png}", bytes(data))
    assert ("error", f"the image is too large to be looked into: {name}, {huge} x {huge}") == told(verdict)[:2]
    assert 0 == verdict.part


@pytest.mark.parametrize("side", [8_000, 60_000])
def test_a_picture_larger_than_it_says_is_an_error(folder: Path, side: int) -> None:
    data = bytearray(written(Pillow.new("P", (40, 40), 3), "GIF"))
    at = data.rindex(b",\0\0\0\0") + 5
    data[at : at + 4] = pack("<HH", side, side)
    verdict = judged(folder, "- image: {like: golden.png}", bytes(data))
    assert ("error", "the image is too large to be looked into: GIF, 40 x 40") == told(verdict)[:2]


def test_what_pillow_warns_of_is_kept_quiet(folder: Path) -> None:
    data = written(scene(), "JPEG")
    at = data.index(b"\xff\xe0")
    bare = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x1a\0\x05\0\0\0\x01\0\0\xff\xff"  # its resolution lies beyond its end
    data = bare[:2] + b"\xff\xe1" + pack(">H", len(exif) + 2) + exif + bare[2:]
    with pytest.warns(UserWarning, match="Truncated File Read"):
        Pillow.open(BytesIO(data))
    assert "passed" == str(judged(folder, "- image: {like: golden.png}", data).outcome)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_cut_off_picture_meets_no_condition(folder: Path, format: str) -> None:
    data = written(scene(), format)
    for size in (len(data) // 3, len(data) * 9 // 10):
        verdict = judged(folder, "- image: {like: golden.png}", data[:size])
        assert "failed" == str(verdict.outcome)
        assert verdict.message.startswith(("the image is cut off", "the image is damaged"))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP"]), st.data())
def test_damaged_pictures_get_a_verdict_and_never_an_exception(
    tmp_path_factory: pytest.TempPathFactory, format: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if not (folder / "golden.png").exists():
        (folder / "golden.png").write_bytes(GOLDEN)
    picture = bytearray(written(scene((40, 40)), format))
    for _ in range(data.draw(st.integers(1, 5))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    verdict = judged(folder, EVERYTHING, bytes(picture))
    assert str(verdict.outcome) in ("passed", "failed", "error")
    assert verdict.message or str(verdict.outcome) == "passed"


def test_a_whole_file_of_garbage_pixels_is_damaged_where_pixels_are_looked_at(folder: Path) -> None:
    data = bytearray(written(scene(), "WEBP"))
    data[60:-60] = bytes(len(data) - 120)
    verdict = judged(folder, "- image: {like: golden.png}", bytes(data))
    assert "failed" == str(verdict.outcome)


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (
            "{width: between 80 and 20}",
            (
                "impossible",
                "no picture has a `width` that is `between 80 and 20`, so no reply passes",
                "write `between 20 and 80`",
            ),
        ),
        ("{height: under 1}", ("impossible", "no picture has a `height` that is `under 1`, so no reply passes", None)),
        ("{height: 0}", ("impossible", "no picture has a `height` that is `0`, so no reply passes", None)),
        (
            "{width: at least 1, format: png}",
            ("never-fails", "every picture has a `width` that is `at least 1`", "delete it; `image` alone asks for a picture"),
        ),
        (
            "{width: over 0}",
            ("never-fails", "every picture has a `width` that is `over 0`", "delete it; `image` alone asks for a picture"),
        ),
        (
            "{width: 512, height: 512, aspect: 16:9}",
            (
                "impossible",
                "no picture of this `width` and `height` has the `aspect` `16:9`, so no reply passes",
                "delete one of the three",
            ),
        ),
        (
            "{width: at most 512, height: at least 1024, aspect: 1}",
            (
                "impossible",
                "no picture of this `width` and `height` has the `aspect` `1`, so no reply passes",
                "delete one of the three",
            ),
        ),
        ("{width: 1024, height: 576, aspect: 16:9}", None),
        ("{width: 1664, height: 928, aspect: 16:9}", None),
        ("{width: at most 512, aspect: 16:9}", None),
        ("{height: at least 512, aspect: 16:9}", None),
        ("{width: over 1}", None),
        ("{}", None),
    ],
)
def test_conditions_that_no_picture_meets_are_refused(tmp_path: Path, value: str, found: tuple[str, str, str | None]) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(f"{FLOW}      - image: {value}\n", encoding="utf-8")
    diagnostics = [(each.code, each.message, each.hint) for each in read_flow(path).diagnostics]
    assert ([found] if found else []) == diagnostics


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("{format: jpg}", "`jpg` is not understood here", "did you mean `jpeg`?"),
        ("{widht: 3}", "unknown key `widht` in `image`", "did you mean `width`?"),
        (
            "{aspect: 16x9}",
            "`16x9`: not the proportion of two sides; write it like `16:9`, `1:1` or `1.5`",
            "for example: aspect: 16:9",
        ),
        (
            "{aspect: 16:0}",
            "`16:0`: not the proportion of two sides; write it like `16:9`, `1:1` or `1.5`",
            "for example: aspect: 16:9",
        ),
        ("{not_blank: false}", "`not_blank` cannot be `false`", "write `true`, or delete the key"),
        ("{like: {file: a.png, distance: 31}}", "`distance` is too large", "write a number from 0 to 30"),
        ("{aspect:16:9}", "a space is missing after `aspect:`", "write: - image: {aspect: 16:9}"),
    ],
)
def test_a_misspelt_condition_has_its_sentence(tmp_path: Path, value: str, message: str, hint: str) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(f"{FLOW}      - image: {value}\n", encoding="utf-8")
    (found,) = read_flow(path).diagnostics
    assert (message, hint) == (found.message, found.hint)
