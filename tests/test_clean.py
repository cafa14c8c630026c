"""What others wrote can be shown: no control character survives, and no secret in any of its encodings."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clean import Redactor, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a cat", "a cat"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("a\x00b\x7fc\x9bd", "a\\u0000b\\u007fc\\u009bd"),
        ("one\ttwo\nthree", "one\ttwo\nthree"),
        ("one\r\ntwo", "one\ntwo"),
        ("shown\rhidden", "shown\\u000dhidden"),
        ("gnp.\u202egpj.cat", "gnp.\\u202egpj.cat"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("re\u200bfund\ufeff", "re\\u200bfund\\ufeff"),
        ("\ud83d", "\\ud83d"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("👩\u200d🎨", "👩\u200d🎨"),
        ("猫が好きです", "猫が好きです"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_control_and_invisible_characters_are_spelled_out(text: str, shown: str) -> None:
    assert shown == visible(text)


@given(st.text(st.characters()))
def test_visible_text_can_be_encoded_and_moves_no_cursor(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert set() == {char for char in shown if ord(char) < 32 or 0x7F <= ord(char) < 0xA0} - {"\n", "\t"}
    assert shown == visible(shown)


@pytest.mark.parametrize(
    ("text", "width", "line"),
    [
        ("a  cat\nand\ta dog", 80, "a cat and a dog"),
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("猫猫猫猫", 8, "猫猫猫猫"),
        ("猫猫猫猫", 7, "猫猫猫…"),
        ("猫猫猫猫", 6, "猫猫…"),
        ("e\u0301" * 4, 4, "e\u0301" * 4),
        ("x" * 5000, 4, "xxx…"),
        (" " * 5000 + "x", 4, "…"),
        ("", 4, ""),
    ],
)
def test_one_line_is_as_wide_as_asked(text: str, width: int, line: str) -> None:
    assert line == one_line(text, width)


SECRET = "k3y/+\"<&'=日 Zq9"
DATA = SECRET.encode()
ENCODED = {
    "as is": SECRET,
    "percent": quote(SECRET, safe=""),
    "percent, lower case": re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
    "form": quote_plus(SECRET),
    "percent, every byte": "".join(f"%{byte:02X}" for byte in DATA),
    "hexadecimal": DATA.hex(),
    "hexadecimal, upper case": DATA.hex().upper(),
    "JSON": json.dumps({"key": SECRET}, ensure_ascii=False),
    "JSON in ASCII": json.dumps({"key": SECRET}),
    "HTML": html.escape(SECRET),
    "HTML text": html.escape(SECRET, quote=False),
    "reversed": SECRET[::-1],
    "lower case": SECRET.lower(),
    "upper case": SECRET.upper(),
    "JSON in JSON": json.dumps(json.dumps(SECRET)),
    **{f"base64 after {n} bytes": b64encode(b"u:pass"[:n] + DATA + b"tail").decode() for n in range(4)},
    **{f"base64 for URLs after {n} bytes": urlsafe_b64encode(b"u:pass"[:n] + DATA).decode() for n in range(4)},
}


@pytest.mark.parametrize("form", ENCODED.values(), ids=ENCODED.keys())
def test_a_secret_is_masked_in_every_encoding(form: str) -> None:
    redacted = Redactor([SECRET]).redact(f"before {form} after")
    assert "***" in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    # What remains of an encoding that begins or ends within other text is less than one byte of the secret at either end.
    assert len(redacted) <= len('before {"key": "***"} after') + 8


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("key sk-0123456789abcdef.", "key sk-***."),
        ("Authorization: Bearer abc.def-123==", "Authorization: Bearer ***"),
        ("authorization: baſic dXNlcjpwYXNzd29yZA==", "authorization: baſic ***"),
        ("authorization: BASIC dXNlcjpwYXNzd29yZA==", "authorization: BASIC ***"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic ***"),
        ("a task-oriented, risk-averse bearer of bad news", "a task-oriented, risk-averse bearer of bad news"),
        ("the bearer instrument", "the bearer instrument"),
        ("basic requirements", "basic requirements"),
    ],
)
def test_what_looks_like_a_key_is_masked(text: str, redacted: str) -> None:
    assert redacted == Redactor().redact(text)


def test_no_letter_of_another_script_hides_a_token() -> None:
    every = "".join(map(chr, range(0x110000)))
    others = [(letter, char) for letter in "bearsic" for char in re.findall(letter, every, re.IGNORECASE)]
    assert {("i", "İ"), ("i", "ı"), ("s", "ſ")} == {(letter, char) for letter, char in others if not char.isascii()}
    words = [word.replace(letter, char) for letter, char in others for word in ("bearer", "basic")]
    assert [f"{word} ***" for word in words] == [Redactor().redact(f"{word} dXNlcjpwYXNzd29yZA==") for word in words]


def test_a_short_value_is_not_masked() -> None:
    assert "an apple" == Redactor(["an", "", "appl"]).redact("an apple")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('"token MyShopToken-01…"', '"token ***…"'),
        ("token MyShopToken-0123456789-abcde…", "token ***…"),
        ("…56789-abcdef is it", "…*** is it"),
        ("…Token-0123…", "…***…"),
        ("…oken… and … MyS…", "…***… and … MyS…"),
        ("MYSHOPTOKEN-01…", "***…"),
        ("TXlTaG9wVG9r…", "***…"),
        ("token MyShopToken-01, no more", "token MyShopToken-01, no more"),
        ("……", "……"),
    ],
)
def test_a_secret_that_was_cut_is_masked_where_it_was_cut(text: str, redacted: str) -> None:
    assert redacted == Redactor(["MyShopToken-0123456789-abcdef"]).redact(text)


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert "***!" == Redactor(["secret", "secret-and-more"]).redact("secret-and-more!")


@given(st.text(min_size=6, max_size=40), st.text(), st.text())
def test_no_secret_survives_as_it_is(secret: str, before: str, after: str) -> None:
    if "*" not in secret:
        assert secret not in Redactor([secret]).redact(before + secret + after)
