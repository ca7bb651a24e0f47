"""``placewire events``: print events of the log."""

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.failures import Failure
from cli.output import console

if TYPE_CHECKING:
    from chassis.eventstore.event_store import Recorded
    from chassis.postgres.database import Database

POLL_S = 0.3
PAGE = 500
# Fields with students' marks, which are not printed.
HIDDEN = ("record",)
MEANING = "postgresql://role@host/database, a role that may read the log"

# The cursor after which the newest $1 events follow. Only events below the log's horizon count, as for every reader.
BEFORE_NEWEST = """
SELECT tx::text::bigint AS tx, position FROM es.event
 WHERE tx < es.log_horizon() ORDER BY es.event.tx DESC, position DESC OFFSET $1 LIMIT 1
"""

app = typer.Typer(help="The event log, read from the database.", no_args_is_help=True)


@app.callback()
def events() -> None:
    """The event log, read from the database."""


@app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Earlier events to print first.")] = 10,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first event.")] = False,
    follow: Annotated[bool, typer.Option(help="Continue with new events.")] = True,
) -> None:
    """Print events as they are recorded, in the log's order and without gaps, until Ctrl-C."""
    url = environment.require("DATABASE_URL", "MIGRATION_DATABASE_URL", meaning=MEANING)
    with suppress(KeyboardInterrupt):
        asyncio.run(_tail(url, None if from_start else lines, follow=follow))


@app.command()
def show(stream: Annotated[str, typer.Argument(help="The stream, for example drive-42.")]) -> None:
    """Print every event of one stream, with its data."""
    url = environment.require("DATABASE_URL", "MIGRATION_DATABASE_URL", meaning=MEANING)
    recorded = asyncio.run(_read(url, stream))
    if not recorded:
        raise Failure(f"there is no stream {stream}")
    for event in recorded:
        console.print(heading(event), highlight=False)
        console.print_json(data=event.data)


async def _tail(url: str, lines: int | None, *, follow: bool) -> None:
    from chassis.eventstore import event_store

    database = _database(url)
    try:
        async with database.connection() as connection:
            start = await connection.fetchrow(BEFORE_NEWEST, lines) if lines is not None else None
        cursor = event_store.Cursor(start["tx"], start["position"]) if start else event_store.Cursor()
        while True:
            async with database.connection() as connection:
                page = await event_store.read_log(connection, cursor, limit=PAGE)
            for _, event in page:
                console.print(heading(event), highlight=False, end="  ")
                console.print(brief(event), markup=False, highlight=False, soft_wrap=True)
            if page:
                cursor = page[-1][0]
            elif follow:
                await asyncio.sleep(POLL_S)
            else:
                return
    finally:
        await database.close()


async def _read(url: str, stream: str) -> "list[Recorded]":
    from chassis.eventstore import event_store

    database = _database(url)
    try:
        async with database.connection() as connection:
            return await event_store.read(connection, stream)
    finally:
        await database.close()


def _database(url: str) -> "Database":
    from chassis.postgres.database import Database

    return Database(url, pool_size=1, application_name="placewire-cli")


def heading(event: "Recorded") -> str:
    at = event.recorded_at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    return f"[dim]{at}[/dim] [bold]{event.stream}[/bold]@{event.version} [cyan]{event.type}[/cyan]"


def brief(event: "Recorded") -> str:
    """Return the event's data on one line, without marks."""
    fields = {name: value for name, value in event.data.items() if name not in HIDDEN and value is not None}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
