"""Options of every command that uses the API: its address and the caller's credentials."""

import os
from typing import Annotated, TypeAlias

import typer

from cli.api_client import Api
from cli.failures import WRONG_USE, Failure

DEFAULT_API = "http://127.0.0.1:5000"
PANEL = "API and credentials"

ApiUrl: TypeAlias = Annotated[
    str | None, typer.Option("--api", help=f"Default: PLACEWIRE_API, else {DEFAULT_API}.", rich_help_panel=PANEL)
]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(help="An access token, instead of signing in. Default: PLACEWIRE_TOKEN.", rich_help_panel=PANEL),
]
Email: TypeAlias = Annotated[str | None, typer.Option(help="Default: PLACEWIRE_EMAIL.", rich_help_panel=PANEL)]
Password: TypeAlias = Annotated[
    str | None, typer.Option(help="Default: PLACEWIRE_PASSWORD, else a prompt.", rich_help_panel=PANEL)
]


def signed_in(api: str | None, token: str | None, email: str | None, password: str | None) -> Api:
    """Return an API client, signed in with credentials from the options or the environment.

    Raises ``Failure`` when there are no credentials.
    """
    client = Api(api or os.environ.get("PLACEWIRE_API") or DEFAULT_API, token or os.environ.get("PLACEWIRE_TOKEN"))
    if token or (os.environ.get("PLACEWIRE_TOKEN") and not email):
        return client
    email = email or os.environ.get("PLACEWIRE_EMAIL")
    if not email:
        raise Failure("no credentials: give --email and --password, or --token (or their variables)", WRONG_USE)
    password = password or os.environ.get("PLACEWIRE_PASSWORD") or typer.prompt(f"Password of {email}", hide_input=True)
    return client.signed_in(email, password)
