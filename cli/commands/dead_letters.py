"""``placewire dead-letters``: list, redrive and discard jobs that failed for good, in the database."""

import asyncio
import getpass
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from cli import environment
from cli.failures import WRONG_USE, Failure
from cli.output import console, counted, table

if TYPE_CHECKING:
    from chassis.jobs.dead_letters import Which
    from cli.dead_letters import DeadLetters

MEANING = "postgresql://role@host/database, the API's role or the owner"
AT_A_TIME = 500

app = typer.Typer(help="Jobs that failed for good. Works on the database, without the API.", no_args_is_help=True)

OfKind = Annotated[str | None, typer.Option("--kind", help="Only jobs of this kind: eligibility, export, refresh.")]
OfService = Annotated[
    str | None, typer.Option("--service", help="Only jobs of this service: eligibility, exporter, maintenance.")
]
JobId = Annotated[str, typer.Argument(help="A job's id.", metavar="ID")]
JobIdOrNone = Annotated[str | None, typer.Argument(help="A job's id.", metavar="[ID]")]
Everything = Annotated[bool, typer.Option("--all", help="All dead letters that match, instead of one job.")]
NoConfirmation = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Reason = Annotated[str | None, typer.Option(help="The reason, which is stored with the job.")]


@app.callback()
def dead_letters() -> None:
    """Jobs that failed for good. Works on the database, without the API."""


@app.command("list")
def list_(
    kind: OfKind = None,
    service: OfService = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The largest number of jobs to list.")] = 50,
) -> None:
    """List jobs that were neither redriven nor discarded, newest first."""
    which, dead_letters = _which(kind, service), _dead_letters()
    letters, count = asyncio.run(dead_letters.letters(which, limit))
    shown = [
        (str(r["id"]), r["kind"], r["subject"], r["attempts"], _moment(r["finished_at"]), r["error"]) for r in letters
    ]
    console.print(table(("Job", "Kind", "Subject", "Attempts", "Failed", "Error"), shown))
    console.print(f"{count:,} in all." if count else "There are no dead letters.")


@app.command()
def show(job_id: JobId) -> None:
    """Show a job with its event, and its history of redrives and discards."""
    job, history = asyncio.run(_dead_letters().one(_id(job_id)))
    console.print_json(data={key: value for key, value in job.items() if value is not None}, default=_text)
    rows = [(_moment(a["at"]), a["action"], a["actor"], a["reason"], a["error"]) for a in history]
    if rows:
        console.print(table(("At", "Action", "By", "Reason", "Error before"), rows))


@app.command()
def redrive(
    job_id: JobIdOrNone = None,
    everything: Everything = False,
    kind: OfKind = None,
    service: OfService = None,
    reason: Reason = None,
    yes: NoConfirmation = False,
) -> None:
    """Queue one job again, or with --all every job that matches. Exit 1 if the job is no longer a dead letter."""
    _require_one_choice(job_id, everything=everything)
    if job_id is not None:
        asyncio.run(_dead_letters(reason).redrive(_id(job_id)))
        console.print("Queued again.")
        return
    done = _all("redrive", _which(kind, service), reason, confirmed=yes)
    console.print(f"Queued {done:,} again.")


@app.command()
def discard(
    reason: Annotated[str, typer.Option(help="The reason, which is stored with the job.", prompt="Reason")],
    job_id: JobIdOrNone = None,
    everything: Everything = False,
    kind: OfKind = None,
    service: OfService = None,
    yes: NoConfirmation = False,
) -> None:
    """Remove one job from the list, or with --all every job that matches. The jobs stay failed.

    Exit 1 if the job is no longer a dead letter.
    """
    if not reason.strip():
        raise Failure("give a reason with --reason", WRONG_USE)
    _require_one_choice(job_id, everything=everything)
    if job_id is not None:
        asyncio.run(_dead_letters(reason).discard(_id(job_id)))
        console.print("Discarded.")
        return
    done = _all("discard", _which(kind, service), reason, confirmed=yes)
    console.print(f"Discarded {done:,}.")


def _all(verb: str, which: "Which", reason: str | None, *, confirmed: bool) -> int:
    dead_letters = _dead_letters(reason)
    which, count = asyncio.run(dead_letters.matching(which))
    if not count:
        return 0
    if not confirmed:
        typer.confirm(f"{verb.capitalize()} {count:,}?", abort=True, err=True)
    with counted() as bar:
        task = bar.add_task(verb.capitalize(), total=count)
        return asyncio.run(dead_letters.all(verb, which, AT_A_TIME, progress=lambda done: bar.advance(task, done)))


def _which(kind: str | None, service: str | None) -> "Which":
    from chassis.jobs.dead_letters import Which
    from contracts.jobs import Kind, Service

    try:
        return Which(kind=Kind(kind) if kind else None, service=Service(service) if service else None)
    except ValueError as error:
        raise Failure(f"{error}: see --help for the valid values", WRONG_USE) from error


def _require_one_choice(job_id: str | None, *, everything: bool) -> None:
    if (job_id is not None) == everything:
        raise Failure("give the ID of one job, or --all", WRONG_USE)


def _dead_letters(reason: str | None = None) -> "DeadLetters":
    from cli.dead_letters import DeadLetters

    url = environment.require("DATABASE_URL", "MIGRATION_DATABASE_URL", meaning=MEANING)
    return DeadLetters(url, f"{getpass.getuser()} on the command line", reason)


def _id(job_id: str) -> UUID:
    try:
        return UUID(job_id)
    except ValueError as error:
        raise Failure(f"{job_id!r} is not a job's id", WRONG_USE) from error


def _moment(at: object) -> str | None:
    return None if at is None else str(at)[:19]


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
