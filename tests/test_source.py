"""Reading: what a file means, what is refused and in which words, and that no file does worse than that."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import source
from runner.diagnostics import Diagnostic, Problems, Severity, Span, render
from runner.source import Document, Node

WRONG = Path(__file__).parent / "data" / "err" / "reading"
START = "assistant:\n  model: qwen-max\nsteps:\n"


def parse(text: str) -> Document:
    return source.parse(text.encode(), "flow.yaml")


def within(node: Node, *path: str | int) -> Node:
    """The node at the end of a path of keys and indices."""
    for step in path:
        if isinstance(step, str):
            assert isinstance(node.value, dict)
            node = node.value[step]
        else:
            assert isinstance(node.value, list)
            node = node.value[step]
    return node


def value(text: str) -> object:
    return within(parse(f"key: {text}\n").root, "key").plain


def examined(data: bytes, path: str = "flow.yaml") -> tuple[tuple[Diagnostic, ...], tuple[str, ...]]:
    """What is wrong with a file, and its lines."""
    try:
        document = source.parse(data, path)
    except Problems as problems:
        return problems.diagnostics, problems.lines
    return document.findings, document.lines


def refusal(data: bytes) -> str:
    """The code of the one thing for which a file is unreadable."""
    with pytest.raises(Problems) as raised:
        source.parse(data, "flow.yaml")
    (found,) = raised.value.diagnostics
    return found.code


# ── what is wrong, in exact words ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", sorted(WRONG.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_wrong_file_is_told_in_these_words(path: Path) -> None:
    found, lines = examined(path.read_bytes(), path.name)
    expected = path.with_suffix(".out").read_text(encoding="utf-8")
    assert expected == "".join(f"{render(each, lines)}\n" for each in found)


def test_every_wrong_file_has_its_words() -> None:
    assert {path.stem for path in WRONG.glob("*.yaml")} == {path.stem for path in WRONG.glob("*.out")}
    assert len(list(WRONG.glob("*.yaml"))) >= 95


@pytest.mark.parametrize("path", sorted(WRONG.glob("*.yaml")), ids=lambda path: path.stem)
def test_writing_what_the_hint_says_removes_what_was_wrong(path: Path) -> None:
    found, lines = examined(path.read_bytes(), path.name)
    for each in found:
        written = re.search(r"write: ([^\n]*?)(?:; .*)?$", each.hint or "")
        if written is None or each.span is None:
            continue
        line = lines[each.span.line - 1]
        indent = (len(line) - len(line.lstrip())) * (2 if "\u3000" in line[:2] else 1)
        changed = [*lines]
        changed[each.span.line - 1] = " " * indent + written[1]
        again, _lines = examined("\n".join(changed).encode(), path.name)
        assert [] == [other for other in again if other.code == each.code and other.span and other.span.line == each.span.line]


# Texts as people write them, in every place where a text can stand.
HONEST = """
Draw a picture of a ragdoll cat.
Where is order 1234? It was due at 12:30.
It's 5 o'clock, isn't it?
Is 3 < 5 and 7 > 5 & 2 * 3 = 6?
Please write to anna@example.com or see https://example.com/a?b=c#d today
Use C# or F#, not C++
Ticket#12 and issue 12# are the same
50% off, 100% cotton
(in brackets) and [in others] and {these}
Costs $5, or ${price} with a variable
a/b, c\\d, e|f, ~g, ^h
Say "hello" and 'bye'
Ends with a dash -
A dash - in the middle -- or two
What?! No... yes: no
ratio 3:4, see RFC 9535:2
“Hello” is how she began, and then “bye”
The word ‘cat’ in quotes
Tabs\tinside
$.items[0].id
\\d+ digits
Nº 5, §3, ½, 20 °C, naïve café
日本語で答えてください。
猫の絵を描いて：白い猫、黒い猫
「ねこ」と『いぬ』
質問：今日は何曜日ですか？
１２３４番の注文　どこですか
“猫”という字を書いて
注文番号は＃１２です
請畫一隻貓，然後說「好」。
画一只猫：白色的，“可爱”的
他说：“你好！”
备注：明天（周五）送到；谢谢！
价格：￥100～￥200
한국어로 답해 주세요: 고양이
שלום לך
مرحبا بك
🐈 and 👩‍👩‍👧
""".strip().splitlines()
PLAIN = [text for text in HONEST if ": " not in text and not text.startswith("“Hello” is")]


@pytest.mark.parametrize("text", PLAIN)
def test_honest_text_is_read_as_it_stands(text: str) -> None:
    document = parse(
        f"{START}  - user: {text}\n    expect:\n      - contains: {text}\n      - matches: {text}\n  - user:\n      - {text}\n"
        f"    sample: {text}\n# {text}\n"
    )
    assert () == document.findings
    first, second = within(document.root, "steps", 0), within(document.root, "steps", 1)
    assert {"user": text, "expect": [{"contains": text}, {"matches": text}]} == first.plain
    assert {"user": [text], "sample": text} == second.plain


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_in_a_block_or_in_quotes_is_read_as_it_stands(text: str) -> None:
    doubled = text.replace("'", "''")
    document = parse(
        f"{START}  - user: |\n      {text}\n      #{text}\n      key:{text}\n      - {text}\n    sample: '{doubled}'\n"
    )
    assert () == document.findings
    block = f"{text}\n#{text}\nkey:{text}\n- {text}\n"
    assert {"user": block, "sample": text} == within(document.root, "steps", 0).plain


@pytest.mark.parametrize(
    "text",
    [
        "a: b # a comment",
        "a: b #",
        "a: b ## more",
        "a: 'b' #comment",
        "a: [b] #comment",
        "a: #comment\n  b: c",
        "#comment\na: b",
        "a:\n  #comment\n  b: c",
        "a: |\n  b #c",
        "tags: [team:art, urgent:yes]",
        "tags:\n  - team:art",
        "a: http://example.com",
        "variables: {time: 12:30, url: http://localhost:8000}",
        "matches: ['[0-9]', b]",
        "matches: [cat, dog]",
        "returns: {steps: [a:b], “x”: 1}",
        "json: {'$.a': 1, '$.b:c': 2}",
        'a: {"b":1,"c":[2]}',
        "- a: &x b\n- *x",
        "a: &x {b: c}",
        "expect:\n  - image\n  - calls: text_to_image",
        "tools:\n  - get_order:\n      description: x",
        "tools:\n  - text_to_image:\n  - calculator",
        'a: "\\u00e9 \\n \\t \\\\ \\x41"',
        "a: >\n  b\n",
        "a: >2\n   b\n",
        "a: -5",
        "a: -b",
    ],
)
def test_honest_yaml_has_no_findings(text: str) -> None:
    assert () == parse(text).findings


# ── what a file means ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *((word, word) for word in ("no", "No", "on", "off", "yes", "y", "n", "tRUE", "nil", "none", "None")),
        ("0", 0),
        ("-0", 0),
        ("12", 12),
        ("+12", 12),
        ("-12", -12),
        ("12345678901234567890123", 12345678901234567890123),
        ("1.10", 1.1),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        *((text, text) for text in ("0123", "00", "-01", "00.5")),
        *(
            (text, text)
            for text in ("0x1F", "0o17", "0b1", "1_000", ".inf", "-.Inf", ".nan", "1e999", ".", "+", "-a", "1.2.3", "e5")
        ),
        *((text, text) for text in ("12:30", "1:2:3", "2026-11-23", "2026-11-23T10:00:00Z", "१२", "１２")),
        ("9" * 400, "9" * 400),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("=", "="),
    ],
)
def test_a_plain_word_means(written: str, meant: object) -> None:
    found = value(written)
    assert (type(meant), meant) == (type(found), found)


def test_numbers_and_words_keep_their_spelling() -> None:
    root = parse("[1.10, +5, True, ~, 0x10, text, 'quoted', 1e3]").root
    nodes = [within(root, index) for index in range(8)]
    assert ["1.10", "+5", "True", "~", "0x10", "text", "quoted", "1e3"] == [node.spelling for node in nodes]
    assert ["", "", "", "", "", "", "'", ""] == [node.style for node in nodes]


def test_keys_keep_their_spelling() -> None:
    assert {"1.10": "a", "12:30": "b", "0123": "c", "true": "d", "名前": "e", "~": "f"} == parse(
        "1.10: a\n12:30: b\n0123: c\ntrue: d\n名前: e\n~: f\n"
    ).root.plain


def test_values_and_keys_know_their_places() -> None:
    root = parse("steps:\n  - user: 猫の絵\n    tags: [a, 'b c']\n    text: |\n      one\n      two\n  - x:\n").root
    first, last = within(root, "steps", 0), within(root, "steps", 1)
    assert Span(1, 1, 1, 6) == root.keys["steps"]
    assert Span(2, 3, 7, 7) == within(root, "steps").span
    assert (Span(2, 5, 2, 9), Span(2, 11, 2, 14)) == (first.keys["user"], within(first, "user").span)
    assert Span(3, 11, 3, 21) == within(first, "tags").span
    assert [Span(3, 12, 3, 13), Span(3, 15, 3, 20)] == [within(first, "tags", index).span for index in (0, 1)]
    assert (4, 11) == (within(first, "text").line, within(first, "text").column)
    assert Span(7, 7, 7, 7) == within(last, "x").span


def test_a_text_over_several_lines_ends_with_its_last_word() -> None:
    root = parse("a: one\n  two three\n\n  four\nb:\n  c:\n    - 12\n").root
    assert Span(1, 4, 4, 7) == within(root, "a").span
    assert Span(6, 3, 7, 9) == within(root, "b").span


def test_an_alias_shares_its_value() -> None:
    root = parse("a: &one [1, 2]\nb: *one\nc: [*one, *one]\n").root
    assert {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]} == root.plain
    assert within(root, "a") is within(root, "b")


def test_the_first_of_two_equal_keys_is_kept_and_both_are_named() -> None:
    document = parse("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n")
    assert {"a": 1, "b": {"c": 1}} == document.root.plain
    assert [(3, 2), (4, 1)] == [(each.span.line, each.related[0].span.line) for each in document.findings if each.span]
    assert {"duplicate-key"} == {each.code for each in document.findings}


def test_everything_wrong_is_found_at_once_and_in_file_order() -> None:
    document = parse("a: one #two\nb: !x c\na: d\ne: *f\ng: “h”\n")
    assert ["cut-by-comment", "tag", "duplicate-key", "unknown-alias", "full-width"] == [
        each.code for each in document.findings
    ]


def test_a_byte_order_mark_and_any_line_end_are_read() -> None:
    assert {"a": "猫", "b": 1} == source.parse("\ufeffa: 猫\r\nb: 1\r\n".encode(), "x").root.plain
    document = source.parse(b"a: 1\rb: 2", "x")
    assert ({"a": 1, "b": 2}, ("a: 1", "b: 2")) == (document.root.plain, document.lines)


@given(st.text(alphabet="abc 猫\té'\"\\#:-[]{}&*!|>%@`,?~0.\U0001f408"))
def test_a_quoted_text_is_read_exactly(text: str) -> None:
    assert [text] == parse("- '" + text.replace("'", "''") + "'\n").root.plain


TAME = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab猫 x", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc猫", min_size=1, max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.lists(TAME, min_size=1, max_size=4), st.booleans())
def test_tame_documents_mean_what_they_mean_to_others(data: object, flow: bool) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, default_flow_style=flow)
    document = parse(text)
    assert (yaml.safe_load(text), ()) == (document.root.plain, document.findings)


# ── no file does worse ───────────────────────────────────────────────────────────────────────────────────────────────


def read_whatever(data: bytes) -> None:
    found, lines = examined(data)
    for each in found[:20]:
        drawn = render(each, lines)
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", drawn) is None
        assert (each.message and each.message[0] != each.message[0].upper()) or not each.message[0].isalpha()


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_problems(data: bytes) -> None:
    read_whatever(data)


PIECES = st.sampled_from(
    [
        *"-:#[]{}&*!|>%@`,?'\"\\ \n\t~猫：－　“”\u00a0\u0301\u202e",
        *("  ", ": ", "- ", "\n  ", "\n    ", "key", "user: ", "&a", "*a", "<<: ", "---", "{{x}}", "${x}", " #x"),
        *("matches: [0-9]", "\r\n", "1.10", "!!str ", "|\n", ">\n", "? "),
    ]
)


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_mixture_of_signs_is_a_document_or_problems(text: str) -> None:
    read_whatever(text.encode())


@settings(max_examples=150)
@given(st.sampled_from(sorted(WRONG.glob("*.yaml"))), st.data())
def test_a_flow_that_is_broken_anywhere_is_a_document_or_problems(path: Path, data: st.DataObject) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(begin + 8, len(text))))
    read_whatever((text[:begin] + data.draw(PIECES) + text[end:]).encode())


MIB = 1024 * 1024


HOSTILE = {
    "brackets": (b"[" * MIB, "too-deep"),
    "braces": (b"{" * MIB, "too-deep"),
    "flow mappings": (b"{a: " * 10_000, "too-deep"),
    "lists": (b"- " * 10_000 + b"x", "too-deep"),
    "complex keys": (b"? " * 10_000 + b"x", "too-deep"),
    "block mappings": (b"".join(b" " * n + b"a:\n" for n in range(1000)), "too-deep"),
    "tabs": (b"\t" * MIB, "syntax"),
    "one word": (b"a" * MIB, "none"),
    "one quoted text": (b"'" + b"a" * (MIB - 2), "syntax"),
    "quotes": (b'"' * MIB, "syntax"),
    "keys on one line": (b"a: " * (MIB // 3), "syntax"),
    "anchors": (b"&a " * (MIB // 3), "syntax"),
    "alias": (b"*a " * (MIB // 3), "syntax"),
    "exclamation marks": (b"!" * MIB, "tag"),
    "equal keys": (b"a: b\n" * (MIB // 5), "duplicate-key"),
    "empty items": (b"-\n" * (MIB // 2), "none"),
    "aliases": (b"- &a\n" + b"- *a\n" * (MIB // 5 - 2), "too-many-aliases"),
    "too large": (b"a" * (MIB + 1), "too-large"),
    "zeros": (b"\x00" * MIB, "control-character"),
    "not text": (b"\xfe" * MIB, "not-utf-8"),
    "comments": (b"".join(b"k%d: v #x\n" % n for n in range(60_000)), "cut-by-comment"),
    "an error above brackets": (b"a: b: c\nd: " + b"[" * 500_000, "needs-quotes"),
    "an error above levels": (b"a: b: c\n" + b"".join(b" " * n + b"a:\n" for n in range(1000)), "needs-quotes"),
    "missing spaces on one line": (b"expect: [" + b"a:b, " * 200_000 + b"]", "missing-space"),
    "missing spaces in one mapping": (b"x: {" + b"".join(b"a%d:b, " % n for n in range(80_000)) + b"}", "none"),
    "tags on one line": (b"[" + b"!a b, " * 170_000 + b"]", "tag"),
    "unknown aliases on one line": (b"[" + b"*a, " * 200_000 + b"]", "unknown-alias"),
    "anchors on one line": (b"[" + b"".join(b"&a%d b, " % n for n in range(90_000)) + b"]", "needs-quotes"),
    "mappings as keys": (b"[" + b"{{a}}, " * 140_000 + b"]", "key-not-text"),
    "braces on one line": (b"[" + b"'{{', " * 150_000 + b"]", "none"),
    "one word and braces": (b"a" * 1_000_000 + b": '{{'", "syntax"),
    "spaces in front": (b"a: b: c\n" + b" " * 1_000_000 + b"x: y", "needs-quotes"),
    "spaces above": (b"- " + b" " * 1_000_000 + b"x\n y: z", "syntax"),
    "full-width signs": ("- ：\u3000“\n".encode() * 60_000, "none"),
    "an error on the last line": (b"".join(b"k%d: v\n" % n for n in range(80_000)) + b"  x: y", "bad-indentation"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_its_verdict(name: str) -> None:
    data, code = HOSTILE[name]
    found, lines = examined(data)
    assert {code} - {"none"} == {each.code for each in found}
    assert all(len(render(each, lines)) < 3000 for each in found)


@pytest.mark.parametrize("text", ["? -{{x}}", "a:\n  b: #c", "- #a", "? ", "a: #b", "-\n- !x", "!x"])
def test_a_value_behind_the_last_character_is_no_harm(text: str) -> None:
    read_whatever(text.encode())


def test_a_file_with_hundreds_of_mistakes_is_not_read_any_further() -> None:
    with pytest.raises(Problems) as raised:
        source.parse(b"a: b\n" * 5000 + b"{", "flow.yaml")
    assert ({"duplicate-key"}, 500) == ({each.code for each in raised.value.diagnostics}, len(raised.value.diagnostics))
    assert 500 == len(source.parse(b"- #b\n" * 5000, "flow.yaml").findings)


def test_aliases_may_repeat_100_000_values_and_no_more() -> None:
    row = "x: &x [" + "1, " * 999 + "1]\n"
    assert () == parse(row + "y: [" + "*x, " * 97 + "*x]\n").findings
    assert "too-many-aliases" == refusal((row + "y: [" + "*x, " * 99 + "*x]\n").encode())


def test_a_file_without_aliases_may_hold_more_values_than_that() -> None:
    assert [1] * 120_000 == parse("- 1\n" * 120_000).root.plain


@pytest.mark.parametrize(("depth", "fine"), [(64, True), (65, False)])
def test_sixty_four_levels_are_enough(depth: int, fine: bool) -> None:
    data = ("[" * depth + "]" * depth).encode()
    if fine:
        assert () == source.parse(data, "x").findings
    else:
        assert "too-deep" == refusal(data)


def test_without_libyaml_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert "no-libyaml" == refusal(b"a: b")


def test_importing_the_reader_loads_nothing_heavy() -> None:
    heavy = "{'asyncio', 'httpx', 'jsonschema', 'rich', 'sqlite3', 'regex', 'runner.mistakes'}"
    script = f"import sys, runner.source; print(sorted(sys.modules.keys() & {heavy}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def opening(path: Path, limit: int = 100, suffixes: tuple[str, ...] | None = (".yaml", ".yml")) -> str:
    """How a refusal to open is drawn."""
    with pytest.raises(Problems) as raised:
        source.open_bytes(path, limit, suffixes, "shown.yaml")
    (found,) = raised.value.diagnostics
    return render(found, raised.value.lines)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "flow.YAML"
    path.write_bytes(b"x" * 100)
    assert b"x" * 100 == source.open_bytes(path, 100, (".yaml",))
    path.write_bytes(b"a: 1")
    assert {"a": 1} == source.read(path).root.plain
    assert str(path) == source.read(path).path
    assert "shown" == source.read(str(path), "shown").path


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    message = "shown.yaml: there is no such file [unreadable-file]\n  = check the spelling of the path"
    assert message == opening(tmp_path / "none.yaml")
    (tmp_path / "file.yaml").write_text("a: 1")
    assert message == opening(tmp_path / "file.yaml" / "below.yaml")
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "none.yaml")
    assert message == opening(tmp_path / "dangling.yaml")


def test_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    message = "shown.yaml: this is a folder, not a file [unreadable-file]\n  = name a file in it"
    assert message == opening(tmp_path / "folder.yaml")


def test_a_pipe_a_socket_and_a_device_are_told_and_never_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    message = "shown.yaml: this is a pipe, not a file [unreadable-file]\n  = save its content to a file first"
    assert message == opening(tmp_path / "pipe.yaml")
    device = "shown.yaml: this is a device or a socket, not a file [unreadable-file]\n  = name a regular file"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.yaml"))
        assert device == opening(tmp_path / "s.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert device == opening(tmp_path / "zero.yaml")


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    message = "shown.yaml: the links lead round in a circle [unreadable-file]\n  = make the link point to a file"
    assert message == opening(tmp_path / "a.yaml")


def test_only_the_real_name_counts_and_nothing_of_the_file_is_shown(tmp_path: Path) -> None:
    secret = tmp_path / "passwd"
    secret.write_text("root:secret")
    (tmp_path / "flow.yaml").symlink_to(secret)
    message = "shown.yaml: the file's real name ends in none of `.yaml`, `.yml` [unreadable-file]"
    message += "\n  = rename it, or name another file"
    assert message == opening(tmp_path / "flow.yaml")
    assert b"root:secret" == source.open_bytes(tmp_path / "flow.yaml", 100, None)


def test_a_file_that_is_too_large_is_told_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    message = "shown.yaml: the file is larger than 1024 KiB [too-large]\n  = split it into several files"
    assert message == opening(path, MIB)


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    message = "shown.yaml: no permission to read this file [unreadable-file]"
    message += "\n  = change its permissions, or run as a user who may read it"
    with as_a_common_user():
        assert message == opening(path)


@contextmanager
def as_a_common_user() -> Iterator[None]:
    """Root may read every file, so be somebody else for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_names_that_no_file_can_have_are_told(tmp_path: Path) -> None:
    assert "shown.yaml: no file can have this name [unreadable-file]" == opening(Path("a\0b.yaml"))
    assert "shown.yaml: this name is too long for a file [unreadable-file]" == opening(tmp_path / ("a" * 300 + ".yaml"))


def test_a_warning_is_not_an_error() -> None:
    (found,) = parse("user: Hello {{name}}").findings
    assert Severity.WARNING is found.severity
