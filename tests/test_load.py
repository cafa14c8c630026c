import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.diagnostics import Problems, Severity, Span
from runner.load import examine, load
from runner.model import Repeat

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
    assert (("smoke", "2024"), 900.0, 2) == (flow.tags, flow.timeout, flow.retries)


def test_a_flow_says_how_often_it_is_played() -> None:
    assert Repeat(times=10, pass_=8) == load(OK / "repeat.yaml").repeat
    assert (None, 0) == ((plain := load(OK / "minimal.yaml")).repeat, plain.retries)


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
    "replies": (
        "assistant: {model: m, tools: [f: {parameters: {"
        + ", ".join(f"name_{n}: string" for n in range(MANY))
        + "}, replies: ["
        + ", ".join(f"{{when: {{nome_{n}: x}}, returns: a}}" for n in range(3_000))
        + "]}]}\nsteps: [{user: hi, expect: hi}]\n",
        "too-large unknown-argument",
    ),
    "parameters": (
        "assistant: {model: m, tools: [f: {returns: a, parameters: {"
        + ", ".join(f"a{n}: string" for n in range(MANY))
        + ", b: text}}]}\nsteps: [{user: hi, expect: hi}]\n",
        "not-in-list",
    ),
    "sampled calls": (
        FLOW.replace("expect: hi", "expect: hi, sample: {calls: [" + "f, " * MANY + "5]}"),
        "wrong-type",
    ),
    "sampled schemas": (
        "assistant: {model: m, tools: [f: {returns: a, parameters: {type: object, properties: {a: {pattern: '(a*)*b'}}}}]}\n"
        + "steps: [{user: hi, expect: hi, sample: {calls: ["
        + f"f: {{a: {'a' * 40}}}, " * 2_000
        + "]}}]\n",
        "sample-arguments",
    ),
    "references": (
        "assistant: {model: m, tools: [f: {returns: a, parameters: {type: object, $defs: {"
        + ", ".join(f"a{n}: {{$anchor: x{n}, items: {{$ref: '#x{n}'}}}}" for n in range(1_500))
        + ", b: {$ref: '#y'}}}}]}\nsteps: [{user: hi, expect: hi}]\n",
        "bad-schema",
    ),
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
    assert set(code.split()) == set(codes(path))


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


# ── functions, and the files that they and checks name ───────────────────────────────────────────────────────────────


def functions(*lines: str) -> str:
    return "model: m\n  tools:\n" + "".join(f"    - {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("tools.py:get_order", None),
        ("below/tools.py:get_order", None),
        ("tools.py:later", None),
        ("tools.py:assigned", None),
        ("tools.py:imported", None),
        ("tools.py:inner", "no-such-function"),
        ("tools.py:missing", "no-such-function"),
        ("star.py:anything", None),
        ("link.py:get_order", "file-outside"),
        ("../outside.py:get_order", "file-outside"),
        ("a" * 300 + ".py:get_order", "file-missing"),
        (".hidden.py:get_order", "file-outside"),
        ("folder.py:get_order", "unreadable-file"),
        ("pipe.py:get_order", "unreadable-file"),
        ("large.py:get_order", "too-large"),
        ("deep.py:get_order", "python-syntax"),
        ("zero.py:get_order", "python-syntax"),
        ("broken.py:get_order", "python-syntax"),
    ],
)
def test_a_python_function_is_looked_for_and_not_run(written: str, code: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    (folder / "below").mkdir(parents=True)
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    source = (
        "raise SystemExit\nfrom os import getcwd as imported\nassigned = max\n"
        "def get_order():\n    def inner():\n        '\\d'\ntry:\n    async def later(): ...\nfinally:\n    pass\n"
    )
    contents = {
        "tools.py": source,
        "below/tools.py": source,
        "../outside.py": source,
        ".hidden.py": source,
        "star.py": "from os.path import *\n",
        "large.py": "#" * 1024 * 1024 + "\n",
        "deep.py": "x = " + "(" * 5000 + ")" * 5000,
        "zero.py": "x = 1\0",
        "broken.py": "def get_order()\n    return 1\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    steps = STEPS.replace("expect: hello", f"expect: [hello, not: {{python: {written}}}]")
    for path in (
        write(folder, functions(f"get_order: {{python: {written}}}")),
        write(folder, "model: m", steps),
        write(folder, "model: m", STEPS + f"    run: {{tools: [get_order: {{python: {written}}}]}}\n"),
    ):
        assert ([code] if code else []) == codes(path)


def test_looking_into_python_is_bounded(tmp_path: Path) -> None:
    # Encodings that take hours, and texts that take gigabytes, are for whoever trusts the flow.
    for name, text in {
        "encoded": "# coding: punycode\ndef get_order(): ...\n",
        "first": "#" * 40_000,
        "second": "#" * 40_000,
        "third": "f'" + "{a}" * 30_000 + "'",
    }.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    tools = [f"{name}: {{python: {name}.py:get_order}}" for name in ("encoded", "first", "second", "third")]
    (found,) = examine(write(tmp_path, functions(*tools))).diagnostics
    assert ("no-such-function", "`first.py` defines no function `get_order`") == (found.code, found.message)


def test_a_syntax_error_is_shown_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("# é\ndef get_order(order_id)\n    return 1\n", encoding="utf-8")
    examined = examine(write(tmp_path, functions("get_order: {python: tools.py:get_order}")), shown="flows/flow.yaml")
    (found,) = examined.diagnostics
    assert ("python-syntax", "flows/tools.py", Span(2, 24, 2, 25)) == (found.code, found.path, found.span)
    assert "def get_order(order_id)" == examined.lines(found.path)[1]


def test_a_golden_picture_must_be_there(tmp_path: Path) -> None:
    steps = STEPS.replace("expect: hello", "expect: {image: {width: 8, like: golden.png}}")
    path = write(tmp_path, "model: m", steps)
    (found,) = examine(path).diagnostics
    assert ("file-missing", Span(5, 38, 5, 48)) == (found.code, found.span)
    (tmp_path / "golden.png").mkdir()
    assert ["file-missing"] == codes(path)
    (tmp_path / "golden.png").rmdir()
    (tmp_path / "golden.png").write_bytes(b"")
    assert [] == codes(path)


def test_names_are_replaced_in_answers_and_not_in_what_is_run(tmp_path: Path) -> None:
    tools = (
        'a: {parameters: {word: string}, replies: [{when: {word: "${x}"}, returns: {a: ["${x}"]}}, {fails: "${x}"}]}',
        'b: {parameters: {word: ["${x}"]}, http: "https://example.com/${x}"}',
        "c: {python: '${x}.py:f'}",
        '{type: function, function: {name: "${x}", parameters: {type: object, title: "${x}"}}, returns: "${x}"}',
    )
    found = examine(write(tmp_path, functions(*tools), "variables: {x: y}\n" + STEPS)).diagnostics
    assert [
        ("no-substitution", 5, 32),
        ("no-substitution", 5, 68),
        ("no-substitution", 6, 20),
        ("function-name", 7, 35),
        ("no-substitution", 7, 42),
        ("no-substitution", 7, 84),
    ] == [(each.code, each.span and each.span.line, each.span and each.span.column) for each in found]


def test_what_an_existing_assistant_has_beside_its_declared_functions_is_not_known(tmp_path: Path) -> None:
    assistant = "id: asst_1\n  tools: [get_order: {parameters: {order_id: string}, returns: shipped}]"
    step = "steps:\n  - user: Hello.\n    expect: {calls: [calculator, {get_order: {order_id: 1}}]}\n"
    step += "    sample: {calls: [calculator]}\n"
    assert [] == codes(write(tmp_path, assistant, step))
    assert ["unknown-argument"] == codes(write(tmp_path, assistant, step.replace("{order_id", "{order")))
    overridden = step + "    run: {tools: [calculator]}\n"
    assert ["tool-not-offered"] == codes(write(tmp_path, assistant, overridden))


def test_checks_on_the_whole_conversation_know_the_tools_of_every_step(tmp_path: Path) -> None:
    step = STEPS + "    run: {tools: [now: {returns: noon}]}\nexpect: {calls: [calculator, now]}\n"
    assert [] == codes(write(tmp_path, "{model: m, tools: [calculator]}", step))


def test_a_schema_is_judged_only_where_one_is_written(tmp_path: Path) -> None:
    """What judges it takes longer to load than all the rest."""
    short = write(tmp_path, functions("get_order: {parameters: {order_id: string}, returns: shipped}"))
    looked = "import sys; from runner.load import examine; examine({!r}); print('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", looked.format(str(short))], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout
