"""Keep runner/locale in step with the sentences in the code.

python -m tests.catalogues      update every .po file and compile it to the .mo that the program reads
"""

from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from runner import explain

RUNNER = Path(__file__).parent.parent / "runner"
LOCALE = RUNNER / "locale"
KEYWORDS = {"_": None, "ngettext": (1, 2)}


def template() -> Catalog:
    """Every sentence that goes through `_`, `ngettext` or `told`, without places: they would change with every commit."""
    catalog = Catalog(project="runflow")
    for _, _, message, comments, _ in extract_from_dir(RUNNER, [("**.py", "python")], keywords=KEYWORDS):
        catalog.add(message, auto_comments=comments)
    for sentence in explain.sentences():
        catalog.add(sentence)
    return catalog


def languages() -> list[str]:
    return sorted(path.name for path in LOCALE.iterdir() if path.is_dir())


def po_file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "runflow.po"


def catalogue(language: str) -> Catalog:
    """The translations of one language; none yet for a new folder."""
    if not po_file(language).exists():
        comment = f"# The sentences of runflow in {Locale.parse(language).english_name}."
        return Catalog(locale=language, project="runflow", header_comment=comment, fuzzy=False)
    with po_file(language).open("rb") as stream:
        return read_po(stream, locale=language)


def compiled(catalog: Catalog) -> bytes:
    buffer = BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def main() -> None:
    for language in languages():
        catalog = catalogue(language)
        catalog.update(template(), no_fuzzy_matching=True, update_creation_date=False)
        with po_file(language).open("wb") as stream:
            write_po(stream, catalog, width=120, omit_header=False, sort_output=True, ignore_obsolete=True)
        po_file(language).with_suffix(".mo").write_bytes(compiled(catalogue(language)))
        missing = sum(1 for message in catalog if message.id and not message.string)
        print(f"{language}: {len(catalog)} sentences, {missing} without a translation")


if __name__ == "__main__":
    main()
