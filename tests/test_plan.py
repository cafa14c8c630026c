from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from runner.diagnostics import Span
from runner.load import load
from runner.model import Assistant, Expectation, Flow, Step, Tool, Turn, Verdict
from runner.plan import Case, Packed, Stock, UndeclaredVariable, cases, collect
from runner.selection import Candidate
from runner.variables import expand

ASSISTANT = Assistant(model="m")


def flow(**keys: object) -> Flow:
    return Flow(assistant=ASSISTANT, steps=(Step(user="x"),), path=Path("x.yaml"), **keys)  # type: ignore[arg-type]


def test_a_flow_without_rows_is_one_case() -> None:
    plain = flow(variables={"animal": "cat"})
    assert (Case(plain, "", {"animal": "cat"}),) == cases(plain, {})


def test_rows_win_over_defaults_and_the_command_line_over_rows() -> None:
    rows = flow(variables={"animal": "cat", "colour": "red"}, cases=({"animal": "dog"}, {"size": "big"}))
    assert [
        {"animal": "dog", "colour": "blue"},
        {"animal": "cat", "colour": "blue", "size": "big"},
    ] == [case.variables for case in cases(rows, {"colour": "blue"})]


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (({"a": "cat"},), [""]),
        (({"a": "cat"}, {"a": "犬"}), ["cat", "犬"]),
        (({"a": "cat", "b": "", "c": "x\ny", "d": "red", "e": "z"}, {"a": "b"}), ["cat, x y, red", "b"]),
        (({"a": "w" * 40}, {"a": "b"}), ["w" * 29 + "…", "b"]),
        (({"a": "cat"}, {"a": "cat"}, {"a": ""}), ["cat #1", "cat #2", "#3"]),
        (
            ({"a": "cat"}, {"a": "cat"}, {"a": "cat #1"}, {"a": "#5"}, {"a": ""}),
            ["cat #1", "cat #2", "cat #1 #3", "#5 #4", "#5"],
        ),
    ],
)
def test_labels_tell_rows_apart(rows: tuple[dict[str, str], ...], labels: list[str]) -> None:
    assert labels == [case.label for case in cases(flow(cases=rows), {})]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("animl", "`animl` is no variable of x.yaml; did you mean `animal`?"),
        ("zzz", "`zzz` is no variable of x.yaml; it has `animal`, `row`"),
    ],
)
def test_a_value_for_an_undeclared_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(UndeclaredVariable, match="^" + message.replace("?", r"\?") + "$"):
        cases(flow(variables={"animal": "cat"}, cases=({"row": "1"},)), {name: "x"})


def test_a_name_that_rag_fills_in_stays_as_it_is_written() -> None:
    rag = Tool("rag", settings={"prompt_ra": {"value": "${document1}"}})
    made = Flow(Assistant(model="m", instructions="Use ${document1}.", tools=(rag,)), (Step(user="x"),))
    (case,) = cases(made, {})
    assert made.assistant == expand(made.assistant, case.variables)


def test_a_folder_gives_its_flows_in_order(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        "A.YAML",
        "_shared.yaml",
        ".hidden.yaml",
        "x.cassette.yaml",
        "x.accepted.yaml",
        "notes.txt",
        "sub/c.yaml",
        "_sub/d.yaml",
        ".git/e.yaml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "round").symlink_to(tmp_path)
    assert ["A.YAML", "a.yml", "b.yaml", "sub/c.yaml"] == [
        path.relative_to(tmp_path).as_posix() for path in collect([str(tmp_path)])
    ]
    assert [tmp_path / "_shared.yaml"] == list(collect([str(tmp_path / "_shared.yaml")]))
    assert [tmp_path / "b.yaml"] == list(collect([str(tmp_path / "*.yaml")]))
    assert [tmp_path / "b.yaml", tmp_path / "sub/c.yaml"] == list(
        collect([str(tmp_path / "b.yaml"), str(tmp_path / "**/*.yaml")])
    )
    assert () == collect([str(tmp_path / "*.nothing")])


def test_a_file_named_twice_is_one_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").touch()
    monkeypatch.chdir(tmp_path / "sub")
    assert (Path("../a.yaml"),) == collect(["../a.yaml", str(tmp_path / "a.yaml"), "../sub/../a.yaml", ".."])


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        collect([str(tmp_path / "none.yaml")])
    assert str(tmp_path / "none.yaml") == caught.value.filename


def test_rows_of_a_file_are_cases() -> None:
    loaded = load(Path(__file__).parent / "data" / "ok" / "rows.yaml")
    assert ["ragdoll cat, cat, or kitten", "犬, 0123", 'a "big" fox, ${fox}'] == [case.label for case in cases(loaded, {})]


# ── many flows ───────────────────────────────────────────────────────────────────────────────────────────────────────


OK = sorted((Path(__file__).parent / "data" / "ok").glob("*.yaml"))


def stocked(*flows: Flow, project: Path = Path(), unpacked: int = 0) -> Stock:
    stock = Stock(project, unpacked)
    for each in flows:
        stock.add(each)
    return stock


@pytest.mark.parametrize("unpacked", [0, 3, 100])
def test_flows_come_out_of_the_stock_as_they_went_in(unpacked: int) -> None:
    flows = [load(path) for path in OK]
    stock = stocked(*flows, unpacked=unpacked)
    assert flows == [stock.flow(number) for number in range(len(stock))]
    chosen = stock.cases(range(len(stock.candidates)), {})
    assert [case for each in flows for case in cases(each, {})] == list(chosen)
    assert list(chosen)[1:3] == list(chosen[1:3])


def test_overrides_reach_the_flows_that_have_such_a_variable() -> None:
    stock = stocked(flow(variables={"animal": "cat"}), flow(), flow(cases=({"animal": "dog"}, {"size": "big"})))
    assert {"animal", "size"} == stock.declared
    assert [{"animal": "fox"}, {}, {"animal": "fox"}, {"size": "big", "animal": "fox"}] == [
        case.variables for case in stock.cases(range(4), {"animal": "fox"})
    ]


def test_chosen_conversations_come_in_the_order_chosen() -> None:
    stock = stocked(flow(name="a"), flow(name="b", cases=({"x": "1"}, {"x": "2"})))
    assert ["b", "a"] == [each.name for each in stock.flows((2, 0, 1))]
    assert [("b", "2"), ("a", ""), ("b", "1")] == [(case.flow.name, case.label) for case in stock.cases((2, 0, 1), {})]


def test_candidates_say_what_is_chosen_by(tmp_path: Path) -> None:
    path = tmp_path / "flows" / "x.yaml"
    rows = replace(flow(tags=("smoke",), target="embedded", cases=({"x": "1"}, {"x": "2"})), path=path)
    assert [
        Candidate(0, row, ("flows/x.yaml", label), str(path), "x", ("smoke",), "embedded", "m")
        for row, label in ((1, "1"), (2, "2"))
    ] == stocked(rows, project=tmp_path).candidates


@dataclass(frozen=True)
class OfAPlugin:
    """A check that its author defined where nobody can import it."""

    value: Callable[[], object]
    name: ClassVar[str] = "of-a-plugin"

    def evaluate(self, turn: Turn) -> Verdict:
        raise NotImplementedError


def test_a_flow_that_cannot_be_packed_is_kept_as_it_is() -> None:
    nowhere = Span(1, 1, 1, 1)
    odd = flow(expect=(Expectation("of-a-plugin", OfAPlugin(lambda: None), nowhere, nowhere),))
    stock = stocked(odd, flow())
    assert odd is stock.flow(0)
    assert flow() == stock.flow(1)


def test_flows_that_are_alike_take_little_room() -> None:
    alike = [replace(load(OK[1]), name=f"flow {number}") for number in range(50)]
    packed = [each.data for each in stocked(*alike).kept if isinstance(each, Packed)]
    assert 50 == len(packed)
    assert max(map(len, packed)) < 200
