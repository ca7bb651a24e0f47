"""``placewire demo``."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    students: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many students to make up.")] = 100_000,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Your own CSV or XLSX instead.")
    ] = None,
) -> None:
    """Show the whole product once, on its own servers: import, publish over Kafka and without, verify; stop it all.

    Exit 1 when any count or table differs from what it should be.
    """
    from cli.demo.runner import run_demo

    run_demo(students, file)
