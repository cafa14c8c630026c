"""Texts are compared as a reader sees them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks.reader import fold, shorten, views
from runner.checks.text import CasedText
from runner.model import Outcome, Turn
from tests.checks_fixtures import make, outcome, problems, verdict


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("cat", "Here is your Cat."),
        ("RAGDOLL CAT", "A ragdoll\n  cat"),
        ("ragdoll cat", "A **ragdoll** _cat_"),
        ("**ragdoll** cat", "A **ragdoll** cat"),
        ("ragdoll", "A r*agdol*l"),
        ("git commit", "Type `git` commit"),
        ("old new", "~~old~~ new"),
        ("a cat on a sofa", "![a cat](https://pics.example/1.png) on a [sofa](https://shop.example/(1) 'A sofa')"),
        ("badge text", "[![badge](https://a.example/b.svg)](https://a.example) text"),
        ("2 * 3 * 4", "It is 2 * 3 * 4."),
        ("snake_case_name", "Use snake_case_name"),
        ("https://example.com/order", "See https://example.com/order?id=1"),
        ("café", "Cafe\u0301 au lait"),
        ("STRASSE", "Die Straße"),
        ("ABC 123", "ＡＢＣ　１２３"),
        ("カタカナ", "ｶﾀｶﾅ"),
        ("バナナ", "ﾊﾞﾅﾅ"),
        ("猫の絵", "これは猫の絵です。"),
        ("50%", "５０％引き"),
        ("قطة", "هذه صورة قطة"),
        ("👩‍🎨", "The painter 👩‍🎨 smiles"),
        ("refund", "re\u200bfu\u00adnd"),
        ("a b", "a\u00a0b"),
        ("Title Text", "# Title\n> Text"),
    ],
)
def test_reply_contains_what_a_reader_sees(wanted: str, answer: str) -> None:
    assert "passed" == outcome("contains", wanted, answer)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("cow", "Here is your cat."),
        ("cow", "![cat](https://pics.example/cow.png)"),
        ("shop", "A [sofa](https://shop.example)"),
        ("23", "It is 2 * 3."),
        ("ragdoll cat", "ragdoll-cat"),
        ("cafe", "café"),
        ("cat", ""),
        ("は", "ば"),
    ],
)
def test_reply_does_not_contain_what_a_reader_does_not_see(wanted: str, answer: str) -> None:
    assert "failed" == outcome("contains", wanted, answer)


@pytest.mark.parametrize(
    ("name", "value", "answer", "expected"),
    [
        (
            "contains",
            "ragdoll",
            "Here is your tabby.",
            ("failed", "the reply does not contain this text", '"ragdoll"', '"Here is your tabby."'),
        ),
        ("contains", "cat", "", ("failed", "the reply does not contain this text", '"cat"', "(the reply is empty)")),
        (
            "contains",
            ("cat", "blue eyes"),
            "A cat with green eyes.",
            ("failed", "the reply does not contain this text", '"blue eyes"', '"A cat with green eyes."'),
        ),
        (
            "contains",
            CasedText("RAGDOLL"),
            "A ragdoll.",
            ("failed", "the reply contains this text only with other upper and lower case", '"RAGDOLL"', '"A ragdoll."'),
        ),
        ("contains", CasedText("RAGDOLL"), "A RAGDOLL.", ("passed", "", '"RAGDOLL"', '"A RAGDOLL."')),
        ("contains", ("cat", "sofa"), "A cat, a sofa.", ("passed", "", '"cat", "sofa"', '"A cat, a sofa."')),
        ("contains", " ", "A cat.", ("error", "the expected text is empty", "", "")),
        ("contains", ("cat", ""), "A cat.", ("error", "the expected text is empty", "", "")),
        ("contains", (), "A cat.", ("error", "the expected text is empty", "", "")),
        ("starts_with", "Here", "**Here** is", ("passed", "", '"Here"', '"Here is"')),
        ("starts_with", "Hi", "Hello", ("failed", "the reply does not start with this text", '"Hi"', '"Hello"')),
        ("starts_with", "", "Hello", ("error", "the expected text is empty", "", "")),
        ("ends_with", "Enjoy!", "Enjoy！\n", ("passed", "", '"Enjoy!"', '"Enjoy！"')),
        ("ends_with", "Enjoy!", "Bye", ("failed", "the reply does not end with this text", '"Enjoy!"', '"Bye"')),
        ("ends_with", "", "Bye", ("error", "the expected text is empty", "", "")),
        ("equals", "yes", " Yes\n", ("passed", "", '"yes"', '"Yes"')),
        ("equals", "yes", "Yes.", ("failed", "the reply is another text", '"yes"', '"Yes."')),
        ("equals", CasedText("yes"), "Yes", ("failed", "the reply is another text", '"yes"', '"Yes"')),
        ("equals", "", "", ("passed", "", '""', "(the reply is empty)")),
        ("one_of", ("positive", "negative"), "**Positive**", ("passed", "", '"positive", "negative"', '"Positive"')),
        ("one_of", ("a", "b"), "c", ("failed", "the reply is none of these texts", '"a", "b"', '"c"')),
        ("one_of", ("a", "b"), "", ("failed", "the reply is none of these texts", '"a", "b"', "(the reply is empty)")),
    ],
)
def test_verdict_shows_expected_beside_actual(name: str, value: object, answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict(name, value, answer)


def test_the_nearest_passage_of_a_long_reply_is_shown() -> None:
    answer = "Once upon a time. " * 100 + "Here is a ragdoll dog, with blue eyes. " + "The end. " * 100
    shown = verdict("contains", "ragdoll cat", answer)[3]
    assert "ragdoll dog, with blue eyes" in shown
    assert (True, True) == (shown.startswith('"…'), shown.endswith('…"'))
    assert len(shown) <= 204


def test_the_nearest_passage_is_found_by_two_characters_where_words_are_short() -> None:
    answer = (
        "ご注文の商品は昨日発送いたしました。" * 30 + "配送状況は追跡番号でご確認ください。" + "ありがとうございました。" * 30
    )
    assert "追跡番号" in verdict("contains", "配送番号", answer)[3]


def test_the_end_of_a_long_reply_is_shown() -> None:
    assert '"…' + "ab" * 99 + 'a!"' == verdict("ends_with", "?", "ab" * 500 + "a!")[3].replace("…b", "…")


def test_two_long_texts_are_shown_where_they_begin_to_differ() -> None:
    same = "Once upon a time. " * 100
    _outcome, _message, expected, actual = verdict("equals", same + "A cat." + same, same + "A dog." + same)
    assert ("A cat." in expected, "A dog." in actual) == (True, True)


def test_the_passage_that_passed_is_shown() -> None:
    answer = "Once upon a time. " * 100 + "We refund you. " + "The end. " * 100
    assert "We refund you." in verdict("contains", "refund", answer)[3]


def test_finding_the_nearest_passage_is_bounded() -> None:
    huge = "a" * 3_000_000
    assert "failed" == outcome("contains", "a" * 3_000 + "b", huge)


@pytest.mark.parametrize("char", "*_`~[(!#>")
def test_marks_without_an_end_take_linear_time(char: str) -> None:
    assert 1 <= len(views(f"{char}a " * 100_000 + char * 100_000)) <= 2


@pytest.mark.parametrize(
    ("name", "value", "codes"),
    [
        ("contains", "cat", []),
        ("contains", "", ["never-fails"]),
        ("contains", "\u200b ", ["never-fails"]),
        ("contains", ("cat", ""), ["never-fails"]),
        ("contains", (), ["never-fails"]),
        ("contains", CasedText(""), ["never-fails"]),
        ("starts_with", "", ["never-fails"]),
        ("ends_with", " ", ["never-fails"]),
        ("one_of", (), ["impossible"]),
        ("one_of", ("a",), []),
    ],
)
def test_a_check_that_can_never_fail_is_a_problem(name: str, value: object, codes: list[str]) -> None:
    assert codes == [code for code, _message, _hint in problems(name, value)]


texts = st.text(st.characters() | st.sampled_from("*_`~[]()!#> \n ｱＡ\u0301\u200d"))


@given(texts, texts)
def test_any_text_can_be_judged_by_any_other(value: str, answer: str) -> None:
    for name in ("contains", "starts_with", "ends_with", "equals"):
        for wanted in (value, CasedText(value)):
            found: Any = make(name, wanted).evaluate(Turn(answer))
            assert found.outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR)
            assert len(found.actual) <= 204


@given(texts)
def test_every_text_contains_itself(text: str) -> None:
    if fold(text) and not any(char in text for char in "*_`~[]()!#>"):
        assert "passed" == outcome("contains", text, text)
        assert "passed" == outcome("equals", text, text)


@given(texts)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(text) == fold(fold(text))


@given(texts, st.integers(0, 500), st.integers(0, 500))
def test_a_shortened_text_is_short(text: str, start: int, end: int) -> None:
    assert len(shorten(text * 50, start, end)) <= 202
