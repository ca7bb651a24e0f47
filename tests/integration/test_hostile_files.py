"""Files that would cost much time or memory are refused with a message, and other requests do not wait."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest

from chassis.errors import Invalid
from contracts.users import Role
from services.api.students.import_files.limits import MIB, ReadLimits
from services.api.students.import_files.rows import ReadOptions
from services.api.students.import_files.staged_file import UploadedFile, open_students
from tests.conftest import Api
from tests.support.eventually import eventually
from tests.support.system import bearer
from tests.support.workbook_parts import MAIN, cell, ods, ods_cell, ods_row, sheet_rows, xlsx

IMPORT = "/api/students/import"
HEADERS = [cell("Name"), cell("Email"), cell("Roll No")]
STUDENT = [cell("Asha"), cell("a@college.edu"), cell("R1")]
HEADER_ROW = sheet_rows([HEADERS])
ODS_HEADER = ods_row(ods_cell("Name"), ods_cell("Email"), ods_cell("Roll No"))
MANY_ROWS = 'row table:number-rows-repeated="999999999">'
MANY = "<x/>" * 30_000_000


def slow() -> bytes:
    """Return a small workbook that takes many seconds to read."""
    return xlsx(HEADER_ROW + MANY)


def shared_strings(count: int) -> bytes:
    text = f'<sst xmlns="{MAIN}">' + f"<si><t>{'x' * 1000}</t></si>" * count + "</sst>"
    return xlsx(HEADER_ROW, parts={"xl/sharedStrings.xml": text})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "row 2,000,000,000": (
        lambda: xlsx('<row r="2000000000"><c r="A2000000000"><v>1</v></c></row>'), "at most 1,048,576",
    ),
    "cell without its row": (
        lambda: xlsx(HEADER_ROW + '<row><c r="A99999999"><v>1</v></c></row>'), "at most 1,048,576",
    ),
    "column too far": (lambda: xlsx('<row><c r="ZZZ1"><v>1</v></c></row>'), "16,384 columns"),
    "two far corners": (
        lambda: xlsx('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
        "more than 25,000,000 cells",
    ),
    "position without sense": (lambda: xlsx('<row><c r="1A"><v>1</v></c></row>'), "which no sheet has"),
    "entities": (
        lambda: xlsx("", parts={"xl/worksheets/sheet1.xml": '<!DOCTYPE a [<!ENTITY b "c">]><worksheet/>'}),
        "XML entities",
    ),
    "deep XML": (lambda: xlsx(HEADER_ROW + "<a>" * 3_000_000), "Save"),
    "too slow": (slow, "takes too long"),
    "huge shared strings": (lambda: shared_strings(400_000), "too much memory"),
    "a cell of 300 MB": (lambda: xlsx(sheet_rows([[cell("x" * 300_000_000)]])), "too much memory"),
    "ODS of a billion cells": (
        lambda: ods(ODS_HEADER + ods_row(ods_cell("1", 1.0, more='table:number-columns-repeated="1000000000"'))),
        "more than 25,000,000 cells",
    ),
    "ODS of a billion rows": (
        lambda: ods(ODS_HEADER + ods_row(ods_cell("1", 1.0)).replace("row>", MANY_ROWS, 1)),
        "at most 1,048,576 rows",
    ),
    "broken XML": (lambda: xlsx("<row><c></row>"), "damaged"),
    "a cut file": (lambda: xlsx(HEADER_ROW)[:300], "incomplete or damaged"),
    "style that is no number": (lambda: xlsx('<row><c s="x"><v>1</v></c></row>'), "damaged"),
    "old workbook of noise": (
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "Workbook".encode("utf-16-le") + b"\xff" * 5_000,
        "damaged",
    ),
}  # fmt: skip
SLOW = ("too slow", "a cell of 300 MB", "huge shared strings", "deep XML")


async def read(content: bytes, *, name: str = "a.xlsx", cpu_seconds: int = 30, memory: int = 320 * MIB) -> list[bytes]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        uploaded = UploadedFile(file, name, ReadOptions({}))
        async with open_students(uploaded, ReadLimits(cpu_seconds, memory)) as students:
            return [chunk async for chunk in students.chunks()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.full_only) if kind in SLOW else kind for kind in HOSTILE]
)
async def test_a_hostile_file_is_refused_with_a_message(kind: str) -> None:
    make, message = HOSTILE[kind]
    with pytest.raises(Invalid, match=message) as caught:
        await read(make(), cpu_seconds=3 if kind == "too slow" else 30)
    assert caught.value.status == 422


async def test_a_very_long_line_is_skipped_without_storing_it() -> None:
    header, row = b"name,email,usn\n", b"Asha,a@college.edu,1\n"
    (chunk,) = await read(header + b"x" * 100_000_000 + b"\n" + row, name="a.csv", memory=200 * MIB)
    bad, good = chunk.splitlines()
    assert b"far too long" in bad
    assert b"Asha,a@college.edu" in good


async def test_the_reader_needs_no_file_to_write_to() -> None:
    (chunk,) = await read(xlsx(sheet_rows([HEADERS, STUDENT])))
    assert chunk == b"2,,,Asha,a@college.edu,R1,,,,,,,,\n"


def workers() -> set[int]:
    pids = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if any("import_files.worker" in part for part in child.cmdline()):
                pids.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return pids


@pytest.mark.full_only
@pytest.mark.timeout(300)
async def test_hostile_files_do_not_delay_other_requests(api: Api) -> None:
    small = b"name,email,usn\nAsha,a@college.edu,1\n"
    hostile = slow()

    async def timed(call: Any) -> float:
        started_s = time.perf_counter()
        assert (await call).status_code == 200
        return time.perf_counter() - started_s

    alone = await timed(api.post(IMPORT, files={"file": ("a.csv", small)}))
    slow_ones = [asyncio.create_task(api.post(IMPORT, files={"file": ("a.xlsx", hostile)})) for _ in range(3)]

    async def all_read() -> bool:
        return len(workers()) == len(slow_ones)

    await eventually(all_read)
    # Take the best of three, because other processes can delay the requests.
    assert min([await timed(api.get("/api/students")) for _ in range(3)]) < 1
    assert min([await timed(api.post(IMPORT, files={"file": ("a.csv", small)})) for _ in range(3)]) < alone + 1
    assert not any(task.done() for task in slow_ones)
    for task in slow_ones:
        task.cancel()
    await asyncio.gather(*slow_ones, return_exceptions=True)
    assert workers() == set()


@pytest.mark.timeout(300)
async def test_the_reader_process_ends_when_its_client_disconnects(api: Api) -> None:
    disconnected = asyncio.Event()
    answers: list[Any] = []
    body = multipart(slow())

    async def messages() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": body, "more_body": False}
        await disconnected.wait()
        yield {"type": "http.disconnect"}

    incoming = messages()

    async def receive() -> Any:
        return await anext(incoming)

    async def send(message: Any) -> None:
        answers.append(message)

    headers = {
        **bearer(Role.HEAD), "content-type": "multipart/form-data; boundary=b", "content-length": str(len(body)),
    }  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": IMPORT, "raw_path": IMPORT.encode(), "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("api", 80), "state": {},
        "asgi": {"version": "3.0"}, "root_path": "",
    }  # fmt: skip
    request = asyncio.create_task(api.app(scope, receive, send))

    async def reading() -> bool:
        return bool(workers())

    await eventually(reading)
    (pid,) = workers()
    disconnected.set()
    await request
    assert not psutil.pid_exists(pid)
    assert answers[0]["status"] == 499


def multipart(content: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.xlsx"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"
