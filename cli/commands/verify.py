"""``placewire verify``: compare the tables with the log and print the differences."""

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli import environment
from cli.failures import NO
from cli.output import console, counted, table

if TYPE_CHECKING:
    from cli.replay.comparison import TableFindings
    from cli.replay.verification import Findings

# Values of these columns are not printed, because the output may be logged.
PERSONAL = {"name", "email", "roll_number"}
MEANING = "postgresql://role@host/database, a role that may read everything"


def verify(
    limit: Annotated[int, typer.Option(min=1, help="How many differences to print for each table and check.")] = 20,
) -> None:
    """Replay the whole log and compare it with the live tables, ledgers and jobs. Exit 1 if they differ.

    Runs while the system works. Blocks no other session and changes nothing.
    Database: MIGRATION_DATABASE_URL, else DATABASE_URL.
    """
    url = environment.require("MIGRATION_DATABASE_URL", "DATABASE_URL", meaning=MEANING)
    began = time.perf_counter()
    findings = run(url, limit)
    show(findings, took_s=time.perf_counter() - began)
    if findings.differences:
        raise typer.Exit(NO)


def run(url: str, limit: int = 20) -> "Findings":
    """Compare the database at ``url`` with its log, and show a progress bar meanwhile."""
    from cli.replay.verification import ProgressCallbacks, verify

    with counted() as bar:
        task = bar.add_task("Replaying events", total=None)
        watching = ProgressCallbacks(
            began=lambda events: bar.update(task, total=events), projected=lambda events: bar.advance(task, events)
        )
        return asyncio.run(verify(url, watching, limit=limit))


def show(findings: "Findings", *, took_s: float) -> None:
    rows = [
        *((f"table {found.table.name}", found.live_rows, found.different) for found in findings.tables),
        *((found.name, found.checked, found.wrong) for found in findings.checks),
    ]
    console.print(table(("Compared", "Count", "Differences"), rows))
    show_differences(findings)
    rate = findings.events / took_s if took_s else 0
    console.print(
        f"{findings.events:,} events replayed in {took_s:.1f} s ({rate:,.0f}/s): [bold]{verdict(findings)}[/bold]."
    )


def show_differences(findings: "Findings") -> None:
    for found in findings.tables:
        if found.different:
            _show_table(found)
    for check in findings.checks:
        for fault in check.faults:
            console.print(f"{check.name}: {fault}", markup=False, highlight=False)
        if check.wrong > len(check.faults):
            console.print(f"{check.name}: and {check.wrong - len(check.faults):,} more")


def verdict(findings: "Findings") -> str:
    return f"{findings.differences:,} differences" if findings.differences else "no difference"


def _show_table(found: "TableFindings") -> None:
    title = f"{found.table.name}: {found.different:,} rows differ"
    if found.different > len(found.differences):
        title += f", the first {len(found.differences)}"
    key = ", ".join(found.table.key)
    console.print(table((key, "Column", "Live", "From the log"), _lines(found), title=title))


def _lines(found: "TableFindings") -> Iterator[tuple[str | None, ...]]:
    for difference in found.differences:
        key = ", ".join(difference.key)
        if difference.only == "live":
            yield key, "(row)", "present", None
        elif difference.only == "replayed":
            yield key, "(row)", None, "present"
        for cell in difference.cells:
            if cell.column in PERSONAL:
                yield key, cell.column, "(not shown)", "(not shown)"
            else:
                yield key, cell.column, _value(cell.live), _value(cell.replayed)


def _value(value: str | None) -> str:
    return "null" if value is None else repr(value)
