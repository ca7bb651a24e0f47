"""Return everything that a running system has written, as text, so that a test can search it."""

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
# The texts of all statements of all sessions.
STATEMENTS = "SELECT string_agg(query, chr(10)) FROM pg_stat_statements"


@dataclass(frozen=True)
class Running:
    """A system with its own servers, whose processes export traces to ``collector``."""

    system: System
    kafka: Kafka
    postgres: Postgres
    collector: Collector


async def metrics(system: System) -> dict[str, str]:
    """Return the metrics of each process. All processes must be running."""
    async with httpx.AsyncClient(timeout=30) as client:
        urls = {name: f"http://127.0.0.1:{port}/metrics" for name, port in system.ports.items()}
        return {f"metrics of {name}": (await client.get(url)).text for name, url in urls.items()}


async def tables(owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    """Return the rows of every table and materialized view as text. Bytes are converted to characters."""
    await owner.execute("SET bytea_output = 'escape'")
    names = [row[0] for row in await owner.fetch(TABLES)]
    return {
        f"table {name}": await owner.fetchval(f"SELECT string_agg(t::text, chr(10)) FROM {name} t") or ""
        for name in names
    }


async def written(running: Running, owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    """Return everything written so far, by place. The processes must have stopped, so that all traces are sent."""
    places = await tables(owner)
    places["statements"] = await owner.fetchval(STATEMENTS) or ""
    places["traces"] = b"".join(running.collector.received).decode(errors="replace")
    places["log of Postgres"] = _text(running.postgres.log)
    places["log of Kafka"] = _text(running.kafka.log)
    for segment in _segments(running.kafka):
        place = f"segment {segment.parent.name}"
        places[place] = places.get(place, "") + _text(segment)
    for name in running.system.processes:
        places[f"log of {name}"] = _text(running.system.folder / f"{name}.log")
    return places


def files(system: System) -> dict[str, str]:
    """Return the content of all stored files. Spreadsheets are unpacked."""
    return {f"file {path.name}": _unpacked(path) for path in (system.folder / "uploads").rglob("*") if path.is_file()}


def holding(places: Mapping[str, str], marker: str) -> dict[str, str]:
    """Return the places that contain ``marker`` in upper or lower case, with the text around its first occurrence."""
    excerpts = {}
    for place, text in places.items():
        at = text.casefold().find(marker.casefold())
        if at >= 0:
            excerpts[place] = text[max(0, at - 200) : at + 200]
    return excerpts


def _segments(kafka: Kafka) -> Iterator[Path]:
    return iter(sorted(kafka.data.rglob("*.log")))


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def _unpacked(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return _text(path)
    with zipfile.ZipFile(path) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
