"""KEDA's queries return the number of queued jobs and the age of the oldest, with the role of the service."""

from pathlib import Path

import asyncpg
import pytest
import yaml

from tests.support.system import as_role

ROOT = Path(__file__).parents[2]
SCALERS = {
    manifest["metadata"]["name"]: {
        trigger["name"]: trigger["metadata"]["query"] for trigger in manifest["spec"]["triggers"]
    }
    for manifest in yaml.safe_load_all((ROOT / "deploy/k8s/components/keda/scalers.yaml").read_text())
    if manifest["kind"] == "ScaledObject"
}
JOBS = """
INSERT INTO es.job (id, service, kind, subject, state, queued_at, finished_at)
SELECT gen_random_uuid(), $1, $2, 'subject-' || n, state, clock_timestamp() - interval '40 s' * n,
       CASE WHEN state = 'succeeded' THEN clock_timestamp() END
  FROM unnest(ARRAY['queued', 'queued', 'running', 'succeeded']) WITH ORDINALITY AS job (state, n)
"""


@pytest.mark.damages  # the jobs have no events
@pytest.mark.parametrize("service", SCALERS)
async def test_the_scaler_sees_queued_jobs_and_the_age_of_the_oldest(
    service: str, owner: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    connection = await asyncpg.connect(as_role(database_url, f"placewire_{service}"))
    try:
        queries = SCALERS[service]
        assert [await connection.fetchval(queries[name]) for name in ("queued", "age")] == [0, 0]
        for name in SCALERS:
            await owner.execute(JOBS, name, {"eligibility": "eligibility", "exporter": "export"}[name])
        assert await connection.fetchval(queries["queued"]) == 2
        assert await connection.fetchval(queries["age"]) == pytest.approx(80, abs=20)
        # The job is queued in the future. The age has an upper limit, because KEDA needs a finite number.
        await owner.execute("UPDATE es.job SET queued_at = clock_timestamp() + interval '1 h' WHERE state = 'queued'")
        assert await connection.fetchval(queries["age"]) == 3600
    finally:
        await connection.close()
