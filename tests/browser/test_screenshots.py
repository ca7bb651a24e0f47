"""Take the two screenshots of the README. ``make screenshots`` writes the files; a test run checks them."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from contracts.users import Role
from tests.browser.conftest import Person, Visit
from tests.browser.scene import Scene

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.full_only]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1000, 640
MAX_BYTES = 60_000
# Flat colours and text: a palette halves the file, and the eye sees no difference.
COLOURS = 64


async def screenshot(person: Person, name: str) -> None:
    """Take a screenshot of the window. Write it to ``docs/images`` if ``SCREENSHOTS`` is set."""
    await person.page.evaluate("document.fonts.ready")
    taken = Image.open(BytesIO(await person.page.screenshot()))
    content = BytesIO()
    taken.convert("RGB").quantize(COLOURS).save(content, "PNG", optimize=True)
    assert len(content.getvalue()) <= MAX_BYTES
    path = IMAGES / f"{name}.png"
    if os.environ.get("SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        path.write_bytes(content.getvalue())
    with Image.open(path) as committed:
        assert committed.size == (WIDTH, HEIGHT)
    assert path.stat().st_size <= MAX_BYTES


async def test_the_form_of_a_drive_counts_eligible_students(visit: Visit) -> None:
    head = await visit(Role.HEAD, width=WIDTH, height=HEIGHT)
    await head.open("/console/drives/new")
    everyone = await head.page.inner_text("#eligible-count strong")
    for field, value in (("company_name", "Northwind Analytics"), ("job_title", "Data Engineer"), ("min_cgpa", "7")):
        await head.page.fill(f"#{field}", value)
    await head.page.wait_for_function(
        "everyone => document.querySelector('#eligible-count strong').innerText !== everyone", arg=everyone
    )
    await head.page.locator("#eligible-count").scroll_into_view_if_needed()
    await screenshot(head, "console-new-drive")


async def test_a_student_sees_drives_and_reasons(visit: Visit, scene: Scene) -> None:
    student = await visit(Role.STUDENT, width=WIDTH, height=HEIGHT)
    await student.open("/console/drives")
    await screenshot(student, "console-drives-of-a-student")
