"""``placewire people``: print and erase what is stored about a person, directly in the database."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.output import console, table

if TYPE_CHECKING:
    from services.api.personal_data.erasure import Erasure

PersonId = Annotated[int, typer.Argument(min=1, metavar="ID", help="The user id; a student's is the student id.")]

app = typer.Typer(help="Personal data, directly in the database.", no_args_is_help=True)


@app.callback()
def people() -> None:
    """Personal data, directly in the database."""


@app.command("data")
def data(
    person_id: PersonId,
    html: Annotated[bool, typer.Option("--html", help="Print an HTML page instead of JSON.")] = False,
) -> None:
    """Print everything that is stored about a person. The person gets the same from GET /api/me/data."""
    asyncio.run(_print_data(_url(), person_id, as_page=html))


@app.command("erase")
def erase(
    person_id: PersonId,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be erased.")] = False,
) -> None:
    """Erase a person's name, e-mail address and roll number, and close the account, for good.

    Marks, registrations and decisions stay under the id. Files of exports that may show the person are deleted.
    """
    erasure = asyncio.run(_erase(_url(), person_id, dry_run=dry_run))
    console.print(table(("What", "Count"), [(kind.replace("_", " "), count) for kind, count in erasure.counts.items()]))
    console.print(f"Person {person_id}: {erasure.message}")


def _url() -> str:
    return environment.require("DATABASE_URL", meaning="postgresql://role@host/database, the API's role")


async def _print_data(url: str, person_id: int, *, as_page: bool) -> None:
    from chassis.postgres.database import Database
    from chassis.settings import RetentionSettings, load
    from services.api.personal_data.own_data import retention_times, write_json, write_page

    async def write(block: bytes) -> None:
        sys.stdout.buffer.write(block)

    database = Database(url, pool_size=1, application_name="placewire-cli")
    try:
        async with database.transaction(isolation="repeatable_read", readonly=True) as connection:
            await (write_page if as_page else write_json)(
                connection, write, person_id, retention_times(load(RetentionSettings))
            )
    finally:
        await database.close()
    sys.stdout.buffer.flush()


async def _erase(url: str, person_id: int, *, dry_run: bool) -> "Erasure":
    from uuid import uuid4

    from chassis.eventstore.event_store import Cause, fresh_ids
    from chassis.postgres.database import Database
    from services.api.personal_data import erasure

    database = Database(url, pool_size=1, application_name="placewire-cli")
    try:
        async with database.transaction() as connection:
            if dry_run:
                return await erasure.rehearse(connection, person_id, erasure.COMMAND_LINE)
            return await erasure.erase(connection, person_id, Cause(source="cli", correlation_id=uuid4()), fresh_ids)
    finally:
        await database.close()
