"""The settings of each process of ours, by its name."""

from chassis.messaging.relay_process import RelaySettings
from chassis.settings import ProcessSettings
from services.api.settings import ApiSettings
from services.eligibility.settings import EligibilitySettings
from services.exporter.settings import ExporterSettings
from services.maintenance.settings import MaintenanceSettings

OURS: dict[str, type[ProcessSettings]] = {
    "api": ApiSettings,
    "eligibility": EligibilitySettings,
    "exporter": ExporterSettings,
    "maintenance": MaintenanceSettings,
    "relay": RelaySettings,
}
