"""Annotations for GitHub: each on its line, none that words of others could make, and the summary of the step."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from runner.clean import Redactor
from runner.events import AttemptEnded, AttemptStarted, CaseEnded, CaseStarted, CheckEnded, Envelope, Event, SuiteEnded
from runner.report import Fold
from runner.reporters import Audience, Log, Stream, open_reporter
from runner.reporters.github import SUMMARY, GitHub, place_in
from tests.report_fixtures import QUICK, STREAMS, case, check, conversation, kept, streams, told, turn, whole
from tests.test_cli import run

COMMAND = re.compile(r"::(error|warning|notice) [a-zA-Z]+=[^:,\n]*(,[a-zA-Z]+=[^:,\n]*)*::[^\n]*")


def github(envelopes: Iterable[Envelope], environment: Mapping[str, str] = {}) -> list[str]:
    return told(lambda stream, fold: GitHub(Stream(stream), fold, environment), envelopes).splitlines()


def test_a_failed_check_stands_on_its_line() -> None:
    assert [
        "::error file=paint.yaml,line=7,endLine=7,col=19,title=paint::"
        'the reply does not contain this text [contains]%0Aexpected: "cat"%0Aactual: "dog"'
    ] == github(whole(conversation(*turn(check(), check("failed")), outcome="failed")))


def test_a_check_of_several_lines_names_no_column() -> None:
    wrong = replace(check("failed"), end_line=9)
    assert github(whole(conversation(*turn(wrong), outcome="failed")))[0].startswith(
        "::error file=paint.yaml,line=7,endLine=9,title="
    )


def test_no_verdict_says_why() -> None:
    ended = conversation(outcome="error", reason="POST /threads answered 503: 100% busy\ntry later")
    assert [
        "::error file=paint.yaml,line=1,endLine=1,col=1,title=paint::POST /threads answered 503: 100%25 busy%0Atry later"
    ] == github(whole(ended))


def test_what_was_flaky_is_a_warning_and_a_pass_is_nothing() -> None:
    events: list[Event] = [case(), AttemptStarted(1), *turn(check("failed")), AttemptEnded("failed", 1), AttemptStarted(2)]
    lines = github(whole([*events, AttemptEnded("passed", 1), CaseEnded("flaky", 2)], conversation(*turn(check()))))
    place = "file=paint.yaml,line=7,endLine=7,col=19,title=paint%2C attempt 1 of 2"
    assert [f"::warning {place}::the reply does not contain this text [contains]"] == [
        line.partition("%0A")[0] for line in lines
    ]


def test_what_was_not_run_is_a_warning_without_a_line() -> None:
    never: list[Event] = [case(), CaseEnded("not_run", 0, "too many failures")]
    ended = SuiteEnded(1, reason="1 conversation failed, as many as --max-failures allows")
    lines = github(whole(conversation(*turn(check())), never, ended=ended))
    assert ["::warning title=runflow::1 not run: 1 conversation failed, as many as --max-failures allows"] == lines


def test_as_many_as_github_shows_and_the_number_of_the_others() -> None:
    lines = github(whole(*(conversation(*turn(check("failed")), outcome="failed") for _each in range(13))))
    assert 10 == sum(line.startswith("::error ") for line in lines)
    assert "::notice title=runflow::… and 3 more" == lines[-1]


def test_paths_are_seen_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop" / "flows").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "shop")
    assert "shop/flows/a.yaml" == place_in(str(tmp_path), "flows/a.yaml")
    assert "shop/flows/a.yaml" == place_in(str(tmp_path), str(tmp_path / "shop" / "flows" / "a.yaml"))
    assert "flows/a.yaml" == place_in(None, "./flows/a.yaml")
    assert "/elsewhere/a.yaml" == place_in(str(tmp_path), "/elsewhere/a.yaml")
    failed = conversation(*turn(check("failed")), outcome="failed")
    assert github(whole(failed), {"GITHUB_WORKSPACE": str(tmp_path)})[0].startswith("::error file=shop/paint.yaml,line=7,")


def test_a_path_that_no_disk_has_stays_as_it_is() -> None:
    assert "a\0/b.yaml" == place_in(str(Path.cwd()), "a\0/b.yaml")
    started = case(path="a\0/b.yaml")
    lines = github(whole(conversation(*turn(check("failed")), outcome="failed", started=started)), {"GITHUB_WORKSPACE": "/"})
    assert lines[0].startswith("::error file=a\\u0000/b.yaml,line=7,")


def test_no_verdict_after_a_failed_check_tells_both() -> None:
    lines = github(whole(conversation(*turn(check("failed")), outcome="error", reason="the connection broke")))
    assert [
        'the reply does not contain this text [contains]%0Aexpected: "cat"%0Aactual: "dog"',
        "the connection broke",
    ] == [line.split("::", 2)[2] for line in lines]


# ── inert ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_words_of_others_form_no_command() -> None:
    text = "a%0A::add-mask::b\r\n::stop-commands::c,line=1::d\n##[error]e\u2028::error::f"
    wrong = CheckEnded(1, text, "failed", 7, 19, 7, 26, text, text, text)
    lines = github(whole(conversation(*turn(wrong), outcome="failed", started=CaseStarted(text, text, text, (), "", "", 1))))
    assert 1 == len(lines)
    assert COMMAND.fullmatch(lines[0])
    told_of = lines[0].split("::", 2)[2]
    assert told_of.startswith("a%250A::add-mask::b%0A::stop-commands::c,line=1::d%0A# #[error]e\\u2028::error::f [a%250A")


@QUICK
@given(streams())
def test_every_line_of_any_run_is_one_command_of_ours(envelopes: list[Envelope]) -> None:
    for line in told(lambda stream, fold: GitHub(Stream(stream), fold, {}), envelopes).split("\n")[:-1]:
        assert COMMAND.fullmatch(line), line
        assert not re.search(r"##(\[|vso\[)", line, re.IGNORECASE)


# ── the summary of the step ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", STREAMS)
def test_the_summary_is_added_to_what_others_wrote(name: str, tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("before", "utf-8")
    github(kept(name), {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    assert re.match(r"before\n\n### [✓✗] \d+ flows?: ", (tmp_path / "summary.md").read_text("utf-8"))


def test_the_summary_keeps_what_github_would_drop_out_of_it(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    wrong = replace(check("failed"), actual="x" * 5000)
    cases = [conversation(*turn(wrong), outcome="failed") for _each in range(400)]
    summary.write_text("x" * 500_000, "utf-8")
    github(whole(*cases), {"GITHUB_STEP_SUMMARY": str(summary)})
    assert 500_100 < summary.stat().st_size <= SUMMARY
    summary.write_text("x" * (SUMMARY - 100), "utf-8")
    github(whole(*cases), {"GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.stat().st_size <= SUMMARY


def test_no_secret_is_in_annotations_or_summary(tmp_path: Path) -> None:
    secret = "hunter2-|`*&<>-hunter2"
    wrong = replace(check("failed"), message=secret, actual=secret)
    fold = Fold()
    reporter = GitHub(Log(tmp_path / "out"), fold, {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    audience = Audience(fold, [reporter], Redactor([secret]))
    for envelope in whole(conversation(*turn(wrong, outcome="failed"), outcome="failed")):
        audience.receive(envelope)
    reporter.close()
    for name in ("out", "summary.md"):
        text = (tmp_path / name).read_text("utf-8")
        assert "***" in text or "&#42;&#42;&#42;" in text
        assert "hunter2" not in text


def test_what_a_flow_says_is_masked_in_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "paint.yaml").write_text("\n" * 6 + "      - contains: hunter2-hunter2 # here", "utf-8")
    fold = Fold()
    redactor = Redactor(["hunter2-hunter2"])
    reporter = open_reporter("github", str(tmp_path / "out"), fold, redactor.redact)
    audience = Audience(fold, [reporter], redactor)
    for envelope in whole(conversation(*turn(check("failed"), outcome="failed"), outcome="failed")):
        audience.receive(envelope)
    reporter.close()
    written = (tmp_path / "summary.md").read_text("utf-8")
    assert "contains: *** # here" in written
    assert "hunter2" not in written


def test_a_summary_that_cannot_be_written_is_said_after_the_annotations(tmp_path: Path) -> None:
    fold = Fold()
    reporter = GitHub(Log(tmp_path / "out"), fold, {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    audience = Audience(fold, [reporter], Redactor())
    for envelope in whole(conversation(*turn(check("failed")), outcome="failed")):
        audience.receive(envelope)
    with pytest.raises(OSError, match="Is a directory") as caught:
        reporter.close()
    assert str(tmp_path) == caught.value.filename
    assert (tmp_path / "out").read_text("utf-8").startswith("::error file=paint.yaml,line=7,")


# ── through the command ──────────────────────────────────────────────────────────────────────────────────────────────

FLOW = """\
assistant:
  model: qwen-max
steps:
  - user: "Draw ::error::100% | ```x @octocat"
    expect:
      - contains: "ragdoll, or: tabby"
"""
ANNOTATION = (
    "::error file=flows/paint.yaml,line=6,endLine=6,col=19,title=paint::the reply does not contain this text [contains]"
    '%0Aexpected: "ragdoll, or: tabby"%0Aactual: "About Draw ::error::100%25 | ```x @octocat: a model would answer here; '
    'the embedded service follows a script."\n'
)


def test_a_run_writes_annotations_the_summary_and_markdown(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "paint.yaml").write_text(FLOW, "utf-8")
    (tmp_path / "summary.md").write_text("before\n", "utf-8")
    ended = run(
        *(tmp_path / "flows", "paint.yaml", "--target", "embedded", "--github", "-", "--markdown", "report.md"),
        GITHUB_WORKSPACE=str(tmp_path),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )
    assert (1, ANNOTATION) == (ended.code, ended.stdout)
    report = (tmp_path / "flows" / "report.md").read_text("utf-8")
    assert f"before\n\n\n{report}" == (tmp_path / "summary.md").read_text("utf-8")
    assert report.startswith("### ✗ 1 flow: 0 passed, 0 flaky, 1 failed, 0 errors, 0 skipped; 1 check; 0 retries\n")
    assert "\n````text\n  1 ❯ Draw ::error::100% | ```x @octocat\n" in report


def test_a_run_in_which_all_is_well_leaves_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "paint.yaml").write_text(FLOW.replace("ragdoll, or: tabby", "octocat"), "utf-8")
    assert 0 == run(tmp_path, "paint.yaml", "--target", "embedded", "--github", "notes.txt").code
    assert "" == (tmp_path / "notes.txt").read_text("utf-8")


def test_a_file_that_is_no_flow_is_annotated_by_validate(tmp_path: Path) -> None:
    (tmp_path / "paint.yaml").write_text(FLOW.replace("model:", "modle:"), "utf-8")
    ended = run(tmp_path, "validate", "paint.yaml", "--github", "notes.txt", GITHUB_WORKSPACE=str(tmp_path.parent))
    assert 3 == ended.code
    assert (
        f"::error file={tmp_path.name}/paint.yaml,line=2,endLine=2,col=3,title=runflow::"
        "unknown key `modle` in `assistant` [unknown-key]%0Adid you mean `model`?\n"
    ) == (tmp_path / "notes.txt").read_text("utf-8")
