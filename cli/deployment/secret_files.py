"""Write the secrets of an installation as files: a folder for each process, with only the secrets that it needs.

A process finds its folder by SECRETS_DIR. Missing secrets are generated once and kept.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from cli.deployment.roles import PASSWORD_OF
from cli.failures import WRONG_USE, Failure

OPERATOR = "operator"
DEFAULT_STORAGE = "file:///var/lib/placewire/uploads"
MADE = (
    "jwt_secret",
    "internal_secret",
    "console_secret",
    "postgres_password",
    "grafana_password",
    *PASSWORD_OF.values(),
)
MIN_LENGTH = 32
# Every user may read the files. Access is limited by the folder, which is mounted only where its process runs.
READABLE = 0o444
# A folder that this module creates may be opened only by its owner.
OWN_FOLDER = 0o700

SHARED = {"api": ("jwt_secret", "internal_secret")} | dict.fromkeys(
    ("eligibility", "exporter", "maintenance"), ("internal_secret",)
)
KEEPS_FILES = ("api", "exporter", "maintenance")


def kept_storage(folder: Path) -> str | None:
    """Return the storage URL that an earlier run stored below ``folder``, or ``None``."""
    return _read(folder / OPERATOR).get("storage_url")


def write(folder: Path, database_url: str, storage_url: str | None, given: Mapping[str, str]) -> list[str]:
    """Create or complete the folders of all processes below ``folder``. Return the names of the generated secrets.

    ``database_url``: the owner's address, without a password. ``storage_url``: if empty, the stored URL is kept, or
    else ``DEFAULT_STORAGE`` is used. ``given``: secrets by name, in lower case; empty ones are ignored. Raises
    ``Failure`` when a secret is too short.
    """
    storage_url = storage_url or kept_storage(folder) or DEFAULT_STORAGE
    kept = _read(folder / OPERATOR)
    folder.mkdir(OWN_FOLDER, parents=True, exist_ok=True)
    values, generated = {}, []
    for name in MADE:
        value = given.get(name) or kept.get(name)
        if value is None:
            generated.append(name)
        values[name] = value or secrets.token_urlsafe(36)
    for name in ("jwt_secret", "internal_secret", "console_secret"):
        if len(values[name]) < MIN_LENGTH:
            raise Failure(f"{name.upper()} is too short: at least {MIN_LENGTH} characters", WRONG_USE)
    for process, files in _folders(values, database_url, storage_url).items():
        for name, value in files.items():
            _put(folder / process / name, value)
    return generated


def _folders(values: Mapping[str, str], database_url: str, storage_url: str) -> dict[str, dict[str, str]]:
    addresses = {role: with_login(database_url, role, values[secret]) for role, secret in PASSWORD_OF.items()}
    folders = {role.removeprefix("placewire_"): {"database_url": address} for role, address in addresses.items()}
    for process, names in SHARED.items():
        folders[process] |= {name: values[name] for name in names}
    for process in KEEPS_FILES:
        folders[process]["storage_url"] = storage_url
    owner = urlsplit(database_url).username or "postgres"
    folders[OPERATOR] = dict(values) | {
        "database_url": addresses["placewire_api"],
        "migration_database_url": with_login(database_url, owner, values["postgres_password"]),
        "storage_url": storage_url,
    }
    folders["console"] = {"console_secret": values["console_secret"]}
    folders["postgres"] = {"postgres_password": values["postgres_password"]}
    folders["grafana"] = {"grafana_password": values["grafana_password"]}
    return folders


def with_login(url: str, role: str, password: str) -> str:
    """Return ``url`` with ``role`` and its ``password``."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{host}"))


def _read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}


def _put(path: Path, value: str) -> None:
    """Write the file atomically, because a process may be reading it."""
    path.parent.mkdir(OWN_FOLDER, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE), "w") as file:
        os.fchmod(file.fileno(), READABLE)
        file.write(value)
    scratch.replace(path)
