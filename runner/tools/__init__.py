"""Answer the calls of the author's functions, as the flow says who answers them; one file a way of answering."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.checks.arguments import fault, read
from runner.model import Answer, Asks, ByHttp, ByPython, Fails, Function, Replies, Returns, Tool, ToolCall
from runner.tools.values import error, text_of
from runner.values import dataclass
from runner.words import _, in_english

if TYPE_CHECKING:
    from runner.tools.python import InProcess

__all__ = ["Answered", "Ask", "NoAnswer", "Toolbox"]

SECONDS = 60.0
"""How long code and servers of the author's may take for one answer; a person may take as long as the step may."""
LONGEST = 1_000_000
"""The longest answer, in characters."""

Ask = Callable[[str, str, str], Awaitable[str]]
"""A function's name, its arguments as sent and the author's question, to the answer typed at the terminal."""


class NoAnswer(Exception):
    """A call that nobody answered, which makes the step an error; carries a sentence."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What goes to the service for a call, and the answer key it came by: `parameters` when the arguments do not fit."""

    output: str
    by: str
    trouble: str = ""
    """What went wrong, in a sentence for people."""


class Toolbox:
    """The answers of one conversation: what is used up, and what the author's code keeps, lasts until `close`.

    `sleep` passes the time an answer is to take. Without `trusted` no code of the author's runs and no URL of theirs is asked;
    without `ask` there is no terminal. `seconds` bounds what runs elsewhere; with `debug` Python functions may print.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sleep: Callable[[float], Awaitable[object]],
        trusted: bool = False,
        ask: Ask | None = None,
        seconds: float = SECONDS,
        debug: bool = False,
    ) -> None:
        self.folder = folder
        self.sleep = sleep
        self.trusted = trusted
        self.ask = ask
        self.seconds = seconds
        self.debug = debug
        self.used: dict[object, set[int]] = {}
        self.functions: InProcess | None = None

    async def answer(self, call: ToolCall, tool: Tool | None) -> Answered:
        """The answer to a call of this tool; raise NoAnswer. What is wrong with the arguments is an answer, too."""
        function = tool.function if tool is not None else None
        if tool is None or function is None:
            raise NoAnswer(_("the assistant called `{tool}`, which is none of the flow's functions").format(tool=call.name))
        if function.answer is None:
            raise NoAnswer(
                _("`{tool}` was called, and the flow does not say who answers: write {keys} under it").format(
                    tool=call.name, keys=_("`returns`, `fails`, `replies`, `python`, `http` or `ask`")
                )
            )
        if wrong := fault(call.arguments, function.parameters):
            trouble = _("`{tool}` was called with arguments that do not fit: {reason}").format(tool=call.name, reason=wrong)
            with in_english():
                return Answered(error(fault(call.arguments, function.parameters)), "parameters", trouble)
        try:
            return sendable(await self.given(call, tool, function, function.answer))
        except NoAnswer as reason:
            raise NoAnswer(_("`{tool}` gave no answer: {reason}").format(tool=call.name, reason=reason)) from reason

    async def given(self, call: ToolCall, tool: Tool, function: Function, answer: Answer) -> Answered:
        match answer:
            case Returns(value):
                return Answered(text_of(value), "returns")
            case Fails(message):
                return Answered(error(message), "fails")
            case Replies(entries):
                from runner.tools.replies import choose

                # The file's place names the sequence: substitution makes new values of the same entries.
                used = self.used.setdefault((tool.name, tool.span), set())
                reply = choose(entries, used, read(call.arguments), function.parameters)
                if reply.after is not None:
                    await self.sleep(reply.after)
                return Answered(text_of(reply.returns) if reply.fails is None else error(reply.fails), "replies")
            case ByPython(written):
                self.permitted(str(written))
                if self.functions is None:
                    from runner.tools.python import InProcess

                    self.functions = InProcess(self.folder, seconds=self.seconds, debug=self.debug)
                return await self.functions.answer(written, read(call.arguments))
            case ByHttp(url):
                self.permitted(url)
                from runner.tools.http import post

                return await post(url, call.arguments, self.seconds)
            case Asks(question):
                from runner.tools.ask import asked

                return Answered(await asked(self.ask, call, question), "ask")

    def permitted(self, what: str) -> None:
        if not self.trusted:
            raise NoAnswer(
                _("{what} is used only with permission; give it by `runflow trust FILE`, or add `--allow-tools`").format(
                    what=f"`{what}`"
                )
            )

    async def close(self) -> None:
        """End what answers are still being made, and the process of Python functions."""
        if self.functions is not None:
            await self.functions.close()


def sendable(answered: Answered) -> Answered:
    """The answer if it can be sent; raise NoAnswer."""
    if len(answered.output) > LONGEST:
        raise NoAnswer(
            _("it has {count} characters; at most {limit} are passed on").format(count=len(answered.output), limit=LONGEST)
        )
    try:
        answered.output.encode("utf-8")
    except UnicodeEncodeError:
        # A terminal's bytes that are not UTF-8 come as halves of characters.
        return replace(answered, output=answered.output.encode("utf-8", "replace").decode())
    return answered
