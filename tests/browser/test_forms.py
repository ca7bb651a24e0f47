"""Each form is one effect: after a double click, a reload, the back button, an expired sign-in, and a killed API."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.users import Role
from tests.browser.conftest import Person, Visit, sign_in
from tests.browser.scene import EMAILS, Caller, Scene
from tests.support.leftovers import for_the_session
from tests.support.system import System

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]
DRIVE_PAGE = re.compile(r"/console/drives/\d+$")


async def filled_drive_form(visit: Visit, name: str, *, js: bool = True) -> Person:
    """Return a head with a filled form for a new drive."""
    head = await visit(Role.HEAD, js=js)
    await head.open("/console/drives/new")
    await head.page.fill("#company_name", name)
    await head.page.fill("#job_title", "Engineer")
    await head.page.fill("#job_description", "Written with care.")
    return head


async def post(url: str, *, cookies: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    """Send a form without a browser."""
    async with httpx.AsyncClient(timeout=30, cookies=cookies) as client:
        return await client.post(url, **options)


def drives_of(scene: Scene, company: str) -> list[dict[str, object]]:
    drives = Caller(scene.url, EMAILS[Role.HEAD]).get("/api/drives")
    return [drive for drive in drives if drive["company_name"] == company]


@pytest.mark.full_only
@pytest.mark.parametrize("js", [True, False], ids=["js", "no-js"])
async def test_a_double_click_and_the_back_button_are_one_drive(js: bool, visit: Visit, scene: Scene) -> None:
    name = f"Twice {uuid4().hex[:8]}"
    head = await filled_drive_form(visit, name, js=js)
    await head.page.dblclick("text=Save the drive")
    await head.page.wait_for_url(DRIVE_PAGE)
    await head.page.go_back()
    assert await head.page.input_value("#job_description") == "Written with care."
    await head.page.click("text=Save the drive")
    await head.page.wait_for_url(DRIVE_PAGE)
    await head.page.reload()
    assert len(drives_of(scene, name)) == 1


@pytest.mark.full_only
async def test_an_expired_sign_in_is_renewed_and_the_form_goes_on(visit: Visit, scene: Scene) -> None:
    name = f"Expired {uuid4().hex[:8]}"
    head = await filled_drive_form(visit, name)
    await head.context.clear_cookies()
    await head.page.click("text=Save the drive")
    assert "Your sign-in has ended" in await head.main_text()
    await head.page.fill("#sign_in_email", EMAILS[Role.HEAD])
    await head.page.fill("#sign_in_password", "wrong password")
    await head.page.click("main form button")
    assert "Invalid credentials" in await head.main_text()
    await head.page.fill("#sign_in_password", "password123")
    await head.page.click("main form button")
    await head.page.wait_for_url(DRIVE_PAGE)
    (drive,) = drives_of(scene, name)
    assert drive["job_description"] == "Written with care."


@pytest.mark.full_only
async def test_a_form_of_one_person_is_refused_from_another(visit: Visit, scene: Scene) -> None:
    """Someone else renews the sign-in, whose role may publish drives but not create them."""
    name = f"Other {uuid4().hex[:8]}"
    head = await filled_drive_form(visit, name)
    await head.context.clear_cookies()
    await head.page.click("text=Save the drive")
    await head.page.fill("#sign_in_email", EMAILS[Role.COORDINATOR])
    await head.page.fill("#sign_in_password", "password123")
    await head.page.click("main form button")
    assert await head.heading() == "You may not do this"
    assert drives_of(scene, name) == []


async def test_an_api_that_is_killed_while_a_form_is_sent_is_one_effect(
    visit: Visit, scene: Scene, campus: tuple[System, Scene]
) -> None:
    system, _ = campus
    name = f"Killed {uuid4().hex[:8]}"
    head = await filled_drive_form(visit, name)
    system.processes["api"].kill()
    try:
        await head.page.click("text=Save the drive", no_wait_after=True)
    finally:
        with for_the_session():
            system.start("api")
    send_again = head.page.get_by_role("button", name="Send it again")
    await head.page.wait_for_selector("text=/Send it again|The drive was created/", timeout=60_000)
    if await send_again.count():
        await send_again.click()
    await head.page.wait_for_url(DRIVE_PAGE, timeout=60_000)
    assert len(drives_of(scene, name)) == 1


@pytest.mark.full_only
async def test_a_page_says_that_the_api_is_away_and_comes_back_by_itself(
    visit: Visit, campus: tuple[System, Scene]
) -> None:
    system, _ = campus
    student = await visit(Role.STUDENT)
    system.processes["api"].kill()
    try:
        assert await student.open("/console/drives") == 503
        assert "not available right now" in await student.heading()
    finally:
        with for_the_session():
            system.start("api")
    await student.page.wait_for_selector("h1:has-text('Drives')", timeout=60_000)


@pytest.mark.full_only
async def test_forms_of_other_sites_are_refused(visit: Visit, scene: Scene) -> None:
    head = await visit(Role.HEAD)
    cookies = {cookie["name"]: cookie["value"] for cookie in await head.context.cookies()}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        response = await post(
            f"{head.url}/console/domains", data={"domain_name": "Forged"}, headers=headers, cookies=cookies
        )
        assert response.status_code == 403
        assert "did not come from a page of yours" in response.text
    response = await post(
        f"{head.url}/console/domains",
        data={"domain_name": "Forged", "form_token": "0" * 32},
        headers={"Sec-Fetch-Site": "same-origin"},
        cookies=cookies,
    )
    assert response.status_code == 403


@pytest.mark.full_only
async def test_the_cookie_is_out_of_reach_and_bound_to_tls(visit: Visit) -> None:
    head = await visit(Role.HEAD)
    (cookie,) = [cookie for cookie in await head.context.cookies() if cookie["name"] == "placewire"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert await head.page.evaluate("document.cookie") == ""
    body = {"sign_in_email": EMAILS[Role.HEAD], "sign_in_password": "password123"}
    headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Proto": "https"}
    response = await post(f"{head.url}/console/sign-in", data=body, headers=headers)
    set_cookie = response.headers["set-cookie"]
    assert set_cookie.startswith("__Host-placewire=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(set_cookie.split("; "))


@pytest.mark.full_only
async def test_signing_out_ends_the_sign_in(visit: Visit) -> None:
    student = await visit(Role.STUDENT)
    await student.page.click(".popover-menu summary")
    await student.page.click("text=Sign out")
    assert await student.heading() == "Sign in"
    await student.page.go_back()
    assert await student.heading() == "Sign in"
    await student.open("/console/drives")
    assert "/console/sign-in?next=" in student.page.url
    await sign_in(student, EMAILS[Role.STUDENT])
