"""The main flows of each role, with JavaScript and without."""

import re
from uuid import uuid4

import pytest

from contracts.users import Role
from tests.browser.conftest import Person, Visit
from tests.browser.scene import Caller, Scene, attending_drive, open_drive
from tests.support.eventually import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]
javascript = pytest.mark.parametrize("js", [True, False], ids=["js", "no-js"])
DRIVE_PAGE = re.compile(r"/console/drives/\d+$")


def company() -> str:
    """Return a company name that no other test uses."""
    return f"Company {uuid4().hex[:8]}"


async def create_draft(head: Person, name: str) -> str:
    """Fill the form for a new drive and send it. Return the drive's path."""
    await head.open("/console/drives/new")
    await head.page.fill("#company_name", name)
    await head.page.fill("#job_title", "Engineer")
    await head.page.fill("#min_cgpa", "6.00")
    await head.page.click("text=Save the drive")
    await head.page.wait_for_url(DRIVE_PAGE)
    assert "The drive was created." in await head.main_text()
    return head.page.url.removeprefix(head.url)


@pytest.mark.parametrize("js", [True, pytest.param(False, marks=pytest.mark.full_only)], ids=["js", "no-js"])
async def test_a_drive_from_draft_to_finished(js: bool, visit: Visit, scene: Scene) -> None:
    name = company()
    head, coordinator, student = (
        await visit(Role.HEAD, js=js),
        await visit(Role.COORDINATOR, js=js),
        await visit(Role.STUDENT, js=js),
    )
    path = await create_draft(head, name)
    await coordinator.open(path)
    await coordinator.page.click("text=Publish")
    assert "meet the criteria now" in await coordinator.main_text()
    await coordinator.page.click("main form button.btn-primary")
    await coordinator.page.wait_for_url(f"**{path}")

    async def may_register() -> bool:
        await student.open("/console/drives")
        return await student.page.locator(f"[aria-label='Register for {name}']").count() == 1

    await eventually(may_register, within_s=30)
    await student.page.click(f"[aria-label='Register for {name}']")
    assert "You are registered" in await student.main_text()
    await student.open("/console/my-registrations")
    assert name in await student.main_text()
    await coordinator.open(f"{path}/stop")
    assert "1 student is registered" in await coordinator.main_text()
    await coordinator.page.click("main form button.btn-primary")
    await coordinator.page.locator("input[value=PRESENT]").first.check()
    if js:
        await coordinator.page.wait_for_selector(".saved .state.good")
    else:
        await coordinator.page.click("text=Save the marks")
    await coordinator.open(f"{path}/attendance/publish")
    await coordinator.page.click("main form button.btn-primary")
    assert "The drive is finished" in await coordinator.main_text()
    await head.open("/console/finished-drives")
    assert name in await head.main_text()


async def test_the_count_follows_the_criteria_as_they_are_typed(visit: Visit) -> None:
    head = await visit(Role.HEAD)
    await head.open("/console/drives/new")
    before = await head.page.inner_text("#eligible-count strong")
    await head.page.fill("#min_cgpa", "9.99")
    await head.page.wait_for_function(
        "before => document.querySelector('#eligible-count strong').innerText !== before", arg=before
    )
    assert await head.page.inner_text("#eligible-count strong") == "0"
    await head.page.fill("#min_cgpa", "eleven")
    await head.page.wait_for_selector("#eligible-count:has-text('min_cgpa')")


@pytest.mark.full_only
async def test_without_javascript_a_button_counts_and_keeps_the_form(visit: Visit) -> None:
    head = await visit(Role.HEAD, js=False)
    await head.open("/console/drives/new")
    await head.page.fill("#company_name", "Kept Inc.")
    await head.page.fill("#min_cgpa", "9.99")
    await head.page.click("text=Count again")
    assert await head.page.inner_text("#eligible-count strong") == "0"
    assert await head.page.input_value("#company_name") == "Kept Inc."


@pytest.mark.full_only
@javascript
async def test_an_error_is_beside_its_field_and_its_summary_has_the_focus(js: bool, visit: Visit) -> None:
    head = await visit(Role.HEAD, js=js)
    await head.open("/console/drives/new")
    await head.page.fill("#company_name", "Acme")
    await head.page.fill("#job_title", "Engineer")
    await head.page.fill("#min_cgpa", "eleven")
    await head.page.click("text=Save the drive")
    assert "min_cgpa" in await head.page.inner_text("#min_cgpa-error")
    assert await head.page.input_value("#min_cgpa") == "eleven"
    assert await head.page.evaluate("document.activeElement.className") == "error-summary"


@pytest.mark.full_only
@javascript
async def test_a_file_is_asked_for_watched_and_downloaded(js: bool, visit: Visit, scene: Scene) -> None:
    staff = await visit(Role.STAFF, js=js)
    await staff.open(f"/console/exports/new?kind=registrations&drive={scene.open}")
    await staff.page.click("text=Write the file")
    await staff.page.wait_for_selector("a[download]", timeout=60_000)
    async with staff.page.expect_download() as download:
        await staff.page.click("a[download]")
    assert "student1@college.edu" in (await (await download.value).path()).read_text(encoding="utf-8-sig")


@pytest.mark.full_only
async def test_a_drive_is_deleted_only_with_its_name(visit: Visit) -> None:
    head, name = await visit(Role.HEAD), company()
    path = await create_draft(head, name)
    await head.open(f"{path}/delete")
    await head.page.fill("#name", "something else")
    await head.page.click("main form button.btn-danger")
    assert "Type the company's name exactly" in await head.main_text()
    await head.page.fill("#name", name)
    await head.page.click("main form button.btn-danger")
    assert "The drive was deleted." in await head.main_text()
    assert await head.open(path) == 404


@pytest.mark.full_only
async def test_an_invited_person_chooses_a_password_by_the_link(visit: Visit) -> None:
    head = await visit(Role.HEAD)
    email = f"{uuid4().hex[:8]}@college.edu"
    await head.open("/console/users/new")
    await head.page.fill("#name", "New Person")
    await head.page.fill("#email", email)
    await head.page.click("text=Create the account")
    link = await head.page.inner_text("code")
    invited = await visit(None)
    await invited.page.goto(link)
    assert await invited.page.locator("#token").is_hidden()
    await invited.page.fill("#password", "a long password")
    await invited.page.fill("#password_again", "another password")
    await invited.page.click("main form button")
    assert "The two passwords differ." in await invited.main_text()
    await invited.page.fill("#password", "a long password")
    await invited.page.fill("#password_again", "a long password")
    await invited.page.click("main form button")
    await invited.page.wait_for_url("**/console/today")


@pytest.mark.full_only
async def test_students_are_imported_after_a_check_with_errors_by_line(visit: Visit) -> None:
    head, number = await visit(Role.HEAD, js=False), uuid4().hex[:6]
    heading = "name,email,roll_number,branch,batch_year,cgpa\n"
    good = f"{heading}Ravi,ravi{number}@college.edu,R{number},CSE,2027,9.10\n"
    bad = f"{good}Asha,asha{number}@college.edu,S{number},CSE,2027,11\n"
    unclear = f"{heading}Ravi,ravi{number}@college.edu,R{number},CSE,2027,91\n"

    async def choose(text: str) -> None:
        await head.page.set_input_files("#file", {"name": "s.csv", "mimeType": "text/csv", "buffer": text.encode()})

    await head.open("/console/students/import")
    await choose(unclear)
    await head.page.click("text=Check the file")
    assert "a CGPA is at most 10" in await head.main_text()
    await head.page.select_option("[name='answer:cgpa']", label="No column of the file")
    await choose(unclear)
    await head.page.click("text=Check the file")
    assert await head.page.locator("text=Import 1 student").count() == 1
    await head.open("/console/students/import")
    await choose(bad)
    await head.page.click("text=Check the file")
    assert "cgpa" in await head.page.inner_text("[aria-label=Errors]")
    await choose(good)
    await head.page.click("text=Check the file")
    await choose(good)
    await head.page.click("text=Import 1 student")
    assert "The students were imported." in await head.main_text()
    await head.open(f"/console/students?search=R{number}")
    assert "9.10" in await head.main_text()


@pytest.mark.full_only
async def test_a_student_registers_with_the_keyboard_alone(visit: Visit, scene: Scene) -> None:
    name = company()
    open_drive(Caller(scene.url, "head@college.edu"), name)
    student = await visit(Role.STUDENT)
    await student.open("/console/drives")
    for _ in range(200):
        await student.page.keyboard.press("Tab")
        if await student.page.evaluate("document.activeElement.ariaLabel") == f"Register for {name}":
            break
    await student.page.keyboard.press("Enter")
    await student.page.wait_for_url(DRIVE_PAGE)
    assert "You are registered" in await student.main_text()


async def test_attendance_is_marked_with_p_and_a(visit: Visit, scene: Scene) -> None:
    head, marker = Caller(scene.url, "head@college.edu"), Caller(scene.url, "coord@college.edu")
    drive_id, students = attending_drive(scene.url, head, marker, company())
    coordinator = await visit(Role.COORDINATOR, width=375)
    await coordinator.open(f"/console/drives/{drive_id}/attendance")
    await coordinator.page.locator("input[type=radio]").first.focus()
    for key in "papap":
        await coordinator.page.keyboard.press(key)

    async def all_marked() -> bool:
        return len(marker.get(f"/api/attendance/{drive_id}/list")) == len(students)

    await eventually(all_marked, within_s=20)
    statuses = [mark["status"] for mark in marker.get(f"/api/attendance/{drive_id}/list")]
    assert sorted(statuses) == ["ABSENT", "ABSENT", "PRESENT", "PRESENT", "PRESENT"]


@pytest.mark.full_only
async def test_an_erased_student_was_previewed_and_confirmed_by_name(visit: Visit, scene: Scene) -> None:
    number = uuid4().hex[:6]
    body = {"name": f"Erasable {number}", "email": f"e{number}@college.edu", "roll_number": f"E{number}"}
    student = Caller(scene.url, "head@college.edu").post("/api/students", body)
    head = await visit(Role.HEAD)
    await head.open(f"/console/students/{student['student_id']}")
    await head.page.click("main >> text=Erase")
    assert "What would be erased" in await head.main_text()
    await head.page.fill("#name", "Somebody else")
    await head.page.click("main form button.btn-danger")
    assert "Type the name exactly" in await head.main_text()
    await head.page.fill("#name", body["name"])
    await head.page.click("main form button.btn-danger")
    assert "The personal data was erased" in await head.main_text()
    await head.open(f"/console/students/{student['student_id']}/erase")
    assert "It was erased already" in await head.main_text()


@pytest.mark.full_only
async def test_a_students_page_shows_registrations_and_who_looked_at_the_record(visit: Visit, scene: Scene) -> None:
    staff = await visit(Role.STAFF)
    await staff.open(scene.path("/students/{student}"))
    assert "Acme Systems" in await staff.page.inner_text("[aria-label=Registrations]")
    assert await staff.page.locator("text=Who looked at this record").count() == 0
    head = await visit(Role.HEAD)
    await head.open(scene.path("/students/{student}"))
    assert "Opened the record" in await head.page.inner_text("[aria-label='Who looked at this record']")


@pytest.mark.full_only
async def test_the_state_of_the_installation_updates_itself(visit: Visit) -> None:
    head = await visit(Role.HEAD)
    await head.open("/console/operations")
    assert "HTTP, as Kafka does not respond" in await head.main_text()
    async with head.page.expect_response("**/console/operations/state", timeout=15_000) as updated:
        pass
    assert (await updated.value).status == 200
