"""The translation catalogue holds every text of the console, and no others."""

import re

import pytest

from services.console.languages import ENGLISH, LANGUAGES, chosen_language, translations
from services.console.texts import catalogue, texts

PLACE = re.compile(r"%\(\w+\)s")
OTHERS = [language for language in LANGUAGES if language != ENGLISH]


@pytest.mark.parametrize("language", OTHERS)
def test_the_catalogue_translates_exactly_the_texts_in_use(language: str) -> None:
    expected = {text if isinstance(text, str) else text[0] for text in texts()}
    translated = {}
    for message in catalogue(language):
        if message.id:
            single = message.id if isinstance(message.id, str) else message.id[0]
            translated[single] = message.string
    assert translated.keys() == expected, "run `python -m services.console.texts`, and translate"
    untranslated = [text for text, string in translated.items() if not string or not all(string)]
    assert untranslated == []


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_the_placeholders(language: str) -> None:
    for message in catalogue(language):
        if message.id and isinstance(message.id, str):
            assert set(PLACE.findall(message.id)) == set(PLACE.findall(str(message.string))), message.id


def test_a_text_is_shown_in_the_chosen_language() -> None:
    assert translations("hi").gettext("Sign in") == "साइन इन"
    assert translations("en").gettext("Sign in") == "Sign in"
    assert translations("hi").ngettext("%(num)s row", "%(num)s rows", 2) == "%(num)s पंक्तियाँ"


@pytest.mark.parametrize(
    ("cookie", "header", "expected"),
    [
        ("hi", "en", "hi"),
        (None, "hi-IN,hi;q=0.9,en;q=0.8", "hi"),
        (None, "fr, en;q=0.5, hi;q=0.4", "en"),
        (None, "hi;q=0.2, en-GB;q=0.9", "en"),
        ("xx", "", "en"),
        (None, "hi;q=x, *", "en"),
    ],
)
def test_the_cookie_selects_the_language_before_the_browser(cookie: str | None, header: str, expected: str) -> None:
    assert chosen_language(cookie, header) == expected
