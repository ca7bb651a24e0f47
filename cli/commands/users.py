"""``placewire users``: create the first account of a system."""

import asyncio
from typing import Annotated

import typer

from cli import environment
from cli.failures import WRONG_USE, Failure
from cli.output import console

MIN_PASSWORD = 8

app = typer.Typer(help="Accounts, directly in the database.", no_args_is_help=True)


@app.callback()
def users() -> None:
    """Accounts, directly in the database."""


@app.command("create-head")
def create_head(
    email: Annotated[str, typer.Argument(help="The e-mail address to sign in with.")],
    # Without a default value, because the prompt would show it and use it when the answer is empty.
    password: Annotated[
        str,
        typer.Option(
            envvar="PLACEWIRE_NEW_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True, show_envvar=True,
            help="Prompts when it is not in the environment.",
        ),
    ],
    name: Annotated[str, typer.Option(help="The name to show.")] = "Head of the placement cell",
) -> None:  # fmt: skip
    """Create a head of the placement cell, the first account of a new system. Create other accounts over HTTP."""
    if len(password) < MIN_PASSWORD:
        raise Failure(f"a password has at least {MIN_PASSWORD} characters", WRONG_USE)
    if email.count("@") != 1 or any(character.isspace() for character in email):
        raise Failure(f"{email!r} is not an e-mail address", WRONG_USE)
    url = environment.require("DATABASE_URL", meaning="postgresql://role@host/database, the API's role")
    user_id = asyncio.run(_create(url, email, name, password))
    console.print(f"Created user {user_id}: {email}, HEAD.")


async def _create(url: str, email: str, name: str, password: str) -> int:
    from uuid import uuid4

    from chassis.eventstore.event_store import Cause, fresh_ids
    from chassis.postgres.database import Database
    from contracts.users import Role
    from services.api.users import handlers
    from services.api.users.decider import CreateUser
    from services.api.users.passwords import hash_password

    database = Database(url, pool_size=1, application_name="placewire-cli")
    try:
        hashed = await hash_password(password)
        cause = Cause(source="cli", correlation_id=uuid4())
        async with database.transaction() as connection:
            return await handlers.create(connection, CreateUser(name, email, Role.HEAD), hashed, cause, fresh_ids)
    finally:
        await database.close()
