"""Attendance as CSV (RFC 4180)."""

from collections.abc import Iterable

import asyncpg

HEADER = "student_id,name,status"
# What spreadsheet programs take for a formula when a cell begins with it. Source: OWASP, CSV Injection.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def attendance_csv(rows: Iterable[asyncpg.Record]) -> str:
    """One line a mark, the name in quotes always; a name that looks like a formula gets a leading apostrophe."""
    lines = [HEADER, *(f"{row['student_id']},{_quoted(row['name'] or '')},{row['status']}" for row in rows)]
    return "".join(f"{line}\r\n" for line in lines)


def _quoted(text: str) -> str:
    harmless = f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return '"' + harmless.replace('"', '""') + '"'
