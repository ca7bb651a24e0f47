"""Each export has its file, each file its hash and the registrations that were there, and no file is left over."""

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
    asked = {str(one.answer["export_id"]): one for one in ledger.accepted("export")}
    found.compare("export", Counter(asked.keys()), Counter(rows.keys()))
    registered: dict[int, list[Command]] = {}
    for one in ledger.accepted("register"):
        registered.setdefault(one.answer["drive_id"], []).append(one)
    for id_, row in rows.items():
        path = storage / (row["path"] or "none")
        if not path.is_file():
            found.lost.append(f"the file of export {id_} ({row['state']})")
            continue
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row["sha256"]:
            found.wrong.append(f"the file of export {id_} has another hash")
        elif id_ in asked:
            there = _cells(content, row["format"])
            if len(there) != row["rows"]:
                found.wrong.append(f"the file of export {id_} has {len(there)} rows, not {row['rows']}")
            _registrations(asked[id_], there, registered.get(asked[id_].body["drive_id"], []), found)
    known = {row["path"] for row in rows.values()}
    found.doubled += [f"file {path}" for path in _stored(storage) if path not in known]


def _stored(storage: Path) -> list[str]:
    return [one.relative_to(storage).as_posix() for one in storage.rglob("*") if one.is_file()]


def _registrations(export: Command, there: list[int], registered: list[Command], found: Findings) -> None:
    """At least those answered before the file was asked for; none that was never asked for; none twice."""
    of = f"of the file of export {export.answer['export_id']}"
    before = {one.answer["registration_id"] for one in registered if one.ended < export.began}
    ever = {one.answer["registration_id"] for one in registered}
    found.lost += [f"registration {id_} {of}" for id_ in before.difference(there)]
    found.doubled += [f"registration {id_} {of}" for id_ in Counter(there) - Counter(ever)]


def _cells(content: bytes, format_: str) -> list[int]:
    """The registration ids, in the order of the file."""
    table: list[list[Any]]
    if format_ == "csv":
        table = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    else:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True)
        table = [list(row) for sheet in book for row in sheet.iter_rows(values_only=True)]
    column = table[0].index("registration_id")
    return [int(row[column]) for row in table[1:]]
