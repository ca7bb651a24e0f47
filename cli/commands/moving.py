"""``placewire close-log`` and ``placewire adopt-log``: before and after a move to another server."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.output import console

if TYPE_CHECKING:
    from cli.moving.adoption import Adoption

OWNER = "postgresql://owner@host/database, the owner's role"


def adopt_log(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be done.")] = False,
) -> None:
    """Make this server the one that writes the log, after a restored dump, logical replication or pg_upgrade.

    Run this once after the move, before any process starts. Until then, no process starts. The command opens a new
    epoch, with transaction ids above every recorded one. It also advances sequences that are behind, and fills empty
    materialized views. Safe to repeat: when nothing is needed, nothing changes.

    A physical backup, a promoted standby and a dump restored into the same server need no adoption.

    Database: MIGRATION_DATABASE_URL. Runbooks: docs/operations.md, "Moving to another server".
    """
    url = environment.require("MIGRATION_DATABASE_URL", meaning=OWNER)
    from cli.moving import adoption

    _show(asyncio.run(adoption.adopt(url, dry_run=dry_run)), "would be" if dry_run else "was")


def close_log(
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open the log again. Only allowed if no other server has adopted it.")
    ] = False,
    within: Annotated[float, typer.Option(min=1, help="Seconds to wait for each step.")] = 60,
) -> None:
    """Stop every change on this server, before another server takes over the log.

    Waits for running writers, ends every session of the database, and waits until every logical replication slot has
    confirmed the end of the WAL. Prints that position. Safe to repeat.

    New sessions are read-only. The API answers 503 with Retry-After to commands, and to reads that it records in the
    access log. Other reads work.

    Exit 0: the log is closed, and every slot has received it. Exit 1: not yet; prints the reason. Database:
    MIGRATION_DATABASE_URL, as a superuser, or as the owner with the roles pg_signal_backend and pg_read_all_stats.
    """
    url = environment.require("MIGRATION_DATABASE_URL", meaning=OWNER)
    from cli.moving import closing

    if reopen:
        asyncio.run(closing.reopen(url, within_s=within))
        console.print("The log is open again.")
        return
    closed = asyncio.run(closing.close(url, within_s=within))
    console.print(f"The log was closed at {closed.at.isoformat(timespec='seconds')}. End of the WAL: {closed.lsn}")
    if closed.received:
        console.print(f"Received by {', '.join(closed.received)}.")
    else:
        console.print("There is no logical replication slot: nothing replicates this database.")


def _show(adoption: "Adoption", was: str) -> None:
    if not adoption.needed:
        console.print("Nothing is needed: the log belongs to this server.")
        if adoption.epoch.closed_at is not None:
            console.print(
                "It is closed. Open it with `placewire close-log --reopen`, if no other server has adopted it."
            )
        return
    if adoption.reason is not None:
        from chassis.eventstore.log_guard import REASONS

        console.print(f"Adoption is needed: {REASONS[adoption.reason]}.", soft_wrap=True)
        console.print(
            f"Epoch {adoption.epoch.number} {was} opened, with the offset {adoption.epoch.xid_offset:,}:"
            f" it records transaction ids from {adoption.first_xid:,} on.",
            soft_wrap=True,
        )
    if adoption.old_log_open:
        console.print(
            "[yellow]The log was not closed on the old server: events may be missing, and the old server may still"
            " accept changes.[/yellow] This is expected after pg_upgrade, and when the old server was lost.",
            soft_wrap=True,
        )
    for name, value in adoption.sequences.items():
        console.print(f"Sequence {name} {was} set to {value:,}.")
    if adoption.views:
        console.print(f"Empty views that {'were' if was == 'was' else 'would be'} filled: {', '.join(adoption.views)}.")
