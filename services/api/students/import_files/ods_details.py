"""Read what calamine leaves out of an ODS sheet: the text shown for a number, errors, and the size of the sheet."""

import math
import re
import zipfile
from decimal import Decimal, InvalidOperation

from chassis.errors import Invalid
from services.api.students.import_files.limits import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, too_many_cells, too_many_rows
from services.api.students.import_files.number_formats import Unshowable, general
from services.api.students.import_files.sheet_details import UNCACHED, SheetDetails, error_reason
from services.api.students.import_files.xml_scan import Parser, local, new_parser, scan

NUMBERS = ("float", "percentage", "currency")
# "1,234.5" and "12,34,567". "1,234" may also be a decimal number, so the value decides.
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
MAX_SHOWN = 300
HIDDEN = ("collapse", "filter")


class OdsDetails:
    """The details of all tables of the document, read in one pass."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        if "META-INF/manifest.xml" in archive.namelist():
            _refuse_encrypted(archive)
        scanner = _ContentScanner()
        with archive.open("content.xml") as part:
            scan(scanner.parser, part)
        self._tables = scanner.tables

    def of_sheet(self, name: str) -> SheetDetails:
        return self._tables.get(name, SheetDetails())


def _refuse_encrypted(archive: zipfile.ZipFile) -> None:
    def start(element: str, _: dict[str, str]) -> None:
        if local(element) == "encryption-data":
            raise Invalid(
                "The file is protected by a password. Open it in your spreadsheet, remove the password, save it, and "
                "import it again."
            )

    parser = new_parser()
    parser.StartElementHandler = start
    with archive.open("META-INF/manifest.xml") as part:
        scan(parser, part)


class _ContentScanner:
    """Counts rows and columns as calamine does, including repeated ones."""

    def __init__(self) -> None:
        self.tables: dict[str, SheetDetails] = {}
        self._details = SheetDetails()
        self._row = self._column = 0
        self._row_repeat = self._repeat = 1
        self._row_filled = self._filled = 0
        self._hidden = False
        self._cell: dict[str, str] | None = None
        self._text: list[str] = []
        self._paragraphs = 0
        self.parser: Parser = new_parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        name = local(element)
        if name == "table" and element.startswith("table"):
            self._details = self.tables.setdefault(attributes.get("table:name", ""), SheetDetails())
            self._row = self._filled = self._column = 0
        elif name == "table-column":
            repeat = _count(attributes.get("table:number-columns-repeated"))
            if attributes.get("table:visibility") in HIDDEN:
                self._details.hidden_columns.update(range(self._column, min(self._column + repeat, MAX_COLUMNS)))
            self._column += repeat
        elif name == "table-row":
            self._column = self._row_filled = 0
            self._row_repeat = _count(attributes.get("table:number-rows-repeated"))
            self._hidden = attributes.get("table:visibility") in HIDDEN
        elif name in ("table-cell", "covered-table-cell"):
            self._repeat = _count(attributes.get("table:number-columns-repeated"))
            self._cell, self._text, self._paragraphs = attributes, [], 0
        elif name == "p" and self._cell is not None:
            self._paragraphs += 1
            self.parser.CharacterDataHandler = self._characters
        elif name == "annotation":
            self.parser.CharacterDataHandler = None

    def _characters(self, text: str) -> None:
        if len(self._text) < MAX_SHOWN:
            self._text.append(text)

    def _end(self, element: str) -> None:
        name = local(element)
        if name == "p":
            self.parser.CharacterDataHandler = None
        elif name in ("table-cell", "covered-table-cell") and self._cell is not None:
            self._cell_ended(self._cell, "".join(self._text).strip())
            self._cell = None
        elif name == "table-row":
            if self._row_filled:
                self._filled += self._row_filled * self._row_repeat
                if self._row + self._row_repeat > MAX_ROWS:
                    raise too_many_rows(self._row + self._row_repeat)
                if self._filled > MAX_CELLS:
                    raise too_many_cells()
                self._repeat_row()
                if self._hidden:
                    self._details.hidden_rows.update(range(self._row, self._row + self._row_repeat))
            self._row += self._row_repeat

    def _cell_ended(self, cell: dict[str, str], shown: str) -> None:
        kind = cell.get("office:value-type", "")
        if (rows := min(_count(cell.get("table:number-rows-spanned")), MAX_ROWS)) > 1:
            place = (self._row, self._column)
            self._details.merged.append((place, (self._row + rows - 1, self._column)))
        if kind or shown:
            self._row_filled += self._repeat
            if self._row_filled > MAX_CELLS:
                raise too_many_cells()
        if cell.get("calcext:value-type") == "error":
            self._details.add_fault(self._row, self._column, error_reason(shown or "an error"))
        elif "table:formula" in cell and not kind and not shown:
            self._details.add_fault(self._row, self._column, UNCACHED)
        elif kind in NUMBERS and shown:
            for column in range(self._column, self._column + min(self._repeat, MAX_CELLS)):
                self._number(column, cell.get("office:value", ""), shown)
        self._column += self._repeat

    def _number(self, column: int, value: str, shown: str) -> None:
        try:
            self._details.add_text(self._row, column, shown_number(float(value), shown))
        except (Unshowable, ValueError) as error:
            self._details.add_fault(self._row, column, str(error))

    def _repeat_row(self) -> None:
        for kind in (self._details.texts, self._details.faults):
            if values := kind.get(self._row):
                for row in range(self._row + 1, self._row + self._row_repeat):
                    kind[row] = values


def shown_number(value: float, shown: str) -> str:
    """Return the text of a number: as typed if the sheet shows all digits, else as shown.

    Raises ``Unshowable`` when the shown text hides a part of the number.
    """
    percent = shown.endswith("%")
    text = shown.rstrip("% \u00a0")
    if not math.isfinite(value):
        raise Unshowable("holds no number: enter it again")
    exact = Decimal(repr(value)) * (100 if percent else 1)
    is_grouped = _GROUPED.fullmatch(text) is not None and Decimal(text.replace(",", "")) == exact
    text = text.replace(",", "" if is_grouped else ".")
    try:
        visible = Decimal(text)
    except InvalidOperation:
        return shown  # a number with words around it, or with grouped thousands
    if visible == exact and not text.startswith("0"):
        return general(value) if not percent else f"{text}%"
    places = max(0, -int(visible.as_tuple().exponent))
    if places < 2 and abs(exact - visible) > Decimal("0.005"):
        raise Unshowable(f"shows {shown} and holds {exact.normalize():f}: show all decimals, or round the number")
    return f"{text}%" if percent else text


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 12 else 1
