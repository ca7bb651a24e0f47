"""``placewire drives``."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.caller import ApiUrl, Email, Password, Token
from cli.failures import WRONG_USE, Failure
from cli.output import console

app = typer.Typer(help="Drives, over HTTP.", no_args_is_help=True)


@app.callback()
def drives() -> None:
    """Drives, over HTTP."""


@app.command()
def publish(
    drive_id: Annotated[int, typer.Argument(min=1)],
    students: Annotated[
        str | None, typer.Option(help="Select only these: ids separated by commas, or a file with an id on each line.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Wait for the job and show its progress.")] = True,
    api: ApiUrl = None,
    token: Token = None,
    email: Email = None,
    password: Password = None,
) -> None:
    """Publish a drive to the listed students, or to all eligible students. Publishing again replaces the selection."""
    from cli.commands.caller import signed_in
    from cli.commands.jobs import show_end, watched

    caller = signed_in(api, token, email, password)
    body = {"selected_students": student_ids(students)} if students else None
    answer = caller.post(f"/api/drives/{drive_id}/publish", json=body)
    job = answer.body["job"]
    console.print(f"Drive {drive_id} is {answer.body['status']}. Job {job['id']}, delivery: {job['delivery']}.")
    if follow:
        show_end(watched(caller, job["id"]))


def student_ids(argument: str) -> list[int]:
    """Return the ids in ``argument``, which is a list such as ``1,2,3`` or the path of a file.

    Raises ``Failure`` with the first invalid id.
    """
    path = Path(argument)
    text = path.read_text() if path.is_file() else argument
    words = text.replace(",", " ").split()
    wrong = [word for word in words if not (word.isascii() and word.isdigit())]
    if wrong or not words:
        raise Failure(
            f"{wrong[0]!r} is neither a student's id nor a file" if wrong else f"{argument} is empty", WRONG_USE
        )
    return [int(word) for word in words]
