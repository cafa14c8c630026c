"""Find in what a run left the answer itself: its messages, its pictures, the values to keep, the conversation as a whole."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from runner.model import Message, Role, RunStatus, SavedValue, ToolCall, Turn, Usage
from runner.words import _

__all__ = ["answered", "picture_sources", "saved", "whole"]

PAINTERS = frozenset({"text_to_image", "wanx"})
"""Tools whose output tells where a picture is; other tools name pages too."""

URL = re.compile(r"""(?i:https?)://[^\s<>"'`\\\])}|]+""")
SPACELESS = re.compile(r"(?i:https?)://[^\s<>\"]+")
"""A URL as it may stand where nothing else does."""
EMBEDDED = re.compile(r"!\[[^\[\]\n]*\]\(\s*<?(https?://[^\s<>()]+(?:\([^\s<>()]*\)[^\s<>()]*)*)")
PICTURE = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def answered(messages: Sequence[Message], run_id: str) -> tuple[Message, ...]:
    """The assistant's messages of this run, oldest first, from messages newest first.

    Where the service leaves `run_id` out, they are those without one.
    """
    theirs = [message for message in reversed(messages) if message.role == Role.ASSISTANT]
    return tuple(message for message in theirs if message.run_id == run_id) or tuple(
        message for message in theirs if not message.run_id
    )


def picture_sources(calls: Sequence[ToolCall], messages: Sequence[Message]) -> tuple[str, ...]:
    """Where the answer's pictures are, each once: outputs of tools that paint, then content items, then links in the text.

    What the author's own functions put out is no answer until the assistant shows it.
    """
    return tuple(dict.fromkeys(found_pictures(calls, messages)))


def found_pictures(calls: Sequence[ToolCall], messages: Sequence[Message]) -> Iterator[str]:
    for call in calls:
        for url, alone in urls_of("" if call.is_function else call.output or ""):
            if (alone and call.name in PAINTERS) or is_picture(url):
                yield url
    for message in messages:
        yield from message.image_urls
        yield from message.image_file_ids
    for message in messages:
        yield from EMBEDDED.findall(message.text)
        yield from (url for url in urls_in(message.text) if is_picture(url))


def urls_of(output: str) -> Iterator[tuple[str, bool]]:
    """Every URL in a tool's output, and whether it stands alone: all of a text in JSON, or anywhere in what is no JSON.

    A URL within a sentence of the JSON is a hint of the service's, such as where to read about an error.
    """
    try:
        data = json.loads(output)
        texts = tuple(texts_in(json.loads(data) if isinstance(data, str) else data))
    except (ValueError, RecursionError):
        yield from ((url, True) for url in urls_in(output))
        return
    for text in texts:
        if URL.fullmatch(text) or SPACELESS.fullmatch(text):
            yield text, True
        else:
            yield from ((url, False) for url in urls_in(text))


def texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def urls_in(text: str) -> Iterator[str]:
    """The URLs of a text, each without the mark that ends its sentence."""
    for found in URL.findall(text):
        for url in re.split(r",(?=https?://)", found):
            yield url.replace("&amp;", "&").rstrip(".,;:!?。，、")


def is_picture(url: str) -> bool:
    try:
        return urlsplit(url).path.lower().endswith(PICTURE)
    except ValueError:
        return False


def whole(turns: Sequence[Turn]) -> Turn:
    """All turns of a conversation as one; its status is the first that is not `completed`."""
    usages = [turn.usage for turn in turns if turn.usage is not None]
    counted = len(usages) == len(turns) and bool(turns)
    return Turn(
        text="\n\n".join(turn.text for turn in turns if turn.text),
        status=next((turn.status for turn in turns if turn.status != RunStatus.COMPLETED), RunStatus.COMPLETED),
        calls=tuple(call for turn in turns for call in turn.calls),
        images=tuple(image for turn in turns for image in turn.images),
        usage=Usage(
            sum(usage.input_tokens for usage in usages),
            sum(usage.output_tokens for usage in usages),
            sum(usage.total_tokens for usage in usages),
        )
        if counted
        else None,
        seconds=sum(turn.seconds for turn in turns),
        error=next((turn.error for turn in turns if turn.error is not None), None),
        parameters=agreed(turns),
        folder=turns[0].folder if turns else Path(),
    )


def agreed(turns: Sequence[Turn]) -> dict[str, Mapping[str, object]]:
    """The schemas that a conversation's functions have in every turn; no call can be judged by that of another turn."""
    found: dict[str, list[Mapping[str, object]]] = {}
    for turn in turns:
        for name, schema in turn.parameters.items():
            found.setdefault(name, []).append(schema)
    return {name: first for name, (first, *others) in found.items() if all(other == first for other in others)}


def saved(wanted: SavedValue, text: str) -> str:
    """What a `save` entry finds in an answer, never empty; raise ValueError with the reason when it finds nothing."""
    value = by_pattern(wanted.matches, text) if wanted.matches is not None else by_path(wanted.json or "", text)
    if not value.strip():
        raise ValueError(_("what was found is empty"))
    return value


def by_pattern(pattern: str, text: str) -> str:
    from runner.checks.matching import BadPattern, TookTooLong, find

    try:
        found = find(pattern, text)
    except BadPattern as error:
        raise ValueError(str(error)) from error
    except TookTooLong as error:
        raise ValueError(_("the regular expression took too long")) from error
    if found is None:
        raise ValueError(_("the reply does not match {pattern}").format(pattern=pattern))
    return (found.groups()[0] if found.groups() else found[0]) or ""


def by_path(path: str, text: str) -> str:
    from runner.checks.allowance import TookTooLong
    from runner.checks.json_answer import BadPath, NotJson, TooLarge, read, values_at

    try:
        found = values_at(path, read(text))
    except NotJson as error:
        raise ValueError(_("the reply is not JSON: {reason}").format(reason=error)) from error
    except (BadPath, TooLarge) as error:
        raise ValueError(str(error)) from error
    except TookTooLong as error:
        raise ValueError(_("the path took too long")) from error
    if not found:
        raise ValueError(_("the reply has nothing at {path}").format(path=path))
    return found[0] if isinstance(found[0], str) else json.dumps(found[0], ensure_ascii=False)
