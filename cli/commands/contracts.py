"""``placewire contracts``: write the published documents."""

from typing import Annotated

import typer

from cli.failures import NO, WRONG_USE, Failure
from cli.output import console


def contracts(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if a document is outdated.")] = False,
    release: Annotated[
        bool,
        typer.Option("--release", help="Also store the current schemas. Later releases must accept their events."),
    ] = False,
) -> None:
    """Write JSON Schemas, AsyncAPI and OpenAPI documents from the code, into the folder contracts/."""
    from importlib.metadata import version

    from cli.published import files
    from contracts import publish

    if check and release:
        raise Failure("give --check or --release, not both", WRONG_USE)
    if check:
        if outdated := files.outdated():
            raise Failure(f"outdated: {', '.join(path.name for path in outdated)}; run `placewire contracts`", NO)
        console.print("Every document is up to date.")
        return
    console.print(f"{len(files.write())} documents written.")
    if release:
        publish.release(version("placewire"))
        console.print(f"Released as {version('placewire')}.")
