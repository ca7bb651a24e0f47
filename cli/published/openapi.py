"""The OpenAPI 3.1 document, which the API also serves at ``/api/openapi.json``."""

from typing import Any

from pydantic import SecretStr

from services.api.main import create_app
from services.api.settings import ApiSettings


def document() -> dict[str, Any]:
    """Return the document as JSON values. The app is created but not started, so there are no connections."""
    unused_secret = SecretStr("no secret: nothing is signed with this")
    settings = ApiSettings(
        database_url="postgresql://nobody@127.0.0.1:9/nothing",
        jwt_secret=unused_secret,
        internal_secret=unused_secret,
        storage_url="memory:///",
        otel_exporter_otlp_endpoint=None,
    )
    return create_app(settings).openapi()
