"""Measure the opening of registration: every student registers for one drive, 64 at a time, as fast as possible.

Meanwhile the relay sends the events, and the eligibility service reads them.
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
REGISTERED = "SELECT count(*) FROM registrations WHERE drive_id = $1"


def steps(size: Size) -> int:
    return 2 * (size.pairs + 1)


async def run(bench: Bench) -> None:
    count = bench.size.stampede
    async with bench.students(count) as ground:
        ground.system.start_all()
        _, bare_port = ground.start("bare", "bench.bare_server")
        rows = await ground.owner.fetch("SELECT student_id FROM students ORDER BY student_id LIMIT $1", count)
        headers_of_student = {row["student_id"]: bearer(Role.STUDENT, row["student_id"]) for row in rows}
        our_rounds: list[Answers] = []
        their_rounds: list[Answers] = []

        async def ours() -> float:
            drive_id, _ = await posted(ground, Criteria(), auto_published=True)
            path = f"/api/registrations/{drive_id}/register"
            requests = [request("POST", path, headers) for headers in headers_of_student.values()]
            await ground.settle()
            our_rounds.append(await load(ground.system.ports["api"], requests, at_once=AT_ONCE))
            assert (registered := await ground.owner.fetchval(REGISTERED, drive_id)) == our_rounds[-1].statuses[201], (
                registered
            )
            return our_rounds[-1].took_s

        async def theirs() -> float:
            requests = [request("POST", f"/insert/1/{id_}", headers) for id_, headers in headers_of_student.items()]
            await ground.settle()
            their_rounds.append((await load(bare_port, requests, at_once=AT_ONCE)).require_statuses(201))
            return their_rounds[-1].took_s

        with watch_memory(ground.system.processes["api"].rss_bytes) as memory:
            pairs = await paired(ours, theirs, rounds=bench.size.pairs, step=bench.step)
    bench.results.memory.append(Memory("api", f"{count:,} register", memory.before / MIB, memory.maximum / MIB))
    _note(bench, "ours", our_rounds[1:])
    _note(bench, "bare route", their_rounds[1:])
    bench.results.note("stampede", "time, of the bare route's", pairs.ratio.middle, "times")
    errors = sum(count - answers.statuses[201] for answers in our_rounds)
    bench.results.note("stampede", "requests not answered 201", errors, "")


def _note(bench: Bench, side: str, rounds: list[Answers]) -> None:
    """Record the figures of the slowest round."""
    bench.results.note("stampede", f"{side}, least", min(answers.per_second for answers in rounds), "requests/s")
    bench.results.note("stampede", f"{side}, largest p99", max(answers.p99_s for answers in rounds) * 1000, "ms")
