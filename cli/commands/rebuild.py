"""``placewire rebuild``: print the differences, ask for confirmation, and print what was repaired."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.commands.verify import show, show_differences, verdict
from cli.failures import NO
from cli.output import console, counted, table

if TYPE_CHECKING:
    from cli.replay.rebuilding import Proposal, Rebuilt, Repair

MEANING = "postgresql://owner@host/database, the owner's role"


def rebuild(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Repair without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what differs, as `verify` does.")] = False,
    longest_pause: Annotated[
        float,
        typer.Option(
            min=0.1, max=600, help="Seconds that the repair may block appends. A longer repair changes nothing."
        ),
    ] = 1.0,
    limit: Annotated[int, typer.Option(min=1, help="How many differences to print for each table and check.")] = 20,
) -> None:
    """Replay the whole log and repair every live row that differs from it.

    Runs while the system works. Prints every difference and asks for confirmation. Then one transaction repairs all
    differing rows, or none. Other transactions cannot append events meanwhile. Afterwards, compares everything again.
    Without differences, blocks nothing and writes nothing.

    Data that is not in events is not changed: credentials, idempotency keys, job domains, jobs, read marks, files.

    Exit 0: no differences are left. Exit 1: differences are left; prints the reasons. Database: MIGRATION_DATABASE_URL.
    """
    url = environment.require("MIGRATION_DATABASE_URL", meaning=MEANING)

    def agree(proposal: "Proposal") -> bool:
        show(proposal.findings, took_s=time.perf_counter() - began)
        for reason in proposal.impossible:
            console.print(f"[bold]Cannot be repaired:[/bold] {reason}.")
        return proposal.rows > 0 and not dry_run and (yes or _confirmed(proposal.rows))

    began = time.perf_counter()
    rebuilt = run(url, agree, longest_pause, limit)
    if rebuilt.repair is not None:
        _show_repair(rebuilt.repair)
    if rebuilt.left:
        raise typer.Exit(NO)


def run(url: str, agree: "Callable[[Proposal], bool]", longest_pause_s: float, limit: int = 20) -> "Rebuilt":
    """Rebuild, with a progress bar for each replay."""
    from cli.replay.rebuilding import rebuild
    from cli.replay.verification import ProgressCallbacks

    with counted() as bar:
        task = bar.add_task("Replaying events", total=None)
        watching = ProgressCallbacks(
            began=lambda events: bar.update(task, total=events), projected=lambda events: bar.advance(task, events)
        )

        def agreed(proposal: "Proposal") -> bool:
            bar.stop()  # the bar would overwrite the question
            agrees = agree(proposal)
            bar.reset(task, description="Replaying newer events")
            bar.start()
            return agrees

        return asyncio.run(rebuild(url, watching, agreed, limit=limit, longest_pause_s=longest_pause_s))


def _confirmed(rows: int) -> bool:
    if not sys.stdin.isatty():
        console.print("Nothing was changed: without a terminal, nobody can confirm. Use `--yes` to repair.")
        return False
    return typer.confirm(f"Repair {rows:,} rows? Appends pause meanwhile")


def _show_repair(repair: "Repair") -> None:
    rows = [(part.table, part.deleted, part.inserted) for part in repair.tables if part.deleted or part.inserted]
    console.print(table(("Repaired", "Rows deleted", "Rows inserted"), rows))
    pause, attempts = repair.pause, ""
    if pause.attempts_given_up:
        attempts = f", after {pause.attempts_given_up:,} attempts that were given up for the sake of appends"
    console.print(f"Appends were paused for {pause.seconds * 1000:.0f} ms{attempts}.")
    if repair.after.differences:
        console.print("[bold]Still different:[/bold]")
        show_differences(repair.after)
    console.print(f"Compared again: [bold]{verdict(repair.after)}[/bold].")
