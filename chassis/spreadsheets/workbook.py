"""Write the package of an XLSX file. COPY makes the rows of the sheets; this module adds them as they arrive.

A library would hold all rows, or a second copy of the file on a local disk. It would also take a minute of Python for a
million rows. This module compresses one chunk at a time and holds none. The package contains no time stamps, so the
same rows give the same bytes. Source: ECMA-376 parts 1 and 2; zipfile's default time stamp is 1980-01-01.
"""

import zipfile
from collections.abc import Sequence
from typing import IO, Any
from xml.sax.saxutils import escape

# Limits of a sheet: rows including the header, and bytes, below the size at which a package member needs Zip64.
ROWS_A_SHEET = 1_048_576
BYTES_A_SHEET = 1_500_000_000
COMPRESSION = 3

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"

# By default a part is a sheet, because the number of sheets is not known when this part is written.
CONTENT_TYPES = f"""{_HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="xml" ContentType="{_TYPE}.worksheet+xml"/>\
<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>\
<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>"""
ROOT = f"""{_HEAD}<Relationships xmlns="{_RELATIONS}">\
<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>"""
# By number: plain, bold, two decimals, day, moment, short day (numFmtId 14: ECMA-376 part 1, 18.8.30).
STYLES = f"""{_HEAD}<styleSheet xmlns="{_MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>\
<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>\
<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>\
<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>\
<fills count="2"><fill><patternFill patternType="none"/></fill>\
<fill><patternFill patternType="gray125"/></fill></fills>\
<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>\
<cellXfs count="6"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>\
<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>\
<xf numFmtId="2" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>\
<xf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>\
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"""


class Workbook:
    """Turns ``<row>`` lines into a package with as many sheets as they need. Each call returns the bytes so far."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        title: str | None = None,
        widths: Sequence[int] = (),
        rows_a_sheet: int = ROWS_A_SHEET,
        bytes_a_sheet: int = BYTES_A_SHEET,
    ) -> None:
        """``title``: the name of the first sheet. ``widths``: of the columns, in characters."""
        self._sink = _Sink()
        self._package = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)  # type: ignore[call-overload]
        self._title = title
        self._beginning = f"{_columns(widths)}<sheetData>{_header(columns)}"
        self._rows_a_sheet = rows_a_sheet
        self._bytes_a_sheet = bytes_a_sheet
        self._sheets = 0
        self._add("[Content_Types].xml", CONTENT_TYPES)
        self._add("_rels/.rels", ROOT)
        self._add("xl/styles.xml", STYLES)
        self._sheet = self._next_sheet()

    def add_rows(self, lines: bytes) -> bytes:
        """Add complete lines. Return the bytes of the package that are ready."""
        while lines:
            if self._left == 0 or self._bytes_left <= 0:
                self._end_sheet()
                self._sheet = self._next_sheet()
            part, lines = _split(lines, self._left, self._bytes_left)
            self._left -= part.count(b"\n")
            self._bytes_left -= len(part)
            self._sheet.write(part)
        return self._sink.take()

    def finish(self) -> bytes:
        """Return the remaining bytes of the package."""
        self._end_sheet()
        numbers = range(1, self._sheets + 1)
        sheets = "".join(f'<sheet name="{self._name(n)}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
        relations = "".join(
            f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
        )
        styles = f'<Relationship Id="rId0" Type="{_OFFICE}/styles" Target="styles.xml"/>'
        book = f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'
        self._add("xl/workbook.xml", _HEAD + book)
        self._add(
            "xl/_rels/workbook.xml.rels",
            f'{_HEAD}<Relationships xmlns="{_RELATIONS}">{relations}{styles}</Relationships>',
        )
        self._package.close()
        return self._sink.take()

    def close(self) -> None:
        """Close an unfinished workbook. Does nothing after ``finish``."""
        self._sheet.close()
        self._package.close()

    def _name(self, number: int) -> str:
        if self._title is None:
            return f"Sheet{number}"
        return escape(self._title if number == 1 else f"{self._title} {number}", {'"': "&quot;"})

    def _next_sheet(self) -> IO[bytes]:
        self._sheets += 1
        self._left = self._rows_a_sheet - 1
        self._bytes_left = self._bytes_a_sheet
        sheet: IO[bytes] = self._package.open(f"xl/worksheets/sheet{self._sheets}.xml", "w")
        sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}">{self._beginning}'.encode())
        return sheet

    def _end_sheet(self) -> None:
        self._sheet.write(b"</sheetData></worksheet>")
        self._sheet.close()

    def _add(self, name: str, content: str) -> None:
        with self._package.open(name, "w") as member:
            member.write(content.encode())


class _Sink:
    """The unseekable file that zipfile writes to. Keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: Any) -> int:
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Does nothing: writes are not buffered."""

    def take(self) -> bytes:
        content = bytes(self._written)
        self._written.clear()
        return content


def _columns(widths: Sequence[int]) -> str:
    if not widths:
        return ""
    columns = (f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>' for n, width in enumerate(widths, start=1))
    return f"<cols>{''.join(columns)}</cols>"


def _header(columns: Sequence[str]) -> str:
    cells = "".join(f'<c s="1" t="inlineStr"><is><t>{escape(name)}</t></is></c>' for name in columns)
    return f"<row>{cells}</row>"


def _split(lines: bytes, max_lines: int, max_bytes: int) -> tuple[bytes, bytes]:
    """Split after ``max_lines`` lines, or after the last line that begins within ``max_bytes``.

    So the same rows give the same sheets, however COPY divided them into chunks.
    """
    end = lines.find(b"\n", max_bytes - 1) + 1 or len(lines)
    if lines.count(b"\n", 0, end) > max_lines:
        end = 0
        for _ in range(max_lines):
            end = lines.index(b"\n", end) + 1
    return lines[:end], lines[end:]
