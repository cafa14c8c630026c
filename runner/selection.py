"""Choose which of many conversations are played, and in what order: by tags, texts, rows, what came of them, and shards."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heapreplace
from unicodedata import normalize

from runner.values import dataclass
from runner.words import _, listed, nearest, ngettext

__all__ = [
    "Candidate",
    "Expression",
    "Identity",
    "NoSuchRow",
    "Past",
    "Selected",
    "Selection",
    "SelectionProblem",
    "Shard",
    "Tags",
    "select",
]

Identity = tuple[str, str]
"""What a conversation is known by from one run to the next: its file, from the project's folder with `/`, and its label."""

UNSUCCESSFUL = ("failed", "error")


class SelectionProblem(ValueError):
    """A choice that cannot be meant; the text is a sentence."""


class NoSuchRow(SelectionProblem):
    """A row that is called so, or has that number, there is not: nothing is selected."""


@dataclass(frozen=True, slots=True)
class Past:
    """What came of a conversation the last time it was played."""

    outcome: str
    seconds: float

    @property
    def unsuccessful(self) -> bool:
        return self.outcome in UNSUCCESSFUL


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to be known of a conversation to choose it. `flow` is its flow's place among all flows, from 0; `row` counts
    from 1; `path` is its file as it was named."""

    flow: int
    row: int
    identity: Identity
    path: str
    name: str
    tags: tuple[str, ...]
    target: str | None = None
    model: str | None = None

    @property
    def label(self) -> str:
        return self.identity[1]


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`th of `count` parts, from 1."""

    index: int
    count: int

    @classmethod
    def read(cls, written: str) -> "Shard":
        """`2/8` as a Shard; raise SelectionProblem for anything else."""
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", written)
        if match is None:
            raise SelectionProblem(_("not a shard; write it like `1/4`: the first of four parts"))
        index, count = int(match[1]), int(match[2])
        if not 1 <= index <= count:
            raise SelectionProblem(_("there is no such part; of {count} parts, the first is 1").format(count=count))
        return cls(index, count)


@dataclass(frozen=True, slots=True)
class Tags:
    """A flow must have one of those `wanted`, if there are any, and none of those `unwanted`."""

    written: tuple[str, ...]
    wanted: frozenset[str]
    unwanted: frozenset[str]

    @classmethod
    def read(cls, written: Sequence[str]) -> "Tags":
        """Tags, the unwanted ones with `!` before them; raise SelectionProblem where none stands."""
        wanted = frozenset(folded(tag) for tag in written if not tag.startswith("!"))
        unwanted = frozenset(folded(tag[1:]) for tag in written if tag.startswith("!"))
        if "" in wanted | unwanted:
            raise SelectionProblem(_("no tag; write one, or `!` and one to leave its flows out"))
        return cls(tuple(written), wanted, unwanted)

    def fit(self, candidate: "Candidate") -> bool:
        own = {folded(tag) for tag in candidate.tags}
        return not own & self.unwanted and (not self.wanted or bool(own & self.wanted))


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for; nothing of it means everything. `cases` are labels, or numbers of rows."""

    tags: Tags | None = None
    text: "Expression | None" = None
    cases: tuple[str, ...] = ()
    last_failed: bool = False
    failed_first: bool = False
    shard: Shard | None = None

    @property
    def looks_back(self) -> bool:
        """Whether it must be known what came of former runs."""
        return self.last_failed or self.failed_first


@dataclass(frozen=True, slots=True)
class Selected:
    """The places of the chosen candidates in the order they are to be played, and the number each has in reports: its place
    among all that tags, text and rows choose, whatever part of them is played and in whatever order.

    Of none, `reason` says in a sentence what left none. `shared` is how many all shards play together, 0 if unknown.
    """

    places: tuple[int, ...]
    numbers: tuple[int, ...]
    reason: str = ""
    shared: int = 0

    def __len__(self) -> int:
        return len(self.places)


def select(
    candidates: Sequence[Candidate],
    selection: Selection,
    past: Mapping[Identity, Past] | None = None,
    durations: Mapping[Identity, float] | None = None,
) -> Selected:
    """What of the candidates is played. `past` says what came of them; `durations`, how long they took, makes shards take
    equally long. Raise SelectionProblem for a tag, a text or a row that cannot be meant."""
    past = past or {}
    left = list(range(len(candidates)))
    for option, sieve in tuple(sieves(candidates, selection)):  # all of them first: a mistake in one is said in any case
        kept = [place for place in left if sieve(candidates[place])]
        if left and not kept:
            return Selected((), (), nothing(option, len(left), candidates, selection))
        left = kept
    if not left:
        return Selected((), (), _("there are no conversations to select from"))
    numbers = {place: number for number, place in enumerate(left, 1)}
    # What came of former runs differs from machine to machine, so it has no say in where the parts are cut.
    if selection.shard:
        left = part(left, selection.shard, candidates, durations or {})
        if not left:
            return Selected((), (), empty_shard(selection.shard, len(numbers)))
    if selection.last_failed:
        left = [place for place in left if was(candidates[place], past).unsuccessful]
        if not left:
            return Selected((), (), nothing_failed(past))
    if selection.failed_first:
        left.sort(key=lambda place: not was(candidates[place], past).unsuccessful)
    # What failed on the machines of the other shards is not known here.
    shared = 0 if selection.last_failed else len(numbers)
    return Selected(tuple(left), tuple(numbers[place] for place in left), shared=shared)


UNKNOWN = Past("", 0)


def was(candidate: Candidate, past: Mapping[Identity, Past]) -> Past:
    return past.get(candidate.identity, UNKNOWN)


Sieve = Callable[[Candidate], bool]


def sieves(candidates: Sequence[Candidate], selection: Selection) -> Iterable[tuple[str, Sieve]]:
    """What lets candidates through, each with the option it comes from."""
    if selection.tags:
        yield " ".join(f"--tag {tag}" for tag in selection.tags.written), by_tags(selection.tags, candidates)
    if selection.text:
        yield f"-k {selection.text.written}", selection.text.fits
    if selection.cases:
        yield " ".join(f"--case {case}" for case in selection.cases), by_cases(selection.cases, candidates)


def folded(text: str) -> str:
    """A text as it is compared: capitals, full-width letters and spaces around it make no difference."""
    return normalize("NFKC", text).casefold().strip()


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

SEPARATORS = re.compile(r"\s*[,，、;|]\s*")
"""How several tags are written where one is meant."""


def by_tags(tags: Tags, candidates: Sequence[Candidate]) -> Sieve:
    """Raise SelectionProblem where several tags are written as one: none of them would be looked for."""
    known = {folded(tag) for candidate in candidates for tag in candidate.tags}
    for tag in tags.written:
        sign, name = ("!", tag[1:]) if tag.startswith("!") else ("", tag)
        parts = [part for part in SEPARATORS.split(name) if part]
        if folded(name) not in known and not known.isdisjoint(folded(part.removeprefix("!")) for part in parts):
            options = " ".join(f"--tag {part if part.startswith('!') else sign + part}" for part in parts)
            raise SelectionProblem(
                _("`--tag {tag}`: no flow has this tag; write `{options}` for several").format(tag=tag, options=options)
            )
    return tags.fit


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_cases(cases: Sequence[str], candidates: Sequence[Candidate]) -> Sieve:
    """A label is looked for before a number: rows may be called by numbers."""
    labels = {folded(candidate.label) for candidate in candidates if candidate.label}
    rows = max((candidate.row for candidate in candidates), default=0)
    wanted_labels: set[str] = set()
    wanted_rows: set[int] = set()
    for case in cases:
        number = re.fullmatch(r"\s*#?0*([1-9][0-9]{0,8})\s*", case)
        if folded(case) in labels:
            wanted_labels.add(folded(case))
        elif number and int(number[1]) <= rows:
            wanted_rows.add(int(number[1]))
        else:
            raise NoSuchRow(no_such_case(case, candidates, rows))
    return lambda candidate: candidate.row in wanted_rows or folded(candidate.label) in wanted_labels


def no_such_case(case: str, candidates: Sequence[Candidate], rows: int) -> str:
    known = list(dict.fromkeys(candidate.label for candidate in candidates if candidate.label))
    if not known:
        return _("`--case {case}`: none of these flows has `cases`").format(case=case)
    if near := nearest(case, known):
        return _("`--case {case}`: no row is called so; did you mean `{near}`?").format(case=case, near=near)
    return _("`--case {case}`: no row is called so; write a number from 1 to {rows}, or one of {labels}").format(
        case=case, rows=rows, labels=listed(known)
    )


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

WORD = re.compile(r'\s*(?:"(?P<quoted>[^"]*)(?P<closed>"?)|(?P<sign>[()])|(?P<word>[^\s()]+))')
STRENGTH = {"or": 1, "and": 2, "not": 3}
OTHERS = {"&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "AND": "and", "OR": "or", "NOT": "not"}
"""How others write our words."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text looked for, as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Expression:
    """Texts joined by `and`, `or`, `not` and brackets; words that stand together are one text, and so is what stands in double
    quotes. `compiled` holds each word behind what it joins."""

    written: str
    compiled: tuple[Text | str, ...]

    @classmethod
    def read(cls, written: str) -> "Expression":
        """Raise SelectionProblem for what is no expression."""
        return cls(written, tuple(Text(folded(each.text)) if isinstance(each, Text) else each for each in postfix(written)))

    def fits(self, candidate: Candidate) -> bool:
        """Whether it is true of a path, a name and a label taken together."""
        place = folded("\n".join((candidate.identity[0], candidate.name, candidate.label)))
        found: list[bool] = []
        for each in self.compiled:
            if isinstance(each, Text):
                found.append(each.text in place)
            elif each == "not":
                found.append(not found.pop())
            else:
                right, left = found.pop(), found.pop()
                found.append(left and right if each == "and" else left or right)
        return found.pop()


def postfix(expression: str) -> list[Text | str]:
    """The expression with every word behind what it joins; a stack instead of recursion, for it may be long."""
    made: list[Text | str] = []
    waiting: list[str] = []
    complete = False
    """Whether what was read so far could stand alone."""
    for each in parts_of(expression):
        match each:
            case Text() | "(" | "not" if complete:
                word = each if isinstance(each, str) else each.text
                raise SelectionProblem(_("`and` or `or` is missing before `{word}`").format(word=word))
            case Text():
                made.append(each)
                complete = True
            case "(" | "not":
                waiting.append(each)
            case _ if not complete:
                raise SelectionProblem(_("a text is missing before `{word}`").format(word=each))
            case ")":
                while waiting and waiting[-1] != "(":
                    made.append(waiting.pop())
                if not waiting:
                    raise SelectionProblem(_("`)` closes nothing"))
                waiting.pop()
            case joins:
                while waiting and STRENGTH.get(waiting[-1], 0) >= STRENGTH[joins]:
                    made.append(waiting.pop())
                waiting.append(joins)
                complete = False
    if not made and not waiting:
        raise SelectionProblem(_("no text; write a part of a path, of a name or of a row"))
    if not complete:
        raise SelectionProblem(_("a text is missing after `{word}`").format(word=waiting[-1]))
    if "(" in waiting:
        raise SelectionProblem(_("`(` is not closed"))
    return [*made, *reversed(waiting)]


def parts_of(expression: str) -> Iterable[Text | str]:
    """The texts, words and brackets of an expression."""
    words: list[str] = []
    for match in WORD.finditer(expression):
        word = match["word"]
        if word in OTHERS:
            raise SelectionProblem(
                _("write `{word}` instead of `{written}`, or put the text in double quotes").format(
                    word=OTHERS[word], written=word
                ),
            )
        if word is not None and word not in STRENGTH:
            words.append(word)
            continue
        if words:
            yield Text(" ".join(words))
            words = []
        if match["quoted"] is not None:
            if not match["closed"]:
                raise SelectionProblem(_('`"` is not closed'))
            if not match["quoted"].strip():
                raise SelectionProblem(_('`""` is in every text'))
            yield Text(match["quoted"])
        else:
            yield word or match["sign"]
    if words:
        yield Text(" ".join(words))


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def part(
    places: Sequence[int], shard: Shard, candidates: Sequence[Candidate], durations: Mapping[Identity, float]
) -> list[int]:
    """One of equal parts of `places`, in their order; each place is in exactly one."""
    shuffled = sorted(places, key=lambda place: (digest(candidates[place].identity), place))
    known = [durations[candidates[place].identity] for place in places if candidates[place].identity in durations]
    if known:
        usual = sorted(known)[len(known) // 2]
        weights = {place: durations.get(candidates[place].identity, usual) for place in shuffled}
        mine = balanced(shuffled, weights, shard)
    else:
        # Cut where they stand, so that one more moves at most one conversation over each border.
        size = len(shuffled)
        mine = set(shuffled[size * (shard.index - 1) // shard.count : size * shard.index // shard.count])
    return [place for place in places if place in mine]


def balanced(places: Sequence[int], weights: Mapping[int, float], shard: Shard) -> set[int]:
    """The longest first, each to the part with the least so far."""
    parts = [(0.0, 0, index) for index in range(1, shard.count + 1)]
    heapify(parts)
    mine = set()
    for place in sorted(places, key=lambda place: -weights[place]):
        seconds, count, index = parts[0]
        if index == shard.index:
            mine.add(place)
        heapreplace(parts, (seconds + weights[place], count + 1, index))
    return mine


def digest(identity: Identity) -> bytes:
    """An order that has nothing to do with names, and is the same on every machine."""
    from hashlib import blake2b

    return blake2b("\0".join(identity).encode("utf-8", "surrogateescape"), digest_size=8).digest()


# ── nothing left ─────────────────────────────────────────────────────────────────────────────────────────────────────


def nothing(option: str, count: int, candidates: Sequence[Candidate], selection: Selection) -> str:
    sentence = ngettext(
        "nothing selected: `{option}` leaves none of {count} conversation",
        "nothing selected: `{option}` leaves none of {count} conversations",
        count,
    ).format(option=option, count=count)
    if not option.startswith("--tag"):
        return sentence
    known = sorted({tag for candidate in candidates for tag in candidate.tags})
    written = selection.tags.written if selection.tags else ()
    usual = set(map(folded, known))
    strange = [tag for tag in written if not tag.startswith("!") and folded(tag) not in usual]
    if strange and (near := nearest(strange[0], known)):
        return sentence + _("; did you mean `{name}`?").format(name=near)
    if strange and known:
        return sentence + _("; the tags are {names}").format(names=listed(known))
    return sentence if known else sentence + _("; no flow has tags")


def empty_shard(shard: Shard, count: int) -> str:
    return ngettext(
        "nothing selected: part {index} of {parts} is empty, for there is {count} conversation",
        "nothing selected: part {index} of {parts} is empty, for there are {count} conversations",
        count,
    ).format(index=shard.index, parts=shard.count, count=count)


def nothing_failed(past: Mapping[Identity, Past]) -> str:
    if not past:
        return _("nothing selected: `--last-failed` finds no record of an earlier run here")
    return _("nothing selected: of these conversations none failed when it was last played")
