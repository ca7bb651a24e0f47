"""Finished drives as a report on paper."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from xml.sax.saxutils import escape

import asyncpg
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate

TITLE = "Finished Placement Drives Report"
NOTHING = "No drives were finished in this period."
# The fonts that every PDF reader has know the letters of Western Europe. What they lack is shown as a question mark.
ENCODING = "cp1252"
SPELLED_OUT = str.maketrans({"\N{INDIAN RUPEE SIGN}": "Rs."})

HEADING = ParagraphStyle("heading", fontName="Helvetica-Bold", fontSize=18, leading=24, alignment=TA_CENTER)
SMALL = ParagraphStyle("small", fontName="Helvetica", fontSize=9, leading=12, alignment=TA_CENTER, spaceAfter=8 * mm)
SECTION = ParagraphStyle("section", fontName="Helvetica-Bold", fontSize=13, leading=18)
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14, spaceAfter=5 * mm, splitLongWords=1)


def finished_pdf(rows: Sequence[asyncpg.Record], *, now: datetime) -> bytes:
    """The report as of ``now``. Takes a moment: call it in a thread."""
    file = BytesIO()
    document = SimpleDocTemplate(file, pagesize=A4, title=TITLE, author="Placewire")
    story: list[Flowable] = [
        Paragraph(TITLE, HEADING),
        Paragraph(f"Generated on {_day(now.astimezone(UTC).date())}", SMALL),
        Paragraph("Summary", SECTION),
        Paragraph(_lines(*_summary(rows)), BODY),
    ]
    if rows:
        story += [Paragraph(_drive(number, row), BODY) for number, row in enumerate(rows, start=1)]
    else:
        story.append(Paragraph(NOTHING, BODY))
    document.build(story)
    return file.getvalue()


def _summary(rows: Sequence[asyncpg.Record]) -> list[str]:
    return [
        f"Total Drives: {len(rows)}",
        f"Total Registered: {sum(row['total_registered'] for row in rows)}",
        f"Total Present: {sum(row['total_present'] for row in rows)}",
        f"Total Absent: {sum(row['total_absent'] for row in rows)}",
    ]


def _drive(number: int, row: asyncpg.Record) -> str:
    details = [
        f"Job Title: {row['job_title']}",
        f"Interview Date: {_day(row['interview_date'])}",
        f"Finished Date: {_day(row['finished_date'].astimezone(UTC).date())}",
        f"Registered: {row['total_registered']} | Present: {row['total_present']} | Absent: {row['total_absent']}",
    ]
    if row["domain_name"]:
        details.append(f"Domain: {row['domain_name']}")
    return f"<b>{_lines(f'{number}. ' + row['company_name'])}</b><br/>{_lines(*details)}"


def _lines(*texts: str) -> str:
    """As markup in which nothing of the texts is markup."""
    return "<br/>".join(escape(_printable(text)) for text in texts)


def _printable(text: str) -> str:
    spelled = "".join(part if part.isprintable() else " " for part in text.translate(SPELLED_OUT))
    return spelled.encode(ENCODING, "replace").decode(ENCODING)


def _day(day: date | None) -> str:
    return "TBD" if day is None else f"{day.day} {day:%B %Y}"
