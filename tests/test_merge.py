"""Joining event streams: what shards of one run come to is what the run would have come to, and what is missing is seen."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import merge
from runner.embedded.picture import draw
from runner.events import Envelope, Event, ImageSaved, StepEnded, StepStarted, SuiteEnded, SuiteStarted
from runner.merge import Unmergeable, merged
from runner.ndjson import as_mapping, dumps, encode
from runner.report import Report
from tests.report_fixtures import QUICK, case, check, conversation, enveloped, kept, streams, suite
from tests.test_cli import run


def write(path: Path, envelopes: Iterable[Envelope]) -> Path:
    path.write_text("".join(f"{encode(envelope)}\n" for envelope in envelopes), "utf-8")
    return path


def shards(envelopes: Sequence[Envelope], count: int) -> list[list[Envelope]]:
    """The same run as so many shards would have told it: each has every `count`th conversation."""
    started, ended = envelopes[0], envelopes[-1]
    assert isinstance(started.event, SuiteStarted)
    assert isinstance(ended.event, SuiteEnded)
    planned = started.event.cases
    parts = []
    for part in range(count):
        cases = len(range(part, planned, count))
        begun = replace(started, event=replace(started.event, cases=cases, selected=planned))
        inner = [each for each in envelopes[1:-1] if each.case % count == (part + 1) % count]
        parts.append([begun, *inner, ended])
    return parts


def told(report: Report) -> dict[str, object]:
    """A report without its times."""
    whole = as_mapping(report) | {"seconds": 0, "started": 0, "cases": [as_mapping(each) for each in report.cases]}
    return dict(json.loads(dumps(whole)))


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("name", ["suite", "api-error", "interrupted"])
def test_shards_of_a_run_come_to_what_the_run_came_to(name: str, count: int, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", part) for n, part in enumerate(shards(kept(name), count))]
    assert told(Report.of(kept(name))) == told(Report.of(merged(paths[::-1])))


@QUICK
@given(streams(), st.integers(1, 3))
def test_shards_come_to_the_same_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory, envelopes: list[Envelope], count: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    paths = [write(folder / f"{n}.jsonl", part) for n, part in enumerate(shards(envelopes, count))]
    assert told(Report.of(envelopes)) == told(Report.of(merged(paths)))


def test_conversations_are_told_one_after_the_other_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", part) for n, part in enumerate(shards(kept("suite"), 3))]
    numbers = [envelope.case for envelope in merged(paths[::-1])]
    assert [0, *sorted(numbers[1:-1]), 0] == numbers
    assert len(kept("suite")) == len(numbers), "what happened while a run waited or an answer came is kept, too"


def test_shards_that_are_missing_are_not_run(tmp_path: Path) -> None:
    first, _second, third = ([*part[:-1], replace(part[-1], event=SuiteEnded(1))] for part in shards(kept("suite"), 3))
    paths = [write(tmp_path / "1.jsonl", first), write(tmp_path / "3.jsonl", third)]
    report = Report.of(merged(paths))
    assert (16, 10, 7) == (report.totals.flows, len(report.cases), report.totals.not_run)
    assert "a part is missing: the files tell of 11 of 16 conversations" == report.stopped


def test_one_that_a_crash_cut_short_is_interrupted_and_the_others_are_not_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", kept("suite"))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b'"case": 3') + 400])
    report = Report.of(merged([path]))
    assert ("passed", "passed", "error") == tuple(each.outcome for each in report.cases)
    assert ("interrupted", 13, 4) == (report.cases[2].reason, report.totals.not_run, report.exit_code)
    assert f"`{path}` ends before its run did" == report.stopped


def test_the_first_signal_that_ended_a_shard_ends_all(tmp_path: Path) -> None:
    ends = SuiteEnded(1), SuiteEnded(1, 15, "stopped"), SuiteEnded(1, 2)
    paths = [
        write(tmp_path / f"{n}.jsonl", [*part[:-1], replace(part[-1], event=end)])
        for n, (part, end) in enumerate(zip(shards(kept("suite"), 3), ends, strict=True))
    ]
    report = Report.of(merged(paths))
    assert (143, "stopped") == (report.exit_code, report.stopped)


def test_the_time_is_from_the_first_beginning_to_the_last_end(tmp_path: Path) -> None:
    def part(number: int, began: float, seconds: float) -> list[Envelope]:
        events = [(0, suite(1)), *((number, each) for each in conversation()), (0, SuiteEnded(seconds))]
        return [replace(envelope, time=began) for envelope in enveloped(events)]

    paths = [write(tmp_path / "1.jsonl", part(1, 1000, 30)), write(tmp_path / "2.jsonl", part(2, 1010, 40))]
    report = Report.of(merged(paths))
    assert (1000, 50) == (report.started, report.seconds)


# ── other runs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_of_different_runs_are_renumbered_in_the_order_given(tmp_path: Path) -> None:
    def played(*names: str) -> list[Envelope]:
        cases = {number: conversation(started=case(name, path=f"{name}.yaml")) for number, name in enumerate(names, 1)}
        events: list[tuple[int, Event]] = [(number, each) for number, happened in cases.items() for each in happened]
        return list(enveloped([(0, suite(len(names))), *events, (0, SuiteEnded(1))]))

    paths = [write(tmp_path / "z.jsonl", played("a", "b")), write(tmp_path / "y.jsonl", played("a", "c", "d"))]
    report = Report.of(merged(paths))
    assert [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "d")] == [(each.case, each.flow) for each in report.cases]
    assert (5, 5, 0) == (report.totals.flows, report.totals.passed, report.totals.not_run)


def test_the_same_conversation_in_two_files_is_refused(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, kept("picture")) for name in ("1.jsonl", "2.jsonl"))
    with pytest.raises(Unmergeable) as raised:
        list(merged([first, second]))
    assert (
        f"`{second}` tells of conversation 1 (`workflows/paint.yaml`), and so does `{first}`; leave one of them out"
    ) == str(raised.value)


def test_two_runs_in_one_file_are_two_runs(tmp_path: Path) -> None:
    report = Report.of(merged([write(tmp_path / "a.jsonl", [*kept("picture"), *kept("failed-check")])]))
    assert ["paint", "shop"] == [each.flow for each in report.cases]
    assert ("embedded, dashscope", True) == (report.target, report.simulated)


# ── files that are none ──────────────────────────────────────────────────────────────────────────────────────────────

GOOD = [encode(envelope) for envelope in kept("picture")]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["{", *GOOD], "{path}:1: this is not an event of runflow-events/1"),
        ([*GOOD, '"a"', ""], "{path}:30: this is not an event of runflow-events/1".replace("30", str(len(GOOD) + 1))),
        ([GOOD[0], "[" * 100_000, ""], "{path}:2: this is not an event of runflow-events/1"),
        ([GOOD[0], "\udcff", ""], "{path}:2: this is not an event of runflow-events/1"),
        (GOOD[1:], "{path}:1: something happens before a run has started"),
        ([GOOD[0], GOOD[2]], "{path}:2: conversation 1 is not under way"),
        ([*GOOD[:2], GOOD[1]], "{path}:3: conversation 1 starts a second time"),
        ([GOOD[0].replace('"cases": 1', '"cases": 10000000')], "{path}:1: a number in it cannot be meant"),
        ([GOOD[0].replace('"time": 1', '"time": 1e99, "x": 1')], "{path}:1: this is not an event of runflow-events/1"),
        ([GOOD[0].replace('"time": 1795439621.0', '"time": NaN')], "{path}:1: a number in it cannot be meant"),
        ([GOOD[0].replace('"time": 1795439621.0', '"time": 1e300')], "{path}:1: a number in it cannot be meant"),
        (
            [GOOD[0].replace('"time": 1795439621.0', f'"time": {10**400}'), ""],
            "{path}:1: this is not an event of runflow-events/1",
        ),
        ([GOOD[0], GOOD[1].replace('"case": 1', '"case": -1')], "{path}:2: a number in it cannot be meant"),
        ([GOOD[0], GOOD[1].replace('"case": 1', '"case": 0')], "{path}:2: a number in it cannot be meant"),
        ([], "`{path}` tells of no run; `--events FILE` of `runflow run` writes what can be merged"),
    ],
)
def test_what_is_no_event_stream_is_named_with_its_line(lines: list[str], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    with pytest.raises(Unmergeable) as raised:
        list(merged([path]))
    assert sentence.format(path=path) == str(raised.value)


def test_a_line_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "LONGEST", 2 * 1024 * 1024)
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD[0] + "\n" + " " * (2 * 1024 * 1024 + 1), "utf-8")
    with pytest.raises(Unmergeable, match=r"a\.jsonl:2: the line is longer than 2 MB"):
        list(merged([path]))


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reports_of_shards_are_the_reports_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "parts" / "one").mkdir(parents=True)
    write(tmp_path / "all.jsonl", kept("suite"))
    for number, part in enumerate(shards(kept("suite"), 3)):
        write(tmp_path / "parts" / ("one" if number else ".") / f"{number}.jsonl", part)
    written = []
    ended = []
    for streams_, name in (("parts", "a"), ("all.jsonl", "b"), ("parts/**/*.jsonl", "c")):
        ended.append(
            run(tmp_path, "merge", streams_, "--json", f"{name}.json", "--junit", f"{name}.xml", "--events", f"{name}.e")
        )
        written.append([(tmp_path / f"{name}.{kind}").read_text("utf-8") for kind in ("json", "xml", "e")])
    assert (1, "") == (ended[0].code, ended[0].stderr)
    assert ended[0] == ended[1] == ended[2]
    assert written[0] == written[1] == written[2]
    assert len(kept("suite")) == written[0][2].count("\n")


def test_secrets_of_others_are_masked_by_their_shape(tmp_path: Path) -> None:
    secret = "sk-0123456789abcdef0123456789abcdef"
    events = [(0, suite(1)), *((1, each) for each in conversation(outcome="error", reason=f"refused {secret}"))]
    write(tmp_path / "a.jsonl", enveloped([*events, (0, SuiteEnded(1))]))
    ended = run(tmp_path, "merge", "a.jsonl", "--json", "a.json", "--junit", "a.xml", "--events", "b.jsonl")
    for text in (ended.stdout, *((tmp_path / name).read_text("utf-8") for name in ("a.json", "a.xml", "b.jsonl"))):
        assert "refused sk-***" in text
        assert secret not in text


def test_no_file_outside_of_the_folder_is_read_for_the_screen(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("a: 1\n" * 30)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "inside.yaml").write_text("a: 1\n" * 30)
    step = StepStarted(1, "", 3, ("Hello.",)), check("failed"), StepEnded(1, "failed", 1)
    shown = {}
    for path in ("inside.yaml", "../outside.yaml", "link.yaml", str(tmp_path / "outside.yaml")):
        failed = conversation(*step, outcome="failed", started=case(path=path))
        write(folder / "a.jsonl", enveloped([(0, suite(1)), *((1, each) for each in failed), (0, SuiteEnded(1))]))
        shown[path] = "7 | a: 1" in run(folder, "merge", "a.jsonl").stdout
    assert {"inside.yaml": True, "../outside.yaml": False, "link.yaml": False, str(tmp_path / "outside.yaml"): False} == shown


def test_no_file_outside_of_the_folder_gets_onto_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    shown = {}
    for path, place in (("in", folder), ("../out", tmp_path), (str(tmp_path / "out"), tmp_path)):
        (place / Path(path).name).with_suffix(".yaml").write_text("hunter: 2\n" * 30)
        (place / Path(path).name).with_suffix(".png").write_bytes(draw("a cat"))
        saved = ImageSaved(1, "tool", f"{path}.png")
        step = StepStarted(1, "", 3, ("Hello.",)), saved, check("failed"), StepEnded(1, "failed", 1)
        failed = conversation(*step, outcome="failed", started=case(path=f"{path}.yaml"))
        write(folder / "a.jsonl", enveloped([(0, suite(1)), *((1, each) for each in failed), (0, SuiteEnded(1))]))
        assert 1 == run(folder, "merge", "a.jsonl", "--html", "a.html").code
        page = (folder / "a.html").read_text("utf-8")
        shown[path] = (
            "hunter" in page,
            "data:image/png" in page,
            f"a picture outside of the current folder: {path}.png" in page,
        )
    inside, outside = (True, True, False), (False, False, True)
    assert {"in": inside, "../out": outside, str(tmp_path / "out"): outside} == shown


def test_a_version_of_others_begins_no_line(tmp_path: Path) -> None:
    began = replace(suite(1), version="0.1.0\n::stop-commands::x\n\x1b[2J")
    write(tmp_path / "a.jsonl", enveloped([(0, began), *((1, each) for each in conversation()), (0, SuiteEnded(1))]))
    first, *_rest = run(tmp_path, "merge", "a.jsonl").stdout.splitlines()
    assert first.startswith("runflow 0.1.0 ::stop-commands::x \\u001b[2J · target ")


@pytest.mark.parametrize(("flag", "code"), [((), 0), (("--fail-on-flaky",), 1)])
def test_flaky_ones_fail_when_asked_to(flag: tuple[str, ...], code: int, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", kept("attempts"))
    assert code == run(tmp_path, "merge", "a.jsonl", *flag).code


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "runflow: name the files that `--events` wrote, or their folder"),
        (["gone.jsonl"], 2, "runflow: there is no file or folder `gone.jsonl`"),
        (["empty"], 5, "no event streams found; nothing to merge"),
        (["a.jsonl", "--events", "./a.jsonl"], 2, "runflow: `--events ./a.jsonl` would replace one of the files to be joined"),
        (["a.jsonl", "--json", "-", "--junit", "-"], 2, "runflow: only one report can go to standard output"),
        (["a.jsonl", "--json", "x", "--junit", "./x"], 2, "runflow: two reports cannot go to the same file"),
        (["bad.jsonl", "--json", "x"], 3, "runflow: bad.jsonl:1: this is not an event of runflow-events/1"),
        (["a.jsonl", "--junit", "no/x"], 2, "runflow: `--junit no/x`: there is no folder no"),
    ],
)
def test_a_command_line_that_cannot_be_meant(arguments: list[str], code: int, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text("{}\n")
    write(tmp_path / "a.jsonl", kept("attempts"))
    ended = run(tmp_path, "merge", *arguments)
    assert (code, sentence) == (ended.code, ended.stderr.splitlines()[0])
    assert not (tmp_path / "x").exists()
