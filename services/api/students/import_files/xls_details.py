"""Read with xlrd what calamine leaves out of an XLS sheet: number formats and errors."""

import io
from typing import BinaryIO

import xlrd

from services.api.students.import_files.sheet_details import UNCACHED, SheetDetails, error_reason


class XlsDetails:
    """The cells of a workbook with their formats."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        # xlrd prints warnings about unusual files. They go to a log that is discarded.
        self._book = xlrd.open_workbook(
            file_contents=file.read(), formatting_info=True, on_demand=True, logfile=io.StringIO()
        )

    def of_sheet(self, name: str) -> SheetDetails:
        details = SheetDetails()
        sheet = self._book.sheet_by_name(name)
        codes = [self._book.format_map[style.format_key].format_str for style in self._book.xf_list]
        for row in range(sheet.nrows):
            for column, kind in enumerate(sheet.row_types(row)):
                if kind == xlrd.XL_CELL_ERROR:
                    text = xlrd.error_text_from_code.get(int(sheet.cell_value(row, column)), "an error")
                    details.add_fault(row, column, error_reason(text))
                elif kind == xlrd.XL_CELL_TEXT and not sheet.cell_value(row, column):
                    # Only a formula has an empty text. Programs that do not calculate formulas also write it.
                    details.add_fault(row, column, UNCACHED)
                elif kind == xlrd.XL_CELL_NUMBER:
                    code = codes[sheet.cell_xf_index(row, column)]
                    if code.casefold() != "general":
                        details.add_format(row, column, code)
        details.hidden_rows.update(row for row, info in sheet.rowinfo_map.items() if info.hidden)
        details.hidden_columns.update(column for column, info in sheet.colinfo_map.items() if info.hidden)
        self._book.unload_sheet(name)
        return details
