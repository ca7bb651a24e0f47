"""Serve an app with the real HTTP server, on a free port, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from devstack.ports import LOOPBACK
from tests.support.eventually import eventually


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """Yield the port. The caller must run the app's lifespan."""
    config = uvicorn.Config(app, host=LOOPBACK, port=0, lifespan="off", log_config=None, access_log=False)
    listening = config.bind_socket()
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))

    async def started() -> bool:
        return server.started

    try:
        await eventually(started)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await serving
        listening.close()
