"""Settings for ``placewire up`` that a developer overrides in the environment, or else in the checkout's ``.env``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from cli.environment import CHECKOUT

# `up` always sets these itself, so that it never uses the servers or files of another system.
OWN = frozenset(
    {"DATABASE_URL", "MIGRATION_DATABASE_URL", "HOST", "PORT", "STORAGE_URL", "ENVIRONMENT", "SECRETS_DIR",
     "ELIGIBILITY_URL", "EXPORTER_URL", "MAINTENANCE_URL", "API_URL", "ASSETS_FOLDER", "FAILPOINT"}
)  # fmt: skip
OWN_PREFIXES = ("KAFKA_", "AWS_")
SECRET_SIGNS = ("SECRET", "PASSWORD", "TOKEN")


@dataclass(frozen=True, slots=True)
class Overrides:
    """``values``: settings in use. ``sources``: where each comes from. ``unused``: names that ``up`` sets itself."""

    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[tuple[str, str, str]]:
        """Return name, value and source of each setting in use. The value of a secret is hidden."""
        return [(name, _shown(name, value), self.sources[name]) for name, value in sorted(self.values.items())]


def read_overrides(environment: Mapping[str, str], folder: Path = CHECKOUT) -> Overrides:
    """Return the settings in ``environment`` and in ``.env`` of ``folder``. Empty settings count as unset.

    The environment takes precedence. Settings in the file that ``up`` sets itself are listed as unused.
    """
    path = folder / ".env"
    in_file = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
    overrides = Overrides(unused=sorted(name for name in in_file if _is_own(name)))
    for name in sorted(known_names()):
        for source, values in (("environment", environment), (".env", in_file)):
            if values.get(name):
                overrides.values[name], overrides.sources[name] = values[name], source
                break
    return overrides


def known_names() -> set[str]:
    """Return the names of all settings that a developer can override."""
    from chassis.messaging.relay_process import RelaySettings
    from services.api.settings import ApiSettings
    from services.console.settings import ConsoleSettings
    from services.eligibility.settings import EligibilitySettings
    from services.exporter.settings import ExporterSettings
    from services.maintenance.settings import MaintenanceSettings

    processes = (
        ApiSettings,
        ConsoleSettings,
        EligibilitySettings,
        ExporterSettings,
        MaintenanceSettings,
        RelaySettings,
    )
    names = {name.upper() for process in processes for name in process.model_fields}
    return {name for name in names if not _is_own(name)}


def _is_own(name: str) -> bool:
    return name in OWN or name.startswith(OWN_PREFIXES)


def _shown(name: str, value: str) -> str:
    return "(set)" if any(sign in name for sign in SECRET_SIGNS) else value
