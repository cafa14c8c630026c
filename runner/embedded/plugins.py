"""The service's own tools: what each gives back, and the function that stands for it where a model calls functions."""

import json
from collections.abc import Callable, Mapping
from uuid import uuid4

from runner.embedded.objects import Json
from runner.values import dataclass

__all__ = ["Draw", "calculated", "definition", "found", "known", "no_passages", "not_run", "painted", "use"]

Draw = Callable[[str], str]
"""Makes a picture of a prompt; gives its URL."""


# ── what they give back ──────────────────────────────────────────────────────────────────────────────────────────────


def painted(url: str, now: float) -> Json:
    """The image service's task result, as the plug-in passes it on."""
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    return {
        "request_id": str(uuid4()),
        "output": {
            "task_id": str(uuid4()),
            "task_status": "SUCCEEDED",
            "submit_time": moment,
            "scheduled_time": moment,
            "end_time": moment,
            "results": [{"url": url}],
            "task_metrics": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0},
        },
        "usage": {"image_count": 1},
    }


def calculated(formula: str) -> Json:
    """What `calculator` gives back."""
    from runner.embedded.calculator import calculate

    try:
        return {"formula": formula, "result": calculate(formula)}
    except ValueError as error:
        return {"formula": formula, "error": str(error)}


def not_run() -> Json:
    """What `code_interpreter` gives back."""
    return {"error": "the embedded service does not run code"}


def found(query: str) -> Json:
    """What `quark_search` gives back: it looks like a result, and says that it is none."""
    desc = "a canned result: nothing was searched"
    entry = {"title": query, "url": "https://example.com/", "desc": desc, "type": "web", "source": "embedded"}
    told = {"success": True, "errorCode": None, "errorMsg": None, "data": [entry]}
    return {**told, "requestId": str(uuid4()), "failed": False}


def no_passages() -> Json:
    """What `rag` gives back."""
    return {"passages": [], "note": "the embedded service has no documents"}


# ── as functions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Plugin:
    """One tool: what it is for, its arguments (the first one is needed), and what a call gives back."""

    description: str
    arguments: Mapping[str, str]
    use: Callable[[str, Draw, float], Json]


def painting(prompt: str, draw: Draw, now: float) -> Json:
    return painted(draw(prompt), now)


PICTURE = Plugin(
    "Make a picture and give its URL. Show the picture to the user as a Markdown image with this URL.",
    {"prompt": "What the picture shows"},
    painting,
)
SEARCH = Plugin("Search the web", {"query": "What to search for"}, lambda query, draw, now: found(query))
PLUGINS: Mapping[str, Plugin] = {
    "calculator": Plugin(
        "Work out an arithmetic formula",
        {"formula": "Numbers, parentheses and + - * / % **"},
        lambda formula, draw, now: calculated(formula),
    ),
    "code_interpreter": Plugin(
        "Run a program and give what it prints",
        {"code": "The program", "language": "The language it is written in"},
        lambda code, draw, now: not_run(),
    ),
    "quark_search": SEARCH,
    "rag": Plugin(
        "Look into the user's documents", {"query": "What to look for"}, lambda query, draw, now: no_passages()
    ),
    "search": SEARCH,
    "text_to_image": PICTURE,
    "wanx": PICTURE,
}  # fmt: skip


def known(tool: str) -> bool:
    return tool in PLUGINS


def definition(tool: Json) -> Json:
    """The function that stands for a tool of the service; its own description, if it has one, is kept."""
    kind = tool["type"]
    plugin = PLUGINS[kind]
    own = tool.get("description")
    [needed, *_] = plugin.arguments
    return {
        "name": kind,
        "description": own if isinstance(own, str) and own else plugin.description,
        "parameters": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in plugin.arguments.items()},
            "required": [needed],
        },
    }


def use(tool: str, arguments: str, draw: Draw, now: float) -> Json:
    """What the tool gives back; an error text for the model when the arguments are none."""
    plugin = PLUGINS[tool]
    [needed, *_] = plugin.arguments
    try:
        given = json.loads(arguments)
        json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {"error": "the arguments are not JSON"}
    value = given.get(needed) if isinstance(given, dict) else None
    if not isinstance(value, str) or not value.strip():
        return {"error": f"the argument `{needed}` is missing; it is a text"}
    return plugin.use(value, draw, now)
