"""The PDF report of finished drives, as pypdf reads it: content, and texts in many scripts."""

import io
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uharfbuzz
from pypdf import PdfReader

from chassis.errors import Invalid
from services.api.finished_drives import fonts
from services.api.finished_drives.pdf_file import finished_pdf
from services.api.finished_drives.period import day, integer
from tests.support.sizes import sized

ZONE = ZoneInfo("Asia/Kolkata")
NOW = datetime(2030, 4, 1, 9, 30, tzinfo=UTC)
ROW = {
    "drive_id": 3, "company_name": "Acme", "job_title": "SDE", "interview_date": date(2030, 3, 5),
    "finished_date": datetime(2030, 3, 6, 23, 30, tzinfo=UTC), "total_registered": 12, "total_present": 7,
    "total_absent": 4, "domain_name": "Cloud Computing",
}  # fmt: skip


def report(*rows: dict[str, Any]) -> PdfReader:
    drives: Any = rows
    return PdfReader(io.BytesIO(finished_pdf(drives, now=NOW, zone=ZONE)))


def text_of(pdf: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in pdf.pages)


def test_the_report_has_every_drive() -> None:
    pdf = report(ROW, ROW | {"company_name": "Globex", "interview_date": None, "domain_name": None})
    assert [line.strip() for line in text_of(pdf).splitlines()] == [
        "Finished Placement Drives Report", "Generated on 1 April 2030", "Summary", "Total Drives: 2",
        "Total Registered: 24", "Total Present: 14", "Total Absent: 8",
        "1. Acme", "Job Title: SDE", "Interview Date: 5 March 2030", "Finished Date: 7 March 2030",
        "Registered: 12 | Present: 7 | Absent: 4", "Domain: Cloud Computing",
        "2. Globex", "Job Title: SDE", "Interview Date: TBD", "Finished Date: 7 March 2030",
        "Registered: 12 | Present: 7 | Absent: 4",
    ]  # fmt: skip
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Finished Placement Drives Report"


def test_an_empty_report_has_a_note() -> None:
    assert "No drives were finished in this period." in text_of(report())


def test_a_report_prints_markup_controls_and_long_words() -> None:
    strange = "<b>A & B</i> \N{INDIAN RUPEE SIGN}5 é\n\x00" + "x" * 400
    text = text_of(report(ROW | {"company_name": strange})).replace("\n", "")
    assert "<b>A & B</i> \N{INDIAN RUPEE SIGN}5 é" in text


def letters(text: str) -> str:
    """Return the text without spaces and unprintable characters.

    pypdf reads an unprintable character where two glyphs share their letters.
    """
    return "".join(letter for letter in text if letter.isprintable() and not letter.isspace())


SCRIPTS = {
    "devanagari": "क्षत्रिय प्रौद्योगिकी हिन्दी",
    "tamil": "கொடுக்கும் நிறுவனம் ஸ்ரீ",
    "telugu": "శ్రీ కంపెనీ",
    "bengali": "বাংলা কোম্পানি ক্ষ",
    "cjk": "株式会社ソニー 北京字节跳动 삼성전자",
    "arabic": "شركة الحلول",
    "latin": "Ünïcode Жук Ωμέγα ₹",
}


# The image has fonts for these scripts. On other machines, the fonts may be missing.
INSTALLED = {
    "gujarati": "ક્ષત્રિય ગુજરાતી",
    "gurmukhi": "ਪੰਜਾਬੀ ਕੰਪਨੀ",
    "kannada": "ಕನ್ನಡ ಸಂಸ್ಥೆ",
    "malayalam": "മലയാളം ക്ഷ",
    "oriya": "ଓଡ଼ିଆ ସଂସ୍ଥା",
    "sinhala": "සිංහල",
    "thai": "ไทย",
}


@pytest.mark.parametrize("script", INSTALLED)
def test_a_script_without_an_installed_font_uses_the_latin_font(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.delitem(fonts.FILES, script, raising=False)
    assert [name for name, _ in fonts.runs(INSTALLED[script])] == ["latin"]
    monkeypatch.setitem(fonts.FILES, script, fonts.FILES["latin"])
    assert [name for name, _ in fonts.runs(INSTALLED[script])] == [script]


@pytest.mark.parametrize(
    ("font", "text"), [*SCRIPTS.items(), *((font, text) for font, text in INSTALLED.items() if font in fonts.FILES)]
)
def test_a_font_has_every_glyph_of_its_script_after_shaping(font: str, text: str) -> None:
    """Glyph 0 is .notdef: the box that stands for a missing letter."""
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(fonts.FILES[font])))
    assert [name for name, _ in fonts.runs(text)] == [font]
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    uharfbuzz.shape(uharfbuzz.Font(face), buffer)
    assert 0 not in [info.codepoint for info in buffer.glyph_infos]


def test_the_report_prints_each_script_with_its_font() -> None:
    pdf = report(*(ROW | {"company_name": text} for font, text in SCRIPTS.items() if font != "cjk"))
    printed = letters(text_of(pdf))
    for font in ("devanagari", "tamil", "telugu", "bengali", "latin"):
        assert letters(SCRIPTS[font]) in printed, font
    assert "?" not in printed


def test_the_report_prints_chinese_japanese_and_korean() -> None:
    printed = letters(text_of(report(ROW | {"company_name": SCRIPTS["cjk"]})))
    assert letters(SCRIPTS["cjk"]) in printed


def test_a_run_of_one_script_includes_joiners_spaces_and_dandas() -> None:
    assert list(fonts.runs("Acme क्\u200dष १। x")) == [
        ("latin", "Acme "), ("devanagari", "क्\u200dष १। "), ("latin", "x"),
    ]  # fmt: skip


def test_a_letter_without_a_font_is_printed_as_a_question_mark() -> None:
    assert "????!" in text_of(report(ROW | {"company_name": "አማርኛ!"}))


def test_a_long_report_has_every_drive() -> None:
    drives = sized(small=100, full=1_000)
    text = text_of(report(*(ROW | {"company_name": f"Company {number}"} for number in range(drives))))
    assert f"{drives}. Company {drives - 1}" in text
    assert text.count("Finished Date") == drives


def test_query_parameters_are_optional() -> None:
    assert integer(None, "limit", limit=10) is None
    assert day(None, "start_date") is None
    assert day("2030-02-28", "start_date") == date(2030, 2, 28)


@pytest.mark.parametrize("text", ["", "0", "11", "-1", "1.5", "abc", "\N{ARABIC-INDIC DIGIT FIVE}", "1" * 30])
def test_an_invalid_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="limit must be a whole number from 1 to 10") as refused:
        integer(text, "limit", limit=10)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["", "2030-02-30", "20300228", "2030-2-3", "10000-01-01", "today"])
def test_an_invalid_day_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="end_date must be a day, written YYYY-MM-DD"):
        day(text, "end_date")
