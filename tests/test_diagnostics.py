"""The drawing of a diagnostic: carets where the terminal shows what is wrong, and nothing raw from the file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.diagnostics import Diagnostic, Problems, Related, Severity, Span, cells, render, to_json


def found(
    span: Span | None, hint: str | None = None, message: str = "wrong", severity: Severity = Severity.ERROR
) -> Diagnostic:
    return Diagnostic("some-code", message, "flow.yaml", span, hint=hint, severity=severity)


def drawn(line: str, begin: int, end: int, hint: str | None = None) -> list[str]:
    """The rows of the source and of the carets; columns count from 1."""
    _header, _bar, *rows = render(found(Span(1, begin, 1, end), hint), [line]).split("\n")
    return rows


def test_carets_stand_below_the_smallest_wrong_thing_with_the_hint_beside() -> None:
    lines = ["a: b", "", "", "", "  modle: qwen-max"]
    diagnostic = Diagnostic(
        "unknown-key", "unknown key `modle` in `assistant`", "paint.yaml", Span(5, 3, 5, 8), hint="did you mean `model`?"
    )
    assert (
        render(diagnostic, lines)
        == """\
paint.yaml:5:3: unknown key `modle` in `assistant` [unknown-key]
  |
5 |   modle: qwen-max
  |   ^^^^^ did you mean `model`?"""
    )


def test_the_gutter_is_as_wide_as_the_largest_line_number() -> None:
    diagnostic = Diagnostic(
        "duplicate-key",
        "the key `b` is written twice",
        "f.yaml",
        Span(100, 1, 100, 2),
        hint="keep one\nof the two",
        related=(Related(Span(9, 2, 9, 3), "first written here"),),
    )
    assert (
        render(diagnostic, ["x: y"] * 8 + [" b: 1"] + ["x: y"] * 90 + ["b: 2"])
        == """\
f.yaml:100:1: the key `b` is written twice [duplicate-key]
    |
100 | b: 2
    | ^
    = keep one
      of the two
    |
  9 |  b: 1
    |  - first written here"""
    )


def test_expected_and_actual_stand_in_rows() -> None:
    diagnostic = Diagnostic(
        "contains",
        "the reply does not contain this text",
        "paint.yaml",
        Span(11, 19, 11, 26),
        notes=(("expected", '"ragdoll"'), ("actual", '"Here is your\ntabby."')),
    )
    assert (
        render(diagnostic, [""] * 10 + ["      - contains: ragdoll"])
        == """\
paint.yaml:11:19: the reply does not contain this text [contains]
   |
11 |       - contains: ragdoll
   |                   ^^^^^^^
   | expected  "ragdoll"
   | actual    "Here is your
   |           tabby.\""""
    )


@pytest.mark.parametrize(
    ("line", "begin", "end", "carets"),
    [
        ("user: cat", 7, 10, "      ^^^"),
        ("user：猫", 5, 6, "    ^^"),
        ("ユーザー: 猫の絵", 7, 10, "          ^^^^^^"),
        ("用户: “猫” x", 9, 10, "           ^"),
        ("한국어: x", 6, 7, "        ^"),
        ("ｱｲ: x", 5, 6, "    ^"),
        ("e\u0301te\u0301: x", 8, 9, "     ^"),
        ("か\u3099: x", 5, 6, "    ^"),
        ("🐈: x", 4, 5, "    ^"),
        ("a\tb: x", 3, 4, "     ^"),
        ("\tb: x", 1, 2, "^^^^"),
        ("a\x1b[31mb", 2, 3, " ^^^^^^"),
        ("a\u202eb", 3, 4, "       ^"),
        ("a", 1, 1, "^"),
        ("a", 2, 2, " ^"),
        ("a", 9, 12, " ^"),
        ("", 1, 1, "^"),
    ],
)
def test_carets_count_terminal_cells(line: str, begin: int, end: int, carets: str) -> None:
    source, below = drawn(line, begin, end)
    assert f"  | {carets}" == below
    assert "1 |" == source[:3]


def test_control_and_bidi_characters_are_spelled_out() -> None:
    evil = "a\x1b]8;;x\x07b\u202ec\x9bd\re\x00"
    diagnostic = Diagnostic(
        evil, evil, evil, Span(1, 1, 1, 3), hint=evil, related=(Related(Span(1, 1, 1, 2), evil),), notes=((evil, evil),)
    )
    text = render(diagnostic, [evil])
    assert [] == [char for char in text if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160 or char == "\u202e")]
    assert 9 == text.count("\\u202e")


@given(st.text(), st.text(), st.text(), st.integers(1, 30), st.integers(1, 30))
def test_no_text_reaches_the_terminal_raw(line: str, message: str, hint: str, begin: int, end: int) -> None:
    text = render(found(Span(1, begin, 1, end), hint, message), [line])
    assert [] == [
        char for char in text if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u202e")
    ]
    assert text.count("\n") <= 4 + hint.count("\n") + len(hint.splitlines())


def test_a_span_of_several_lines_is_marked_on_its_first() -> None:
    text = render(found(Span(1, 4, 3, 2), "close it"), ["a: [b,  ", "c,", "d"])
    assert "1 | a: [b,\n  |    ^^^ close it" == "\n".join(row.rstrip() for row in text.split("\n")[2:])


def test_a_long_line_is_cut_around_its_carets() -> None:
    source, below = drawn("x" * 500_000 + "WRONG" + "y" * 500_000, 500_001, 500_006)
    assert f"1 | …{'x' * 60}WRONG{'y' * 54}…" == source
    assert f"  | {' ' * 61}^^^^^" == below
    source, below = drawn("ab" + "y" * 1000, 1, 3)
    assert (f"1 | ab{'y' * 118}…", "  | ^^") == (source, below)
    source, below = drawn("猫" * 1000 + "犬", 1001, 1002)
    assert (f"1 | …{'猫' * 30}犬", f"  | {' ' * 61}^^") == (source, below)


def test_a_long_caret_and_a_long_hint_stay_within_reason() -> None:
    source, below, hint = drawn("x" * 1000, 1, 1001, "h" * 100)
    assert (f"1 | {'x' * 120}…", f"  | {'^' * 120}", f"  = {'h' * 100}") == (source, below, hint)
    _source, below = drawn("x" * 40, 1, 41, "h" * 79)
    assert f"  | {'^' * 40} {'h' * 79}" == below
    _source, below, hint = drawn("x" * 40, 1, 41, "h" * 80)
    assert (f"  | {'^' * 40}", f"  = {'h' * 80}") == (below, hint)


def test_combining_characters_without_end_are_cut() -> None:
    source, _below = drawn("a" + "\u0301" * 100_000, 1, 2)
    assert len(source) < 1000


def test_without_a_place_or_without_lines_header_and_hint_remain() -> None:
    assert "flow.yaml: wrong [some-code]\n  = do this" == render(found(None, "do this"), [])
    assert "flow.yaml:7:1: wrong [some-code]\n  = do this" == render(found(Span(7, 1, 7, 2), "do this"), ["one line"])
    assert "flow.yaml: wrong [some-code]" == render(found(None), [])


def test_a_warning_says_so() -> None:
    text = render(found(Span(1, 1, 1, 2), severity=Severity.WARNING), ["a"])
    assert "flow.yaml:1:1: warning: wrong [some-code]\n  |\n1 | a\n  | ^" == text


def test_colour_adds_nothing_but_colour() -> None:
    import re

    diagnostic = Diagnostic("code", "wrong", "f", Span(1, 1, 1, 2), hint="h", related=(Related(Span(1, 1, 1, 2), "r"),))
    coloured = render(diagnostic, ["ab"], colour=True)
    assert "\x1b[1;31m^ h\x1b[0m" in coloured
    assert render(diagnostic, ["ab"]) == re.sub(r"\x1b\[[0-9;]*m", "", coloured)


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("猫a", 3), ("e\u0301", 1), ("👩\u200d", 2)])
def test_cells(text: str, width: int) -> None:
    assert width == cells(text)


def test_json_holds_the_same() -> None:
    diagnostic = Diagnostic(
        "code", "wrong", "f.yaml", Span(1, 2, 3, 4), hint="do", related=(Related(Span(5, 6, 7, 8), "here"),)
    )
    expected = {
        "path": "f.yaml",
        "line": 1,
        "column": 2,
        "end_line": 3,
        "end_column": 4,
        "code": "code",
        "severity": "error",
        "message": "wrong",
        "hint": "do",
        "related": [{"line": 5, "column": 6, "end_line": 7, "end_column": 8, "message": "here"}],
    }
    assert expected == json.loads(json.dumps(to_json(diagnostic)))
    assert (None, None) == (to_json(found(None))["line"], to_json(found(None))["hint"])


def test_problems_say_what_was_found() -> None:
    problems = Problems([found(None, message="one"), found(None, message="two")], ["a", "b"])
    assert ("one\ntwo", 2, ("a", "b")) == (str(problems), len(problems.diagnostics), problems.lines)
