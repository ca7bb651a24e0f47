"""``placewire up``, ``down``, ``status`` and ``logs``: a system that stays, for development."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import NO, Failure
from cli.output import console, errors, table

if TYPE_CHECKING:
    from cli.local.given import Given
    from cli.local.settings import Place
    from devstack.stack import Stack

DATABASE = "placewire"
MEBIBYTE = 1024 * 1024


def up() -> None:
    """Start everything on this machine and leave it running: Postgres, Kafka, API, console, workers; seeded.

    Uses settings from the environment and `.env`, except addresses of servers and files: those are always its own.
    """
    from cli.local.given import given_settings
    from cli.local.system import all_running
    from devstack.exclusive import exclusive
    from devstack.stack import Stack, data_folder

    with exclusive(data_folder() / "up.lock"):
        stack = Stack()
        if all_running(stack):
            console.print("Everything is running already.")
            _show_status(stack)
            return
        stack.stop()  # what is left of an earlier one
        given = given_settings(os.environ)
        _show_given(given)
        try:
            place = _start(stack, given)
        except BaseException:
            stack.stop()
            raise
    _show(place)


def _start(stack: "Stack", given: "Given") -> "Place":
    from cli.local import settings, system
    from cli.sample import people
    from devstack.artifacts import ensure_jars
    from devstack.browser_assets import ensure_assets

    ensure_jars()  # each with a bar of its own, the first time
    ensure_assets()
    with errors.status("Starting Postgres and Kafka"):
        stack.start()
    place = system.place_of(stack, DATABASE, settings.PORTS, settings.kept_secrets(), given.values)
    with errors.status("Preparing the database"):
        system.prepare_database(place, stack.addresses.database_url)
    with errors.status("Starting API, console and workers"):
        system.launch(stack, place)
    settings.keep(place, (people.STAFF[0][0], people.PASSWORD))
    return place


def _show_given(given: "Given") -> None:
    if given.values:
        console.print(table(("Setting", "Value", "From"), given.lines()))
    if given.unused:
        console.print(f"Not used from .env, because `up` sets its own: {', '.join(given.unused)}.")


def down() -> None:
    """Stop exactly what `up` started. Data stays."""
    from cli.local import settings
    from devstack.exclusive import exclusive
    from devstack.stack import Stack, data_folder

    with exclusive(data_folder() / "up.lock"):
        stopped = Stack().stop()
        settings.forget()
    console.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def status() -> None:
    """Show what runs. Exit 1 unless everything does."""
    from cli.local.system import all_running
    from devstack.stack import Stack

    stack = Stack()
    _show_status(stack)
    if not all_running(stack):
        raise typer.Exit(NO)


def logs(
    names: Annotated[list[str] | None, typer.Argument(help="Only of these: api, relay, eligibility ...")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
) -> None:
    """Print the last lines that each process wrote."""
    from devstack.log_view import show_logs
    from devstack.stack import Stack

    paths = Stack().logs
    if unknown := sorted(set(names or ()) - paths.keys()):
        raise Failure(f"there is no {', '.join(unknown)}; there are: {', '.join(paths)}")
    with suppress(KeyboardInterrupt):
        show_logs({name: path for name, path in paths.items() if not names or name in names}, follow=follow)


def _show_status(stack: "Stack") -> None:
    servers = (
        ("postgres", stack.postgres.pid, stack.addresses.database_url),
        ("kafka", stack.kafka.pid, stack.addresses.kafka_bootstrap_servers),
    )
    rows = [(name, str(pid), address, "") if pid else (name, "stopped", "", "") for name, pid, address in servers]
    for process in stack.record.processes:
        if process.running:
            address = (process.url or "").removesuffix("/readyz")
            rows.append((process.name, str(process.pid), address, f"{process.rss_bytes() // MEBIBYTE} MiB"))
        else:
            rows.append((process.name, "stopped", "", ""))
    console.print(table(("Process", "Pid", "Address", "Memory"), rows))


def _show(place: "Place") -> None:
    from cli.commands.logins import show_logins
    from cli.local.settings import PORTS

    if place.ports["api"] != PORTS["api"]:
        console.print(f"Port {PORTS['api']} is taken: the API is on {place.ports['api']} instead.")
    addresses = (
        ("Console", place.console_url, "open this in a browser"),
        ("API", place.api_url, "docs: /api/docs"),
        ("Postgres", place.database_url, "the owner's role"),
        ("Kafka", place.kafka_bootstrap_servers, ""),
    )
    console.print(table(("What", "Address", ""), addresses))
    show_logins()
    console.print("Commands find all this in .devstack/env. Logs: `make logs`. Stop: `make down`.")
