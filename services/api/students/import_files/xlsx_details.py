"""Read what calamine leaves out of an XLSX sheet: number formats, errors, formulas without a value, and its size."""

import posixpath
import re
import zipfile
from typing import Any

from chassis.errors import Invalid
from services.api.students.import_files.limits import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, too_many_cells, too_many_rows
from services.api.students.import_files.number_formats import BUILT_IN
from services.api.students.import_files.sheet_details import UNCACHED, SheetDetails, error_reason
from services.api.students.import_files.xml_scan import Parser, local, new_parser, scan

_REFERENCE = re.compile(r"([A-Za-z]{1,3})([0-9]+)")
_ZERO = re.compile(r"0+(?:\.0*)?")
MAX_ERROR_TEXT = 30
TRUE = ("1", "true")


class XlsxDetails:
    """The parts of a workbook that calamine does not expose."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts = {name.lstrip("/").lower(): name for name in archive.namelist()}
        workbook = self._workbook_path()
        targets = self._relations(workbook)
        self._sheets = self._sheet_paths(workbook, targets)
        styles = next((path for kind, path in targets.values() if kind.endswith("/styles")), "")
        self._formats = self._styles(styles)

    def of_sheet(self, name: str) -> SheetDetails:
        """Return the details of the sheet. Raises ``Invalid`` when it is larger than the limits."""
        path = self._sheets.get(name)
        if path is None:
            raise Invalid(f"The sheet {name!r} cannot be found in the workbook. Save it again as .xlsx.")
        scanner = _SheetScanner(self._formats)
        with self._archive.open(self._parts[path.lower()]) as part:
            scan(scanner.parser, part)
        return scanner.details

    def _workbook_path(self) -> str:
        paths = [path for kind, path in self._relations("").values() if kind.endswith("/officeDocument")]
        return paths[0] if paths else "xl/workbook.xml"

    def _relations(self, path: str) -> dict[str, tuple[str, str]]:
        """Return the parts that ``path`` refers to: id → type and path."""
        folder, name = posixpath.split(path)
        relations: dict[str, tuple[str, str]] = {}

        def start(element: str, attributes: dict[str, str]) -> None:
            if local(element) == "Relationship" and attributes.get("TargetMode") != "External":
                target = attributes.get("Target", "")
                full = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                relations[attributes.get("Id", "")] = (attributes.get("Type", ""), posixpath.normpath(full))

        self._scan(posixpath.join(folder, "_rels", f"{name}.rels"), start)
        return relations

    def _sheet_paths(self, workbook: str, targets: dict[str, tuple[str, str]]) -> dict[str, str]:
        paths: dict[str, str] = {}

        def start(element: str, attributes: dict[str, str]) -> None:
            if local(element) == "sheet":
                id_ = next((value for name, value in attributes.items() if local(name) == "id"), "")
                path = targets.get(id_, ("", ""))[1]
                if path.lower() in self._parts:
                    paths[attributes.get("name", "")] = path

        self._scan(workbook, start)
        return paths

    def _styles(self, path: str) -> list[str]:
        """Return the format code of each cell style."""
        codes = dict(BUILT_IN)
        style_codes: list[str] = []
        inside = False

        def start(element: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            name = local(element)
            if name == "numFmt":
                codes[int(attributes.get("numFmtId", "0"))] = attributes.get("formatCode", "")
            elif name == "cellXfs":
                inside = True
            elif name == "cellStyles":
                inside = False
            elif name == "xf" and inside:
                style_codes.append(codes.get(int(attributes.get("numFmtId", "0")), "General"))

        self._scan(path, start)
        return style_codes

    def _scan(self, path: str, start: Any) -> None:
        name = self._parts.get(path.lower())
        if name is None:
            return
        parser = new_parser()
        parser.StartElementHandler = start
        with self._archive.open(name) as part:
            scan(parser, part)


class _SheetScanner:
    """Scans a sheet once. Cells without a position follow the previous cell, as in calamine."""

    def __init__(self, formats: list[str]) -> None:
        self.details = SheetDetails()
        self._special = [None if code == "General" else code for code in formats]
        self._row, self._column = -1, -1
        self._rows, self._columns, self._filled = 0, 0, 0
        self._kind: str | None = None
        self._style: str | None = None
        self._formula = self._value = False
        self._text: list[str] | None = None
        self.parser: Parser = new_parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        name = element if ":" not in element else local(element)
        if name == "c":
            reference = attributes.get("r")
            if reference is None:
                self._column += 1
            else:
                self._row, self._column = _position(reference)
            self._kind, self._style = attributes.get("t"), attributes.get("s")
            self._formula = self._value = False
        elif name == "v":
            if self._kind == "e" or self._formula:
                self._text = []
                self.parser.CharacterDataHandler = self._text.append
            else:
                self._value = True
        elif name == "is":
            self._value = True
        elif name == "f":
            self._formula = True
        elif name == "row":
            number = attributes.get("r")
            self._row = int(number) - 1 if number is not None and number.isdigit() else self._row + 1
            self._column = -1
            if self._row >= MAX_ROWS:
                raise too_many_rows(self._row + 1)
            if _is_hidden(attributes, "ht"):
                self.details.hidden_rows.add(self._row)
        elif name == "col" and _is_hidden(attributes, "width"):
            first, last = int(attributes.get("min", "1")), int(attributes.get("max", "1"))
            self.details.hidden_columns.update(range(first - 1, min(last, MAX_COLUMNS)))

    def _end(self, element: str) -> None:
        name = element if ":" not in element else local(element)
        if name == "c":
            self._cell_ended()
        elif name == "v" and self._text is not None:
            self.parser.CharacterDataHandler = None
            self._value = bool("".join(self._text).strip())

    def _cell_ended(self) -> None:
        if self._kind == "e":
            text = "".join(self._text or ())[:MAX_ERROR_TEXT] or "an error"
            self.details.add_fault(self._row, self._column, error_reason(text))
        elif self._formula and not self._value and self._kind != "str":
            self.details.add_fault(self._row, self._column, UNCACHED)
        self._text = None
        if not self._value:
            return
        self._filled += 1
        self._rows, self._columns = max(self._rows, self._row + 1), max(self._columns, self._column + 1)
        if self._filled > MAX_CELLS or self._rows * self._columns > MAX_CELLS:
            raise too_many_cells()
        if self._style is not None and self._kind in (None, "n"):
            style = int(self._style)
            code = self._special[style] if style < len(self._special) else None
            if code is not None:
                self.details.add_format(self._row, self._column, code)


def _is_hidden(attributes: dict[str, str], size: str) -> bool:
    return attributes.get("hidden") in TRUE or _ZERO.fullmatch(attributes.get(size, "")) is not None


def _position(reference: str) -> tuple[int, int]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise Invalid(f"A cell of the sheet has the position {reference[:40]!r}, which no sheet has. Save it again.")
    column = 0
    for letter in match[1].upper():
        column = column * 26 + ord(letter) - 64
    row = int(match[2]) if len(match[2]) < 12 else MAX_ROWS + 1
    if row > MAX_ROWS:
        raise too_many_rows(row)
    if column > MAX_COLUMNS:
        raise Invalid(f"A cell is in column {match[1]}; a sheet has {MAX_COLUMNS:,} columns. Save the file again.")
    return row - 1, column - 1
