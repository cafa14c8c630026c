"""Answer calls by a server of the author's."""

from runner.checks.arguments import dumps, read
from runner.clean import one_line
from runner.tools import LONGEST, Answered, NoAnswer
from runner.tools.values import error
from runner.transport.posting import Unanswered, posted
from runner.words import _

__all__ = ["post"]

EXCERPT = 2_000
SHOWN = 200


async def post(url: str, arguments: str, seconds: float) -> Answered:
    """What the server answers to the arguments as JSON; raise NoAnswer when that is nothing, or nothing to pass on."""
    try:
        status, text = await posted(url, dumps(read(arguments)).encode(), limit=LONGEST, seconds=seconds)
    except Unanswered as reason:
        raise NoAnswer(str(reason)) from reason
    if 200 <= status < 300:
        return Answered(text, "http")
    said = f"HTTP {status}: {text[:EXCERPT].strip()}" if text.strip() else f"HTTP {status}"
    if 300 <= status < 400:
        trouble = _("`{url}` answered {status}: it leads elsewhere, and only the address in the file is asked")
    else:
        trouble = _("`{url}` answered {status}: {text}") if text.strip() else _("`{url}` answered {status}")
    return Answered(error(said), "http", trouble.format(url=url, status=status, text=one_line(text, SHOWN)))
