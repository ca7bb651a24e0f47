"""``placewire rebuild``: damaged rows are found and mended, beside a working system, all of them or none."""

import asyncpg
import pytest

from cli.replay.rebuilding import Rebuilt
from cli.replay.rebuilding import rebuild as rebuild_at
from cli.replay.verification import Watching
from cli.replay.verification import verify as verify_at
from tests.enrolment import enrol

Owner = asyncpg.Connection
UNWATCHED = Watching(began=lambda _: None, projected=lambda _: None)

pytest_plugins = ()


async def rebuild(database_url: str, *, longest_pause_s: float = 5) -> Rebuilt:
    return await rebuild_at(database_url, UNWATCHED, lambda _: True, most=20, longest_pause_s=longest_pause_s)


async def test_x(database_url: str, owner: "Owner[asyncpg.Record]") -> None:
    await enrol(owner, 20_000)
    await owner.execute("DELETE FROM students WHERE student_id < 500")
    await owner.execute("UPDATE users SET name = name || '!' WHERE user_id > 500 AND user_id < 600")
    await owner.execute("INSERT INTO students (student_id, roll_number, active_backlogs) VALUES (90001, 'NEW', 0)")
    found = await rebuild(database_url)
    print(found.mended, found.pause)
    assert found.left == 0
