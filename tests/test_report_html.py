"""The HTML page: whole, inert, readable without its script, and asking nobody for anything."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings

from runner import words
from runner.clean import Redactor
from runner.embedded.picture import draw
from runner.events import (
    AnswerReceived,
    AttemptEnded,
    AttemptStarted,
    Called,
    CaseEnded,
    CaseStarted,
    CheckEnded,
    Envelope,
    Event,
    FunctionAnswered,
    ImageSaved,
    OperationEnded,
    Retried,
    StepEnded,
    StepStarted,
    SuiteEnded,
    SuiteStarted,
    Warned,
)
from runner.report import Fold
from runner.reporters import Audience, Raw, Stream, html, open_reporter
from tests.report_fixtures import (
    NAUGHTY,
    NOTHING_KNOWN,
    QUICK,
    STREAMS,
    case,
    conversation,
    enveloped,
    kept,
    streams,
    suite,
    told,
)

VOID = {"meta", "link", "img", "input"}
KNOWN = {"http-equiv", "content", "charset", "name", "rel", "href", "class", "id", "lang", "dir", "open", "hidden", "role"} | {
    *("src", "alt", "width", "height", "loading", "decoding", "tabindex", "type", "value", "datetime", "x", "viewbox"),
    *("preserveaspectratio", "aria-hidden", "data-state", "data-words"),
}
ENDED = SuiteEnded(5)
FLOW = """\
assistant:
  model: qwen-max
steps:
  - user: Draw a cat.
    expect:
      - contains: ragdoll
"""


class Parsed(HTMLParser):
    """A page as its elements: (name, attributes, the text within, the names of what it stands in)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], list[str], tuple[str, ...]]] = []
        self.open: list[int] = []
        self.feed(page)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        inside = tuple(self.found[each][0] for each in self.open)
        self.found.append((tag, {name: value or "" for name, value in attrs}, [], inside))
        if tag not in VOID:
            self.open.append(len(self.found) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self.open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self.open:
            self.found[place][2].append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def all(self, name: str, class_: str = "") -> list[str]:
        """The texts of the elements with that name and class."""
        wanted = set(class_.split())
        return [
            "".join(text)
            for tag, attributes, text, _inside in self.found
            if tag == name and wanted <= set(attributes.get("class", "").split())
        ]

    def attributes(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes, _text, _inside in self.found if tag == name]


def written(envelopes: Iterable[Envelope]) -> str:
    """The page as a run writes it to standard output."""
    return told(lambda stream, fold: html.Page(Stream(stream), fold), envelopes)


def page_of(envelopes: Sequence[Envelope], path: Path, redactor: Redactor = NOTHING_KNOWN) -> str:
    """The page as a run leaves it in a file."""
    fold = Fold()
    reporter = open_reporter("html", str(path), fold, redactor.redact)
    audience = Audience(fold, [reporter], redactor)
    for envelope in envelopes:
        audience.receive(envelope)
    reporter.close()
    return path.read_text("utf-8")


def shown(*played: Sequence[Event], ended: SuiteEnded = ENDED, simulated: bool = False) -> str:
    """The page of these conversations."""
    numbered = [(number, event) for number, events in enumerate(played, 1) for event in events]
    envelopes = enveloped([(0, suite(len(played), simulated=simulated)), *numbered, (0, ended)])
    return written(envelopes)


def step(*during: Event, number: int = 1, outcome: str = "passed", reason: str = "", user: str = "Draw a cat.") -> list[Event]:
    return [StepStarted(number, "", 4, (user,)), *during, StepEnded(number, outcome, 1, reason)]


def answer(text: str, *calls: Called, number: int = 1) -> AnswerReceived:
    return AnswerReceived(number, text, "completed", calls, 0, 1.5, 1200, 34, 1234)


def failed(line: int = 6) -> CheckEnded:
    return CheckEnded(
        1, "contains", "failed", line, 19, line, 26, "the reply does not contain this text", '"ragdoll"', '"tabby"'
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a flow and two pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paint.yaml").write_text(FLOW, "utf-8")
    (tmp_path / "cat.png").write_bytes(draw("a cat"))
    (tmp_path / "dog.png").write_bytes(draw("a dog"))
    return tmp_path


def pictured(*paths: str) -> list[Event]:
    return conversation(
        *step(answer("Here."), *(ImageSaved(1, "https://oss.example/x.png?Signature=s", path) for path in paths))
    )


def flaky() -> list[Event]:
    first = [AttemptStarted(1), *step(answer("A dog."), failed(), outcome="failed"), AttemptEnded("failed", 1)]
    second = [AttemptStarted(2), *step(answer("A ragdoll.")), AttemptEnded("passed", 1)]
    return [case(), *first, *second, CaseEnded("flaky", 2)]


# ── a page ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", STREAMS)
def test_every_kept_stream_is_a_whole_page(name: str) -> None:
    page = written(kept(name))
    parsed = Parsed(page)
    assert page.startswith("<!doctype html>\n<html lang=")
    assert 1 == len(parsed.all("h1"))
    assert not {name for _tag, attributes, _text, _inside in parsed.found for name in attributes} - KNOWN


@settings(QUICK, suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_whatever_is_told_the_page_is_whole_and_nothing_in_it_is_markup(envelopes: list[Envelope]) -> None:
    page = written(envelopes)
    parsed = Parsed(page)
    assert {"script"} == {tag for tag, *_rest in parsed.found if tag in {"script", "iframe", "object", "embed", "form", "base"}}
    assert 1 == len(parsed.all("script"))
    assert not {name for _tag, attributes, _text, _inside in parsed.found for name in attributes} - KNOWN
    assert not [char for char in page if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\u200b]", page)


@pytest.mark.parametrize("naughty", [text for text in NAUGHTY if text.strip()], ids=ascii)
def test_naughty_text_is_inert_wherever_it_stands(naughty: str, here: Path) -> None:
    """With a plain word in its place the page has the same elements with the same attributes."""

    def everywhere(word: str) -> list[tuple[str, list[str]]]:
        call = Called(word, word, word, word)
        check = CheckEnded(1, word, "failed", 6, 19, 6, 26, word, word, word)
        events: list[Event] = [
            CaseStarted("paint.yaml", word, word, (word,), word, word, 3),
            AttemptStarted(1),
            OperationEnded(word, 0, "error", 1, word, word, word),
            Retried(1, word, 2, 1, word),
            StepStarted(1, word, 4, (word, word)),
            FunctionAnswered(1, word, word, word, word, word, 1, word),
            AnswerReceived(1, word, word, (call,), 1, 1, None, None, None),
            ImageSaved(1, word, word),
            ImageSaved(1, word, "", word),
            check,
            Warned(1, word),
            StepEnded(1, "error", 1, f"{word}!"),
            AttemptEnded("error", 1, f"{word}?", (word,), (word,)),
            CaseEnded("error", 1, f"{word}?"),
        ]
        started = SuiteStarted(word, word, word, word, 1, False)
        page = written(enveloped([(0, started), *((1, event) for event in events), (0, SuiteEnded(1, 0, word))]))
        return [(tag, sorted(attributes)) for tag, attributes, _text, _inside in Parsed(page).found]

    assert everywhere("plain") == everywhere(naughty)


def test_the_policy_names_the_very_style_and_script_that_stand_in_the_page() -> None:
    page = shown(conversation())
    policy = next(each["content"] for each in Parsed(page).attributes("meta") if "http-equiv" in each)
    hashes = [
        "sha256-"
        + base64.b64encode(hashlib.sha256(re.findall(f"<{name}>(.*?)</{name}>", page, re.S)[0].encode()).digest()).decode()
        for name in ("style", "script")
    ]
    assert (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self'; "
        f"style-src '{hashes[0]}'; script-src '{hashes[1]}'"
    ) == policy
    assert "style=" not in page
    assert not re.search(r"\son[a-z]+=", page)


def test_the_page_asks_nobody_for_anything(here: Path) -> None:
    markdown = "![cat](https://model.example/cat.png) [go](javascript:alert(1)) <img src=//model.example/x>"
    page = shown(conversation(*step(answer(markdown))), pictured("cat.png"), pictured("gone.png"))
    addresses = [
        attributes[name]
        for _tag, attributes, _text, _inside in Parsed(page).found
        for name in ("src", "href")
        if name in attributes
    ]
    assert {"#conversations", "data:image"} == {address.partition("/")[0] for address in addresses}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", page)
    assert markdown in Parsed(page).all("div", "bubble assistant")[0]


def test_the_language_of_the_page_is_that_of_its_sentences() -> None:
    words.choose("ja")
    try:
        assert '<html lang="ja">' in shown(conversation())
    finally:
        words.choose("en")
    assert '<html lang="en">' in shown(conversation())


def test_headings_go_down_by_one() -> None:
    levels = [
        int(tag[1])
        for tag, *_rest in Parsed(shown(conversation(*step(answer("Here."))), flaky())).found
        if re.fullmatch(r"h\d", tag)
    ]
    assert 1 == levels[0]
    assert all(after <= before + 1 for before, after in pairwise(levels))


# ── its top ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_top_says_what_it_came_to(here: Path) -> None:
    page = shown(
        conversation(*step(answer("A ragdoll."))),
        conversation(*step(answer("A tabby."), failed(), outcome="failed"), outcome="failed"),
        ended=SuiteEnded(93.4, 2, "stopped by Ctrl-C"),
        simulated=True,
    )
    parsed = Parsed(page)
    assert ["1 of 2 conversations did not pass"] == parsed.all("h1")
    assert ["1 passed", "1 failed"] == parsed.all("li", "passed")[:1] + parsed.all("li", "failed")[:1]
    assert ["2 flows: 1 passed, 0 flaky, 1 failed, 0 errors, 0 skipped; 1 check; 0 retries"] == parsed.all("p", "line")
    assert [
        "ended early: stopped by Ctrl-C",
        "no model answers here: a pass checks the flow, not a model",
        "none of the conversations is like that",
    ] == parsed.all("p", "note")
    assert dict(zip(parsed.all("dt"), parsed.all("dd"), strict=True)) == {
        "target": "embedded",
        "why there": "named by --target",
        "model": "qwen-max",
        "began": "2026-11-23 13:13:42 UTC",
        "took": "1 min 33 s",
        "tokens": "2,468: 2,400 in, 68 out",
        "checks": "1 of 1 not passed",
        "exit code": "130",
        "expected": '"ragdoll"',
        "actual": '"tabby"',
    }
    assert ["2026-11-23T13:13:42Z"] == [each["datetime"] for each in parsed.attributes("time")]


@pytest.mark.parametrize(
    ("played", "sentence"),
    [
        ([conversation()], "every conversation passed"),
        ([conversation(), flaky()], "1 of 2 conversations passed only when tried again"),
        ([conversation(outcome="skipped", reason="later")], "no conversation was played"),
        ([[case(), CaseEnded("not_run", 0, "out of budget")]], "1 of 1 conversations did not pass"),
    ],
)
def test_the_heading_is_the_verdict_on_all(played: list[list[Event]], sentence: str) -> None:
    assert [sentence] == Parsed(shown(*played)).all("h1")


def test_what_did_not_pass_is_listed_first_with_links_to_it() -> None:
    parsed = Parsed(shown(conversation(), conversation(*step(failed(), outcome="failed"), outcome="failed"), flaky()))
    entries = [text for text in parsed.all("li") if re.search(r"paint\.yaml:\d+(?!:)\D", f"{text} ")]
    assert [
        "failedpaintpaint.yaml:6the reply does not contain this text [contains]",
        "flakypaintpaint.yaml:4",
    ] == entries
    assert ["#conversations", "#c2", "#c3"] == [each["href"] for each in parsed.attributes("a")]
    assert {"c1", "c2", "c3"} <= {each.get("id") for each in parsed.attributes("div")}


def test_conversations_that_were_never_begun_are_counted() -> None:
    page = written(enveloped([(0, suite(3)), *((1, event) for event in conversation()), (0, SuiteEnded(1, 15))]))
    assert "2 conversations were never begun" in Parsed(page).all("p", "note")


# ── a conversation ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_conversation_reads_from_top_to_bottom(here: Path) -> None:
    call = Called("get_order", '{"order":  1}', '{"status": "lost"}', "`order_id` is missing")
    parsed = Parsed(
        shown(
            conversation(
                OperationEnded("create_assistant", 0, "passed", 0.2, "asst_1", "7f0c"),
                Warned(0, "an echo differs"),
                *step(
                    answer("It is lost.\n\n**Sorry.**", call),
                    failed(),
                    CheckEnded(1, "calls", "passed", 7, 1, 7, 2),
                    outcome="failed",
                ),
                Retried(1, "create_run", 2, 1.5, "429 Throttling"),
                outcome="failed",
                started=CaseStarted("paint.yaml", "paint", "animal=cat", ("smoke", "日本語"), "dashscope", "qwen-max", 3),
            )
        )
    )
    assert [
        "failedpaint [animal=cat]smoke日本語1,234 tokens1.0 spaint.yaml:6the reply does not contain this text [contains]",
        'get_order {"order": 1}',
        "1 operation",
    ] == parsed.all("summary")
    assert ["userDraw a cat."] == parsed.all("div", "bubble user")
    assert ["assistantIt is lost.\n\n**Sorry.**"] == parsed.all("div", "bubble assistant")
    assert ['get_order {"order": 1}arguments{"order": 1}output{"status": "lost"}'] == parsed.all("details", "call")
    assert [
        "warning: an echo differs",
        "`order_id` is missing",
        "create run, attempt 2 after 1.5 s: 429 Throttling",
        "steps 2–3 were not run",
    ] == parsed.all("p", "said")
    assert [
        'contains the reply does not contain this text paint.yaml:6:196- contains: ragdollexpected"ragdoll"actual"tabby"calls'
    ] == parsed.all("ul", "checks")
    assert ["ragdoll"] == parsed.all("mark")
    assert ["create assistant 200 ms · asst_1 · request 7f0c"] == parsed.all("li")[-1:]


def test_failures_are_unfolded_and_passes_are_not() -> None:
    wrong = conversation(*step(failed(), outcome="failed"), outcome="failed")
    assert [("passed", False), ("failed", True)] == folds(shown(conversation(), wrong))
    assert [("failed", False)] * 21 == folds(shown(*[wrong] * 21))


def folds(page: str) -> list[tuple[str, bool]]:
    return [(each["data-state"], "open" in each) for each in Parsed(page).attributes("details") if "data-state" in each]


def test_each_attempt_has_its_fold_and_the_deciding_one_is_open() -> None:
    parsed = Parsed(shown(flaky()))
    attempts = [each for each in parsed.attributes("details") if each.get("class") == "attempt"]
    assert [False, True] == ["open" in each for each in attempts]
    assert ["failedattempt 1 of 21.0 s", "passedattempt 2 of 21.0 s"] == [
        text for text in parsed.all("summary") if "attempt" in text
    ]
    assert ["assistantA dog.", "assistantA ragdoll."] == parsed.all("div", "bubble assistant")


def test_of_a_repeated_conversation_the_page_says_how_many_must_pass() -> None:
    started = CaseStarted("paint.yaml", "paint", "", (), "dashscope", "qwen-max", 1, 3, 2)
    attempts = [event for number in (1, 2, 3) for event in (AttemptStarted(number), *step(), AttemptEnded("passed", 1))]
    parsed = Parsed(shown([started, *attempts, CaseEnded("passed", 3)]))
    assert ["dashscope · qwen-max · 2 of 3 attempts must pass"] == parsed.all("p", "about")


def test_why_there_is_no_verdict_is_said_once() -> None:
    reason = "POST /threads/t1/runs answered 429"
    page = shown(
        conversation(
            *step(OperationEnded("create_run", 1, "error", 1, message=reason), outcome="error", reason=reason),
            outcome="error",
            reason=reason,
        )
    )
    assert [f"create run: {reason}"] == Parsed(page).all("p", "said")


def test_what_stays_at_the_service_is_named_where_it_was_made_and_at_the_top() -> None:
    ended = AttemptEnded("error", 1, "lost", ("asst_9",), ("thread_1",))
    parsed = Parsed(shown([case(), AttemptStarted(1), ended, CaseEnded("error", 1, "lost")]))
    sentences = ["left at the service: asst_9", "kept at the service: thread_1"]
    assert sentences == parsed.all("p", "note")[:2]
    assert ["lost", *sentences] == parsed.all("p", "said")


def test_a_conversation_that_was_not_begun_says_why() -> None:
    assert ["out of budget"] == Parsed(shown([case(), CaseEnded("not_run", 0, "out of budget")])).all("p", "said")


def test_the_line_of_a_flow_that_is_gone_is_left_out(here: Path) -> None:
    (here / "paint.yaml").unlink()
    parsed = Parsed(shown(conversation(*step(failed(), outcome="failed"), outcome="failed")))
    assert [] == parsed.all("div", "yaml")
    assert "paint.yaml:6:19" in parsed.all("code")


def test_a_very_long_line_is_cut_around_what_is_marked(here: Path) -> None:
    (here / "long.yaml").write_text("# " + "x" * 5000 + "MARKED" + "y" * 5000 + "\na: 1\n", "utf-8")
    check = CheckEnded(1, "contains", "failed", 1, 5003, 1, 5009, "no")
    started = case(path="long.yaml")
    parsed = Parsed(shown(conversation(*step(check, outcome="failed"), outcome="failed", started=started)))
    assert ["1…" + "x" * 300 + "MARKED" + "y" * 300 + "…"] == parsed.all("div", "yaml")


# ── without the script ───────────────────────────────────────────────────────────────────────────────────────────────


def test_without_the_script_there_is_no_filter_and_nothing_else_is_hidden() -> None:
    page = shown(conversation(*step(answer("Here."))), conversation(outcome="skipped", reason="later"))
    hidden = [attributes.get("id") for _tag, attributes, _text, _inside in Parsed(page).found if "hidden" in attributes]
    assert ["filter", "none"] == hidden


def test_the_filter_offers_the_states_and_tags_there_are() -> None:
    tagged = conversation(started=CaseStarted("a.yaml", "a", "", ("smoke", "<b>"), "dashscope", "qwen-max", 0))
    parsed = Parsed(shown(tagged, conversation(outcome="skipped", reason="later")))
    assert ["passed", "skipped"] == [each["value"] for each in parsed.attributes("input") if each["type"] == "checkbox"]
    assert ["any tag", "<b>", "smoke"] == parsed.all("option")


def test_every_id_the_script_looks_for_stands_in_the_page() -> None:
    page = shown(conversation(started=CaseStarted("a.yaml", "a", "", ("smoke",), "dashscope", "qwen-max", 0)))
    wanted = set(re.findall(r'by\("(\w+)"\)', html.asset("html.js")))
    assert {"filter", "tag", "text", "shown", "none", "unfold", "fold"} == wanted
    assert wanted <= {attributes.get("id") for _tag, attributes, _text, _inside in Parsed(page).found}


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_in_the_page_as_it_was_saved(here: Path) -> None:
    parsed = Parsed(shown(pictured("cat.png")))
    (image,) = parsed.attributes("img")
    assert ("512", "512", "picture 1 of step 1") == (image["width"], image["height"], image["alt"])
    scheme, _comma, data = image["src"].partition(",")
    assert "data:image/png;base64" == scheme
    assert (here / "cat.png").read_bytes() == base64.b64decode(data)
    assert parsed.all("figcaption")[0].startswith("cat.png · PNG, 512 x 512 · ")


def test_pictures_beyond_the_limit_lie_beside_the_page(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html.Page, "room", (here / "cat.png").stat().st_size)
    envelopes = list(enveloped([(0, suite(2)), *((1, each) for each in pictured("cat.png", "dog.png")), (0, SuiteEnded(1))]))
    parsed = Parsed(page_of(envelopes, here / "my report #1.html"))
    first, second = (each["src"] for each in parsed.attributes("img"))
    assert first.startswith("data:image/png;base64,")
    (beside,) = (here / "my report #1_files").iterdir()
    assert f"my%20report%20%231_files/{beside.name}" == second
    assert [second] == [each["href"] for each in parsed.attributes("a") if not each["href"].startswith("#")]
    assert (here / "dog.png").read_bytes() == beside.read_bytes()


def test_a_page_on_standard_output_says_where_the_picture_is_instead(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html.Page, "room", 0)
    parsed = Parsed(shown(pictured("cat.png")))
    assert [] == parsed.attributes("img")
    assert ["there is no room for this picture here: cat.png"] == parsed.all("p", "said")


@pytest.mark.parametrize(
    ("path", "content", "sentence"),
    [
        ("gone.png", None, "the picture is not there any more: gone.png"),
        ("folder", b"", "the picture is not there any more: folder"),
        ("page.png", b"<html><script>alert(1)</script>", "page.png: this is a web page (HTML), not a picture"),
        ("drawing.svg", b"<svg onload='alert(1)'/>", "drawing.svg: this is an SVG drawing, which is not checked"),
        ("cut.png", draw("a cat")[:60], "cut.png: the image is cut off: PNG, 60 bytes"),
    ],
    ids=["gone", "folder", "web page", "drawing", "cut off"],
)
def test_what_is_no_picture_is_not_shown(path: str, content: bytes | None, sentence: str, here: Path) -> None:
    if content == b"":
        (here / path).mkdir()
    elif content:
        (here / path).write_bytes(content)
    parsed = Parsed(shown(pictured(path)))
    assert [] == parsed.attributes("img")
    assert [sentence] == parsed.all("p", "said")


def test_a_picture_that_was_not_saved_says_why() -> None:
    image = ImageSaved(1, "https://oss.example/x.png", "", "the image has expired")
    parsed = Parsed(shown(conversation(*step(answer("Here."), image))))
    assert ["a picture that is not shown: the image has expired"] == parsed.all("p", "said")


def test_secrets_are_masked_in_the_text_and_pictures_stay_whole(here: Path) -> None:
    data = (here / "cat.png").read_bytes()
    secret = base64.b64encode(data).decode()[40:60]
    played = conversation(*step(answer(f"It is {secret}."), ImageSaved(1, "x", "cat.png")))
    envelopes = enveloped([(0, suite(1)), *((1, event) for event in played), (0, ENDED)])
    page = page_of(list(envelopes), here / "report.html", Redactor([secret]))
    assert "It is ***." in page
    (image,) = Parsed(page).attributes("img")
    assert data == base64.b64decode(image["src"].partition(",")[2])


# ── many ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_conversation_is_asked_for_at_a_time() -> None:
    """The page of 300 conversations is written while they are read: none is asked for long before it is its turn."""
    asked: list[int] = []

    class Shelf:
        kept: ClassVar[dict[int, Sequence[Envelope]]] = {}

        def put(self, case: int, envelopes: Sequence[Envelope]) -> None:
            self.kept[case] = envelopes

        def take(self, case: int) -> Sequence[Envelope]:
            asked.append(case)
            return self.kept[case]

    fold = Fold(Shelf())
    for envelope in enveloped(
        [(0, suite(300)), *((number, event) for number in range(1, 301) for event in conversation(*step(answer("Here."))))]
    ):
        fold.receive(envelope)

    lengths: list[int] = []

    class Sink:
        def write(self, text: str) -> None: ...
        def write_whole(self, pieces: Iterable[str]) -> None:
            lengths.extend(len(asked) for _ in pieces)

        def write_beside(self, name: str, data: bytes) -> str:
            return ""

        def flush(self) -> None: ...
        def close(self) -> None: ...

    html.Page(Sink(), fold).close()
    assert list(range(1, 301)) == asked
    assert max(after - before for before, after in pairwise([0, *lengths])) < 60


def test_the_markup_of_a_conversation_is_lean() -> None:
    call = Called("get_order", '{"order_id": "A-1"}', '{"status": "shipped"}')
    played = conversation(*step(answer("It was shipped.", call), CheckEnded(1, "calls", "passed", 7, 1, 7, 2)))
    few, many = (len(shown(*[played] * count)) for count in (10, 110))
    assert (many - few) / 100 < 1200


def test_pieces_that_are_no_text_are_not_joined_with_others() -> None:
    pieces = list(html.gathered([html.Html("<p>"), "a < b", Raw("AAAA"), html.Html("</p>")]))
    assert ["<p>a &lt; b", "AAAA", "</p>"] == pieces
    assert [False, True, False] == [isinstance(piece, Raw) for piece in pieces]


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def colours(dark: bool) -> dict[str, str]:
    roots = re.findall(r":root \{(.*?)\}", html.asset("html.css"), re.S)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", roots[1 if dark else 0]))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(dark: bool) -> None:
    found = colours(dark)
    states = ("passed", "failed", "error", "flaky", "skipped")
    pairs = [(text, back) for text in ("text", "soft") for back in ("page", "card", "code", "assistant")]
    pairs += [("text", "user"), ("link", "card"), ("link", "page"), ("mark-text", "mark"), *((each, "card") for each in states)]
    pairs += [(each, f"{each}-tint") for each in states]
    low = {}
    for text, back in pairs:
        lighter, darker = sorted((luminance(found[text]), luminance(found[back])), reverse=True)
        if (ratio := (lighter + 0.05) / (darker + 0.05)) < 4.5:
            low[text, back] = round(ratio, 2)
    assert {} == low


def test_escaping_depends_on_where_a_text_stands() -> None:
    escaped: Callable[..., str] = html.tag
    assert '<a href="&quot;&gt;&amp;">"&gt;&amp;\'</a>' == escaped("a", "\">&'", href='">&')
    assert "<p><b>x</b></p>" == escaped("p", html.tag("b", "x"))
