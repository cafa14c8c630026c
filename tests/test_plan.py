from pathlib import Path

import pytest

from runner.load import load
from runner.model import Assistant, Flow, Step, Tool
from runner.plan import Case, UndeclaredVariable, cases, collect
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


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        collect([str(tmp_path / "none.yaml")])
    assert str(tmp_path / "none.yaml") == caught.value.filename


def test_rows_of_a_file_are_cases() -> None:
    loaded = load(Path(__file__).parent / "data" / "ok" / "rows.yaml")
    assert ["ragdoll cat, cat, or kitten", "犬, 0123", 'a "big" fox, ${fox}'] == [case.label for case in cases(loaded, {})]
