"""Store the PDFs of drives. Each upload has a unique name, so a file belongs to exactly one request."""

import re
import time
import unicodedata
from dataclasses import dataclass
from uuid import uuid4

import structlog

from chassis.storage import Storage
from contracts.files import JOB_DESCRIPTIONS, SERVED_BELOW
from services.api.drives.forms import Pdf

NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
PDF_SUFFIX = re.compile(r"\.pdf$", re.IGNORECASE)
MAX_NAME = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredPdf:
    """A stored PDF. ``path``: its URL path, without a signature. ``name``: the file name for downloads."""

    path: str
    name: str


def new_path(name: str) -> str:
    """Return a unique path: time, random part, and the ASCII letters of ``name``."""
    stem = NOT_PLAIN.sub("_", PDF_SUFFIX.sub("", name))[:100]
    return f"{SERVED_BELOW}{JOB_DESCRIPTIONS}/{time.time_ns() // 1_000_000}-{uuid4().hex}-{stem or 'drive'}.pdf"


def file_name(original: str) -> str:
    """Return the last part of the path ``original``, ending in ``.pdf``. Letters of every script are kept."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", original)[-1])
    # Joiners (Cf) are part of the spelling in some scripts; marks that change the text direction are not.
    printable = "".join(letter for letter in last if letter.isprintable() or letter in "\u200c\u200d").strip()
    return (PDF_SUFFIX.sub("", printable).strip()[:MAX_NAME] or "drive") + ".pdf"


async def store(storage: Storage, pdf: Pdf) -> StoredPdf:
    """Write ``pdf`` under a unique name. Raises ``StorageFailed``; maintenance then deletes a partial file."""
    name = file_name(pdf.name)
    stored = StoredPdf(new_path(name), name)
    await storage.write(stored.path.removeprefix(SERVED_BELOW), pdf.content)
    return stored


async def delete(storage: Storage, path: str | None) -> None:
    """Delete the file served at ``path``. Idempotent. A failure is logged, and maintenance deletes the file later."""
    if path is None:
        return
    try:
        await storage.delete(path.removeprefix(SERVED_BELOW))
    except Exception as error:  # noqa: BLE001 - the command is committed; maintenance deletes orphaned files
        log.warning("pdf.not_deleted", path=path, reason=f"{type(error).__name__}: {error}")
