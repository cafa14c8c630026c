"""The options that select, with a command of their own."""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from runner.cli import selecting
from runner.cli.frame import Command, NothingRan, Refused, WrongPath
from runner.history import file_of, record
from runner.model import Flow
from runner.plan import Stock
from runner.selection import Selected
from tests.test_history import Played

PLAIN = "assistant: {model: qwen-max}\nsteps: [{user: Hello., expect: hello}]\n"
ROWS = PLAIN.replace("Hello.", '"${city}"') + 'tags: [smoke, "日本"]\ncases: [{city: Kyōto}, {city: 奈良}]\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.yaml").write_text(PLAIN + "name: First\ntarget: embedded\n", encoding="utf-8")
    (tmp_path / "trips.yaml").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def play(project: Path) -> Callable[..., Any]:
    """A command that shows what it would play, and what it was warned of."""

    @click.command("probe", cls=Command)
    @selecting.options
    @click.argument("paths", nargs=-1)
    def probe(paths: tuple[str, ...], listed: bool, durations: str | None, **given: Any) -> tuple[str, list[str]]:
        warned: list[str] = []
        selection = selecting.selection(durations=durations, **given)
        stock = Stock(project)
        selecting.read(paths, stock.add, require_checks=False, colour=False)
        selected = selecting.chosen(stock, selection, state=project / "state", durations=durations, warn=warned.append)
        assert listed
        shown = selecting.listing(stock, selected, lambda candidate: candidate.target or "dashscope")
        return selected.reason or shown, warned

    def run(*arguments: str) -> Any:
        return probe.main([*arguments, "--list", "."], standalone_mode=False)

    return run


EVERYTHING = """\
1  a.yaml              embedded   qwen-max
2  trips.yaml [Kyōto]  dashscope  qwen-max  smoke, 日本
3  trips.yaml [奈良]   dashscope  qwen-max  smoke, 日本"""


def test_a_line_says_number_file_row_target_model_and_tags(play: Callable[..., Any]) -> None:
    assert (EVERYTHING, []) == play()


def test_each_option_selects(play: Callable[..., Any], project: Path) -> None:
    first, second, third = EVERYTHING.splitlines()
    assert first.split() == play("--tag", "!smoke")[0].split() == play("-k", "first")[0].split()
    assert ["1", *third.split()[1:]] == play("--tag", "smoke", "-k", "trips and not kyōto", "--case", "2")[0].split()
    shards = [play("--shard", f"{index}/2")[0].splitlines() for index in (1, 2)]
    assert sorted(map(str.split, (first, second, third))) == sorted(line.split() for shard in shards for line in shard)
    record(project / "state", project, [Played("trips.yaml", "奈良", "failed"), Played("a.yaml", "", "passed")])
    assert third.split() == play("--last-failed")[0].split()
    assert ["3", "1", "2"] == [line.split()[0] for line in play("--failed-first")[0].splitlines()]


def test_parts_are_equally_long_by_a_report(play: Callable[..., Any], project: Path) -> None:
    cases = [("a.yaml", "", 2), ("trips.yaml", "Kyōto", 1), ("trips.yaml", "奈良", 1)]
    written = [{"path": path, "label": label, "outcome": "passed", "seconds": seconds} for path, label, seconds in cases]
    (project / "r.json").write_text(json.dumps({"format": "runflow-report/1", "cases": written}), encoding="utf-8")
    parts = [play("--shard", f"{index}/2", "--durations", "r.json")[0].splitlines() for index in (1, 2)]
    assert [["1"], ["2", "3"]] == sorted([line.split()[0] for line in part] for part in parts)


def test_nothing_selected_has_a_reason(play: Callable[..., Any]) -> None:
    assert "nothing selected: `--tag smok` leaves none of 3 conversations; did you mean `smoke`?" == play("--tag", "smok")[0]


def test_a_damaged_record_is_told_and_passed_over(play: Callable[..., Any], project: Path) -> None:
    path = file_of(project / "state", project)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    warning = f"the record of earlier runs cannot be used: {path}: it is damaged"
    assert ("nothing selected: `--last-failed` finds no record of an earlier run here", [warning]) == play("--last-failed")
    assert (EVERYTHING, [warning]) == play("--failed-first")
    assert (EVERYTHING, []) == play()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tag", "a", "--tag", "!"], "`--tag a --tag !`: no tag; write one, or `!` and one to leave its flows out"),
        (["-k", "cat and"], "`-k cat and`: a text is missing after `and`"),
        (["--shard", "3/2"], "`--shard 3/2`: there is no such part; of 2 parts, the first is 1"),
        (["--durations", "r.json"], "`--durations` says how `--shard` cuts; write both"),
    ],
)
def test_mistake_in_an_option_is_one_of_the_command_line(play: Callable[..., Any], arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        play(*arguments)
    assert message == caught.value.message


def test_a_row_that_there_is_not_selects_nothing(play: Callable[..., Any]) -> None:
    with pytest.raises(NothingRan, match=r"^`--case Kyoto`: no row is called so; did you mean `Kyōto`\?$"):
        play("--case", "Kyoto")


def test_report_that_cannot_be_read_is_a_wrong_path(play: Callable[..., Any], project: Path) -> None:
    with pytest.raises(WrongPath, match=r"^`--durations none\.json`: No such file or directory$"):
        play("--shard", "1/2", "--durations", "none.json")
    with pytest.raises(WrongPath, match=r"^`--durations a\.yaml`: not a report; `--json FILE` writes one$"):
        play("--shard", "1/2", "--durations", "a.yaml")


def test_what_is_shown_cannot_steer_a_terminal(play: Callable[..., Any], project: Path) -> None:
    (project / "b\x1b[31m.yaml").write_text(PLAIN, encoding="utf-8")
    assert "b\\u001b[31m.yaml" in play()[0]
    assert "\x1b" not in play()[0]


def test_a_record_that_cannot_be_kept_is_told(project: Path) -> None:
    (project / "state").touch()
    warned: list[str] = []
    selecting.remember(project / "state", project, [Played("a.yaml", "", "passed")], warned.append)
    assert [f"what came of the conversations cannot be kept in {project / 'state'}: File exists"] == warned


def test_what_is_odd_is_kept_until_it_is_known_what_is_played(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stock = Stock(project)
    for name in ("a.yaml", "z.yaml"):
        (project / name).write_text(PLAIN.replace(", expect: hello", ""), encoding="utf-8")
    findings = selecting.read(["."], stock.add, require_checks=False, colour=False)
    assert ([1, 0, 1], "") == ([len(each.diagnostics) for each in findings], capsys.readouterr().err)
    selecting.odd(findings, stock, Selected((3, 2), (4, 3)), colour=False)
    assert ODD.format(path="z.yaml") == capsys.readouterr().err
    selecting.odd(findings, stock, Selected((3, 0, 1), (4, 1, 2)), colour=False)
    assert ODD.format(path="a.yaml") + ODD.format(path="z.yaml") == capsys.readouterr().err


ODD = """\
{path}:2:10: warning: this step checks nothing [no-check]
  |
2 | steps: [{{user: Hello.}}]
  |          ^^^^ add what the answer must be: `expect: …`

"""


def test_a_file_that_is_wrong_shows_what_was_found_in_all_of_them(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (
        ("a", PLAIN.replace(", expect: hello", "")),
        ("m", "stepps: []\n"),
        ("z", PLAIN.replace("expect", "expct")),
    ):
        (project / f"{name}.yaml").write_text(text, encoding="utf-8")
    taken: list[str] = []
    with pytest.raises(Refused) as caught:
        selecting.read(["."], lambda flow: taken.append(flow.path.name), require_checks=False, colour=False)
    assert (["a.yaml"], "4 files: 3 errors, 1 warning; nothing was sent") == (taken, caught.value.message)
    said = capsys.readouterr().err.splitlines()
    assert ["a.yaml", "m.yaml", "m.yaml", "z.yaml"] == [line.split(":")[0] for line in said if ".yaml:" in line]


def test_flows_are_read_one_at_a_time(project: Path) -> None:
    alive = []

    def take(flow: Flow) -> None:
        alive.append(sum(isinstance(each, Flow) and each.path.parent == flow.path.parent for each in gc.get_objects()))

    for number in range(5):
        (project / f"more{number}.yaml").write_text(PLAIN, encoding="utf-8")
    selecting.read([str(project)], take, require_checks=False, colour=False)
    assert 7 == len(alive)
    assert max(alive) <= 2
