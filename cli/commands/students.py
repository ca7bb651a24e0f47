"""``placewire students``: import a file of students."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.commands.caller import ApiUrl, Email, Password, Token
from cli.failures import Failure
from cli.output import console, sent, table

if TYPE_CHECKING:
    from cli.api_client import Api

SHOWN = 50


class ImportMode(StrEnum):
    """How an import handles students who are already on record."""

    INSERT = "insert"
    UPSERT = "upsert"


app = typer.Typer(help="Students, over HTTP.", no_args_is_help=True)


@app.callback()
def students() -> None:
    """Students, over HTTP."""


@app.command("import")
def import_(  # noqa: PLR0913, PLR0917 - an option each
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV (UTF-8), XLSX, XLS or ODS.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report errors; write nothing.")] = False,
    mapping: Annotated[
        str | None,
        typer.Option(help='Column → header in the file, as JSON: \'{"roll_number": "USN", "cgpa": null}\'.'),
    ] = None,
    header_row: Annotated[
        int | None, typer.Option(min=1, help="The line of the header. Default: it is detected.")
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(help="The sheet to read: name or number. Default: every visible sheet.")
    ] = None,
    mode: Annotated[
        ImportMode, typer.Option(help="insert: every row is a new student. upsert: known students are updated.")
    ] = ImportMode.INSERT,
    api: ApiUrl = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
) -> None:
    """Import every student of FILE, or none. All rows are checked first; the import starts only if all are valid."""
    from cli.commands.caller import signed_in

    caller = signed_in(api, token, email, password)
    options = {"mapping": mapping, "header_row": header_row, "sheet": sheet, "mode": mode}
    fields = {name: str(value) for name, value in options.items() if value is not None}
    checked = upload(caller, file, dry_run=True, fields=fields)
    show_columns(checked)
    if checked["error_count"]:
        show_errors(checked)
        raise Failure(f"{checked['rows'] - checked['valid']:,} of {checked['rows']:,} rows are wrong: nothing was done")
    console.print(f"{checked['rows']:,} rows checked, all are valid.")
    show_changes(checked)
    if not dry_run:
        done = upload(caller, file, dry_run=False, fields=fields)
        console.print(outcome(done))


def upload(api: "Api", file: Path, *, dry_run: bool, fields: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Upload ``file``, or only check it, and return the API's report. Prints the errors of a file that is rejected."""
    from cli.api_client import ApiError

    activity, size = ("Checking" if dry_run else "Importing"), file.stat().st_size
    with sent() as bar:
        task = bar.add_task(f"{activity}: sending", total=size)

        def progress(read: int) -> None:
            bar.update(task, completed=read, description=f"{activity}: {'sending' if read < size else 'waiting'}")

        try:
            report: dict[str, Any] = api.import_students(file, dry_run=dry_run, fields=fields or {}, sent=progress).body
        except ApiError as error:
            if error.errors and "line" in error.errors[0]:
                show_errors({"errors": error.errors, "error_count": len(error.errors)})
            raise
    return report


def show_columns(report: dict[str, Any]) -> None:
    """Print how the import uses each column of the file, and the warnings."""
    rows = [(column["header"], column["used_as"] or "-", column["reason"]) for column in report["columns"]]
    console.print(table(("Header", "Used as", "Why"), rows))
    for warning in report["warnings"]:
        console.print(f"Warning: {warning}", markup=False)


def show_changes(report: dict[str, Any]) -> None:
    """Print how many students an import with ``mode=upsert`` changes, and the first changed values."""
    if report["mode"] != ImportMode.UPSERT:
        return
    console.print(f"{report['new']:,} new, {report['changed']:,} changed, {report['unchanged']:,} unchanged students.")
    rows = [
        (change["line"], change["student_id"], field, values["from"], values["to"])
        for change in report["changes"][:SHOWN]
        for field, values in change["changes"].items()
    ]
    if rows:
        console.print(table(("Line", "Student", "Field", "From", "To"), rows))


def outcome(report: dict[str, Any]) -> str:
    """Return a sentence that says how many students an import has written."""
    if report["import_id"] is None:
        return "Nothing to import: every student is on record with the same values."
    updated = f", {report['updated']:,} updated" if report["mode"] == ImportMode.UPSERT else ""
    return f"{report['imported']:,} students imported{updated} (import {report['import_id']})."


def show_errors(report: dict[str, Any]) -> None:
    """Print the first errors, and how many more there are."""
    rows = [(error.get("line"), error.get("column"), error["reason"]) for error in report["errors"][:SHOWN]]
    console.print(table(("Line", "Column", "Reason"), rows))
    if (more := report["error_count"] - len(rows)) > 0:
        console.print(f"and {more:,} more")
