"""``placewire doctor``: report what is wrong with an installation, and how to fix it."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.failures import NO
from cli.output import console, errors

if TYPE_CHECKING:
    from cli.doctor.finding import Finding

MARKS = {"ok": "[green]ok[/green]", "wrong": "[red]WRONG[/red]", "skipped": "[yellow]not checked[/yellow]"}


def doctor(
    queue: Annotated[bool, typer.Option("--queue", help="Also send a test job and wait for it.")] = False,
    within: Annotated[float, typer.Option(min=1, help="With --queue: seconds to wait.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Check database, migrations, roles, Kafka, topics, storage, clock, secrets and versions, and print what to fix.

    Exit 1 when something is wrong. Uses the API's settings (DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, STORAGE_URL ...).
    With MIGRATION_DATABASE_URL it can also read the revision.
    """
    url = environment.require("MIGRATION_DATABASE_URL", "DATABASE_URL", meaning="postgresql://role@host/database")
    findings: list[Finding] = []

    async def work() -> None:
        from cli.doctor.examination import examine

        with errors.status("Checking"):
            async for finding in examine(url, os.environ, queue_within_s=within if queue else None):
                findings.append(finding)
                if not as_json:
                    _show(finding)

    asyncio.run(work())
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        console.print(f"{wrong} wrong." if wrong else "Nothing is wrong.")
    if wrong:
        raise typer.Exit(NO)


def _show(finding: "Finding") -> None:
    console.print(f"{MARKS[finding.state]}  {finding.what}: ", end="")
    console.print(finding.message, markup=False, highlight=False, soft_wrap=True)
    if finding.fix:
        console.print(f"    fix: {finding.fix}", markup=False, highlight=False, soft_wrap=True)
