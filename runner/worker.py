"""Run the author's functions in a process of its own: a request a line comes in, a reply a line goes out, both JSON.

This file is started by its path and imports nothing of runflow; `functions` writes its requests and puts its replies into
sentences. What the permission to run does not cover is not imported: only files below the flow's folder, none of them hidden,
and these from their source, never from byte code that lies beside it.
"""

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import CodeType, ModuleType, SimpleNamespace
from typing import IO, Any

LONGEST = 1_000_000
"""The longest result that is passed on, in characters."""
LONGEST_REASON = 2_000

Request = Mapping[str, Any]
Reply = dict[str, object]


# ── what may be imported ─────────────────────────────────────────────────────────────────────────────────────────────


class Fresh(SourceFileLoader):
    """Reads a module from its source alone."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class Covered(FileFinder):
    """Finds the modules below the flow's folder that the permission covers."""

    folder = ""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, target)
        if spec is not None and spec.origin is not None:
            real = Path(spec.origin).resolve()
            inside = real.relative_to(self.folder).parts if real.is_relative_to(self.folder) else ("..",)
            if any(part.startswith(".") or part == "__pycache__" for part in inside):
                raise ImportError(f"{spec.origin} is hidden or lies outside the flow's folder")
        return spec


def admit(folder: str) -> None:
    """Let modules of the folder be imported, before any others."""
    Covered.folder = folder
    # An environment, or Python itself, may lie in the folder: what is on the path already is not the flow's.
    installed = [entry for entry in sys.path if entry != folder and within(entry, folder)]

    def finder(path: str) -> Covered:
        if not within(path, folder) or any(within(path, entry) for entry in installed):
            raise ImportError(path)
        return Covered(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (Fresh, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()
    sys.path.insert(0, folder)


def within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


# ── running a function ───────────────────────────────────────────────────────────────────────────────────────────────


class Worker:
    """The modules loaded so far, and the event loop of their asynchronous functions; both last as long as the process."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.modules: dict[str, ModuleType] = {}
        self.runner: Any = None

    def answer(self, request: Request) -> Reply:
        """What came of a request: a result, or why there is none."""
        try:
            module = self.module(request["file"])
            function = getattr(module, request["function"], None)
        except BaseException as error:
            return {"end": "unloaded", **self.told(error)}
        if function is None:
            return {"end": "missing", "names": [name for name, each in vars(module).items() if inspect.isroutine(each)]}
        if not callable(function):
            return {"end": "uncallable", "kind": type(function).__name__}
        try:
            return self.call(function, request)
        except SystemExit:
            return {"end": "exited"}
        except BaseException as error:
            return {"end": "raised", **self.told(error)}

    def call(self, function: Callable[..., object], request: Request) -> Reply:
        if "turn" in request:
            turn = dict(request["turn"])
            turn["calls"] = [SimpleNamespace(**call) for call in turn["calls"]]
            result = function(SimpleNamespace(**turn))
        elif refusal := unsuited(function, request["arguments"]):
            return refusal
        else:
            result = function(**request["arguments"])
        return encoded(self.awaited(result) if inspect.isawaitable(result) else result)

    def awaited(self, result: Any) -> object:
        async def wait() -> object:
            return await result

        if self.runner is None:
            # A file of the author's may be called like one of the many modules this needs.
            sys.path.remove(self.folder)
            import asyncio

            sys.path.insert(0, self.folder)
            self.runner = asyncio.Runner()
        answer: object = self.runner.run(wait())
        return answer

    def module(self, file: str) -> ModuleType:
        """The module in a file, loaded when first asked for; raises whatever it raises."""
        if file in self.modules:
            return self.modules[file]
        parts = Path(file).relative_to(self.folder).with_suffix("").parts
        name = ".".join(parts)
        taken = sys.modules.get(name)
        if taken is not None and getattr(taken, "__file__", None) == file:
            self.modules[file] = taken
            return taken
        if taken is not None or not all(map(str.isidentifier, parts)):
            name = f"flow:{name}"
        spec = spec_from_file_location(name, file, loader=Fresh(name, file))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        self.modules[file] = module
        return module

    def told(self, error: BaseException) -> Reply:
        """An exception's kind and text, and the last place in the author's code it passed."""
        try:
            text = str(error)[:LONGEST_REASON].encode("utf-8", "replace").decode()
        except BaseException:
            text = ""
        place, trace = "", error.__traceback__
        while trace is not None:
            path = trace.tb_frame.f_code.co_filename
            if within(path, self.folder) and path != __file__:
                place = f"{Path(path).relative_to(self.folder)}:{trace.tb_lineno}"
            trace = trace.tb_next
        return {"kind": type(error).__name__, "text": text, "place": place}


def unsuited(function: Callable[..., object], arguments: Mapping[str, object]) -> Reply | None:
    """Which arguments the function lacks or does not know; None when it takes them, or does not say what it takes."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(**arguments)
    except TypeError as error:
        named = [each for each in signature.parameters.values() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        known = {each.name for each in named}
        missing = [each.name for each in named if each.default is each.empty and each.name not in arguments]
        return {
            "end": "unsuited",
            "missing": missing,
            "unknown": [name for name in arguments if name not in known],
            "reason": str(error),
        }
    return None


class Unfit(TypeError):
    """A value that JSON has no form for."""


def refuse(value: object) -> object:
    raise Unfit(type(value).__name__)


def encoded(result: object) -> Reply:
    """A text as it is, any other value as JSON; or why it cannot be passed on."""
    is_text = isinstance(result, str)
    try:
        if isinstance(result, str):
            text = str.__str__(result)
        else:
            text = json.dumps(result, ensure_ascii=False, allow_nan=False, default=refuse)
    except Unfit as error:
        return {"end": "unfit", "why": "kind", "kind": str(error)}
    except TypeError:
        return {"end": "unfit", "why": "key"}
    except RecursionError:
        return {"end": "unfit", "why": "deep"}
    except ValueError as error:
        why = "circle" if "ircular" in str(error) else "digits" if "digits" in str(error) else "number"
        return {"end": "unfit", "why": why}
    if len(text) > LONGEST:
        return {"end": "long", "count": len(text)}
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return {"end": "unfit", "why": "half"}
    return {"end": "returned", "text": text, "is_text": is_text}


# ── the process ──────────────────────────────────────────────────────────────────────────────────────────────────────


def own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Our ways in and out, which neither the author's code nor a process it starts can see: for them standard input is
    empty, and what they print goes to standard error."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace", line_buffering=True)
    return inbox, outbox


def listen(inbox: IO[bytes], requests: "SimpleQueue[Request]") -> None:
    """Pass the requests on; when there can be no more, end this process, whatever it is doing, and all it started."""
    for line in inbox:
        requests.put(json.loads(line))
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main(folder: str) -> None:
    inbox, outbox = own_pipes()
    own = os.getpid()
    requests: SimpleQueue[Request] = SimpleQueue()
    Thread(target=listen, args=(inbox, requests), daemon=True).start()
    admit(folder)
    os.chdir(folder)
    worker = Worker(folder)
    while True:
        request = requests.get()
        reply = worker.answer(request)
        if os.getpid() != own:
            # The function forked, and this is the copy.
            os._exit(0)
        outbox.write(json.dumps(reply, ensure_ascii=False).encode() + b"\n")
        outbox.flush()


if __name__ == "__main__":
    main(sys.argv[1])
