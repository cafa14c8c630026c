"""Fill the arguments of a function from what was said, against their schema; what was not said is not invented.

A value is looked for in the message first, then in what was said before it, newest first. Its name helps (`order 1234`,
`city: Paris`), then its type, its format and what values of such a name look like: ids have digits, places are named.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from runner.embedded.objects import Json, dumps
from runner.embedded.vocabulary import CONCEPTS, name_words
from runner.values import dataclass

__all__ = ["Text", "fill"]

MOST = 20
"""How many items a list is filled with."""
DEEPEST = 8


@dataclass(slots=True)
class Text:
    """Something said, or a part of it; what is taken of it serves for one argument, whichever part it was found in."""

    said: str
    topic: str = ""
    """What it is about; only the message has one, for nothing else is worth to be searched for."""
    start: int = 0
    end: int = sys.maxsize
    taken: list[tuple[int, int]] = field(default_factory=list)

    def part(self, start: int, end: int = sys.maxsize) -> "Text":
        return Text(self.said, "", start, end, self.taken)

    def find(self, pattern: str, accepts: Callable[[str], object]) -> object:
        """What `accepts` makes of the first untaken group that it does not refuse by UNKNOWN; it is taken now."""
        for match in re.compile(pattern).finditer(self.said, self.start, self.end):
            place = match.lastindex or 0
            if any(match.start(place) < end and start < match.end(place) for start, end in self.taken):
                continue
            value = accepts(match[place].strip())
            if value is not UNKNOWN:
                self.taken.append(match.span(place))
                return value
        return UNKNOWN


class Unknown:
    """Nothing was said that would do."""


UNKNOWN = Unknown()


def fill(parameters: Json, texts: Sequence[Text], now: float) -> tuple[Json, tuple[str, ...]]:
    """Arguments that fit the schema, and the required ones that nothing was said for; with any of those, there are none."""
    from runner.checks.arguments import fault

    filler = Filler(texts, now, parameters)
    made, missing = filler.mapping(parameters, 0)
    if missing:
        return {}, missing
    if not fault(dumps(made), parameters):
        return made, ()
    needed = required_of(parameters)
    least = {name: value for name, value in made.items() if name in needed}
    return (least, ()) if not fault(dumps(least), parameters) else ({}, needed)


def required_of(schema: Json) -> tuple[str, ...]:
    required = schema.get("required")
    return tuple(name for name in required if isinstance(name, str)) if isinstance(required, list) else ()


@dataclass(slots=True)
class Filler:
    """Looks for values in the texts, the message first."""

    texts: Sequence[Text]
    now: float
    root: Json

    def mapping(self, schema: Json, depth: int) -> tuple[Json, tuple[str, ...]]:
        """An object with all that could be found for it, and the names of what it needs and lacks."""
        properties = schema.get("properties")
        declared = properties if isinstance(properties, dict) else {}
        needed = required_of(schema)
        names = [*(name for name in needed if name in declared), *(name for name in declared if name not in needed)]
        found: dict[str, object] = {}
        for name in names:
            value = self.value(name, declared[name], name in needed or not needed, depth)
            if value is not UNKNOWN:
                found[name] = value
        lacking = tuple(name for name in needed if name not in found)
        return {name: found[name] for name in declared if name in found}, lacking

    def value(self, name: str, schema: object, eager: bool, depth: int) -> object:
        """A value of this name; unless `eager`, only one that is told by its name."""
        schema = self.resolved(schema)
        if depth > DEEPEST:
            return UNKNOWN
        if "const" in schema:
            return schema["const"] if eager else UNKNOWN
        value = self.told(name, schema, eager, depth)
        return schema["default"] if value is UNKNOWN and eager and "default" in schema else value

    def resolved(self, schema: object) -> Json:
        """The schema with its local references and its `allOf` put in."""
        for _round in range(DEEPEST):
            if not isinstance(schema, dict):
                return {}
            if isinstance(schema.get("$ref"), str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**self.referred(schema["$ref"]), **rest}
            elif isinstance(schema.get("allOf"), list):
                parts = [self.resolved(part) for part in schema["allOf"][:MOST]]
                whole = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    whole = {**part, **whole}
                schema = whole
            else:
                return schema
        return {}

    def referred(self, reference: str) -> Json:
        found: object = self.root
        mark, *names = reference.split("/")
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found if mark == "#" and isinstance(found, dict) else {}

    def told(self, name: str, schema: Json, eager: bool, depth: int) -> object:
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return self.choice(choices, eager)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                rest = {other: value for other, value in schema.items() if other not in (key, "default")}
                branches = [{**rest, **self.resolved(branch)} for branch in schema[key][:MOST]]
                branches = [branch for branch in branches if branch.get("type") != "null"]
                values = (self.value(name, branch, eager, depth + 1) for branch in branches)
                return next((value for value in values if value is not UNKNOWN), UNKNOWN)
        kinds = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else "string")
        for kind in [one for one in kinds if one != "null"] if isinstance(kinds, list) else [kinds]:
            value = self.typed(name, kind, schema, eager, depth)
            if value is not UNKNOWN:
                return value
        return UNKNOWN

    def typed(self, name: str, kind: object, schema: Json, eager: bool, depth: int) -> object:
        match kind:
            case "integer" | "number":
                return self.number(name, kind == "integer", schema, eager)
            case "boolean":
                return self.truth(name)
            case "array":
                return self.items(name, schema, eager, depth)
            case "object":
                made, missing = self.mapping(schema, depth + 1)
                return UNKNOWN if missing or not (made or eager) else made
            case "null":
                return None
            case "string":
                return self.text(name, schema, eager)
        return UNKNOWN

    # ── the kinds of values ──────────────────────────────────────────────────────────────────────────────────────────

    def choice(self, choices: Sequence[object], eager: bool) -> object:
        if len(choices) == 1 and eager:
            return choices[0]
        for text in self.texts:
            for one in sorted(choices, key=lambda choice: -len(str(choice))):
                if one is None or one == "":
                    continue
                spelled = (
                    re.escape(dumps(one) if not isinstance(one, str) else one).replace("_", r"[_\s-]").replace(r"\-", r"[_\s-]")
                )
                if text.find(rf"(?i)(?<![A-Za-z0-9_])({spelled})(?![A-Za-z0-9_])", str) is not UNKNOWN:
                    return one
        return UNKNOWN

    def number(self, name: str, whole: bool, schema: Json, eager: bool) -> object:
        def accepts(said: str) -> object:
            value = number_of(said)
            if value is None or (whole and value != int(value)):
                return UNKNOWN
            number = int(value) if value == int(value) and (whole or "." not in said) else value
            return number if in_range(number, schema) else UNKNOWN

        near = rf"(?i){labels(name)}{IS}({NUMBER})|({NUMBER})\s*{labels(name)}"
        return self.first([near, NUMBER] if eager else [near], accepts)

    def truth(self, name: str) -> object:
        word = labels(name)
        for text in self.texts:
            if (
                text.find(rf"(?i)(?:\b(?:no|not|without|non|never)\b[^.!?,]{{0,20}}{word})|{word}{IS}(?:no|false|off)\b", str)
                is not UNKNOWN
            ):
                return False
            if re.search(rf"(?:不要|不用|别|不需要|没有){word}|{word}(?:なし|は不要|しない|ではない)", text.said):
                return False
            if text.find(rf"(?i){word}", str) is not UNKNOWN:
                return True
        return UNKNOWN

    def items(self, name: str, schema: Json, eager: bool, depth: int) -> object:
        if "items" not in schema:
            return [] if eager and not schema.get("minItems") else UNKNOWN
        least, most = (schema.get(key) if isinstance(schema.get(key), int) else None for key in ("minItems", "maxItems"))
        items = self.resolved(schema.get("items", {}))
        found: list[object] = []
        singular = name.removesuffix("s") if len(name) > 3 else name
        wanted = {key: one for key, one in items.items() if key != "default"}
        for _place in range(MOST if most is None else min(most, MOST)):
            value = self.value(singular, wanted, eager, depth + 1)
            # A value that takes nothing from the texts would be found for ever.
            if value is UNKNOWN or value in ([], {}, None) or value in found:
                break
            found.append(value)
        if len(found) < (least or 0) or (not found and not eager):
            return UNKNOWN
        return found

    def text(self, name: str, schema: Json, eager: bool) -> object:
        accepts = text_accepted(schema)
        kind = kind_of(name, schema)
        if kind == "date":
            return self.first([DATE], lambda said: date_of(said, self.now, accepts))
        near = near_text(name, kind)
        if not eager:
            return self.first(near, accepts)
        if kind == "query":
            message = [text for text in self.texts if text.topic]
            value = first_of(message, [*near, QUOTED, *SEARCHED], accepts)
            return next((accepts(text.topic) for text in message), UNKNOWN) if value is UNKNOWN else value
        return self.first([*near, *KINDS.get(kind, (QUOTED, *ANYTHING))], accepts)

    def first(self, patterns: Sequence[str], accepts: Callable[[str], object]) -> object:
        return first_of(self.texts, patterns, accepts)


def first_of(texts: Sequence[Text], patterns: Sequence[str], accepts: Callable[[str], object]) -> object:
    """In the first text that has any, what fits the first pattern that fits."""
    for text in texts:
        for pattern in patterns:
            value = text.find(pattern, accepts)
            if value is not UNKNOWN:
                return value
    return UNKNOWN


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

IS = r"\s*(?:(?:is|are|of|=|:|#|は|が|を|是|为|为了|の)\s*)?"
SPELLED = {
    word: number for number, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 2)
}
NUMBER = (
    r"(?<![A-Za-z0-9_.,/:-])(?:-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)(?![A-Za-z0-9_]|[.,:/-]\d)"
    rf"|\b(?:{'|'.join(SPELLED)})\b"
)


def number_of(said: str) -> float | None:
    if said.lower() in SPELLED:
        return SPELLED[said.lower()]
    plain = said.replace(",", "")
    if len(plain) > 15 or not re.fullmatch(r"-?\d+(?:\.\d+)?", plain):
        return None
    return float(plain) if "." in plain else int(plain)


def in_range(value: float, schema: Json) -> bool:
    def limit(key: str) -> float | None:
        found = schema.get(key)
        return None if isinstance(found, bool) or not isinstance(found, int | float) else found

    low, high, step = limit("minimum"), limit("maximum"), limit("multipleOf")
    above, below = limit("exclusiveMinimum"), limit("exclusiveMaximum")
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
        and (not step or value % step == 0)
    )


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

QUOTED = r"[\"“「『]([^\"”」』]+)[\"”」』]|(?<![A-Za-z0-9])'([^']+)'"
WITH_DIGITS = r"(?a)(?<![\w.-])#?([\w-]*\d[\w-]*)"
PROPER = r"(?<![.!?:]\s)(?<!^)(?<![\"'“])\b([A-Z][\w’-]*[a-z][\w’-]*(?:\s+[A-Z][\w’-]+)*)"
AFTER = r"\b(?:in|at|near|for|to|from|of|about|with)\s+(?:the\s+)?"
NO_NAME = "今日|明日|昨日|今天|明天|昨天|后天|现在|今|请|帮我|查询|查一下|查|告诉我|注文|订单"
NAMES_IN_KANJI = rf"((?:(?!{NO_NAME})[\u3400-\u9fff\u30a0-\u30ffA-Za-z]){{2,8}}?)"
PLACES = (
    rf"{AFTER}([A-Z][\w’-]*(?:\s+[A-Z][\w’-]+)*)",
    r"(?i)\b(?:in|at|near)\s+(?!(?:the|my|a|an|this|that)\b)([a-z’-]{3,})",
    PROPER,
    rf"{NAMES_IN_KANJI}(?=の|で|は|まで|から|へ|に)",
    rf"{NAMES_IN_KANJI}(?=的|今天|明天|后天|昨天|现在|天气|天気|市)",
    rf"(?:在|去|到|从){NAMES_IN_KANJI}",
)
PEOPLE = (
    r"\b(?:to|for|named|called|by|with)\s+([A-Z][\w’-]*(?:\s+[A-Z][\w’-]+)*)",
    PROPER,
    r"([\u3400-\u9fff\u30a0-\u30ffA-Za-z]{1,8})(?=さん|様|くん)",
    r"(?:给|叫|为|通知)([\u3400-\u9fff]{2,3}|[A-Za-z]+)",
)
ANYTHING = (WITH_DIGITS, *PEOPLE[:2])
MAIL = r"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
CONTENT = (QUOTED, r"(?i)\b(?:saying|says|that says|telling (?:her|him|them))\s+(?:that\s+)?([^.!?\n]+)")
SEARCHED = (
    r"(?i)\b(?:for|about)\s+([^.!?\n]+)",
    r"([^。！？\n]+?)(?:を|について)(?:検索|調べ|探)",
    r"(?:搜索|查找|查询|搜一下|查一下)(?:一下)?(?:关于)?([^。！？，\n]+)",
)
KINDS: Mapping[str, Sequence[str]] = {
    "id": (WITH_DIGITS, QUOTED),
    "time": (r"(?<!\d)(\d{1,2}:\d{2}(?::\d{2})?)(?!\d)",),
    "mail": (MAIL,),
    "url": (r"(https?://[^\s\"'<>、。）)]+)",),
    "uuid": (r"(?i)\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b",),
    "moment": (r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)",),
    "place": (*PLACES, QUOTED),
    "person": (MAIL, *PEOPLE, QUOTED),
    "content": CONTENT,
}
FORMATS = {
    "date": "date", "time": "time", "date-time": "moment", "email": "mail", "uri": "url", "url": "url", "uuid": "uuid",
}  # fmt: skip
BY_NAME: Sequence[tuple[str, str]] = (
    ("mail", r"\be ?mail\b|メール|邮箱|邮件"),
    ("url", r"\b(?:url|uri|link|website)\b"),
    ("id", r"\b(?:id|ids|number|no|nr|num|code|key|ref|reference|sku|serial|tracking|isbn)\b|番号|编号|単号|号$|ID"),
    ("date", r"\b(?:date|day|deadline|birthday|when)\b|日付|日期|日$"),
    ("time", r"\b(?:time|hour)\b|時刻|时间"),
    ("query", r"\b(?:query|question|prompt|topic|keywords?|term|q|input|search|request)\b|質問|问题|検索|关键词"),
    ("content", r"\b(?:text|message|content|body|subject|note|title|comment|reason|summary|phrase|sentence)\b|内容|本文|正文"),
    ("place", r"\b(?:city|location|place|country|town|region|destination|origin|where|address|area|state)\b"
              r"|都市|場所|町|街|県|国$|城市|地点|住所|地址"),
    ("person", r"\b(?:name|person|user|customer|recipient|to|who|author|contact|guest)\b|名前|氏名|姓名|名字"),
)  # fmt: skip


def kind_of(name: str, schema: Json) -> str:
    """What such a value looks like: by its format, its name, or its description."""
    declared = schema.get("format")
    if isinstance(declared, str) and declared in FORMATS:
        return FORMATS[declared]
    described = schema.get("description")
    for told in (" ".join(name_words(name)), described if isinstance(described, str) else ""):
        for kind, pattern in BY_NAME:
            if re.search(rf"(?i){pattern}", told[:500]):
                return kind
    return ""


def labels(name: str) -> str:
    """A pattern for how people call an argument: `order_id` is also an order, and 注文 and 订单."""
    words = [re.escape(word) for word in name_words(name)]
    whole = r"[\s_-]?".join(words)
    kept = [word for word in words if word not in LABEL_ENDS]
    short = r"[\s_-]?".join(kept) if kept else whole
    foreign = [CONCEPTS[word] for word in kept if word in CONCEPTS]
    shapes = "|".join(
        rf"(?<![A-Za-z]){shape}(?![a-z])" if shape.isascii() else shape for shape in dict.fromkeys((whole, short))
    )
    return f"(?:{'|'.join([shapes, *foreign])})"


LABEL_ENDS = frozenset({"id", "ids", "number", "no", "nr", "num", "code", "key", "name", "is", "has", "with", "the"})


def near_text(name: str, kind: str) -> list[str]:
    label = labels(name)
    if kind == "id":
        ends = r"(?:s|\s+(?:id|ids|number|numbers|no\.?|nr\.?|code)\b|番号|编号|単号|号)*"
        return [rf"(?ai){label}{ends}\s*(?:is|are|=|:|は|が|の|是|为|[#(])?\s*[#\"“「]?([\w-]*\d[\w-]*)"]
    return [rf"(?i){label}\s*(?:is|=|:|は|是|为)\s*[\"“「']?([^\"”」',.;!?。、，！？\n]+)"]


def text_accepted(schema: Json) -> Callable[[str], object]:
    """Takes a text that the schema allows, as far as length and pattern go."""
    least, most = schema.get("minLength"), schema.get("maxLength")
    pattern = schema.get("pattern")

    def accepts(said: str) -> object:
        fits = (
            bool(said)
            and (not isinstance(least, int) or len(said) >= least)
            and (not isinstance(most, int) or len(said) <= most)
            and (not isinstance(pattern, str) or matches(pattern, said))
        )
        return said if fits else UNKNOWN

    return accepts


def matches(pattern: str, text: str) -> bool:
    from runner.checks.allowance import TookTooLong
    from runner.checks.matching import BadPattern, find

    try:
        return find(pattern, text, 0.1) is not None
    except (BadPattern, TookTooLong):
        return False


# ── days ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
MONTH = r"(?:" + "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS) + r")\.?"
NEAR_DAYS = {
    "today": 0, "今日": 0, "本日": 0, "今天": 0, "tomorrow": 1, "明日": 1, "明天": 1, "yesterday": -1, "昨日": -1, "昨天": -1,
    "明後日": 2, "后天": 2,
}  # fmt: skip
DATE = (
    r"(?i)(\d{4}-\d{2}-\d{2}|(?:\d{4}\s*年\s*)?\d{1,2}\s*月\s*\d{1,2}\s*[日号]"
    rf"|\b{MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s+\d{{4}})?\b|\b\d{{1,2}}(?:st|nd|rd|th)?\s+{MONTH}(?:\s+\d{{4}})?\b"
    r"|明後日|" + "|".join(NEAR_DAYS) + r")"
)


def date_of(said: str, now: float, accepts: Callable[[str], object]) -> object:
    """A day as people say it, as `2026-03-05`; this year's if no year is said."""
    from datetime import UTC, date, datetime, timedelta

    today = datetime.fromtimestamp(now, UTC).date()
    if said.lower() in NEAR_DAYS:
        return accepts((today + timedelta(days=NEAR_DAYS[said.lower()])).isoformat())
    numbers = [int(number) for number in re.findall(r"\d+", said)]
    named = next((place for place, month in enumerate(MONTHS, 1) if month[:3] in said.lower()), None)
    year = next((number for number in numbers if number > 31), today.year)
    rest = [number for number in numbers if number <= 31]
    month, day = (named, rest[0]) if named and rest else (rest[0], rest[1]) if len(rest) > 1 else (0, 0)
    try:
        return accepts(date(year, month, day).isoformat())
    except ValueError:
        return UNKNOWN
