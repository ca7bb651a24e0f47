"""Shared state of the demo's steps: their durations, the failed checks, and access to the database."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from cli.output import console, errors, table


@dataclass(slots=True)
class DemoRun:
    """One run of the demo. ``database_url``: the owner's. ``wrong``: the failed checks."""

    database_url: str = ""
    times: list[tuple[str, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, *, waiting: bool = True) -> Iterator[None]:
        """Print the step's name and time it. ``waiting``: show a spinner; false when the step prints its own output."""
        console.print(f"[bold]{name}[/bold]")
        began = time.perf_counter()
        if waiting:
            with errors.status(name):
                yield
        else:
            yield
        self.times.append((name, time.perf_counter() - began))

    def check(self, what: str, holds: bool) -> None:
        """Print whether the check ``what`` passed. After a failed check, the demo goes on and ends with exit code 1."""
        console.print(f"  {'[green]holds[/green]' if holds else '[red]DOES NOT HOLD[/red]'}: {what}", highlight=False)
        if not holds:
            self.wrong.append(what)

    def query(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        return asyncio.run(_fetch(self.database_url, sql, arguments))

    def show_times(self) -> None:
        total = sum(seconds for _, seconds in self.times)
        console.print(table(("Step", "Seconds"), [*self.times, ("total", total)]))


async def _fetch(url: str, sql: str, arguments: tuple[Any, ...]) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()
