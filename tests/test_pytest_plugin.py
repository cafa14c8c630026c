"""Flows as tests of pytest: only when asked for, and then with the verdicts, the words and the permissions of the command.

Each run is a process of its own, as a project's would be; the plugin comes in through its entry point.
"""

import re
from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

Play = Callable[..., pytest.RunResult]

ON = "[pytest]\nrunflow_flows = workflows/\naddopts = --strict-markers\nfilterwarnings = error\n"
ANIMALS = """\
tags: [smoke, two words, skip]
assistant: {model: qwen-max}
cases:
  - {name: dog, word: dog}
  - {name: cat, word: tabby}
steps:
  - user: Tell me about a ${name}.
    expect: ${word}
"""
PASSES = """\
assistant: {model: qwen-max}
steps:
  - user: Tell me about a dog.
    expect: dog
"""
TOLD = """\
the reply does not contain this text [contains]

✗ animals [cat, tabby] · qwen-max · workflows/animals.yaml
  1 ❯ Tell me about a cat.
      │ About a cat: a model would answer here; the embedded service follows a script.

      workflows/animals.yaml:8:13: the reply does not contain this text [contains]
        |
      8 |     expect: ${word}
        |             ^^^^^^^
        | expected  "tabby"
        | actual    "About a cat: a model would answer here; the embedded service follows a script."
"""


@pytest.fixture
def play(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Write the files, then run pytest, without CI, keys or wishes."""
    for name in ("CI", "DASHSCOPE_API_KEY", "RUNFLOW_TARGET", "RUNFLOW_LANG", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNFLOW_STATE_DIR", str(pytester.path / "state"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run(*arguments: str, ini: str = ON, **flows: str) -> pytest.RunResult:
        pytester.makefile(".ini", pytest=ini)
        folder = pytester.path / "workflows"
        folder.mkdir(exist_ok=True)
        for name, text in flows.items():
            (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run


def test_nothing_is_loaded_or_collected_unless_asked_for(play: Play, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    print('loaded', sorted(name for name in sys.modules if name.partition('.')[0] == 'runner'))\n"
    )
    ended = play("workflows", ini="[pytest]\n", animals__yaml=ANIMALS)
    assert pytest.ExitCode.NO_TESTS_COLLECTED == ended.ret
    ended.stdout.fnmatch_lines(["loaded ?'runner', 'runner.pytest_plugin'?"])
    assert "runflow: " not in ended.stdout.str()


def test_every_conversation_is_a_test(play: Play) -> None:
    ended = play("--collect-only", "-q", animals__yaml=ANIMALS, passes__yaml=PASSES, _shared__yaml="not: a flow")
    assert [
        "workflows/animals.yaml::dog, dog",
        "workflows/animals.yaml::cat, tabby",
        "workflows/passes.yaml::passes",
    ] == [line for line in ended.outlines if "::" in line]


@pytest.mark.parametrize(
    "chosen",
    [
        ["workflows/animals.yaml::dog, dog"],
        ["-k", "dog and not passes"],
        ["-k", "words and dog"],
        ["-m", "smoke", "-k", "dog"],
        ["-m", "runflow and smoke", "--deselect", "workflows/animals.yaml::cat, tabby"],
    ],
)
def test_tests_are_chosen_by_id_name_and_tag(chosen: list[str], play: Play) -> None:
    play(*chosen, animals__yaml=ANIMALS, passes__yaml=PASSES).assert_outcomes(
        passed=1, deselected=0 if "::" in chosen[0] else 2
    )


def test_only_what_the_configuration_names_is_collected(play: Play, pytester: pytest.Pytester) -> None:
    (pytester.path / "other.yaml").write_text("no: flow", encoding="utf-8")
    ini = "[pytest]\nrunflow_flows = workflows/**/p*.yaml\n"
    play(ini=ini, animals__yaml=ANIMALS, passes__yaml=PASSES).assert_outcomes(passed=1)


def test_what_is_named_must_be_there(play: Play) -> None:
    ended = play(ini="[pytest]\nrunflow_flows = flows/\n", passes__yaml=PASSES)
    assert pytest.ExitCode.USAGE_ERROR == ended.ret
    ended.stderr.fnmatch_lines(["ERROR: runflow_flows: */flows: there is no such file or folder"])


def test_a_failure_shows_what_the_command_shows(play: Play) -> None:
    ended = play(animals__yaml=ANIMALS)
    ended.assert_outcomes(passed=1, failed=1)
    assert TOLD in ended.stdout.str()
    ended.stdout.fnmatch_lines(["runflow: 1 flow file", "FAILED workflows/animals.yaml::cat, tabby - the reply does not *"])


def test_it_is_said_that_no_model_answered(play: Play) -> None:
    play("-q", passes__yaml=PASSES).stdout.fnmatch_lines(
        ["runflow: target embedded (no DASHSCOPE_API_KEY is set); no model answers here: a pass checks the flow, not a model"]
    )


def test_it_speaks_the_language_of_the_reader(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNFLOW_LANG", "ja")
    play(passes__yaml=PASSES).stdout.fnmatch_lines(
        [
            "runflow: フローファイル1件",
            "runflow: ターゲット embedded (*); ここではモデルは答えません*",
        ]
    )


def test_an_invalid_flow_ends_everything_before_anything_is_sent(play: Play) -> None:
    ended = play(animals__yaml=ANIMALS, wrong__yaml=PASSES.replace("model", "modle"))
    assert pytest.ExitCode.INTERRUPTED == ended.ret
    ended.assert_outcomes(errors=1)
    assert (
        "workflows/wrong.yaml:1:13: unknown key `modle` in `assistant` [unknown-key]\n"
        "  |\n"
        "1 | assistant: {modle: qwen-max}\n"
        "  |             ^^^^^ did you mean `model`?\n"
    ) in ended.stdout.str()


def test_what_is_odd_about_a_flow_is_told_with_its_failure(play: Play) -> None:
    ended = play(animals__yaml=ANIMALS.replace("    expect", "  - user: And a mouse?\n    expect"))
    ended.assert_outcomes(failed=2)
    ended.stdout.fnmatch_lines(
        ["*Captured runflow setup*", "workflows/animals.yaml:7:5: warning: this step checks nothing ?no-check?"]
    )


def test_no_verdict_is_an_error_and_a_skip_has_its_reason(play: Play) -> None:
    code = "    expect: {python: judge.py:judge}\n"
    files = {
        "broken__yaml": PASSES.replace("    expect: dog\n", code),
        "judge__py": "def judge(answer): raise ValueError('odd')\n",
    }
    skipped = PASSES + "  - user: Hello\n    skip: waits for the model\n"
    ended = play("-rs", "--runflow-allow-tools", **files, skipped__yaml=skipped.replace("expect: dog", "skip: waits"))
    ended.assert_outcomes(errors=1, skipped=1)
    ended.stdout.fnmatch_lines(
        [
            "*ERROR at setup of broken*",
            "      workflows/broken.yaml:4:22: `judge.py:judge` raised ValueError: odd (judge.py:1) ?python?",
        ]
    )
    ended.stdout.fnmatch_lines(["SKIPPED ?1? workflows/skipped.yaml:1: waits; waits for the model"])


def test_what_is_flaky_passes_and_says_so(play: Play) -> None:
    judge = (
        "from pathlib import Path\n"
        "def judge(answer):\n"
        "    seen = Path(__file__).with_name('seen')\n"
        "    if seen.exists():\n"
        "        return True\n"
        "    seen.touch()\n"
        "    return 'too early'\n"
    )
    flow = PASSES.replace("expect: dog", "expect: {python: judge.py:judge}") + "retries: 1\n"
    ended = play("--runflow-allow-tools", moody__yaml=flow, judge__py=judge)
    assert pytest.ExitCode.OK == ended.ret
    assert re.search(r"=+ 1 flaky in ", ended.stdout.str())
    ended.stdout.fnmatch_lines(["runflow: workflows/moody.yaml::moody is flaky: attempt 1: *too early*"])


# ── permissions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_ci_nothing_is_chosen_in_silence(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    ended = play(passes__yaml=PASSES)
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines(["CI is set and nothing names a target; * write `--runflow-target embedded` to check *"])
    play("--runflow-target", "embedded", passes__yaml=PASSES).assert_outcomes(passed=1)
    monkeypatch.setenv("RUNFLOW_TARGET", "embedded")
    play(passes__yaml=PASSES).assert_outcomes(passed=1)


@pytest.mark.parametrize("look", ["--collect-only", "--setup-plan"])
def test_looking_plays_nothing(look: str, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # where playing would be an error
    assert pytest.ExitCode.OK == play(look, passes__yaml=PASSES).ret


def test_no_code_runs_without_permission(play: Play, pytester: pytest.Pytester) -> None:
    flow = PASSES.replace("expect: dog", "expect: {python: judge.py:judge}")
    judge = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\ndef judge(answer): return True\n"
    ran = pytester.path / "workflows" / "ran"
    ended = play(tool__yaml=flow, judge__py=judge)
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines(
        ["workflows/tool.yaml is not trusted; it would*", "*or give `--runflow-allow-tools` for one run"]
    )
    assert not ran.exists()
    play("--runflow-allow-tools", tool__yaml=flow, judge__py=judge).assert_outcomes(passed=1)
    assert ran.exists()


def test_secrets_are_masked(play: Play, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "hunter2-hunter2")
    (pytester.path / "runflow.toml").write_text('env = ["SHOP_TOKEN"]\n', encoding="utf-8")
    flow = PASSES.replace("a dog", "${env.SHOP_TOKEN}").replace("expect: dog", "expect: tabby")
    ended = play("--runflow-allow-tools", "-rA", secret__yaml=flow)
    ended.assert_outcomes(failed=1)
    assert "1 ❯ Tell me about ***." in ended.stdout.str()
    assert "hunter2" not in ended.stdout.str()


def test_secrets_in_the_line_of_a_flow_are_masked_too(
    play: Play, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "my-own-key-0123456789")
    secret = "sk-abcdef1234567890abcd my-own-key-0123456789"
    options = ("--runflow-target=embedded", "--junitxml=report.xml")
    for expected, outcome in ((secret, {"failed": 1}), (f"[{{contians: {secret}}}]", {"errors": 1})):
        ended = play(*options, wrong__yaml=PASSES.replace("expect: dog", f"expect: {expected}"))
        ended.assert_outcomes(**outcome)
        told = ended.stdout.str() + (pytester.path / "report.xml").read_text(encoding="utf-8")
        assert expected.replace(secret, "sk-*** ***") in told
        assert not [part for part in ("abcdef", "my-own") if part in told]


# ── with others ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_workers_side_by_side_and_python_tests_beside(play: Play, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_own(): pass")
    picture = PASSES.replace("model: qwen-max", "model: qwen-max, tools: [text_to_image: Draws]").replace(
        "expect: dog", "expect: [image]"
    )
    drawn = picture.replace("Tell me about", "Draw a picture of")
    ended = play("-n", "2", "--junitxml=report.xml", animals__yaml=ANIMALS, passes__yaml=PASSES, a__yaml=drawn, b__yaml=drawn)
    ended.assert_outcomes(passed=5, failed=1)
    assert 2 == len(list((pytester.path / "runflow-out").rglob("*.png")))
    report = (pytester.path / "report.xml").read_text(encoding="utf-8")
    assert 1 == report.count("<failure ")
    assert 5 == report.count('name="runflow_target"')
