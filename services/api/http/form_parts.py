"""Read forms (multipart/form-data or application/x-www-form-urlencoded), and refuse undeclared parts."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from chassis.errors import Invalid
from chassis.http.validation_messages import repeated_names, unknown_names
from services.api.http.strict_input import media_type

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
# More than any list of branches needs.
MAX_PARTS = 1_000
IN_MEMORY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expected:
    """The names of a form's parts. Each text and file may occur once. A list occurs once for each of its values."""

    texts: Collection[str]
    lists: Collection[str] = ()
    files: Collection[str] = ()

    @property
    def names(self) -> set[str]:
        return {*self.texts, *self.lists, *self.files}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a form. ``texts``: the values of each text part, in order. A part that was not sent is absent."""

    texts: dict[str, list[str]]
    files: dict[str, UploadFile]


def is_form(request: Request) -> bool:
    """Return whether the Content-Type is a form."""
    return media_type(request) in (MULTIPART, URLENCODED)


@asynccontextmanager
async def form_parts(request: Request, expected: Expected, *, status: int = 422) -> AsyncIterator[Parts]:
    """Yield the parts of the request's form. Its files are open until the block ends.

    Raises ``Invalid`` (``status``) for a part that is not ``expected``, a second value where one is accepted, and
    text instead of a file or a file instead of text. Empty text instead of a file means no file.
    """
    limits = {"max_files": len(expected.files) + 1, "max_fields": MAX_PARTS, "max_part_size": IN_MEMORY_BYTES}
    async with request.form(**limits) as form:
        yield _sorted(form, expected, status)


def _sorted(form: FormData, expected: Expected, status: int) -> Parts:
    if unknown := [name for name in dict.fromkeys(form) if name not in expected.names]:
        raise Invalid(f"Unexpected field. {unknown_names('field', unknown, expected.names)}", status=status)
    repeated = [name for name in form if len(form.getlist(name)) > 1 and name not in expected.lists]
    if repeated:
        raise Invalid(repeated_names("field", list(dict.fromkeys(repeated))), status=status)
    texts: dict[str, list[str]] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in expected.files:
                raise Invalid(f"{name} is text. Send it without a file name.", status=status)
            files[name] = value
        elif name not in expected.files:
            texts.setdefault(name, []).append(value)
        elif value:
            raise Invalid(
                f"{name} is a file. Send its content, with its file name, as multipart/form-data.", status=status
            )
    return Parts(texts, files)
