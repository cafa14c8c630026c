"""Functions in Python: whatever they do, the conversation goes on, or ends with a sentence."""

import asyncio
import json
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_file

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import worker
from runner.functions import Functions
from runner.model import ByPython, PythonFunction
from runner.tools import NoAnswer
from runner.tools.python import InProcess
from tests.tools_fixtures import Alive, Told, answers, python, tool, toolbox

WRITTEN = """
import asyncio, ctypes, os, signal, subprocess, sys, threading, time
from enum import StrEnum

calls = 0
limit = 5

def count():
    global calls
    calls += 1
    return calls

def get_order(order_id, *, express=False):
    return {"id": order_id, "express": express, "ärger": None}

def anything(**given):
    return given

def by_position(order_id, /):
    return order_id

async def later(order_id):
    await asyncio.sleep(0)
    return "later " + order_id

async def fails_later():
    await asyncio.sleep(0)
    raise LookupError("no such order")

loop = None

async def same_loop():
    global loop
    before, loop = loop, asyncio.get_running_loop()
    return before is loop

class Status(StrEnum):
    SHIPPED = "shipped"

def enum(): return Status.SHIPPED
def nothing(): pass
def pair(): return ("a", 1)
def numbers(): return {1: "one"}

def raises(): raise ValueError("no such order")
def raises_key(): return {}["1234"]
def raises_bare(): raise RuntimeError
def raises_long(): raise ValueError("x" * 3_000_000)
def raises_half(): raise ValueError("half \\ud800")
def raises_deep(): return raises_deep()
def raises_base(): raise KeyboardInterrupt
def raises_cancelled(): raise asyncio.CancelledError("stop")

class Mute(Exception):
    def __str__(self): raise OSError

def raises_mute(): raise Mute

def exits(): sys.exit("bye")
async def exits_later(): sys.exit(0)
def dies(): os._exit(3)
def crashes(): os.kill(os.getpid(), signal.SIGSEGV)
def closes(): os.closerange(3, 256)

def nan(): return {"price": float("nan")}
def data(): return b"data"
def a_set(): return {"items": {1}}
def odd_key(): return {("a", "b"): 1}
def half(): return "\\ud800"
def digits(): return 10 ** 5000
def too_long(): return "x" * 100_000_000
def too_long_list(): return ["x" * 10] * 100_000

def circle():
    found = []
    found.append(found)
    return found

def deep():
    found = []
    for _ in range(1_000_000):
        found = [found]
    return found

def prints():
    print("to standard output")
    print("日本 \\udcff", file=sys.stderr)
    os.write(1, b'{"number": 1}\\n')
    sys.stdout.close()
    return "printed"

def reads(): return [sys.stdin.read(), os.read(0, 10).decode()]
def asks(): return input()

def moves():
    os.chdir("/")
    sys.path.clear()
    return "moved"

def where(): return os.getcwd()

def threads():
    threading.Thread(target=threading.Event().wait).start()
    return "started"

def forks():
    os.fork()
    return os.getpid() == worker

worker = os.getpid()

def environment(name): return os.environ.get(name)

def holds(path):
    global held
    held = os.open(path, os.O_WRONLY)
    return "held"

def tell(): os.write(held, b"hanging")

def sleeps():
    tell()
    time.sleep(1000)

def spins():
    tell()
    while True: pass

def in_c():
    tell()
    ctypes.PyDLL(None).sleep(1000)

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tell()
    while True:
        try: time.sleep(1000)
        except BaseException: pass

async def waits():
    tell()
    await asyncio.Event().wait()

def with_child():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], pass_fds=[held])
    tell()
    time.sleep(1000)

def forges(line):
    for descriptor in range(3, 20):
        try: os.write(descriptor, line.encode() + b"\\n")
        except OSError: pass

def leaves_child():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], pass_fds=[held])
    return "left"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "tools.py").write_text(WRITTEN, encoding="utf-8")
    return folder


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Alive]:
    found = Alive(tmp_path)
    yield found
    found.close()


def line(text: str) -> int:
    """Where something stands in the file."""
    return WRITTEN[: WRITTEN.index(text)].count("\n") + 1


def one(folder: Path, function: str, arguments: str = "") -> Told:
    return answers(toolbox(folder), python(function), arguments=arguments)[0]


# ── what functions say ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("function", "arguments", "output"),
    [
        ("get_order", '{"order_id": "1234"}', '{"id": "1234", "express": false, "ärger": null}'),
        ("get_order", '{"express": true, "order_id": 7}', '{"id": 7, "express": true, "ärger": null}'),
        ("anything", '{"self": 1, "日付": [1.5], "function": null}', '{"self": 1, "日付": [1.5], "function": null}'),
        ("later", '{"order_id": "1234"}', "later 1234"),
        ("enum", "", "shipped"),
        ("nothing", "", "null"),
        ("pair", "", '["a", 1]'),
        ("numbers", "", '{"1": "one"}'),
        ("threads", "", "started"),
        ("reads", "", '["", ""]'),
    ],
)
def test_what_a_function_returns_is_passed_on(folder: Path, function: str, arguments: str, output: str) -> None:
    assert (output, "python", "") == one(folder, function, arguments)


@pytest.mark.parametrize(
    ("function", "arguments", "output", "trouble"),
    [
        ("raises", "", "no such order", f"raised ValueError: no such order (tools.py:{line('def raises():')})"),
        ("fails_later", "", "no such order", f"raised LookupError: no such order (tools.py:{line('raise LookupError')})"),
        ("raises_key", "", "KeyError: '1234'", f"raised KeyError: '1234' (tools.py:{line('def raises_key')})"),
        ("raises_bare", "", "RuntimeError", f"raised RuntimeError (tools.py:{line('def raises_bare')})"),
        ("raises_half", "", "half ?", f"raised ValueError: half ? (tools.py:{line('def raises_half')})"),
        ("raises_base", "", "KeyboardInterrupt", f"raised KeyboardInterrupt (tools.py:{line('def raises_base')})"),
        ("raises_cancelled", "", "stop", f"raised CancelledError: stop (tools.py:{line('def raises_cancelled')})"),
        ("raises_mute", "", "Mute", f"raised Mute (tools.py:{line('def raises_mute')})"),
        ("asks", "", "EOF when reading a line", f"raised EOFError: EOF when reading a line (tools.py:{line('def asks')})"),
    ],
)
def test_what_a_function_raises_goes_to_the_model_and_is_told(
    folder: Path, function: str, arguments: str, output: str, trouble: str
) -> None:
    given = one(folder, function, arguments)
    assert (json.dumps({"error": output}), "python", f"`tools.py:{function}` {trouble}") == given


def test_a_long_reason_is_cut(folder: Path) -> None:
    output, _by, trouble = one(folder, "raises_long")
    assert {"error": "x" * 2_000} == json.loads(output)
    place = f"tools.py:{line('def raises_long')}"
    assert f"`tools.py:raises_long` raised ValueError: {'x' * 187}… ({place})" == trouble


def test_endless_recursion_is_an_exception_like_others(folder: Path) -> None:
    output, _by, trouble = one(folder, "raises_deep")
    assert "maximum recursion depth exceeded" in json.loads(output)["error"]
    assert trouble.startswith("`tools.py:raises_deep` raised RecursionError: maximum recursion depth exceeded")


# ── what is no answer ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("exits", "`tools.py:exits` called `sys.exit`; let it return a value or raise an exception"),
        ("exits_later", "`tools.py:exits_later` called `sys.exit`; let it return a value or raise an exception"),
        ("dies", "`tools.py:dies` ended its process with exit code 3"),
        ("crashes", "`tools.py:crashes` ended its process by SIGSEGV"),
        ("nan", "what `tools.py:nan` returned is not JSON: it holds NaN or an infinite number"),
        ("data", "what `tools.py:data` returned is not JSON: it holds a value of type bytes"),
        ("a_set", "what `tools.py:a_set` returned is not JSON: it holds a value of type set"),
        ("odd_key", "what `tools.py:odd_key` returned is not JSON: it holds a key that is no text"),
        ("half", "what `tools.py:half` returned is not JSON: it holds half a character"),
        ("digits", "what `tools.py:digits` returned is not JSON: it holds a number of thousands of digits"),
        ("circle", "what `tools.py:circle` returned is not JSON: it holds a value that holds itself"),
        ("deep", "what `tools.py:deep` returned is not JSON: it holds too many levels"),
        ("too_long", "`tools.py:too_long` returned 100000000 characters; at most 1000000 are passed on"),
        ("too_long_list", "`tools.py:too_long_list` returned 1400000 characters; at most 1000000 are passed on"),
        ("count_", "`tools.py` has no function `count_`; did you mean `count`?"),
        ("utterly_else", "`tools.py` has no function `utterly_else`"),
        ("limit", "`tools.py:limit` is no function but of type int"),
    ],
)
def test_a_function_that_gives_no_answer_has_a_sentence_and_the_next_one_works(
    folder: Path, function: str, reason: str
) -> None:
    refused, works = answers(toolbox(folder), python(function), python("nothing"))
    assert ("", "", f"`{function}` gave no answer: {reason}") == refused
    assert ("null", "python", "") == works


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("get_order", "", "needs `order_id`, which the call does not have"),
        ("get_order", '{"order_id": "1", "id": 2, "day": 3}', "has no parameter for `id`, `day`"),
        ("by_position", '{"order_id": "1"}', "has no parameter for `order_id`"),
    ],
)
def test_a_function_that_does_not_take_what_is_declared_gives_no_answer(
    folder: Path, function: str, arguments: str, reason: str
) -> None:
    assert ("", "", f"`{function}` gave no answer: `tools.py:{function}` {reason}") == one(folder, function, arguments)


def test_a_worker_without_its_pipes_is_gone(folder: Path) -> None:
    sentence = one(folder, "closes")[2]
    assert sentence.startswith("`closes` gave no answer: `tools.py:closes` ended its process ")


@pytest.mark.parametrize(
    "line", ["{}", "[1]", "[[[1], 2]]", '{"end": "returned", "text": 5, "is_text": true}', '{"end": "raised"}', "[" * 100_000]
)
def test_a_worker_that_says_what_is_no_reply_is_ended(line: str, folder: Path) -> None:
    refused, works = answers(toolbox(folder), python("forges"), python("anything"), arguments=json.dumps({"line": line}))
    assert refused[2].startswith("`forges` gave no answer: `tools.py:forges` ended its process ")
    assert line == json.loads(works[0])["line"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def __getattr__(name): raise LookupError(name)\n", "LookupError: f (tools.py:1)"),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' (tools.py:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax (tools.py, line 1)"),
        ("x = 1\nx / 0\n", "ZeroDivisionError: division by zero (tools.py:2)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (tools.py:2)"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt (tools.py:1)"),
        ("\0", "SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_a_module_that_cannot_be_loaded_has_a_sentence(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "tools.py").write_text(source, encoding="utf-8")
    sentence = f"`f` gave no answer: `tools.py` cannot be loaded: {reason}"
    assert [("", "", sentence)] * 2 == answers(toolbox(tmp_path), python("f"), python("f"))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("gone.py", "there is no file `gone.py`"),
        ("folder.py", "there is no file `folder.py`"),
        ("../outside.py", "`../outside.py` lies outside the flow's folder"),
        ("linked.py", "`linked.py` lies outside the flow's folder"),
        (".hidden.py", "`.hidden.py` is a hidden file"),
        (".venv/tools.py", "`.venv/tools.py` is a hidden file"),
        ("a\0.py", "`a\0.py` is no path"),
    ],
)
def test_only_files_below_the_flows_folder_are_loaded(folder: Path, file: str, reason: str) -> None:
    outside = folder.parent / "outside.py"
    (folder / ".venv").mkdir()
    (folder / "folder.py").mkdir()
    for path in (outside, folder / ".hidden.py", folder / ".venv" / "tools.py"):
        path.write_text("def f(): return 'ran'\n", encoding="utf-8")
    (folder / "linked.py").symlink_to(outside)
    given = answers(toolbox(folder), tool(ByPython(PythonFunction(file, "f"))))
    assert [("", "", f"`get_order` gave no answer: {reason}")] == given


def test_a_folder_that_is_gone_has_a_sentence(folder: Path) -> None:
    box = toolbox(folder)
    folder.rename(folder.with_name("away"))
    assert [("", "", "`nothing` gave no answer: there is no file `tools.py`")] == answers(box, python("nothing"))


# ── what is left alone, and what lasts ───────────────────────────────────────────────────────────────────────────────


def test_globals_last_as_long_as_the_conversation(folder: Path) -> None:
    box = toolbox(folder)
    asked = [python("count"), python("moves"), python("count"), python("prints"), python("count")]
    assert ["1", "moved", "2", "printed", "3"] == [output for output, *_rest in answers(box, *asked)]
    assert ["1"] == [output for output, *_rest in answers(toolbox(folder), python("count"))]


def test_asynchronous_functions_share_a_loop(folder: Path) -> None:
    assert ["false", "true"] == [output for output, *_rest in answers(toolbox(folder), *[python("same_loop")] * 2)]


def test_a_copy_of_the_process_says_nothing(folder: Path) -> None:
    given = answers(toolbox(folder), python("forks"), python("count"), python("forks"), python("count"))
    assert [("1", "python", ""), ("2", "python", "")] == given[1::2]


def test_it_runs_in_the_flows_folder(folder: Path) -> None:
    assert (str(folder), "python", "") == one(folder, "where")


def test_keys_of_services_are_kept_from_functions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("DASHSCOPE_API_KEY", "RUNFLOW_TOKEN")
    for name in (*kept, "MY_ORDERS_TOKEN"):
        monkeypatch.setenv(name, "secret")

    given = [one(folder, "environment", json.dumps({"name": name})) for name in (*kept, "MY_ORDERS_TOKEN")]
    assert ["null", "null", "secret"] == [output for output, *_rest in given]


@pytest.mark.parametrize(("debug", "shown"), [(False, ""), (True, "to standard output\n日本 \\udcff\n")])
def test_prints_go_to_standard_error_with_debug_only(
    folder: Path, capfd: pytest.CaptureFixture[str], debug: bool, shown: str
) -> None:
    functions = Functions(folder, debug=debug)
    try:
        assert "printed" == functions.call(PythonFunction("tools.py", "prints"), {}).result(60).text
    finally:
        functions.close()
    out, err = capfd.readouterr()
    assert ("", shown) == (out, err.replace('{"number": 1}\n', ""))


def test_modules_find_their_neighbours_and_leave_no_files(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    for name, source in {
        "shop/my-tools.py": "import shop.stock, queue\ndef f(): return shop.stock.left() + queue.__name__\n",
        "shop/orders.py": "from .stock import left\ndef f(): return left() + __name__\n",
        "shop/stock.py": "def left(): return 'seven '\n",
        "json.py": "def f(): return __name__\n",
        "selectors.py": "raise RuntimeError\n",
        "later.py": "async def f(): return 'later'\n",
    }.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    files = ("shop/my-tools.py", "shop/orders.py", "json.py", "later.py")
    given = answers(toolbox(tmp_path), *[tool(ByPython(PythonFunction(file, "f"))) for file in files])
    expected = ["seven queue", "seven shop.orders", "flow:json", "later"]
    assert expected == [output or trouble for output, _by, trouble in given]
    assert before == sorted(tmp_path.rglob("*"))


def test_byte_code_beside_a_source_is_not_run(tmp_path: Path) -> None:
    for path in (tmp_path / "tools.py", tmp_path / "stock.py"):
        path.write_text("def f(): return 'EVIL'\ndef left(): return 'EVIL'\n")
        compile_file(str(path), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    (tmp_path / "tools.py").write_text("import stock\ndef f(): return 'tools, ' + stock.left()\n")
    (tmp_path / "stock.py").write_text("def left(): return 'stock'\n")
    assert ("tools, stock", "python", "") == one(tmp_path, "f")
    next((tmp_path / "__pycache__").glob("stock.*")).rename(tmp_path / "orphan.pyc")
    (tmp_path / "tools.py").write_text("import orphan\ndef f(): return orphan.left()\n")
    assert "ModuleNotFoundError: No module named 'orphan'" in one(tmp_path, "f")[2]


def test_a_link_out_of_the_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("def f(): return 'ran'\n")
    flow = tmp_path / "flow"
    flow.mkdir()
    (flow / "inside.py").symlink_to(tmp_path / "outside.py")
    (flow / "tools.py").write_text("import inside\nf = inside.f\n")
    sentence = f"{flow / 'inside.py'} is hidden or lies outside the flow's folder (tools.py:1)"
    assert ("", "", f"`f` gave no answer: `tools.py` cannot be loaded: ImportError: {sentence}") == one(flow, "f")


def test_an_environment_in_the_folder_is_one_like_others(tmp_path: Path) -> None:
    venv.create(tmp_path / ".venv", symlinks=True)
    site = next((tmp_path / ".venv").glob("lib/*/site-packages"))
    (site / "wares").mkdir()
    (site / "wares" / "__init__.py").write_text("from .prices import price\n")
    (site / "wares" / "prices.py").write_text("price = 7\n")
    (tmp_path / "tools.py").write_text("from wares import price\ndef f(): return price\n")
    command = [str(tmp_path / ".venv" / "bin" / "python"), "-P", "-B", worker.__file__, str(tmp_path)]
    request = json.dumps({"file": str(tmp_path / "tools.py"), "function": "f", "arguments": {}})
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request + "\n")
        process.stdin.flush()
        assert {"end": "returned", "text": "7", "is_text": False} == json.loads(process.stdout.readline())


# ── hanging ──────────────────────────────────────────────────────────────────────────────────────────────────────────

HANGS = ("sleeps", "spins", "in_c", "deaf", "waits", "with_child")


def named(function: str) -> PythonFunction:
    return PythonFunction("tools.py", function)


@pytest.mark.parametrize("function", HANGS)
def test_a_hang_ends_with_a_sentence_and_nothing_survives(folder: Path, alive: Alive, function: str) -> None:
    async def go() -> tuple[str, str]:
        functions = InProcess(folder, seconds=60, debug=False)
        await functions.answer(named("holds"), {"path": str(alive.path)})
        functions.seconds = 0.2
        with pytest.raises(NoAnswer) as caught:
            await functions.answer(named(function), {})
        functions.seconds = 60
        again = await functions.answer(named("count"), {})
        await functions.close()
        return str(caught.value), again.output

    assert (f"`tools.py:{function}` was not done after 0.2 s", "1") == asyncio.run(go())
    assert b"" == alive.read().removeprefix(b"hanging")


@pytest.mark.parametrize("function", HANGS)
def test_whoever_stops_waiting_ends_the_process(folder: Path, alive: Alive, function: str) -> None:
    async def go() -> tuple[bytes, bytes]:
        functions = InProcess(folder, seconds=60, debug=False)
        await functions.answer(named("holds"), {"path": str(alive.path)})
        asking = asyncio.create_task(functions.answer(named(function), {}))
        # The loop is free while the function hangs, or nobody would read this.
        said = await asyncio.to_thread(alive.read)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        left = await asyncio.to_thread(alive.read)
        await functions.close()
        return said, left

    assert (b"hanging", b"") == asyncio.run(go())


def test_closing_ends_an_idle_process_and_what_it_started(folder: Path, alive: Alive) -> None:
    async def go() -> None:
        functions = InProcess(folder, seconds=60, debug=False)
        await functions.answer(named("holds"), {"path": str(alive.path)})
        await functions.answer(named("leaves_child"), {})
        await functions.close()

    asyncio.run(go())
    assert b"" == alive.read()


def test_a_call_stopped_at_once_starts_nothing(folder: Path) -> None:
    functions = Functions(folder)
    for _number in range(20):
        future = functions.call(named("sleeps"), {})
        functions.kill()
        with pytest.raises(Exception, match=r"the call was stopped|ended its process by SIGKILL"):
            future.result(60)
    functions.close()


def test_the_process_ends_when_ours_is_killed(folder: Path, alive: Alive) -> None:
    program = """
import sys
from pathlib import Path
from runner.functions import Functions
from runner.model import PythonFunction
functions = Functions(Path(sys.argv[1]))
functions.call(PythonFunction("tools.py", "holds"), {"path": sys.argv[2]}).result()
functions.call(PythonFunction("tools.py", "with_child"), {}).result()
"""
    with subprocess.Popen([sys.executable, "-c", program, str(folder), str(alive.path)]) as ours:
        assert b"hanging" == alive.read()
        ours.send_signal(signal.SIGKILL)
    assert b"" == alive.read()


# ── any value ────────────────────────────────────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_any_json_value_arrives_as_it_was_returned(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("def echo(value): return value\n")
    functions = Functions(tmp_path)

    @given(JSON)
    def holds(value: object) -> None:
        returned = functions.call(PythonFunction("tools.py", "echo"), {"value": value}).result(60)
        assert returned.is_text == isinstance(value, str)
        arrived = returned.text if returned.is_text else json.loads(returned.text)
        assert repr(value) == repr(arrived)

    try:
        holds()
    finally:
        functions.close()
