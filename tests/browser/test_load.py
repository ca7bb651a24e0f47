"""A thousand signed-in people open pages of the console at the same moment. Without a browser."""

import pytest

from bench.http_load import load, request
from contracts.users import Role
from services.console.sessions import Sessions, SignedInUser
from tests.browser.scene import Scene
from tests.support.system import SECRET, System, token

PEOPLE = 1_000
PAGES = ("/console/today", "/console/drives", "/console/my-registrations", "/console/notifications")


def cookie_of(user_id: int, email: str) -> str:
    """Return the sign-in cookie of a student."""
    user = SignedInUser(user_id, Role.STUDENT, "Somebody", email, token(Role.STUDENT, user_id))
    return Sessions([SECRET]).cookie(user, secure=False)


@pytest.mark.full_only
@pytest.mark.timeout(600)
async def test_a_thousand_people_open_pages_at_once_without_an_error(
    campus: tuple[System, Scene], scene: Scene
) -> None:
    rows = "".join(f"Person {number},load{number}@college.edu,L{number},CSE,2027,8.0\n" for number in range(PEOPLE))
    file = {"file": ("people.csv", f"name,email,roll_number,branch,batch_year,cgpa\n{rows}")}
    head = scene.caller(Role.HEAD)
    report = head.call("POST", "/api/students/import?dry_run=false", files=file)
    assert report["imported"] == PEOPLE
    students = head.get("/api/students?limit=1000&search=load")
    assert len(students) == PEOPLE
    cookies = [cookie_of(student["student_id"], student["email"]) for student in students]
    for page in PAGES:
        requests = [request("GET", page, {"Cookie": cookie}) for cookie in cookies]
        responses = await load(campus[0].ports["console"], requests, at_once=PEOPLE)
        assert responses.statuses == {200: PEOPLE}, page
