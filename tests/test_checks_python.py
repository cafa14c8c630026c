"""A function of the author's as a check: it passes, fails, or is an error, and never stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.checks import python as module
from runner.model import Image, PythonFunction, ToolCall, Turn
from runner.registry import checks
from tests.checks_fixtures import Told, make, told
from tests.tools_fixtures import Alive

WRITTEN = """
import asyncio, os, sys, time

def passes(answer): return True
def silent(answer): pass
def fails(answer): return False
def polite(answer): return None if "please" in answer.text else "  it does not say „please“  "
def empty(answer): return ""
def long(answer): return "x" * 5_000
async def later(answer):
    await asyncio.sleep(0)
    return answer.status == "completed" or "too late"

def sees(answer):
    return repr([
        answer.text, answer.status, answer.images, answer.seconds,
        [(call.name, call.arguments, call.output) for call in answer.calls],
    ])

def number(answer): return 1
def mapping(answer): return {"ok": True}
def a_set(answer): return {1}
def raises(answer): raise ValueError("what now?")
def exits(answer): sys.exit(0)
def dies(answer): os._exit(0)
def needs_two(answer, question): return True
def huge(answer): return "x" * 2_000_000

def hangs(answer):
    os.write(os.open(answer.text, os.O_WRONLY), b"hanging")
    time.sleep(1000)

count = 0
def counts(answer):
    global count
    count += 1
    return f"call {count}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "checks.py").write_text(WRITTEN, encoding="utf-8")
    return folder


def judge(folder: Path, function: str, text: str = "Here it is.", file: str = "checks.py") -> Told:
    return told(make("python", PythonFunction(file, function)).evaluate(Turn(text, folder=folder)))


@pytest.mark.parametrize(
    ("function", "outcome", "message"),
    [
        ("passes", "passed", ""),
        ("silent", "passed", ""),
        ("later", "passed", ""),
        ("fails", "failed", "`checks.py:fails` says no"),
        ("polite", "failed", "it does not say „please“"),
        ("empty", "failed", "`checks.py:empty` says no"),
        ("long", "failed", "x" * 200 + "…"),
    ],
)
def test_a_function_passes_or_fails(folder: Path, function: str, outcome: str, message: str) -> None:
    assert (outcome, message, f"checks.py:{function}", '"Here it is."') == judge(folder, function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("number", "`checks.py:number` returned 1; let it return `True`, `False` or a text that says what is wrong"),
        (
            "mapping",
            '`checks.py:mapping` returned {"ok": true}; let it return `True`, `False` or a text that says what is wrong',
        ),
        ("a_set", "what `checks.py:a_set` returned is not JSON: it holds a value of type set"),
        ("raises", "`checks.py:raises` raised ValueError: what now? (checks.py:23)"),
        ("exits", "`checks.py:exits` called `sys.exit`; let it return a value or raise an exception"),
        ("dies", "`checks.py:dies` ended its process with exit code 0"),
        (
            "needs_two",
            "`checks.py:needs_two` raised TypeError: needs_two() missing 1 required positional argument: 'question'",
        ),
        ("huge", "`checks.py:huge` returned 2000000 characters; at most 1000000 are passed on"),
        ("polit", "`checks.py` has no function `polit`; did you mean `polite`?"),
    ],
)
def test_a_function_that_gives_no_verdict_is_an_error(folder: Path, function: str, message: str) -> None:
    assert ("error", message, f"checks.py:{function}", "") == judge(folder, function)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.py", "there is no file `gone.py`"),
        ("../checks.py", "`../checks.py` lies outside the flow's folder"),
    ],
)
def test_a_file_that_is_not_there_is_an_error(folder: Path, file: str, message: str) -> None:
    assert ("error", message, f"{file}:passes", "") == judge(folder, "passes", file=file)


def test_the_function_sees_the_answer(folder: Path) -> None:
    turn = Turn(
        "Ja ☀",
        "failed",
        (
            ToolCall("1", "get_order", '{"order_id": "1234", "days": [1]}', '{"status": "shipped"}', is_function=True),
            ToolCall("2", "get_order", "not JSON"),
        ),
        (Image("a"), Image("b", b"data")),
        seconds=1.5,
        folder=folder,
    )
    seen = told(make("python", PythonFunction("checks.py", "sees")).evaluate(turn))[1]
    calls = "[('get_order', {'order_id': '1234', 'days': [1]}, '{\"status\": \"shipped\"}'), ('get_order', {}, None)]"
    assert f"['Ja ☀', 'failed', 2, 1.5, {calls}]" == seen


def test_every_evaluation_begins_anew(folder: Path) -> None:
    assert ["call 1", "call 1"] == [judge(folder, "counts")[1] for _time in range(2)]


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Alive]:
    found = Alive(tmp_path)
    yield found
    found.close()


def test_a_hang_is_an_error_and_does_not_survive(folder: Path, alive: Alive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 1.0)
    message = "`checks.py:hangs` was not done after 1 s"
    assert ("error", message, "checks.py:hangs", "") == judge(folder, "hangs", str(alive.path))
    # A machine so slow that the function did not begin has nothing to show.
    said = alive.read()
    assert b"" == (alive.read() if said == b"hanging" else said)


def test_it_says_that_it_runs_code_and_which_file() -> None:
    kind = checks["python"]
    assert (True, True) == (getattr(kind, "runs_code", None), getattr(kind, "blocks", None))
    assert ("checks.py",) == make("python", PythonFunction("checks.py", "polite")).files()
