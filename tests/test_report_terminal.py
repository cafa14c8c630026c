"""What the terminal reporter says, to the letter, and that nothing anybody says gets past its cleaning."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.clean import Redactor
from runner.diagnostics import cells
from runner.events import (
    AnswerReceived,
    AttemptEnded,
    AttemptStarted,
    Called,
    CaseEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    OperationStarted,
    RunStatusChanged,
    StepEnded,
    StepStarted,
    SuiteEnded,
    TextArrived,
)
from runner.report import Fold, Summary
from runner.reporters import Audience
from runner.reporters import Stream as Sink
from runner.reporters.json import compact
from runner.reporters.terminal import Conversations, Look, Overview, Painter, Screen, Terminal, duration, open_terminal, rows
from runner.reporters.terminal.overview import line
from tests.report_fixtures import (
    DATA,
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


def plain(envelopes: Iterable[Envelope], encoding: str = "utf-8", **options: bool) -> str:
    return told(lambda stream, fold: open_terminal(stream, fold, as_is, {}, **options), envelopes, encoding)


@pytest.mark.parametrize("name", STREAMS)
def test_a_pipe_gets_these_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    assert (DATA / f"{name}.txt").read_text("utf-8") == plain(kept(name))


@pytest.mark.parametrize("name", ["attempts", "failed-check", "picture", "skipped-and-bare", "suite"])
def test_quiet_shows_only_what_did_not_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    assert (DATA / f"{name}.quiet.txt").read_text("utf-8") == plain(kept(name), quiet=True)


@pytest.mark.parametrize("name", ["skipped-and-bare", "functions", "suite"])
def test_verbose_shows_the_whole_answer_and_the_whole_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    assert (DATA / f"{name}.verbose.txt").read_text("utf-8") == plain(kept(name), verbose=True)


@pytest.mark.parametrize("asked", ["{}", '{"a": "' + "x" * 30 + '"}', '{"品": "' + "猫" * 60 + '"}'])
@pytest.mark.parametrize("output", ["", "{}", "shipped " * 20, "猫" * 60])
def test_a_call_takes_one_line_of_the_terminal(asked: str, output: str) -> None:
    call = Called("get_order", asked, output)
    step = conversation(StepStarted(1, "", 3, ()), answered(call), StepEnded(1, "passed", 1))
    lines = plain(enveloped([(0, suite(1)), *((1, event) for event in step)])).splitlines()
    [line] = [line for line in lines if "get_order" in line]
    assert cells(line) <= 100
    assert ("…" in line) == (cells(f"      → get_order {asked} → {output.strip()}") > 98)


@pytest.mark.parametrize(
    ("came", "shown"),
    [
        ('{"a":1.10,"b":"\\u732b"}', '{"a": 1.10, "b": "猫"}'),
        ("[1e400,1E5]", "[1e400, 1E5]"),
        ("[1e400,NaN]", "[1e400,NaN]"),
        ('{"a":1,"a":2}', '{"a":1,"a":2}'),
        ("not JSON", "not JSON"),
        ("[" * 100_000, "[" * 100_000),
        ('"\\ud800"', '"\\ud800"'),
    ],
)
def test_what_is_json_is_easier_to_read_and_loses_nothing(came: str, shown: str) -> None:
    assert shown == compact(came)


def answered(call: Called) -> FunctionAnswered:
    return FunctionAnswered(1, "call_1", call.name, call.arguments, call.output or "", "returns", 0.1, call.trouble)


def test_the_last_line_is_the_summary_and_the_last_before_it_the_picture() -> None:
    lines = [line for line in plain(kept("picture")).splitlines() if line]
    assert ["    → runflow-out/paint/1-1.png", "1 flow: 1 passed, 0 flaky"] == [lines[-2], lines[-1][:25]]


def test_flows_that_are_gone_are_told_without_their_lines() -> None:
    assert "      shop.yaml:6:20: the reply does not contain this text [contains]\n        | expected" in plain(
        kept("failed-check")
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "cp936", "cp1252", "latin-1"])
@pytest.mark.parametrize("name", STREAMS)
def test_any_stream_takes_it(encoding: str, name: str) -> None:
    assert " passed, " in plain(kept(name), encoding).splitlines()[-1]


def test_ascii_has_words_for_our_signs() -> None:
    assert "  ok create assistant 212 ms - ok create thread 143 ms\n  1 > Draw" in plain(kept("picture"), "ascii")
    assert "      FAILED contains - ok characters\n" in plain(kept("failed-check"), "ascii")


@QUICK
@given(streams())
def test_nothing_raw_and_no_command_whatever_they_say(envelopes: list[Envelope]) -> None:
    for options in ({}, {"verbose": True}, {"quiet": True}, {"merged": True}):
        text = plain(envelopes, "utf-8", **options)
        assert not {char for char in text if unicodedata.category(char) == "Cc"} - {"\n"}
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]", text)
        assert not re.search(r"(?m)^\s*(::|##)|##\[|##vso\[", text)


def test_a_path_stays_on_its_line_whatever_is_in_it() -> None:
    saved = ImageSaved(1, "s", "a\tb\nc.png")
    events = [(1, each) for each in conversation(StepStarted(1, "", 1, ("x",)), saved)]
    assert "    → a\\tb\\nc.png" in plain(enveloped([(0, suite(1)), *events])).splitlines()


def test_one_conversation_at_a_time_when_they_interleave() -> None:
    def played(name: str) -> list[Event]:
        step = StepStarted(1, "", 3, (f"Hello from {name}.",))
        return conversation(step, check(), StepEnded(1, "passed", 1), started=case(name))

    turns = [(number, event) for both in zip(played("one"), played("two"), strict=True) for number, event in enumerate(both, 1)]
    text = plain(enveloped([(0, suite(2)), *turns]), verbose=True)
    assert ["▸ one", "Hello from one.", "passed", "▸ two", "Hello from two.", "passed", "2 flows"] == re.findall(
        r"▸ \w+|Hello from \w+\.|(?<=✓ )passed|2 flows", text
    )


def test_secrets_do_not_reach_the_stream() -> None:
    secret = "sesame-opens-this-cave"
    answer = AnswerReceived(1, f"The key is {secret}", "completed", (), 0, 1, None, None, None)
    half = AnswerReceived(2, f"{'x' * 80} {secret}", "completed", (), 0, 1, None, None, None)
    steps: list[Event] = [
        StepStarted(1, "", 3, ()),
        answer,
        StepEnded(1, "passed", 1),
        StepStarted(2, "", 4, ()),
        half,
        StepEnded(2, "passed", 1),
    ]
    played = conversation(*steps, started=case(steps=2))
    events = enveloped([(0, suite(1)), *((1, event) for event in played)])
    text = told(lambda stream, fold: open_terminal(stream, fold, Redactor([secret]).redact, {}), events)
    assert "│ The key is ***\n" in text
    assert "sesame" not in text


def test_a_secret_in_the_flow_file_is_masked_where_the_line_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "paint.yaml"
    path.write_text("\n" * 6 + "      - contains: sesame-opens-this-cave\n", "utf-8")
    step = StepStarted(1, "", 3, ()), check("failed"), StepEnded(1, "failed", 1)
    events = conversation(*step, outcome="failed", started=case(path=str(path)))
    text = told(
        lambda stream, fold: open_terminal(stream, fold, Redactor(["sesame-opens-this-cave"]).redact, {}),
        enveloped([(0, suite(1)), *((1, event) for event in events)]),
    )
    assert "      7 |       - contains: ***\n" in text


# ── how it looks ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Stream(TextIOWrapper):
    def __init__(self, terminal: bool) -> None:
        super().__init__(BytesIO(), "utf-8", newline="\n")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "colour", "animated"),
    [
        (True, {}, True, True),
        (False, {}, False, False),
        (False, {"FORCE_COLOR": "1"}, True, False),
        (False, {"FORCE_COLOR": "0"}, False, False),
        (True, {"NO_COLOR": "1"}, False, True),
        (True, {"NO_COLOR": ""}, True, True),
        (False, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        (True, {"CI": "true"}, True, False),
        (True, {"CI": "false"}, True, True),
        (True, {"TERM": "dumb"}, False, False),
    ],
)
def test_colour_and_animation_are_two_decisions(
    terminal: bool, environment: Mapping[str, str], colour: bool, animated: bool
) -> None:
    look = Look.of(Stream(terminal), environment)
    assert (colour, animated) == (look.colour, look.animated)


def test_forced_colour_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    text = told(lambda stream, fold: open_terminal(stream, fold, as_is, {"FORCE_COLOR": "1"}), kept("failed-check"))
    codes = set(re.findall(r"\x1b\[([^A-Za-z]*)([A-Za-z])", text))
    assert {"m"} == {letter for _numbers, letter in codes}
    assert (DATA / "failed-check.txt").read_text("utf-8") == re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_terminal_shows_what_is_under_way() -> None:
    now = [0.0]
    stream = Stream(True)
    reporter = Terminal(Sink(stream), Fold(), Look(animated=True), verbose=True, clock=lambda: now[0])
    events: list[tuple[int, Event]] = [
        (0, suite(1)),
        (1, case()),
        (1, AttemptStarted(1)),
        (1, StepStarted(1, "", 3, ("Draw a cat.",))),
        (1, OperationStarted("add_message", 1)),
        (1, OperationEnded("add_message", 1, "passed", 0.002)),
        (1, RunStatusChanged(1, "run_1", "in_progress")),
        (1, OperationStarted("wait", 1)),
        (1, TextArrived(1, "Here is\n\na c")),
        (1, TextArrived(1, "at.")),
    ]
    try:
        for envelope in enveloped(events):
            reporter.receive(envelope)
        now[0] = 4.2
        assert [
            "      ✓ add message 2 ms · ⠹ wait in progress 4.2 s",
            "      │ Here is",
            "      │ a cat.",
        ] == reporter.running()
    finally:
        reporter.close()
    stream.seek(0)
    text = stream.read()
    assert "\x1b[?25l" in text, "the cursor is hidden while the display moves"
    assert "\x1b[?25h" in text, "and shown again"


def test_a_terminal_shows_the_functions_answered_so_far() -> None:
    now = [0.0]
    reporter = Terminal(Sink(Stream(True)), Fold(), Look(animated=True), clock=lambda: now[0])
    events: list[tuple[int, Event]] = [
        (0, suite(1)),
        (1, case()),
        (1, AttemptStarted(1)),
        (1, StepStarted(1, "", 3, ("Where is order 1234?",))),
        (1, OperationStarted("wait", 1)),
        (1, RunStatusChanged(1, "run_1", "requires_action")),
        (1, OperationEnded("wait", 1, "passed", 0.002)),
        (1, answered(Called("get_order", '{"order_id":"1234"}', "shipped"))),
    ]
    try:
        for envelope in enveloped(events):
            reporter.receive(envelope)
        now[0] = 1.2
        assert [
            "      ✓ wait 2 ms · ⠹ answering functions 1.2 s",
            '      → get_order {"order_id": "1234"} → shipped',
        ] == reporter.running()
    finally:
        reporter.close()


def test_what_is_written_while_nothing_moves_is_never_erased() -> None:
    stream = Stream(True)
    reporter = Terminal(Sink(stream), Fold(), Look(animated=True), clock=lambda: 0.0)
    screen = Screen(reporter, reporter.sink)
    events: list[tuple[int, Event]] = [
        (0, suite(1)),
        (1, case()),
        (1, AttemptStarted(1)),
        (1, StepStarted(1, "", 1, ("Where is order 1234?",))),
        (1, OperationStarted("wait", 1)),
        (1, answered(Called("get_order", "{}", "shipped"))),
        (1, answered(Called("get_price", "{}", "12"))),
    ]
    try:
        for envelope in enveloped(events):
            reporter.receive(envelope)
        with screen.held() as sink:
            sink.write("the first question\n")
        with screen.held() as sink:
            sink.write("the second question\n")
    finally:
        reporter.close()
    stream.seek(0)
    first, second = stream.read().partition("the first question\n")[2].split("the second question\n")
    # What is drawn and erased afterwards never leads further up than down.
    for after in (first, second):
        assert after.count("\x1b[1A") <= after.count("\n")


# ── many conversations ───────────────────────────────────────────────────────────────────────────────────────────────


class Told:
    """A terminal reporter that is told events one by one, and what it has written since it was last asked."""

    def __init__(self, planned: int, look: Look = Look(), *, verbose: bool = False, quiet: bool = False) -> None:
        self.now = 0.0
        self.stream = StringIO()
        self.fold = Fold()
        self.terminal = Terminal(Sink(self.stream), self.fold, look, verbose=verbose, quiet=quiet, clock=lambda: self.now)
        self.audience = Audience(self.fold, [self.terminal], NOTHING_KNOWN)
        self.tell((0, suite(planned)))
        self.new()

    def tell(self, *events: tuple[int, Event]) -> None:
        for envelope in enveloped(events):
            self.audience.receive(envelope)

    def new(self) -> list[str]:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text.splitlines()


def passing(number: int, seconds: float = 1) -> list[tuple[int, Event]]:
    return [(number, event) for event in conversation(check(), started=case(f"c{number}"), seconds=seconds)]


@pytest.mark.parametrize("verbose", [False, True])
def test_one_that_has_ended_waits_for_those_that_began_before_it(verbose: bool) -> None:
    told = Told(3, verbose=verbose)
    begun: list[tuple[int, Event]] = [(1, case("c1")), (1, AttemptStarted(1))]
    told.tell(*begun, *passing(2), *passing(3))
    assert (["", "▸ c1 · qwen-max · paint.yaml"] if verbose else []) == told.new()
    told.tell(*passing(1)[2:])
    names = [name for line in told.new() for name in re.findall(r"^(?:▸|✓) (c\d)", line)]
    assert (["c2", "c3"] if verbose else ["c1", "c2", "c3"]) == names


@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_is_kept_of_what_has_been_told(verbose: bool) -> None:
    told = Told(3, verbose=verbose)
    told.tell((1, case("c1")), *passing(2), *passing(3))
    view = told.terminal.view
    assert isinstance(view, Conversations | Overview)
    assert [1, 2, 3] == list(view.doing)
    if isinstance(view, Conversations):
        assert [None, None] == [view.doing[2], view.doing[3]]
    told.tell((1, CaseEnded("passed", 1)))
    assert [] == list(view.doing)


def test_a_suite_on_a_terminal_shows_how_far_it_is_and_what_is_under_way() -> None:
    told = Told(14, Look(width=60))
    told.tell(*passing(1))
    told.now = 4.0
    told.tell(*((2, each) for each in conversation(*FAILING, outcome="failed")))
    for number in range(3, 14):
        told.tell((number, case("返金の相談とその後の配送状況の確認と" * (number % 2) + f"c{number}", steps=3)))
    told.tell((3, AttemptStarted(1)), (3, StepStarted(2, "", 5, ())), (3, OperationStarted("wait", 2)))
    told.tell((4, AttemptStarted(2)), (4, OperationStarted("create_assistant", 0)), (5, StepStarted(1, "", 5, ())))
    told.now = 6.5
    assert [
        "",
        "  2 of 14 done · 1 passed · 1 failed · 0 errors",
        "  about 39 s left",
        "  ⠴ 返金の相談とその後の配送状… · step 2 of 3 · wait · 2.5 s",
        "  ⠴ c4 · attempt 2 · create assistant · 2.5 s",
        "  ⠴ 返金の相談とその後の配送状況の確… · step 1 of 3 · 2.5 s",
        "  ⠴ c6 · 2.5 s",
        "  ⠴ 返金の相談とその後の配送状況の確認とc7 · 2.5 s",
        "  ⠴ c8 · 2.5 s",
        "  ⠴ 返金の相談とその後の配送状況の確認とc9 · 2.5 s",
        "  ⠴ c10 · 2.5 s",
        "  … and 3 more",
    ] == told.terminal.running()


def test_what_an_earlier_run_played_says_nothing_about_the_time_left() -> None:
    told = Told(5)
    for number in (1, 2):
        for envelope in enveloped(passing(number)):
            told.audience.receive(replace(envelope, time=1.0))
    told.now = 2.0
    told.tell(*passing(3))
    assert ["", "  3 of 5 done · 3 passed · 0 failed · 0 errors"] == told.terminal.running()
    told.tell(*passing(4))
    assert ["", "  4 of 5 done · 4 passed · 0 failed · 0 errors · about 1 s left"] == told.terminal.running()


def test_a_conversation_tried_again_is_at_its_beginning() -> None:
    told = Told(2)
    told.tell((1, case(steps=2)), (1, AttemptStarted(1)), (1, StepStarted(2, "", 5, ())), (1, OperationStarted("wait", 2)))
    told.tell((1, AttemptStarted(2)))
    assert ["  ⠋ paint · attempt 2 · 0.0 s"] == told.terminal.running()[2:]


@pytest.mark.parametrize("width", [40, 60, 90, 120])
@pytest.mark.parametrize("outcome", ["passed", "failed", "flaky", "skipped"])
def test_a_conversation_takes_one_row_of_a_terminal(width: int, outcome: str) -> None:
    row = Summary(
        case=1,
        path="workflows/店/注文の取り消し.yaml",
        label="animal=猫",
        title="返金の相談 [animal=猫]",
        tags=(),
        target="elsewhere",
        model="qwen-plus",
        outcome=outcome,
        seconds=71.2,
        line=12,
        headline="because",
        attempts=11,
        retries=10,
        http_retries=3,
        checks=12,
        checks_failed=int(outcome == "failed"),
        images=0,
        input_tokens=10,
        output_tokens=10,
        total_tokens=12345,
        left=(),
        kept=(),
    )
    drawn = line(row, Painter(Look(animated=True, width=width)), case())
    assert cells(drawn) <= width
    assert "返金の相談" in drawn
    whole = line(row, Painter(Look(width=width)), case())
    assert whole.startswith(f"{drawn[0]} 返金の相談 [animal=猫] · workflows/店/注文の取り消し.yaml")
    assert "12345 tokens" in whole


def test_lines_that_come_fast_are_printed_together() -> None:
    told = Told(5, Look(animated=True))
    printed: list[list[str]] = []
    told.terminal.screen.print = lambda lines: printed.append(list(lines))  # type: ignore[method-assign]
    try:
        for number in (1, 2, 3):
            told.now += 0.01
            told.tell(*passing(number))
        told.now += 0.2
        told.tell(*passing(4))
    finally:
        told.terminal.close()
    assert [["c1"], ["c2", "c3"], ["c4"]] == [
        re.findall(r"✓ (c\d)", "\n".join(lines)) for lines in printed if "✓" in "".join(lines)
    ]


FAILING = (StepStarted(1, "", 5, ("Draw a cat.",)), check("failed"), StepEnded(1, "failed", 1))


def test_after_a_hundred_in_full_the_others_get_a_line() -> None:
    cases = {n: conversation(*FAILING, outcome="failed", started=case(f"c{n}")) for n in range(1, 104)}
    events = [(n, each) for n, happened in cases.items() for each in happened]
    lines = plain(enveloped([(0, suite(103)), *events, (0, SuiteEnded(1))])).splitlines()
    assert 100 == len([each for each in lines if "✗ failed · 1 of 1 check not passed" in each])
    assert [f"✗ c{n} · paint.yaml:7: the reply does not contain this text [contains]" for n in (101, 102, 103)] == [
        each for each in lines if "paint.yaml:7: " in each and each.startswith("✗")
    ]


def test_what_was_kept_is_named_a_line_each_with_its_conversation_up_to_a_number() -> None:
    def kept_by(n: int) -> list[tuple[int, Event]]:
        ended = AttemptEnded("passed", 1, "", kept=(f"asst_{n}", f"thread_{n}"))
        return [(n, each) for each in (case(f"c{n}"), AttemptStarted(1), ended, CaseEnded("passed", 1))]

    for count, more in ((3, []), (12, ["    · … and 4 more"])):
        played = [each for n in range(1, count + 1) for each in kept_by(n)]
        lines = plain(enveloped([(0, replace(suite(count), simulated=False)), *played, (0, SuiteEnded(1))])).splitlines()
        at = lines.index("! kept at the service:")
        named = [f"    · {kind}_{n} · c{n}" for n in range(1, count + 1) for kind in ("asst", "thread")][:20]
        expected = [*named, *more, "  `runflow clean --all` deletes them", ""]
        assert expected == lines[at + 1 : at + 1 + len(expected)]


def test_why_a_run_ended_early_is_said_also_when_nothing_is_left() -> None:
    ended = SuiteEnded(1, 0, "the budget of 100 calls is used up")
    lines = plain(enveloped([(0, suite(2)), *passing(1), *passing(2), (0, ended)])).splitlines()
    assert "! the budget of 100 calls is used up" in lines


@given(st.text(st.sampled_from("ab 猫ｶé—\u0301"), max_size=80), st.integers(4, 30))
def test_rows_fit_their_room_and_lose_nothing(text: str, room: int) -> None:
    found = list(rows(text, room))
    assert all(cells(row) <= room for row in found)
    assert text.replace(" ", "") == "".join(found).replace(" ", "")


def test_rows_break_at_spaces_and_count_cells() -> None:
    assert ["the quick", "brown fox"] == list(rows("the quick brown fox", 11))
    assert ["猫の絵を", "描く"] == list(rows("猫の絵を描く", 9))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0034, "3 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
    ],
)
def test_durations_are_easy_to_read(seconds: float, words: str) -> None:
    assert words == duration(seconds)
