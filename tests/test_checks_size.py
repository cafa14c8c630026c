"""Lengths, languages and how the run went."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.checks.language import detect
from runner.checks.limits import Limits, count, duration
from runner.checks.size import characters
from runner.model import ServiceError, Turn, Usage
from tests.checks_fixtures import make, problems, verdict


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("under 80", (0, 79), (80, 81)),
        ("over 3", (4, 1000), (0, 3)),
        ("at least 3", (3, 1000), (0, 2)),
        ("at most 3", (0, 3), (4, 5)),
        ("between 20 and 80", (20, 80), (19, 81)),
        ("  under   80 ", (0, 79), (80, 81)),
        (80, (80,), (79, 81)),
        ("80", (80,), (79, 81)),
    ],
)
def test_limits_hold_what_their_words_say(written: str | float, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    limits = count(written)
    assert [True] * len(inside) == [limits.hold(number) for number in inside]
    assert [False] * len(outside) == [limits.hold(number) for number in outside]


@pytest.mark.parametrize("written", ["few", "under", "under -3", "less than 3", "80.5", 80.5, "between 3", "under 3 words", ""])
def test_other_words_are_no_limit(written: str | float) -> None:
    with pytest.raises(ValueError) as caught:
        count(written)
    assert (
        "not a limit; write `under 80`, `over 3`, `at least 2`, `at most 500`, `between 20 and 80` or a number"
        == str(caught.value)
    )  # fmt: skip


@pytest.mark.parametrize("written", ["20s", 20, "quickly", "under", "under 0s", "under 3 days", "at least 3 bananas"])
def test_a_bare_duration_is_no_limit_of_time(written: str | float) -> None:
    with pytest.raises(ValueError):
        duration(written)


@pytest.mark.parametrize(
    ("name", "limits", "found"),
    [
        ("words", count("under 0"), [("impossible", "nothing is `under 0`, so no reply passes", None)]),
        (
            "characters",
            count("between 80 and 20"),
            [("impossible", "nothing is `between 80 and 20`, so no reply passes", "write `between 20 and 80`")],
        ),
        ("tokens", count("at least 0"), [("never-fails", "everything is `at least 0`, so every reply passes", None)]),
        (
            "latency",
            duration("between 2 min and 20s"),
            [("impossible", "nothing is `between 2 min and 20s`, so no reply passes", "write `between 20s and 2 min`")],
        ),
        ("words", count("at most 0"), []),
        ("words", count(0), []),
        ("latency", duration("between 20s and 2 min"), []),
    ],
)
def test_limits_that_say_nothing_are_a_problem(name: str, limits: Limits, found: list[object]) -> None:
    assert found == problems(name, limits)


@pytest.mark.parametrize(
    ("limits", "answer", "expected"),
    [
        ("under 3", "A cat.", ("passed", "", "under 3", '2 words: "A cat."')),
        ("under 2", "A cat.", ("failed", "the reply has too many words", "under 2", '2 words: "A cat."')),
        ("over 2", "A cat.", ("failed", "the reply has too few words", "over 2", '2 words: "A cat."')),
        (3, "It's well-known — really!", ("passed", "", "3", '3 words: "It\'s well-known — really!"')),
        (1, "[a](https://b.example/c%20d)", ("passed", "", "1", '1 word: "a"')),
        (0, "", ("passed", "", "0", "0 words: (the reply is empty)")),
        (4, "고양이 그림을 그렸습니다 여기", ("passed", "", "4", '4 words: "고양이 그림을 그렸습니다 여기"')),
    ],
)
def test_words(limits: str | int, answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict("words", count(limits), answer)


@pytest.mark.parametrize("answer", ["猫の絵です。", "这是一只猫。", "นี่คือแมว", "Here: 这是一只猫", "ネコ"])
def test_words_cannot_be_counted_without_spaces(answer: str) -> None:
    message = "words cannot be counted in this reply, which is written without spaces; use `characters`"
    assert ("error", message, "under 80", f'"{answer}"') == verdict("words", count("under 80"), answer)


def test_a_name_in_another_script_does_not_stop_the_counting() -> None:
    assert "passed" == verdict("words", count(8), "The word for a cat is 猫 (neko).")[0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("cat", 3),
        ("猫の絵", 3),
        ("e\u0301", 1),
        ("がぎ", 2),
        ("か\u3099", 1),
        ("👩‍🎨", 1),
        ("👍🏽", 1),
        ("❤️", 1),
        ("🇯🇵🇨🇳", 2),
        ("\u200d", 0),
        ("हिन्दी", 5),
    ],
)
def test_characters_are_what_a_reader_counts(text: str, number: int) -> None:
    assert number == characters(text)


@pytest.mark.parametrize(
    ("limits", "answer", "expected"),
    [
        ("at most 5", "猫の絵です", ("passed", "", "at most 5", '5 characters: "猫の絵です"')),
        (
            "under 5",
            "猫の絵です",
            ("failed", "the reply has too many characters", "under 5", '5 characters: "猫の絵です"'),
        ),
        (
            "over 5",
            "**cat**\n\ns",
            ("failed", "the reply has too few characters", "over 5", '5 characters: "cat s"'),
        ),
    ],
)
def test_characters(limits: str, answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict("characters", count(limits), answer)


@given(st.text())
def test_no_text_has_more_characters_than_code_points(text: str) -> None:
    assert 0 <= characters(text) <= len(text)


@given(st.text(), st.integers(0, 100))
def test_any_text_can_be_measured(text: str, number: int) -> None:
    for name in ("words", "characters"):
        assert verdict(name, count(number), text)[0] in ("passed", "failed", "error")


# ── language ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Here is a picture of a ragdoll cat."),
        ("en", "Your order has shipped and it arrives on Friday. See https://shop.example/der/die/das"),
        ("en", "The Japanese word for cat is 猫, and it is read neko."),
        ("de", "Hier ist ein Bild von einer Katze."),
        ("de", "Ihre Bestellung wurde versandt und kommt am Freitag an."),
        ("fr", "Votre commande a été expédiée et arrivera vendredi."),
        ("es", "Su pedido ha sido enviado y llega el viernes."),
        ("it", "Il tuo ordine è stato spedito e arriverà venerdì."),
        ("pt", "Seu pedido foi enviado e chega na sexta-feira."),
        ("nl", "Uw bestelling is verzonden en komt vrijdag aan."),
        ("sv", "Din beställning har skickats och kommer på fredag."),
        ("pl", "Twoje zamówienie zostało wysłane i dotrze w piątek."),
        ("tr", "Siparişiniz gönderildi ve cuma günü ulaşacak."),
        ("id", "Pesanan Anda telah dikirim dan akan tiba pada hari Jumat."),
        ("vi", "Đây là hình ảnh của một con mèo."),
        ("ru", "Ваш заказ отправлен и прибудет в пятницу."),
        ("uk", "Ваше замовлення відправлено і прибуде у п'ятницю."),
        ("bg", "Вашата поръчка е изпратена и ще пристигне в петък."),
        ("ar", "تم شحن طلبك وسيصل يوم الجمعة."),
        ("fa", "این تصویر یک گربه است."),
        ("ur", "یہ بلی کی تصویر ہے۔"),
        ("he", "הנה תמונה של חתול."),
        ("hi", "यह बिल्ली की तस्वीर है।"),
        ("th", "นี่คือภาพแมว"),
        ("el", "Ορίστε μια εικόνα γάτας."),
        ("ko", "고양이 그림입니다."),
        ("ja", "猫の絵です。"),
        ("ja", "ご注文は発送されました。"),
        ("ja", "Python で猫の絵を描くプログラムです。"),
        ("zh", "这是一只猫的图片。"),
        ("zh", "這是一隻貓的圖片。"),
        ("zh", "Python 是一种编程语言，可以用来画图。"),
    ],
)
def test_the_language_of_a_sentence_is_told(language: str, text: str) -> None:
    assert language == detect(text)


@pytest.mark.parametrize(
    "text",
    ["", "ok", "42", "Sure!", "東京", "cat 猫", "https://shop.example", "👍", "```python\nfor the in of: is\n```",
     "Kissa istuu pöydällä ja katsoo ikkunasta ulos.", "Here is the picture that you asked for. これはご依頼の猫の絵です。"],
)  # fmt: skip
def test_the_language_of_too_little_or_mixed_text_is_not_claimed(text: str) -> None:
    assert detect(text) is None


@pytest.mark.parametrize(
    ("language", "answer", "expected"),
    [
        ("ja", "猫の絵です。", ("passed", "", "ja", 'ja: "猫の絵です。"')),
        ("zh", "猫の絵です。", ("failed", "the reply is in another language", "zh", 'ja: "猫の絵です。"')),
        ("en", "OK", ("error", "the language of this reply cannot be told", "en", '"OK"')),
        ("en", "", ("error", "the language of this reply cannot be told", "en", "(the reply is empty)")),
    ],
)
def test_language(language: str, answer: str, expected: tuple[str, ...]) -> None:
    assert expected == verdict("language", language, answer)


@given(st.text())
def test_any_text_has_a_language_or_none(text: str) -> None:
    found = detect(text)
    assert found is None or len(found) == 2


USED = Turn(usage=Usage(200, 150, 350))

# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "value", "turn", "expected"),
    [
        ("status", "failed", Turn(status="failed"), ("passed", "", "failed", "failed")),
        (
            "status",
            "completed",
            Turn(status="failed", error=ServiceError("Throttling", "too many")),
            ("failed", "the run ended otherwise", "completed", "failed (Throttling: too many)"),
        ),
        ("status", "expired", Turn(status="odd"), ("failed", "the run ended otherwise", "expired", "odd")),
        ("status", "expired", Turn(status=""), ("failed", "the run ended otherwise", "expired", "(the service did not say)")),
        ("latency", duration("under 20s"), Turn(seconds=19.999), ("passed", "", "under 20s", "20.00 s")),
        ("latency", duration("under 20s"), Turn(seconds=20), ("failed", "the run took too long", "under 20s", "20.00 s")),
        ("latency", duration("at most 20"), Turn(seconds=20), ("passed", "", "at most 20", "20.00 s")),
        ("latency", duration("over 200 ms"), Turn(seconds=0.05), ("failed", "the run ended too soon", "over 200 ms", "0.05 s")),
        ("latency", duration("under 1 min"), Turn(seconds=61), ("failed", "the run took too long", "under 1 min", "61.00 s")),
        ("tokens", count("under 500"), USED, ("passed", "", "under 500", "350 tokens (200 in, 150 out)")),
        ("tokens", count("under 350"), USED,
         ("failed", "the run used too many tokens", "under 350", "350 tokens (200 in, 150 out)")),
        ("tokens", count("over 350"), USED,
         ("failed", "the run used too few tokens", "over 350", "350 tokens (200 in, 150 out)")),
        ("tokens", count("under 500"), Turn(), ("error", "the service did not say how many tokens were used", "under 500", "")),
    ],
)  # fmt: skip
def test_how_the_run_went(name: str, value: Any, turn: Turn, expected: tuple[str, ...]) -> None:
    assert expected == verdict(name, value, turn)


@given(st.floats(allow_nan=False, min_value=0), st.text())
def test_any_run_can_be_judged(seconds: float, status: str) -> None:
    turn = Turn(status=status, seconds=seconds)
    for check in (make("latency", duration("between 1s and 2s")), make("status", "completed")):
        assert str(check.evaluate(turn).outcome) in ("passed", "failed")
