"""How much of a file is read, and what is said of more. The limits of the process are in ``worker``."""

from chassis.errors import Invalid

# Of every spreadsheet program since 2007.
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
# Rows times columns: a sheet is read as a rectangle.
MAX_CELLS = 25_000_000
AS_CSV = "Delete the empty part of the sheet, or save it as CSV (UTF-8) and import that."


def too_many_rows(row: int) -> Invalid:
    return Invalid(f"The sheet has a row {row:,}; a sheet has at most {MAX_ROWS:,} rows. {AS_CSV}")


def too_many_cells() -> Invalid:
    return Invalid(f"The sheet has more than {MAX_CELLS:,} cells. {AS_CSV}")
