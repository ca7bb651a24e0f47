"""Drives that are sent as forms: repeated fields, lists with commas, files checked by content, and no files."""

from typing import Any

import httpx
import pytest

from tests.conftest import Api
from tests.support.bulk_students import DRIVE

PDF = b"%PDF-1.7\n1 0 obj\n%%EOF"


async def drive(api: Api, data: Any, **options: Any) -> dict[str, Any]:
    answer = await api.post("/api/drives", data=data, **options)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_lists_in_forms_are_parsed(api: Api) -> None:
    file = {"pdf": ("brief.pdf", PDF, "application/pdf")}
    for branches, expected in (
        (["CSE", "ECE"], ["CSE", "ECE"]),
        (["AI, ML", "CSE"], ["AI, ML", "CSE"]),
        (["AI, ML", ""], ["AI, ML"]),
        ("CSE, ECE", ["CSE", "ECE"]),
        ('"AI, ML", CSE', ["AI, ML", "CSE"]),
        ('["AI, ML"]', ["AI, ML"]),
        ("", None),
    ):
        for options in ({}, {"files": file}):
            created_drive = await drive(
                api, {**DRIVE, "branches": branches, "batch_years": ["2026", "2027"]}, **options
            )
            assert created_drive["branches"] == expected
            assert created_drive["batch_years"] == [2026, 2027]
            assert (created_drive["pdf_path"] is not None) is bool(options)
    as_json = await api.post("/api/drives", json={**DRIVE, "branches": ["AI, ML"]})
    assert as_json.json()["branches"] == ["AI, ML"]


def parts(*files: tuple[str, tuple[str | None, bytes, str]]) -> dict[str, Any]:
    return {"data": DRIVE, "files": list(files)}


def nameless(content: bytes) -> dict[str, Any]:
    """Return a form with a file part whose name is empty. httpx cannot send one."""
    texts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in DRIVE.items()
    ]
    file = b'--cut\r\nContent-Disposition: form-data; name="pdf"; filename=""\r\nContent-Type: application/pdf\r\n\r\n'
    body = "".join(texts).encode() + file + content + b"\r\n--cut--\r\n"
    return {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=cut"}}


async def test_a_form_without_a_chosen_file_has_no_pdf(api: Api) -> None:
    answer = await api.post("/api/drives", **nameless(b""))
    assert (answer.status_code, answer.json()["pdf_path"]) == (201, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (parts(("pdf", ("page.pdf", b"<html>%PDF-", "application/pdf"))), "not a PDF"),
        (parts(("pdf", ("a.pdf", b"MZ", "application/octet-stream"))), "not a PDF"),
        (parts(("pdf", ("a.pdf", b"", "application/pdf"))), "not a PDF"),
        (nameless(PDF), "no file name"),
        (parts(("pdf", (None, PDF, "application/pdf"))), "pdf is a file"),
        (
            parts(("pdf", ("a.pdf", PDF, "application/pdf")), ("pdf", ("b.pdf", PDF, "application/pdf"))),
            "more than once",
        ),
        (parts(("brief", ("a.pdf", PDF, "application/pdf"))), "brief"),
        (parts(("company_name", ("a.txt", b"Acme", "text/plain"))), "company_name"),
        ({"data": {**DRIVE, "pdf": "text"}}, "pdf is a file"),
        ({"data": {**DRIVE, "min_cpga": "9"}}, "min_cpga (did you mean min_cgpa?)"),
        ({"data": {**DRIVE, "min_cgpa": ["6", "9"]}}, "min_cgpa"),
        ({"data": {**DRIVE, "auto_calc": "true", "autoCalc": "false"}}, "auto_calc"),
        ({"json": {**DRIVE, "auto_calc": "true", "autoCalc": True}}, "two names of one field"),
    ],
)
async def test_an_invalid_form_is_refused(api: Api, options: dict[str, Any], message: str) -> None:
    answer = await api.post("/api/drives", **options)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["message"]
    assert (await api.get("/api/drives")).json() == []


async def test_a_pdf_is_recognised_by_its_content_whatever_type_was_declared(api: Api) -> None:
    for type_ in ("application/octet-stream", "text/html", "application/pdf"):
        created_drive = await drive(api, DRIVE, files={"pdf": ("brief.bin", PDF, type_)})
        opened = await api.client.get(created_drive["pdf_path"])
        assert (opened.content, opened.headers["content-type"]) == (PDF, "application/pdf")


async def test_unknown_parts_of_an_import_are_refused(api: Api) -> None:
    file = {"file": ("a.csv", b"name,email,roll_number\nA,a@c.edu,R1\n", "text/csv")}

    async def send_import(**options: Any) -> httpx.Response:
        return await api.post("/api/students/import", **options)

    assert (await send_import(files=file)).status_code == 200
    for options in ({"files": file, "data": {"mappnig": "{}"}}, {"files": {**file, "other": ("b", b"x")}}):
        answer = await send_import(**options)
        assert (answer.status_code, "Known fields" in answer.json()["message"]) == (422, True)
