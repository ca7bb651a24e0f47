"""Read a submitted form, and refuse one that another site sent."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

KEY = "idempotency_key"
TOKEN = "form_token"  # noqa: S105 - a field's name
OWN_FIELDS = {KEY, TOKEN, "sign_in_email", "sign_in_password", "sign_in_next", "sign_in_carries"}
MAX_FIELDS = 2_000
MAX_SIGNED_OUT_BYTES = 256 * 1024
MAX_FORM_BYTES = 64 * 1024 * 1024
# The limit of one field. A file is not a field.
MAX_FIELD_BYTES = 1024 * 1024


class ForgedForm(Exception):
    """The form was not sent by a page of the console that this person opened."""


class FormTooLarge(Exception):
    """The form is larger than the console accepts."""


@dataclass(frozen=True, slots=True)
class Form:
    """A submitted form. ``key``: its Idempotency-Key. ``lists``: every value of each field."""

    key: str
    lists: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the first value of a field without the spaces around it, or ``""`` if there is none."""
        return (self.lists.get(name) or [""])[0].strip()

    def raw(self, name: str) -> str:
        """Return the first value of a field exactly as it was typed, as for passwords."""
        return (self.lists.get(name) or [""])[0]

    @property
    def values(self) -> dict[str, str]:
        """Return the first value of each field, to show the form again."""
        return {name: values[0] for name, values in self.lists.items() if values}


def refuse_other_sites(request: Request) -> None:
    """Raise ``ForgedForm`` for a request that a page of another site sent.

    With each POST, browsers send Fetch Metadata (``Sec-Fetch-Site``) or at least ``Origin``.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise ForgedForm
        return
    origin = request.headers.get("origin")
    # A gateway may change the Host header. It sends the browser's own as X-Forwarded-Host.
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    if origin is None or urlsplit(origin).netloc not in hosts:
        raise ForgedForm


async def read_form(request: Request, *, signed_in: bool, max_bytes: int = MAX_FORM_BYTES) -> Form:
    """Return the submitted form. Raises ``FormTooLarge``."""
    limit = max_bytes if signed_in else MAX_SIGNED_OUT_BYTES
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > limit:
        raise FormTooLarge
    return _form(await request.form(max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES))


def _form(data: FormData) -> Form:
    lists: dict[str, list[str]] = {}
    files: dict[str, UploadFile] = {}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            if value.filename:
                files[name] = value
        elif name not in OWN_FIELDS:
            lists.setdefault(name, []).append(value)
    return Form(str(data.get(KEY) or ""), lists, files)
