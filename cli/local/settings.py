"""The settings of each process of a system on this machine, and the files in which they are stored."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cli import environment

LOOPBACK = "127.0.0.1"
PORTS = {"api": 5000, "eligibility": 5001, "exporter": 5002, "maintenance": 5003, "relay": 5004, "console": 5005}
# The processes in the order they start. Each has a database role of the same name, except the console.
PROCESSES = ("eligibility", "exporter", "maintenance", "relay", "api", "console")
SECRETS = ("JWT_SECRET", "INTERNAL_SECRET", "CONSOLE_SECRET")
ONLY_FOR_CONSOLE = frozenset({"CONSOLE_SECRET", "CONSOLE_SECRET_PREVIOUS"})
NOT_FOR_CONSOLE = frozenset({"JWT_SECRET", "JWT_SECRET_PREVIOUS", "INTERNAL_SECRET"})
# Only the owner may read secrets.
PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system runs. ``database_url``: the owner's. ``ports``: the port of each process.

    ``given``: settings that take precedence over the ones below. ``assets``: the folder of files for browsers.
    """

    database_url: str
    kafka_bootstrap_servers: str
    ports: dict[str, int]
    uploads: Path
    secrets: dict[str, str]
    given: Mapping[str, str] = field(default_factory=dict)
    assets: Path | None = None

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['api']}"

    @property
    def console_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['console']}/console/"

    def settings(self, process: str) -> dict[str, str]:
        """Return the environment variables of ``process``, with its own database role."""
        if process == "console":
            return self._console_settings()
        secrets = {name: value for name, value in self.secrets.items() if name not in ONLY_FOR_CONSOLE}
        return {
            "ENVIRONMENT": "development",
            "LOG_FORMAT": "text",
            "DATABASE_URL": as_role(self.database_url, f"placewire_{process}"),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers,
            "PORT": str(self.ports[process]),
            "STORAGE_URL": self.uploads.as_uri(),
            "ELIGIBILITY_URL": f"http://{LOOPBACK}:{self.ports['eligibility']}",
            "EXPORTER_URL": f"http://{LOOPBACK}:{self.ports['exporter']}",
            "MAINTENANCE_URL": f"http://{LOOPBACK}:{self.ports['maintenance']}",
            **self._assets(),
            **secrets,
            **self.given,
        }

    def _console_settings(self) -> dict[str, str]:
        """Return the console's settings: no database, and no secrets of other processes."""
        return {
            "ENVIRONMENT": "development",
            "LOG_FORMAT": "text",
            "PORT": str(self.ports["console"]),
            "API_URL": self.api_url,
            **self._assets(),
            "CONSOLE_SECRET": self.secrets["CONSOLE_SECRET"],
            **{name: value for name, value in self.given.items() if name not in NOT_FOR_CONSOLE},
        }

    def _assets(self) -> dict[str, str]:
        return {} if self.assets is None else {"ASSETS_FOLDER": str(self.assets)}


def as_role(url: str, role: str) -> str:
    """Return ``url`` with another role. Connections from this machine are trusted, so there is no password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))


def named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def fresh_secrets() -> dict[str, str]:
    return {name: secrets.token_urlsafe(36) for name in SECRETS}


def kept_secrets(folder: Path = environment.FOLDER) -> dict[str, str]:
    """Return the secrets of this checkout's last ``up``, so that tokens stay valid after a restart.

    Secrets that do not exist yet are generated.
    """
    path = folder / "env"
    stored = environment.parse(path.read_text()) if path.is_file() else {}
    return fresh_secrets() | {name: stored[name] for name in SECRETS if name in stored}


def keep(place: Place, login: tuple[str, str], folder: Path = environment.FOLDER) -> list[Path]:
    """Write ``env`` for commands and the API, and ``env.<process>`` for the other processes."""
    folder.mkdir(parents=True, exist_ok=True)
    for_commands = (
        place.settings("api")
        | place.secrets
        | {
            "MIGRATION_DATABASE_URL": place.database_url,
            "PLACEWIRE_API": place.api_url,
            "PLACEWIRE_EMAIL": login[0],
            "PLACEWIRE_PASSWORD": login[1],
        }
    )
    files = {"env": for_commands} | {f"env.{name}": place.settings(name) for name in PROCESSES if name != "api"}
    for name, values in files.items():
        _write_privately(folder / name, environment.render(values))
    return [folder / name for name in files]


def forget(folder: Path = environment.FOLDER) -> None:
    """Remove the addresses after ``down``, so that commands do not use stopped servers. Secrets are kept."""
    path = folder / "env"
    if path.is_file():
        stored = environment.parse(path.read_text())
        _write_privately(path, environment.render({name: stored[name] for name in SECRETS if name in stored}))
    for name in PROCESSES:
        (folder / f"env.{name}").unlink(missing_ok=True)


def _write_privately(path: Path, text: str) -> None:
    scratch = path.with_name(path.name + ".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w") as file:
        os.fchmod(file.fileno(), PRIVATE)
        file.write(text)
    scratch.replace(path)
