"""Settings of the exporter."""

from pydantic import Field

from chassis.settings import ServiceSettings, StorageSettings, TimeZoneSettings


class ExporterSettings(ServiceSettings, StorageSettings, TimeZoneSettings):
    port: int = Field(default=5002, ge=1, le=65535, description="port to listen on")
    storage_tries: int = Field(
        default=4, ge=1, le=20, description="times a file is begun anew while the storage refuses it"
    )
    export_kept_s: float = Field(default=86_400.0, gt=0, description="how long an exported file can be downloaded")
