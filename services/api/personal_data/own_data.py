"""Write what is stored about a person, as JSON or as a page. Both are streamed, so memory use is constant."""

from collections.abc import Mapping
from datetime import timedelta

import orjson

from chassis.postgres.database import Connection
from chassis.settings import RetentionSettings
from services.api.http.long_lists import Write, copy_array, instant, rows_as_json
from services.api.notifications.sql import ALL_OF_USER
from services.api.personal_data import page, sections
from services.api.personal_data.sections import ACCESS_LOG_KEPT, KEYS_KEPT, Section

NOW = f"SELECT {instant('clock_timestamp()')}"
# Rows of a page that are written before other requests get a turn.
ROWS_AT_ONCE = 200

SECTIONS = (
    Section("account", "Account", "Who you are here.", sections.ACCOUNT, single=True),
    Section("details", "Name, e-mail address and roll number", "Every version. They can be erased.", sections.DETAILS),
    Section(
        "password", "Password", "When your password was last set. Only a one-way hash is stored.",
        sections.PASSWORD, single=True,
    ),
    Section(
        "password_link", "Password link", "The last link to set your password. Only its digest is stored.",
        sections.PASSWORD_LINK, single=True,
    ),
    Section(
        "account_history", "History of the account", "By: the id of the user who made the change.",
        sections.ACCOUNT_HISTORY,
    ),
    Section("record", "Academic record", "Students only.", sections.RECORD, single=True),
    Section(
        "record_history", "History of the record", "The record after each change. By: the id of the user who made it.",
        sections.RECORD_HISTORY,
    ),
    Section("registrations", "Registrations", "With your attendance, if it is marked.", sections.REGISTRATIONS),
    Section(
        "deleted_registrations", "Registrations for deleted drives", "They stay in the log.",
        sections.DELETED_REGISTRATIONS,
    ),
    Section(
        "decisions", "Decisions", "Drives that selected you, and until when. The reasons: GET"
        " /api/eligibility/{drive_id}/explain.", sections.DECISIONS,
    ),
    Section("listed", "Lists", "Drives published to a list of students that names you.", sections.LISTED),
    Section("notifications", "Notifications", "Notifications addressed to you.", ALL_OF_USER),
    Section(
        "kept_answers", "Responses stored for repeated requests", "Each may contain what its request showed you, until"
        " it expires.", sections.KEPT_ANSWERS, parameter=KEYS_KEPT,
    ),
    Section("jobs", "Jobs", "Jobs that you requested.", sections.JOBS),
    Section("exports", "Exports", "Files that you requested.", sections.EXPORTS),
    Section("drives", "Drives", "Drives that you created or published.", sections.DRIVES),
    Section(
        "accesses", "Who looked at your record",
        "Each time someone else was shown your record, alone or in a short list.",
        sections.ACCESSES, parameter=ACCESS_LOG_KEPT,
    ),
    Section(
        "list_accesses", "Lists that may have shown you",
        "Lists, exports and downloads that showed many students. Which"
        " students each showed is not recorded, so these may or may not have included you.",
        sections.LIST_ACCESSES, parameter=ACCESS_LOG_KEPT,
    ),
    Section(
        "own_accesses", "What you looked at", "Records of students. Entries without a student are lists.",
        sections.OWN_ACCESSES, parameter=ACCESS_LOG_KEPT,
    ),
)  # fmt: skip

NOTES = (
    "Marks, decisions and changes are events in a log that is never deleted. They identify people by id only.",
    "If you caused another change, the log stores your id with it.",
    "Ask the placement cell how long other data is retention, and how to have your personal data erased.",
)

RetentionTimes = Mapping[str, timedelta]


def retention_times(settings: RetentionSettings) -> RetentionTimes:
    """Return the retention times by the names that sections use as ``parameter``."""
    return {KEYS_KEPT: settings.idempotency_keys_kept, ACCESS_LOG_KEPT: settings.access_log_kept}


async def write_json(connection: Connection, write: Write, person_id: int, retention: RetentionTimes) -> None:
    """Write one JSON object with a list for each section. A ``single`` section is an object or null."""
    now = await connection.fetchval(NOW)
    await write(orjson.dumps({"person_id": person_id, "generated_at": now, "notes": NOTES})[:-1])
    for section in SECTIONS:
        head = f',"{section.name}":'.encode()
        if section.single:
            text = await connection.fetchval(_as_json(section), *_arguments(section, person_id, retention))
            await write(head + (text or "null").encode())
        else:
            query = rows_as_json(section.query)
            await copy_array(connection, write, query, *_arguments(section, person_id, retention), head=head)
    await write(b"}")


async def write_page(connection: Connection, write: Write, person_id: int, retention: RetentionTimes) -> None:
    """Write the same data as an HTML page."""
    await write(page.introduction(person_id, await connection.fetchval(NOW), NOTES).encode())
    for section in SECTIONS:
        await write(page.heading(section).encode())
        rows = connection.cursor(_as_json(section), *_arguments(section, person_id, retention), prefetch=ROWS_AT_ONCE)
        begun, pieces = False, []
        async for (text,) in rows:
            values = orjson.loads(text)
            if section.single:
                pieces.append(page.single(values))
                continue
            if not begun:
                pieces.append(page.header_row(list(values)))
                begun = True
            pieces.append(page.row(values))
            if len(pieces) >= ROWS_AT_ONCE:
                await write("".join(pieces).encode())
                pieces = []
        end = "</table>\n" if begun else "" if pieces else page.NOTHING
        await write(("".join(pieces) + end).encode())
    await write(page.END.encode())


def _as_json(section: Section) -> str:
    return f"SELECT row_to_json(listed)::text FROM ({section.query}) listed"  # noqa: S608


def _arguments(section: Section, person_id: int, retention: RetentionTimes) -> tuple[object, ...]:
    return (person_id,) if section.parameter is None else (person_id, retention[section.parameter])
