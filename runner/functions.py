"""Call the author's Python functions, which run in a process of their own that a hang, a crash or an exit cannot leave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from runner import worker
from runner.clean import one_line
from runner.model import PythonFunction
from runner.registry import targets
from runner.values import dataclass
from runner.words import _, listed, nearest

__all__ = ["Functions", "NoResult", "Raised", "Returned"]

LONGEST_LINE = 8 * worker.LONGEST
"""The longest reply, in bytes: escaped, a character takes six."""
SHOWN = 200
SECRETS = ("RUNFLOW_TOKEN",)
"""What of the environment is kept from the author's code, beside the keys of all services."""
JOIN_SECONDS = 1.0


class NoResult(Exception):
    """A function gave no result; carries a sentence."""


class Raised(Exception):
    """A function raised. The exception's text is a sentence for people."""

    def __init__(self, sentence: str, said: str) -> None:
        super().__init__(sentence)
        self.said = said
        """What was raised, for a model: in English, and of the function alone."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a function returned: a text as it is, any other value as JSON."""

    text: str
    is_text: bool


class Functions:
    """The functions below one folder. Their process starts with the first call, and lives until `kill` or `close`.

    What they keep in their modules lasts as long. One call at a time. With `debug` what they print goes to our standard error.
    """

    def __init__(self, folder: Path, *, debug: bool = False) -> None:
        self.folder = folder.resolve()
        self.debug = debug
        self.lock = Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.thread: Thread | None = None
        self.number = 0
        """The latest call's."""
        self.stopped = 0
        """The latest call's that must not start any more."""

    def call(self, function: PythonFunction, arguments: Mapping[str, object]) -> "Future[Returned]":
        """Call it with these keyword arguments; the future raises Raised or NoResult."""
        return self.begin(function, {"arguments": arguments})

    def judge(self, function: PythonFunction, turn: Mapping[str, object]) -> "Future[Returned]":
        """Call it with one argument that has these attributes; the future raises Raised or NoResult."""
        return self.begin(function, {"turn": turn})

    def begin(self, function: PythonFunction, given: Mapping[str, object]) -> "Future[Returned]":
        self.number += 1
        request = {"function": function.function, **given}
        future: Future[Returned] = Future()
        # A thread for each call: neither an event loop nor the threads it shares wait for the author's code.
        self.thread = Thread(target=self.exchange, args=(self.number, function, request, future), daemon=True)
        self.thread.start()
        return future

    def exchange(
        self, number: int, function: PythonFunction, request: Mapping[str, object], future: "Future[Returned]"
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = self.result(number, function, request)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def result(self, number: int, function: PythonFunction, request: Mapping[str, object]) -> Returned:
        file = located(self.folder, function.file)
        process = self.started(number)
        reply = replied(process, {**request, "file": str(file)})
        if reply is None:
            raise NoResult(self.ended(process, function))
        try:
            return understood(function, reply)
        except (KeyError, TypeError, AttributeError):
            # The author's code found our pipe, and wrote something else into it.
            raise NoResult(self.ended(process, function)) from None

    def started(self, number: int) -> "subprocess.Popen[bytes]":
        with self.lock:
            if number <= self.stopped:
                raise NoResult(_("the call was stopped"))
            if self.process is None:
                self.process = start(self.folder, debug=self.debug)
            return self.process

    def ended(self, process: "subprocess.Popen[bytes]", function: PythonFunction) -> str:
        self.end(process)
        bury(process)
        code = process.returncode
        if code < 0:
            with suppress(ValueError):
                return _("`{function}` ended its process by {signal}").format(
                    function=function, signal=signal.Signals(-code).name
                )
        return _("`{function}` ended its process with exit code {code}").format(function=function, code=code)

    def kill(self) -> None:
        """End the process and all it started, without waiting for its end; a next call begins with a new one."""
        with self.lock:
            self.stopped = self.number
            process = self.process
        if process is not None:
            self.end(process)

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        with self.lock:
            if process is not self.process:
                return
            self.process = None
        if sys.platform == "win32":
            process.kill()
        else:
            # Nobody has waited for it yet, so its number is nobody else's.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and all it started, and wait for that."""
        process, thread = self.process, self.thread
        self.kill()
        if thread is not None:
            thread.join(JOIN_SECONDS)
        if process is not None and not (thread is not None and thread.is_alive()):
            bury(process)


def start(folder: Path, *, debug: bool) -> "subprocess.Popen[bytes]":
    """A process that waits for requests; raise NoResult when there can be none."""
    secret = {*SECRETS, *(kind.key_variable for kind in targets.values() if kind.key_variable)}
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-B", worker.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name not in secret},
            **options,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise NoResult(_("no Python process could be started: {reason}").format(reason=reason)) from error


def bury(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of a process that was killed, and close the pipes to it."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()
    process.wait()


def replied(process: "subprocess.Popen[bytes]", request: Mapping[str, object]) -> Mapping[str, Any] | None:
    """The reply to a request; None when the process is gone, or says what is no reply."""
    inbox, outbox = process.stdin, process.stdout
    assert inbox is not None
    assert outbox is not None
    try:
        inbox.write(json.dumps(request).encode() + b"\n")
        inbox.flush()
        return dict(json.loads(outbox.readline(LONGEST_LINE)))
    except (OSError, TypeError, ValueError, RecursionError):
        return None


def located(folder: Path, file: str) -> Path:
    """The file of a function; raise NoResult unless it lies below the folder, links followed, and is not hidden."""
    try:
        path = (folder / file).resolve()
        there = path.is_file()
    except (OSError, RuntimeError, ValueError):
        raise NoResult(_("`{file}` is no path").format(file=file)) from None
    if not path.is_relative_to(folder):
        raise NoResult(_("`{file}` lies outside the flow's folder").format(file=file))
    if any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts):
        raise NoResult(_("`{file}` is a hidden file").format(file=file))
    if not there:
        raise NoResult(_("there is no file `{file}`").format(file=file))
    return path


# ── in sentences ─────────────────────────────────────────────────────────────────────────────────────────────────────


def understood(function: PythonFunction, reply: Mapping[str, Any]) -> Returned:
    """What a reply says: what the function returned, or Raised, or NoResult."""
    match reply["end"]:
        case "returned":
            return Returned("" + reply["text"], reply["is_text"])
        case "raised":
            sentence = _("`{function}` raised {error}").format(function=function, error=shown(reply))
            raise Raised(sentence, reply["text"] if reply["text"].strip() and reply["kind"] != "KeyError" else named(reply))
        case "unsuited":
            sentence = unsuited(function, reply)
        case "unloaded":
            sentence = _("`{file}` cannot be loaded: {error}").format(file=function.file, error=shown(reply))
        case "missing":
            sentence = missing(function, reply["names"])
        case "uncallable":
            sentence = _("`{function}` is no function but of type {kind}").format(function=function, kind=reply["kind"])
        case "exited":
            sentence = _("`{function}` called `sys.exit`; let it return a value or raise an exception").format(
                function=function
            )
        case "long":
            sentence = _("`{function}` returned {count} characters; at most {limit} are passed on").format(
                function=function, count=reply["count"], limit=worker.LONGEST
            )
        case _unfit:
            sentence = unfit(function, reply)
    raise NoResult(sentence)


def named(reply: Mapping[str, Any]) -> str:
    """`KeyError: 'x'`: an exception as Python shows it."""
    return f"{reply['kind']}: {reply['text']}" if reply["text"].strip() else str(reply["kind"])


def shown(reply: Mapping[str, Any]) -> str:
    error = one_line(named(reply), SHOWN)
    return _("{error} ({place})").format(error=error, place=reply["place"]) if reply["place"] else error


def missing(function: PythonFunction, names: list[str]) -> str:
    sentence = _("`{file}` has no function `{name}`").format(file=function.file, name=function.function)
    if close := nearest(function.function, names):
        return _("{sentence}; did you mean `{name}`?").format(sentence=sentence, name=close)
    return sentence


def unsuited(function: PythonFunction, reply: Mapping[str, Any]) -> str:
    """Why the function does not take arguments that fit what is declared: the two were written by the same author."""
    lacking, unknown = reply["missing"], reply["unknown"]
    if lacking:
        return _("`{function}` needs {names}, which the call does not have").format(function=function, names=listed(lacking))
    if unknown:
        return _("`{function}` has no parameter for {names}").format(function=function, names=listed(unknown))
    return _("`{function}` does not take what the call has: {reason}").format(function=function, reason=reply["reason"])


def unfit(function: PythonFunction, reply: Mapping[str, Any]) -> str:
    match reply["why"]:
        case "kind":
            reason = _("a value of type {kind}").format(kind=reply["kind"])
        case "key":
            reason = _("a key that is no text")
        case "deep":
            reason = _("too many levels")
        case "circle":
            reason = _("a value that holds itself")
        case "digits":
            reason = _("a number of thousands of digits")
        case "half":
            reason = _("half a character")
        case _number:
            reason = _("NaN or an infinite number")
    return _("what `{function}` returned is not JSON: it holds {reason}").format(function=function, reason=reason)
