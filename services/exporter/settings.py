"""Settings of the exporter."""

from pydantic import Field

from chassis.settings import ServiceSettings, StorageSettings, TimeZoneSettings


class ExporterSettings(ServiceSettings, StorageSettings, TimeZoneSettings):
    port: int = Field(default=5002, ge=1, le=65535, description="port to listen on")
    storage_tries: int = Field(
        default=4, ge=1, le=20, description="attempts to write a file while the storage refuses it"
    )
    export_kept_s: float = Field(default=86_400.0, gt=0, description="seconds until an exported file expires")
