"""Write finished drives as a PDF report, in every script for which ``fonts`` has a font."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from chassis.days import day_of
from services.api.finished_drives import fonts

TITLE = "Finished Placement Drives Report"
NOTHING = "No drives were finished in this period."
# Replaces a letter that no font has.
MISSING = "?"
LINE_HEIGHT = 1.4
POINT_MM = 25.4 / 72


def finished_pdf(rows: Sequence[Mapping[str, Any]], *, now: datetime, zone: ZoneInfo) -> bytes:
    """Return the report as of ``now``; days are those of ``zone``. Takes seconds of processor time."""
    report = Report(created_at=now)
    report.centred(TITLE, size=18)
    report.centred(f"Generated on {_day(day_of(now, zone))}", size=9)
    report.space()
    report.line("Summary", size=13)
    for text in _summary(rows):
        report.line(text)
    report.space()
    for number, row in enumerate(rows, start=1):
        report.line(f"{number}. {row['company_name']}", size=11)
        for text in _details(row, zone):
            report.line(text)
        report.space()
    if not rows:
        report.line(NOTHING)
    return report.content()


class Report:
    """A document of lines. A font is loaded when it is first used."""

    def __init__(self, *, created_at: datetime) -> None:
        from fpdf import FPDF  # the import takes half a second, and most processes never need it

        self._pdf: FPDF = FPDF(format="A4")
        self._pdf.set_title(TITLE)
        self._pdf.set_author("Placewire")
        self._pdf.set_creation_date(created_at)
        self._pdf.set_margin(20)
        self._pdf.c_margin = 0
        self._pdf.add_page()

    def line(self, text: str, *, size: float = 10) -> None:
        """Print ``text``, wrapped to the width of the page."""
        height = size * POINT_MM * LINE_HEIGHT
        parts = []
        for font, part in fonts.runs(_on_one_line(text)):
            self._use(font, size)
            printable = self._printable(font, part)
            parts.append((font, printable, self._pdf.get_string_width(printable)))
        fits = sum(width for _, _, width in parts) < self._pdf.epw
        for font, part, width in parts:
            self._use(font, size)
            if fits:  # the usual case: fpdf takes ten times as long if it searches for line breaks
                self._pdf.cell(width, height, part)
            else:
                self._pdf.write(height, part)
        self._pdf.ln(height)

    def centred(self, text: str, *, size: float) -> None:
        """Print a short text of Latin letters in the middle of the line."""
        height = size * POINT_MM * LINE_HEIGHT
        self._use(fonts.LATIN, size)
        self._pdf.cell(0, height, text, align="C")
        self._pdf.ln(height)

    def space(self) -> None:
        self._pdf.ln(4)

    def content(self) -> bytes:
        return bytes(self._pdf.output())

    def _use(self, font: str, size: float) -> None:
        if font not in self._pdf.fonts:
            self._pdf.add_font(font, fname=fonts.FILES[font])
        self._pdf.set_font(font, size=size)
        # Latin needs no shaping. HarfBuzz joins, reorders and stacks the letters of other scripts.
        self._pdf.set_text_shaping(font != fonts.LATIN)

    def _printable(self, font: str, part: str) -> str:
        from fpdf.fonts import TTFFont

        added = self._pdf.fonts[font]
        assert isinstance(added, TTFFont)
        known = added.cmap
        return "".join(letter if ord(letter) in known else MISSING for letter in part)


def _summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def total(name: str) -> int:
        return sum(row[name] for row in rows)

    return [
        f"Total Drives: {len(rows)}",
        f"Total Registered: {total('total_registered')}",
        f"Total Present: {total('total_present')}",
        f"Total Absent: {total('total_absent')}",
    ]


def _details(row: Mapping[str, Any], zone: ZoneInfo) -> list[str]:
    details = [
        f"Job Title: {row['job_title']}",
        f"Interview Date: {_day(row['interview_date'])}",
        f"Finished Date: {_day(day_of(row['finished_date'], zone))}",
        f"Registered: {row['total_registered']} | Present: {row['total_present']} | Absent: {row['total_absent']}",
    ]
    return [*details, f"Domain: {row['domain_name']}"] if row["domain_name"] else details


def _on_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\u200c\u200d" else " " for letter in text)


def _day(day: date | None) -> str:
    return "TBD" if day is None else f"{day.day} {day:%B %Y}"
