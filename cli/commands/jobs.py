"""``placewire jobs``."""

from typing import TYPE_CHECKING
from uuid import UUID

import typer

from cli.commands.caller import ApiUrl, Email, Password, Token
from cli.failures import Failure
from cli.output import console

if TYPE_CHECKING:
    from cli.api_client import Api, Job

app = typer.Typer(help="Jobs, over HTTP.", no_args_is_help=True)


@app.callback()
def jobs() -> None:
    """Jobs, over HTTP."""


@app.command()
def watch(
    job_id: UUID,
    api: ApiUrl = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
) -> None:
    """Print each change of a job (server-sent events) until the job has ended. Exit 1 if it did not succeed."""
    from cli.commands.caller import signed_in

    show_end(watched(signed_in(api, token, email, password), str(job_id)))


def watched(api: "Api", job_id: str) -> "Job":
    """Print every change of the job, and return it when it has ended."""
    job: Job = {}
    for job in api.follow(job_id):
        progress = f" {job['progress']}" if job["progress"] else ""
        channel = f"  channel: [bold]{job['channel']}[/bold]" if job["channel"] else ""
        console.print(f"  {moment(job)}  {job['state']}{channel}{progress}", highlight=False)
    return job


def show_end(job: "Job") -> None:
    """Print the job's result. Raises ``Failure`` with the reason when the job did not succeed."""
    if job["state"] != "succeeded":
        raise Failure(f"the job {job['state']}: {job['error'] or 'no reason given'}")
    for name, value in (job["result"] or {}).items():
        console.print(f"  {name}: {value:,}" if isinstance(value, int) else f"  {name}: {value}", highlight=False)


def moment(job: "Job") -> str:
    """Return the time of day at which the job entered its current state."""
    at = job["finished_at"] or job["started_at"] or job["queued_at"]
    return str(at)[11:23]
