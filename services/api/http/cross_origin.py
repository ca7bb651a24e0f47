"""CORS: let pages of other origins call the API. By default none may, because the gateway serves pages and API."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Modified-Since", "If-None-Match", "Last-Event-ID", "Prefer",
    "Traceparent", "X-Correlation-Id",
)  # fmt: skip
EXPOSED_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Last-Modified",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "X-Correlation-Id",
)


def install(app: FastAPI, origins: list[str]) -> None:
    """Add CORS around all other middleware. Cookies are not allowed: callers authenticate with ``Authorization``."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
