"""How long an answer is."""

import re
from collections.abc import Iterator
from typing import ClassVar

from runner.checks.limits import CountLimit, Limits, trouble_with
from runner.checks.reader import answer, views
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _, ngettext

__all__ = ["Characters", "Words"]

WORD = r"[^\W_](?:\S*[^\W_])?"
# Han, kana, Thai, Lao, Myanmar, Khmer: written without spaces between words.
UNSPACED = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
SOME = 0.1
"""The share of such characters up to which words can still be counted: a name in a sentence of another language."""


def judge(number: int, limits: Limits, few: str, many: str, actual: str) -> Verdict:
    if limits.hold(number):
        return Verdict(Outcome.PASSED, expected=limits.written, actual=actual)
    low = number < limits.low or (number == limits.low and limits.without_low)
    return Verdict(Outcome.FAILED, few if low else many, limits.written, actual)


@check("words")
@dataclass(frozen=True, slots=True)
class Words:
    """The reply has so many words: `under`, `over`, `at least`, `at most`, `between … and …`, or a number.

    A word is what stands between spaces and has a letter or a digit. Chinese, Japanese, Thai and other text written without
    spaces is an error: use `characters` there.

    ```yaml
    expect:
      - words: under 80
      - words: between 20 and 80
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: CountLimit

    def evaluate(self, turn: Turn) -> Verdict:
        text = views(turn.text)[-1]
        unspaced = len(re.findall(UNSPACED, text))
        if unspaced > SOME * sum(map(str.isalpha, text)):
            message = _("words cannot be counted in this reply, which is written without spaces; use `characters`")
            return Verdict(Outcome.ERROR, message, self.value.written, answer(text))
        number = sum(1 for _word in re.finditer(WORD, text))
        actual = ngettext("{number} word: {answer}", "{number} words: {answer}", number)
        few, many = _("the reply has too few words"), _("the reply has too many words")
        return judge(number, self.value, few, many, actual.format(number=number, answer=answer(text)))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        yield from trouble_with(self.value)


@check("characters")
@dataclass(frozen=True, slots=True)
class Characters:
    """The reply has so many characters: `under`, `over`, `at least`, `at most`, `between … and …`, or a number.

    Counted is what a reader sees: link targets and marks left out, a run of spaces or line breaks as one, accents with their
    letter.

    ```yaml
    expect:
      - characters: at most 140
    ```
    """

    name: ClassVar[str]
    of_text: ClassVar[bool] = True
    value: CountLimit

    def evaluate(self, turn: Turn) -> Verdict:
        text = views(turn.text)[-1]
        number = characters(text)
        actual = ngettext("{number} character: {answer}", "{number} characters: {answer}", number)
        few, many = _("the reply has too few characters"), _("the reply has too many characters")
        return judge(number, self.value, few, many, actual.format(number=number, answer=answer(text)))

    def problems(self) -> Iterator[tuple[str, str, str | None]]:
        yield from trouble_with(self.value)


def characters(text: str) -> int:
    """How many characters a reader counts: accents, emoji's parts and other additions belong to what they add to."""
    if text.isascii():
        return len(text)
    from unicodedata import category

    number = 0
    joined = False
    flag = False
    for char in text:
        added = joined or category(char) in ("Mn", "Me") or char == "\u200d" or "\U0001f3fb" <= char <= "\U0001f3ff"
        half = "\U0001f1e6" <= char <= "\U0001f1ff"
        number += not added and not (flag and half)
        flag = half and not flag
        joined = char == "\u200d" and number > 0
    return number
