"""Run conversations with an LLM assistant from a YAML file and check every answer.

What is listed here stays; everything else may move. It is loaded when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.diagnostics import Problems
    from runner.model import Flow
    from runner.registry import check, reporter, target
    from runner.report import Report

__all__ = ["DISTRIBUTION", "Flow", "Problems", "Report", "__version__", "check", "reporter", "target"]

DISTRIBUTION = "runflow-assistants"
"""The name on the package index, which hints must print: `runflow` and `runner` belong to others there."""

__version__ = "0.1.0"

HOMES = {
    "Flow": "runner.model",
    "Problems": "runner.diagnostics",
    "Report": "runner.report",
    "check": "runner.registry",
    "reporter": "runner.registry",
    "target": "runner.registry",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module 'runner' has no attribute '{name}'")
    return getattr(import_module(HOMES[name]), name)
