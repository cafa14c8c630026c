"""What is offered to CI does what it says: the action, the pre-commit hook, and every example of docs/ci.md.

The examples are played step by step with bash, in the environment that a runner gives, on the embedded service. Only what
the network would bring is stood in for: checkouts, artifacts, and what pip installs.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from runner.cli.frame import Command, Commands, Exit
from tests.test_cli import RUNFLOW, Ended, clean

ROOT = Path(__file__).parent.parent
CI = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
OURS = "OWNER/runflow@v0.1.0"
KEY = "sk-0123456789abcdefghijklmnopqrstuv"
FLOWS = {
    "names.yaml": """\
assistant: {model: qwen-max}
cases: [{name: Ana}, {name: Bo}, {name: Cem}, {name: Dai}, {name: Eva}, {name: Fu}]
steps:
  - user: My name is ${name}.
    expect: ${name}
""",
    "picture.yaml": """\
assistant: {model: qwen-max, tools: [text_to_image]}
steps:
  - user: Draw a cat.
    expect: [image]
""",
    "wrong.yaml": """\
assistant: {model: qwen-max}
steps:
  - user: What is the capital of France?
    expect: Paris
""",
}
SLOW = """\
assistant:
  model: qwen-max
  tools:
    - look_up:
        description: Look something up
        parameters: {what: string}
        replies: [{returns: found, after: 10min}]
steps:
  - user: Look up ink.
    sample: {calls: [{look_up: {what: ink}}], text: It was found.}
    expect: found
timeout: 15min
"""
RIGHT = ("names.yaml", "picture.yaml")
CONVERSATIONS = ["picture", "wrong", *(f"names [{name}]" for name in ("Ana", "Bo", "Cem", "Dai", "Eva", "Fu"))]


def blocks(kind: str, text: str = CI) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def example(name: str, kind: str = "yaml") -> str:
    """The block that begins with a comment naming its file."""
    [found] = [block for block in blocks(kind) if block.startswith(f"# {name}\n")]
    return found


def project(folder: Path, flows: Sequence[str] = tuple(FLOWS)) -> Path:
    """A checkout that holds these flows."""
    for name in flows:
        path = folder / "workflows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FLOWS[name], encoding="utf-8")
    return folder


def bash(script: str, folder: Path, environment: Mapping[str, str]) -> Ended:
    ended = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def told(report: Path) -> Counter[str]:
    """How often a JUnit report tells of each conversation."""
    return Counter(case.attrib["name"] for case in ET.parse(report).getroot().iter("testcase"))


def text(value: object) -> str:
    """A value of YAML as an expression of GitHub puts it into a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def filled(template: object, values: Mapping[str, object]) -> str:
    """A text with its expressions replaced; one that is not expected is a KeyError."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: text(values[found[1]]), text(template))


# ── a runner of GitHub's, as far as the examples go ──────────────────────────────────────────────────────────────────

PYTHON = """\
#!/bin/sh
echo "$*" >> {log}
case $2 in
  venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  pip) ln -sf {runflow} "${{0%/*}}/runflow" ;;
esac
"""
"""Makes an environment, and installs what is installed here."""


@dataclass
class GitHub:
    """Machines that come and go, and the artifacts that stay."""

    home: Path
    flows: Sequence[str] = tuple(FLOWS)
    python: str = PYTHON
    machines: int = 0
    output: str = ""

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def installed(self) -> list[str]:
        return (self.home / "installed").read_text().splitlines()

    def play(self, job: Mapping[str, Any], matrix: Mapping[str, object], **given: str) -> int:
        """Run a job's steps on a new machine; the exit code of the first that did not end well. `given` takes the place of
        inputs."""
        values = {f"matrix.{name}": value for name, value in matrix.items()} | {"secrets.DASHSCOPE_API_KEY": KEY}
        environment = {name: filled(value, values) for name, value in job.get("env", {}).items()}
        self.machines += 1
        workspace = self.home / f"machine-{self.machines}" / "work"
        workspace.mkdir(parents=True)
        codes: list[int] = []
        for step in job["steps"]:
            # A step that is not for all cases does not run after one that did not end well.
            assert any(codes) is False or step["if"] == "${{ always() }}"
            wanted = {name: filled(value, values) for name, value in step.get("with", {}).items()}
            uses, _, _version = step["uses"].partition("@")
            if uses == "actions/checkout":
                project(workspace, self.flows)
            elif uses == "actions/upload-artifact":
                self.upload(workspace, wanted["name"], wanted["path"].split())
            elif uses == "actions/download-artifact":
                assert "true" == wanted["merge-multiple"]
                for artifact in sorted(self.artifacts.glob(wanted["pattern"])):
                    shutil.copytree(artifact, workspace, dirs_exist_ok=True)
            else:
                assert OURS == step["uses"]
                if "target" in wanted:
                    wanted |= given
                codes.append(self.act(wanted, workspace, environment).code)
        return next(filter(None, codes), 0)

    def upload(self, workspace: Path, name: str, paths: Sequence[str]) -> None:
        for path in paths:
            source, goal = workspace / path, self.artifacts / name / path
            goal.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, goal)
            elif source.exists():
                shutil.copy(source, goal)

    def act(self, wanted: Mapping[str, str], workspace: Path, environment: Mapping[str, str]) -> Ended:
        """Run the action's own steps as a runner does."""
        ended = Ended(0, "", "")
        for step in self.steps(wanted, workspace, environment):
            ended = bash(*step)
            self.output += ended.stdout + ended.stderr
            if ended.code:
                return ended
        return ended

    def steps(
        self, wanted: Mapping[str, str], workspace: Path, environment: Mapping[str, str]
    ) -> Iterator[tuple[str, Path, Mapping[str, str]]]:
        """The script, folder and environment of each step of the action's own."""
        unknown = set(wanted) - set(ACTION["inputs"])
        assert not unknown
        inputs = {name: wanted.get(name, text(each["default"])) for name, each in ACTION["inputs"].items()}
        values: dict[str, object] = {f"inputs.{name}": value for name, value in inputs.items()}
        python = self.home / "python"
        python.write_text(self.python.format(log=shlex.quote(str(self.home / "installed")), runflow=shlex.quote(str(RUNFLOW))))
        python.chmod(0o755)
        values |= {"github.action_path": str(ROOT), "steps.python.outputs.python-path": str(python)}
        machine = workspace.parent
        (machine / "temp").mkdir(exist_ok=True)
        around = {
            **clean(machine),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_STEP_SUMMARY": str(self.home / f"summary-{self.machines}.md"),
            "GITHUB_PATH": str(machine / "path"),
            "RUNNER_TEMP": str(machine / "temp"),
            **environment,
        }
        for step in ACTION["runs"]["steps"][1:]:
            variables = {name: filled(value, values) for name, value in step["env"].items()}
            folder = workspace / filled(step.get("working-directory", "."), values)
            yield step["run"], folder, around | variables

    def summary(self) -> str:
        path = self.home / f"summary-{self.machines}.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    return GitHub(tmp_path)


# ── the action ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_action_uses_the_inputs_it_has_and_puts_none_into_a_script() -> None:
    steps = ACTION["runs"]["steps"]
    outside = yaml.safe_dump([{name: value for name, value in step.items() if name != "run"} for step in steps])
    assert set(ACTION["inputs"]) == set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", outside))
    assert "${{" not in "".join(step.get("run", "") for step in steps)
    assert ["bash", "bash"] == [step["shell"] for step in steps if "run" in step]
    assert all({"description", "default"} == set(each) for each in ACTION["inputs"].values())


def test_what_the_action_uses_cannot_be_exchanged_for_something_else() -> None:
    [used] = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert re.fullmatch("actions/setup-python@[0-9a-f]{40}", used)


def test_the_action_installs_the_checkout_it_lies_in_and_offers_runflow_to_later_steps(github: GitHub, tmp_path: Path) -> None:
    workspace = project(tmp_path / "machine" / "work", RIGHT)
    assert 0 == github.act({"target": "embedded"}, workspace, {}).code
    runner = tmp_path / "machine" / "temp" / "runflow"
    assert [f"-m venv {runner}/venv", f"-m pip install --quiet --disable-pip-version-check {ROOT}"] == github.installed
    assert (ROOT / "pyproject.toml").is_file()
    [offered] = (tmp_path / "machine" / "path").read_text().splitlines()
    assert ["runflow"] == [path.name for path in Path(offered).iterdir()]


def test_an_action_whose_installation_fails_runs_nothing(github: GitHub, tmp_path: Path) -> None:
    workspace = project(tmp_path / "machine" / "work", RIGHT)
    github.python = PYTHON.replace("ln -sf {runflow}", "exit 7 #")
    assert Ended(7, "", "") == github.act({"target": "embedded"}, workspace, {})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, ["run", "--github", "-", "--", "workflows/"]),
        ({"paths": "a b.yaml\n\n  more/*.yaml  \n"}, ["run", "--github", "-", "--", "a b.yaml", "more/*.yaml"]),
        ({"target": "dashscope"}, ["run", "--target", "dashscope", "--github", "-", "--", "workflows/"]),
        (
            {"junit": "a b.xml", "html": "c.html", "events": "d.jsonl", "annotate": "false"},
            ["run", "--junit", "a b.xml", "--html", "c.html", "--events", "d.jsonl", "--", "workflows/"],
        ),
        (
            {"args": "--jobs 4\n-k cat and not dog\n\n  -v\n--var=city=New York\n--var  city=New York"},
            [
                *("run", "--github", "-", "--jobs", "4", "-k", "cat and not dog", "-v"),
                *("--var=city=New York", "--var", "city=New York", "--", "workflows/"),
            ],
        ),
        ({"merge": "parts/\nmore.jsonl"}, ["merge", "--github", "-", "--", "parts/", "more.jsonl"]),
        # What others wrote into an input is a word, whatever it looks like.
        (
            {"paths": '$(touch hit) `touch hit` "; touch hit; "\n*', "args": "--tag $(touch hit)", "target": "a; touch hit"},
            [
                *("run", "--target", "a; touch hit", "--github", "-", "--tag", "$(touch hit)"),
                *("--", '$(touch hit) `touch hit` "; touch hit; "', "*"),
            ],
        ),
    ],
)
def test_the_action_gives_runflow_what_the_inputs_say(
    wanted: Mapping[str, str], words: Sequence[str], github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    monkeypatch.setattr(sys.modules[__name__], "RUNFLOW", echo)
    workspace = project(tmp_path / "machine" / "work")
    assert [*words] == github.act(wanted, workspace, {}).stdout.splitlines()
    assert ["workflows"] == [path.name for path in workspace.iterdir()]


def test_the_action_runs_in_the_folder_it_is_told(github: GitHub, tmp_path: Path) -> None:
    workspace = tmp_path / "machine" / "work"
    project(workspace / "sub folder")
    ended = github.act({"target": "embedded", "working-directory": "sub folder"}, workspace, {})
    assert 1 == ended.code
    assert "::error file=sub folder/workflows/wrong.yaml,line=4," in ended.stdout


@pytest.mark.parametrize(
    ("wanted", "code"), [({"target": "nobody"}, 3), ({}, 3), ({"args": "--bogus"}, 2), ({"args": "-k x"}, 5)]
)
def test_the_action_ends_as_runflow_does(wanted: Mapping[str, str], code: int, github: GitHub, tmp_path: Path) -> None:
    assert code == github.act(wanted, project(tmp_path / "machine" / "work", RIGHT), {}).code


def test_a_cancelled_action_lets_runflow_delete_what_it_made(github: GitHub, tmp_path: Path) -> None:
    workspace = tmp_path / "machine" / "work"
    made(workspace / "workflows" / "slow.yaml").write_text(SLOW, encoding="utf-8")
    install, run = github.steps({"target": "embedded", "events": "-", "annotate": "false"}, workspace, {})
    assert 0 == bash(*install).code
    script, folder, environment = run
    (tmp_path / "step.sh").write_text(script, encoding="utf-8")
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "step.sh")]
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as step:
        assert step.stdout
        for line in step.stdout:
            if json.loads(line).get("status") == "requires_action":
                break
        step.send_signal(signal.SIGTERM)
        rest, _shown = step.communicate(timeout=60)
    assert Exit.TERMINATED == step.returncode
    deleted = [event["operation"] for event in map(json.loads, rest.splitlines()) if event["event"] == "OperationEnded"]
    assert ["cancel_run", "delete_thread", "delete_assistant"] == deleted[-3:]


# ── GitHub ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_job_of_the_example_says_what_is_wrong(github: GitHub) -> None:
    [job] = yaml.safe_load(example(".github/workflows/flows.yml"))["jobs"].values()
    assert 1 == github.play(job, {}, target="embedded")
    assert Counter(CONVERSATIONS) == told(github.artifacts / "report" / "report.xml")
    page = (github.artifacts / "report" / "report.html").read_text(encoding="utf-8")
    assert "What is the capital of France?" in page
    assert "::error file=workflows/wrong.yaml,line=4," in github.output
    assert "8 flows: 7 passed, 0 flaky, 1 failed" in github.summary()
    assert KEY not in github.output + page + github.summary()


def test_the_job_of_the_example_is_content_when_all_is_well(tmp_path: Path) -> None:
    github = GitHub(tmp_path, RIGHT)
    [job] = yaml.safe_load(example(".github/workflows/flows.yml"))["jobs"].values()
    assert 0 == github.play(job, {}, target="embedded")
    assert "::error" not in github.output
    assert "7 flows: 7 passed" in github.summary()


@dataclass(frozen=True)
class Parts:
    """The parts of the example, played, and the job that joins them."""

    codes: Sequence[int]
    artifacts: Path
    told: str
    merge: Mapping[str, Any]

    def at(self, home: Path) -> GitHub:
        """A GitHub of a test's own, with the artifacts of the parts."""
        shutil.copytree(self.artifacts, home / "artifacts")
        return GitHub(home)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    jobs = yaml.safe_load(example(".github/workflows/flows-in-parts.yml"))["jobs"]
    play, merge = jobs["play"], jobs["merge"]
    assert ("play", False, "${{ always() }}") == (merge["needs"], play["strategy"]["fail-fast"], merge["if"])
    github = GitHub(tmp_path_factory.mktemp("parts"))
    [(name, numbers)] = play["strategy"]["matrix"].items()
    codes = [github.play(play, {name: number}, target="embedded") for number in numbers]
    return Parts(codes, github.artifacts, github.output + github.summary(), merge)


@pytest.mark.xdist_group("parts")
def test_the_parts_of_the_example_play_every_conversation_once(parts: Parts, tmp_path: Path) -> None:
    assert [0, 0, 0, 1] == sorted(parts.codes)
    assert "::error" not in parts.told, "what is wrong is told once, by the job that merges"
    github = parts.at(tmp_path)
    assert 1 == github.play(parts.merge, {})
    assert Counter(CONVERSATIONS) == told(github.artifacts / "report" / "report.xml")
    assert "::error file=workflows/wrong.yaml,line=4," in github.output
    assert "8 flows: 7 passed, 0 flaky, 1 failed" in github.summary()
    page = (github.artifacts / "report" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page, "the pictures came along"
    assert KEY not in parts.told + github.output + github.summary() + page


@pytest.mark.xdist_group("parts")
def test_a_part_that_never_reported_is_seen_when_merging(parts: Parts, tmp_path: Path) -> None:
    github = parts.at(tmp_path)
    [lost] = [path.parent for path in github.artifacts.glob("*/*.jsonl") if "wrong.yaml" in path.read_text(encoding="utf-8")]
    shutil.rmtree(lost)
    assert 4 == github.play(parts.merge, {})
    assert "8 flows: 6 passed, 0 flaky, 0 failed, 0 errors, 0 skipped, 2 not run" in github.summary()


@pytest.mark.xdist_group("parts")
def test_parts_are_cut_by_the_durations_of_a_merged_report(parts: Parts, tmp_path: Path) -> None:
    github = parts.at(tmp_path)
    github.play(parts.merge, {})
    report = json.loads((github.artifacts / "report" / "durations.json").read_text(encoding="utf-8"))
    for case in report["cases"]:
        case["seconds"] = 100 if "picture" in case["path"] else 1
    folder = project(tmp_path / "next")
    (folder / "durations.json").write_text(json.dumps(report), encoding="utf-8")
    assert "add `--durations durations.json` beside `--shard`" in " ".join(CI.split())
    listed = [
        bash(
            f"runflow run workflows/ --target embedded --list --durations durations.json --shard {part}/4",
            folder,
            {**clean(tmp_path), "PATH": searched()},
        )
        for part in range(1, 5)
    ]
    assert [0, 0, 0, 0] == [each.code for each in listed]
    [alone] = [each.stdout for each in listed if "picture" in each.stdout]
    assert "names" not in alone and "wrong" not in alone


def searched(*first: Path) -> str:
    """Where commands are looked for: in these folders, then where runflow is."""
    return os.pathsep.join([*map(str, first), str(RUNFLOW.parent), os.environ["PATH"]])


# ── GitLab ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class GitLab:
    """Plays the example's jobs, stage by stage."""

    home: Path
    flows: Sequence[str] = tuple(FLOWS)
    output: str = ""

    def play(self) -> dict[str, list[int]]:
        """The exit codes of each job, each played in a new checkout with the artifacts of earlier stages."""
        pipeline = yaml.safe_load(example(".gitlab-ci.yml"))
        default, variables, stages = (pipeline.pop(name) for name in ("default", "variables", "stages"))
        assert {"RUNFLOW_TARGET": "dashscope"} == variables
        tools = self.home / "tools"
        tools.mkdir()
        (tools / "pip").write_text('#!/bin/sh\n[ "$1" = install ]\n')
        (tools / "pip").chmod(0o755)
        codes: dict[str, list[int]] = {}
        for stage in stages:
            for name, job in pipeline.items():
                if job["stage"] != stage:
                    continue
                assert "always" == job["artifacts"]["when"]
                count = job.get("parallel", 1)
                for index in range(1, count + 1):
                    node = {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(count)} if "parallel" in job else {}
                    codes.setdefault(name, []).append(self.job(f"{name}-{index}", job, default["before_script"], tools, node))
        return codes

    def job(self, name: str, job: Mapping[str, Any], before: Sequence[str], tools: Path, node: Mapping[str, str]) -> int:
        folder = project(self.home / "builds" / name, self.flows)
        kept = self.home / "artifacts"
        if kept.exists():
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        environment = {
            **clean(self.home / "builds"),
            "PATH": searched(tools),
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_PROJECT_DIR": str(folder),
            "DASHSCOPE_API_KEY": KEY,
            "RUNFLOW_TARGET": "embedded",
            **node,
        }
        ended = bash("\n".join([*before, *job["script"]]), folder, environment)
        self.output += ended.stdout + ended.stderr
        for pattern in job["artifacts"].get("paths", ()):
            for path in folder.glob(pattern):
                goal = kept / path.relative_to(folder)
                shutil.copytree(path, goal, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, made(goal))
        for path in job["artifacts"].get("reports", {}).values():
            if (folder / path).exists():
                shutil.copy(folder / path, made(self.home / "reports" / path))
        return ended.code


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_the_pipeline_of_the_example_plays_every_conversation_once(tmp_path: Path) -> None:
    gitlab = GitLab(tmp_path)
    codes = gitlab.play()
    assert ([0], [0, 0, 0, 1], [1]) == (codes["validate"], sorted(codes["play"]), codes["report"]), gitlab.output
    assert Counter(CONVERSATIONS) == told(tmp_path / "reports" / "report.xml")
    assert "data:image/png;base64," in (tmp_path / "artifacts" / "report.html").read_text(encoding="utf-8")
    assert [] == json.loads((tmp_path / "reports" / "quality.json").read_text(encoding="utf-8"))
    assert KEY not in gitlab.output


def test_the_pipeline_of_the_example_shows_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FLOWS, "wrong.yaml", FLOWS["wrong.yaml"].replace("expect", "expcet"))
    gitlab = GitLab(tmp_path)
    codes = gitlab.play()
    assert {"validate": [3], "play": [3, 3, 3, 3], "report": [2]} == codes, gitlab.output
    [issue] = json.loads((tmp_path / "reports" / "quality.json").read_text(encoding="utf-8"))
    assert {"path": "workflows/wrong.yaml", "lines": {"begin": 4}} == issue["location"]


# ── anywhere ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("block", blocks("bash"))
def test_a_command_of_the_docs_runs(block: str, tmp_path: Path) -> None:
    assert 1 == block.count("--target dashscope")
    environment = {**clean(tmp_path), "PATH": searched(), "CI": "true"}
    ended = bash(block.replace("--target dashscope", "--target embedded"), project(tmp_path, RIGHT), environment)
    assert 0 == ended.code, ended.stderr
    assert "7 flows: 7 passed, " in ended.stdout


def test_the_exit_codes_of_the_docs_are_those_of_the_commands() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| .* \| .* \|$|^\| ([\d, ]+) \| .* \| \|$", CI, re.MULTILINE)
    codes = [int(code) for row in rows for code in "".join(row).split(",")]
    assert [*Exit] == codes


def commands(document: str) -> Iterator[str]:
    """Every command line of runflow's in a document: in examples and in running text."""
    for kind, prefix in (("bash", ""), ("console", r"\$ "), ("yaml", r" *- ")):
        for block in blocks(kind, document):
            for line in block.splitlines():
                if found := re.match(rf"{prefix}(?:.* && |\S*/)?(?:\S*/)?runflow (.*)", line):
                    yield found[1]
    plain = re.sub(r"^```.*?^```$", "", document, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", plain):
        if found := re.match(r"runflow (.*)", span):
            yield found[1]


@pytest.mark.parametrize("line", sorted({*commands(CI), *commands(README)}))
def test_a_command_line_of_the_docs_is_one(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []
    monkeypatch.setattr(Command, "invoke", lambda command, _context: began.append(str(command.name)))
    words = shlex.split(line.replace("PATH…", "flows/"), comments=True)
    Commands().main(words, prog_name="runflow", standalone_mode=False)
    assert 1 == len(began)


@pytest.mark.parametrize("document", [CI, README], ids=["ci.md", "README.md"])
def test_an_option_named_in_the_docs_exists(document: str) -> None:
    group = Commands()
    context = click.Context(group)
    known = {"-h", "--help", "--version"}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        known |= {option for parameter in command.params for option in parameter.opts}
    plain = re.sub(r"^```.*?^```$", "", document, flags=re.MULTILINE | re.DOTALL)
    named = {word for span in re.findall(r"`(-[^`\n]+)`", plain) for word in shlex.split(span) if word.startswith("-")}
    assert len(named) > 5
    theirs = {"--runflow-target", "--runflow-allow-tools", "-"}  # pytest's, and standard output
    assert set() == {re.sub(r"=.*|(?<=^-v)v", "", word) for word in named} - known - theirs


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("github-actions", ""),
        ("github-workflows", ".github/workflows/flows.yml"),
        ("github-workflows", ".github/workflows/flows-in-parts.yml"),
        ("gitlab-ci", ".gitlab-ci.yml"),
    ],
)
def test_what_a_service_reads_fits_its_published_schema(schema: str, name: str, tmp_path: Path) -> None:
    path = ROOT / "action.yml"
    if name:
        path = tmp_path / "example.yml"
        path.write_text(example(name), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path],
        env=clean(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr


# ── pre-commit and pytest ────────────────────────────────────────────────────────────────────────────────────────────


def repository(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        made(folder / name).write_text(content, encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *words], cwd=folder, env=clean(folder), check=True)
    return folder


def commit(folder: Path) -> Ended:
    """Let pre-commit run the hook as it is, but for the environment it would make for it."""
    [hook] = HOOKS
    assert "python" == hook["language"]
    config = {"repos": [{"repo": "local", "hooks": [hook | {"language": "system", "verbose": True}]}]}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {**clean(folder), "PATH": searched(), "PRE_COMMIT_HOME": str(folder.parent / "pre-commit")}
    return bash(f"{shlex.quote(sys.executable)} -m pre_commit run --all-files --color never", folder, environment)


def test_the_hook_looks_at_flows_and_at_nothing_else(tmp_path: Path) -> None:
    other = "on: push\n"
    ended = commit(
        repository(
            tmp_path / "work",
            {
                "workflows/a.yaml": FLOWS["wrong.yaml"],
                "shop/flows/deep/b.yml": FLOWS["wrong.yaml"],
                ".github/workflows/ci.yml": other,
                "workflows/_aside/c.yaml": other,
                "workflows/_shared.yaml": other,
                "workflows/a.cassette.yaml": other,
                "workflows/a.accepted.yaml": other,
                "workflows/a.csv": "x\n1\n",
                "overflows/d.yaml": other,
                "e.yaml": other,
            },
        )
    )
    assert (0, "") == (ended.code, ended.stderr), ended.stdout
    assert "2 files: no problems" in ended.stdout


def test_the_hook_stops_a_commit_with_a_mistake(tmp_path: Path) -> None:
    ended = commit(repository(tmp_path / "work", {"flows/a.yaml": FLOWS["wrong.yaml"].replace("user", "usr")}))
    assert 1 == ended.code
    assert "flows/a.yaml:3:5: unknown key `usr`" in ended.stdout
    assert "exit code: 3" in ended.stdout.lower()


def test_the_hook_is_one_that_pre_commit_knows(tmp_path: Path) -> None:
    manifest = bash(
        f"{shlex.quote(sys.executable)} -m pre_commit validate-manifest .pre-commit-hooks.yaml", ROOT, clean(tmp_path)
    )
    assert (0, "", "") == (manifest.code, manifest.stdout, manifest.stderr)
    (tmp_path / "config.yaml").write_text(example(".pre-commit-config.yaml"), encoding="utf-8")
    config = bash(f"{shlex.quote(sys.executable)} -m pre_commit validate-config config.yaml", tmp_path, clean(tmp_path))
    assert (0, "", "") == (config.code, config.stdout, config.stderr)
    used = [hook["id"] for each in yaml.safe_load(example(".pre-commit-config.yaml"))["repos"] for hook in each["hooks"]]
    assert used == [hook["id"] for hook in HOOKS]


def test_pytest_plays_the_flows_that_the_example_names(tmp_path: Path) -> None:
    settings = example("pyproject.toml", "toml")
    assert {"runflow_flows"} < set(tomllib.loads(settings)["tool"]["pytest"]["ini_options"])
    folder = project(tmp_path)
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    made(folder / "tests" / "test_it.py").write_text("def test_it():\n    pass\n")
    python = shlex.quote(sys.executable)
    ended = bash(f"{python} -m pytest -q -p no:xdist --runflow-target embedded", folder, clean(tmp_path))
    assert 1 == ended.code, ended.stdout + ended.stderr
    assert "1 failed, 8 passed" in ended.stdout
    assert "workflows/wrong.yaml:4:13: the reply does not contain this text" in ended.stdout
