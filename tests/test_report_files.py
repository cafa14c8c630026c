"""Reports for machines: they say what the fold says, read back whole, and never leave half a file."""

import errno
import json
import os
import re
import signal
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from io import StringIO
from operator import is_
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clean import Redactor
from runner.cli.reports import NAMES, closed
from runner.events import AnswerReceived, Envelope, Event, StepEnded, StepStarted, SuiteEnded, TextArrived
from runner.ndjson import KINDS, Undecodable, as_mapping, decode
from runner.registry import reporters
from runner.report import Fold, Memory, Report
from runner.reporters import Audience, Stream, WholeReport, events, open_reporter
from runner.reporters import json as json_report
from tests.report_fixtures import (
    NOTHING_KNOWN,
    QUICK,
    STREAMS,
    as_is,
    case,
    check,
    conversation,
    enveloped,
    kept,
    streams,
    suite,
    told,
)
from tests.test_cli import run

SCHEMAS = Path(__file__).parent.parent / "schemas"
EVENT = jsonschema.Draft7Validator(events.schema())
REPORT = jsonschema.Draft7Validator(json_report.schema())


def write(name: str, path: Path, envelopes: tuple[Envelope, ...]) -> None:
    written(name, str(path), envelopes)


def written(name: str, destination: str, envelopes: Iterable[Envelope], redactor: Redactor = NOTHING_KNOWN) -> None:
    """Tell a run to the reporter of that name, from its beginning to its end."""
    fold = Fold()
    reporter = open_reporter(name, destination, fold, redactor.redact)
    audience = Audience(fold, [reporter], redactor)
    for envelope in envelopes:
        audience.receive(envelope)
    reporter.close()


def document(name: str, envelopes: Iterable[Envelope]) -> str:
    """What that reporter writes to standard output."""
    return told(lambda stream, fold: open_reporter(name, "-", fold, as_is, stream), envelopes)


def test_every_reporter_is_found_by_its_name_and_has_an_option() -> None:
    assert {"events", "json", "junit", "terminal"} <= set(reporters) <= {"terminal", *NAMES}


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", STREAMS)
def test_json_is_the_report_and_what_its_schema_says(name: str, tmp_path: Path) -> None:
    write("json", tmp_path / "report.json", kept(name))
    document = json.loads((tmp_path / "report.json").read_text("utf-8"))
    report = Report.of(kept(name))
    REPORT.validate(document)
    assert "runflow-report/1" == document["format"]
    assert as_mapping(report.totals) == document["totals"]
    assert (report.exit_code, len(report.cases)) == (document["exit_code"], len(document["cases"]))
    assert [case.outcome for case in report.cases] == [case["outcome"] for case in document["cases"]]


@QUICK
@given(streams())
def test_json_reads_back_and_steers_no_terminal(envelopes: list[Envelope]) -> None:
    text = document("json", envelopes)
    REPORT.validate(json.loads(text))
    assert not {char for char in text if unicodedata.category(char) in ("Cc", "Cs")} - {"\n"}
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)
    told = [attempt for case in json.loads(text)["cases"] for attempt in case["attempts"]]
    attempts = [attempt for case in Report.of(envelopes).cases for attempt in case.attempts]
    assert [answer.text for attempt in attempts for answer in attempt.answers] == [
        step["answer"]["text"] for attempt in told for step in attempt["steps"] if step["answer"]
    ]


@pytest.mark.parametrize(("name", "schema"), [("event", events.schema), ("report", json_report.schema)])
def test_committed_schemas_are_the_derived_ones(name: str, schema: Callable[[], dict[str, object]]) -> None:
    committed = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    assert committed == json.loads(json.dumps(schema()))


# ── JUnit ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def counted(element: ElementTree.Element) -> dict[str, int]:
    return {name: int(element.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")}


def found(element: ElementTree.Element) -> dict[str, int]:
    """The same counts, from what stands in the document."""
    return {
        "tests": len(element.findall(".//testcase")),
        "failures": len(element.findall(".//failure")),
        "errors": len(element.findall(".//error")),
        "skipped": len(element.findall(".//skipped")),
    }


@QUICK
@given(streams())
def test_junit_parses_and_its_counts_are_the_reports(envelopes: list[Envelope]) -> None:
    report = Report.of(envelopes)
    text = document("junit", envelopes)
    root = ElementTree.fromstring(text)
    totals = report.totals
    assert counted(root) == {
        "tests": totals.flows,
        "failures": totals.failed,
        "errors": totals.errors,
        "skipped": totals.skipped + totals.not_run,
    }
    for element in (root, *root.findall("testsuite")):
        assert counted(element) == found(element)
    assert "<!DOCTYPE" not in text
    assert not {char for char in text if unicodedata.category(char) in ("Cc", "Cs")} - {"\n", "\t"}


def test_junit_tells_failure_error_and_skip_apart() -> None:
    failure = ElementTree.fromstring(document("junit", kept("failed-check"))).find(".//failure")
    error = ElementTree.fromstring(document("junit", kept("api-error"))).find(".//error")
    skipped = ElementTree.fromstring(document("junit", kept("skipped-and-bare"))).find(".//skipped")
    assert failure is not None
    assert error is not None
    assert skipped is not None
    assert "the reply does not contain this text [contains]" == failure.get("message")
    assert 'shop.yaml:6:20: the reply does not contain this text [contains]\n  | expected  "水彩の猫"\n' in (failure.text or "")
    assert (error.get("message") or "").startswith("POST /threads/thread_1/runs answered 429 Throttling.RateQuota")
    assert "waits for the new model" == skipped.get("message")


def test_junit_tells_the_calls_and_what_was_wrong_with_them() -> None:
    root = ElementTree.fromstring(document("junit", kept("functions")))
    orders, stock = (each.text or "" for each in root.findall(".//system-out"))
    assert '2 → cancel_order {"order": 1234, "reason": "changed my mind"} → {"error": "`order_id` is missing"}' in orders
    assert "2 ! `order_id` is missing\n2 → get_time" in orders
    assert "1 ! `stock.py:count` raised KeyError: '藍色の絵の具'" in stock
    assert "\n`stock.py:count` raised KeyError" in (root.findtext(".//error") or "")


def test_no_line_of_a_junit_error_begins_with_the_words_of_a_model() -> None:
    reason = "the assistant called `x\n::error::pwned`, which is none of the flow's functions"
    step = StepStarted(1, "", 3, ("Hello.",)), StepEnded(1, "error", 1, reason)
    played: list[tuple[int, Event]] = [
        (0, suite(1)),
        *((1, event) for event in conversation(*step, outcome="error", reason=reason)),
        (0, SuiteEnded(1)),
    ]
    error = ElementTree.fromstring(document("junit", enveloped(played))).find(".//error")
    assert error is not None
    assert "the assistant called `x\n  | ::error::pwned`, which is none of the flow's functions" == error.text


def test_junit_has_a_suite_for_each_file_and_names_the_line() -> None:
    root = ElementTree.fromstring(document("junit", kept("failed-check")))
    cases = root.findall("testsuite[@name='shop.yaml']/testcase")
    assert [("shop [animal=猫]", "shop.yaml", "6")] == [
        (each.get("name"), each.get("file"), each.get("line")) for each in cases
    ]
    assert ["dashscope"] == [each.get("value") for each in root.findall("testsuite/properties/property[@name='target']")]
    assert ["qwen-plus"] == [each.get("value") for each in root.findall(".//property[@name='model']")]


def test_rows_of_one_flow_share_a_suite() -> None:
    played = [(n, event) for n in (1, 2) for event in conversation(seconds=1.5)]
    root = ElementTree.fromstring(document("junit", enveloped([(0, suite(2)), *played, (0, SuiteEnded(3))])))
    assert [("2", "3.000")] == [(each.get("tests"), each.get("time")) for each in root.findall("testsuite")]


Element = tuple[set[str], dict[str, str]]
AGAIN: Element = ({"message", "type"}, {"stackTrace": "?", "system-out": "?", "system-err": "?"})
KNOWN: dict[str, Element] = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite": "*"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time"},
        {"properties": "?", "testcase": "*", "system-out": "?", "system-err": "?"},
    ),
    "properties": (set(), {"property": "*"}),
    "property": ({"name", "value"}, {}),
    "testcase": (
        {"name", "classname", "time"},
        {
            "properties": "?",
            "skipped": "?",
            "error": "?",
            "failure": "?",
            "rerunFailure": "*",
            "rerunError": "*",
            "flakyFailure": "*",
            "flakyError": "*",
            "system-out": "?",
            "system-err": "?",
        },
    ),
    "skipped": ({"message"}, {}),
    "failure": ({"message", "type"}, {}),
    "error": ({"message", "type"}, {}),
    **dict.fromkeys(("rerunFailure", "rerunError", "flakyFailure", "flakyError"), AGAIN),
    **dict.fromkeys(("stackTrace", "system-out", "system-err"), (set(), {})),
}
"""What the readers of such files agree upon, in the words of Maven's surefire: the attributes an element must have, and which
elements may stand in it, how often. Where they disagree about an order, we have one: results before what was said."""
ORDER = {"properties": 0, "system-out": 2, "system-err": 3}
MORE = {"testsuite": {"file", "timestamp"}, "testcase": {"file", "line"}}


def misfits(element: ElementTree.Element) -> Iterator[str]:
    """What of an element, and of all below it, such a reader would not expect."""
    needed, inside = KNOWN[element.tag]
    given = set(element.keys())
    if given - needed - MORE.get(element.tag, set()) or needed - given:
        yield f"{element.tag} has {sorted(given)}"
    if len(element) and (element.text or "").strip():
        yield f"{element.tag} has both text and elements"
    tags = [child.tag for child in element]
    ranks = [ORDER.get(tag, 1) for tag in tags]
    if not set(tags) <= set(inside) or ranks != sorted(ranks):
        yield f"{element.tag} holds {tags}"
    for tag, often in inside.items():
        if tags.count(tag) > 1 and often == "?":
            yield f"{element.tag} holds {tag} {tags.count(tag)} times"
    for child in element:
        yield from misfits(child)


@pytest.mark.parametrize("name", STREAMS)
def test_junit_is_what_its_readers_expect(name: str) -> None:
    assert [] == list(misfits(ElementTree.fromstring(document("junit", kept(name)))))


@QUICK
@given(streams())
def test_junit_is_what_its_readers_expect_whatever_happens(envelopes: list[Envelope]) -> None:
    assert [] == list(misfits(ElementTree.fromstring(document("junit", envelopes))))


def results(case: ElementTree.Element) -> list[tuple[str, str | None]]:
    return [(each.tag, each.get("message")) for each in case if each.tag not in ("properties", "system-out")]


def test_junit_tells_earlier_attempts_as_flaky_and_further_ones_as_reruns() -> None:
    wrong = "the reply does not contain this text [contains]"
    late = "POST /assistants did not answer in time"
    root = ElementTree.fromstring(document("junit", kept("suite")))
    told = {case.get("name"): results(case) for case in root.iter("testcase")}
    assert [("flakyFailure", wrong)] == told["shop [animal=猫]"]
    assert [("failure", wrong), ("rerunError", late)] == told["shop [animal=犬]"]
    assert [] == told["often enough"]
    often = root.findtext(".//testcase[@name='often enough']/system-out") or ""
    assert often.endswith(f"\nattempt 2: {wrong}")
    assert [("failure", wrong)] == told["too seldom"]
    assert [("skipped", "not run: the budget of 100 calls is used up")] == told["never 14"]
    assert [("skipped", "not run")] == told["not run 1"]
    flaky = root.find(".//testcase[@name='shop [animal=猫]']/flakyFailure")
    assert flaky is not None
    assert (flaky.findtext("stackTrace") or "").startswith(f"shop.yaml:6:20: {wrong}\n  | expected")
    assert "1 > Draw a cat.\n1 | Here is your tabby." == flaky.findtext("system-out")


def test_junit_counts_attempts_and_repeated_calls_for_each_conversation() -> None:
    root = ElementTree.fromstring(document("junit", kept("attempts")))
    assert {"model": "qwen-plus", "target": "dashscope", "attempts": "2", "http_retries": "2"} == {
        str(each.get("name")): each.get("value") for each in root.findall(".//testcase/properties/property")
    }
    often = ElementTree.fromstring(document("junit", kept("suite"))).find(".//testcase[@name='often enough']/properties")
    assert often is not None
    assert [("times", "3"), ("needed", "2")] == [(each.get("name"), each.get("value")) for each in often][-2:]


class Counting:
    """A shelf that counts what is taken from it."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.taken = 0

    def put(self, case: int, envelopes: Sequence[Envelope]) -> None:
        self.memory.put(case, envelopes)

    def take(self, case: int) -> Sequence[Envelope]:
        self.taken += 1
        return self.memory.take(case)


@pytest.mark.parametrize("name", ["json", "junit"])
def test_a_document_is_written_while_its_conversations_are_read(name: str) -> None:
    shelf = Counting()
    fold = Fold(shelf)
    for envelope in kept("suite"):
        fold.receive(envelope)
    whole: WholeReport = reporters[name](Stream(StringIO()), fold)
    seen = [shelf.taken for _piece in whole.pieces(fold.report())]
    assert 0 == seen[0]
    assert list(range(16)) == sorted(set(seen))


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@QUICK
@given(streams())
def test_events_read_back_the_same(envelopes: list[Envelope]) -> None:
    reporter = reporters["events"](Stream(stream := StringIO()), Fold())
    for envelope in envelopes:
        reporter.receive(envelope)
    text = stream.getvalue()
    assert envelopes == list(decode(text.split("\n")))
    assert len(envelopes) == text.count("\n") == len(text.splitlines())
    for line in text.splitlines():
        EVENT.validate(json.loads(line))


def test_the_log_is_whole_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reporter = open_reporter("events", str(path), Fold(), as_is)
    for number, envelope in enumerate(kept("picture"), 1):
        reporter.receive(envelope)
        assert list(kept("picture")[:number]) == list(decode(path.read_text("utf-8").splitlines()))
    reporter.close()


def test_a_new_run_begins_the_log_anew(tmp_path: Path) -> None:
    for name in ("interrupted", "picture"):
        write("events", tmp_path / "events.jsonl", kept(name))
    assert kept("picture") == tuple(decode((tmp_path / "events.jsonl").read_text("utf-8").splitlines()))


END = {
    "format": "runflow-events/1",
    "case": 0,
    "sequence": 1,
    "time": 1,
    "event": "SuiteEnded",
    "seconds": 1,
    "signal": 0,
    "reason": "",
}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        json.dumps(END | {"format": "runflow-events/2"}),
        json.dumps(END | {"event": "Nothing"}),
        json.dumps({name: value for name, value in END.items() if name != "signal"}),
        json.dumps(END | {"seconds": "1"}),
        json.dumps(END | {"signal": True}),
        json.dumps(END | {"more": 1}),
        json.dumps(END | {"case": "0"}),
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_named(line: str) -> None:
    assert 1 == len(list(decode([json.dumps(END), "\n"])))
    with pytest.raises(Undecodable) as raised:
        list(decode([json.dumps(END), "", line]))
    assert "line 3 is not an event of runflow-events/1" == str(raised.value)


def test_no_event_has_a_field_that_the_envelope_has() -> None:
    around = {"format", "case", "sequence", "time", "event"}
    assert {} == {name: shared for name, kind in KINDS.items() if (shared := around & set(kind.__slots__))}


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["json", "junit"])
def test_failing_disk_leaves_the_old_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    path.write_text("the report of yesterday")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write(name, path, kept("picture"))
    assert str(path) == raised.value.filename
    assert "the report of yesterday" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_full_disk_leaves_whole_lines_and_does_not_disturb_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    reporter = open_reporter("events", str(path), Fold(), as_is)
    real, room = os.write, [600]

    def filling(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real(descriptor, bytes(data)[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", filling)
    for envelope in kept("picture"):
        reporter.receive(envelope)
    with pytest.raises(OSError, match="No space left on device"):
        reporter.close()
    lines = path.read_text("utf-8").splitlines(keepends=True)
    assert list(kept("picture")[: len(lines)]) == list(decode(lines))
    assert 1 <= len(lines) < len(kept("picture"))
    assert lines[-1].endswith("\n")


@pytest.mark.parametrize("name", ["json", "junit", "events"])
def test_a_folder_that_is_not_there_is_named_before_anything_runs(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        open_reporter(name, str(tmp_path / "no" / "report"), Fold(), as_is)
    assert "there is no folder for this file; make it first" == raised.value.strerror
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["json", "junit", "events"])
def test_a_folder_is_no_report(name: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as raised:
        open_reporter(name, str(tmp_path), Fold(), as_is)
    assert "this is a folder; name a file" == raised.value.strerror


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "report.json").symlink_to(tmp_path / "kept" / "report.json")
    write("json", tmp_path / "report.json", kept("picture"))
    assert (tmp_path / "report.json").is_symlink()
    assert "picture" != json.loads((tmp_path / "kept" / "report.json").read_text("utf-8"))["format"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no /dev/null here")
def test_a_device_stays_a_device() -> None:
    write("json", Path("/dev/null"), kept("picture"))
    assert not Path("/dev/null").is_file()


def test_nothing_is_written_before_the_end(tmp_path: Path) -> None:
    reporter = open_reporter("json", str(tmp_path / "report.json"), Fold(), as_is)
    for envelope in kept("picture"):
        reporter.receive(envelope)
    assert [] == list(tmp_path.iterdir())
    reporter.close()
    assert ["report.json"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["json", "junit", "events"])
@pytest.mark.parametrize("secret", ["sesame-opens-this-cave", 'quote"and\\slash&<amp>é'])
def test_no_report_holds_a_secret(name: str, secret: str, tmp_path: Path) -> None:
    answer = AnswerReceived(1, f"The key is {secret}!", "completed", (), 0, 1, None, None, None)
    steps: list[Event] = [StepStarted(1, secret, 3, (secret,)), answer, StepEnded(1, "error", 1, secret)]
    played = conversation(*steps, outcome="error", reason=secret, started=case(secret))
    stream = enveloped([(0, suite(1)), *((1, event) for event in played)])
    written(name, str(tmp_path / "report"), stream, Redactor([secret]))
    text = (tmp_path / "report").read_text("utf-8")
    assert "The key is ***!" in text
    assert secret not in text
    assert "sesame" not in text
    assert "slash" not in text


@pytest.mark.parametrize("name", ["json", "junit", "events"])
def test_a_run_that_is_refused_leaves_the_report_of_an_earlier_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("assistant: {model: qwen-max}\nsteps: [{user: hello}]\n", encoding="utf-8")
    report = tmp_path / "report"
    report.write_text("of an earlier run", encoding="utf-8")
    way = {"SSL_CERT_FILE": "nowhere.pem", "DASHSCOPE_API_KEY": "sk-abcdefgh"}
    assert 3 == run(tmp_path, "shop.yaml", "--target", "dashscope", f"--{name}", "report", **way).code
    assert "of an earlier run" == report.read_text(encoding="utf-8")


# ── on the way to all of them ────────────────────────────────────────────────────────────────────────────────────────


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[Envelope] = []

    def receive(self, envelope: Envelope) -> None:
        self.heard.append(envelope)


def saying(kind: object, text: str) -> object:
    """A value of that type that says the text wherever it can."""
    if get_origin(kind) is tuple:
        return (saying(get_args(kind)[0], text),)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(*(saying(hints[field.name], text) for field in fields(kind)))
    return text if kind in (str, str | None) else 1


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_no_secret_gets_into_anything_that_is_told(kind: type[Event]) -> None:
    audience = Audience(Fold(), [ear := Ear()], Redactor(["sesame-opens-this-cave"]))
    for number, text in enumerate(("harmless", "say sesame-opens-this-cave", "harmless", "sesame-opens-this-cave"), 1):
        event: Any = saying(kind, text)
        audience.receive(Envelope(number, 1, 1.0, event))
    audience.receive(ending := Envelope(0, 2, 2.0, SuiteEnded(1, 0)))
    told = [saying(kind, text) for text in ("harmless", "say ***", "harmless", "***")]
    assert [*told, ending.event] == [each.event for each in ear.heard]


@pytest.mark.parametrize(
    ("secret", "pieces", "told"),
    [
        ("sesame-opens-this-cave", ["say se", "same-ope", "ns-this-", "cave", " now"], ["say ", "", "", "", "*** now"]),
        ("sesame-opens-this-cave", ["say ", *"sesame-opens-this-cave", "!"], ["say ", *[""] * 22, "***!"]),
        ("correct horse battery staple", ["a correct ", "horse ", "battery ", "staple"], ["a ", "", "", "***"]),
        ("sesame-opens-this-cave", ["a sesame ", "roll", "se"], ["a sesame ", "roll", "se"]),
        ("abcabcab", ["abcabcab", "cab"], ["", "***cab"]),
        ("another-secret", ["my key sk", "-0123", "4567 is", " s", "k"], ["my key ", "", "sk-*** is", " ", "sk"]),
        ("another-secret", ["a B", "earer abcd", "1234+/=", "= it is"], ["a ", "", "", "Bearer *** it is"]),
        ("sesame-opens-this-cave", ["c2VzYW1lLW9w", "ZW5zLXRoaXMtY2F2ZQ=="], ["", "***Q=="]),
    ],
)
def test_no_secret_is_told_in_pieces(secret: str, pieces: list[str], told: list[str]) -> None:
    audience = Audience(Fold(), [ear := Ear()], Redactor([secret]))
    ended = StepEnded(1, "passed", 1.0)
    happened: list[Event] = [*(TextArrived(1, piece) for piece in pieces), ended]
    for event in happened:
        audience.receive(Envelope(1, 1, 1.0, event))
        audience.receive(Envelope(2, 1, 1.0, TextArrived(1, "another answer ")))
    first = [each.event for each in ear.heard if each.case == 1]
    assert [*(TextArrived(1, piece) for piece in told), ended] == first


@given(st.text("ab", min_size=6, max_size=9), st.lists(st.text("ab", max_size=5), max_size=12))
def test_pieces_tell_what_the_whole_does_and_no_secret(secret: str, pieces: list[str]) -> None:
    audience = Audience(Fold(), [ear := Ear()], redactor := Redactor([secret]))
    happened: list[Event] = [*(TextArrived(1, piece) for piece in pieces), StepEnded(1, "passed", 1.0)]
    for event in happened:
        audience.receive(Envelope(1, 1, 1.0, event))
    told = "".join(each.event.text for each in ear.heard if isinstance(each.event, TextArrived))
    assert not any(form in told for form in redactor.forms)
    assert told == redactor.redact("".join(pieces)) or any(form in "".join(pieces) for form in redactor.forms)


def test_what_hides_nothing_is_told_as_it_is() -> None:
    audience = Audience(Fold(), [ear := Ear()], Redactor(["sesame-opens-this-cave"]))
    for envelope in (happened := kept("suite")):
        audience.receive(envelope)
    assert [True] * len(happened) == list(map(is_, happened, ear.heard))


# ── on standard output ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["events", "html", "json", "junit", "markdown"])
def test_nothing_that_was_said_gives_orders_to_a_ci_service_that_reads_a_report(name: str) -> None:
    order = "##vso[task.setvariable variable=x]y ##[error]bad"
    said = f"{order}\n::error::bad\n  ::add-mask::cat"
    answer = AnswerReceived(1, said, "completed", (), 0, 1.0, 1, 1, 2)
    wrong = replace(check("failed"), message=said, expected=said, actual=said)
    step = StepStarted(1, said, 3, (said,)), answer, wrong, StepEnded(1, "failed", 1)
    failed = conversation(*step, outcome="failed", started=case(said))
    envelopes = list(enveloped([(0, suite(1)), *((1, each) for each in failed), (0, SuiteEnded(1))]))
    text = document(name, envelopes)
    assert [] == re.findall(r"##(?:\[|vso)|^\s*::", text, re.MULTILINE)
    if name == "events":
        assert envelopes == list(decode(text.splitlines()))
    if name == "json":
        assert said == json.loads(text)["cases"][0]["attempts"][0]["steps"][0]["answer"]["text"]


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Struck:
    """A reporter during whose writing signals come."""

    name: ClassVar[str] = ""
    lasting: ClassVar[bool] = False

    def __init__(self, *signals: int) -> None:
        self.signals = signals
        self.written = False

    def receive(self, envelope: Envelope) -> None: ...

    def close(self) -> None:
        for number in self.signals:
            os.kill(os.getpid(), number)
        self.written = True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_reports_are_written_stops_none_and_a_second_one_does(number: int) -> None:
    before = signal.getsignal(number)
    written: list[Struck] = [Struck(number), Struck()]
    assert 0 == closed(written)
    assert [True, True] == [each.written for each in written]
    written = [Struck(number, signal.SIGINT), Struck()]
    with pytest.raises(KeyboardInterrupt):
        closed(written)
    assert [False, False] == [each.written for each in written]
    assert before == signal.getsignal(number)
