"""What is wrong with flow files as a GitLab code quality report: to the letter, with fingerprints that stay."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.diagnostics import Diagnostic, Severity, Span
from runner.ndjson import dumps
from runner.reporters.gitlab import Quality
from tests.report_fixtures import NAUGHTY
from tests.test_cli import Ended, run

MISSPELT = """\
assistant:
  modle: qwen-max
steps:
  - user: Draw a cat.
    expect:
      - contains: cat
"""
GOOD = MISSPELT.replace("modle", "model")
UNCHECKED = """\
assistant:
  model: qwen-max
steps:
  - user: Draw a cat.
  - user: Draw a dog.
"""
ISSUE = """\
[
  {
    "description": "unknown key `modle` in `assistant`; did you mean `model`?",
    "check_name": "runflow/unknown-key",
    "fingerprint": "31f91918ccb20ac507541ad2e0a203f10c27bb6dcef42b524b61ed11f3c02b8d",
    "severity": "major",
    "location": {
      "path": "flows/paint.yaml",
      "lines": {
        "begin": 2
      }
    }
  }
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    return tmp_path


def issues(folder: Path, *arguments: str, **environment: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(folder, "validate", *arguments, "--gitlab", "-", **environment).stdout)
    return found


def fingerprints(folder: Path, text: str) -> list[object]:
    (folder / "flows" / "paint.yaml").write_text(text, "utf-8")
    return [issue["fingerprint"] for issue in issues(folder, "flows")]


# ── through the command ──────────────────────────────────────────────────────────────────────────────────────────────


def test_standard_output_is_the_report_and_nothing_else(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_text(MISSPELT, "utf-8")
    assert Ended(3, ISSUE, "") == run(folder, "validate", "flows", "--gitlab", "-")


def test_a_file_gets_the_report_and_people_still_see_what_is_wrong(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_text(MISSPELT, "utf-8")
    ended = run(folder, "validate", "flows", "--gitlab", "quality.json")
    assert (3, "1 file: 1 error") == (ended.code, ended.stdout.splitlines()[-1])
    assert ISSUE == (folder / "quality.json").read_text("utf-8")
    assert ["flows", "quality.json"] == sorted(path.name for path in folder.iterdir() if path.name != "home")


def test_without_problems_the_report_of_last_time_is_replaced_by_none(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_text(GOOD, "utf-8")
    (folder / "quality.json").write_text(ISSUE, "utf-8")
    assert 0 == run(folder, "validate", "flows", "--gitlab", "quality.json").code
    assert "[]\n" == (folder / "quality.json").read_text("utf-8")


def test_without_flow_files_there_is_an_empty_report(folder: Path) -> None:
    assert Ended(5, "[]\n", "") == run(folder, "validate", "flows", "--gitlab", "-")


def test_a_warning_is_minor(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_text(UNCHECKED, "utf-8")
    found = issues(folder, "flows")
    assert [("runflow/no-check", "minor"), ("runflow/no-check", "minor")] == [
        (issue["check_name"], issue["severity"]) for issue in found
    ]
    assert ["major", "major"] == [issue["severity"] for issue in issues(folder, "flows", "--require-checks")]


def test_a_path_is_seen_from_the_top_of_the_project(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_text(MISSPELT, "utf-8")
    inside = folder / "flows"
    for path in ("paint.yaml", str(inside / "paint.yaml"), "../flows/paint.yaml"):
        (issue,) = issues(inside, path, CI_PROJECT_DIR=str(folder))
        assert {"path": "flows/paint.yaml", "lines": {"begin": 2}} == issue["location"]
    (issue,) = issues(folder, str(inside / "paint.yaml"))
    assert {"path": "flows/paint.yaml", "lines": {"begin": 2}} == issue["location"]


def test_a_file_that_cannot_be_read_as_yaml_has_a_line_too(folder: Path) -> None:
    (folder / "flows" / "paint.yaml").write_bytes(b"assistant: [\xff")
    (issue,) = issues(folder, "flows")
    assert {"path": "flows/paint.yaml", "lines": {"begin": 1}} == issue["location"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gitlab", "-", "--json", "-"], "only one report can go to standard output"),
        (["--gitlab", "out.json", "--json", "./out.json"], "two reports cannot go to the same file"),
        (["--gitlab", "flows/paint.yaml"], "would overwrite a flow"),
        (["--gitlab", "nosuch/out.json"], "there is no folder nosuch"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused_before_anything_is_written(
    folder: Path, arguments: list[str], said: str
) -> None:
    (folder / "flows" / "paint.yaml").write_text(MISSPELT, "utf-8")
    ended = run(folder, "validate", "flows", *arguments)
    assert (2, "") == (ended.code, ended.stdout)
    assert said in ended.stderr
    assert not (folder / "out.json").exists()
    assert MISSPELT == (folder / "flows" / "paint.yaml").read_text("utf-8")


# ── fingerprints ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fingerprint_stays_while_its_line_moves(folder: Path) -> None:
    before = fingerprints(folder, MISSPELT)
    assert before == fingerprints(folder, "# a comment\n\n" + MISSPELT)
    assert before != fingerprints(folder, MISSPELT.replace("modle", "modell"))


def test_a_fingerprint_is_the_same_in_every_language(folder: Path) -> None:
    before = fingerprints(folder, MISSPELT)
    (issue,) = issues(folder, "flows", "--lang", "ja")
    assert (before, False) == ([issue["fingerprint"]], "unknown key" in str(issue["description"]))


def test_the_same_mistake_in_equal_lines_has_two_fingerprints(folder: Path) -> None:
    twice = "assistant:\n  model: qwen-max\nsteps:\n  - user: Draw a cat.\n  - user: Draw a cat.\n"
    assert 2 == len(set(fingerprints(folder, twice)))


spans = st.builds(Span, st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
texts = st.sampled_from(NAUGHTY)


@given(
    st.lists(
        st.builds(Diagnostic, texts, texts, texts, st.none() | spans, st.none() | texts, st.sampled_from(Severity)), max_size=6
    ),
    st.lists(texts, max_size=3),
)
def test_every_report_is_json_with_unique_fingerprints_and_shows_nothing_raw(every: list[Diagnostic], lines: list[str]) -> None:
    quality = Quality("")
    for wrong in every:
        quality.add(wrong, lines)
    found = json.loads(quality.text().encode("utf-8", "backslashreplace"))
    assert len(every) == len(found) == len({issue["fingerprint"] for issue in found})
    assert [wrong.span.line if wrong.span else 1 for wrong in every] == [issue["location"]["lines"]["begin"] for issue in found]
    for issue in found:
        assert {"description", "check_name", "fingerprint", "severity", "location"} == set(issue)
        assert not set(issue["description"]) & set("\x00\x07\x1b\r\u2028\u202e\ud800")
    assert dumps(found, indent=2) + "\n" == quality.text()
