"""Which of the declared functions a message asks for, with arguments from what was said, or what it leaves open.

A function is asked for by its name, or by the words of its name and description. One that changes something also needs its
verb in the message, and a question about the past or the how is no order to act.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.embedded.calculator import formula_in
from runner.embedded.filling import Text, fill
from runner.embedded.objects import Json
from runner.embedded.vocabulary import acts, in_order, name_words, reads, stem, words
from runner.values import dataclass

__all__ = ["Said", "Wanted", "wanted"]

PAST = 10
"""How many earlier messages of each side are looked at."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message, what it is about, and what user and assistant said before it, oldest first."""

    message: str
    topic: str
    earlier: Sequence[str]
    answers: Sequence[str]
    now: float

    @property
    def past(self) -> list[Text]:
        """Newest first; what the user said counts before what was answered."""
        return [Text(text) for text in (*self.earlier[: -PAST - 1 : -1], *self.answers[: -PAST - 1 : -1])]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function that is asked for: its arguments, or the names of those that nothing was said for."""

    name: str
    arguments: Json
    missing: tuple[str, ...] = ()


def wanted(tools: Sequence[Json], said: Said) -> tuple[Wanted, ...]:
    """What the message asks for, in the order of the declarations."""
    said = replace(said, message=unicodedata.normalize("NFKC", said.message))
    declared = [tool["function"] for tool in tools if tool.get("type") == "function"]
    functions = [function for function in declared if not is_forbidden(function["name"], said.message)]
    found = [function for function in functions if is_named(function["name"], said.message)]
    if found:
        return tuple(filled(function, said, [other["name"] for other in found]) for function in found)
    fits = fitting(functions, said)
    made = [filled(functions[fit.place], said, [], fit.verb) for fit in fits]
    return tuple(one for one, fit in zip(made, fits, strict=True) if not (fit.loose and one.missing))


def filled(function: Json, said: Said, names: Sequence[str], verb: str = "") -> Wanted:
    texts = [*own_parts(function["name"], names, verb, said), *said.past]
    arguments, missing = fill(function.get("parameters") or {}, texts, said.now)
    return Wanted(function["name"], arguments, missing)


def own_parts(name: str, names: Sequence[str], verb: str, said: Said) -> list[Text]:
    """Where to look first: behind the function's name up to the next one's, or behind its verb; then in all of the message."""
    bare = said.message
    for each in names:
        bare = spelled(each).sub(lambda match: " " * len(match[0]), bare)
    whole = Text(bare, spelled(name).sub(" ", said.topic).strip() or said.topic)
    at = spelled(name).search(said.message)
    if names and at is not None:
        starts = sorted(match.start() for each in names for match in spelled(each).finditer(said.message))
        return [whole.part(at.start(), next((start for start in starts if start > at.start()), len(bare))), whole]
    verbs = [match.end() for match in re.finditer(r"[A-Za-z]{2,}", said.message) if verb and verb in words(match[0])]
    return [whole.part(verbs[-1]), whole] if verbs else [whole]


# ── by name ──────────────────────────────────────────────────────────────────────────────────────────────────────────

NOT = r"(?i)\b(?:don['’]t|do not|never|without|not to|must not|should not|shouldn['’]t)\b[^.!?\n]{0,40}$"
NOT_BEHIND = r"^[^。！？\n]{0,12}(?:ないで|しない|不要)"
NOT_BEFORE = r"(?:不要|别|不用|请勿)[^。！？，\n]{0,8}$"


def spelled(function: str) -> re.Pattern[str]:
    """The name as written, or with spaces or hyphens for underscores."""
    pattern = re.escape(function).replace("_", r"[_\s-]").replace(r"\-", r"[_\s-]")
    return re.compile(rf"(?<![A-Za-z0-9_]){pattern}(?![A-Za-z0-9_])", re.IGNORECASE)


def is_named(name: str, message: str) -> bool:
    """Whether the message names the function, and not to leave it alone. Plain words that name what acts must be an order."""
    for match in spelled(name).finditer(message):
        if denied(message, match.start(), match.end()):
            continue
        as_written = match[0] == name and ("_" in name or "-" in name or name != name.lower())
        if as_written or not any(acts(stem(word)) for word in name_words(name)) or orders(message):
            return True
    return False


def is_forbidden(name: str, message: str) -> bool:
    """Whether the message names the function to say that it is not to be used."""
    named = list(spelled(name).finditer(message))
    return bool(named) and all(denied(message, match.start(), match.end()) for match in named)


def denied(message: str, start: int, end: int) -> bool:
    before = message[max(0, start - 60) : start]
    return bool(re.search(NOT, before) or re.search(NOT_BEFORE, before) or re.search(NOT_BEHIND, message[end : end + 20]))


# ── by words ─────────────────────────────────────────────────────────────────────────────────────────────────────────

POLITE = (
    r"(?i)\b(?:please|(?:can|could|would|will) you|i (?:want|need|would like|['’]d like) (?:to|you)|go ahead)\b"
    r"|ください|下さい|くれ|もらえ|いただけ|お願い|したい|请|帮我|帮忙|麻烦|我想|我要"
)
ABOUT_ACTS = (
    r"(?i)(?:^|[.!?\n])\W*(?:is|are|was|were|has|have|had|did|does|do|why|when|where|what|which|who|how)\b"
    r"|\b(?:can|may|should|could) i\b|\bhow (?:do|can|to)\b"
    r"|されまし|されてい|しましたか|でしたか|ましたか|方法|どうやって|どうすれば|怎么|如何|了吗|是否|已经|可以.{0,12}吗"
)
HOW = r"(?i)\bhow (?:do|can|could|to|would)\b|方法|どうやって|どうすれば|怎么|如何"
TELLS = r"(?i)\b(?:i|we|my|our|thanks|thank|hello|hi)\b|我|私|谢|ありがとう"
NEGATED = r"(?i)\b(?:don['’]t|do not|never|must not|should not|shouldn['’]t)\b|ないで|しない|不要|别|不用|请勿"
QUESTION = (
    r"(?i)[?？]|(?:^|[.!\n])\W*(?:what|where|when|which|who|how|why|is|are|was|were|do|does|did|has|have|can|could|will|would)\b"
    r"|(?:か|かな)[。\s]*$|[吗呢][。\s]*$|什么|怎么|哪|多少|几"
)
REQUEST = (
    r"(?i)\b(?:show|tell|give|find|get|check|look|list|fetch|search|need|want|know|track|please|status)\b"
    r"|教え|調べ|見せ|知りた|確認|探し|ください|请|查|告诉|看看|想知道|帮"
)
BACK = r"(?i)\b(?:it|that|this|them|they|those|these|the same|one)\b|それ|これ|あれ|その|この|さっき|它|那|这|刚才"
GRAMMAR = (
    r"(?i)\b(?:please|can|could|would|will|you|now|yes|ok|okay|so|then|thanks|do|go|ahead|and|just|for|me|i|want|to|need|like)\b"
    r"|请|帮我|麻烦|一下|吧|了|吗|好的|好|我想|我要|お願い|[\u3040-\u309f\W_]"
)


def orders(message: str) -> bool:
    """Whether a message may mean that something be done: no question about it, and no word against it."""
    if re.search(NEGATED, message) or re.search(HOW, message):
        return False
    return bool(re.search(POLITE, message)) or not re.search(ABOUT_ACTS, message)


def asks(message: str) -> bool:
    return bool(re.search(QUESTION, message) or re.search(REQUEST, message))


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a function fits: by which words of its own, and how well."""

    place: int
    evidence: frozenset[str]
    whole: bool
    """Whether all that its name speaks of stands in the message itself."""
    verb: str
    """The verb by which it acts, if it does."""
    loose: bool
    """Whether nothing but its words asks for it: then all it needs must have been said."""
    score: float


def fitting(functions: Sequence[Json], said: Said) -> list[Fit]:
    """The functions whose words the message has: the best, and each further one that is about something else."""
    spoken = words(said.message)
    past = words(said.earlier[-1]) if said.earlier and refers_back(said.message) else frozenset()
    fits = [fit for place, each in enumerate(functions) if (fit := fit_of(place, each, said.message, spoken, past))]
    chosen: list[Fit] = []
    for fit in sorted(fits, key=lambda fit: (-fit.score, fit.place)):
        covered = frozenset[str]().union(*(other.evidence for other in chosen))
        if not chosen or (fit.whole and not fit.evidence <= covered and fit.evidence.isdisjoint(covered)):
            chosen.append(fit)
    return sorted(chosen, key=lambda fit: fit.place)


def refers_back(message: str) -> bool:
    """Whether a message speaks of what was said before: by a pronoun, or by nothing but a verb."""
    if re.search(BACK, message):
        return True
    if re.search(r"[^\d-]", formula_in(message)):
        return False  # a calculation stands for itself; digits and hyphens may be a number of an order
    return all(acts(word) for word in in_order(re.sub(GRAMMAR, " ", message)))


def fit_of(place: int, function: Json, message: str, spoken: frozenset[str], past: frozenset[str]) -> Fit | None:
    shape = shape_of(function)
    in_message, hinted = shape.nouns & spoken, shape.hints & spoken
    verb = next((verb for verb in shape.verbs if verb in spoken), "")
    whole = bool(shape.nouns) and shape.nouns <= spoken
    loose = not shape.acting and not asks(message)
    if shape.acting and not (verb and orders(message)):
        return None
    if loose and (not whole or re.search(TELLS, message)):
        return None
    if not shape.acting and acts_elsewhere(message, spoken, whole):
        return None
    remembered = (shape.nouns | shape.hints) & past
    enough = 2 * len(in_message) >= len(shape.nouns) > 0 or bool(in_message and hinted - shape.nouns)
    described = len(hinted) >= min(2, len(shape.hints)) > 0 or any(not word.isascii() for word in hinted)
    alone = shape.acting and (not shape.nouns or verb == stem("buy"))
    if not (enough or described or alone or remembered):
        return None
    evidence = in_message | hinted if enough or described else remembered
    score = 4.0 * shape.acting + 2 * len(in_message) / (len(shape.nouns) or 1) + 0.5 * len(hinted) + 0.25 * len(remembered)
    return Fit(place, evidence, whole, verb, loose, score)


def acts_elsewhere(message: str, spoken: frozenset[str], whole: bool) -> bool:
    """Whether the message is about doing something, so that looking something up is not what it asks for."""
    if not any(acts(word) for word in spoken):
        return False
    if re.search(HOW, message) or re.search(NEGATED, message):
        return True
    return not whole and orders(message) and not re.search(r"[?？]", message)


@dataclass(frozen=True, slots=True)
class Shape:
    """The words a function goes by: its verbs, what its name speaks of, and what its description adds."""

    acting: bool
    verbs: tuple[str, ...]
    nouns: frozenset[str]
    hints: frozenset[str]


def shape_of(function: Mapping[str, object]) -> Shape:
    named = in_order(" ".join(name_words(str(function["name"]))))
    description = function.get("description")
    described = in_order(description[:500]) if isinstance(description, str) else ()
    first = next((word for word in named if acts(word) or reads(word)), None)
    # An English description says what is done first, a Japanese one last.
    opening = described[:1] if isinstance(description, str) and description.isascii() else described
    doing = [word for word in (*named, *opening) if acts(word)]
    acting = acts(first) if first else bool(doing)
    verbs = dict.fromkeys(doing) if acting else {}
    skipped = {first, *verbs, *(word for word in (*named, *described) if reads(word))}
    return Shape(acting, tuple(verbs), frozenset(named) - skipped, frozenset(described) - skipped)
