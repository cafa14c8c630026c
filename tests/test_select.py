from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.selection import Candidate, Expression, Identity, Past, Selection, SelectionProblem, Shard, Tags, select


def candidate(path: str, label: str = "", *tags: str, name: str = "", row: int = 1, flow: int = 0) -> Candidate:
    return Candidate(flow, row, (path, label), path, name or path.rpartition("/")[2].removesuffix(".yaml"), tags)


PAINT = candidate("flows/paint.yaml", "", "smoke", "art")
ORDERS = candidate("flows/shop/orders.yaml", "", "smoke", "slow", name="Where is my order?")
KYOTO = candidate("flows/trips.yaml", "Ana, Kyoto", "Ｔｏｋｙｏ", row=1)
NARA = candidate("flows/trips.yaml", "Ben, 奈良", "Ｔｏｋｙｏ", row=2)
ALL = (PAINT, ORDERS, KYOTO, NARA)


def paths(selection: Selection, past: Mapping[Identity, Past] | None = None) -> list[str]:
    return [" ".join(filter(None, ALL[place].identity)) for place in select(ALL, selection, past).places]


def tagged(*tags: str) -> list[str]:
    return paths(Selection(tags=Tags.read(tags)))


def found(text: str) -> list[str]:
    return paths(Selection(text=Expression.read(text)))


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_any_of_the_tags_will_do_and_none_of_the_unwanted() -> None:
    assert ["flows/paint.yaml", "flows/shop/orders.yaml"] == tagged("smoke")
    assert ["flows/paint.yaml", "flows/shop/orders.yaml"] == tagged("art", "slow")
    assert ["flows/paint.yaml"] == tagged("smoke", "!slow")
    assert ["flows/paint.yaml", "flows/trips.yaml Ana, Kyoto", "flows/trips.yaml Ben, 奈良"] == tagged("!slow")
    assert [] == tagged("slow", "!slow")


def test_tags_are_whole_words_whose_capitals_and_width_make_no_difference() -> None:
    assert [] == tagged("smo")
    assert ["flows/trips.yaml Ana, Kyoto", "flows/trips.yaml Ben, 奈良"] == tagged("tokyo") == tagged("TOKYO ")


@pytest.mark.parametrize(
    ("tag", "several"),
    [
        ("slow,smoke, Tokyo", "--tag slow --tag smoke --tag Tokyo"),
        ("!slow，nightly", "--tag !slow --tag !nightly"),
        ("!nightly | !TOKYO,", "--tag !nightly --tag !TOKYO"),
        ("art;!slow", "--tag art --tag !slow"),
    ],
)
def test_several_tags_written_as_one_are_refused(tag: str, several: str) -> None:
    with pytest.raises(SelectionProblem) as caught:
        tagged("art", tag)
    assert f"`--tag {tag}`: no flow has this tag; write `{several}` for several" == str(caught.value)


def test_a_tag_may_hold_a_comma_or_be_one_that_no_flow_has() -> None:
    both = candidate("both.yaml", "", "art, slow")
    assert (1,) == select([PAINT, both], Selection(tags=Tags.read(["art, slow"]))).places
    assert (0,) == select([PAINT, both], Selection(tags=Tags.read(["!Art, slow"]))).places
    assert (0,) == select([PAINT], Selection(tags=Tags.read(["!nightly,weekly", "!art today"]))).places


@pytest.mark.parametrize("tags", [[""], ["!"], ["smoke", " "]])
def test_a_tag_that_is_none_is_refused(tags: list[str]) -> None:
    with pytest.raises(SelectionProblem, match=r"^no tag; write one, or `!` and one to leave its flows out$"):
        Tags.read(tags)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("paint", ["flows/paint.yaml"]),
        ("PAINT.yaml", ["flows/paint.yaml"]),
        ("shop/", ["flows/shop/orders.yaml"]),
        ("where is my", ["flows/shop/orders.yaml"]),
        ("my   order?", ["flows/shop/orders.yaml"]),
        ("ａｎａ", ["flows/trips.yaml Ana, Kyoto"]),
        ("奈良", ["flows/trips.yaml Ben, 奈良"]),
        ("trips and not kyoto", ["flows/trips.yaml Ben, 奈良"]),
        ("paint or orders", ["flows/paint.yaml", "flows/shop/orders.yaml"]),
        ("not (paint or orders) and not ben", ["flows/trips.yaml Ana, Kyoto"]),
        ("paint or trips and kyoto", ["flows/paint.yaml", "flows/trips.yaml Ana, Kyoto"]),
        ("(paint or trips)and(kyoto)", ["flows/trips.yaml Ana, Kyoto"]),
        ("not not paint", ["flows/paint.yaml"]),
        ('"order?" or "and"', ["flows/shop/orders.yaml"]),
        ("candy", []),
    ],
)
def test_text_is_looked_for_in_path_name_and_row(text: str, paths: list[str]) -> None:
    assert paths == found(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no text; write a part of a path, of a name or of a row"),
        ("  ", "no text; write a part of a path, of a name or of a row"),
        ("and cat", "a text is missing before `and`"),
        ("cat or", "a text is missing after `or`"),
        ("cat and or dog", "a text is missing before `or`"),
        ("not", "a text is missing after `not`"),
        ("(", "a text is missing after `(`"),
        ("()", "a text is missing before `)`"),
        ("(cat", "`(` is not closed"),
        ("cat)", "`)` closes nothing"),
        ("cat (dog)", "`and` or `or` is missing before `(`"),
        ("Do not Disturb", "`and` or `or` is missing before `not`"),
        ("(cat) Dog", "`and` or `or` is missing before `Dog`"),
        ('cat "dog', '`"` is not closed'),
        ('cat or ""', '`""` is in every text'),
        ('" "', '`""` is in every text'),
        ("cat && dog", "write `and` instead of `&&`, or put the text in double quotes"),
        ("! dog", "write `not` instead of `!`, or put the text in double quotes"),
        ("cat OR dog", "write `or` instead of `OR`, or put the text in double quotes"),
    ],
)
def test_mistake_in_a_text_is_said(text: str, reason: str) -> None:
    with pytest.raises(SelectionProblem) as caught:
        Expression.read(text)
    assert reason == str(caught.value)


def test_length_of_a_text_has_no_limit() -> None:
    deep = "(" * 5000 + "paint" + ")" * 5000
    assert ["flows/paint.yaml"] == found(deep) == found("not " * 5000 + "paint")


Tree = str | tuple[str, "Tree"] | tuple[str, "Tree", "Tree"]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from("abc"),
    lambda tree: st.tuples(st.just("not"), tree) | st.tuples(st.sampled_from(["and", "or"]), tree, tree),
    max_leaves=12,
)


def written(tree: Tree, strength: int = 0) -> str:
    """With no more brackets than needed."""
    match tree:
        case str():
            return tree
        case ("not", inner):
            return f"not {written(inner, 3)}"
        case (joins, left, right):
            own = {"or": 1, "and": 2}[joins]
            text = f"{written(left, own)} {joins} {written(right, own)}"
            return f"({text})" if own < strength else text
    raise AssertionError(tree)


def meant(tree: Tree, name: str) -> bool:
    match tree:
        case str():
            return tree in name
        case ("not", inner):
            return not meant(inner, name)
        case ("and", left, right):
            return meant(left, name) and meant(right, name)
        case ("or", left, right):
            return meant(left, name) or meant(right, name)
    raise AssertionError(tree)


@given(TREES, st.sets(st.sampled_from("abc")))
def test_text_means_what_its_words_mean(tree: Tree, letters: set[str]) -> None:
    name = "".join(sorted(letters))
    expression = Expression.read(written(tree))
    assert meant(tree, name) == expression.fits(Candidate(0, 1, ("", ""), "", name, ()))


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_row_is_chosen_by_its_values_or_number() -> None:
    assert ["flows/trips.yaml Ana, Kyoto"] == paths(Selection(cases=("ana, kyoto",)))
    assert ["flows/trips.yaml Ben, 奈良"] == paths(Selection(cases=("2",))) == paths(Selection(cases=("#02",)))
    assert ["flows/trips.yaml Ana, Kyoto", "flows/trips.yaml Ben, 奈良"] == paths(Selection(cases=("2", "Ana, Kyoto")))
    assert ["flows/paint.yaml", "flows/shop/orders.yaml", "flows/trips.yaml Ana, Kyoto"] == paths(Selection(cases=("1",)))


def test_label_that_is_a_number_comes_before_the_number_of_a_row() -> None:
    years = [candidate("y.yaml", label, row=row) for row, label in enumerate(("2", "1", "x"), 1)]
    assert (1,) == select(years, Selection(cases=("1",))).places
    assert (2,) == select(years, Selection(cases=("3",))).places
    assert (0,) == select(years, Selection(cases=("#1",))).places


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        ("Ana, Kyotoo", "`--case Ana, Kyotoo`: no row is called so; did you mean `Ana, Kyoto`?"),
        ("3", "`--case 3`: no row is called so; write a number from 1 to 2, or one of `Ana, Kyoto`, `Ben, 奈良`"),
        ("0", "`--case 0`: no row is called so; write a number from 1 to 2, or one of `Ana, Kyoto`, `Ben, 奈良`"),
        ("", "`--case `: no row is called so; write a number from 1 to 2, or one of `Ana, Kyoto`, `Ben, 奈良`"),
    ],
)
def test_row_that_there_is_not_is_refused(cases: str, reason: str) -> None:
    with pytest.raises(SelectionProblem) as caught:
        select(ALL, Selection(cases=("1", cases)))
    assert reason == str(caught.value)


def test_mistake_in_a_row_is_said_though_a_tag_leaves_nothing() -> None:
    with pytest.raises(SelectionProblem):
        select(ALL, Selection(tags=Tags.read(["nightly"]), cases=("3",)))


def test_rows_of_flows_without_rows_are_refused() -> None:
    with pytest.raises(SelectionProblem) as caught:
        select([PAINT], Selection(cases=("Ana",)))
    assert "`--case Ana`: none of these flows has `cases`" == str(caught.value)


# ── what came of them before ─────────────────────────────────────────────────────────────────────────────────────────

PAST = {
    PAINT.identity: Past("passed", 1),
    ORDERS.identity: Past("failed", 2),
    KYOTO.identity: Past("flaky", 3),
    NARA.identity: Past("error", 4),
}


def test_last_failed_plays_what_failed_or_had_no_verdict() -> None:
    selected = select(ALL, Selection(last_failed=True), PAST)
    assert ((1, 3), (2, 4)) == (selected.places, selected.numbers)


def test_failed_first_changes_the_order_and_no_number() -> None:
    selected = select(ALL, Selection(failed_first=True), PAST)
    assert ((1, 3, 0, 2), (2, 4, 1, 3)) == (selected.places, selected.numbers)


def test_what_was_never_played_did_not_fail() -> None:
    assert ["flows/shop/orders.yaml"] == paths(Selection(last_failed=True), {ORDERS.identity: Past("failed", 1)})
    assert (0, 1, 2, 3) == select(ALL, Selection(failed_first=True)).places


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2", "not a shard; write it like `1/4`: the first of four parts"),
        ("1 of 4", "not a shard; write it like `1/4`: the first of four parts"),
        ("-1/4", "not a shard; write it like `1/4`: the first of four parts"),
        ("0/4", "there is no such part; of 4 parts, the first is 1"),
        ("5/4", "there is no such part; of 4 parts, the first is 1"),
        ("1/0", "there is no such part; of 0 parts, the first is 1"),
    ],
)
def test_shard_that_there_is_not_is_refused(written: str, reason: str) -> None:
    with pytest.raises(SelectionProblem) as caught:
        Shard.read(written)
    assert reason == str(caught.value)


def many(names: Sequence[str]) -> list[Candidate]:
    return [candidate(f"{name}.yaml", flow=number) for number, name in enumerate(names)]


def shards(
    candidates: Sequence[Candidate], count: int, durations: Mapping[Identity, float] | None = None
) -> list[list[Identity]]:
    """What each shard plays."""
    every = [select(candidates, Selection(shard=Shard(index, count)), None, durations) for index in range(1, count + 1)]
    return [[candidates[place].identity for place in each.places] for each in every]


NAMES = st.lists(st.text("abcdefg", min_size=1, max_size=6), unique=True, min_size=1, max_size=60)
SECONDS = st.none() | st.floats(0, 1e6)


@given(NAMES, st.integers(1, 12), st.data())
def test_every_conversation_is_in_exactly_one_shard(names: list[str], count: int, data: st.DataObject) -> None:
    candidates = many(names)
    took = {each.identity: seconds for each in candidates if (seconds := data.draw(SECONDS)) is not None}
    for durations in (None, took):
        parts = shards(candidates, count, durations)
        assert sorted(each.identity for each in candidates) == sorted(identity for part in parts for identity in part)


@given(NAMES, st.integers(1, 12))
def test_shards_are_equally_large_and_keep_the_order_and_the_numbers(names: list[str], count: int) -> None:
    candidates = many(names)
    sizes = [len(part) for part in shards(candidates, count)]
    assert max(sizes) - min(sizes) <= 1
    for index in range(1, count + 1):
        selected = select(candidates, Selection(shard=Shard(index, count)))
        assert tuple(sorted(selected.places)) == selected.places
        assert tuple(place + 1 for place in selected.places) == selected.numbers


@given(NAMES, st.text("xyz", min_size=1), st.integers(1, 12))
def test_one_flow_more_moves_one_conversation_over_each_border_at_most(names: list[str], added: str, count: int) -> None:
    def homes(parts: Sequence[Sequence[Identity]]) -> dict[Identity, int]:
        return {identity: index for index, part in enumerate(parts) for identity in part}

    before, after = homes(shards(many(names), count)), homes(shards(many([added, *names]), count))
    assert sum(after[identity] != index for identity, index in before.items()) <= count - 1


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=60), st.integers(1, 8))
def test_parts_by_durations_differ_by_no_more_than_the_longest_conversation(took: list[float], count: int) -> None:
    candidates = many([str(number) for number in range(len(took))])
    durations = {each.identity: seconds for each, seconds in zip(candidates, took, strict=True)}
    sums = [sum(durations[identity] for identity in part) for part in shards(candidates, count, durations)]
    assert max(sums) - min(sums) <= max(took) + 1e-6


@given(NAMES, st.integers(1, 12), st.randoms(use_true_random=False), st.booleans())
def test_order_in_which_files_are_named_moves_nothing(names: list[str], count: int, dice: Random, timed: bool) -> None:
    durations = {each.identity: float(len(each.path)) for each in many(names)} if timed else None
    before = shards(many(names), count, durations)
    dice.shuffle(names)
    assert [sorted(part) for part in before] == [sorted(part) for part in shards(many(names), count, durations)]


def test_neighbours_are_spread_over_the_shards() -> None:
    """The slow ones often lie in one folder."""
    parts = shards(many([f"slow{number}" for number in range(20)] + [f"x{number}" for number in range(20)]), 4)
    assert all(sum(path.startswith("slow") for path, _label in part) in range(2, 9) for part in parts)


def test_unknown_duration_counts_as_the_usual_one() -> None:
    candidates = many(["a", "b", "c", "d"])
    durations = {candidates[number].identity: seconds for number, seconds in enumerate((9.0, 3.0, 3.0))}
    parts = shards(candidates, 2, durations)
    assert [[("a.yaml", "")], [("b.yaml", ""), ("c.yaml", ""), ("d.yaml", "")]] == sorted(parts)


def test_shards_agree_whatever_their_machines_remember() -> None:
    """Each machine has a history of its own; what it says is asked for within its shard only."""
    candidates = many([str(number) for number in range(20)])
    histories = [{each.identity: Past("failed", 1) for each in candidates[start:]} for start in (0, 5)]
    played = [
        select(candidates, Selection(shard=Shard(index, 2), failed_first=True), past) for index, past in enumerate(histories, 1)
    ]
    assert list(range(20)) == sorted(place for each in played for place in each.places)
    assert all(number == place + 1 for each in played for place, number in zip(each.places, each.numbers, strict=True))


def test_a_shard_of_the_failed_is_what_failed_of_the_shard() -> None:
    candidates = many([str(number) for number in range(20)])
    failed = {each.identity: Past("failed", 1) for each in candidates[::3]}
    for index in (1, 2):
        whole = select(candidates, Selection(shard=Shard(index, 2)))
        again = select(candidates, Selection(shard=Shard(index, 2), last_failed=True), failed)
        assert tuple(place for place in whole.places if place % 3 == 0) == again.places


def test_a_shard_knows_how_many_all_play_unless_each_looks_back() -> None:
    assert (2, 4) == (len(half := select(ALL, Selection(shard=Shard(1, 2)))), half.shared)
    assert 0 == select(ALL, Selection(shard=Shard(1, 1), last_failed=True), PAST).shared


def test_numbers_are_places_among_what_tags_texts_and_rows_choose() -> None:
    numbers = []
    for index in (1, 2):
        selected = select(ALL, Selection(text=Expression.read("trips"), shard=Shard(index, 2)))
        numbers += [(place, number) for place, number in zip(selected.places, selected.numbers, strict=True)]
    assert [(2, 1), (3, 2)] == sorted(numbers)


# ── nothing left ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selection", "past", "reason"),
    [
        (
            Selection(tags=Tags.read(["smok"])),
            {},
            "nothing selected: `--tag smok` leaves none of 4 conversations; did you mean `smoke`?",
        ),
        (
            Selection(tags=Tags.read(["nightly"])),
            {},
            "nothing selected: `--tag nightly` leaves none of 4 conversations;"
            " the tags are `art`, `slow`, `smoke`, `Ｔｏｋｙｏ`",
        ),
        (
            Selection(tags=Tags.read(["nightly、weekly"])),
            {},
            "nothing selected: `--tag nightly、weekly` leaves none of 4 conversations;"
            " the tags are `art`, `slow`, `smoke`, `Ｔｏｋｙｏ`",
        ),
        (
            Selection(tags=Tags.read(["slow", "!slow"])),
            {},
            "nothing selected: `--tag slow --tag !slow` leaves none of 4 conversations",
        ),
        (
            Selection(tags=Tags.read(["art"]), text=Expression.read("orders")),
            {},
            "nothing selected: `-k orders` leaves none of 1 conversation",
        ),
        (
            Selection(text=Expression.read("paint"), cases=("2",)),
            {},
            "nothing selected: `--case 2` leaves none of 1 conversation",
        ),
        (
            Selection(last_failed=True),
            {},
            "nothing selected: `--last-failed` finds no record of an earlier run here",
        ),
        (
            Selection(last_failed=True),
            {PAINT.identity: Past("passed", 1)},
            "nothing selected: of these conversations none failed when it was last played",
        ),
    ],
)
def test_it_is_said_what_left_nothing(selection: Selection, past: dict[Identity, Past], reason: str) -> None:
    selected = select(ALL, selection, past)
    assert ((), (), reason) == (selected.places, selected.numbers, selected.reason)


def test_tags_of_flows_without_tags() -> None:
    selected = select([replace(PAINT, tags=())], Selection(tags=Tags.read(["smoke"])))
    assert "nothing selected: `--tag smoke` leaves none of 1 conversation; no flow has tags" == selected.reason


def test_shard_without_a_conversation_says_so() -> None:
    assert ["nothing selected: part 1 of 2 is empty, for there is 1 conversation", ""] == [
        select([PAINT], Selection(shard=Shard(index, 2))).reason for index in (1, 2)
    ]


def test_everything_is_selected_unless_told() -> None:
    selected = select(ALL, Selection())
    assert ((0, 1, 2, 3), (1, 2, 3, 4), "") == (selected.places, selected.numbers, selected.reason)
