"""A run that was cut short is taken up where it was left: nothing that has its verdict is played again, nothing is lost."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import plan, resume
from runner.archive import Archive
from runner.embedded.picture import draw
from runner.events import CaseEnded, Envelope, SuiteEnded, SuiteStarted
from runner.history import folder_name
from runner.load import load
from runner.model import Outcome
from runner.report import Fold
from runner.reporters import Log
from runner.reporters.json import Json
from runner.suite import Job, Limits, case_started
from runner.targets import Connection
from tests.leftovers_fixtures import FLOW, KILLED, place
from tests.suite_fixtures import Answers, Model, jobs, play, refusal

HERE = Connection("dashscope", "https://service.test/api/v1", "for tests")
ANSWERS: Answers = {"Is it 2?": ["no", "yes"], "Is it 4?": ["no"]}
TIMES = {"started", "seconds", "id", "request_id"}
"""What no two runs have in common: when, and what the service called things."""


def marked(count: int, **more: object) -> list[Job]:
    return [replace(job, digest=f"digest-{job.number}") for job in jobs(count, retries=1, **more)]


def run(given: Sequence[Job], archive: Archive, model: Model, *, again: bool = False, **more: object) -> Fold:
    """Play the jobs that the archive does not hold."""
    fold = Fold(archive)

    def hear(envelope: Envelope) -> None:
        fold.receive(envelope)
        archive.receive(envelope)

    play(given, model, hear, finished=resume.finished(archive, given) if again else {}, **more)
    return fold


def document(fold: Fold) -> object:
    with closing(Log(Path(os.devnull))) as nowhere:
        return timeless(json.loads("".join(Json(nowhere, fold).pieces(fold.report()))))


def timeless(value: object) -> object:
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items() if name not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def archives(state: Path) -> list[Path]:
    return sorted((state / "runs").glob("*/*.jsonl"))


# ── wherever it was cut ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, object]:
    """The archive of a run that was not cut short, and its report."""
    path = tmp_path_factory.mktemp("unbroken") / "run.jsonl"
    archive = Archive(path)
    report = document(run(marked(5), archive, Model(ANSWERS)))
    archive.close()
    return path.read_bytes(), report


@given(st.data())
def test_a_run_cut_short_at_any_byte_comes_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, unbroken: tuple[bytes, object], data: st.DataObject
) -> None:
    whole, report = unbroken
    left = whole[: data.draw(st.integers(whole.index(b"\n") + 1, len(whole) - 1))]
    state = tmp_path_factory.mktemp("state")
    folder = state / "runs" / folder_name(state)
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_bytes(left)

    archive = resume.unfinished(state, state)
    assert archive is not None
    finished = left.count(b'"event": "CaseEnded"') - (not left.endswith(b"\n") and b'"event": "CaseEnded"' in last(left))
    model = Model(ANSWERS)
    assert report == document(run(marked(5), archive, model, again=True))
    assert 5 - finished == len(model.asked)
    archive.close()
    assert resume.unfinished(state, state) is None


def last(data: bytes) -> bytes:
    return data.rpartition(b"\n")[2]


def test_a_run_cut_short_twice_loses_nothing(tmp_path: Path, unbroken: tuple[bytes, object]) -> None:
    whole, report = unbroken
    folder = tmp_path / "runs" / folder_name(tmp_path)
    folder.mkdir(parents=True)
    path = folder / "run.jsonl"
    ends = [at for at in range(len(whole)) if whole.startswith(b"\n", at) and b'"event": "CaseEnded"' in last(whole[:at])]
    path.write_bytes(whole[: ends[1] + 1])
    for _time in range(2):
        archive = resume.unfinished(tmp_path, tmp_path)
        assert archive is not None
        run(marked(5), archive, Model(ANSWERS), again=True)
        archive.close()
        # Killed when nothing was told yet but that it begins.
        data = path.read_bytes()
        begun = data.rindex(b'"event": "SuiteStarted"')
        path.write_bytes(data[: data.index(b"\n", begun) + 1])
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    model = Model(ANSWERS)
    assert report == document(run(marked(5), archive, model, again=True))
    assert {"Is it 3?", "Is it 4?", "Is it 5?"} == set(model.asked)
    archive.close()


def test_what_a_line_cut_short_stands_before_is_read(tmp_path: Path, unbroken: tuple[bytes, object]) -> None:
    whole, _report = unbroken
    folder = tmp_path / "runs" / folder_name(tmp_path)
    folder.mkdir(parents=True)
    third = whole.index(b'"event": "AttemptStarted"', whole.index(b'"path": "flow3.yaml"'))
    (folder / "run.jsonl").write_bytes(whole[:third])
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    run(marked(5), archive, Model({"Is it 3?": ["no"]}), again=True, limits=Limits(max_failures=1))
    archive.close()
    # Two were told twice, one is new: five verdicts, of three conversations.
    again = resume.unfinished(tmp_path, tmp_path)
    assert again is not None
    assert {1, 2, 3} == set(resume.finished(again, marked(5)))
    again.close()


def test_errors_and_what_was_not_run_count_as_not_finished(tmp_path: Path) -> None:
    answers: Answers = {"Is it 2?": [refusal(400)] * 2 + ["yes"], "Is it 3?": ["no"]}
    given = marked(4)
    archive = resume.begin(tmp_path, tmp_path)
    model = Model(answers)
    first = run(given, archive, model, limits=Limits(max_failures=2))
    assert ["passed", "error", "failed", "not_run"] == [each.outcome for each in first.report().summaries]
    archive.close()

    again = resume.unfinished(tmp_path, tmp_path)
    assert again is not None
    assert {1, 3} == set(resume.finished(again, given))
    second = run(given, again, model, again=True)
    assert ["passed", "passed", "failed", "passed"] == [each.outcome for each in second.report().summaries]
    again.close()
    assert resume.unfinished(tmp_path, tmp_path) is None


def taken_up(state: Path, given: Sequence[Job], answers: Answers | None = None) -> set[int] | None:
    """Go on in the run that was cut short, if there is one; the numbers of the conversations that are played."""
    archive = resume.unfinished(state, state)
    if archive is None:
        return None
    played = {job.number for job in given} - set(resume.finished(archive, given))
    run(given, archive, Model(answers or {}), again=True)
    archive.close()
    return played


def test_who_takes_up_a_part_leaves_the_rest_to_be_taken_up(tmp_path: Path) -> None:
    given = marked(4)
    archive = resume.begin(tmp_path, tmp_path)
    run(given, archive, Model({"Is it 2?": [refusal(400)] * 2}), limits=Limits(max_failures=1))
    archive.close()
    assert {3} == taken_up(tmp_path, given[2:3])
    assert {5, 6, 7} == taken_up(tmp_path, marked(7)[4:])  # as many verdicts as were planned, of other conversations
    assert {2} == taken_up(tmp_path, given[:2], {"Is it 2?": ["no", "no"]})
    assert {4} == taken_up(tmp_path, given[2:])
    assert taken_up(tmp_path, given) is None


def test_of_a_killed_run_it_is_not_known_what_a_part_leaves(tmp_path: Path, unbroken: tuple[bytes, object]) -> None:
    whole, _report = unbroken
    folder = tmp_path / "runs" / folder_name(tmp_path)
    folder.mkdir(parents=True)
    (folder / "run.jsonl").write_bytes(whole[: whole.index(b'"path": "flow3.yaml"')])
    given = marked(5)
    assert {3} == taken_up(tmp_path, given[2:3])
    assert {4, 5} == taken_up(tmp_path, given[3:])
    assert set() == taken_up(tmp_path, given)
    assert taken_up(tmp_path, given) is None


# ── which run, and which conversations ───────────────────────────────────────────────────────────────────────────────


def ended(archive: Archive, *verdicts: str, signal: int = 0, planned: int | None = None, time: float = 0.0) -> None:
    """An archive of conversations that came to these verdicts."""
    started = SuiteStarted("1", "dashscope", HERE.base_url, "", len(verdicts) if planned is None else planned, False)
    archive.receive(Envelope(0, 1, time, started))
    fold = Fold(archive)
    for number, outcome in enumerate(verdicts, 1):
        fold.receive(Envelope(number, 1, time, case_started(marked(number)[-1])))
        fold.receive(Envelope(number, 2, time, CaseEnded(Outcome(outcome), 0.0)))
    if signal >= 0:
        archive.receive(Envelope(0, 2, time, SuiteEnded(0.0, signal)))
    archive.close()


@pytest.mark.parametrize(
    ("verdicts", "more", "complete"),
    [
        (("passed", "flaky", "failed", "skipped"), {}, True),
        (("passed",), {"signal": -1}, False),
        (("passed",), {"signal": 2}, False),
        (("passed",), {"planned": 2}, False),
        (("passed", "error"), {}, False),
        (("passed", "not_run"), {}, False),
        ((), {}, True),
    ],
)
def test_when_a_run_came_to_its_end(tmp_path: Path, verdicts: Sequence[str], more: dict[str, int], complete: bool) -> None:
    ended(resume.begin(tmp_path, tmp_path), *verdicts, **more)
    found = resume.unfinished(tmp_path, tmp_path)
    assert complete is (found is None)
    if found is not None:
        found.close()


def test_with_no_earlier_run_there_is_nothing_to_take_up_and_nothing_is_made(tmp_path: Path) -> None:
    assert resume.unfinished(tmp_path, tmp_path) is None
    assert [] == list(tmp_path.iterdir())


def test_the_newest_run_that_was_cut_short_is_taken_up(tmp_path: Path) -> None:
    moments = iter([100.0, 200.0, 300.0])
    for verdicts, number in ((("failed",), 2), (("passed",), 15), (("passed",), 0)):
        ended(resume.begin(tmp_path, tmp_path, lambda: next(moments)), *verdicts, signal=number)
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    assert archive.path == archives(tmp_path)[1]
    [[*_rest, verdict]] = resume.finished(archive, marked(1)).values()
    assert CaseEnded("passed", 0.0) == verdict.event
    archive.close()


@pytest.mark.parametrize(("signal", "since", "kept"), [(0, 200.0, {2}), (0, 50.0, {1, 2}), (15, 200.0, {1, 2})])
def test_verdicts_that_a_run_without_interruption_has_given_since_are_out_of_date(
    tmp_path: Path, signal: int, since: float, kept: set[int]
) -> None:
    ended(resume.begin(tmp_path, tmp_path, lambda: 2.0), "failed", "passed", "not_run", time=100.0)
    ended(resume.begin(tmp_path, tmp_path, lambda: 1.0), "passed", signal=signal, time=since)
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    assert kept == set(resume.finished(archive, marked(3)))
    archive.close()


def test_a_run_that_never_began_is_passed_over(tmp_path: Path) -> None:
    moments = iter([100.0, 200.0])
    ended(resume.begin(tmp_path, tmp_path, lambda: next(moments)), "passed", signal=2)
    resume.begin(tmp_path, tmp_path, lambda: next(moments)).close()
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    assert [1] == list(resume.finished(archive, marked(1)))
    archive.close()


def test_a_run_under_way_is_passed_over(tmp_path: Path) -> None:
    archive = resume.begin(tmp_path, tmp_path)
    archive.receive(Envelope(0, 1, 0.0, SuiteStarted("1", "dashscope", HERE.base_url, "", 1, False)))
    assert resume.unfinished(tmp_path, tmp_path) is None
    archive.close()
    first = resume.unfinished(tmp_path, tmp_path)
    assert first is not None
    assert resume.unfinished(tmp_path, tmp_path) is None
    first.close()


def test_what_taking_a_run_up_comes_to_is_foreseen_and_nothing_is_changed(tmp_path: Path) -> None:
    moments = iter([100.0, 200.0, 300.0])
    ended(resume.begin(tmp_path, tmp_path, lambda: next(moments)), "passed", "not_run", "failed")
    under_way = resume.begin(tmp_path, tmp_path, lambda: next(moments))
    under_way.receive(Envelope(0, 1, 0.0, SuiteStarted("1", "dashscope", HERE.base_url, "", 1, False)))
    path, _newer = archives(tmp_path)
    with path.open("a") as file:
        file.write("cut short in the middle")
    before = path.read_bytes()
    finished = resume.foreseen(tmp_path, tmp_path, marked(3))
    assert finished is not None
    assert (path, {1, 3}) == (finished.archive.path, set(finished))
    assert before == path.read_bytes()
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    assert {1, 3} == set(resume.finished(archive, marked(3)))
    assert resume.foreseen(tmp_path, tmp_path, marked(3)) is None
    archive.close()
    under_way.close()


def test_another_project_has_other_runs(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    resume.begin(tmp_path, one).close()
    assert resume.unfinished(tmp_path, two) is None


def test_only_the_newest_few_archives_are_kept_and_those_under_way(tmp_path: Path) -> None:
    moments = iter(range(100, 200))
    busy = resume.begin(tmp_path, tmp_path, lambda: next(moments))
    for _run in range(7):
        resume.begin(tmp_path, tmp_path, lambda: next(moments)).close()
    names = [path.name[:15] for path in archives(tmp_path)]
    assert ["19700101T000140", *(f"19700101T00014{last}" for last in range(3, 8))] == names
    busy.close()


def test_an_archive_that_cannot_be_taken_away_is_in_nobodys_way(tmp_path: Path) -> None:
    moments = iter(range(100, 200))
    first = resume.begin(tmp_path, tmp_path, lambda: next(moments))
    first.close()
    assert first.path is not None
    first.path.unlink()
    first.path.mkdir()
    for _run in range(6):
        resume.begin(tmp_path, tmp_path, lambda: next(moments)).close()
    assert 6 == len(archives(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_may_look_into_an_archive(tmp_path: Path) -> None:
    archive = resume.begin(tmp_path / "state", tmp_path)
    assert archive.path is not None
    modes = [each.stat().st_mode & 0o777 for each in (*archive.path.parents[:3], archive.path)]
    assert [0o700, 0o700, 0o700, 0o600] == modes
    archive.close()


def test_what_was_told_keeps_its_verdict_under_another_number_and_name(tmp_path: Path) -> None:
    ended(resume.begin(tmp_path, tmp_path), "passed", "failed", signal=2)
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    moved = replace(marked(2)[1], number=7)
    flow = replace(moved.case.flow, path=Path("sub/../flow2.yaml"))
    found = resume.finished(archive, [replace(moved, case=replace(moved.case, flow=flow))])
    assert [7] == list(found)
    started, verdict = (envelope.event for envelope in found[7])
    assert str(Path("sub/../flow2.yaml")) == started.path  # type: ignore[union-attr]
    assert CaseEnded("failed", 0.0) == verdict
    assert {7} == {envelope.case for envelope in found[7]}
    archive.close()


def test_a_job_without_a_digest_is_always_played(tmp_path: Path) -> None:
    ended(resume.begin(tmp_path, tmp_path), "passed", signal=2)
    archive = resume.unfinished(tmp_path, tmp_path)
    assert archive is not None
    assert {} == dict(resume.finished(archive, jobs(1)))
    archive.close()


# ── what decides what is played ──────────────────────────────────────────────────────────────────────────────────────


ROWS = """\
assistant:
  model: qwen-max
  instructions: {file: prompt.md}
cases:
  - {city: Kyoto}
  - {city: Nara}
steps:
  - user: Tell me about ${city}.
    expect:
      - contains: city
"""


def digests(project: Path, name: str = "a.yaml", **changed: object) -> list[str]:
    cases = plan.cases(load(project / name), {})
    made = resume.Digests(project)
    return [made.of(case, replace(HERE, **changed)) for case in cases]  # type: ignore[arg-type]


def test_a_digest_changes_with_all_that_decides_what_is_played(tmp_path: Path) -> None:
    def write(prompt: str = "Be brief.", flow: str = ROWS) -> None:
        (tmp_path / "prompt.md").write_text(prompt)
        (tmp_path / "a.yaml").write_text(flow)

    write()
    before = digests(tmp_path)
    seen = {*before}
    assert 2 == len(seen)
    assert before == digests(tmp_path)
    for changed in (
        digests(tmp_path, base_url="https://elsewhere.test/api/v1"),
        digests(tmp_path, target="dashscope-cn"),
        digests(tmp_path, streaming=False),
        digests(tmp_path, workspace="ws-1"),
    ):
        assert 2 == len({*changed} - seen)
        seen |= {*changed}
    (tmp_path / "b.yaml").write_text(ROWS)
    seen |= {*digests(tmp_path, "b.yaml")}
    assert 12 == len(seen)
    write(prompt="Be long.")
    seen |= {*digests(tmp_path)}
    write(flow=ROWS + "# changed\n")
    seen |= {*digests(tmp_path)}
    assert 16 == len(seen)
    write()
    assert before == digests(tmp_path)


def test_a_digest_does_not_depend_on_where_one_stands_or_why_a_service_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompt.md").write_text("Be brief.")
    (tmp_path / "a.yaml").write_text(ROWS)
    before = digests(tmp_path, reason="one")
    monkeypatch.chdir(tmp_path)
    cases = plan.cases(load(Path("a.yaml")), {})
    assert before == [resume.Digests(Path()).of(case, HERE) for case in cases]


def test_a_digest_knows_the_python_that_a_flow_runs_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("def order(): ...\n")
    tool = "    - order:\n        description: an order\n        python: tools.py:order\n"
    (tmp_path / "a.yaml").write_text(f"assistant:\n  model: m\n  tools:\n{tool}steps:\n  - user: Hello ${{env.WHO}}\n")
    [case] = plan.cases(load(tmp_path / "a.yaml", ["WHO"]), {})
    one, two = (replace(case, variables={**case.variables, "env.WHO": who}) for who in ("me", "you"))
    before = resume.Digests(tmp_path).of(one, HERE)
    assert before == resume.Digests(tmp_path).of(two, HERE)
    (tmp_path / "tools.py").write_text("def order(): pass\n")
    assert before != resume.Digests(tmp_path).of(one, HERE)


def test_a_digest_knows_the_pictures_that_a_flow_is_judged_by(tmp_path: Path) -> None:
    (tmp_path / "golden.png").write_bytes(draw("a cat"))
    checks = "      - any:\n          - image: {like: golden.png}\n          - contains: cat\n"
    (tmp_path / "a.yaml").write_text(f"assistant:\n  model: m\nsteps:\n  - user: Hello\n    expect:\n{checks}")
    before = digests(tmp_path)
    assert before == digests(tmp_path)
    case = plan.cases(load(tmp_path / "a.yaml"), {})[0]
    (tmp_path / "golden.png").write_bytes(draw("a dog"))
    assert before != digests(tmp_path)
    (tmp_path / "golden.png").unlink()
    assert resume.Digests(tmp_path).of(case, HERE) != resume.Digests(tmp_path).of(case, HERE)


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_killed_again_and_again_comes_to_what_an_unbroken_one_does(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        for name, text in (("a", "cat"), ("b", "dog"), ("c", "cat"), ("d", "cat")):
            here.flow(f"{name}.yaml", FLOW.replace("contains: cat", f"contains: {text}"))
        whole = here.play("--jobs", "2", ".")
        assert 1 == whole.code
        for resuming, number in ((), 9), (["--resume"], 30), (["--resume"], 21), (["--resume"], 40):
            assert KILLED == here.play(*resuming, "--jobs", "2", "--kill", f"event:{number}", ".").code
        resumed = here.play("--resume", "--jobs", "2", ".")
        assert timeless(json.loads(whole.stdout)) == timeless(json.loads(resumed.stdout))
        assert whole.code == resumed.code
        nothing = here.play("--resume", ".")
        assert ("nothing to take up\n", 5) == (nothing.stderr, nothing.code)
        assert 0 == here.clean().code
        assert [] == here.held()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_was_told_to_stop_leaves_nothing_and_is_taken_up(tmp_path: Path, number: int, code: int) -> None:
    with place(tmp_path) as here:
        for name in "abc":
            here.flow(f"{name}.yaml")
        for moment in (3, 5, 9, 12, 16, 25):
            stopped = here.play("--kill", f"event:{moment}", "--signal", str(int(number)), ".")
            assert code == stopped.code == json.loads(stopped.stdout)["exit_code"]
            assert ([], []) == (here.held(), here.ledgers())
        resumed = here.play("--resume", ".")
        assert (0, ["passed"] * 3) == (resumed.code, [each["outcome"] for each in json.loads(resumed.stdout)["cases"]])
