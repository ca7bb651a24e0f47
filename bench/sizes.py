"""Sizes of a run. The bounds hold for ``full``. ``quick`` gives an estimate. ``tiny`` shows that the benches run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """A size. ``rows``: the three table sizes called 10k, 100k and 1m. ``pairs``: how often each side is measured.

    ``latency_pairs``: how often latencies are measured. Their p99 varies more, so the number is higher.
    """

    name: str
    pairs: int
    rows: tuple[int, int, int]
    requests: int
    latency_pairs: int
    latency_s: float
    jobs: int
    stampede: int
    burst: int
    pages: int


SIZES = {
    "full": Size("full", 5, (10_000, 100_000, 1_000_000), 4_000, 11, 10, 20_000, 20_000, 100_000, 1_000),
    "quick": Size("quick", 3, (1_000, 10_000, 100_000), 1_000, 3, 2, 1_000, 2_000, 3_000, 200),
    "tiny": Size("tiny", 1, (100, 200, 400), 64, 1, 0.5, 50, 64, 100, 32),
}
