"""A page of the console against the API calls that it makes."""

from bench.drives import posted
from bench.http_load import load, request
from bench.pairs import paired
from bench.sizes import Size
from bench.stage import Bench
from contracts.drives import Criteria
from contracts.users import Role
from devstack.browser_assets import ensure_assets
from services.console.sessions import Sessions, SignedInUser
from tests.support.system import SECRET, bearer, token

AT_ONCE = 32
DRIVES = 20
# With so many users, each stays far below the rate limit.
USERS = 500
# The start page of a student, and what it reads.
PAGE = "/console/today"
CALLS = ("/api/eligibility/mine", "/api/registrations/mine", "/api/notifications/mine?limit=5")


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    """The start page of a student, against the calls to the API that it makes, from the same client."""
    async with bench.students(bench.size.rows[0]) as ground:
        for _ in range(DRIVES):
            await posted(ground, Criteria(), auto_published=True)
        ground.system.start_together("api", "console", ASSETS_FOLDER=str(ensure_assets()))
        rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", USERS)
        ids = [row["student_id"] for row in rows]
        sessions = Sessions([SECRET])
        cookies = [{"Cookie": sessions.cookie(_student(user_id), secure=False)} for user_id in ids]
        pages = [request("GET", PAGE, cookies[number % len(ids)]) for number in range(bench.size.pages)]
        calls = [
            request("GET", call, bearer(Role.STUDENT, ids[number % len(ids)]))
            for number in range(bench.size.pages)
            for call in CALLS
        ]

        async def ours() -> float:
            responses = await load(ground.system.ports["console"], pages, at_once=AT_ONCE)
            return responses.require_statuses(200).took_s

        async def theirs() -> float:
            return (await load(ground.system.ports["api"], calls, at_once=AT_ONCE)).require_statuses(200).took_s

        bench.results.compare("console_page", await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step), "s")


def _student(user_id: int) -> SignedInUser:
    return SignedInUser(user_id, Role.STUDENT, "Somebody", "somebody@college.edu", token(Role.STUDENT, user_id))
