"""The Markdown report: what it says to the letter, that words of others do nothing in it, and that it stays short enough."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given
from markdown_it import MarkdownIt
from markdown_it.token import Token

from runner.events import (
    AnswerReceived,
    AttemptEnded,
    AttemptStarted,
    Called,
    CaseEnded,
    CaseStarted,
    Envelope,
    Event,
    SuiteEnded,
)
from runner.report import Report
from runner.reporters import open_reporter
from runner.reporters.markdown import COMMENT, code, document, fenced, size
from tests.report_fixtures import DATA, QUICK, STREAMS, as_is, case, check, conversation, kept, streams, told, turn, whole

READER = MarkdownIt("commonmark", {"html": True}).enable("table")
OURS = re.compile(r"</?code>|<wbr>|</details>|<details><summary>.*</summary>\n?", re.DOTALL)


def markdown(envelopes: Iterable[Envelope]) -> str:
    return told(lambda stream, fold: open_reporter("markdown", "-", fold, as_is, stream), envelopes)


def tokens(text: str) -> Iterator[Token]:
    for token in READER.parse(text):
        yield token
        yield from token.children or ()


def test_what_failed_is_in_the_table_and_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    written = markdown(kept("failed-check"))
    assert written.startswith(
        "### ✗ 1 flow: 0 passed, 0 flaky, 1 failed, 0 errors, 0 skipped; 2 checks; 0 retries\n"
        "\n"
        "runflow <code>0&#46;1&#46;0</code> · target <code>dashscope</code> (<code>DASHSCOPE&#95;API&#95;KEY is set</code>)\n"
        "\n"
        "```text\n"
        "target: dashscope · model: qwen-plus · in all 1 min 13 s\n"
        "```\n"
        "\n"
        "| | conversation | where | why |\n"
        "|---|---|---|---|\n"
        "| ✗ failed | <code>shop &#91;animal&#61;猫&#93;</code> | <code>shop&#46;yaml&#58;6</code> | "
        "<code>the reply does not contain this text &#91;contains&#93;</code> |\n"
        "\n"
        "<details><summary>✗ failed · <code>shop &#91;animal&#61;猫&#93;</code> · <code>shop&#46;yaml&#58;6</code></summary>\n"
        "\n"
        "```text\n"
        "  1 ❯ 最初の絵\n"
        "    ❯ 猫の絵を描いてください。\n"
        "      │ はい、油絵の犬をお描きしました。"
    )
    assert written.endswith(
        "      shop.yaml:6:20: the reply does not contain this text [contains]\n"
        "        |\n"
        "      6 |       - {contains: 水彩の猫, characters: under 500}\n"
        "        |                    ^^^^^^^^\n"
        '        | expected  "水彩の猫"\n'
        '        | actual    "はい、油絵の犬をお描きしました。…"\n'
        "\n"
        "  ✗ failed · 1 of 2 checks not passed · 1 min 13 s\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
    )


def test_a_pass_has_no_table_and_says_that_no_model_answered() -> None:
    text = markdown(whole(conversation(*turn(check()))))
    assert text.startswith("### ✓ 1 flow: 1 passed, 0 flaky, 0 failed, 0 errors, 0 skipped; 1 check; 0 retries\n")
    assert "\n**no model answers here: a pass checks the flow, not a model**\n" in text
    assert "|" not in text


def test_what_was_flaky_says_what_went_wrong_first() -> None:
    started = case()
    again: list[Event] = [AttemptStarted(1), *turn(check("failed")), AttemptEnded("failed", 1), AttemptStarted(2)]
    text = markdown(whole([started, *again, AttemptEnded("passed", 1), CaseEnded("flaky", 2)]))
    assert "passed at attempt 2" in text
    assert "attempt 1: the reply does not contain this text [contains]" in text


def test_what_was_not_run_says_why() -> None:
    never: list[Event] = [case("other"), CaseEnded("not_run", 0, "the budget of 5 calls is used up")]
    text = markdown(whole(conversation(*turn(check("failed"), outcome="failed"), outcome="failed"), never))
    assert "1 conversation: the budget of 5 calls is used up" in text


@pytest.mark.parametrize("name", STREAMS)
def test_every_kept_run_can_be_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    assert Report.of(kept(name)).summary_line() in markdown(kept(name))


# ── inert ────────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = (
    "![x](http://a.example/i.png) <img src=x onerror=alert(1)> </code></details><script>alert(1)</script>",
    "@octocat #12 GH-7 org/repo#3 www.a.example https://a.example a@b.example :tada: $x$ [a](javascript:b)",
    "a | b \\| c `d` ``e`` ```f``` *g* _h_ ~~i~~ &lt;j&gt; \\",
    "one\n```\n# two\n````\n</details>\n::error::three\n##[error]four\r\n\n> five",
    "\u202ereversed\u2066 \x1b[2J \u2028 end",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_others_do_nothing(text: str) -> None:
    wrong = replace(check("failed"), message=text, expected=text, actual=text, check=text)
    answer = AnswerReceived(1, text, text, (Called(text, text, text, text),), 0, 1, None, None, None)
    started = CaseStarted(text, text, text, (), "embedded", text, 1)
    written = markdown(whole(conversation(*turn(answer, wrong, outcome="failed"), outcome="failed", started=started)))
    judge(written)
    cells = [token for token in tokens(written) if token.type == "td_open"]
    assert 4 == len(cells)


def test_the_name_of_what_was_not_run_begins_no_line() -> None:
    never: list[Event] = [case("::add-mask::cat"), CaseEnded("not_run", 0, "::error::no")]
    written = markdown(whole(conversation(*turn(check())), never))
    judge(written)
    assert "    · ::add-mask::cat\n" in written


@pytest.mark.parametrize("path", ["\ud800.yaml", "a\0b.yaml", "x" * 5000 + ".yaml"])
def test_a_path_that_no_system_has_is_told_like_any_other(path: str) -> None:
    events = conversation(*turn(check("failed"), outcome="failed"), outcome="failed", started=case(path=path))
    written = markdown(whole(events))
    judge(written)
    assert 1 == written.count("<details>")


@QUICK
@given(streams())
def test_no_run_makes_anything_but_our_marks(envelopes: list[Envelope]) -> None:
    judge(markdown(envelopes))


def judge(written: str) -> None:
    """Nothing in it but our own headings, tables, folds and fences; no line that a CI service would obey."""
    found = list(tokens(written))
    assert not {token.type for token in found} & {
        "image",
        "link_open",
        "em_open",
        "code_inline",
        "blockquote_open",
        "list_item",
    }
    for token in found:
        if token.type in {"html_inline", "html_block"}:
            assert OURS.fullmatch(token.content.strip()), token.content
    for line in written.splitlines():
        assert not line.lstrip().startswith("::")
        assert not re.search(r"##(\[|vso\[)", line, re.IGNORECASE)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", written)


def test_code_reads_as_it_was_written() -> None:
    text = "a | b \\| `c` <d> @e #f & ![g](h) *i* _j_ $k$ - l, m/n: o.p"
    assert f"<code>{text}</code>" == unescape(code(text).replace("<wbr>", ""))
    assert not re.search(r"[|\\`@#!*_$\[\].:]", code(text).replace("&#", ""))


def test_no_address_of_mail_is_found_in_code() -> None:
    assert "<code>a&#64;<wbr>b&#46;example</code>" == code("a@b.example")


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert "`````text\na ```` b\n`````\n\n" == fenced(["a ```` b"], 100)


def test_a_fence_holds_whole_lines_in_the_room_it_has() -> None:
    assert "```text\none\n…\n```\n\n" == fenced(["one", "two" * 30, "three"], 60)
    assert "" == fenced(["", ""], 60)


# ── short enough ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_no_room_is_counted() -> None:
    cases = [
        conversation(*turn(check("failed"), outcome="failed"), outcome="failed", started=case(f"flow {number}" + "猫" * 40))
        for number in range(900)
    ]
    text = markdown(whole(*cases))
    assert COMMENT * 0.9 < size(text) <= COMMENT
    rows, folds = text.count("| ✗ failed |"), text.count("<details>")
    more = [int(count) for count in re.findall(r"^… and (\d+) more$", text, re.MULTILINE)]
    assert [900 - rows, 900 - folds] == more
    assert min(rows, folds) > 20


def test_words_of_others_cannot_take_all_the_room() -> None:
    text = "`" * 100_000 + "\u0301" * 100_000 + "*" * 100_000
    wrong = replace(check("failed"), message=text, expected=text, actual=text, check=text)
    started = CaseStarted(text, text, text, (), text, text, 1)
    cases = [
        conversation(*turn(wrong, outcome="failed"), outcome="failed", reason=text, started=started) for _each in range(30)
    ]
    written = markdown(whole(*cases, ended=SuiteEnded(1, reason=text)))
    judge(written)
    assert size(written) <= COMMENT


@pytest.mark.parametrize("most", [50_000, 65_536, 1_000_000])
def test_a_huge_answer_leaves_room_for_the_others(most: int) -> None:
    wrong = replace(check("failed"), actual="x" * 3_000_000)
    report = Report.of(whole(*(conversation(*turn(wrong, outcome="failed"), outcome="failed") for _each in range(3))))
    text = "".join(document(report, most))
    assert 3 == text.count("<details>")
    assert size(text) <= most
