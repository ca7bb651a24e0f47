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
# Of one field; files are not fields.
MAX_FIELD_BYTES = 1024 * 1024


class ForgedForm(Exception):
    """The form was not sent by a page of the console, or not by this person's."""


class FormTooLarge(Exception):
    """The form has more bytes than the console reads."""


@dataclass(frozen=True, slots=True)
class Form:
    """``key``: the Idempotency-Key that the page gave the form. ``lists``: every value of each field."""

    key: str
    lists: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the first value of a field without spaces around it; ``""`` when it is absent."""
        return (self.lists.get(name) or [""])[0].strip()

    def raw(self, name: str) -> str:
        """Return the first value exactly as typed, for passwords."""
        return (self.lists.get(name) or [""])[0]

    @property
    def values(self) -> dict[str, str]:
        """What was typed, to show it again."""
        return {name: values[0] for name, values in self.lists.items() if values}


def refuse_other_sites(request: Request) -> None:
    """Raise ``ForgedForm`` for a request that another site's page sent (Fetch Metadata, else Origin).

    Browsers send one of the two with each POST of a page.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise ForgedForm
        return
    origin = request.headers.get("origin")
    # A gateway may have changed the host, and says what the browser sent.
    hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
    if origin is None or urlsplit(origin).netloc not in hosts:
        raise ForgedForm


async def read_form(request: Request, *, signed_in: bool, max_bytes: int = MAX_FORM_BYTES) -> Form:
    """Return the submitted form. Raises ``FormTooLarge``."""
    most = max_bytes if signed_in else MAX_SIGNED_OUT_BYTES
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > most:
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
