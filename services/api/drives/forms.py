"""Read drives from a form or from JSON. Errors name each invalid field."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from chassis.errors import Invalid
from chassis.http.problems import explained
from chassis.http.validation_messages import NUMBER, field_sentence
from contracts.drives import Criteria, Posting
from services.api.http.body_limits import MAX_BODY, MIB
from services.api.http.fields import SPACE
from services.api.http.form_parts import MULTIPART, URLENCODED, Expected, form_parts, is_form
from services.api.http.strict_input import JSON, is_json, media_type, refuse_unknown_fields, unsupported_type

MAX_PDF_BYTES = 25 * 1024 * 1024
PDF_MAGIC = b"%PDF-"
# Real PDFs may begin with a few stray bytes (ISO 32000-1, annex H, implementation note 13).
MAGIC_WITHIN_BYTES = 1024

CRITERIA = tuple(Criteria.model_fields)
NUMBERS = ("domain_id", "min_cgpa", "min_10th", "min_12th", "max_backlogs")
LISTS = ("branches", "batch_years")
VISIBLE = re.compile(f"[^{SPACE}]")
FLAGS = ("auto_calc", "autoCalc")
REVISABLE = (set(Posting.model_fields) - {"criteria", "pdf_path", "pdf_name"}) | set(CRITERIA)
CREATABLE = REVISABLE | set(FLAGS)
FORM = Expected(texts=CREATABLE - set(LISTS), lists=LISTS, files=("pdf",))


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
    """Return the drive in the request's form or JSON body.

    Raises ``Invalid``: 415 for another type of body, 400 that names each unknown or invalid field.
    """
    if is_form(request):
        fields, pdf = await _form(request)
    elif (body_type := media_type(request)) and not is_json(body_type):
        raise unsupported_type(body_type, JSON, MULTIPART, URLENCODED)
    else:
        fields, pdf = await json_object(request), None
        refuse_unknown_fields(fields, CREATABLE)
    if not _present(fields.get("company_name")) or not _present(fields.get("job_title")):
        raise Invalid("Company name and job title are required", status=400)
    return NewDrive(posting_of(fields), _flag(fields), pdf)


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object; ``{}`` for no body. Raises ``Invalid``: 413 for a large body, otherwise 400."""
    body = await request.body()
    if len(body) > MAX_BODY:  # a route that also accepts a form with a PDF has a higher limit
        raise Invalid(f"The JSON body is too large: at most {MAX_BODY // MIB} MiB are accepted.", status=413)
    try:
        # orjson is stricter than the standard library: it refuses NaN, lone surrogates and unlimited nesting.
        fields = orjson.loads(body) if body else {}
    except ValueError as error:
        raise Invalid("The body is not valid JSON.", status=400) from error
    if not isinstance(fields, dict):
        raise Invalid("The body must be a JSON object.", status=400)
    return fields


def posting_of(fields: dict[str, Any]) -> Posting:
    """Return the posting. Raises ``Invalid`` (400) that names each invalid field."""
    return _validated(lambda: Posting.model_validate(_split(fields)))


def criteria_of(fields: dict[str, Any]) -> Criteria:
    """Return the criteria alone. Raises ``Invalid`` (400) that names each unknown or invalid field."""
    refuse_unknown_fields(fields, set(CRITERIA))
    return _validated(lambda: Posting.model_validate(_split({"company_name": "-", "job_title": "-"} | fields))).criteria


def changes_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the validated fields as ``ReviseDrive.changes``. An empty criterion removes the limit.

    Raises ``Invalid`` (400) for an invalid or unknown field, and for no field at all.
    """
    refuse_unknown_fields(fields, REVISABLE)
    if not fields:
        raise Invalid("Nothing to change: name at least one field.", status=400)
    required = {"company_name": "-", "job_title": "-"}
    validated = _validated(lambda: Posting.model_validate(_split(required | fields)))
    changes = {name: getattr(validated, name) for name in fields if name in Posting.model_fields}
    criteria = {name: getattr(validated.criteria, name) for name in fields if name in CRITERIA}
    return {**changes, **({"criteria": criteria} if criteria else {})}


def _split(fields: dict[str, Any]) -> dict[str, Any]:
    _refuse_lenient_values(fields)
    listed = {name: _entries(value) if name in LISTS else _stripped(value) for name, value in fields.items()}
    present = {name: value for name, value in listed.items() if _present(value) and name not in FLAGS}
    criteria = {name: present.pop(name) for name in CRITERIA if name in present}
    return {**present, "criteria": criteria}


def _refuse_lenient_values(fields: dict[str, Any]) -> None:
    """Raise ``Invalid`` for what Pydantic would accept: true as 1, a number as a day, invisible text as a name."""
    for name in NUMBERS:
        if isinstance(fields.get(name), bool):
            raise Invalid(field_sentence(name, NUMBER), status=400)
    if isinstance(fields.get("interview_date"), int | float):
        raise Invalid("interview_date must be a day, like 2030-03-05.", status=400)
    branches = fields.get("branches")
    for name in (
        fields.get("company_name"),
        fields.get("job_title"),
        *(branches if isinstance(branches, list) else ()),
    ):
        if isinstance(name, str) and not VISIBLE.search(name):
            raise Invalid("Company name, job title and branches must contain visible characters.", status=400)


def _entries(value: Any) -> Any:
    """Return the entries of a list, or of text: a JSON list, or entries separated by commas.

    An entry with a comma must be in double quotes, as in a CSV file.
    """
    if isinstance(value, str):
        entries = _json_list(value) or _between_commas(value)
        return [entry for entry in map(_stripped, entries) if entry != ""]
    return [_stripped(entry) for entry in value] if isinstance(value, list) else value


def _between_commas(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise Invalid("A list must be on one line, with its entries separated by commas.", status=400) from error


def _json_list(text: str) -> list[Any] | None:
    if not text.strip().startswith("["):
        return None
    try:
        entries = orjson.loads(text)
    except ValueError:
        return None
    return entries if isinstance(entries, list) else None


def _present(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or value.strip() != "") and value != []


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _flag(fields: dict[str, Any]) -> bool:
    if all(name in fields for name in FLAGS):
        raise Invalid("auto_calc and autoCalc are two names of one field: send one of them.", status=400)
    values = {str(fields[name]).strip().lower() for name in FLAGS if _present(fields.get(name))}
    if values - {"true", "false"}:
        raise Invalid("auto_calc must be true or false.", status=400)
    return "true" in values


def _validated(make: Callable[[], Posting]) -> Posting:
    try:
        return make()
    except ValidationError as error:
        message, errors = explained(error.errors(), name_of=_field_name)
        raise Invalid(message, status=400, errors=errors) from error


def _field_name(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "criteria")


async def _form(request: Request) -> tuple[dict[str, Any], Pdf | None]:
    async with form_parts(request, FORM, status=400) as parts:
        fields: dict[str, Any] = {}
        for name, values in parts.texts.items():
            # Each value of a repeated field is one entry. A field that is sent once may hold several entries.
            fields[name] = [value for value in values if VISIBLE.search(value)] if len(values) > 1 else values[0]
        upload = parts.files.get("pdf")
        return fields, await _pdf(upload) if upload is not None and _is_sent(upload) else None


def _is_sent(upload: UploadFile) -> bool:
    """Return whether a file was chosen. Without one, browsers send an empty part. Raises ``Invalid`` for no name."""
    if upload.filename:
        return True
    if upload.size:
        raise Invalid("The PDF has no file name. Send it with a file name.", status=400)
    return False


async def _pdf(upload: UploadFile) -> Pdf:
    """Read the file. Its content decides whether it is a PDF; the declared type is ignored."""
    if (upload.size or 0) > MAX_PDF_BYTES:
        raise Invalid("PDF file too large. Max size is 25MB.", status=400)
    content = await upload.read()
    if not is_pdf(content):
        raise Invalid("Only PDF files are allowed: this file is not a PDF.", status=400)
    return Pdf(upload.filename or "drive.pdf", content)


def is_pdf(content: bytes) -> bool:
    """Return whether ``content`` starts as a PDF. Content that a browser would show as a web page is not a PDF."""
    start = content[:MAGIC_WITHIN_BYTES]
    magic_at = start.find(PDF_MAGIC)
    return magic_at >= 0 and b"<" not in start[:magic_at]
