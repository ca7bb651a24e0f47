"""Import students from a file. First a check shows the columns and the errors by line; then all rows are imported."""

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
# A field `answer:cgpa` holds the header that is `cgpa`, with `HEADER` before it, or `NO_COLUMN`.
ANSWER, HEADER, NO_COLUMN = "answer", "=", "-"
SHOWN_ERRORS = 100


@router.get("")
async def import_page(visit: Head) -> Response:
    """Return the form."""
    return _page(visit, {})


@router.post("")
async def import_file(visit: Head) -> Response:
    """Check the file, or import it after the check."""
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
    """Return the API's ``mapping`` (field to header): the answers to its questions, and columns assigned by hand."""
    filled = [(*name.partition(":")[::2], values[0]) for name, values in form.lists.items() if values[0]]
    chosen: dict[str, str | None] = {}
    for kind, field, value in filled:
        if kind == ANSWER:
            chosen[field] = None if value == NO_COLUMN else value.removeprefix(HEADER)
    for kind, header, field in filled:
        if kind == "column":
            chosen[field] = header
    return {"mapping": json.dumps(chosen)} if chosen else {}


def _page(visit: Visit, values: dict[str, str], problem: ApiProblem | None = None, **found: Any) -> Response:
    questions = _questions(problem)
    answers = {
        name: value
        for name, value in values.items()
        if name.startswith(f"{ANSWER}:") and name.partition(":")[2] not in questions
    }
    defaults = {"report": None, "key": None, "fields": FIELDS, "shown_errors": SHOWN_ERRORS}
    return visit.page(
        "students/import.html", values=values, questions=questions, answers=answers, problem=problem,
        **defaults | found,
    )  # fmt: skip


def _questions(problem: ApiProblem | None) -> dict[str, dict[str, Any]]:
    """Return what the API asks about the file, by field: the reason, and the headers that may be the field's."""
    questions: dict[str, dict[str, Any]] = {}
    for error in problem.errors if problem else ():
        if "line" not in error and error.get("column") in FIELDS:
            question = questions.setdefault(error["column"], {"reason": error["reason"], "headers": []})
            question["headers"] += [error["header"]] if "header" in error else []
    return questions
