"""Registrations open: every student registers for one drive, 64 at a time, as fast as possible.

Meanwhile the relay sends the events, and eligibility reads them.
"""

from bench.drives import posted
from bench.http_load import Answers, load, request
from bench.pairs import paired
from bench.results import Memory
from bench.sizes import Size
from bench.stage import Bench
from cli.demo.memory import watch_memory
from contracts.drives import Criteria
from contracts.users import Role
from tests.support.system import bearer

AT_ONCE = 64
MIB = 1 << 20
TAKEN = "SELECT count(*) FROM registrations WHERE drive_id = $1"


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    count = bench.size.stampede
    async with bench.students(count) as ground:
        ground.system.start_all()
        _, bare_port = ground.start("bare", "bench.bare_server")
        rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", count)
        headers_of_student = {row["student_id"]: bearer(Role.STUDENT, row["student_id"]) for row in rows}
        all_of_ours: list[Answers] = []
        all_of_theirs: list[Answers] = []

        async def ours() -> float:
            drive_id, _ = await posted(ground, Criteria(), auto_published=True)
            path = f"/api/registrations/{drive_id}/register"
            requests = [request("POST", path, headers) for headers in headers_of_student.values()]
            await ground.settle()
            all_of_ours.append(await load(ground.system.ports["api"], requests, at_once=AT_ONCE))
            assert (taken := await ground.owner.fetchval(TAKEN, drive_id)) == all_of_ours[-1].statuses[201], taken
            return all_of_ours[-1].took_s

        async def theirs() -> float:
            requests = [request("POST", f"/insert/1/{id_}", headers) for id_, headers in headers_of_student.items()]
            await ground.settle()
            all_of_theirs.append((await load(bare_port, requests, at_once=AT_ONCE)).require_statuses(201))
            return all_of_theirs[-1].took_s

        with watch_memory(ground.system.processes["api"].rss_bytes) as memory:
            found = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.memory.append(Memory("api", f"{count:,} register", memory.before / MIB, memory.maximum / MIB))
    _note(bench, "ours", all_of_ours[1:])
    _note(bench, "bare route", all_of_theirs[1:])
    bench.results.note("stampede", "time, of the bare route's", found.ratio.middle, "times")
    errors = sum(count - answers.statuses[201] for answers in all_of_ours)
    bench.results.note("stampede", "requests not answered 201", errors, "")


def _note(bench: Bench, side: str, rounds: list[Answers]) -> None:
    """Record the slowest round."""
    bench.results.note("stampede", f"{side}, least", min(answers.per_second for answers in rounds), "requests/s")
    bench.results.note("stampede", f"{side}, largest p99", max(answers.p99_s for answers in rounds) * 1000, "ms")
