"""Selection through the installed command: what is played, what is remembered, and how it ends."""

import json
from pathlib import Path

import pytest

from tests.test_cli import Ended, run

FLOW = """\
assistant: {{model: qwen-max}}
tags: [{tags}]
variables: {{word: hello}}
cases: [{{row: one}}, {{row: two}}]
steps:
  - user: Say ${{row}}.
    sample: hello, ${{row}}
    expect: [contains: "${{word}}", contains: "${{row}}"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "runflow.toml").write_text("", encoding="utf-8")
    for name, tags in (("cat", "smoke, art"), ("dog", "smoke"), ("emu", "slow")):
        (tmp_path / "flows" / f"{name}.yaml").write_text(FLOW.format(tags=tags), encoding="utf-8")
    return tmp_path


DRAWN = """\
assistant: {model: qwen-max, tools: [text_to_image]}
steps:
  - user: Draw a ANIMAL.
    expect: [image]
"""


def test_pictures_of_shards_share_no_folder(tmp_path: Path) -> None:
    for name, animal in (("a", "cat"), ("b", "dog")):
        path = tmp_path / "flows" / name / "animal.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(DRAWN.replace("ANIMAL", animal), encoding="utf-8")
    for part in ("1/2", "2/2"):
        assert 0 == play(tmp_path, "--shard", part).code
    saved = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "runflow-out").rglob("*.png"))
    assert ["runflow-out/animal-2/1-1.png", "runflow-out/animal/1-1.png"] == saved


def test_pictures_that_cannot_be_saved_are_told_of(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = tmp_path / "flows" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(DRAWN, encoding="utf-8")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    ended = play(tmp_path, "--out", "file")
    assert (0, "runflow: 2 pictures were not saved: it could not be saved: Not a directory\n") == (ended.code, ended.stderr)


def play(folder: Path, *options: str, path: str = "flows") -> Ended:
    return run(folder, path, "--target", "embedded", "--json", "report.json", *options)


def numbered(folder: Path) -> list[tuple[int, str, str]]:
    """Number, file and outcome of what was played, out of the report."""
    cases = json.loads((folder / "report.json").read_text(encoding="utf-8"))["cases"]
    return [(case["case"], f"{Path(case['path']).stem} {case['label']}", case["outcome"]) for case in cases]


def kept(folder: Path) -> list[str]:
    """What runflow left in its state folder."""
    return sorted(path.name for path in (folder / "home" / "state").rglob("*"))


LIST = """\
1  flows/cat.yaml [one]  embedded  qwen-max  smoke, art
2  flows/cat.yaml [two]  embedded  qwen-max  smoke, art
3  flows/dog.yaml [one]  embedded  qwen-max  smoke
4  flows/dog.yaml [two]  embedded  qwen-max  smoke
5  flows/emu.yaml [one]  embedded  qwen-max  slow
6  flows/emu.yaml [two]  embedded  qwen-max  slow
"""


def test_list_shows_what_would_be_played_and_plays_nothing(project: Path) -> None:
    assert Ended(0, LIST, "") == run(project, "flows", "--target", "embedded", "--list")
    assert [] == kept(project)
    assert [] == [path for path in project.iterdir() if path.name not in ("flows", "runflow.toml")]


def test_tags_texts_and_rows_narrow_each_other(project: Path) -> None:
    ended = play(project, "--tag", "smoke", "-k", "not dog", "--case", "two")
    assert 0 == ended.code, ended.stderr
    assert [(1, "cat two", "passed")] == numbered(project)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--tag", "smok"], 5, "nothing selected: `--tag smok` leaves none of 6 conversations; did you mean `smoke`?"),
        (["-k", "zebra"], 5, "nothing selected: `-k zebra` leaves none of 6 conversations"),
        (["--shard", "1/9"], 5, "nothing selected: part 1 of 9 is empty, for there are 6 conversations"),
        (["--last-failed"], 5, "nothing selected: `--last-failed` finds no record of an earlier run here"),
        (["--case", "twoo"], 5, "`--case twoo`: no row is called so; did you mean `two`?"),
        (["--tag", "!slow,art"], 2, "`--tag !slow,art`: no flow has this tag; write `--tag !slow --tag !art` for several"),
        (["-k", "(cat"], 2, "`-k (cat`: `(` is not closed"),
        (["--shard", "7/6"], 2, "`--shard 7/6`: there is no such part; of 6 parts, the first is 1"),
    ],
)
def test_nothing_selected_and_mistakes_have_their_exit_codes(project: Path, options: list[str], code: int, said: str) -> None:
    for listing in ([], ["--list"]):
        ended = play(project, *options, *listing)
        assert (code, True, "") == (ended.code, said in ended.stderr, ended.stdout), ended
    assert not (project / "report.json").exists()
    assert [] == kept(project)


def test_what_failed_is_played_again_and_first(project: Path) -> None:
    assert 1 == play(project, "-k", "dog", "--var", "word=zebra").code
    assert 0 == play(project, "-k", "cat").code
    listed = [
        line.split()[:3]
        for line in run(project, "flows", "--target", "embedded", "--failed-first", "--list").stdout.splitlines()
    ]
    assert [["3", "flows/dog.yaml", "[one]"], ["4", "flows/dog.yaml", "[two]"], ["1", "flows/cat.yaml", "[one]"]] == listed[:3]
    # Named otherwise, from another folder, they are the same conversations.
    state = str(project / "home" / "state")
    ended = run(
        project / "flows", ".", "--target", "embedded", "--last-failed", "--json", "../report.json", XDG_STATE_HOME=state
    )
    assert 0 == ended.code, ended.stderr
    assert [(3, "dog one", "passed"), (4, "dog two", "passed")] == numbered(project)
    ended = play(project, "--last-failed")
    assert (5, True) == (ended.code, "of these conversations none failed when it was last played" in ended.stderr)


def test_shards_play_everything_once_under_the_same_numbers(project: Path) -> None:
    whole = [(1, "cat one"), (2, "cat two"), (3, "dog one"), (4, "dog two"), (5, "emu one"), (6, "emu two")]
    played = []
    for index in (1, 2, 3):
        assert 0 == play(project, "--shard", f"{index}/3").code
        played += [(number, name) for number, name, _outcome in numbered(project)]
    assert whole == sorted(played)
    assert 6 == len(played)


def test_list_shows_what_taking_a_run_up_would_play(project: Path) -> None:
    everything = run(project, "flows", "--target", "embedded", "--list", "--resume")
    assert (LIST, "runflow: no run of this project was cut short; everything is played\n") == (
        everything.stdout,
        everything.stderr,
    )
    assert [] == kept(project)
    assert 4 == play(project, "--jobs", "1", "--budget", "30calls").code
    [archive] = (project / "home" / "state" / "runflow" / "runs").glob("*/*.jsonl")
    before = archive.read_bytes()
    over = len([case for case in numbered(project) if case[2] == "passed"])
    for options, left, count, of in (
        ((), LIST.splitlines(keepends=True)[over:], over, 6),
        (("-k", "cat", "--case", "1"), [], 1, 1),
    ):
        said = "conversation" if count == 1 else "conversations"
        was = "was" if count == 1 else "were"
        taken_up = f"runflow: the run {archive.stem} is taken up: {count} {said} of {of} {was} over\n"
        listed = run(project, "flows", "--target", "embedded", "--list", "--resume", *options)
        assert Ended(0, "".join(left), taken_up) == listed
    assert before == archive.read_bytes()


def test_what_a_narrower_choice_leaves_of_a_run_can_still_be_taken_up(project: Path) -> None:
    def taken_up(*options: str) -> tuple[int, str]:
        return play(project, "--resume", *options).code, "".join(name[:1] for _number, name, _outcome in numbered(project))

    assert 4 == play(project, "--jobs", "1", "--budget", "12calls").code
    over = len([case for case in numbered(project) if case[2] == "passed"])
    assert (0, "ee") == taken_up("-k", "emu")
    listed = run(project, "flows", "--target", "embedded", "--list", "--resume")
    assert 0 < over < 4
    assert LIST.splitlines()[over:4] == listed.stdout.splitlines()
    assert (0, "ccddee") == taken_up()
    nothing = play(project, "--resume", "-k", "emu")
    assert "runflow: no run of this project was cut short; everything is played\n" == nothing.stderr


def test_only_of_what_is_selected_it_is_said_that_it_is_odd(project: Path) -> None:
    for name in ("cat", "emu"):
        path = project / "flows" / f"{name}.yaml"
        path.write_text(path.read_text(encoding="utf-8").partition("    expect")[0], encoding="utf-8")
    for options, odd in (
        ((), ["cat", "emu"]),
        (("--tag", "slow"), ["emu"]),
        (("-k", "cat", "--list"), ["cat"]),
        (("-k", "dog"), []),
        (("-k", "zebra"), []),
        (("--quiet",), []),
    ):
        said = run(project, "flows", "--target", "embedded", *options).stderr.splitlines()
        assert odd == [Path(line.split(":")[0]).stem for line in said if "[no-check]" in line], options
