"""``placewire secrets`` and ``roles``: run once, before the first start."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from cli import environment
from cli.failures import WRONG_USE, Failure
from cli.output import console


def secrets(
    folder: Annotated[
        Path, typer.Argument(help="The folder to write to, with a subfolder for each process.", file_okay=False)
    ],
    database: Annotated[
        str, typer.Option(help="The owner's address of the database, without a password.")
    ] = "postgresql://postgres@postgres:5432/placewire",
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where files are stored: file:///folder, s3://bucket, gs://bucket, az://container. Default: the value"
            " of the last run; at first file:///var/lib/placewire/uploads."
        ),
    ] = None,
) -> None:
    """Create the secrets of an installation, as files for SECRETS_DIR. Existing secrets are kept; safe to repeat.

    Values in these environment variables are used instead of random ones: JWT_SECRET, INTERNAL_SECRET, CONSOLE_SECRET,
    POSTGRES_PASSWORD, GRAFANA_PASSWORD, PLACEWIRE_API_PASSWORD, and those of the other database roles.
    """
    from cli.deployment import secret_files

    given = {name: os.environ.get(name.upper(), "") for name in secret_files.MADE}
    before = secret_files.kept_storage(folder)
    created = secret_files.write(folder, database, storage, given)
    if before is not None and (now := secret_files.kept_storage(folder)) != before:
        console.print(f"Files were stored at {before}. They are now stored at {now}.", markup=False, soft_wrap=True)
    console.print(f"Created {', '.join(created)}." if created else "Every secret exists already.")


def roles(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from", exists=True, file_okay=False, help="The folder of the password files. Default: SECRETS_DIR."
        ),
    ] = None,
) -> None:
    """Set the passwords of the database roles from files: placewire_api_password, and one for each other role.

    Database: MIGRATION_DATABASE_URL, as the owner or another role that may change roles. The server receives SCRAM
    verifiers, never a password.
    """
    from cli.deployment.roles import PASSWORD_OF, set_passwords

    folder = folder or Path(environment.require("SECRETS_DIR", meaning="the folder of the roles' passwords"))
    url = environment.require("MIGRATION_DATABASE_URL", meaning="postgresql://owner@host/database, the owner's role")
    files = {role: folder / secret for role, secret in PASSWORD_OF.items()}
    passwords = {role: file.read_text().strip() for role, file in files.items() if file.is_file()}
    if not passwords:
        raise Failure(f"{folder} has none of the files {', '.join(PASSWORD_OF.values())}", WRONG_USE)
    asyncio.run(set_passwords(url, passwords))
    console.print(f"Set the passwords of {', '.join(passwords)}.")
