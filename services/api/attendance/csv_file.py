"""Write attendance as CSV."""

from chassis.postgres.database import Connection
from chassis.spreadsheets.cells import CellType, Column
from chassis.spreadsheets.files import CsvFormat, in_memory, write_csv

COLUMNS = (
    Column("student_id", "a.student_id", CellType.WHOLE),
    Column("name", "coalesce(u.name, '')", CellType.TEXT),
    Column("status", "a.status", CellType.TEXT),
)
MARKED = """
  FROM attendance a LEFT JOIN users u ON u.user_id = a.student_id
 WHERE a.drive_id = $1 ORDER BY a.attendance_id
"""


async def attendance_csv(connection: Connection, drive_id: int, *, byte_order_mark: bool) -> bytes:
    """Return a CSV line per marked student, in the order of their first marks. The name is always in quotes."""
    format_ = CsvFormat(byte_order_mark, quoted=("name",))
    return await in_memory(lambda output: write_csv(connection, COLUMNS, MARKED, output, format_, drive_id))
