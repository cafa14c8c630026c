"""Find the manual page of a code or a check: what it means and why, with an example that is wrong and one that is right."""

import inspect
from functools import cache
from pathlib import Path

from runner.registry import checks

__all__ = ["codes", "page"]

PAGES = Path(__file__).parent


@cache
def codes() -> tuple[str, ...]:
    """The codes that have a page, in order."""
    return tuple(sorted(path.stem for path in PAGES.glob("*.md")))


def page(name: str) -> str | None:
    """The page of a diagnostic's code or of a check, as Markdown; None for any other name."""
    if name in codes():
        return (PAGES / f"{name}.md").read_text(encoding="utf-8")
    if name in checks:
        return inspect.cleandoc(checks[name].__doc__ or "")
    return None
