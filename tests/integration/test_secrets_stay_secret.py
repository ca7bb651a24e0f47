"""Tokens, links and passwords appear only in answers: never in a table and never in the logs."""

import asyncpg
import pytest

from tests.conftest import Api
from tests.support.signing_head import make_signing_head

Owner = asyncpg.Connection
TABLES = "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables WHERE schemaname IN ('public', 'es')"
OLD, OWN, NEW = "first-secret-password", "second-secret-password", "third-secret-password"


async def test_no_token_and_no_password_is_stored_or_logged(
    api: Api, owner: "Owner[asyncpg.Record]", capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    await make_signing_head(api, owner)
    email = "asha@college.edu"
    user = {"name": "Asha", "email": email, "role": "STAFF", "password": OLD}
    created = await api.post("/api/users", json=user, headers={"Idempotency-Key": "create"})
    path = f"/api/users/{created.json()['user_id']}"
    link = (await api.post(f"{path}/password-link")).json()["url"].rpartition("=")[2]
    unused = (await api.post(f"{path}/password-link")).json()["url"].rpartition("=")[2]
    bodies = [{"token": link, "password": OWN}, {"token": unused, "password": OWN}, {"token": unused, "password": OWN}]
    answers = [await api.client.post("/api/auth/accept-invitation", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [404, 200, 410]
    token = answers[1].json()["token"]
    signed_in = {"Authorization": f"Bearer {token}", "Idempotency-Key": "change"}
    change = {"current_password": OWN, "new_password": NEW}
    changed = await api.client.post("/api/auth/password", json=change, headers=signed_in)
    assert changed.status_code == 200, changed.text
    reset = await api.patch(path, json={"password": OLD}, headers={"Idempotency-Key": "reset"})
    assert reset.status_code == 200, reset.text
    wrong = {"Authorization": f"Bearer {token[:-8]}AAAAAAAA"}
    assert (await api.client.get("/api/drives", headers=wrong)).status_code == 401

    secrets = [link, unused, token, changed.json()["token"], wrong["Authorization"].partition(" ")[2], OLD, OWN, NEW]
    for row in await owner.fetch(TABLES):
        content = await owner.fetchval(f"SELECT string_agg(t::text, '') FROM {row[0]} t") or ""
        assert not [secret for secret in secrets if secret in content], row[0]
    written = capfd.readouterr()
    logged = written.out + written.err + caplog.text
    assert "password_link.issued" in logged
    assert not [secret for secret in secrets if secret in logged]
