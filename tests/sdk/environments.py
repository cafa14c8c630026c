"""The official DashScope SDKs, each in a virtual environment of its own, made once and kept in the user's cache.

`python -m tests.sdk.environments` makes those that are missing.
"""

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs

VERSIONS = ("2.0.2", "1.20.14")


def folder(version: str) -> Path:
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    return platformdirs.user_cache_path("runflow") / "sdk" / f"dashscope-{version}-{python}"


def python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def present(version: str) -> bool:
    return python(folder(version)).exists()


def make(version: str) -> None:
    """Make the environment beside its place and move it there whole: a broken installation leaves nothing behind."""
    goal = folder(version)
    goal.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=goal.parent, ignore_cleanup_errors=True) as name:
        fresh = Path(name) / "environment"
        subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"dashscope=={version}"]
        subprocess.run([python(fresh), *install], check=True)
        # Somebody else may have been quicker.
        with suppress(FileExistsError, OSError):
            fresh.rename(goal)
    if not present(version):
        raise FileNotFoundError(python(goal))


if __name__ == "__main__":
    for missing in VERSIONS:
        if not present(missing):
            make(missing)
        print(folder(missing))
