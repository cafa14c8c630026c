import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runner import explain
from runner.load import examine
from runner.registry import checks

RUNNER = Path(__file__).parent.parent / "runner"
SAYING = {"Diagnostic", "Found", "Fix", "find", "find_at", "found_at", "report", "at", "at_key", "refusal", "problem"}
"""What is called with a code as its first text."""
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)*")
BLOCK = re.compile(r"```(\w+) (\S+)\n(.*?)```", re.DOTALL)
# What a file cannot show in a page: bytes, sizes, devices.
WITHOUT_EXAMPLE = {"control-character", "no-libyaml", "not-utf-8", "too-large", "unreadable-file"}


def said() -> Iterator[tuple[str, str]]:
    """(code, where) of every code that is written in a call or yielded by a check."""
    for path in RUNNER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                given = node.args if name in SAYING else []
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                given = node.value.elts[:1]
            else:
                continue
            texts = [arg.value for arg in given[:4] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if texts and CODE.fullmatch(texts[0]) and "-" in texts[0]:
                yield texts[0], f"{path.relative_to(RUNNER)}:{node.lineno}"


def test_every_code_has_a_page() -> None:
    assert {} == {code: where for code, where in said() if code not in explain.codes()}


def test_every_page_is_about_a_code() -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in RUNNER.rglob("*.py"))
    assert [] == [code for code in explain.codes() if f'"{code}"' not in written]


def test_page_of_a_check_is_its_docstring() -> None:
    page = explain.page("contains")
    assert page is not None
    assert page.startswith("The reply contains this text")
    assert explain.page("no such thing") is None


def test_page_of_a_key_says_where_it_stands_and_how_it_is_written() -> None:
    assert (
        "`timeout`, at the top level: The longest the conversation may take; 15 min unless told.\n\n"
        "```yaml\ntimeout: 5 min\n```\n\n"
        "`timeout`, in a step: The longest this step may take; 300 s unless told.\n\n"
        "```yaml\ntimeout: 20s\n```"
    ) == explain.page("timeout")


def test_keys_below_repeat_have_pages() -> None:
    assert ("`pass`, under `repeat`: How many of these must pass.\n\n```yaml\npass: 8\n```") == explain.page("pass")
    assert "repeat: {times: 10, pass: 8}" in str(explain.page("repeat"))
    assert "`times`, under `repeat`: How often it is played." in str(explain.page("times"))


def test_no_key_is_a_code() -> None:
    assert set() == set(explain.keys()) & set(explain.codes())


@pytest.mark.parametrize("name", sorted(set(explain.keys()) & set(checks)))
def test_page_of_a_check_tells_of_a_key_of_that_name_too(name: str) -> None:
    page = explain.page(name)
    assert page is not None
    told = explain.source(name) or ""
    (home, schema), *_others = explain.keys()[name]
    assert page.startswith(f"{told}\n\n`{name}`, {home}: {schema['description']}.\n\n")


def test_there_are_keys_that_are_checks_too() -> None:
    assert {"calls", "python"} <= set(explain.keys()) & set(checks)


@pytest.mark.parametrize("name", explain.keys())
def test_every_example_of_a_key_is_yaml(name: str) -> None:
    page = (explain.page(name) or "").removeprefix(explain.source(name) or "")
    blocks = re.findall(r"```yaml\n(.*?)\n```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        assert all({name} == set(yaml.safe_load(example)) for example in block.split("\n# or\n"))


@pytest.mark.parametrize("name", checks)
def test_every_check_explains_itself_with_an_example(name: str) -> None:
    assert "```yaml" in (explain.page(name) or "")


@pytest.mark.parametrize("code", explain.codes())
def test_examples_of_a_page_are_wrong_and_right(code: str, tmp_path: Path) -> None:
    page = explain.page(code)
    assert page is not None
    blocks = BLOCK.findall(page)
    if code in WITHOUT_EXAMPLE:
        assert [] == blocks
        return
    for _kind, name, text in blocks:
        if name not in ("wrong", "right"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    examples = {name: (kind, text) for kind, name, text in blocks if name in ("wrong", "right")}
    assert {"wrong", "right"} == set(examples)
    if examples["wrong"][0] == "toml":
        return  # of the configuration; tests/test_settings.py runs them
    found = {}
    for name, (_kind, text) in examples.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        found[name] = {each.code for each in examine(path).diagnostics}
    assert {"wrong": {code}, "right": set()} == found


def test_page_of_a_key_of_a_check_names_the_check() -> None:
    assert (
        "`in_answer`, in the check `calls`: What the tool gave stands in the answer: all its texts and numbers, "
        "or those of these fields or JSONPaths.\n\n```yaml\nin_answer: true\n# or\nin_answer: [status, '$.items[0].price']\n```"
    ) == explain.page("in_answer")
