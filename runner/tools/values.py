"""Write what a function gives as the text that goes to the service."""

import json

from runner.checks.arguments import dumps
from runner.forms import Value

__all__ = ["error", "text_of"]


def text_of(value: Value) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else dumps(value)


def error(message: str) -> str:
    """How a function tells a model that it failed."""
    return json.dumps({"error": message}, ensure_ascii=False)
