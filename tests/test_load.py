import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.diagnostics import Problems, Severity
from runner.load import examine, load

OK = Path(__file__).parent / "data" / "ok"
STEPS = "steps:\n  - user: Hello.\n    expect: hello\n"


def write(folder: Path, assistant: str, steps: str = STEPS) -> Path:
    path = folder / "flow.yaml"
    path.write_text(f"assistant:\n  {assistant}\n{steps}", encoding="utf-8")
    return path


def codes(path: Path) -> list[str]:
    return [each.code for each in examine(path).diagnostics]


@pytest.mark.parametrize("path", sorted(OK.glob("*.yaml")), ids=lambda path: path.stem)
def test_valid_flows_have_no_findings(path: Path) -> None:
    found = examine(path)
    assert () == found.diagnostics
    assert found.flow is not None
    assert path == found.flow.path


def test_everything_is_read_as_written() -> None:
    flow = load(OK / "everything.yaml")
    assert ("qwen-max", "1.10", "no", "Answer from ${document1} about ${動物}.\n", {"team": "007"}) == (
        flow.assistant.model,
        flow.assistant.name,
        flow.assistant.description,
        flow.assistant.instructions,
        flow.assistant.metadata,
    )
    assert {"動物": "猫", "price": "1.10", "literal": "costs ${price}"} == flow.variables
    assert ({"colour": "red"}, {"colour": "true", "動物": "犬"}) == flow.cases
    assert (("smoke", "2024"), 900.0) == (flow.tags, flow.timeout)


def test_rows_of_a_csv_file_are_data() -> None:
    assert (
        {"animal": "ragdoll cat", "word": "cat, or kitten"},
        {"animal": "犬", "word": "0123"},
        {"animal": 'a "big"\nfox', "word": "${fox}"},
    ) == load(OK / "rows.yaml").cases


def test_load_raises_every_problem(tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        load(write(tmp_path, "modle: x\n  temperatur: 1"))
    assert ["unknown-key", "unknown-key"] == [each.code for each in caught.value.diagnostics]


def test_a_step_without_a_check_is_a_warning_unless_checks_are_required(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m", "steps:\n  - user: Hello.\n")
    (warning,) = examine(path).diagnostics
    (error,) = examine(path, require_checks=True).diagnostics
    assert (Severity.WARNING, Severity.ERROR) == (warning.severity, error.severity)
    assert examine(path).flow is not None
    assert examine(path, require_checks=True).flow is None


def test_environment_variables_are_used_only_where_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m\n  instructions: I am ${env.PERSON}.")
    assert ["environment-not-allowed"] == codes(path)
    assert () == examine(path, environment={"PERSON"}).diagnostics


@pytest.mark.parametrize(
    ("assistant", "code"),
    [
        ("model: m\n  instructions: {file: ../outside.md}", "file-outside"),
        ("model: m\n  instructions: {file: link.md}", "file-outside"),
        ("model: m\n  instructions: {file: .env}", "file-outside"),
        ("model: m\n  instructions: {file: pipe}", "unreadable-file"),
        ("model: m\n  instructions: {file: .}", "unreadable-file"),
        ("model: m\n  instructions: {file: circle}", "file-missing"),
        ('model: m\n  instructions: {file: "a\\0b"}', "file-missing"),
        ("model: m\n  instructions: {file: large.md}", "too-large"),
        ("use: link.yaml", "file-outside"),
        ("use: ../outside.yaml", "file-outside"),
    ],
)
def test_only_files_below_the_folder_are_read(assistant: str, code: str, tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    (tmp_path / "outside.md").write_text("secret")
    (tmp_path / "outside.yaml").write_text("model: secret")
    (folder / ".env").write_text("KEY=secret")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "large.md").write_bytes(b"x" * (1024 * 1024 + 1))
    os.mkfifo(folder / "pipe")
    found = examine(write(folder, assistant))
    assert [code] == [each.code for each in found.diagnostics]
    assert "secret" not in str(found.diagnostics)


def test_keys_beside_use_win_and_its_mistakes_are_shown_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "_shop.yaml").write_text("model: qwen-max\nname: Shop\ntemperature: 9\n", encoding="utf-8")
    assert (
        found := examine(write(tmp_path, "use: _shop.yaml\n  name: Mine\n  temperature: 1")).flow
    ) is not None and "Mine" == found.assistant.name
    examined = examine(write(tmp_path, "use: _shop.yaml"), shown="flows/flow.yaml")
    (wrong,) = examined.diagnostics
    assert ("flows/_shop.yaml", 3) == (wrong.path, wrong.span and wrong.span.line)
    assert "temperature: 9" == examined.lines(wrong.path)[2]


def test_a_flow_reached_by_a_link_finds_its_files_beside_the_real_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "prompt.md").write_text("Be kind.", encoding="utf-8")
    write(real, "model: m\n  instructions: {file: prompt.md}")
    (tmp_path / "linked.yaml").symlink_to(real / "flow.yaml")
    assert "Be kind." == load(tmp_path / "linked.yaml").assistant.instructions


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(alphabet="a:- {}[]\n'\"#&*$,\t：user", max_size=80).map(str.encode))
def test_any_bytes_end_in_a_verdict(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(b"assistant: {model: m}\nsteps:\n  - " + data)
    found = examine(path)
    assert (found.flow is None) == any(each.severity is Severity.ERROR for each in found.diagnostics)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='a,"\n\r é$', max_size=40))
def test_any_csv_ends_in_a_verdict(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.csv").write_bytes(text.encode())
    found = examine(write(tmp_path, "model: m", "cases: {file: rows.csv}\n" + STEPS))
    assert (found.flow is None) == any(each.severity is Severity.ERROR for each in found.diagnostics)


FLOW = "assistant: {model: m}\nsteps: [{user: hi, expect: hi}]\n"
MANY = 20_000
# Each takes the square of its length, or seconds of compiling, unless that is bounded.
SLOW = {
    "tools": ("assistant: {model: m, tools: [" + "rag, " * MANY + "rog]}\nsteps: [{user: hi, expect: hi}]\n", "unknown-tool"),
    "variables": (FLOW + "variables: {" + ", ".join(f"a{n}: b" for n in range(MANY)) + ", c: []}\n", "wrong-type"),
    "columns": (
        FLOW
        + "variables: {"
        + ", ".join(f"a{n}: b" for n in range(MANY))
        + "}\ncases: ["
        + ", ".join(f"{{b{n}: c}}" for n in range(MANY))
        + "]\n",
        "unused-column",
    ),
    "patterns": (FLOW.replace("expect: hi", "expect: {matches: [" + "'a(b|c)*', " * MANY + "d]}"), "too-large"),
    "one schema": (
        FLOW.replace("expect: hi", "expect: {json: {schema: {enum: [" + "word, " * MANY + "word]}}}"),
        "too-large",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_flow_made_to_be_slow_gets_its_verdict(name: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    text, code = SLOW[name]
    path.write_text(text, encoding="utf-8")
    assert {code} == set(codes(path))


def test_only_a_file_of_honest_size_is_read_again_for_what_else_is_wrong(tmp_path: Path) -> None:
    step = "steps:\n  - user: Hello ${name}.\n    exepct: hello\n"
    assert ["undefined-variable", "unknown-key"] == codes(write(tmp_path, "model: m", step))
    assert ["unknown-key"] == codes(write(tmp_path, "model: m", step + "#" * 200_000 + "\n"))


def test_a_wrong_value_among_names_of_ones_own_is_named_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m", "variables: {a: b, 2c: d, e: [], f: g}\n" + STEPS)
    assert ["bad-name", "wrong-type"] == codes(path)


def test_the_values_of_a_csv_file_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m", "cases: {file: rows.csv}\n" + STEPS)
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n" * 50_000, encoding="utf-8")
    (found,) = examine(path).diagnostics
    assert ("too-large", "rows.csv", 50_001) == (found.code, Path(found.path).name, found.span and found.span.line)


def test_a_csv_file_of_very_many_columns_gets_its_verdict(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m", "cases: {file: rows.csv}\n" + STEPS)
    (tmp_path / "rows.csv").write_text(",".join(f"a{number}" for number in range(MANY)) + "\n" + "1\n" * MANY, encoding="utf-8")
    found = examine(path).diagnostics
    assert ({"csv-ragged"}, 500) == ({each.code for each in found}, len(found))


@pytest.mark.parametrize("sign", [";", "\t"])
def test_values_separated_otherwise_are_told_before_anything_else(tmp_path: Path, sign: str) -> None:
    path = write(tmp_path, "model: m", "cases: {file: rows.csv}\n" + STEPS)
    (tmp_path / "rows.csv").write_text(f'"name"{sign}"a ""b"""\nAnna, Bob{sign}x\n', encoding="utf-8-sig")
    (found,) = examine(path).diagnostics
    assert ("csv-header", "save it as CSV with commas between the values") == (found.code, found.hint)


def test_a_missing_file_is_looked_for_where_it_should_be(tmp_path: Path) -> None:
    path = write(tmp_path, "{model: m, instructions: {file: prompts/shp.md}}")
    for name in ("shop.md", ".shp.md", "shp1.yaml", "unlike.md"):
        (tmp_path / "prompts").mkdir(exist_ok=True)
        (tmp_path / "prompts" / name).write_text("Sell.", encoding="utf-8")
    (found,) = examine(path).diagnostics
    assert ("file-missing", "did you mean `prompts/shop.md`?") == (found.code, found.hint)


def test_a_key_written_twice_is_told_beside_steps_without_hyphens(tmp_path: Path) -> None:
    path = write(tmp_path, "model: m", "name: a\nname: b\nsteps:\n  user: a\n  user: b\n  run: {model: a, model: b}\n")
    assert [("duplicate-key", 4), ("wrong-type", 6), ("duplicate-key", 8)] == [
        (found.code, found.span and found.span.line) for found in examine(path).diagnostics
    ]
