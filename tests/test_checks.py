"""Every check, from its line in a flow file to its verdict."""

import inspect
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.diagnostics import Span
from runner.load import examine
from runner.model import Expectation, Image, ServiceError, ToolCall, Turn, Usage, Verdict
from runner.plan import cases
from runner.registry import checks

FLOW = """\
variables: {animal: cat, order: '1+1'}
assistant: {model: qwen-max, tools: [text_to_image, calculator]}
steps:
  - user: Draw a ${animal}.
    expect:
"""
FIRST = FLOW.count("\n") + 1

DRAWN = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)


def written(folder: Path, lines: str) -> Path:
    path = folder / "flow.yaml"
    path.write_text(FLOW + "".join(f"      {line}\n" for line in lines.splitlines()), encoding="utf-8")
    return path


def expectations(folder: Path, lines: str) -> tuple[Expectation, ...]:
    """The checks as the engine gets them: read, validated, their variables replaced."""
    examined = examine(written(folder, lines))
    assert () == examined.diagnostics
    assert examined.flow is not None
    case = cases(examined.flow, {})[0]
    from runner.variables import expand

    return expand(case.flow.steps[0].expect, case.variables)


def judged(folder: Path, line: str, turn: Turn) -> Verdict:
    (each,) = expectations(folder, line)
    return each.check.evaluate(turn)


PICTURE = Turn(
    "Here is **your cat**: ![cat](https://pics.example/1.png)",
    calls=(ToolCall("call_1", "text_to_image"),),
    images=(Image("https://pics.example/1.png", DRAWN),),
    usage=Usage(10, 20, 30),
    seconds=3.5,
)
SHIPPED = Turn('```json\n{"status": "shipped", "items": [{"price": 12.50}], "注文": "1+1"}\n```')
FAILED = Turn("", status="failed", error=ServiceError("DataInspectionFailed", "inappropriate content"))
JAPANESE = Turn("ご注文の品は発送されました。金曜日に到着します。")


@pytest.mark.parametrize(
    ("line", "turn", "outcome", "message"),
    [
        ("- contains: ${animal}", PICTURE, "passed", ""),
        ("- contains: your CAT", PICTURE, "passed", ""),
        ("- contains: dog", PICTURE, "failed", "the reply does not contain this text"),
        ("- contains: [cat, dog]", PICTURE, "failed", "the reply does not contain this text"),
        (
            "- contains: {text: CAT, case: exact}",
            PICTURE,
            "failed",
            "the reply contains this text only with other upper and lower case",
        ),
        ("- contains: 12.50", SHIPPED, "passed", ""),
        ("- contains: 注文", JAPANESE, "passed", ""),
        ("- starts_with: Here is your", PICTURE, "passed", ""),
        ("- starts_with: Sure", PICTURE, "failed", "the reply does not start with this text"),
        ("- ends_with: 到着します。", JAPANESE, "passed", ""),
        ("- ends_with: '!'", PICTURE, "failed", "the reply does not end with this text"),
        ("- equals: yes", Turn("Yes"), "passed", ""),
        ("- equals: 1.10", Turn("1.10"), "passed", ""),
        ("- equals: 1.10", Turn("1.1"), "failed", "the reply is another text"),
        ("- one_of: [yes, no]", Turn("no"), "passed", ""),
        ("- one_of: [yes, no]", Turn("maybe"), "failed", "the reply is none of these texts"),
        (r"- matches: '^Here is \*{2}'", PICTURE, "passed", ""),
        ("- matches: '${order}'", SHIPPED, "passed", ""),
        ("- matches: '${order}'", Turn("11"), "failed", "the reply does not match this regular expression"),
        ("- words: under 10", PICTURE, "passed", ""),
        ("- words: 4", PICTURE, "failed", "the reply has too many words"),
        (
            "- words: under 10",
            JAPANESE,
            "error",
            "words cannot be counted in this reply, which is written without spaces; use `characters`",
        ),
        ("- characters: between 10 and 30", JAPANESE, "passed", ""),
        ("- characters: over 30", JAPANESE, "failed", "the reply has too few characters"),
        ("- language: ja", JAPANESE, "passed", ""),
        ("- language: zh", JAPANESE, "failed", "the reply is in another language"),
        ("- language: en", Turn("OK"), "error", "the language of this reply cannot be told"),
        ("- json", SHIPPED, "passed", ""),
        ("- json", PICTURE, "failed", "the reply is not JSON: expecting value, line 1"),
        ("- json: {'$.status': shipped, '$.items[0].price': 12.5}", SHIPPED, "passed", ""),
        ("- json: {'$.注文': '${order}'}", SHIPPED, "passed", ""),
        ("- json: {'$.status': {starts_with: ship}}", SHIPPED, "passed", ""),
        ("- json: {'$.status': sent}", SHIPPED, "failed", "the value at `$.status` is another"),
        ("- json: {schema: {type: object, required: [status]}}", SHIPPED, "passed", ""),
        (
            "- json: {schema: {type: object, required: [total]}}",
            SHIPPED,
            "failed",
            "the reply's JSON does not fit the schema at `$`: 'total' is a required property",
        ),
        ("- calls: text_to_image", PICTURE, "passed", ""),
        ("- calls: calculator", PICTURE, "failed", "this tool was not called"),
        ("- image", PICTURE, "passed", ""),
        ("- image: true", PICTURE, "passed", ""),
        ("- image: {width: 1, aspect: 1:1, format: png}", PICTURE, "passed", ""),
        ("- image: {width: at least 1024}", PICTURE, "failed", "width 1, not at least 1024"),
        ("- image", SHIPPED, "failed", "no image came back"),
        ("- status: failed", FAILED, "passed", ""),
        ("- status: completed", FAILED, "failed", "the run ended otherwise"),
        ("- latency: under 20s", PICTURE, "passed", ""),
        ("- latency: at most 3 s", PICTURE, "failed", "the run took too long"),
        ("- tokens: at most 30", PICTURE, "passed", ""),
        ("- tokens: under 30", PICTURE, "failed", "the run used too many tokens"),
        ("- tokens: under 30", SHIPPED, "error", "the service did not say how many tokens were used"),
        ("- not: {contains: refund}", PICTURE, "passed", ""),
        ("- not: {calls: text_to_image}", PICTURE, "failed", "`calls` passes, which `not` forbids"),
        ("- not: cat", PICTURE, "failed", "`contains` passes, which `not` forbids"),
        ("- not: [image, {contains: dog}]", PICTURE, "failed", "`image` passes, which `not` forbids"),
        ("- any: [{contains: dog}, image]", PICTURE, "passed", ""),
        ("- any: {contains: dog, calls: calculator}", PICTURE, "failed", "none of these checks passes: `contains`, `calls`"),
        ("- all: [{contains: cat}, image]", PICTURE, "passed", ""),
        (
            "- any: [{all: [{contains: cat}, {contains: dog}]}]",
            PICTURE,
            "failed",
            "`all`: `contains`: the reply does not contain this text",
        ),
    ],
)
def test_a_line_of_a_flow_judges_an_answer(tmp_path: Path, line: str, turn: Turn, outcome: str, message: str) -> None:
    verdict = judged(tmp_path, line, turn)
    assert (outcome, message) == (str(verdict.outcome), verdict.message)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("- contains: ''", ("never-fails", "every reply contains an empty text", 19, 21)),
        ("- matches: '('", ("bad-pattern", "this regular expression cannot be read: missing ), at character 2", 18, 21)),
        ("- words: between 80 and 20", ("impossible", "nothing is `between 80 and 20`, so no reply passes", 16, 33)),
        ("- json: {order.id: 1}", ("bad-path", "`order.id`: a path begins with `$`", 15, 28)),
        ("- json: {schema: {type: mapping}}", ("bad-schema", '`"mapping"` cannot stand at `type` in a JSON Schema', 15, 40)),
        ("- not: {contains: ''}", ("never-fails", "every reply contains an empty text", 25, 27)),
        ("- status: done", ("not-in-list", "`done` is not understood here", 17, 21)),
    ],
)
def test_a_line_that_checks_nothing_is_refused_at_its_value(
    tmp_path: Path, line: str, found: tuple[str, str, int, int]
) -> None:
    code, message, column, end = found
    (diagnostic,) = examine(written(tmp_path, line)).diagnostics
    assert (code, message, Span(FIRST, column, FIRST, end)) == (diagnostic.code, diagnostic.message, diagnostic.span)


def test_the_check_that_decided_within_another_has_its_own_place(tmp_path: Path) -> None:
    lines = "- not:\n    - contains: dog\n    - contains: cat"
    assert Span(FIRST + 2, 23, FIRST + 2, 26) == judged(tmp_path, lines, PICTURE).at


@pytest.mark.parametrize(
    ("lines", "turn", "line", "column", "end"),
    [
        ("- contains:\n    - cat\n    - dog", PICTURE, 2, 13, 16),
        ("- contains: [cat, dog]", PICTURE, 0, 25, 28),
        ("- matches:\n    - cat\n    - 'dog$'", PICTURE, 2, 13, 19),
        ("- json:\n    $.status: shipped\n    '$.items[0].price': 13", SHIPPED, 2, 31, 33),
        ("- json:\n    $.status: shipped\n    '$.注文':\n      contains: dog", SHIPPED, 3, 13, 26),
        ("- not:\n    - all:\n        - contains: cat\n    - image", PICTURE, 2, 15, 30),
        ("- all:\n    - contains:\n        - cat\n        - dog", PICTURE, 3, 17, 20),
    ],
)
def test_a_failed_part_of_a_check_has_its_own_place(
    tmp_path: Path, lines: str, turn: Turn, line: int, column: int, end: int
) -> None:
    (each,) = expectations(tmp_path, lines)
    place = each.place(each.check.evaluate(turn))
    assert (FIRST + line, column, end) == (place.line, place.column, place.end_column)


@pytest.mark.parametrize("name", sorted(checks))
def test_the_manual_page_of_a_check_is_one_sentence_and_runs(tmp_path: Path, name: str) -> None:
    page = inspect.cleandoc(checks[name].__doc__ or "")
    first = page.partition("\n\n")[0]
    assert first.endswith(".")
    (example,) = re.findall(r"```yaml\nexpect:\n(.*?)```", page, re.DOTALL)
    (tmp_path / "golden.png").write_bytes(DRAWN)
    (tmp_path / "checks.py").write_text("def polite(answer): ...\n")
    allowed = {"tool-not-offered"}  # an example may speak of the reader's own tools
    diagnostics = examine(written(tmp_path, dedent(example))).diagnostics
    assert [] == [found.message for found in diagnostics if found.code not in allowed]


# ── whatever a model says ────────────────────────────────────────────────────────────────────────────────────────────

NAUGHTY = (
    "",
    " \t\r\n",
    "\x00\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u202c",
    "::error::pwned\n##vso[task.complete]",
    "<script>alert(1)</script>",
    "]]>&lt;!--",
    "' OR 1=1 --",
    "${animal} {{animal}} %s %n {0}",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "\ud800",
    "Z̸̡̢a̵͝l̶g̷o̸" * 50,
    "﷽" * 500,
    "🏳️‍🌈👩‍👩‍👧‍👦" * 100,
    "a" * 200_000,
    "(" * 50_000,
    "[" * 50_000,
    "![](" * 20_000,
    "`" * 50_001,
    "*" * 50_001,
    '{"a":' * 50_000,
    "```json\n" * 10_000,
    "NaN",
    "1e999",
    "9" * 5_000,
    "-" * 10_000,
    "\u3000" * 10_000,
    "ﾞ" * 10_000,
    "İıßﬁ" * 1_000,
)

EVERY_CHECK = """\
- contains: [cat, 猫]
- contains: {text: Cat, case: exact}
- starts_with: cat
- ends_with: cat
- equals: cat
- one_of: [cat, dog]
- matches: ['(?i)c.t', '\\d+']
- words: under 5
- characters: under 5
- language: en
- json
- json: {'$..a': {matches: x}, '$.b': [1]}
- json: {schema: {type: object, properties: {a: {pattern: '^x'}}}}
- calls: calculator
- image
- image: {width: at least 2, aspect: 1:1, format: png, not_blank: true}
- status: completed
- latency: under 20s
- tokens: under 5
- not: {contains: cat}
- any: [{contains: cat}, image]
- all: [{contains: cat}, image]
"""


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> tuple[Expectation, ...]:
    found = expectations(tmp_path_factory.mktemp("every"), EVERY_CHECK)
    assert set(checks) - {"python"} == {each.name for each in found}  # that one is the author's own code
    return found


@pytest.mark.parametrize("text", NAUGHTY, ids=lambda text: repr(text[:12]))
def test_no_naughty_text_passes_or_breaks_a_check(every: tuple[Expectation, ...], text: str) -> None:
    turn = Turn(text, calls=(ToolCall(text, text),), images=(Image(text, text.encode("utf-8", "replace")), Image(text)))
    for each in every:
        verdict = each.check.evaluate(turn)
        assert str(verdict.outcome) in ("passed", "failed", "error")
        assert len(verdict.actual) < 250
        if str(verdict.outcome) == "passed":
            assert each.name in {"not", "status", "latency", "words", "characters", "json"}


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters())


turns: st.SearchStrategy[Any] = st.builds(
    Turn,
    text=texts(),
    status=texts(),
    calls=st.lists(st.builds(ToolCall, texts(), texts(), texts()), max_size=2).map(tuple),
    images=st.lists(st.builds(Image, texts(), st.none() | st.binary(), texts()), max_size=2).map(tuple),
    usage=st.none() | st.builds(Usage, st.integers(), st.integers(), st.integers()),
    seconds=st.floats(min_value=0, allow_nan=False),
    error=st.none() | st.builds(ServiceError, texts(), texts()),
)


@given(turn=turns)
def test_every_turn_gets_a_verdict_with_a_reason(every: tuple[Expectation, ...], turn: Turn) -> None:
    for each in every:
        verdict = each.check.evaluate(turn)
        assert str(verdict.outcome) in ("passed", "failed", "error")
        assert verdict.message or str(verdict.outcome) == "passed"
