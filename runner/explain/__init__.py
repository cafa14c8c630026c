"""Find the manual page of a code, a check or a key: what it means and why, with examples."""

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from runner.registry import checks
from runner.words import _, told

__all__ = ["codes", "keys", "page", "sentences"]

PAGES = Path(__file__).parent
PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


@cache
def codes() -> tuple[str, ...]:
    """The codes that have a page, in order."""
    return tuple(sorted(path.stem for path in PAGES.glob("*.md")))


def page(name: str) -> str | None:
    """The page of a diagnostic's code, of a check or of a key of a flow file, as Markdown; None for any other name."""
    pages = [key_page(name, home, schema) for home, schema in keys().get(name, ())]
    if (text := source(name)) is not None:
        parts = FENCED.split(text)
        whole = (each if FENCED.match(each) else PARAGRAPH.sub(lambda found: in_words(found[0]), each) for each in parts)
        pages = ["".join(whole).rstrip("\n") if pages else "".join(whole), *pages]
    return "\n\n".join(pages) or None


def source(name: str) -> str | None:
    """The page of a code or a check as it was written, in English."""
    if name in codes():
        return (PAGES / f"{name}.md").read_text(encoding="utf-8")
    if name in checks:
        return inspect.cleandoc(checks[name].__doc__ or "")
    return None


def sentences() -> Iterator[str]:
    """Every paragraph of the pages, and what is told of every key, for the catalogues."""
    for name in (*codes(), *checks):
        for part in FENCED.split(source(name) or ""):
            if not FENCED.match(part):
                yield from (" ".join(paragraph.split()) for paragraph in PARAGRAPH.findall(part))
    for places in keys().values():
        yield from (schema["description"] for _home, schema in places)


def in_words(paragraph: str) -> str:
    """A paragraph in the reader's language; without a translation it keeps its line breaks."""
    line = " ".join(paragraph.split())
    said = told(line)
    return paragraph if said == line else said


def keys() -> Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]]:
    """Every key of a flow file with where it stands and its schema there, in the order of the file."""
    found: dict[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {}
    for home, properties in homes():
        for name, schema in properties.items():
            found[name] = (*found.get(name, ()), (home, schema))
    return found


def homes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    from runner.schema import flow_schema

    schema = flow_schema()
    below = schema["definitions"]
    yield _("at the top level"), schema["properties"]
    yield _("under `assistant`"), below["Assistant"]["properties"]
    yield _("under `thread`"), below["ThreadSetup"]["properties"]
    yield _("under `repeat`"), below["Repeat"]["properties"]
    yield _("in a step"), below["Step"]["properties"]
    yield _("under a step's `run`"), below["RunOverrides"]["properties"]
    yield _("in a step's `sample`"), below["Sample"]["properties"]
    yield _("under `tools`"), {"plugin": below["Tool"]["anyOf"][1]["properties"]["plugin"]}
    yield _("in a function under `tools`"), below["Function"]["properties"]
    yield _("in an item of `replies`"), below["Reply"]["properties"]
    for check, kind in (("calls", "ExpectedCall"), ("image", "ImageConditions")):
        yield _("in the check `{name}`").format(name=check), below[kind]["properties"]


def key_page(name: str, home: str, schema: Mapping[str, Any]) -> str:
    line = _("`{key}`, {place}: {doc}.").format(key=name, place=home, doc=told(schema["description"]))
    examples = "\n# or\n".join(written(name, example) for example in schema["examples"])
    return f"{line}\n\n```yaml\n{examples}\n```"


def written(name: str, example: object) -> str:
    import yaml

    inline = None if isinstance(example, list | dict) else False
    return yaml.safe_dump({name: example}, allow_unicode=True, sort_keys=False, default_flow_style=inline, width=100).rstrip()
