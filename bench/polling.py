"""Compare the requests that every open screen repeats with bare routes of the same server and event loop."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench.drives import CRITERIA, posted
from bench.http_load import ask, load, request
from bench.pairs import paired
from bench.sizes import Size
from bench.stage import Bench, Ground
from contracts.drives import Criteria
from contracts.users import Role
from tests.support.system import bearer

AT_ONCE = 32
DRIVES = 20
# With this many users, each stays far below the rate limit.
USERS = 500


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run_drives(bench: Bench) -> None:
    """Compare ``GET /api/drives`` with 20 drives, every second request with the current ETag, with a constant."""
    async with bench.students(bench.size.rows[0]) as ground:
        for _ in range(DRIVES):
            await posted(ground, CRITERIA)
        users = await _start_api(ground)
        port = ground.system.ports["api"]

        async def requests() -> list[bytes]:
            # The current ETag. It changes every hour, because the signed links in the response do.
            _, headers, _ = await ask(port, request("GET", "/api/drives", users[0]))
            known = {"If-None-Match": headers["etag"]}
            return [
                request("GET", "/api/drives", {**users[number % len(users)], **(known if number % 2 else {})})
                for number in range(bench.size.requests)
            ]

        half = bench.size.requests // 2
        bare = [request("GET", "/constant", {})] * bench.size.requests
        await _compare(bench, ground, "poll_drives", requests, bare, {200: bench.size.requests - half, 304: half})


async def run_check(bench: Bench) -> None:
    """Compare the two ``check`` calls, in turn, with a route that reads one row by its primary key."""
    async with bench.students(bench.size.rows[0]) as ground:
        drive_id, _ = await posted(ground, Criteria(), auto_published=True)
        users = await _start_api(ground)
        paths = (f"/api/eligibility/{drive_id}/check", f"/api/registrations/{drive_id}/check")

        async def requests() -> list[bytes]:
            each = range(bench.size.requests)
            return [request("GET", paths[number % 2], users[number // 2 % len(users)]) for number in each]

        ids = [row["student_id"] for row in await ground.owner.fetch("SELECT student_id FROM students LIMIT $1", USERS)]
        bare = [request("GET", f"/row/{ids[number % len(ids)]}", {}) for number in range(bench.size.requests)]
        await _compare(bench, ground, "poll_check", requests, bare, {200: bench.size.requests})


async def _start_api(ground: Ground) -> list[dict[str, str]]:
    """Start the API. Return the request headers of up to ``USERS`` students."""
    ground.system.start("api")
    rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", USERS)
    return [bearer(Role.STUDENT, row["student_id"]) for row in rows]


async def _compare(
    bench: Bench,
    ground: Ground,
    name: str,
    requests: Callable[[], Awaitable[Sequence[bytes]]],
    bare: Sequence[bytes],
    statuses: Mapping[int, int],
) -> None:
    """Compare the API with the bare route. ``statuses``: how many responses of each status the API must return."""
    _, bare_port = ground.start("bare", "bench.bare_server")

    async def ours() -> float:
        answers = await load(ground.system.ports["api"], await requests(), at_once=AT_ONCE)
        assert answers.statuses == statuses, answers.statuses
        return answers.took_s

    async def theirs() -> float:
        return (await load(bare_port, bare, at_once=AT_ONCE)).require_statuses(200).took_s

    pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.compare(name, pairs, "s")
