"""Collect the texts of the console. ``python -m services.console.texts`` adds missing texts to the catalogues."""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from services.console.languages import ENGLISH, FOLDER, LANGUAGES
from services.console.navigation import SECTIONS
from services.console.pages.drive import EVENTS
from services.console.pages.exports import KINDS
from services.console.presentation import FIELDS, READINGS, REASONS, ROLES, STATES
from services.console.visit import DONE

TEMPLATES = Path(__file__).with_name("templates")
OPTIONS = {"extensions": "jinja2.ext.do", "trimmed": "true", "silent": "false"}
# Sentences that pages pass to their templates.
PASSED_TO_TEMPLATES = ("The count is not available right now.",)

Text = str | tuple[str, str]


def texts() -> set[Text]:
    """Return every English text, from templates and from Python. A pair is a singular and its plural."""
    named = [
        *ROLES.values(),
        *REASONS.values(),
        *READINGS.values(),
        *FIELDS.values(),
        *EVENTS.values(),
        *KINDS.values(),
        *DONE.values(),
        *(word for _, word, _ in STATES.values()),
        *PASSED_TO_TEMPLATES,
    ]
    titles = [section.title for section in SECTIONS] + [one.title for section in SECTIONS for one in section.screens]
    return {*_of_templates(), *named, *filter(None, titles)}


def _of_templates() -> Iterator[Text]:
    for path in sorted(TEMPLATES.rglob("*.html")):
        with path.open("rb") as file:
            for _line, function, message, _comments in babel_extract(file, ["_", "ngettext"], [], OPTIONS):
                # Further arguments of the call are None.
                strings = [message] if isinstance(message, str) else [one for one in message or () if one]
                if function == "ngettext":
                    yield strings[0], strings[1]
                elif strings:  # else the text is a variable, whose values come from Python
                    yield strings[0]


def catalogue(language: str) -> Catalog:
    """Return the catalogue in the file of a language; an empty one if there is no file."""
    path = FOLDER / language / "console.po"
    if not path.is_file():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> list[str]:
    """Add missing texts to the file, and remove those that nothing shows. Return the texts without a translation."""
    before, after = catalogue(language), Catalog(locale=language, project="Placewire", fuzzy=False)
    for text in sorted(texts(), key=str):
        message = before.get(text if isinstance(text, str) else text[0])
        after.add(text, message.string if message else None)
    with (FOLDER / language / "console.po").open("wb") as file:
        write_po(file, after, omit_header=False, width=110)
    return [str(message.id) for message in after if message.id and not _is_translated(message.string)]


def _is_translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


if __name__ == "__main__":
    for name in LANGUAGES:
        if name != ENGLISH:
            print(f"{name}: {len(update(name))} texts to translate")  # noqa: T201
