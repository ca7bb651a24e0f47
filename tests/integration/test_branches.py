"""Branches of drives and students match regardless of case and spaces. A branch without students gives a warning."""

import re
import sys
import unicodedata
from typing import Any

import asyncpg

from contracts.branches import branch_key
from services.api.eligibility.sql import LIST
from services.api.subfilter.sql import SUMMARY
from services.eligibility.sql import COUNT_ELIGIBLE
from tests.conftest import Api
from tests.support.bulk_students import DRIVE

UNASSIGNED = {"Cn", "Cs", "Co"}

STUDENT = {"cgpa": "9", "tenth_percent": 90, "twelfth_percent": 90}


async def enrolled(api: Api, number: int, branch: str) -> int:
    body = {"name": "A", "email": f"a{number}@college.edu", "roll_number": f"R{number}", "branch": branch, **STUDENT}
    answer = await api.post("/api/students", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["student_id"])


async def created_drive(api: Api, branches: list[str], **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/drives", json={**DRIVE, "branches": branches, **more})
    assert answer.status_code in (201, 202), answer.text
    drive: dict[str, Any] = answer.json()
    return drive


async def test_spellings_of_a_branch_match(api: Api) -> None:
    ids = [
        await enrolled(api, 1, "cse"),
        await enrolled(api, 2, "Ge\u0301nie  civil"),
        await enrolled(api, 3, "AI, ML"),
    ]
    drive = await created_drive(api, [" CSE ", "GÉNIE CIVIL", "ai, ml"], auto_calc=True)
    assert "warnings" not in drive
    listed = (await api.get(f"/api/eligibility/{drive['drive_id']}/list")).json()
    assert [student["student_id"] for student in listed] == ids
    applied = await api.get(f"/api/subfilter/{drive['drive_id']}/apply?branch=Cse", "COORDINATOR")
    assert [student["user_id"] for student in applied.json()["students"]] == ids[:1]
    for student_id in ids:
        answer = await api.post(f"/api/registrations/{drive['drive_id']}/register", "STUDENT", student_id)
        assert answer.status_code == 201, answer.text


async def test_every_list_finds_a_branch_in_any_spelling(api: Api) -> None:
    for number, branch in enumerate(("cse", "CSE", "CSE", "Ge\u0301nie  civil"), start=1):
        await enrolled(api, number, branch)

    async def count_of(**query: str) -> int:
        return len((await api.get("/api/students", params=query)).json())

    assert [await count_of(branch=branch) for branch in ("Cse", " CSE ", "GÉNIE CIVIL", "ge\u0301nie civil", "CS")] == [
        3, 3, 1, 1, 0,
    ]  # fmt: skip
    drive = await created_drive(api, ["cse", "génie civil"])
    applied = await api.get(f"/api/subfilter/{drive['drive_id']}/apply?branch=cSe", "COORDINATOR")
    assert (applied.json()["filtered_count"], applied.json()["total"]) == (3, 4)
    assert applied.json()["unique_branches"] == ["CSE", "Génie  civil"]


async def test_a_search_ignores_spaces_around_it_and_the_unicode_form(api: Api) -> None:
    body = {"name": "Renée Rao", "email": "renee@college.edu", "roll_number": "R1"}
    assert (await api.post("/api/students", json=body)).status_code == 201
    for search in (" rene\u0301e ", "RENÉE", "r1\n"):
        assert len((await api.get("/api/students", params={"search": search})).json()) == 1, search


async def test_a_branch_without_students_gives_a_warning(api: Api) -> None:
    await enrolled(api, 1, "CSE")
    drive = await created_drive(api, ["cse", "CSEE"])
    warning = ["No student has the branch CSEE, so it makes no student eligible."]
    assert drive["warnings"] == warning
    path = f"/api/drives/{drive['drive_id']}"
    assert (await api.post(f"{path}/publish")).json()["warnings"] == warning
    revised = await api.patch(path, json={"branches": ["ECE", "Cse"]})
    assert revised.json()["warnings"] == ["No student has the branch ECE, so it makes no student eligible."]
    assert "warnings" not in (await api.patch(path, json={"branches": ["Cse"]})).json()


async def test_branches_are_compared_by_stored_keys(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Computing the key for each student took three times as long in evaluations, and thirty times in the list."""
    statements: dict[str, list[object]] = {
        LIST: [1],
        SUMMARY: [1, None, None, "cse", None],
        COUNT_ELIGIBLE: [1, 1, None, None, None, None, ["cse"], None],
    }
    await owner.execute("SET plan_cache_mode = force_generic_plan")
    for statement, arguments in statements.items():
        plan = "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN (VERBOSE) {statement}", *arguments))
        assert "s.branch_key = ANY" in plan
        assert not re.search(r"normalize|regexp_replace|branch_keys?\(|meets_criteria", plan, re.IGNORECASE), plan


async def test_sql_and_python_give_the_same_branch_key_for_every_letter(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    letters = [chr(code) for code in range(1, sys.maxunicode + 1) if unicodedata.category(chr(code)) not in UNASSIGNED]
    rows = await owner.fetch(
        "SELECT one, branch_key('a' || one || ' B') AS key FROM unnest($1::text[]) AS one", letters
    )
    differing = [ascii(row["one"]) for row in rows if branch_key(f"a{row['one']} B") != row["key"]]
    assert not differing, (len(differing), differing[:40])
