"""Choose the language of the sentences people read; codes, keys and file formats stay English."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations, find, translation
from pathlib import Path

__all__ = [
    "_",
    "choose",
    "in_english",
    "known",
    "languages",
    "listed",
    "nearest",
    "ngettext",
    "plain_name",
    "requested",
    "told",
]

LOCALE = Path(__file__).parent / "locale"
VARIABLES = ("RUNFLOW_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

chosen: NullTranslations = NullTranslations()
for_model: ContextVar[bool] = ContextVar("for_model", default=False)


def requested(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The languages the environment asks for, best first; RUNFLOW_LANG wins over the usual variables."""
    for name in VARIABLES:
        if value := environment.get(name):
            return tuple(part.partition(".")[0] for part in value.split(":") if part)
    return ()


@cache
def load(languages: tuple[str, ...]) -> NullTranslations | GNUTranslations:
    return translation("runflow", LOCALE, languages, fallback=True)


def languages() -> tuple[str, ...]:
    """The languages there are sentences in."""
    return ("en", *sorted(path.name for path in LOCALE.iterdir() if path.is_dir()))


def known(language: str) -> bool:
    """Whether there are sentences in a language, or in the one it is a kind of: `ja_JP` is known as `ja`."""
    name = locale_name(language)
    return name.partition("_")[0] == "en" or bool(find("runflow", LOCALE, (name,)))


def locale_name(language: str) -> str:
    """`zh-CN` as catalogues are named: `zh_CN`."""
    return language.replace("-", "_")


def choose(language: str | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Use `language` (`ja`, `zh_CN`), or what the environment asks for; English where there is no translation."""
    global chosen
    chosen = load((locale_name(language),) if language else requested(environment))


@contextmanager
def in_english() -> Iterator[None]:
    """Within it sentences stay English, because they go to a model: its answers must not depend on who runs the flow."""
    token = for_model.set(True)
    try:
        yield
    finally:
        for_model.reset(token)


def _(message: str) -> str:
    return chosen.gettext(message) if message and not for_model.get() else message


def told(sentence: str) -> str:
    """The translation of a sentence that stands in no call of `_`: in a page of `runner/explain`, or a docstring."""
    return chosen.gettext(sentence)


def ngettext(singular: str, plural: str, count: int) -> str:
    return chosen.ngettext(singular, plural, count)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like a misspelt one, if any is; full-width letters and capitals make no difference."""
    from difflib import get_close_matches

    names = {plain_name(each): each for each in known}
    close = get_close_matches(plain_name(name), names, n=1, cutoff=0.7)
    return names[close[0]] if close else None


def plain_name(name: str) -> str:
    """A name as names are compared."""
    from unicodedata import normalize

    return normalize("NFKC", name).casefold().replace("-", "_").replace(" ", "_").strip("_")


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: `a`, `b`, `c`; of very many, the first."""
    names = list(names)
    return ", ".join(f"`{name}`" for name in names[:30]) + (", …" if len(names) > 30 else "")
