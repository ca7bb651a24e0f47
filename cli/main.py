"""Build the ``placewire`` command from its subcommands, and print an expected failure in one line."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from chassis.extras import require_extra
from cli import environment
from cli.commands import (
    contracts,
    database,
    dead_letters,
    demo,
    doctor,
    drives,
    events,
    installation,
    jobs,
    moving,
    people,
    policy,
    processes,
    rebuild,
    republish,
    stack,
    students,
    subscriptions,
    users,
    verify,
)
from cli.failures import INTERRUPTED, Failure, as_failure
from cli.output import errors

HELP = """Run and operate Placewire, the backend of a campus placement cell.

Settings come from the environment or, without DATABASE_URL, from .devstack/env, which `placewire up` writes.
"""
EPILOG = (
    "Exit codes: 0 success; 1 failure or negative result; 2 wrong usage or settings; 3 unreachable; 130 interrupted."
)

app = typer.Typer(
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


# The extras that commands need in addition to `cli`. `run` checks the extra of its service itself.
EXTRAS = {
    "contracts": ("api", "maintenance"),
    "schema": ("devstack",),
    "up": ("all",),
    "demo": ("all",),
    "down": ("devstack",),
    "status": ("devstack",),
    "logs": ("devstack",),
}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"placewire {version('placewire')}")
        raise typer.Exit


@app.callback()
def placewire(
    ctx: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    for extra in EXTRAS.get(ctx.invoked_subcommand or "", ()):
        require_extra(extra)
    # `run` loads the settings of its process. Commands that start their own system load none.
    if ctx.invoked_subcommand not in ("run", "up", "demo"):
        environment.load()


app.command("migrate", rich_help_panel="Database")(database.migrate)
app.command("secrets", rich_help_panel="Database")(installation.secrets)
app.command("roles", rich_help_panel="Database")(installation.roles)
app.command("seed", rich_help_panel="Database")(database.seed)
app.command("refresh", rich_help_panel="Database")(database.refresh)
app.command("doctor", rich_help_panel="Database")(doctor.doctor)
app.command("verify", rich_help_panel="Database")(verify.verify)
app.command("rebuild", rich_help_panel="Database")(rebuild.rebuild)
app.command("adopt-log", rich_help_panel="Database")(moving.adopt_log)
app.command("close-log", rich_help_panel="Database")(moving.close_log)
app.command("republish", rich_help_panel="Database")(republish.republish)
app.add_typer(users.app, name="users", rich_help_panel="Database")
app.add_typer(people.app, name="people", rich_help_panel="Database")
app.add_typer(events.app, name="events", rich_help_panel="Database")
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel="Database")
app.add_typer(subscriptions.app, name="subscriptions", rich_help_panel="Database")
app.add_typer(students.app, name="students", rich_help_panel="Work, over HTTP")
app.add_typer(drives.app, name="drives", rich_help_panel="Work, over HTTP")
app.add_typer(jobs.app, name="jobs", rich_help_panel="Work, over HTTP")
app.add_typer(policy.app, name="policy", rich_help_panel="Policy, on files")
app.add_typer(processes.app, name="run", rich_help_panel="Processes")
app.command("contracts", rich_help_panel="Development")(contracts.contracts)
app.command("schema", rich_help_panel="Development")(database.schema)
app.command("up", rich_help_panel="On this machine")(stack.up)
app.command("down", rich_help_panel="On this machine")(stack.down)
app.command("status", rich_help_panel="On this machine")(stack.status)
app.command("logs", rich_help_panel="On this machine")(stack.logs)
app.command("demo", rich_help_panel="On this machine")(demo.demo)


def run() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Expected errors are printed as one line; others are raised.
        failure = error if isinstance(error, Failure) else as_failure(error)
        if failure is None:
            raise
        errors.print(f"[red]{failure}[/red]", highlight=False, soft_wrap=True)
        sys.exit(failure.code)


if __name__ == "__main__":
    run()
