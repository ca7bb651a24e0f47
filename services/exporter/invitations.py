"""Write a file of links that set a password. Their tokens are stored only in the file.

Each token is a SHA-256 over the student's id and 256 random bits. The bits are generated for each file and kept only in
memory, so one token does not reveal another. Like every export, the file is written in a read-only transaction. The
transaction that records the file computes the same tokens again and stores their digests. So an unfinished file has no
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

# Students without a password who match the filter. Plan: hash joins with users, credentials and the filter's lists.
INVITED = f"""
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
{INVITED}
ON CONFLICT (user_id) DO UPDATE
   SET token_sha256 = excluded.token_sha256, created_at = clock_timestamp(), expires_at = excluded.expires_at,
       used_at = NULL
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class LinkTokens:
    """The inputs of the tokens of one file."""

    request: InvitationsRequested
    secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)


async def write(connection: Connection, links: LinkTokens, file: Written) -> int:
    """Write the file. Return the number of its rows."""
    await _set(connection, links)
    format_ = CsvFormat(links.request.byte_order_mark, links.request.delimiter)
    return await write_csv(connection, COLUMNS, f"{INVITED} ORDER BY s.student_id", file.write, format_)


async def keep(connection: Connection, links: LinkTokens) -> None:
    """Make the links valid, and earlier links of the same students invalid.

    If a student set a password after the file was written, the link in the file stays invalid.
    """
    await connection.execute(sql.NO_TIME_LIMITS)
    await _set(connection, links)
    await connection.execute(KEEP)


async def _set(connection: Connection, links: LinkTokens) -> None:
    filter_ = links.request.model_dump(include={"branches", "batch_years", "student_ids"})
    await connection.fetchrow(SET, links.secret, links.request.link_base, orjson.dumps(filter_).decode())
