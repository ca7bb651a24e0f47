"""Compare 32 concurrent registrations in the API with a bare route that does one durable INSERT.

The API checks the student and writes stream head, event, registration and outbox row. The relay does not run here; it
runs in ``stampede``.
"""

from bench.drives import posted
from bench.http_load import load, request
from bench.pairs import paired
from bench.sizes import Size
from bench.stage import Bench
from contracts.drives import Criteria
from contracts.users import Role
from tests.support.system import bearer

AT_ONCE = 32


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    count = bench.size.requests
    async with bench.students(max(bench.size.rows[0], count)) as ground:
        ground.system.start("api")
        _, bare_port = ground.start("bare", "bench.bare_server")
        rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", count)
        headers_of_student = {row["student_id"]: bearer(Role.STUDENT, row["student_id"]) for row in rows}

        async def ours() -> float:
            drive_id, _ = await posted(ground, Criteria(), auto_published=True)
            path = f"/api/registrations/{drive_id}/register"
            requests = [request("POST", path, headers) for headers in headers_of_student.values()]
            await ground.settle()
            return (await load(ground.system.ports["api"], requests, at_once=AT_ONCE)).require_statuses(201).took_s

        async def theirs() -> float:
            requests = [request("POST", f"/insert/1/{id_}", headers) for id_, headers in headers_of_student.items()]
            await ground.settle()
            return (await load(bare_port, requests, at_once=AT_ONCE)).require_statuses(201).took_s

        pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.compare("accept_32", pairs, "s")
