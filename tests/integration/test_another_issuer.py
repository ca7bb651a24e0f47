"""Sign-in tokens of another issuer: the whole API, with keys from a real HTTP server."""

from pathlib import Path

import pytest

from chassis.tokens import Principal, issue_user_token
from contracts.users import Role
from services.api.http import issuer_keys
from tests.support.eventually import eventually
from tests.support.issuer import described, serving, signed
from tests.support.replicas import replica
from tests.support.system import SECRET

RULES = {"jwt_issuer": "https://id.example", "jwt_audience": "placewire"}
FOR_US = {"iss": "https://id.example", "aud": "placewire"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_users_of_the_issuer_have_the_rights_of_their_role(database_url: str, tmp_path: Path) -> None:
    with serving("first") as jwks:
        async with replica(database_url, tmp_path, jwt_jwks_url=jwks.url, **RULES) as api:
            head = bearer(signed("first", user_id=900_002, role="HEAD", **FOR_US))
            student = bearer(signed("first", user_id=900_003, role="STUDENT", **FOR_US))
            created = await api.client.post("/api/job-domains", json={"domain_name": "Robotics"}, headers=head)
            assert created.status_code == 201, created.text
            assert (
                await api.client.post("/api/job-domains", json={"domain_name": "X"}, headers=student)
            ).status_code == 403
            assert (await api.client.get("/api/drives", headers=student)).status_code == 200
            # Larger than the body limit of unauthenticated callers.
            body = {"domain_name": "x" * 70_000}
            assert (await api.client.post("/api/job-domains", json=body, headers=head)).status_code == 422
            forged = bearer(signed("other", kid="first", role="HEAD", **FOR_US))
            assert (await api.client.post("/api/job-domains", json=body, headers=forged)).status_code == 401
            for_others = bearer(signed("first", role="HEAD", **FOR_US | {"aud": "others"}))
            assert (await api.client.get("/api/drives", headers=for_others)).status_code == 401
            # Our own tokens are accepted too.
            assert (await api.get("/api/drives")).status_code == 200


async def test_a_role_change_applies_to_tokens_of_the_issuer(database_url: str, tmp_path: Path) -> None:
    user = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
    with serving("first") as jwks:
        async with replica(database_url, tmp_path, jwt_jwks_url=jwks.url) as api:
            user_id = (await api.post("/api/users", json=user)).json()["user_id"]
            issuer_token = bearer(signed("first", user_id=user_id, role="STAFF"))
            assert (await api.client.get("/api/eligibility/1/list", headers=issuer_token)).status_code == 403
            head = (await api.post("/api/users", json={**user, "email": "h@c.edu", "role": "HEAD"})).json()["user_id"]
            changed = {"role": "COORDINATOR", "password": "another password"}
            assert (await api.patch(f"/api/users/{user_id}", "HEAD", head, json=changed)).status_code == 200

            async def has_new_role() -> bool:
                return (await api.client.get("/api/eligibility/1/list", headers=issuer_token)).status_code == 200

            # The password change has no effect on tokens of the issuer.
            await eventually(has_new_role, within_s=3)


async def test_tokens_of_the_issuer_for_a_deactivated_account_are_refused(database_url: str, tmp_path: Path) -> None:
    """The issuer does not know of the deactivation, so it also signs tokens afterwards."""
    user = {"name": "Asha", "email": "asha@college.edu", "role": "STAFF", "password": "correct horse"}
    with serving("first") as jwks:
        async with replica(database_url, tmp_path, jwt_jwks_url=jwks.url) as api:
            user_id = (await api.post("/api/users", json=user)).json()["user_id"]
            head = (await api.post("/api/users", json={**user, "email": "h@c.edu", "role": "HEAD"})).json()["user_id"]
            issuer_token = bearer(signed("first", user_id=user_id, role="STAFF"))
            assert (await api.client.get("/api/drives", headers=issuer_token)).status_code == 200
            assert (await api.post(f"/api/users/{user_id}/deactivate", "HEAD", head)).status_code == 200

            async def refused() -> bool:
                return (await api.client.get("/api/drives", headers=issuer_token)).status_code == 401

            await eventually(refused, within_s=3)
            await api.app.state.guard.changes.reload()
            assert await refused()


async def test_the_api_starts_without_the_issuer_and_fetches_its_keys_later(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "MIN_REFETCH_S", 0.3)
    with serving() as jwks:
        jwks.answer = (503, b"")
        async with replica(database_url, tmp_path, jwt_jwks_url=jwks.url) as api:
            # The API starts and serves while the issuer is unavailable.
            assert (await api.get("/api/drives")).status_code == 200
            issuer_token = bearer(signed("first"))
            assert (await api.client.get("/api/drives", headers=issuer_token)).status_code == 401
            jwks.names(described("first"))

            async def is_accepted() -> bool:
                return (await api.client.get("/api/drives", headers=issuer_token)).status_code == 200

            await eventually(is_accepted, within_s=5)


async def test_tokens_of_the_former_secret_are_accepted_while_it_is_configured(
    database_url: str, tmp_path: Path
) -> None:
    new, person = "the new secret, of at least thirty-two letters", Principal(9, Role.HEAD, "A", "a@c.edu", 0)
    async with replica(database_url, tmp_path, jwt_secret=new, jwt_secret_previous=SECRET) as api:
        for secret in (SECRET, new):
            signed_in = bearer(issue_user_token(person, secret))
            assert (await api.client.get("/api/drives", headers=signed_in)).status_code == 200
    async with replica(database_url, tmp_path, jwt_secret=new) as api:
        refused = await api.client.get("/api/drives", headers=bearer(issue_user_token(person, SECRET)))
        assert refused.status_code == 401
