"""Tell the language of an answer: by its script, and among languages of one script by small common words and letters.

It claims nothing it cannot see: too short a text, two languages in equal parts or one that is not known is `None`.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal

from runner.checks.reader import answer, views
from runner.model import Outcome, Turn, Verdict
from runner.registry import check
from runner.values import dataclass
from runner.words import _

__all__ = ["Language", "detect"]

READ = 20_000
"""How much of an answer is read, in characters."""
MAIN = 0.6
"""The share of an answer that must be in one script."""

# What a reader would not call language: code, addresses, names of files.
NO_LANGUAGE = r"```[^`]*```|`[^`\n]*`|https?://\S+|(?<![^\s@])[^\s@]++@\S+|\b\w++\.\w{2,4}\b"

SCRIPTS: Mapping[str, str] = {
    "latin": "a-zA-Z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "arabic": "\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff",
    "hebrew": "\u05d0-\u05ea",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e01-\u0e4e",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "kana": "\u3041-\u3096\u30a1-\u30fa\u30fc\u31f0-\u31ff\uff66-\uff9f",
    "han": "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
}
WEIGHTS = {"han": 3, "hangul": 2, "kana": 2}
"""How many letters of an alphabet one character is worth."""

# Characters of everyday Chinese that Japanese does not use.
CHINESE = frozenset(
    "这那们吗呢吧啊你您她它没说什么怎谁给让从对为会个来过还很请谢画猫图级么嗎麼這個們說沒給讓從對為會來過還請謝畫圖哪裡您"
)
PERSIAN = frozenset("پچژگکی")
URDU = frozenset("ٹڈڑںےہ")
CYRILLIC = {
    "uk": frozenset("іїєґ"),
    "ru": frozenset("ыэё"),
    "be": frozenset("ў"),
    "sr": frozenset("ђјљњћџ"),
    "bg": frozenset(),
}
CYRILLIC_WORDS = {
    "ru": "и в не на что с он как это но по из за от для вы мы я она они был есть или вот ваш так уже бы к у",
    "uk": "і в не на що з він як це але та із за від для ви ми я вона вони був є або ось ваш так вже й у до",
    "bg": "и в не на че с той как това но по от за се да са ще вие ние аз тя те беше или ето вашата така вече към",
}
LATIN_WORDS = {
    "en": "the of and to in is it you that was for on are with as his they be at this have from or had by but not what all "
    "were we when your can there an which their will would about here has do my me more please how i a if could should",
    "de": "der die das und ist nicht ein eine einen einem zu den mit von auf für sich dem des es im auch als an werden aus er "
    "hat dass sie nach wird bei ich wir ihr ihre sind noch wie über so zum war haben nur oder aber vor bitte hier kein",
    "fr": "le la les de des et est un une du en que qui dans pour pas sur au avec ce il elle sont plus par ne se vous nous "
    "je votre cette mais ou où aux ont été être voici très bien leur ses son comme si tout fait",
    "es": "el la los las de y que en un una es por con no para se su al lo como más pero sus le ya este esta está son muy "
    "del si sin sobre también me hay donde quien aquí usted tu mi fue ha puede puedo hacer eso esto ser o",
    "it": "il lo la gli le di e che è un una per con non si da in del della dei delle sono come più ma anche questo questa "
    "nel alla al ha ho suo sua molto ecco qui o se ci posso puoi può fare mi ti tuo loro essere stato dal",
    "pt": "o a os as de e que em um uma é para com não se por do da dos das no na mais como mas foi ao ele ela seu sua ou "
    "está você são muito também já eu isso este esta aqui nos pelo pela ser tem à",
    "nl": "de het een en van is dat niet te in ik je zijn voor met op aan er maar om hij ook als dan bij uit nog wel naar "
    "heeft hebben deze dit worden werd u uw wij zij kan geen meer hier door over tot",
    "sv": "och att det som en är på för med den inte av till har jag om ett men var sig från vi så kan när hon han du eller "
    "här din ditt ska mycket också vid under över efter detta denna",
    "pl": "i w nie na się z że do to jest jak o co ale po za od czy dla są był być tak jego jej już przez przy tym ten ta "
    "może oraz lub tylko bardzo ich pan który która oto",
    "tr": "ve bir bu da de için ile çok ne o daha gibi en var olarak ama kadar sonra mi mı değil ben sen biz siz bunu şu "
    "olan her ya hem ki yok işte size bana",
    "id": "yang dan di dengan untuk dari ini itu tidak ke pada adalah dalam akan juga saya anda kami kita mereka atau ada "
    "bisa sudah oleh karena seperti telah lebih sebuah dapat",
    "vi": "và là của có không một cho được này các trong với những người tôi bạn đã để khi thì ở ra đến như từ về rất cũng "
    "nhưng đây sẽ hoặc chúng",
}
LATIN_LETTERS = {
    "de": "ßäöü", "fr": "çœèêàùîô", "es": "ñ¿¡", "pt": "ãõ", "pl": "ąęłńśźż", "tr": "ğşı", "sv": "å",
    "vi": "ơưđăạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
}  # fmt: skip
ONE_LANGUAGE = {"greek": "el", "hebrew": "he", "devanagari": "hi", "thai": "th", "hangul": "ko"}
"""Scripts that are taken for one language; the fewest letters to tell are those of a short sentence."""


def detect(text: str) -> str | None:
    """The code of the language most of the text is in, such as `ja`; None when it cannot be told."""
    text = re.sub(NO_LANGUAGE, " ", text[:READ])
    counts = {script: len(re.findall(f"[{letters}]", text)) for script, letters in SCRIPTS.items()}
    weights = {script: count * WEIGHTS.get(script, 1) for script, count in counts.items()}
    east = weights.pop("han") + weights.pop("kana")
    weights["han and kana"] = east
    total = sum(weights.values())
    script = max(weights, key=lambda each: weights[each])
    if not total or weights[script] < MAIN * total:
        return None
    if script == "han and kana":
        return chinese_or_japanese(text, counts["han"], counts["kana"])
    if counts[script] < (2 if script == "hangul" else 4):
        return None
    if script == "latin":
        return by_words(text, LATIN_WORDS, LATIN_LETTERS)
    if script == "cyrillic":
        return by_words(text, CYRILLIC_WORDS, {each: "".join(letters) for each, letters in CYRILLIC.items()})
    if script == "arabic":
        return "ur" if URDU & set(text) else "fa" if PERSIAN & set(text) else "ar"
    return ONE_LANGUAGE[script]


def chinese_or_japanese(text: str, han: int, kana: int) -> str | None:
    if kana > 0.1 * (han + kana):
        return "ja" if kana >= 2 else None
    if sum(char in CHINESE for char in text) >= 1 and han >= 2:
        return "zh"
    return "zh" if han >= 8 else None


@cache
def small_words(language: str) -> frozenset[str]:
    return frozenset((LATIN_WORDS | CYRILLIC_WORDS).get(language, "").split())


def by_words(text: str, words: Mapping[str, str], letters: Mapping[str, str]) -> str | None:
    """The language that has clearly more of its small words and own letters in the text than any other."""
    spoken = re.findall(r"[^\W\d_]+", text.lower())
    scores = Counter(dict.fromkeys({*words, *letters}, 0))
    for word, count in Counter(spoken).items():
        for language in scores:
            scores[language] += count * (word in small_words(language))
            scores[language] += count * (not set(letters.get(language, "")).isdisjoint(word))
    (best, score), (_next, second) = scores.most_common(2)
    if score < 2 or score < 0.1 * len(spoken) or score < 1.25 * second:
        return None
    return best


@check("language")
@dataclass(frozen=True, slots=True)
class Language:
    """The reply is in this language. A reply that is too short to tell, or mixed, is an error.

    Seen are Arabic `ar`, Bulgarian `bg`, Chinese `zh`, Dutch `nl`, English `en`, French `fr`, German `de`, Greek `el`, Hebrew
    `he`, Hindi `hi`, Indonesian `id`, Italian `it`, Japanese `ja`, Korean `ko`, Persian `fa`, Polish `pl`, Portuguese `pt`,
    Russian `ru`, Spanish `es`, Swedish `sv`, Thai `th`, Turkish `tr`, Ukrainian `uk`, Urdu `ur`, Vietnamese `vi`.

    ```yaml
    expect:
      - language: ja
    ```
    """

    name: ClassVar[str]
    value: Literal[
        "ar", "bg", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it", "ja",
        "ko", "nl", "pl", "pt", "ru", "sv", "th", "tr", "uk", "ur", "vi", "zh",
    ]  # fmt: skip

    def evaluate(self, turn: Turn) -> Verdict:
        shown = views(turn.text)[-1]
        found = detect(turn.text)
        if found is None:
            return Verdict(Outcome.ERROR, _("the language of this reply cannot be told"), self.value, answer(shown))
        actual = _("{language}: {answer}").format(language=found, answer=answer(shown))
        if found == self.value:
            return Verdict(Outcome.PASSED, expected=self.value, actual=actual)
        return Verdict(Outcome.FAILED, _("the reply is in another language"), self.value, actual)
