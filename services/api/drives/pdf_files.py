"""The PDFs of drives in storage, under names of their own."""

import time

import structlog

from chassis.storage import Storage
from contracts.files import JOB_DESCRIPTIONS, SERVED_BELOW
from services.api.drives.forms import Pdf, stored_name

log = structlog.get_logger()


async def store(storage: Storage, pdf: Pdf | None) -> str | None:
    """The path below which it is served, unsigned; ``None`` for none."""
    if pdf is None:
        return None
    path = f"{JOB_DESCRIPTIONS}/{stored_name(pdf.name, at_ms=time.time_ns() // 1_000_000)}"
    await storage.write(path, pdf.content)
    return SERVED_BELOW + path


async def forget(storage: Storage, pdf_path: str | None) -> None:
    """Idempotent; never raises."""
    if pdf_path is None:
        return
    try:
        await storage.delete(pdf_path.removeprefix(SERVED_BELOW))
    except Exception as error:  # noqa: BLE001 - what the request was about is done; a file without a drive is swept up
        log.warning("pdf.not_deleted", path=pdf_path, reason=f"{type(error).__name__}: {error}")
