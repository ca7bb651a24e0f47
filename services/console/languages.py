"""The languages of the console. English texts are in the templates, others in ``locale/<language>/console.po``."""

import gettext
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

FOLDER = Path(__file__).with_name("locale")
ENGLISH = "en"
# The name of each language, in that language.
LANGUAGES = {ENGLISH: "English", "hi": "हिन्दी"}


@cache
def translations(language: str) -> gettext.NullTranslations:
    """Return the texts of ``language``. A text that is not translated stays English."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    with (FOLDER / language / "console.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def chosen_language(cookie: str | None, accept_language: str) -> str:
    """Return the language of the cookie, else the browser's first choice that the console has, else English."""
    if cookie in LANGUAGES:
        return cookie
    preferred = (tag.split("-")[0] for tag in _preferred(accept_language))
    return next((language for language in preferred if language in LANGUAGES), ENGLISH)


def _preferred(accept_language: str) -> Iterable[str]:
    """Return language tags of an Accept-Language header, the preferred first (RFC 9110, section 12.5.4)."""
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), place, tag.strip().lower()))
        except ValueError:
            continue
    return [tag for _, _, tag in sorted(weighed)]


@cache
def locale_of(language: str) -> Locale:
    """Return the locale for dates and numbers in ``language``. English is that of India."""
    return Locale.parse({ENGLISH: "en_IN", "hi": "hi_IN"}[language])
