"""The whole of ``rebuild``: what ``verify`` finds, mended in one short pause of the appends, and verified again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cli.replay import mending, recomputation
from cli.replay.comparison import RowDifference
from cli.replay.mending import Mended
from cli.replay.pausing import Pause, without_appends
from cli.replay.recomputation import Recomputed
from cli.replay.tables import Table
from cli.replay.verification import Findings, Replay, Watching, replaying

# So many can be projected in a pause.
FEW_EVENTS = 500
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """What differs, and how much of it can be mended: ``rows``. ``impossible``: ledgers that cannot, and why."""

    findings: Findings
    rows: int
    impossible: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mending:
    """What was done. ``after``: what a comparison of everything found then."""

    tables: tuple[Mended, ...]
    pause: Pause
    after: Findings


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """``mending``: ``None`` when there was nothing to mend, or nobody agreed."""

    proposal: Proposal
    mending: Mending | None = None

    @property
    def left(self) -> int:
        """Differences that are still there."""
        return (self.mending.after if self.mending else self.proposal.findings).differences


async def rebuild(
    url: str, watching: Watching, agree: Callable[[Proposal], bool], *, most: int, longest_pause_s: float
) -> Rebuilt:
    """Find every difference and tell ``agree``; when that says so, make the live rows what the log says, all or none.

    ``url``: the owner's. Appends go on but for a pause of at most ``longest_pause_s``; when nothing can be mended there
    is none. Raises ``Unavailable``, and ``Failure`` when it cannot be done; nothing is then changed.
    """
    async with replaying(url, "placewire-rebuild") as replay:
        await recomputation.prepare(replay.projector)
        await mending.prepare(replay.projector, _tables(replay))

        async def found(table: Table, differences: Sequence[RowDifference]) -> None:
            await mending.suspect(replay.projector, table, differences)

        findings = await replay.compared(watching, most=most, found=found)
        ledgers = await recomputation.recompute(replay.reader, replay.projector)
        proposal = Proposal(findings, findings.different_rows + ledgers.rows, tuple(ledgers.impossible))
        if not agree(proposal) or not proposal.rows:
            return Rebuilt(proposal)
        await mending.suspect_what_is_touched(replay.projector, replay.tables)
        done, pause = await without_appends(
            replay.projector,
            partial(_mend, replay, ledgers),
            between=partial(_catch_up, replay),
            longest_s=longest_pause_s,
        )
        after = await replay.compared(watching, most=most)
    return Rebuilt(proposal, Mending(tuple(done), pause, after))


def _tables(replay: Replay) -> list[Table]:
    return [*replay.tables, *recomputation.TABLES]


async def _catch_up(replay: Replay) -> None:
    """Until little is left for the pause, however long the rest took."""
    for _ in range(ROUNDS):
        if await replay.caught_up() < FEW_EVENTS:
            break
    await mending.analyze(replay.projector, _tables(replay))


async def _mend(replay: Replay, ledgers: Recomputed) -> list[Mended]:
    """In the pause: every event is in the log and in the tables, or in neither."""
    at = replay.at
    try:
        await recomputation.guard(replay.projector, ledgers)
        await replay.caught_up()
        return await mending.mend(replay.projector, _tables(replay))
    except BaseException:
        replay.at = at  # what was projected is rolled back
        raise
