"""``placewire demo``."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    students: Annotated[int, typer.Option(min=1, max=10_000_000, help="The number of students to generate.")] = 100_000,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Your own CSV or XLSX file instead.")
    ] = None,
) -> None:
    """Show the whole product on temporary servers: import, publish with and without Kafka, verify, stop everything.

    Exit 1 when a count or table is not as expected.
    """
    from cli.demo.runner import run_demo

    run_demo(students, file)
