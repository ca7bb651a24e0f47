"""Every bench by its name, in the order of a run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench import (
    accept,
    burst,
    console,
    drain,
    eligibility,
    export,
    growth,
    importing,
    latency,
    polling,
    refresh,
    stampede,
)
from bench.sizes import Size
from bench.stage import Bench


@dataclass(frozen=True, slots=True)
class Entry:
    """A bench. ``ratios``: the bounded ratios that it measures. ``steps``: the number of its measurements."""

    about: str
    ratios: tuple[str, ...]
    run: Callable[[Bench], Awaitable[None]]
    steps: Callable[[Size], int]


def one_step(_size: Size) -> int:
    return 1


BENCHES = {
    "poll_drives": Entry("GET /api/drives, 200s and 304s", ("poll_drives",), polling.run_drives, polling.steps),
    "poll_check": Entry("the two check calls", ("poll_check",), polling.run_check, polling.steps),
    "console_page": Entry("a page of the console and its API calls", ("console_page",), console.run, console.steps),
    "accept": Entry("registering, 32 at once", ("accept_32",), accept.run, accept.steps),
    "stampede": Entry("every student registers for one drive", (), stampede.run, stampede.steps),
    "effect_latency": Entry(
        "accepted to effect over Kafka, 100/s", ("effect_latency_p50", "effect_latency_p99"), latency.run, latency.steps
    ),
    "effect_drain": Entry("many queued small jobs", ("effect_drain", "effect_drain_pgqueuer"), drain.run, drain.steps),
    "burst": Entry("relay and consumer under a burst of events", (), burst.run, one_step),
    "eligibility": Entry(
        "who is selected for a drive", ("eligibility_100k", "eligibility_1m"), eligibility.run, eligibility.steps
    ),
    "export": Entry("registrations as CSV", ("export_csv_1m",), export.run, export.steps),
    "import": Entry("students from a file", ("import_1m",), importing.run, importing.steps),
    "refresh": Entry("the analytics views", (), refresh.run, one_step),
    "growth": Entry("ten times the rows", ("growth",), growth.run, growth.steps),
}
