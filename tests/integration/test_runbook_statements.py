"""The SQL statements of the runbooks run on the current schema."""

import re
from pathlib import Path

import asyncpg
import pytest

from chassis.messaging.relay import LEADER_LOCK

RUNBOOKS = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
STATEMENTS = {
    heading: statement
    for heading, entry in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL)
    for statement in re.findall(r"^```sql\n(.*?)^```", entry, re.MULTILINE | re.DOTALL)[:1]
}
EVERY = re.findall(r"^```sql\n(.*?)^```", RUNBOOKS, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("statement", EVERY, ids=lambda statement: " ".join(statement.split())[:40])
async def test_each_statement_runs(statement: str, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await owner.fetch(statement)


async def test_the_runbook_finds_the_leading_relay(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    await owner.execute("SELECT pg_advisory_lock($1)", LEADER_LOCK)
    pids = {row["pid"] for row in await owner.fetch(STATEMENTS["PlacewireRelayLeaderless"])}
    assert owner.get_server_pid() in pids
