"""What a reader sees of an answer: Markdown taken away, characters that look alike made equal, the passage that matters.

Link and image targets are left out, their words stay. Emphasis marks may be quoted or not: a text is looked for both in the
answer with its marks and in the answer without them. Full and half width are alike, as are composed and decomposed
characters; a run of white space counts as one space; characters of no width are not seen.
"""

import re
from functools import cache
from unicodedata import decomposition, normalize

from runner.words import _

__all__ = ["answer", "fold", "nearest", "quote", "seen", "shorten", "view", "views"]

WIDTH = 200
"""How much of an answer is shown beneath a verdict, in characters."""

# Every repetition below stops at the character that starts the next attempt, so each pattern takes linear time. They are
# compiled when first used: reading a flow needs the checks, but judges nothing.
IMAGE = r"!\[([^\[\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"
LINK = r"\[([^\[\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"
MARKS = (
    r"(?m)^[ \t]*(?:#{1,6}|>)[ \t]+()",
    r"`{1,3}([^`\n]+)`{1,3}",
    r"\*{1,3}(?=[^\s*])([^*\n]+)(?<=[^\s*])\*{1,3}",
    r"(?<!\w)_{1,3}(?=[^\s_])([^_\n]+)(?<=[^\s_])_{1,3}(?!\w)",
    r"~~(?=[^\s~])([^~\n]+)(?<=[^\s~])~~",
)
UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))


@cache
def widths() -> dict[int, str]:
    """Full-width and half-width characters, and what each is a form of."""
    alike = {}
    for code in (0x3000, *range(0xFF00, 0xFFF0)):
        kind, _, form = decomposition(chr(code)).partition(" ")
        if kind in ("<wide>", "<narrow>"):
            alike[code] = chr(int(form, 16))
    return alike


def view(text: str) -> str:
    """The answer without link targets and characters of no width, its white space as single spaces."""
    for pattern in (IMAGE, LINK):
        text = re.sub(pattern, r"\1", text)
    return seen(text)


def seen(text: str) -> str:
    """A text as it looks on one line."""
    return " ".join(normalize("NFC", text.translate(UNSEEN)).split())


def views(text: str) -> tuple[str, ...]:
    """The answer as a reader may quote it: with its emphasis marks, and without them."""
    marked = view(text)
    for pattern in MARKS:
        text = re.sub(pattern, r"\1", text)
    bare = view(text)
    return (marked,) if marked == bare else (marked, bare)


def fold(text: str, exact: bool = False) -> str:
    """Make texts that look alike equal; upper and lower case too, unless `exact`."""
    text = normalize("NFC", seen(text).translate(widths()))
    return " ".join(text.split()) if exact else " ".join(normalize("NFC", text.casefold()).split())


def shorten(text: str, start: int = 0, end: int = 0) -> str:
    """At most WIDTH characters of a text, around `start` to `end`; `…` stands for what was cut."""
    if len(text) <= WIDTH:
        return text
    first = max(0, min((start + end - WIDTH) // 2, len(text) - WIDTH))
    last = first + WIDTH
    return ("…" if first else "") + text[first:last].strip() + ("…" if last < len(text) else "")


def quote(text: str, start: int = 0, end: int = 0) -> str:
    """A text in quotation marks, cut to what matters."""
    return f'"{shorten(text, start, end)}"'


def answer(text: str, start: int = 0, end: int = 0) -> str:
    """The reply in quotation marks, cut to what matters; an empty one says so."""
    return quote(text, start, end) if text else _("(the reply is empty)")


def nearest(text: str, wanted: str) -> tuple[int, int]:
    """Where in `text` the passage begins and ends that shares most with `wanted`; bounded to the first 100,000 characters."""
    wanted = wanted[:WIDTH].casefold()
    size = min(3 if wanted.isascii() else 2, len(wanted))
    pieces = {wanted[at : at + size] for at in range(len(wanted) - size + 1)}
    text = text[:100_000]
    hits = [text[at : at + size].casefold() in pieces for at in range(len(text))]
    length = max(len(wanted), 1)
    best = score = sum(hits[:length])
    start = 0
    for at in range(1, len(hits) - length + 1):
        score += hits[at + length - 1] - hits[at - 1]
        if score > best:
            best, start = score, at
    return (start, start + length) if best else (0, 0)
