"""Run ``rebuild``: find differences as ``verify`` does, repair them in a short pause of appends, compare again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cli.replay import recomputation, repair
from cli.replay.comparison import RowDifference
from cli.replay.pausing import Pause, without_appends
from cli.replay.recomputation import Recomputed
from cli.replay.repair import RepairedTable
from cli.replay.tables import Table
from cli.replay.verification import Findings, ProgressCallbacks, Replay, replaying

# How many events can be projected within a pause.
FEW_EVENTS = 500
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """The differences. ``rows``: how many rows can be repaired. ``impossible``: ledgers that cannot, with reasons."""

    findings: Findings
    rows: int
    impossible: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repair:
    """The repaired tables. ``after``: the findings of the comparison after the repair."""

    tables: tuple[RepairedTable, ...]
    pause: Pause
    after: Findings


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """``repair``: ``None`` when there was nothing to repair, or ``agree`` returned false."""

    proposal: Proposal
    repair: Repair | None = None

    @property
    def left(self) -> int:
        """Return the number of remaining differences."""
        return (self.repair.after if self.repair else self.proposal.findings).differences


async def rebuild(
    url: str, watching: ProgressCallbacks, agree: Callable[[Proposal], bool], *, limit: int, longest_pause_s: float
) -> Rebuilt:
    """Find every difference, ask ``agree``, and repair all differing rows in one transaction when it returns true.

    ``url`` connects as the owner. Appends continue, except for a pause of at most ``longest_pause_s`` seconds. There is
    no pause when nothing can be repaired. Raises ``Unavailable`` or ``Failure``; nothing has then been changed.
    """
    async with replaying(url, "placewire-rebuild") as replay:
        await recomputation.prepare(replay.projector)
        await repair.prepare(replay.projector, _tables(replay))

        async def found(table: Table, differences: Sequence[RowDifference]) -> None:
            await repair.suspect(replay.projector, table, differences)

        findings = await replay.compared(watching, limit=limit, found=found)
        ledgers = await recomputation.recompute(replay.reader, replay.projector)
        proposal = Proposal(findings, findings.different_rows + ledgers.rows, tuple(ledgers.impossible))
        if not agree(proposal) or not proposal.rows:
            return Rebuilt(proposal)
        await repair.suspect_touched_rows(replay.projector, replay.tables)
        done, pause = await without_appends(
            replay.projector,
            partial(_repair, replay, ledgers),
            between=partial(_catch_up, replay),
            longest_s=longest_pause_s,
        )
        after = await replay.compared(watching, limit=limit)
    return Rebuilt(proposal, Repair(tuple(done), pause, after))


def _tables(replay: Replay) -> list[Table]:
    return [*replay.tables, *recomputation.TABLES]


async def _catch_up(replay: Replay) -> None:
    """Project new events until few enough are left for the pause."""
    for _ in range(ROUNDS):
        events = await replay.caught_up()
        await repair.clear(replay.projector, replay.tables)
        if events < FEW_EVENTS:
            break
    await repair.analyze(replay.projector, _tables(replay))


async def _repair(replay: Replay, ledgers: Recomputed) -> list[RepairedTable]:
    """Repair the suspect rows. Runs in the pause, when log and tables hold the same events."""
    at = replay.at
    try:
        await recomputation.guard(replay.projector, ledgers)
        await replay.caught_up()
        return await repair.repair_suspects(replay.projector, _tables(replay))
    except BaseException:
        replay.at = at  # what was projected is rolled back
        raise
