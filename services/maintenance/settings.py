"""Settings of the maintenance service."""

from datetime import timedelta
from typing import Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from chassis.settings import RetentionSettings, ServiceSettings, StorageSettings, TimeZoneSettings
from services.maintenance import schedule


class ExpirySettings(RetentionSettings):
    """How long expired data and orphaned files are kept, and how often they are deleted."""

    expiry_every_s: float = Field(
        default=60.0, gt=0, description="seconds between two deletions of expired exports, idempotency keys and jobs"
    )
    orphans_every_s: float = Field(
        default=3600.0,
        gt=0,
        description="seconds between two deletions of files that nothing refers to, and of read marks of deleted"
        " drives",
    )
    expired_files_kept_s: float = Field(
        default=600.0, ge=0, description="seconds that an expired file is kept for downloads in progress"
    )
    # A PDF is stored a moment before its drive is committed.
    orphans_kept_s: float = Field(
        default=86_400.0, ge=600, description="age in seconds at which a file is deleted if nothing refers to it"
    )
    jobs_kept_days: float = Field(default=30.0, ge=1, description="days that an ended job can be queried")

    @model_validator(mode="after")
    def _jobs_outlive_idempotency_keys(self) -> Self:
        if self.jobs_kept_days < self.idempotency_keys_kept_days:
            raise ValueError("JOBS_KEPT_DAYS is wrong: it must be at least IDEMPOTENCY_KEYS_KEPT_DAYS")
        return self

    @property
    def expired_files_kept(self) -> timedelta:
        return timedelta(seconds=self.expired_files_kept_s)

    @property
    def orphans_kept(self) -> timedelta:
        return timedelta(seconds=self.orphans_kept_s)

    @property
    def jobs_kept(self) -> timedelta:
        return timedelta(days=self.jobs_kept_days)


class MaintenanceSettings(ServiceSettings, StorageSettings, ExpirySettings, TimeZoneSettings):
    port: int = Field(default=5003, ge=1, le=65535, description="port to listen on")
    materialized_view_refresh_interval: str = Field(
        default="0 * * * *",
        description="cron expression for refreshing the views: minute hour day-of-month month day-of-week",
    )
    refresh_after_change_s: float = Field(
        default=60.0,
        ge=0,
        description="upper limit, in seconds, of the pause between two refreshes while data changes; below it, the"
        " pause is 50 times the duration of the last refresh, at least 1 s; 0: refresh only on the schedule",
    )

    @field_validator("materialized_view_refresh_interval")
    @classmethod
    def _is_a_schedule(cls, expression: str) -> str:
        schedule.Cron(expression, ZoneInfo("UTC"))
        return expression
