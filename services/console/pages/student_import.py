"""Import students from a file: a check first, with the columns and the errors by line; then all or nothing."""

import json
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response

from contracts.users import Role
from services.console.api_client import ApiProblem
from services.console.forms import Form
from services.console.visit import Visit, allowed

router = APIRouter(prefix="/console/students/import")

Head = Annotated[Visit, allowed(Role.HEAD)]
MAX_FILE_BYTES = 512 * 1024 * 1024
FIELDS = (
    "name", "email", "roll_number", "branch", "batch_year", "tenth_percent", "twelfth_percent", "diploma_percent",
    "cgpa", "active_backlogs", "department",
)  # fmt: skip
NO_FILE = "Choose a file."
SHOWN_ERRORS = 100


@router.get("")
async def import_page(visit: Head) -> Response:
    """Return the form."""
    return _page(visit, {})


@router.post("")
async def import_file(visit: Head) -> Response:
    """Check the file, or import it when it was checked."""
    form = await visit.form(max_bytes=MAX_FILE_BYTES)
    upload = form.files.get("file")
    if upload is None:
        return _page(visit, form.values, problem=ApiProblem(422, NO_FILE, [{"field": "file", "message": NO_FILE}]))
    wanted = form.text("action") == "import"
    fields = {"mode": form.text("mode") or "insert"} | _mapping(form)
    try:
        report = await visit.api.send(
            "POST",
            "/api/students/import",
            key=form.key if wanted else None,
            params={"dry_run": "false" if wanted else "true"},
            data=fields,
            files={"file": (upload.filename, upload.file, upload.content_type or "application/octet-stream")},
        )
    except ApiProblem as refused:
        return _page(visit, form.values, problem=refused)
    if wanted and report["import_id"]:
        return visit.go("/console/students", done="imported")
    return _page(visit, form.values, report=report, key=form.key)


def _mapping(form: Form) -> dict[str, str]:
    """Return the API's ``mapping`` when columns were assigned by hand: field to header."""
    chosen: dict[str, str | None] = {}
    for name, values in form.lists.items():
        if name.startswith("column:") and values[0]:
            chosen[values[0]] = name.removeprefix("column:")
    return {"mapping": json.dumps(chosen)} if chosen else {}


def _page(visit: Visit, values: dict[str, str], **found: Any) -> Response:
    return visit.page(
        "students/import.html",
        **{"values": values, "report": None, "key": None, "fields": FIELDS, "shown_errors": SHOWN_ERRORS} | found,
    )
