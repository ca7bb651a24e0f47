"""Bodies that are costly to parse are refused with a short message, and never block other requests."""

import json
import math

import httpx
import pytest

from tests.conftest import Api
from tests.support.loop_lag import loop_lag

pytestmark = pytest.mark.timeout(300)

JSON = "application/json"
# Twice the limit of docs/architecture.md, because other tests share the cores.
BLOCKED_S = 0.1
TRIES = 3
MAX_ANSWER = 64 * 1024
# At least one route for each way to read a body: by a model, by own code, with a higher limit, and not at all.
ROUTES = {
    ("/api/users", "HEAD"),
    ("/api/auth/login", "HEAD"),
    ("/api/drives", "HEAD"),
    ("/api/drives/1/publish", "HEAD"),
    ("/api/drives/1/stop-registrations", "COORDINATOR"),
    ("/api/eligibility/1/filter", "COORDINATOR"),
}
DRIVE = '{"company_name": "x", "job_title": "x", '
BODIES = {
    "many fields": json.dumps({f"field{number}": number for number in range(60_000)}),
    "ten thousand fields": json.dumps({f"field{number}": number for number in range(10_000)}),
    "many empty objects": "[" + ",".join(["{}"] * 340_000) + "]",
    "many small objects": '{"items": [' + ",".join(['{"a":1}'] * 120_000) + "]}",
    "deep lists": "[" * 500_000 + "]" * 500_000,
    "deep objects": '{"a":' * 150_000 + "1" + "}" * 150_000,
    "a long number": '{"min_cgpa": ' + "9" * 1_000_000 + "}",
    "a long name": '{"' + "x" * 1_000_000 + '": 1}',
    "a long text": DRIVE + '"job_description": "' + "x" * 1_000_000 + '"}',
    "many branches": DRIVE + '"branches": [' + ",".join(["1.5"] * 250_000) + "]}",
    "beyond the limit of JSON": DRIVE + '"branches": [' + ",".join(["1.5"] * 2_000_000) + "]}",
    "a byte order mark": '\ufeff{"min_cpga": 9}',
    "not a number": '{"min_cpga": NaN}',
    "more after its end": '{"min_cpga": 9} {}',
}


async def test_a_costly_body_is_refused_and_does_not_block_the_event_loop(api: Api) -> None:
    for name, body in BODIES.items():
        for path, role in sorted(ROUTES):
            answer, blocked_s = await refused(api, path, role, body.encode())
            case = f"{name}, {path}: {answer.status_code} {answer.text[:200]}"
            assert answer.status_code in (400, 413, 422), case
            assert len(answer.content) < MAX_ANSWER, case
            assert len(answer.json()["message"]) < 2_000, case
            assert blocked_s < BLOCKED_S, case


async def refused(api: Api, path: str, role: str, content: bytes) -> tuple[httpx.Response, float]:
    """Return the answer, and for how long it blocked the event loop: the shortest of up to three tries."""
    shortest_s = math.inf
    for _ in range(TRIES):
        async with loop_lag() as lag:
            answer = await api.post(path, role, 900_001, content=content, headers={"Content-Type": JSON})
        shortest_s = min(shortest_s, lag.worst_s)
        if shortest_s < BLOCKED_S:
            break
    return answer, shortest_s
