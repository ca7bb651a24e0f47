"""What comes in about drives: text from a form or JSON, made into a posting, or told what to mend."""

import re
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from chassis.errors import Invalid
from contracts.drives import Criteria, Posting
from services.api.fields import SPACE

MAX_PDF_BYTES = 25 * 1024 * 1024
PDF_MAGIC = b"%PDF-"
# Real PDFs may begin with a few stray bytes (ISO 32000-1, annex H, implementation note 13).
MAGIC_WITHIN_BYTES = 1024

CRITERIA = tuple(Criteria.model_fields)
NUMBERS = ("domain_id", "min_cgpa", "min_10th", "min_12th", "max_backlogs")
LISTS = ("branches", "batch_years")
VISIBLE = re.compile(f"[^{SPACE}]")
FLAGS = ("auto_calc", "autoCalc")


@dataclass(frozen=True, slots=True)
class Pdf:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class NewDrive:
    posting: Posting
    auto_publish: bool
    pdf: Pdf | None


async def new_drive(request: Request) -> NewDrive:
    """The drive in the request's form or JSON body. Raises ``Invalid`` (400) with a message for people."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        fields, pdf = await _form(request)
    else:
        fields, pdf = await json_object(request), None
    if not _present(fields.get("company_name")) or not _present(fields.get("job_title")):
        raise Invalid("Company name and job title are required", status=400)
    return NewDrive(posting_of(fields), _flag(fields), pdf)


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object; ``{}`` for no body. Raises ``Invalid`` (400)."""
    body = await request.body()
    try:
        # Stricter than the standard library's: no NaN, no halves of characters, no nesting without end.
        found = orjson.loads(body) if body else {}
    except ValueError as error:
        raise Invalid("The body is not valid JSON.", status=400) from error
    if not isinstance(found, dict):
        raise Invalid("The body must be a JSON object.", status=400)
    return found


def posting_of(fields: dict[str, Any]) -> Posting:
    """Raises ``Invalid`` (400) naming each wrong field."""
    return _validated(lambda: Posting.model_validate(_split(fields)))


def changes_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The given fields, checked, as ``ReviseDrive.changes``; an empty criterion lifts the limit.

    Raises ``Invalid`` (400) for a wrong or unknown field, or when there is none.
    """
    known = (set(Posting.model_fields) - {"criteria", "pdf_path", "pdf_name"}) | set(CRITERIA)
    if unknown := sorted(set(fields) - known):
        raise Invalid(f"Unknown fields: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.", status=400)
    if not fields:
        raise Invalid("Nothing to change: name at least one field.", status=400)
    needed = {"company_name": "-", "job_title": "-"}
    checked = _validated(lambda: Posting.model_validate(_split(needed | fields)))
    given = {name: getattr(checked, name) for name in fields if name in Posting.model_fields}
    criteria = {name: getattr(checked.criteria, name) for name in fields if name in CRITERIA}
    return {**given, **({"criteria": criteria} if criteria else {})}


def _split(fields: dict[str, Any]) -> dict[str, Any]:
    _refuse_guesses(fields)
    listed = {name: _parts(value) if name in LISTS else _stripped(value) for name, value in fields.items()}
    present = {name: value for name, value in listed.items() if _present(value)}
    criteria = {name: present[name] for name in CRITERIA if name in present}
    return {**{name: value for name, value in present.items() if name != "pdf_path"}, "criteria": criteria}


def _refuse_guesses(fields: dict[str, Any]) -> None:
    """Pydantic would take true for 1, a number for a day, and what prints nothing for a name."""
    for name in NUMBERS:
        if isinstance(fields.get(name), bool):
            raise Invalid(f"{name}: Input should be a number", status=400)
    if isinstance(fields.get("interview_date"), int | float):
        raise Invalid("interview_date: Input should be a day, like 2030-03-05", status=400)
    branches = fields.get("branches")
    for name in (
        fields.get("company_name"),
        fields.get("job_title"),
        *(branches if isinstance(branches, list) else ()),
    ):
        if isinstance(name, str) and not VISIBLE.search(name):
            raise Invalid("Company name, job title and branches need something to read in them.", status=400)


def _parts(value: Any) -> Any:
    """A form's list is text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [_stripped(part) for part in value] if isinstance(value, list) else value


def _present(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or value.strip() != "") and value != []


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _flag(fields: dict[str, Any]) -> bool:
    given = {str(fields[name]).strip().lower() for name in FLAGS if _present(fields.get(name))}
    if given - {"true", "false"}:
        raise Invalid("auto_calc: write true or false", status=400)
    return "true" in given


def _validated(make: Any) -> Posting:
    try:
        posting: Posting = make()
    except ValidationError as error:
        found = [(_field_name(part["loc"]), part["msg"]) for part in error.errors()]
        raise Invalid(
            "; ".join(f"{field}: {text}" for field, text in found),
            status=400,
            errors=[{"field": field, "message": text} for field, text in found],
        ) from error
    return posting


def _field_name(location: tuple[int | str, ...]) -> str:
    names = [part for part in location if isinstance(part, str) and part != "criteria"]
    return names[0] if names else "body"


async def _form(request: Request) -> tuple[dict[str, Any], Pdf | None]:
    fields: dict[str, Any] = {}
    pdf: Pdf | None = None
    async with request.form(max_files=2, max_fields=50, max_part_size=1024 * 1024) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = value
            elif name != "pdf" or pdf is not None:
                raise Invalid("Unexpected field", status=400)
            elif value.filename:
                pdf = await _pdf(value)
    return fields, pdf


async def _pdf(upload: UploadFile) -> Pdf:
    if upload.content_type != "application/pdf":
        raise Invalid("Only PDF files are allowed", status=400)
    if (upload.size or 0) > MAX_PDF_BYTES:
        raise Invalid("PDF file too large. Max size is 25MB.", status=400)
    content = await upload.read()
    if PDF_MAGIC not in content[:MAGIC_WITHIN_BYTES]:
        raise Invalid("Only PDF files are allowed: this file is not a PDF.", status=400)
    return Pdf(upload.filename or "drive.pdf", content)
