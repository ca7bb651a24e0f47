"""Write a file of links that set a password. Their tokens are stored only in the file.

Each token is a SHA-256 over the student's id and 256 random bits. The bits are drawn for this file and kept in memory
only, so one token does not reveal another. The file is written in a read-only transaction, as every export is. The
transaction that records the file computes the same tokens again and stores their digests. An unfinished file has no
valid link.

Postgres receives the random bits as a setting of the transaction, never in the text of a statement.
"""

import secrets
from dataclasses import dataclass, field

import orjson

from chassis.postgres.database import Connection
from chassis.spreadsheets.cells import CellType, Column
from chassis.spreadsheets.files import CsvFormat, write_csv
from chassis.storage import Written
from contracts.exports import LINK_DAYS, InvitationsRequested
from services.exporter import sql

SET = """
SELECT set_config('placewire.link_secret', $1, true), set_config('placewire.link_base', $2, true),
       set_config('placewire.link_filter', $3, true)
"""
FILTER = "current_setting('placewire.link_filter')::jsonb"
# A token: 64 hexadecimal digits.
DIGITS = """encode(sha256(convert_to(
           current_setting('placewire.link_secret') || ':' || s.student_id, 'UTF8')), 'hex')"""

# Hash joins with users, credentials and the lists of the filter, whatever their size.
WHO = f"""
  FROM students s JOIN users u ON u.user_id = s.student_id
 WHERE u.active AND NOT EXISTS (SELECT FROM credentials c WHERE c.user_id = s.student_id)
   AND (jsonb_typeof({FILTER} -> 'branches') = 'null' OR s.branch_key IN (
        SELECT branch_key(value) FROM jsonb_array_elements_text(nullif({FILTER} -> 'branches', 'null'))))
   AND (jsonb_typeof({FILTER} -> 'batch_years') = 'null' OR s.batch_year IN (
        SELECT value::integer FROM jsonb_array_elements_text(nullif({FILTER} -> 'batch_years', 'null'))))
   AND (jsonb_typeof({FILTER} -> 'student_ids') = 'null' OR s.student_id IN (
        SELECT value::integer FROM jsonb_array_elements_text(nullif({FILTER} -> 'student_ids', 'null'))))
"""  # noqa: S608

COLUMNS = (
    Column("student_id", "s.student_id", CellType.WHOLE),
    Column("roll_number", "s.roll_number", CellType.TEXT),
    Column("name", "u.name", CellType.TEXT),
    Column("email", "u.email", CellType.TEXT),
    Column("branch", "s.branch", CellType.TEXT),
    Column("batch_year", "s.batch_year", CellType.WHOLE),
    Column("link", f"(current_setting('placewire.link_base') || {DIGITS})", CellType.TEXT),
    Column("expires_at", f"(now() + interval '{LINK_DAYS} days')", CellType.INSTANT),
)

KEEP = f"""
INSERT INTO password_links (user_id, token_sha256, expires_at)
SELECT s.student_id, sha256(convert_to({DIGITS}, 'UTF8')), clock_timestamp() + interval '{LINK_DAYS} days'
{WHO}
ON CONFLICT (user_id) DO UPDATE
   SET token_sha256 = excluded.token_sha256, created_at = clock_timestamp(), expires_at = excluded.expires_at,
       used_at = NULL
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class LinkTokens:
    """The inputs of the tokens of one file."""

    asked: InvitationsRequested
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)


async def write(connection: Connection, links: LinkTokens, file: Written) -> int:
    """Write the file. Return the number of its rows."""
    await _set(connection, links)
    format_ = CsvFormat(links.asked.byte_order_mark, links.asked.delimiter)
    return await write_csv(connection, COLUMNS, f"{WHO} ORDER BY s.student_id", file.write, format_)


async def keep(connection: Connection, links: LinkTokens) -> None:
    """Make the links valid, replacing earlier links of the same students.

    A student who set a password since the file was written gets no link; the link in the file does not work then.
    """
    await connection.execute(sql.UNHURRIED)
    await _set(connection, links)
    await connection.execute(KEEP)


async def _set(connection: Connection, links: LinkTokens) -> None:
    who = links.asked.model_dump(include={"branches", "batch_years", "student_ids"})
    await connection.fetchrow(SET, links.secret, links.asked.link_base, orjson.dumps(who).decode())
