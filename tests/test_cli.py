"""The installed command from outside: golden folders, exit codes, start-up, help.

A golden folder in tests/data/cli holds `cmd` (one command a line, the last one counts), `files/` (what lies in the working
folder), and what is expected: `exit`, `stdout`, `stderr`. `python -m tests.test_cli NAME…` writes the last three anew.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.cli import language

HERE = Path(__file__).parent
WORKFLOWS = HERE.parent / "workflows"
GOLDEN = HERE / "data" / "cli"
RUNFLOW = Path(sys.executable).with_name("runflow")
DEAD = "http://127.0.0.1:9"
"""A port where nobody listens: a call that leaves through a proxy would fail."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


def clean(folder: Path) -> dict[str, str]:
    """An environment without CI, keys or wishes, with a home of its own and no way out."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), DEAD)
    home = str(folder / "home")
    return {"PATH": os.environ["PATH"], "HOME": home, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": f"{home}/state", **proxies}


def run(folder: Path, *arguments: str, stdin: str = "", **environment: str) -> Ended:
    ended = subprocess.run(
        [RUNFLOW, *arguments],
        cwd=folder,
        env={**clean(folder), **environment},
        input=stdin.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def settled(text: str, folder: Path) -> str:
    """What differs from run to run, made the same: durations, ids, versions, the working folder."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)
    text = re.sub(r"\b\d+ min \d\d s\b", "TIME", text)
    # How many operations a line holds depends on how long they took.
    text = re.sub(r"TIME\n +(?=[✓!] [a-z ]+ TIME( ·|$))", "TIME · ", text, flags=re.MULTILINE)
    text = re.sub(r"\b(asst|thread|message|run|step|call)_[0-9a-f-]{36}\b", r"\1_ID", text)
    return re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID", text)


def play(case: Path, folder: Path) -> Ended:
    """Run a golden folder's commands in a copy of its files; what the last one did."""
    if (case / "files").is_dir():
        shutil.copytree(case / "files", folder, dirs_exist_ok=True)
    ended = Ended(0, "", "")
    for line in (case / "cmd").read_text(encoding="utf-8").splitlines():
        words = shlex.split(line)
        environment: dict[str, str] = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        assert "runflow" == words[0]
        ended = run(folder, *words[1:], **environment)
    return Ended(ended.code, settled(ended.stdout, folder), settled(ended.stderr, folder))


def expected(case: Path) -> Ended:
    texts = [(case / name).read_text(encoding="utf-8") if (case / name).exists() else "" for name in ("stdout", "stderr")]
    return Ended(int((case / "exit").read_text()), *texts)


def golden() -> list[Path]:
    return sorted(path.parent for path in GOLDEN.glob("*/cmd"))


@pytest.mark.parametrize("case", golden(), ids=lambda case: case.name)
def test_golden(case: Path, tmp_path: Path) -> None:
    assert expected(case) == play(case, tmp_path)


def test_no_golden_folder_gets_lost() -> None:
    assert len(golden()) >= 111


# ── exit codes ───────────────────────────────────────────────────────────────────────────────────────────────────────

FLOW = """\
assistant:
  model: qwen-max
steps:
  - user: Draw a cat.
    sample: Here is your tabby.
    expect: {word}
"""
FILES = {
    "passes.yaml": FLOW.format(word="tabby"),
    "fails.yaml": FLOW.format(word="ragdoll"),
    "invalid.yaml": FLOW.format(word="tabby").replace("user", "usr"),
    "skipped.yaml": FLOW.format(word="tabby") + "    skip: waits\n",
    "unchecked.yaml": FLOW.partition("    expect")[0],
    "elsewhere.yaml": "target: dashscope\n" + FLOW.format(word="tabby"),
    "readme.txt": "no flow",
    "empty/readme.txt": "no flow",
    "both/a.yaml": FLOW.format(word="tabby"),
    "both/b.yaml": FLOW.format(word="ragdoll"),
    "code/code.yaml": FLOW.format(word="{python: polite.py:polite}"),
    "code/polite.py": "def polite(answer): return True\n",
    "config/runflow.toml": "target = 1\n",
    "config/passes.yaml": FLOW.format(word="tabby"),
}
KEY = {"DASHSCOPE_API_KEY": "sk-0123456789abcdef"}
DEAD_BASE = f"--base-url={DEAD}/api/v1"


@pytest.mark.parametrize(
    ("code", "command", "environment"),
    [
        (0, "passes.yaml", {}),
        (0, "run passes.yaml", {}),
        (0, "both/a.yaml", {}),
        (0, "passes.yaml passes.yaml skipped.yaml", {}),
        (0, "unchecked.yaml", {}),
        (0, "passes.yaml --target embedded", {"CI": "1"}),
        (0, "passes.yaml", {"CI": "1", "RUNFLOW_TARGET": "embedded"}),
        (0, "-q passes.yaml", {}),
        (0, "--no-stream passes.yaml", {}),
        (0, "passes.yaml --target=embedded", KEY),
        (0, "validate passes.yaml fails.yaml", {"CI": "1"}),
        (0, "validate unchecked.yaml", {}),
        (0, "plan elsewhere.yaml", {}),
        (0, "schema", {}),
        (0, "targets", {}),
        (0, "explain", {}),
        (0, "doctor", {}),
        (0, "completion fish", {}),
        (0, "--version", {}),
        (0, "--help", {}),
        (0, "init new.yaml --yes", {}),
        (0, "trust code/code.yaml", {}),
        (0, "trust passes.yaml", {}),
        (0, "trust --list", {}),
        (0, "trust --forget passes.yaml", {}),
        (0, "code/code.yaml --allow-tools", {}),
        (0, "plan code/code.yaml", {}),
        (0, "validate code/code.yaml", {}),
        (1, "fails.yaml", {}),
        (1, "both", {}),
        (1, "passes.yaml fails.yaml skipped.yaml", {}),
        (1, f"fails.yaml --target embedded --json {os.devnull}", {}),
        (1, f"both/b.yaml --junit {os.devnull}", {}),
        (2, "", {}),
        (2, "run", {}),
        (2, "nosuch.yaml", {}),
        (2, "passes.yaml nosuch/", {}),
        (2, "validate nosuch.yaml", {}),
        (2, "validate", {}),
        (2, "vlidate passes.yaml", {}),
        (2, "passes.yaml --colour", {}),
        (2, "passes.yaml --timeout soon", {}),
        (2, "passes.yaml --var animal=cat", {}),
        (2, "passes.yaml --json passes.yaml", {}),
        (2, "passes.yaml --json nowhere/report.json", {}),
        (2, "passes.yaml --events - --json -", {}),
        (2, "init passes.yaml --yes", {}),
        (2, "explain nosuchcode", {}),
        (2, "completion tcsh", {}),
        (2, "trust", {}),
        (2, "trust nosuch.yaml", {}),
        (2, "trust --forget nosuch.yaml", {}),
        (2, "trust --list --forget passes.yaml", {}),
        (3, "invalid.yaml", {}),
        (3, "code/code.yaml", {}),
        (3, "passes.yaml fails.yaml code/code.yaml", {}),
        (3, "code/code.yaml --target embedded", {"CI": "1"}),
        (3, "trust invalid.yaml code/code.yaml", {}),
        (3, "passes.yaml invalid.yaml", {}),
        (3, "readme.txt", {}),
        (3, "validate .", {}),
        (3, "validate --require-checks unchecked.yaml", {}),
        (3, "unchecked.yaml --require-checks", {}),
        (3, "plan invalid.yaml", {}),
        (3, "passes.yaml", {"CI": "true"}),
        (3, "doctor", {"CI": "true"}),
        (3, "passes.yaml --target dashscope", {}),
        (3, "elsewhere.yaml", {}),
        (3, "passes.yaml --target nosuch", {}),
        (3, "passes.yaml", {"RUNFLOW_TARGET": "nosuch"}),
        (3, "passes.yaml --base-url http://example.org/api/v1", KEY),
        (3, "passes.yaml --base-url http://127.0.0.1:9/api/v1", {}),
        (4, f"passes.yaml {DEAD_BASE}", KEY),
        (4, f"elsewhere.yaml passes.yaml {DEAD_BASE}", KEY),
        (5, "empty", {}),
        (5, "trust empty", {}),
        (5, "validate empty", {}),
        (5, "plan empty", {}),
        (5, "nothing*.yaml", {}),
        (5, "skipped.yaml", {}),
    ],
)
def test_exit_code(code: int, command: str, environment: Mapping[str, str], tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    ended = run(tmp_path, *command.split(), **environment)
    assert (code, False) == (ended.code, "Traceback" in ended.stderr), ended.stderr


def test_a_wrong_configuration_is_exit_3(tmp_path: Path) -> None:
    (tmp_path / "runflow.toml").write_text("target = 1\n")
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    assert [3, 3, 3] == [run(tmp_path, *words).code for words in (["passes.yaml"], ["targets"], ["doctor"])]


def test_a_bug_is_exit_70_with_one_line_and_a_file_without_secrets(tmp_path: Path) -> None:
    program = (
        "import runner.schema\n"
        "def flow_schema(): raise RuntimeError('the key is sk-0123456789abcdef')\n"
        "runner.schema.flow_schema = flow_schema\n"
        "from runner.cli import main\n"
        "main(['schema'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**clean(tmp_path), **KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    [crash] = (tmp_path / "home" / "state" / "runflow").iterdir()
    sentence = f"runflow: this is a bug in runflow: RuntimeError: the key is ***; please report it with {crash}\n"
    assert (70, "", sentence) == (ended.returncode, ended.stdout, ended.stderr)
    assert 0o600 == crash.stat().st_mode & 0o777
    kept = crash.read_text()
    assert "in flow_schema" in kept
    assert "sk-0123" not in kept


def test_a_bug_tells_no_key_of_a_file_either(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DASHSCOPE_API_KEY=plain-secret-value\n")
    program = (
        "import runner.schema\n"
        "def flow_schema(): raise RuntimeError('the key is plain-secret-value')\n"
        "runner.schema.flow_schema = flow_schema\n"
        "from runner.cli import main\n"
        "main(['schema'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=clean(tmp_path), capture_output=True, text=True, check=False
    )
    [crash] = (tmp_path / "home" / "state" / "runflow").iterdir()
    assert "RuntimeError: the key is ***;" in ended.stderr
    assert "plain-secret" not in ended.stderr + crash.read_text()


def test_no_secret_of_a_flow_is_shown_with_what_is_wrong_there(tmp_path: Path) -> None:
    (tmp_path / "runflow.toml").write_text('env = ["SHOP_TOKEN"]\n')
    wrong = FILES["passes.yaml"] + "  - user: Hi.\n    expect: [{contians: sk-abcdef1234567890abcd hunter2-hunter2}]\n"
    (tmp_path / "wrong.yaml").write_text(wrong)
    for words in (["validate", "wrong.yaml"], ["wrong.yaml", "--target", "embedded"]):
        ended = run(tmp_path, *words, SHOP_TOKEN="hunter2-hunter2")
        assert "contians: sk-*** ***" in ended.stdout + ended.stderr
        assert not [part for part in ("abcdef", "hunter2") if part in ended.stdout + ended.stderr]


def test_what_is_wrong_with_a_flow_is_annotated_when_it_is_to_be_played(tmp_path: Path) -> None:
    (tmp_path / "right.yaml").write_text(FILES["passes.yaml"])
    (tmp_path / "wrong.yaml").write_text(FILES["passes.yaml"].replace("model:", "modle:"))
    annotated = run(tmp_path, "validate", ".", "--github", "-").stdout.splitlines()[-1]
    assert annotated.startswith("::error file=wrong.yaml,line=2,endLine=2,col=3,title=runflow::unknown key `modle`")
    ended = run(tmp_path, "run", ".", "--target", "embedded", "--github", "-")
    assert (3, annotated) == (ended.code, ended.stdout.splitlines()[-1])


def test_a_run_and_its_merge_mask_what_the_configuration_names_whatever_is_played(tmp_path: Path) -> None:
    (tmp_path / "runflow.toml").write_text('env = ["SHOP_TOKEN"]\n')
    (tmp_path / "a.yaml").write_text(FILES["passes.yaml"] + "  - user: Hi.\n    expect: hunter2-hunter2\n")
    files = [word for name in ("html", "json", "junit", "markdown") for word in (f"--{name}", f"a.{name}")]
    token = {"SHOP_TOKEN": "hunter2-hunter2"}
    said = []
    for words in (["run", "a.yaml", "--target", "embedded", "--events", "a.jsonl"], ["merge", "a.jsonl"]):
        ended = run(tmp_path, *words, *files, **token)
        assert (1, "") == (ended.code, ended.stderr)
        said += [
            ended.stdout,
            *((tmp_path / f"a.{name}").read_text() for name in ("html", "json", "junit", "markdown", "jsonl")),
        ]
    assert 12 == sum("***" in text or "&#42;" in text for text in said)
    assert not [text for text in said if "hunter2" in text]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The base URL of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_code_and_a_report(number: int, silent_server: str, tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    words = [str(RUNFLOW), "passes.yaml", "--base-url", silent_server, "--events", "-", "--json", "report.json"]
    with subprocess.Popen(
        words, cwd=tmp_path, env={**clean(tmp_path), **KEY}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        while b"OperationStarted" not in process.stdout.readline():
            pass
        process.send_signal(number)
        process.stdout.read()
    assert 128 + number == process.returncode
    assert 128 + number == json.loads((tmp_path / "report.json").read_text())["exit_code"]


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [["passes.yaml"], ["--help"], ["schema"], ["validate", "passes.yaml"], ["explain"]])
def test_a_reader_that_left_is_no_error(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [RUNFLOW, *command], cwd=tmp_path, env=clean(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (0, b"") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("command", [["passes.yaml"], ["--help"], ["--version"], ["validate", "passes.yaml"]])
def test_a_full_disk_is_said_in_one_line(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [RUNFLOW, *command], cwd=tmp_path, env=clean(tmp_path), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (4, b"runflow: cannot write stdout: No space left on device\n") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "cp1252"])
def test_any_text_reaches_any_stream(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "neko.yaml").write_text(FLOW.format(word="猫✓").replace("tabby", "猫✓"), encoding="utf-8")
    ended = run(tmp_path, "neko.yaml", PYTHONIOENCODING=encoding, LC_ALL="C")
    assert (0, "") == (ended.code, ended.stderr)
    assert "猫✓" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["{odd}"],
        ["validate", "{odd}"],
        ["plan", "{odd}"],
        ["--json", "{odd}", "neko.yaml"],
        ["{odd}x"],
        ["explain", "{odd}"],
        ["validate", "--{odd}"],
    ],
)
def test_what_steers_a_terminal_is_never_written_raw(arguments: list[str], tmp_path: Path) -> None:
    odd = "a\x1b]0;\u202ered.yaml"
    (tmp_path / odd).write_text(FLOW.format(word='"\u202ecat"').replace("tabby", "tab\\e[31mby"), encoding="utf-8")
    (tmp_path / "neko.yaml").write_text(FLOW.format(word="tabby"), encoding="utf-8")
    ended = run(tmp_path, *(argument.format(odd=odd) for argument in arguments))
    assert ended.stdout + ended.stderr
    assert [] == [char for char in ended.stdout + ended.stderr if char in "\x1b\u202e"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--lang", "ja", "validate", "x.yaml"], "ja"),
        (["validate", "x.yaml", "--lang=zh_CN"], "zh_CN"),
        (["validate", "x.yaml"], None),
        (["validate", "--lang"], None),
        (["validate", "--lang="], None),
    ],
)
def test_the_language_is_known_before_anything_is_said(arguments: list[str], expected: str | None) -> None:
    assert expected == language(arguments)


def test_the_words_are_chosen_by_lang(tmp_path: Path) -> None:
    english, japanese = "there is no file or folder `nosuch.yaml`", "ファイルやフォルダー`nosuch.yaml`はありません"
    assert f"runflow: {english}\n" == run(tmp_path, "nosuch.yaml", "--lang", "en").stderr
    assert f"runflow: {japanese}\n" == run(tmp_path, "nosuch.yaml", "--lang", "ja").stderr
    assert f"runflow: {japanese}\n" == run(tmp_path, "--lang", "ja-JP", "nosuch.yaml", RUNFLOW_LANG="zh_CN").stderr
    assert f"runflow: {japanese}\n" == run(tmp_path, "nosuch.yaml", RUNFLOW_LANG="ja").stderr
    assert "使い方: runflow run [OPTIONS] PATHS…" == run(tmp_path, "run", "--help", "--lang", "ja").stdout.splitlines()[0]


def test_the_pages_of_explain_are_in_the_readers_language(tmp_path: Path) -> None:
    english, japanese = run(tmp_path, "explain", "tab"), run(tmp_path, "explain", "tab", "--lang", "ja")
    assert english.stdout.startswith("YAML counts the spaces in front of a line;")
    assert japanese.stdout.startswith("YAML") and "タブ" in japanese.stdout.splitlines()[0]
    assert re.findall("(?s)```.*?```", english.stdout) == re.findall("(?s)```.*?```", japanese.stdout)


def test_a_language_without_sentences_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "nosuch.yaml", "--lang", "tlh")
    assert (2, "runflow: there are no sentences in `tlh`; use one of `en`, `ja`, `zh_CN`") == (
        ended.code,
        ended.stderr.splitlines()[0],
    )


# ── start-up ─────────────────────────────────────────────────────────────────────────────────────────────────────────

HEAVY = {"asyncio", "dotenv", "httpx", "importlib.metadata", "jsonpath", "jsonschema", "regex", "rich", "sqlite3", "starlette"}


def loaded(folder: Path, *arguments: str, **environment: str) -> set[str]:
    """The modules in memory when a command has ended."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        "from runner.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**clean(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    return set(ended.stderr.split())


def test_version_loads_next_to_nothing(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "--version")
    assert set() == modules & {"click", "yaml", *HEAVY}


def test_completion_loads_click_alone(tmp_path: Path) -> None:
    modules = loaded(tmp_path, _RUNFLOW_COMPLETE="bash_complete", COMP_WORDS="runflow validate --js", COMP_CWORD="2")
    assert "click" in modules
    assert set() == modules & {"yaml", "runner.model", *HEAVY}


def test_validating_a_clean_file_loads_only_the_reader(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    assert set() == loaded(tmp_path, "validate", "passes.yaml") & (HEAVY - {"importlib.metadata"})


def test_validating_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    run(tmp_path, "validate", "passes.yaml")
    assert ["passes.yaml"] == [path.name for path in tmp_path.iterdir()]


# ── help and completion ──────────────────────────────────────────────────────────────────────────────────────────────

COMMANDS = ["run", "plan", "trust", "serve", "init", "validate", "explain", "schema", "targets", "doctor", "completion"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_with_an_example(name: str, tmp_path: Path) -> None:
    long, short = run(tmp_path, name, "--help"), run(tmp_path, name, "-h")
    assert (0, "") == (long.code, long.stderr)
    assert long == short
    lines = long.stdout.splitlines()
    assert lines[0].startswith(f"Usage: runflow {name}")
    assert lines.index("Examples:") < 8
    assert max(map(len, lines)) <= 100


def test_the_help_lists_every_command(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help").stdout
    assert COMMANDS == sorted(COMMANDS, key=lambda name: shown.index(f"\n  {name} "))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("runflow va", {"plain,validate"}),
        ("runflow p", {"plain,plan", "plain,paint.yaml"}),
        ("runflow q", {"file,q"}),
        ("runflow nosuch x", {"file,x"}),
        ("runflow completion f", {"plain,fish"}),
        ("runflow validate --req", {"plain,--require-checks"}),
    ],
)
def test_the_shell_completes(words: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "paint.yaml").touch()
    last = str(len(words.split()) - 1)
    ended = run(tmp_path, _RUNFLOW_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=last)
    assert (expected, "") == (set(ended.stdout.split()), ended.stderr)


def test_no_line_of_a_flow_gives_a_ci_service_orders(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('assistant: {model: m}\nsteps:\n  - user: "##vso[x]"\n    contians: "##[error]"\n')
    (tmp_path / "b.yaml").write_text('assistant: {model: m}\nsteps:\n  - user: "##vso[x]"\n')
    for ended, there in ((run(tmp_path, "validate", "a.yaml"), "# #[error]"), (run(tmp_path, "plan", "b.yaml"), "# #vso[x]")):
        assert (True, False, False) == (there in ended.stdout, "##[" in ended.stdout, "##vso" in ended.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_report_that_cannot_be_written_and_the_trace_say_so_safely(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('assistant: {model: m}\nsteps:\n  - user: "##vso[x]"\n    sample: "##[error]"\n')
    ended = run(tmp_path, "a.yaml", "-vv", "--json", "/dev/full")
    assert "runflow: cannot write /dev/full: No space left on device" == ended.stderr.splitlines()[-1]
    assert (4, True, False) == (ended.code, "# #vso[x]" in ended.stderr, "##" in ended.stderr)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_itself_completes_a_command(tmp_path: Path) -> None:
    line = run(tmp_path, "completion", "bash").stdout
    script = line + 'COMP_WORDS=(runflow va) COMP_CWORD=1\n_runflow_completion runflow\necho "${COMPREPLY[@]}"\n'
    environment = {**clean(tmp_path), "PATH": f"{Path(RUNFLOW).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(["bash", "--norc"], input=script.encode(), env=environment, capture_output=True, check=False)
    assert (b"validate\n", b"") == (ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("run --jsn x.yaml", "there is no option `--jsn`; did you mean `--json`?"),
        ("targets --foo", "there is no option `--foo`"),
        ("run x.yaml -j 4", "there is no option `-j`; did you mean `--jobs`?"),
        ("run x.yaml --tags smoke", "there is no option `--tags`; did you mean `--tag`?"),
        ("run x.yaml -x", "there is no option `-x`; did you mean `--max-failures 1`?"),
        ("run x.yaml --retries 2", "there is no option `--retries`; write `retries: 2` in the flow"),
        ("run x.yaml --req", "there is no option `--req`; did you mean `--require-checks`?"),
        ("validate x.yaml --lf", "there is no option `--lf`"),
        ("run x.yaml --jobs 0", "`--jobs` cannot have this value; it takes a whole number of at least 1"),
        ("run x.yaml --json a.json --json b.json", "`--json` is given twice; it writes one file"),
        ("run x.yaml --max-rps nan", "`--max-rps` cannot have this value; it takes a number above 0"),
        ("run x.yaml --max-rps inf", "`--max-rps` cannot have this value; it takes a number above 0"),
        ("run x.yaml --max-rps 1e20", "`--max-rps` cannot have this value; it takes a number above 0"),
        ("run x.yaml --max-rps fast", "`--max-rps` cannot have this value; it takes a number above 0"),
        ("run x.yaml --var", "`--var` needs a value"),
        ("init --yes=1", "`--yes` takes no value"),
        ("completion", "`bash|zsh|fish` is missing"),
        ("completion tcsh", "`shell` cannot have this value; it takes bash|zsh|fish"),
        ("serve --port 99999", "`--port` cannot have this value; it takes 0–65535"),
        ("explain a b", "`b` is one argument too many"),
    ],
)
def test_a_wrong_command_line_is_told_in_sentences_of_our_own(arguments: str, sentence: str, tmp_path: Path) -> None:
    ended = run(tmp_path, *arguments.split())
    assert (2, f"runflow: {sentence}") == (ended.code, ended.stderr.splitlines()[0])


def test_a_misspelt_path_is_told_with_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "paint.yaml").touch()
    told = [run(tmp_path, *words).stderr for words in (["flwos"], ["flows/piant.yaml"], ["nosuch/paint.yaml"])]
    assert [
        "runflow: `flwos` is neither a command nor a file; did you mean `runflow flows`?\n",
        "runflow: there is no file or folder `flows/piant.yaml`; did you mean `flows/paint.yaml`?\n",
        "runflow: there is no file or folder `nosuch/paint.yaml`\n",
    ] == told


# ── init ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_init_writes_a_flow_and_its_schema_and_the_flow_passes(tmp_path: Path) -> None:
    assert 0 == run(tmp_path, "init", "--yes").code
    assert {"first.yaml", "flow.schema.json"} == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "first.yaml").read_text().startswith("# yaml-language-server: $schema=flow.schema.json\n")
    assert run(tmp_path, "schema").stdout == (tmp_path / "flow.schema.json").read_text()
    assert ("1 file: no problems\n", 0) == (run(tmp_path, "validate", "first.yaml").stdout, run(tmp_path, "first.yaml").code)


@pytest.mark.parametrize(
    ("purpose", "said", "word"),
    [
        ("Answer questions about orders.", "Where is order #2: shipped?", "order: #2"),
        ("注文について答えてください。", "注文はどこですか？", "注文"),
        ('Say "no" to ${name} and {{x}}', "@anna: *bold*  - yes", "true"),
        ("null", "> 5", "1.10"),
        ("back\\slash and 'quote'", "a: b # c", "'"),
        ("- item", "!tag", "&anchor"),
    ],
)
def test_whatever_is_answered_makes_a_flow_that_passes(purpose: str, said: str, word: str, tmp_path: Path) -> None:
    ended = run(tmp_path, "init", stdin=f"{purpose}\n{said}\n{word}\n")
    assert (0, "") == (ended.code, ended.stderr)
    played = run(tmp_path, "first.yaml", "--events", "-")
    assert 0 == played.code, played.stdout + run(tmp_path, "validate", "first.yaml").stdout
    assert json.dumps(said, ensure_ascii=False) in played.stdout


@pytest.mark.parametrize("spoken", ["ja", "zh_CN"])
def test_the_suggested_flow_passes_in_every_language(spoken: str, tmp_path: Path) -> None:
    assert 0 == run(tmp_path, "init", "--yes", "--lang", spoken).code
    assert 0 == run(tmp_path, "first.yaml", "--require-checks", "--lang", spoken).code


def test_init_without_answers_writes_nothing(tmp_path: Path) -> None:
    ended = run(tmp_path, "init")
    assert (2, "runflow: nothing was written; `runflow init --yes` asks nothing\n") == (ended.code, ended.stderr.lstrip())
    assert [] == list(tmp_path.iterdir())


def test_init_leaves_a_schema_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "flow.schema.json").write_text("mine")
    assert 0 == run(tmp_path, "init", "--yes").code
    assert "mine" == (tmp_path / "flow.schema.json").read_text()


# ── run, plan, serve ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plan_is_what_the_run_then_calls(tmp_path: Path) -> None:
    flow = WORKFLOWS / "paint.yaml"
    shutil.copy(flow, tmp_path)
    plan = json.loads(run(tmp_path, "plan", "paint.yaml", "--json", "-").stdout)
    planned = [f"{call['method']} {call['path']}" for call in plan["cases"][0]["calls"]]
    trace = run(tmp_path, "paint.yaml", "-vv").stderr
    called = re.findall(r"^(\w+) http://embedded\.invalid(?:/api/v1)?(\S+): 200", trace, re.MULTILINE)
    named = [re.sub(r"/images/.*", "{picture}", path) for _method, path in called]
    named = [re.sub(r"(asst|thread|run)_[0-9a-f-]{36}", lambda found: NAMES[found[1]], path) for path in named]
    assert planned == [f"{method} {path}" for (method, _path), path in zip(called, named, strict=True)]


NAMES = {"asst": "{assistant}", "thread": "{thread}", "run": "{run}"}


def test_a_plan_uses_existing_things_by_their_ids(tmp_path: Path) -> None:
    text = "thread: {id: thread_mine}\n" + FLOW.format(word="x").replace("model: qwen-max", "id: asst_mine")
    (tmp_path / "existing.yaml").write_text(text)
    plan = json.loads(run(tmp_path, "plan", "existing.yaml", "--target", "dashscope", "--json", "-").stdout)
    calls = plan["cases"][0]["calls"]
    assert ["POST /threads/thread_mine/messages", "POST /threads/thread_mine/runs"] == [
        f"{call['method']} {call['path']}" for call in calls[:2]
    ]
    assert {"assistant_id": "asst_mine", "stream": True} == calls[1]["body"]
    assert [] == [call for call in calls if call["method"] == "DELETE"]


def test_a_plan_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    ended = run(tmp_path, "plan", "passes.yaml", "--target", "dashscope", "--base-url", f"{DEAD}/other/base")
    assert (0, "") == (ended.code, ended.stderr)
    assert f"target: dashscope (named by --target), {DEAD}/other/base" == ended.stdout.splitlines()[1]


def test_traced_calls_hold_no_key(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"].replace("Draw a cat.", "My key is sk-0123456789abcdef."))
    ended = run(tmp_path, "passes.yaml", "-vv", "--target", "embedded", "--events", "e.jsonl", "--json", "r.json", **KEY)
    everything = ended.stdout + ended.stderr + (tmp_path / "e.jsonl").read_text() + (tmp_path / "r.json").read_text()
    assert "POST http://embedded.invalid/api/v1/assistants: 200" in ended.stderr
    assert "sk-0123" not in everything


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_call_is_traced_when_it_is_made(unbuffered: str, tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FILES["passes.yaml"])
    together = subprocess.run(
        [RUNFLOW, "passes.yaml", "-vv"],
        cwd=tmp_path,
        env={**clean(tmp_path), "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=True,
    ).stdout
    assert together.index("POST http://embedded.invalid/api/v1/assistants") < together.index("1 flow: 1 passed")


def test_pictures_are_saved_where_out_says(tmp_path: Path) -> None:
    ended = run(tmp_path, str(WORKFLOWS / "paint.yaml"), "--out", "pictures")
    [picture] = (tmp_path / "pictures").rglob("*.png")
    assert 0 == ended.code
    assert str(picture.relative_to(tmp_path)) in ended.stdout.split()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_doctor_never_shows_a_secret(tmp_path: Path) -> None:
    ended = run(tmp_path, "doctor", "--json", "-", HTTPS_PROXY="http://me:secret@proxy:3128", **KEY)
    findings = {finding["name"]: finding["value"] for finding in json.loads(ended.stdout)}
    assert "set in the environment" == findings["DASHSCOPE_API_KEY"]
    assert "http://***@proxy:3128" in findings["proxies"]
    assert "secret" not in ended.stdout
    assert "sk-0123" not in ended.stdout


def test_a_flow_runs_against_a_served_service(tmp_path: Path) -> None:
    (tmp_path / "passes.yaml").write_text(FLOW.format(word="cat"))
    with subprocess.Popen([RUNFLOW, "serve"], cwd=tmp_path, env=clean(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _line in range(3)]
        exported = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[1:])
        good = run(tmp_path, "passes.yaml", **exported)
        wrong = run(tmp_path, "passes.yaml", **{**exported, "DASHSCOPE_API_KEY": "sk-wrong-key"})
        process.send_signal(signal.SIGINT)
    assert (0, 4, 0) == (good.code, wrong.code, process.returncode), good.stdout + wrong.stdout
    assert "DASHSCOPE_API_KEY" in wrong.stdout
    assert "sk-wrong-key" not in wrong.stdout


def accept(case: Path, folder: Path) -> None:
    """Write down what the command does now; read the difference before committing it."""
    ended = play(case, folder)
    (case / "exit").write_text(f"{ended.code}\n")
    for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        (case / name).unlink(missing_ok=True)
        if text:
            (case / name).write_text(text, encoding="utf-8")


def main() -> None:
    import tempfile

    for case in golden():
        if case.name in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder:
                accept(case, Path(folder).resolve())


if __name__ == "__main__":
    main()
