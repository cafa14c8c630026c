"""A person at a terminal answers a function; without one nobody is asked."""

import asyncio
import io
import os
import pty
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from runner.cli.ask import Prompt, open_ask
from runner.report import Fold
from runner.reporters import Sink, Stream
from runner.reporters.terminal import open_terminal
from tests.report_fixtures import as_is
from tests.test_cli import RUNFLOW, clean


class Person:
    """Somebody at a terminal of their own: what they are shown, and a way to type."""

    def __init__(self) -> None:
        self.keyboard, descriptor = pty.openpty()
        self.terminal: TextIO = os.fdopen(descriptor, encoding="utf-8")
        self.shown = io.StringIO()
        self.held: list[str] = []
        self.ask = Prompt(self.hold, self.terminal)

    @contextmanager
    def hold(self) -> Iterator[Sink]:
        self.held.append("held")
        try:
            yield Stream(self.shown)
        finally:
            self.held.append("let go")

    def types(self, text: str) -> None:
        os.write(self.keyboard, text.encode("utf-8", "surrogateescape"))

    def answers(self, *typed: str, question: str = "", arguments: str = "{}") -> str:
        """What the function gets when this is typed, piece by piece, once the question stands on the screen."""

        async def asked() -> str:
            answer = asyncio.ensure_future(self.ask("confirm", arguments, question))
            for each in typed:
                await asyncio.sleep(0)
                self.types(each)
            return await answer

        return asyncio.run(asked())


@pytest.fixture
def person() -> Iterator[Person]:
    person = Person()
    yield person
    person.terminal.close()
    os.close(person.keyboard)


def test_a_person_sees_what_is_asked_and_types_one_line(person: Person) -> None:
    answer = person.answers("yes, 十二\n", question="May it be\ncancelled?", arguments='{"order_id":"1234"}')
    assert ("yes, 十二", ["held", "let go"]) == (answer, person.held)
    assert (
        '\n  ? the assistant calls `confirm {"order_id": "1234"}`\n  ? May it be\n  ? cancelled?\n  ❯ '
    ) == person.shown.getvalue()


@pytest.mark.parametrize(("typed", "answer"), [("\n", ""), ("  a  \n", "  a  "), ("a\nb\n", "a"), ("\udcff\n", "\udcff")])
def test_a_line_is_taken_as_it_was_typed(typed: str, answer: str, person: Person) -> None:
    assert answer == person.answers(typed)


def test_a_line_may_come_in_pieces(person: Person) -> None:
    assert "yes" == person.answers("y\x04", "es\n")


def test_the_end_of_the_input_is_no_answer(person: Person) -> None:
    with pytest.raises(EOFError):
        person.answers("\x04")
    assert person.held == ["held", "let go"]


def test_what_a_model_or_an_author_writes_steers_nothing(person: Person) -> None:
    hostile = "\x1b[2J\u202e\n::error::boo\n##vso[x]"
    person.answers("\n", question=hostile, arguments=hostile)
    assert not set(person.shown.getvalue()) & set("\x1b\u202e")
    assert not any(line.startswith(("::", "##")) for line in person.shown.getvalue().splitlines())
    assert "##vso" not in person.shown.getvalue()


def test_the_loop_goes_on_while_somebody_thinks_and_a_question_can_be_taken_back(person: Person) -> None:
    async def thinking() -> None:
        answer = asyncio.ensure_future(person.ask("confirm", "{}", ""))
        for _turn in range(5):
            await asyncio.sleep(0)
        assert ["held"] == person.held
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer

    asyncio.run(thinking())
    assert ["held", "let go"] == person.held
    assert "later" == person.answers("later\n")


def test_where_the_loop_watches_no_terminal_a_thread_reads(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", unknown)
    assert "yes" == person.answers("yes\n")


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("there", "typing", "seeing", "environment"),
    [
        (True, True, True, {}),
        (False, False, True, {}),
        (False, True, False, {}),
        (False, True, True, {"CI": "true"}),
    ],
)
def test_nobody_is_asked_without_a_terminal_or_in_ci(
    there: bool, typing: bool, seeing: bool, environment: dict[str, str]
) -> None:
    screen = Screen(seeing)
    ask: Callable[..., Awaitable[str]] | None = open_ask(
        open_terminal(screen, Fold(), as_is, environment), screen, Screen(typing), environment
    )
    assert there == (ask is not None)
    assert open_ask(open_terminal(screen, Fold(), as_is, {}), screen, None, {}) is None


FLOW = """\
assistant:
  model: qwen-max
  tools:
    - confirm:
        ask: May it be cancelled?
steps:
  - user: Please call confirm.
    sample: {calls: [{confirm: }]}
    expect:
      - calls: {tool: confirm, output: for sure}
"""


@contextmanager
def at_a_terminal(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command with a terminal for everything, and the other end of it."""
    (folder / "shop.yaml").write_text(FLOW)
    keyboard, terminal = pty.openpty()
    words = [str(RUNFLOW), "shop.yaml"]
    environment = {**clean(folder), "TERM": "xterm"}
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        try:
            yield process, keyboard
        finally:
            os.close(keyboard)


def seen(keyboard: int, until: bytes = b"") -> str:
    """What appears on the terminal, up to these bytes or to the end of the command."""
    shown = b""
    while not until or until not in shown:
        try:
            piece = os.read(keyboard, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    return shown.decode()


def test_the_command_asks_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    with at_a_terminal(tmp_path) as (process, keyboard):
        asked = seen(keyboard, "  ❯ ".encode())
        os.write(keyboard, b"for sure\n")
        told = seen(keyboard)
    assert 0 == process.returncode, told
    assert "? the assistant calls `confirm {}`" in asked
    assert "? May it be cancelled?" in asked
    assert "1 flow: 1 passed" in told


def test_ctrl_c_at_the_question_cleans_up_and_leaves(tmp_path: Path) -> None:
    with at_a_terminal(tmp_path) as (process, keyboard):
        seen(keyboard, "  ❯ ".encode())
        process.send_signal(signal.SIGINT)
        told = seen(keyboard)
    assert 130 == process.returncode, told
    assert "delete assistant" in told
