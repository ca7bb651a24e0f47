"""Commands with an Idempotency-Key have one effect and one answer. An expired key is refused."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.users import Role
from services.api.main import create_app
from tests.conftest import Api
from tests.integration.test_notifications import add_user
from tests.support.keyed_commands import HEAD_ID, SCENARIOS, World
from tests.support.maintenance_app import after, maintaining
from tests.support.service_settings import api_settings

Owner = asyncpg.Connection
# The digest covers every row and the transaction that wrote it, so an update to the same values changes it too.
TABLES = """
SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
 WHERE schemaname IN ('public', 'es') AND relname NOT IN ('idempotency_keys', 'probe', 'alembic_version') ORDER BY 1
"""
DIGEST = "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text || t.xmin, '' ORDER BY t::text)), '') FROM {} t"


def operations_with_key() -> list[str]:
    """Return the operations that declare the header."""
    paths = create_app(api_settings("postgresql://nobody@127.0.0.1:9/none", Path("/nonexistent"))).openapi()["paths"]
    return sorted(
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        if any(parameter["name"] == "idempotency-key" for parameter in operation.get("parameters", ()))
    )


async def state(owner: "Owner[asyncpg.Record]") -> dict[str, str]:
    tables = [row[0] for row in await owner.fetch(TABLES)]
    return {table: str(await owner.fetchval(DIGEST.format(table))) for table in tables}


async def sizes(owner: "Owner[asyncpg.Record]") -> dict[str, int]:
    return {table: int(digest.partition(" ")[0]) for table, digest in (await state(owner)).items()}


def body(answer: httpx.Response) -> Any:
    """Return the body without the sign-in token. Each answer has a new token, which is not stored."""
    return without_token(answer) if "token" in answer.json() else answer.content


def without_token(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "token"}


def test_each_operation_with_a_key_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == operations_with_key()


@pytest.mark.damages
@pytest.mark.parametrize("name", sorted(SCENARIOS))
async def test_requests_with_one_key_have_one_effect_and_one_answer(
    api: Api, owner: "Owner[asyncpg.Record]", database_url: str, tmp_path: Path, name: str
) -> None:
    """Send the requests one after the other, concurrently, and after the answer of a committed command was lost."""
    world = World(api, owner)
    await add_user(api, HEAD_ID, Role.HEAD)
    call = await SCENARIOS[name](world)
    sizes_before = await sizes(owner)
    first = await call.send(api, "sequential")
    assert first.is_success, first.text
    growth = {table: size - sizes_before[table] for table, size in (await sizes(owner)).items()}
    expected_state = await state(owner)
    repeated = await call.send(api, "sequential")
    assert (repeated.status_code, body(repeated)) == (first.status_code, body(first))
    # The state after a process was killed between commit and answer.
    await owner.execute("UPDATE idempotency_keys SET answer = NULL")
    recovered = await call.send(api, "sequential")
    assert (recovered.status_code, without_token(recovered)) == (first.status_code, without_token(first))
    assert await state(owner) == expected_state

    call = await SCENARIOS[name](world)
    sizes_before = await sizes(owner)
    left, right = await asyncio.gather(call.send(api, "parallel"), call.send(api, "parallel"))
    assert left.is_success, left.text
    assert (left.status_code, body(left)) == (right.status_code, body(right))
    assert {table: size - sizes_before[table] for table, size in (await sizes(owner)).items()} == growth

    await owner.execute("UPDATE es.job SET state = 'succeeded', finished_at = now() WHERE finished_at IS NULL")
    async with maintaining(database_url, tmp_path) as maintenance:
        await maintenance.due.once(after(days=7.1))
    expected_state = await state(owner)
    expired = await call.send(api, "parallel")
    assert (expired.status_code, "used long ago" in expired.json()["message"]) == (422, True)
    assert await state(owner) == expected_state
    stored_answers = await owner.fetchval(
        "SELECT count(*) FROM idempotency_keys WHERE answer IS NOT NULL OR committed <> 'null'"
    )
    assert stored_answers == 0
    assert await owner.fetchval("SELECT count(*) FROM vault.kept_answer") == 0
