"""The placeholder is a real picture: any decoder reads it, and the whole prompt is in it."""

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runner.embedded.picture import CARD, GLYPHS, INK, SIZE, draw, latin


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize(
    "prompt", ["a ragdoll cat", "布偶猫 in 東京", "Zoë’s café: a “study” – 50% grey", "x" * 5000, "", "\0"]
)
def test_the_prompt_is_kept_whole(prompt: str) -> None:
    image = opened(draw(prompt))
    assert ("PNG", (SIZE, SIZE)) == (image.format, image.size)
    assert prompt.replace("\0", " ") == image.text["Description"]  # type: ignore[attr-defined]


def test_a_picture_is_small_and_the_same_for_the_same_prompt() -> None:
    assert draw("a cat") == draw("a cat") != draw("a dog")
    assert len(draw("a cat")) < 10_000


def test_the_words_are_drawn_in_ink_on_the_card() -> None:
    wide, narrow = (opened(draw(prompt)).histogram()[INK] for prompt in ("WWWW", "iiii"))
    assert wide > narrow > 1000
    assert opened(draw("a cat")).histogram()[CARD] > 50_000


@pytest.mark.parametrize(
    ("prompt", "drawn"),
    [
        ("a ragdoll cat", "a ragdoll cat"),
        ("布偶猫", ""),
        ("a 猫 named Zoë", "a named Zoe"),
        ("café “Süd” – it’s", 'cafe "Sud" it\'s'),
        ("Ｆｕｌｌ width", "Full width"),
        ("gulls & boats", "gulls & boats"),
    ],
)
def test_the_latin_part_is_what_the_font_can_write(prompt: str, drawn: str) -> None:
    assert drawn == latin(prompt)


def test_letters_are_five_dots_wide_and_differ() -> None:
    assert all(row < 32 for rows in GLYPHS.values() for row in rows)
    assert len(GLYPHS) == len(set(GLYPHS.values()))


@settings(max_examples=40)
@given(st.text(max_size=300))
def test_any_prompt_can_be_drawn(prompt: str) -> None:
    data = draw(prompt)
    start = data.index(b"IDAT") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big")
    assert SIZE * (SIZE + 1) == len(zlib.decompress(data[start : start + size]))
