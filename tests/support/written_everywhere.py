"""Everything that a running system has written, as text: where a test looks for what must not be there."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from devstack.kafka import Kafka
from devstack.postgres import Postgres
from tests.support.collector import Collector
from tests.support.system import System

Owner = asyncpg.Connection

TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname NOT LIKE 'pg_toast%' AND n.nspname NOT LIKE 'pg_temp%' ORDER BY 1
"""
# What the statements of every session have looked like.
STATEMENTS = "SELECT string_agg(query, chr(10)) FROM pg_stat_statements"


@dataclass(frozen=True)
class Running:
    """A system with servers of its own, whose processes export traces to ``collector``."""

    system: System
    kafka: Kafka
    postgres: Postgres
    collector: Collector


async def metrics(system: System) -> dict[str, str]:
    """Return what each process exposes, by process. They must be running."""
    async with httpx.AsyncClient(timeout=30) as client:
        urls = {name: f"http://127.0.0.1:{port}/metrics" for name, port in system.ports.items()}
        return {f"metrics of {name}": (await client.get(url)).text for name, url in urls.items()}


async def tables(owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    """Return the rows of every table and materialized view as text, bytes as characters."""
    await owner.execute("SET bytea_output = 'escape'")
    names = [row[0] for row in await owner.fetch(TABLES)]
    return {
        f"table {name}": await owner.fetchval(f"SELECT string_agg(t::text, chr(10)) FROM {name} t") or ""
        for name in names
    }


async def written(running: Running, owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    """Return everything written so far, by place. Call when the processes have stopped, so that all traces are sent."""
    found = await tables(owner)
    found["statements"] = await owner.fetchval(STATEMENTS) or ""
    found["traces"] = b"".join(running.collector.received).decode(errors="replace")
    found["log of Postgres"] = _text(running.postgres.log)
    found["log of Kafka"] = _text(running.kafka.log)
    for segment in _segments(running.kafka):
        found[f"segment {segment.parent.name}"] = found.get(f"segment {segment.parent.name}", "") + _text(segment)
    for name in running.system.processes:
        found[f"log of {name}"] = _text(running.system.folder / f"{name}.log")
    return found


def files(system: System) -> dict[str, str]:
    """Return the stored files, those of spreadsheets unpacked."""
    return {f"file {path.name}": _unpacked(path) for path in (system.folder / "uploads").rglob("*") if path.is_file()}


def holding(places: Mapping[str, str], planted: str) -> dict[str, str]:
    """Return the places that hold ``planted``, whatever its case, each with what stands around it first."""
    found = {}
    for place, text in places.items():
        at = text.casefold().find(planted.casefold())
        if at >= 0:
            found[place] = text[max(0, at - 200) : at + 200]
    return found


def _segments(kafka: Kafka) -> Iterator[Path]:
    return iter(sorted(kafka.data.rglob("*.log")))


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def _unpacked(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return _text(path)
    with zipfile.ZipFile(path) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
