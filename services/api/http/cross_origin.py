"""Pages of other origins that may call the API. Without a list there are none: the gateway serves both as one."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
SENT = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Modified-Since", "If-None-Match", "Last-Event-ID", "Prefer",
    "Traceparent", "X-Correlation-Id",
)  # fmt: skip
READ = ("Content-Disposition", "ETag", "Last-Modified", "Location", "Repr-Digest", "Retry-After", "X-Correlation-Id")


def install(app: FastAPI, origins: list[str]) -> None:
    """Around everything else. No cookies: who calls says so in ``Authorization``."""
    app.add_middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=METHODS, allow_headers=SENT, expose_headers=READ
    )
