"""The whole of ``rebuild``: what ``verify`` finds, mended in one short pause of the appends, and verified again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cli.replay import mending
from cli.replay.comparison import RowDifference
from cli.replay.mending import Mended
from cli.replay.pausing import Pause, without_appends
from cli.replay.tables import Table
from cli.replay.verification import Findings, Replay, Watching, replaying

# So many can be projected in a pause.
FEW_EVENTS = 500
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """``mended``: rows by table. ``after``: what a comparison finds afterwards; ``None`` when nothing was to be mended."""

    before: Findings
    mended: tuple[Mended, ...] = ()
    pause: Pause | None = None
    after: Findings | None = None

    @property
    def left(self) -> int:
        """Differences that are still there."""
        return (self.after or self.before).differences


async def rebuild(
    url: str, watching: Watching, agree: Callable[[Findings], bool], *, most: int, longest_pause_s: float
) -> Rebuilt:
    """Find every difference and tell ``agree``; when that says so, make the live rows what the log says, all of them or none.

    ``url``: the owner's. Appends go on but for a pause of at most ``longest_pause_s``. Raises ``Unavailable``, and ``Failure`` when it cannot be done; nothing is then changed.
    """
    async with replaying(url, "placewire-rebuild") as replay:
        await mending.prepare(replay.projector, replay.tables)

        async def found(table: Table, differences: Sequence[RowDifference]) -> None:
            await mending.suspect(replay.projector, table, differences)

        before = await replay.compared(watching, most=most, found=found)
        if not agree(before):
            return Rebuilt(before)
        await mending.suspect_what_is_touched(replay.projector, replay.tables)
        mended, pause = await without_appends(
            replay.projector, partial(_mend, replay), between=partial(_catch_up, replay), longest_s=longest_pause_s
        )
        after = await replay.compared(watching, most=most)
    return Rebuilt(before, tuple(mended), pause, after)


async def _catch_up(replay: Replay) -> None:
    """Until little is left for the pause, however long the rest took."""
    for _ in range(ROUNDS):
        if await replay.caught_up() < FEW_EVENTS:
            break
    await mending.analyze(replay.projector, replay.tables)


async def _mend(replay: Replay) -> list[Mended]:
    """In the pause: every event is in the log and in the tables, or in neither."""
    at = replay.at
    try:
        await replay.caught_up()
        return await mending.mend(replay.projector, replay.tables)
    except BaseException:
        replay.at = at  # what was projected is rolled back
        raise
