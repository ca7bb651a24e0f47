"""Routes for the console: the count of eligible students, one student, accounts, and jobs by kind and subject."""

import asyncpg

from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.drive_scenarios import mark, posted, register, stop

Owner = asyncpg.Connection


async def enrol(api: Api, number: int, **marks: object) -> int:
    body = {"name": f"Student {number}", "email": f"s{number}@college.edu", "roll_number": f"21CS{number:03}", **marks}
    answer = await api.post("/api/students", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def eligible_count(api: Api, **criteria: object) -> tuple[int, int]:
    answer = await api.post("/api/eligibility/count", "COORDINATOR", json=criteria)
    assert answer.status_code == 200, answer.text
    return answer.json()["eligible"], answer.json()["students"]


async def test_the_count_agrees_with_a_drive_of_the_same_criteria(api: Api) -> None:
    await enrol(api, 1, cgpa="8.00", tenth_percent="80", twelfth_percent="80", branch="CSE", batch_year=2027)
    await enrol(api, 2, cgpa="6.99", tenth_percent="80", twelfth_percent="80", branch="ece", batch_year=2027)
    deactivated = await enrol(api, 3, cgpa="9.00", tenth_percent="90", twelfth_percent="90", branch="ECE")
    assert (await api.post(f"/api/users/{deactivated}/deactivate")).status_code == 200
    assert await eligible_count(api) == (2, 2)
    assert await eligible_count(api, min_cgpa="7") == (1, 2)
    assert await eligible_count(api, min_cgpa="", branches="ECE") == (1, 2)
    assert await eligible_count(api, branches=["cse", "ECE"], batch_years="2027", max_backlogs=0) == (2, 2)
    assert await eligible_count(api, batch_years=[2026]) == (0, 2)
    criteria = {"min_cgpa": "6.99", "min_10th": "80", "branches": "ECE"}
    bare = {"company_name": DRIVE["company_name"], "job_title": DRIVE["job_title"]}
    drive = (await api.post("/api/drives", json=bare | criteria)).json()
    eligible = (await api.get(f"/api/eligibility/{drive['drive_id']}/list")).json()
    assert (await eligible_count(api, **criteria))[0] == len(eligible) == 1


async def test_the_error_of_the_count_names_a_wrong_or_unknown_criterion(api: Api) -> None:
    answer = await api.post("/api/eligibility/count", json={"min_cgpa": "eleven"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "min_cgpa"
    answer = await api.post("/api/eligibility/count", json={"company_name": "Acme"})
    assert (answer.status_code, "company_name" in answer.json()["message"]) == (400, True)


async def test_reading_one_student_is_recorded(api: Api, owner: Owner) -> None:
    student_id = await enrol(api, 1, cgpa="8.00")
    answer = await api.get(f"/api/students/{student_id}", "STAFF")
    assert (answer.status_code, answer.json()["cgpa"], answer.json()["active"]) == (200, "8.00", True)
    assert await owner.fetchval("SELECT count(*) FROM access_log WHERE student_id = $1", student_id) == 1
    assert (await api.get("/api/students/999999")).status_code == 404


async def test_the_list_of_accounts_excludes_students_and_filters_by_role_and_text(api: Api) -> None:
    await enrol(api, 1)
    for number, role in enumerate(("STAFF", "COORDINATOR", "HEAD"), 1):
        body = {"name": f"Asha {number}", "email": f"asha{number}@college.edu", "role": role, "password": "password123"}
        assert (await api.post("/api/users", json=body)).status_code == 201
    listed = (await api.get("/api/users")).json()
    assert [user["role"] for user in listed] == ["STAFF", "COORDINATOR", "HEAD"]
    assert [user["name"] for user in (await api.get("/api/users?role=COORDINATOR")).json()] == ["Asha 2"]
    assert [user["email"] for user in (await api.get("/api/users?search=ASHA3@")).json()] == ["asha3@college.edu"]
    assert (await api.get("/api/users?search=%25")).json() == []
    page = (await api.get(f"/api/users?limit=1&after={listed[0]['user_id']}")).json()
    assert [user["name"] for user in page] == ["Asha 2"]


async def test_jobs_are_listed_by_kind_and_subject(api: Api) -> None:
    first, second = [(await api.post("/api/drives", json=DRIVE | {"auto_calc": True})).json() for _ in range(2)]
    second_evaluation = (await api.post(f"/api/drives/{first['drive_id']}/trigger-eligibility")).json()["job"]["id"]
    export = (await api.post("/api/exports", json={"kind": "finished_drives", "format": "csv"})).json()["job"]
    subject = f"drive-{first['drive_id']}"

    async def job_ids(query: str) -> list[str]:
        answer = await api.get(f"/api/jobs?{query}")
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()]

    assert await job_ids(f"subject={subject}") == [second_evaluation, first["job"]["id"]]
    assert await job_ids(f"subject={subject}&limit=1&before={second_evaluation}") == [first["job"]["id"]]
    assert await job_ids("kind=export") == [export["id"]]
    assert await job_ids(f"kind=export&subject={subject}") == []
    assert await job_ids("kind=eligibility&state=queued") == [
        second_evaluation,
        second["job"]["id"],
        first["job"]["id"],
    ]
    assert await job_ids("subject=drive-%25") == []
    for wrong in ("kind=unheard-of", "subject=%00", "state=odd"):
        assert (await api.get(f"/api/jobs?{wrong}")).status_code == 422


async def test_a_students_registrations_and_readers_are_listed(api: Api, owner: Owner) -> None:
    student_id = await enrol(api, 1)
    drives = [await posted(api), await posted(api, company_name="Globex")]
    for drive_id in drives:
        await register(api, drive_id, student_id)
    await stop(api, drives[0])
    await mark(api, drives[0], **{f"s{student_id}": "PRESENT"})
    newest, oldest = (await api.get(f"/api/students/{student_id}/registrations", "STAFF")).json()
    assert [newest["drive_id"], oldest["drive_id"]] == drives[::-1]
    assert (newest["company_name"], newest["status"], newest["attendance"]) == ("Globex", "posted", None)
    assert (oldest["status"], oldest["attendance"]) == ("attending", "PRESENT")
    assert (await api.get(f"/api/students/{student_id}")).status_code == 200
    last, first = (await api.get(f"/api/students/{student_id}/accesses")).json()
    assert [(one["operation"], one["reader_role"]) for one in (last, first)] == [
        ("student.viewed", "HEAD"),
        ("student.viewed", "STAFF"),
    ]
    assert len((await api.get(f"/api/students/{student_id}/accesses?limit=1")).json()) == 1
    for path in ("registrations", "accesses"):
        assert (await api.get(f"/api/students/999999/{path}")).status_code == 404
