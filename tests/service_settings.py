"""The settings of each process of ours, by its name."""

from chassis.relay_process import RelaySettings
from chassis.settings import ServerSettings
from services.api.settings import ApiSettings
from services.console.settings import ConsoleSettings
from services.eligibility.settings import EligibilitySettings
from services.exporter.settings import ExporterSettings
from services.maintenance.settings import MaintenanceSettings

OURS: dict[str, type[ServerSettings]] = {
    "api": ApiSettings,
    "console": ConsoleSettings,
    "eligibility": EligibilitySettings,
    "exporter": ExporterSettings,
    "maintenance": MaintenanceSettings,
    "relay": RelaySettings,
}
