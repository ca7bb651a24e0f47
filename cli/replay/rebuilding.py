"""Run ``rebuild``: find differences as ``verify`` does, repair them while appends are paused, and compare again."""

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

# The pause begins when fewer new events than this are left to project.
FEW_EVENTS = 500
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """The differences. ``rows``: how many rows can be repaired. ``impossible``: why some ledgers cannot be repaired."""

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
    """The result. ``repair`` is ``None`` when there was nothing to repair, or ``agree`` returned false."""

    proposal: Proposal
    repair: Repair | None = None

    @property
    def left(self) -> int:
        """Return the number of remaining differences."""
        return (self.repair.after if self.repair else self.proposal.findings).differences


async def rebuild(
    url: str, watching: ProgressCallbacks, agree: Callable[[Proposal], bool], *, limit: int, longest_pause_s: float
) -> Rebuilt:
    """Find every difference. If ``agree`` then returns true, repair all differing rows in one transaction.

    ``url``: the owner's. The repair blocks appends for at most ``longest_pause_s`` seconds. Raises ``Unavailable`` or
    ``Failure``, and has then changed nothing.
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
    """Project new events until fewer than ``FEW_EVENTS`` are left for the pause."""
    for _ in range(ROUNDS):
        events = await replay.caught_up()
        await repair.clear(replay.projector, replay.tables)
        if events < FEW_EVENTS:
            break
    await repair.analyze(replay.projector, _tables(replay))


async def _repair(replay: Replay, ledgers: Recomputed) -> list[RepairedTable]:
    """Repair the suspect rows. Runs during the pause, when no event is added to the log."""
    at = replay.at
    try:
        await recomputation.guard(replay.projector, ledgers)
        await replay.caught_up()
        return await repair.repair_suspects(replay.projector, _tables(replay))
    except BaseException:
        replay.at = at  # the projection of the last events is rolled back
        raise
