"""``placewire subscriptions``: readers of the log and their checkpoints, directly in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.failures import WRONG_USE, Failure
from cli.output import console, table

if TYPE_CHECKING:
    from chassis.eventstore.checkpoints import Measured
    from chassis.postgres.database import Connection

MEANING = "postgresql://role@host/database, the API's role or the owner"
HELP = "Readers that handle every event of the log once and in order. Works on the database."
COLUMNS = ("Name", "Position", "Behind", "Seconds", "Active", "Failed", "Why")

app = typer.Typer(help=HELP, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The subscription's name, as `list` shows it.")]


@app.callback()
def subscriptions() -> None:
    """Readers that handle every event of the log once and in order. Works on the database."""


@app.command("list")
def list_() -> None:
    """List subscriptions: last handled position, events and seconds behind, whether a replica is active, failures."""
    measured, active = asyncio.run(_listed())
    if not measured:
        console.print("There is no subscription.")
        return
    console.print(
        table(COLUMNS, [_shown(subscription, active=subscription.name in active) for subscription in measured])
    )


@app.command()
def reset(
    name: Name,
    to: Annotated[str, typer.Option(help="Where to continue: beginning, now, or after the event at this position.")],
) -> None:
    """Move a subscription's checkpoint. The subscription may be running. A failed subscription continues from there.

    The effects of handled events stay. With an earlier position, the subscription handles events again.
    """
    if to not in ("beginning", "now") and not (to.isascii() and to.isdigit()):
        raise Failure(f"{to!r} is not valid: give beginning, now or a position", WRONG_USE)
    asyncio.run(_reset(name, to))
    console.print(f"{name} continues from {to if to.isalpha() else f'position {to}'}.")


@app.command()
def retry(name: Name) -> None:
    """Let a failed subscription try the same event again. No event is skipped."""
    asyncio.run(_retry(name))
    console.print(f"{name} tries again.")


def _shown(subscription: "Measured", *, active: bool) -> tuple[object, ...]:
    from chassis.eventstore.checkpoints import MAX_COUNTED

    behind = f"{MAX_COUNTED:,} or more" if subscription.events_behind == MAX_COUNTED else subscription.events_behind
    failed = None if subscription.failed_at is None else str(subscription.failed_at)[:19]
    return (
        subscription.name,
        subscription.position,
        behind,
        subscription.lag_s,
        "yes" if active else "no",
        failed,
        subscription.error,
    )


async def _listed() -> "tuple[list[Measured], set[str]]":
    from chassis.eventstore import checkpoints

    async with _transaction() as connection:
        measured = await checkpoints.measure(connection)
        return measured, await checkpoints.active(connection, [subscription.name for subscription in measured])


async def _reset(name: str, to: str) -> None:
    from chassis.eventstore import checkpoints

    async with _transaction() as connection:
        if to == "beginning":
            await checkpoints.reset_to_beginning(connection, name)
        elif to == "now":
            await checkpoints.reset_to_now(connection, name)
        else:
            await checkpoints.reset_to_position(connection, name, int(to))


async def _retry(name: str) -> None:
    from chassis.eventstore import checkpoints

    async with _transaction() as connection:
        await checkpoints.retry(connection, name)


@asynccontextmanager
async def _transaction() -> "AsyncIterator[Connection]":
    from chassis.postgres.database import Database

    url = environment.require("DATABASE_URL", "MIGRATION_DATABASE_URL", meaning=MEANING)
    database = Database(url, pool_size=1, application_name="placewire-cli")
    try:
        async with database.transaction() as connection:
            yield connection
    finally:
        await database.close()
