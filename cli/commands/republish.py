"""``placewire republish``: send old events to Kafka again."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.failures import Failure
from cli.output import console, counted, errors, table

if TYPE_CHECKING:
    from chassis.postgres.database import Database
    from cli.republishing import EventRange

MEANING = "postgresql://role@host/database, the relay's role or the owner's"


def republish(
    topic: Annotated[str, typer.Argument(help="The topic, for example placewire.student, or only student.")],
    first: Annotated[
        int, typer.Option("--from", min=0, help="The position of the first event; 0: the first of the log.")
    ],
    last: Annotated[
        int | None, typer.Option("--to", min=0, help="The position of the last event. Default: the last of the log.")
    ] = None,
    imported: Annotated[
        bool, typer.Option("--imported/--without-imported", help="Include each student of bulk imports.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
) -> None:
    """Send the events of a topic to Kafka again: after the topic was deleted, or for a new reader.

    Puts the events in the outbox, in order, as fast as the relay sends them. They do not delay jobs.
    Placewire's services recognise finished work, so no job runs twice. Other readers recognise events by their id and
    stream version (docs/republish.md). Messages have the header `placewire_republished`.

    A bulk import publishes only one event of its own. This command also publishes an event for each imported student,
    so that a new reader gets all students. When interrupted, it prints the position to continue from.

    Exit 0: Kafka has accepted every event. Exit 1: Kafka refuses some of them for good; prints how many, and a remedy.

    Database: MIGRATION_DATABASE_URL, else DATABASE_URL.
    """
    url = environment.require("MIGRATION_DATABASE_URL", "DATABASE_URL", meaning=MEANING)
    from chassis.postgres.database import Database
    from cli import republishing

    event_range = republishing.EventRange(republishing.topic_named(topic), first, last, imported)

    async def work() -> None:
        database = Database(url, pool_size=1, application_name="placewire-republish")
        try:
            found = await republishing.count(database, event_range)
            row = (event_range.topic, found.count, found.first, found.last)
            console.print(table(("Topic", "Events", "From", "To"), [row]))
            if found.count and not dry_run:
                await _send(database, event_range, found.count)
        finally:
            await database.close()

    asyncio.run(work())


async def _send(database: "Database", event_range: "EventRange", events: int) -> None:
    from cli import republishing

    began, reached = time.perf_counter(), None
    with counted() as bar:
        task = bar.add_task("Republishing, as the relay sends", total=events)

        def put(count: int, position: int) -> None:
            nonlocal reached
            reached = position
            bar.advance(task, count)

        try:
            done = await republishing.republish(database, event_range, put)
        except BaseException:
            if reached is not None:
                errors.print(f"Interrupted. To continue: --from {reached + 1}", highlight=False)
            raise
    took_s = time.perf_counter() - began
    sent = done.events - done.held
    console.print(f"{sent:,} events sent again in {took_s:.1f} s ({sent / took_s:,.0f}/s).")
    if done.held:
        raise Failure(
            f"{done.held:,} events were not sent: Kafka refuses them, or an earlier event with their key. They stay in"
            f" the outbox. {republishing.REMEDY}"
        )
