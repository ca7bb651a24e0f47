"""What every open screen asks for every few seconds, against bare routes of the same server and loop."""

from collections.abc import Sequence

from bench.drives import CRITERIA, posted
from bench.http_load import ask, load, request
from bench.pairs import paired
from bench.stage import Bench, Ground
from contracts.drives import Criteria
from contracts.users import Role
from tests.system import bearer

AT_ONCE = 32
DRIVES = 20
# Each stays far below what one user may ask.
USERS = 500


def steps(pairs: int) -> int:
    return 2 * (pairs + 1)


async def run_drives(bench: Bench) -> None:
    """``GET /api/drives`` of 20 drives, every second time with the tag of what is there, against a constant."""
    async with bench.students(bench.size.rows[0]) as ground:
        for _ in range(DRIVES):
            await posted(ground, CRITERIA)
        users = await _started(ground)
        port = ground.system.ports["api"]
        _, headers, _ = await ask(port, request("GET", "/api/drives", users[0]))
        known = {"If-None-Match": headers["etag"]}
        asked = [
            request("GET", "/api/drives", {**users[number % len(users)], **(known if number % 2 else {})})
            for number in range(bench.size.requests)
        ]
        await _compare(bench, ground, "poll_drives", asked, [request("GET", "/constant", {})] * len(asked), (200, 304))


async def run_check(bench: Bench) -> None:
    """The two ``check`` calls in turn, against a route that reads one row by its primary key."""
    async with bench.students(bench.size.rows[0]) as ground:
        drive_id, _ = await posted(ground, Criteria(), auto_published=True)
        users = await _started(ground)
        paths = (f"/api/eligibility/{drive_id}/check", f"/api/registrations/{drive_id}/check")
        asked = [
            request("GET", paths[number % 2], users[number // 2 % len(users)]) for number in range(bench.size.requests)
        ]
        ids = [row["student_id"] for row in await ground.owner.fetch("SELECT student_id FROM students LIMIT $1", USERS)]
        bare = [request("GET", f"/row/{ids[number % len(ids)]}", {}) for number in range(len(asked))]
        await _compare(bench, ground, "poll_check", asked, bare, (200,))


async def _started(ground: Ground) -> list[dict[str, str]]:
    """The headers of as many students as there are, up to ``USERS``; the API runs."""
    ground.system.start("api")
    rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", USERS)
    return [bearer(Role.STUDENT, row["student_id"]) for row in rows]


async def _compare(
    bench: Bench, ground: Ground, name: str, asked: Sequence[bytes], bare: Sequence[bytes], statuses: tuple[int, ...]
) -> None:
    _, bare_port = ground.start("bare", "bench.bare_server")

    async def ours() -> float:
        return (await load(ground.system.ports["api"], asked, at_once=AT_ONCE)).must_be(*statuses).took_s

    async def theirs() -> float:
        return (await load(bare_port, bare, at_once=AT_ONCE)).must_be(200).took_s

    found = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.compare(name, found, "s")
