"""Settings of the maintenance service."""

from pydantic import Field

from chassis.settings import ServiceSettings


class MaintenanceSettings(ServiceSettings):
    port: int = Field(default=5003, ge=1, le=65535, description="port to listen on")
    storage_url: str = Field(
        description="where files are kept: file:///folder, s3://bucket, gs://bucket, az://container"
    )
