"""What others may rely on, and what it costs to have it."""

import subprocess
import sys

import pytest

import runner

PUBLIC = ["DISTRIBUTION", "Flow", "Problems", "Report", "__version__", "check", "reporter", "target"]


def test_the_public_names_are_these_and_sorted() -> None:
    assert PUBLIC == runner.__all__ == sorted(runner.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(runner, name)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'runner' has no attribute 'Flows'"):
        runner.Flows  # noqa: B018


def test_importing_the_package_loads_nothing_of_it() -> None:
    program = "import sys, runner; print(*sorted(name for name in sys.modules if name.startswith('runner')))"
    assert "runner\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
