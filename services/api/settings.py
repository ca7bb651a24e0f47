"""Settings of the API."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import AnyHttpUrl, Field, SecretStr, TypeAdapter, field_validator, model_validator

from chassis.settings import (
    BrowserAssetsSettings,
    ProcessSettings,
    RetentionSettings,
    StorageSettings,
    TimeZoneSettings,
)
from services.api.http.client_address import networks

ORIGIN = re.compile(r"^https?://[^/\s*?#@]+$")

HTTP_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


class ApiSettings(ProcessSettings, BrowserAssetsSettings, StorageSettings, TimeZoneSettings, RetentionSettings):
    port: int = Field(default=5000, ge=1, le=65535, description="port to listen on")
    database_pool_size: int = Field(default=20, ge=1, le=200, description="largest number of database connections")
    jwt_secret: SecretStr = Field(min_length=32, description="signs sign-in tokens and links; at least 32 characters")
    jwt_secret_previous: SecretStr | None = Field(
        default=None, min_length=32, description="the previous JWT_SECRET, whose tokens and links stay valid"
    )
    jwt_jwks_url: str | None = Field(
        default=None, description="JWKS address of another issuer of sign-in tokens (RS256)"
    )
    jwt_issuer: str | None = Field(default=None, description="`iss` that the other issuer's tokens must have")
    jwt_audience: str | None = Field(default=None, description="`aud` that the other issuer's tokens must have")
    internal_secret: SecretStr = Field(
        min_length=32, description="signs the tokens with which services call each other; at least 32 characters"
    )
    eligibility_url: str = Field(default="http://127.0.0.1:5001", description="the eligibility service")
    exporter_url: str = Field(default="http://127.0.0.1:5002", description="the exporter service")
    maintenance_url: str = Field(default="http://127.0.0.1:5003", description="the maintenance service")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks(text)
        return text

    @field_validator("public_url")
    @classmethod
    def _is_public_address(cls, url: str | None) -> str | None:
        return None if url is None else str(HTTP_URL.validate_python(url)).rstrip("/")

    @field_validator("jwt_secret_previous", "jwt_jwks_url", "jwt_issuer", "jwt_audience", "public_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("jwt_jwks_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        return None if url is None else str(HTTP_URL.validate_python(url))

    @field_validator("eligibility_url", "exporter_url", "maintenance_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return str(HTTP_URL.validate_python(url)).rstrip("/")

    import_max_bytes: int = Field(default=512 * 1024 * 1024, ge=1024, description="largest student file accepted")
    login_failures_per_minute: int = Field(
        default=10, ge=1, description="wrong passwords for one account before further attempts must wait"
    )
    login_failures_per_source_per_minute: int = Field(
        default=200,
        ge=1,
        description="failed sign-ins from one address (IPv6: one /64) before further attempts must wait",
    )
    trusted_proxies: str = Field(
        default="",
        description="addresses and networks of the gateway, whose X-Forwarded-For is trusted, separated by commas",
    )
    public_url: str | None = Field(
        default=None,
        description="https://host, the address at which users open the system; password links start with it."
        " Default: the address of the request that creates the link",
    )
    requests_per_second: float = Field(
        default=100.0, gt=0, description="average requests per second that one user may send to each process"
    )
    requests_burst: int = Field(default=400, ge=1, description="requests that one user may send at once")
    requests_at_once: int = Field(
        default=500,
        ge=1,
        description="concurrent requests of this process; further ones get 503 with Retry-After",
    )
    failpoint: Literal["", "after-commit"] = Field(
        default="", description="for tests: the point at which this process kills itself; refused in production"
    )
    cors_origins: str = Field(
        default="", description="other origins whose pages may call the API: https://host, separated by commas"
    )
    frontend_dist: Path | None = Field(
        default=None, description="folder of the built frontend, if this process serves it"
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str) -> str:
        for origin in _split_list(origins):
            if not ORIGIN.match(origin):
                raise ValueError(f"{origin} is not an origin. Write https://host or http://host:port, without a path")
        return origins

    @field_validator("frontend_dist", mode="before")
    @classmethod
    def _empty_is_none(cls, folder: object) -> object:
        return folder or None

    @field_validator("frontend_dist")
    @classmethod
    def _is_built(cls, folder: Path | None) -> Path | None:
        if folder is not None and not (folder / "index.html").is_file():
            raise ValueError("the folder has no index.html; build the frontend first")
        return folder

    @model_validator(mode="after")
    def _has_no_failpoint_in_production(self) -> Self:
        if self.failpoint and self.environment == "production":
            raise ValueError("FAILPOINT is for tests: it must not be set with ENVIRONMENT=production")
        return self

    @property
    def jwt_secrets(self) -> list[str]:
        """Return the current secret, and the previous one if it is set."""
        secrets = (self.jwt_secret, self.jwt_secret_previous)
        return [secret.get_secret_value() for secret in secrets if secret is not None]

    @property
    def allowed_origins(self) -> list[str]:
        return _split_list(self.cors_origins)


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
