"""Check the files of exports: each exists and has the recorded hash and the right rows, and there is no other file."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import openpyxl

from tests.chaos.findings import Findings
from tests.chaos.ledger import Command, Ledger

Owner = asyncpg.Connection

EXPORTS = "SELECT export_id::text, state, format, path, sha256, rows FROM exports"


async def audit_files(ledger: Ledger, owner: "Owner[asyncpg.Record]", storage: Path, found: Findings) -> None:
    rows = {row["export_id"]: row for row in await owner.fetch(EXPORTS)}
    exports = {str(command.answer["export_id"]): command for command in ledger.accepted("export")}
    found.compare("export", Counter(exports.keys()), Counter(rows.keys()))
    registered: dict[int, list[Command]] = {}
    for command in ledger.accepted("register"):
        registered.setdefault(command.answer["drive_id"], []).append(command)
    for id_, row in rows.items():
        path = storage / (row["path"] or "none")
        if not path.is_file():
            found.lost.append(f"the file of export {id_} ({row['state']})")
            continue
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            found.wrong.append(f"the file of export {id_} has another hash")
        elif id_ in exports:
            ids = _registration_ids(content, row["format"])
            if len(ids) != row["rows"]:
                found.wrong.append(f"the file of export {id_} has {len(ids)} rows, not {row['rows']}")
            _registrations(exports[id_], ids, registered.get(exports[id_].body["drive_id"], []), found)
    known = {row["path"] for row in rows.values()}
    found.doubled += [f"file {path}" for path in _stored(storage) if path not in known]


def _stored(storage: Path) -> list[str]:
    return [path.relative_to(storage).as_posix() for path in storage.rglob("*") if path.is_file()]


def _registrations(export: Command, ids: list[int], registered: list[Command], found: Findings) -> None:
    """Check that the file has each registration that was answered before the export's request, and none twice."""
    place = f"of the file of export {export.answer['export_id']}"
    required = {command.answer["registration_id"] for command in registered if command.ended < export.began}
    allowed = {command.answer["registration_id"] for command in registered}
    found.lost += [f"registration {id_} {place}" for id_ in required.difference(ids)]
    found.doubled += [f"registration {id_} {place}" for id_ in Counter(ids) - Counter(allowed)]


def _registration_ids(content: bytes, format_: str) -> list[int]:
    """Return the registration ids in the order of the file."""
    table: list[list[Any]]
    if format_ == "csv":
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    else:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
        table = [list(row) for sheet in book for row in sheet.iter_rows(values_only=True)]
    column = table[0].index("registration_id")
    return [int(row[column]) for row in table[1:]]
