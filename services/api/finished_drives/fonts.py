"""Choose a font for each part of a text. No single font has the letters of every script."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import cvttf_NotoSansCJK_Regular
import fontpkg_noto_sans
import fontpkg_noto_sans_arabic
import justmytype_intl_south_asia

LATIN = "latin"
_NOTO = Path(fontpkg_noto_sans.__file__).parent / "files"
_ARABIC = Path(fontpkg_noto_sans_arabic.__file__).parent / "files"
_SOUTH_ASIA = Path(justmytype_intl_south_asia.__file__).parent / "fonts" / "ofl"

# The Debian package fonts-noto-core installs these fonts. PyPI has no package with them.
_SYSTEM = Path("/usr/share/fonts/truetype/noto")
_INSTALLED = {
    script.lower(): path
    for script in ("Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Oriya", "Sinhala", "Thai")
    if (path := _SYSTEM / f"NotoSans{script}-Regular.ttf").exists()
}

FILES: dict[str, Path] = {
    LATIN: _NOTO / "NotoSans[wdth,wght].ttf",
    "arabic": _ARABIC / "NotoSansArabic[wdth,wght].ttf",
    "bengali": _SOUTH_ASIA / "notosansbengali" / "NotoSansBengali[wdth,wght].ttf",
    "cjk": Path(cvttf_NotoSansCJK_Regular.get_TTF_path()),
    "devanagari": _SOUTH_ASIA / "notosansdevanagari" / "NotoSansDevanagari[wdth,wght].ttf",
    "tamil": _SOUTH_ASIA / "notosanstamil" / "NotoSansTamil[wdth,wght].ttf",
    "telugu": _SOUTH_ASIA / "notosanstelugu" / "NotoSansTelugu[wdth,wght].ttf",
    **_INSTALLED,
}

# First and last code point, and the font. Other code points use LATIN. Source: Unicode Character Database, Blocks.txt.
_BLOCKS = (
    (0x0600, 0x06FF, "arabic"), (0x0750, 0x077F, "arabic"), (0x08A0, 0x08FF, "arabic"), (0x0900, 0x097F, "devanagari"),
    (0x0980, 0x09FF, "bengali"), (0x0A00, 0x0A7F, "gurmukhi"), (0x0A80, 0x0AFF, "gujarati"),
    (0x0B00, 0x0B7F, "oriya"), (0x0B80, 0x0BFF, "tamil"), (0x0C00, 0x0C7F, "telugu"), (0x0C80, 0x0CFF, "kannada"),
    (0x0D00, 0x0D7F, "malayalam"), (0x0D80, 0x0DFF, "sinhala"), (0x0E00, 0x0E7F, "thai"), (0x1100, 0x11FF, "cjk"),
    (0x1CD0, 0x1CFF, "devanagari"), (0x2E80, 0xA4CF, "cjk"), (0xA8E0, 0xA8FF, "devanagari"), (0xA960, 0xA97F, "cjk"),
    (0xAC00, 0xD7FF, "cjk"), (0xF900, 0xFAFF, "cjk"), (0xFB50, 0xFDFF, "arabic"), (0xFE30, 0xFE4F, "cjk"),
    (0xFE70, 0xFEFF, "arabic"), (0xFF00, 0xFFEF, "cjk"), (0x20000, 0x3FFFF, "cjk"),
)  # fmt: skip
_STARTS = [first for first, _, _ in _BLOCKS]
# Characters that take the font of the letter before: dandas, which end sentences in every script of India, joiners,
# and the space.
_SHARED = "\u0964\u0965\u200c\u200d "


def runs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of ``text`` in order, each with the name of its font."""
    letters_with_font, current = [], LATIN
    for letter in text:
        if letter not in _SHARED and not unicodedata.combining(letter):
            current = font_of(letter)
        elif letter not in _SHARED and (mark_font := font_of(letter)) != LATIN:
            current = mark_font
        letters_with_font.append((current, letter))
    for font, letters in groupby(letters_with_font, key=lambda pair: pair[0]):
        yield font, "".join(letter for _, letter in letters)


def font_of(letter: str) -> str:
    """Return the name of the font for the letter's script; ``LATIN`` if it is not installed."""
    number = bisect_right(_STARTS, ord(letter)) - 1
    if number >= 0 and ord(letter) <= _BLOCKS[number][1] and (font := _BLOCKS[number][2]) in FILES:
        return font
    return LATIN
