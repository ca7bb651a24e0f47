"""``placewire up``, ``down``, ``status`` and ``logs``: a development system on this machine."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import NO, Failure
from cli.output import console, errors, table

if TYPE_CHECKING:
    from cli.local.overrides import Overrides
    from cli.local.settings import Place
    from devstack.stack import Stack

DATABASE = "placewire"
MEBIBYTE = 1024 * 1024


def up() -> None:
    """Start Postgres, Kafka and all services on this machine, with sample data, and leave them running.

    Uses settings from the environment and `.env`. Addresses of servers and files are always set by this command.
    """
    from cli.local.overrides import read_overrides
    from cli.local.system import all_running
    from devstack.exclusive import exclusive
    from devstack.stack import Stack, data_folder

    with exclusive(data_folder() / "up.lock"):
        stack = Stack()
        if all_running(stack):
            console.print("Everything is running already.")
            _show_status(stack)
            return
        stack.stop()  # stops remaining processes of an earlier start
        overrides = read_overrides(os.environ)
        _show_overrides(overrides)
        try:
            place = _start(stack, overrides)
        except BaseException:
            stack.stop()
            raise
    _show(place)


def _start(stack: "Stack", overrides: "Overrides") -> "Place":
    from cli.local import settings, system
    from cli.sample import people
    from devstack.artifacts import ensure_jars
    from devstack.browser_assets import ensure_assets

    # Both show their own progress bar the first time.
    ensure_jars()
    ensure_assets()
    with errors.status("Starting Postgres and Kafka"):
        stack.start()
    place = system.place_of(stack, DATABASE, settings.PORTS, settings.kept_secrets(), overrides.values)
    with errors.status("Preparing the database"):
        system.prepare_database(place, stack.addresses.database_url)
    with errors.status("Starting API, console and workers"):
        system.launch(stack, place)
    settings.keep(place, (people.STAFF[0][0], people.PASSWORD))
    return place


def _show_overrides(overrides: "Overrides") -> None:
    if overrides.values:
        console.print(table(("Setting", "Value", "From"), overrides.lines()))
    if overrides.unused:
        console.print(f"Not used from .env, because `up` sets its own: {', '.join(overrides.unused)}.")


def down() -> None:
    """Stop the processes that `up` started, and no others. Data is kept."""
    from cli.local import settings
    from devstack.exclusive import exclusive
    from devstack.stack import Stack, data_folder

    with exclusive(data_folder() / "up.lock"):
        stopped = Stack().stop()
        settings.forget()
    console.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def status() -> None:
    """Show what is running. Exit 1 unless everything runs."""
    from cli.local.system import all_running
    from devstack.stack import Stack

    stack = Stack()
    _show_status(stack)
    if not all_running(stack):
        raise typer.Exit(NO)


def logs(
    names: Annotated[list[str] | None, typer.Argument(help="Only these processes: api, relay, eligibility ...")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until Ctrl-C.")] = False,
) -> None:
    """Print the end of each process's log."""
    from devstack.log_view import show_logs
    from devstack.stack import Stack

    paths = Stack().logs
    if unknown := sorted(set(names or ()) - paths.keys()):
        raise Failure(f"there is no process {', '.join(unknown)}; there are {', '.join(paths)}")
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
    from cli.local.settings import PORTS
    from cli.sample.people import show_logins

    if place.ports["api"] != PORTS["api"]:
        console.print(f"Port {PORTS['api']} is in use. The API uses port {place.ports['api']} instead.")
    addresses = (
        ("Console", place.console_url, "open this in a browser"),
        ("API", place.api_url, "docs: /api/docs"),
        ("Postgres", place.database_url, "the owner's role"),
        ("Kafka", place.kafka_bootstrap_servers, ""),
    )
    console.print(table(("What", "Address", ""), addresses))
    show_logins()
    console.print("Commands read these addresses from .devstack/env. Logs: `make logs`. Stop: `make down`.")
