"""HEAD requests over one real connection get no body, and the connection can be used for the next request."""

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from devstack.ports import LOOPBACK
from tests.conftest import Api
from tests.support.bulk_students import DRIVE
from tests.support.live_server import served
from tests.support.system import bearer


async def headers_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines if line)


async def test_head_keeps_the_connection_and_logs_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    job = (await api.post("/api/drives", json={**DRIVE, "auto_calc": True})).json()["job"]["id"]
    paths = [
        "/api/drives", "/api/drives/1", "/api/eligibility/1/list", "/api/registrations/1/list", f"/api/jobs/{job}",
        f"/api/jobs/{job}/events", "/api/attendance/1/download-csv", "/api/nothing", "/livez", "/api/docs", "/metrics",
    ]  # fmt: skip
    token = bearer()["Authorization"]
    with capture_logs() as logs:
        async with served(api.app) as port, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            for path in paths:
                for _ in range(2):
                    writer.write(f"HEAD {path} HTTP/1.1\r\nHost: api\r\nAuthorization: {token}\r\n\r\n".encode())
                    status, headers = await headers_of(reader)
                    assert status == (404 if path == "/api/nothing" else 200), path
                    assert headers.get("connection") != "close", path
                # If HEAD had sent a body, it would be read here as part of the next answer.
                writer.write(f"GET /livez HTTP/1.1\r\nHost: api\r\nAuthorization: {token}\r\n\r\n".encode())
                status, headers = await headers_of(reader)
                assert status == 200, path
                assert await reader.readexactly(int(headers["content-length"])) == b'{"status":"live"}', path
            writer.close()
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert not api.app.state.context.long_lists.open
