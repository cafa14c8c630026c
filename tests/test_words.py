"""Sentences reach people in their language, and every translation fits the sentence it stands for."""

import ast
import re
from collections.abc import Sequence

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo

from runner import words
from tests import catalogues


def fields(text: str) -> set[str]:
    """The names in braces; `${name}` is the flow language's, not a field."""
    return set(re.findall(r"(?<!\$)\{([a-z_]+)(?::[^{}]*)?\}", text))


def test_no_sentence_hides_from_the_catalogues() -> None:
    """Babel reads calls with a constant text, and none inside an f-string."""
    hidden = []
    for path in sorted(catalogues.RUNNER.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in catalogues.KEYWORDS:
                texts = node.args[: 2 if node.func.id == "ngettext" else 1]
                if id(node) in inside or not all(isinstance(text, ast.Constant) for text in texts):
                    hidden.append(f"{path.relative_to(catalogues.RUNNER)}:{node.lineno}")
    assert [] == hidden


@pytest.mark.parametrize("language", catalogues.languages())
def test_every_sentence_has_a_translation(language: str) -> None:
    catalogue = catalogues.catalogue(language)
    untranslated = [message.id for message in catalogues.template() if message.id and not translated(catalogue, message.id)]
    assert [] == untranslated


def translated(catalogue: Catalog, identity: str | tuple[str, ...] | list[str]) -> bool:
    found = catalogue.get(identity)
    return bool(found and all(found.string if isinstance(found.string, (tuple, list)) else [found.string]))


@pytest.mark.parametrize("language", catalogues.languages())
def test_a_translation_fills_in_the_same_fields(language: str) -> None:
    for message in catalogues.catalogue(language):
        if not message.id:
            continue
        singular = message.id if isinstance(message.id, str) else message.id[-1]
        for text in [message.string] if isinstance(message.string, str) else message.string or ():
            assert fields(singular) == fields(text), message.id


@pytest.mark.parametrize("language", catalogues.languages())
def test_the_compiled_catalogue_is_made_from_its_source(language: str) -> None:
    expected = translations(catalogues.catalogue(language))
    with catalogues.po_file(language).with_suffix(".mo").open("rb") as stream:
        assert expected == translations(read_mo(stream))


def translations(catalogue: Catalog) -> dict[object, object]:
    """What each sentence becomes; the rest of a catalogue names the version of Babel that wrote it."""
    return {plural(message.id): plural(message.string) for message in catalogue if message.id and message.string}


def plural(sentence: str | Sequence[str]) -> tuple[str, ...]:
    return (sentence,) if isinstance(sentence, str) else tuple(sentence)


def test_runflow_lang_wins_over_the_usual_variables() -> None:
    assert ("ja",) == words.requested({"RUNFLOW_LANG": "ja", "LANG": "de_DE.UTF-8", "LC_ALL": "C"})


def test_the_usual_variables_are_read_in_their_order() -> None:
    assert ("zh_CN", "en") == words.requested({"LANGUAGE": "zh_CN:en", "LANG": "de_DE.UTF-8"})
    assert ("de_DE",) == words.requested({"LANG": "de_DE.UTF-8"})


def test_a_language_without_a_catalogue_gives_english() -> None:
    words.choose("tlh")
    assert "as it stands" == words._("as it stands")


@pytest.mark.parametrize(
    ("language", "known"), [("en-US", True), ("en", True), ("ja-JP", True), ("zh_CN", True), ("tlh", False), ("", False)]
)
def test_a_language_is_known_however_it_is_spelt(language: str, known: bool) -> None:
    assert known == words.known(language)
