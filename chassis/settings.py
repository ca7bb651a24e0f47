"""Settings of every process, read once from the environment. Each service adds its own in a subclass."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.days import zone_of


class ServerSettings(BaseSettings):
    """Settings of every process. The environment variable is the name in capitals. Names with ``_s`` are in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    environment: Literal["development", "production"] = Field(
        default="production", description="production, or development: allows sample data and sample passwords"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(ge=1, le=65535, description="port to listen on")
    log_format: Literal["json", "text"] = Field(default="json", description="json for machines, text for a terminal")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="lowest level written")
    shutdown_grace_s: float = Field(default=25.0, gt=0, description="how long running work may take after SIGTERM")
    otel_exporter_otlp_endpoint: str | None = Field(
        default=None, description="http://host:4318, where traces are sent as OTLP over HTTP; empty: no traces"
    )

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_a_collector(cls, url: str | None) -> str | None:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url or None


class ProcessSettings(ServerSettings):
    """Settings of a process that uses the database."""

    database_url: str = Field(description="postgresql://role@host/database, the process's own role")
    database_pool_size: int = Field(default=10, ge=1, le=200, description="connections this process may hold")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: str) -> str:
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        return url


class BrowserAssetsSettings(BaseSettings):
    """Where third-party stylesheets and scripts are. A mixin for the settings of processes that serve pages."""

    assets_folder: Path | None = Field(
        default=None, description="folder with what `python -m devstack assets FOLDER` downloads for browsers"
    )

    @field_validator("assets_folder", mode="before")
    @classmethod
    def _empty_is_none(cls, folder: object) -> object:
        return folder or None

    @field_validator("assets_folder")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        if folder is not None and not folder.is_dir():
            raise ValueError("there is no such folder: fill it with `python -m devstack assets FOLDER`")
        return folder


class TimeZoneSettings(BaseSettings):
    """The campus's time zone. A mixin for the settings of processes that use days."""

    tz: str = Field(default="UTC", description="the campus's time zone, like Asia/Kolkata: its days, and its schedule")

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        zone_of(name)
        return name

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.tz)


class StorageSettings(BaseSettings):
    """Where files are stored. A mixin for the settings of processes that store files."""

    storage_url: str = Field(
        description="where files are stored: file:///folder, s3://bucket, gs://bucket, az://container"
    )
    storage_ignore_missing_files: bool = Field(
        default=False, description="start although the storage has none of the files that the database names"
    )


class RetentionSettings(BaseSettings):
    """How long personal records are kept. A mixin for the settings of maintenance and the API."""

    idempotency_keys_kept_days: float = Field(
        default=7.0, ge=1, description="how long a repeated Idempotency-Key gets the first response"
    )
    access_log_kept_days: float = Field(
        default=365.0, ge=1, description="how long the record of who viewed a student's record is kept"
    )

    @property
    def idempotency_keys_kept(self) -> timedelta:
        return timedelta(days=self.idempotency_keys_kept_days)

    @property
    def access_log_kept(self) -> timedelta:
        return timedelta(days=self.access_log_kept_days)


class KafkaSettings(BaseSettings):
    """How to connect to Kafka. A mixin for the settings of processes that use Kafka."""

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", description="host:port, comma between several")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how the connection is secured"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="used with the SASL protocols"
    )
    kafka_sasl_username: str | None = Field(default=None, description="used with the SASL protocols")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="used with the SASL protocols")
    kafka_ssl_ca_file: str | None = Field(default=None, description="PEM of the authority that signed the brokers")
    kafka_ssl_cert_file: str | None = Field(default=None, description="PEM of this client's certificate")
    kafka_replication_factor: int = Field(
        default=1, ge=1, le=10, description="replication factor of topics that the relay creates"
    )
    kafka_ssl_key_file: str | None = Field(default=None, description="PEM of this client's key")


class ServiceSettings(ProcessSettings, KafkaSettings):
    """Settings of a service that owns a job kind."""

    internal_secret: SecretStr = Field(
        min_length=32, description="signs the tokens with which services call each other; at least 32 characters"
    )
    database_pool_size: int = Field(default=10, ge=1, le=200, description="connections this process may hold")
    jobs_at_once: int = Field(default=2, ge=1, le=64, description="jobs this process works on at the same time")
    job_lease_s: float = Field(
        default=60.0, ge=1, description="another worker may claim a job whose lease was not renewed for this time"
    )
    paused_retry_s: float = Field(
        default=60.0, gt=0, description="seconds between two tries of a worker paused after 20 failed jobs in a row"
    )

    @model_validator(mode="after")
    def _leases_can_be_renewed(self) -> Self:
        # Each running job holds a connection. Renewing leases needs one more: otherwise running jobs are claimed again.
        if self.database_pool_size < self.jobs_at_once + 2:
            raise ValueError("DATABASE_POOL_SIZE is wrong: it must be at least JOBS_AT_ONCE + 2")
        return self


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings], **overrides: Any) -> Settings:
    """Return ``settings`` from the environment. Exit with one line for each setting that is missing or wrong.

    A setting that is not in the environment is read from the file of its name in the folder SECRETS_DIR.
    """
    folder = os.environ.get("SECRETS_DIR") or None
    if folder is not None and not Path(folder).is_dir():
        raise SystemExit(f"SECRETS_DIR is wrong: there is no folder {folder}")
    try:
        return settings(_secrets_dir=folder, **overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            if not problem["loc"]:  # concerns several settings; its text names them
                lines.append(str(problem["ctx"]["error"]))
                continue
            name = str(problem["loc"][0])
            field = settings.model_fields.get(name)
            meaning = f" ({field.description})" if field and field.description else ""
            what = "is not set" if problem["type"] == "missing" else f"is wrong: {problem['msg']}"
            lines.append(f"{name.upper()} {what}{meaning}")
        raise SystemExit("\n".join(lines)) from None
