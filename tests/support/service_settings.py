"""The settings class of each service process, and settings for services that run inside the test process."""

from pathlib import Path
from typing import Any

from chassis.messaging.relay_process import RelaySettings
from chassis.settings import ServerSettings
from devstack.ports import LOOPBACK
from services.api.settings import ApiSettings
from services.console.settings import ConsoleSettings
from services.eligibility.settings import EligibilitySettings
from services.exporter.settings import ExporterSettings
from services.maintenance.settings import MaintenanceSettings
from tests.support.system import SECRET, as_role

OURS: dict[str, type[ServerSettings]] = {
    "api": ApiSettings,
    "console": ConsoleSettings,
    "eligibility": EligibilitySettings,
    "exporter": ExporterSettings,
    "maintenance": MaintenanceSettings,
    "relay": RelaySettings,
}
# An address at which nothing listens.
NOBODY = f"{LOOPBACK}:9"


def api_settings(database_url: str, folder: Path, **given: Any) -> ApiSettings:
    """Return the settings of an API without workers and Kafka. Its files are below ``folder``."""
    settings: dict[str, Any] = {
        "environment": "development",
        "database_url": as_role(database_url, "placewire_api"),
        "jwt_secret": SECRET,
        "internal_secret": SECRET,
        "storage_url": (folder / "uploads").as_uri(),
        "eligibility_url": f"http://{NOBODY}",
        "exporter_url": f"http://{NOBODY}",
        "maintenance_url": f"http://{NOBODY}",
        "log_format": "text",
    }
    return ApiSettings(**settings | given)


def eligibility_settings(database_url: str) -> EligibilitySettings:
    """Return the settings of an eligibility service without Kafka."""
    return EligibilitySettings(
        database_url=as_role(database_url, "placewire_eligibility"),
        internal_secret=SECRET,
        kafka_bootstrap_servers=NOBODY,
        log_format="text",
    )
