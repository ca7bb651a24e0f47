"""Settings of the eligibility service."""

from pydantic import Field

from chassis.settings import ServiceSettings


class EligibilitySettings(ServiceSettings):
    port: int = Field(default=5001, ge=1, le=65535, description="port to listen on")
