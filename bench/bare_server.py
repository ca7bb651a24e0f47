"""Bare routes, whose cost is the lower limit for our HTTP layer. The benches run this server on a separate port.

The server has the settings of the services: uvicorn, uvloop, frozen garbage. Its pool has the same size, and does not
reset returned connections either. Otherwise FastAPI and asyncpg have their defaults.
"""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response

from devstack.ports import LOOPBACK

POOL = 20  # the size of the API's pool
TABLE = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.registration (
    registration_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drive_id integer NOT NULL,
    student_id integer NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
INSERT = "INSERT INTO bench.registration (drive_id, student_id) VALUES ($1, $2) RETURNING registration_id"
SELECT = "SELECT cgpa FROM students WHERE student_id = $1"


async def _skip_reset(_connection: object) -> None:
    return None


@asynccontextmanager
async def _pooled(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"]
    async with asyncpg.create_pool(url, min_size=POOL, max_size=POOL, reset=_skip_reset) as pool:
        await pool.execute(TABLE)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_pooled, openapi_url=None)


@app.get("/constant")
async def constant() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/row/{student_id}")
async def row(student_id: int, request: Request) -> dict[str, str]:
    return {"cgpa": str(await request.app.state.pool.fetchval(SELECT, student_id))}


@app.post("/insert/{drive_id}/{student_id}", status_code=201)
async def insert(drive_id: int, student_id: int, request: Request) -> dict[str, int]:
    return {"registration_id": await request.app.state.pool.fetchval(INSERT, drive_id, student_id)}


@app.get("/readyz")
async def readyz() -> Response:
    return Response(status_code=204)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=int(os.environ["PORT"]),
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
