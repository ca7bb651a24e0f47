"""Settings of the maintenance service."""

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from chassis.settings import ServiceSettings
from services.maintenance import schedule


class MaintenanceSettings(ServiceSettings):
    port: int = Field(default=5003, ge=1, le=65535, description="port to listen on")
    storage_url: str = Field(
        description="where files are kept: file:///folder, s3://bucket, gs://bucket, az://container"
    )
    materialized_view_refresh_interval: str = Field(
        default="0 * * * *",
        description="when the views are refreshed: cron, minute hour day-of-month month day-of-week",
    )
    tz: str = Field(default="UTC", description="the time zone that the schedule is meant in, like Asia/Kolkata")
    refresh_after_change_s: float = Field(
        default=60.0,
        ge=0,
        description="changed data refreshes the views at most once in this time; 0: only the schedule",
    )

    @field_validator("materialized_view_refresh_interval")
    @classmethod
    def _is_a_schedule(cls, expression: str) -> str:
        schedule.Cron(expression, ZoneInfo("UTC"))
        return expression

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        schedule.zone_of(name)
        return name
