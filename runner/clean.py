"""Make text that others wrote safe to show: nothing in it moves a cursor, turns a line around or tells a secret.

`visible` spells out what a terminal or an editor would obey or hide. `Redactor` masks secrets. Both are meant for the writers
of every output, so that no other part has to remember them.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate

__all__ = ["MASK", "Redactor", "inert", "one_line", "visible"]

# Control characters but line feed and tab; bidirectional marks; line and paragraph separators; characters without width,
# except the joiners that emoji and Persian need; tags; halves of surrogate pairs.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


ORDERS = re.compile(r"##(?=\[|vso\[)", re.IGNORECASE)
"""What CI services obey wherever in a line it stands; `::` they obey only at its beginning, where others' text never is."""


def inert(text: str) -> str:
    """The text with what a CI service would obey pulled apart."""
    return ORDERS.sub("# #", text)


def visible(text: str) -> str:
    """The text with control and invisible characters spelled like `\\u001b`; line feeds and tabs stay, CR LF is a line feed."""
    return UNSAFE.sub(spelled, text.replace("\r\n", "\n"))


def spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def one_line(text: str, width: int = 80) -> str:
    """The visible text on one line, white space as single spaces, at most `width` terminal cells; `…` stands for the rest."""
    whole = len(text) <= 20 * width
    line = " ".join(visible(text[: 20 * width]).split())
    used = tuple(accumulate(map(cells, line)))
    if whole and (not used or used[-1] <= width):
        return line
    return line[: bisect_right(used, width - 1)].rstrip() + "…"


@lru_cache(4096)
def cells(char: str) -> int:
    """How many cells of a terminal a character takes."""
    from unicodedata import combining, east_asian_width

    if combining(char) or char in "\u200c\u200d\ufe0e\ufe0f":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


MASK = "***"
SHORTEST = 6
KEY = re.compile(r"(?<![A-Za-z0-9])(sk-)[A-Za-z0-9_-]{8,}")
TOKEN = re.compile(r"(?i)\b((?:bearer|basic)\s+)(?=[\w+/~.-]*[\d_+/~.-])[\w+/~.-]{8,}=*")
OPEN = re.compile(r"(?i)(?:(?<![a-z0-9])s(?:k(?:-[a-z0-9_-]*)?)?|\b(?:b\w{0,5}|(?:bearer|basic)\s+[\w+/~.-]*=*))\Z")
"""The end of a text that may become a KEY or a TOKEN by what follows."""
LONGEST = 4096
"""Characters that are held back at most, whatever they may become."""
CUT = "…"
"""Stands for the rest of a text."""
PART = 4
"""How many characters of a secret tell it from ordinary text, where the rest was cut off."""


class Redactor:
    """Masks secrets in any text: their exact values, nine encodings of them, and what has the shape of a key.

    The encodings: percent (only what must be, and every byte), base64 and its form for URLs (wherever the secret begins in
    what was encoded), hexadecimal, JSON, JSON in ASCII, HTML, reversed; besides, JSON in JSON, and all in lower or upper
    case. A value of fewer than six characters is not masked: it would blot out ordinary words.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in encodings(secret)}
        self.forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def redact(self, text: str) -> str:
        """The text with `***` for every secret, and for what is left of one where a text was cut; `sk-***` and `Bearer ***` for
        what only looks like one."""
        for form in self.forms:
            text = text.replace(form, MASK)
        if CUT in text and self.forms:
            first, *others = text.split(CUT)
            pieces = [first, *(self.without_begin(piece) for piece in others)]
            text = CUT.join([*(self.without_end(piece) for piece in pieces[:-1]), pieces[-1]])
        if "sk-" in text:
            text = KEY.sub(rf"\1{MASK}", text)
        return TOKEN.sub(rf"\1{MASK}", text) if may_hold_token(text) else text

    def without_begin(self, text: str) -> str:
        """The text without the part of a secret that it begins with."""
        length = self.shared(lambda size: text[:size], len(text))
        return MASK + text[length:] if length else text

    def without_end(self, text: str) -> str:
        """The text without the part of a secret that it ends with."""
        length = self.shared(lambda size: text[-size:], len(text))
        return text[:-length] + MASK if length else text

    def shared(self, piece: Callable[[int], str], most: int) -> int:
        """The length up to which the piece at one end of a text is part of a secret; 0 where it is part of none."""
        length = PART - 1
        for form in self.forms:
            while length < most and piece(length + 1) in form:
                length += 1
        return length if length >= PART else 0

    def open_end(self, text: str) -> int:
        """From where on a text may be the beginning of a secret, which only what follows tells; its length if from nowhere."""
        found = OPEN.search(text, max(0, len(text) - LONGEST))
        at = min([found.start() if found else len(text), *(beginning(form, text) for form in self.forms)])
        # One that is there as a whole is not to be parted.
        while parted := [start for form in self.forms if (start := around(form, text, at)) >= 0]:
            at = min(parted)
        return at


def beginning(form: str, text: str) -> int:
    """Where the longest beginning of a form stands at the end of the text; the text's length if none does."""
    at = text.find(form[0], max(0, len(text) - len(form) + 1))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return at if at >= 0 else len(text)


def around(form: str, text: str, place: int) -> int:
    """Where a form stands in the text that begins before a place and ends behind it; -1 if none does."""
    return text.find(form, max(0, place - len(form) + 1), place + len(form) - 1)


def may_hold_token(text: str) -> bool:
    """Told much sooner than TOKEN finds none. Dotless and dotted i and long s match letters of its words."""
    lower = text.lower()
    return "bearer" in lower or "basic" in lower or "\u0131" in lower or "\u017f" in lower or "\u0130" in text


def encodings(secret: str) -> Iterator[str]:
    """The ways a secret may be written down; none so short that it could be part of ordinary text."""
    import html
    import json
    from urllib.parse import quote, quote_plus

    data = secret.encode("utf-8", "surrogatepass")
    percent = "".join(f"%{byte:02X}" for byte in data)
    yield from (secret, secret[::-1], secret.lower(), secret.upper())
    yield from (data.hex(), data.hex().upper(), percent, percent.lower())
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    for escaped in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield from (escaped, escaped.replace("/", "\\/"), json.dumps(escaped)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&#x27;", "&#39;"))
    yield from base64_forms(data)


def base64_forms(data: bytes) -> Iterator[str]:
    """What of the secret's base64 does not depend on what is encoded before and after it, for each of the three alignments."""
    from base64 import b64encode

    for before in range(3):
        code = b64encode(bytes(before) + data).rstrip(b"=").decode()
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        core = code[first:last]
        yield from (core, core.replace("+", "-").replace("/", "_"))
