"""Load settings that are not in the environment from files: those in SECRETS_DIR, or those of ``placewire up``."""

import os
from pathlib import Path

from cli.failures import WRONG_USE, Failure

CHECKOUT = Path(__file__).resolve().parents[1]
# `env` is for commands and the API. Every other process has its own file, such as `env.relay`, with its own role.
FOLDER = CHECKOUT / ".devstack"


def load(process: str | None = None, *, folder: Path | None = None) -> None:
    """Set environment variables from the files in SECRETS_DIR. If DATABASE_URL is then unset, read ``.devstack/env``.

    ``process``: read ``env.<process>`` instead, if it exists. Variables that are already set are not changed.
    """
    if secrets := os.environ.get("SECRETS_DIR"):
        _load_secrets(Path(secrets))
    if "DATABASE_URL" in os.environ:
        return
    for name in ([f"env.{process}"] if process else []) + ["env"]:
        path = (folder or FOLDER) / name
        if path.is_file():
            for key, value in parse(path.read_text()).items():
                os.environ.setdefault(key, value)
            return


def _load_secrets(folder: Path) -> None:
    if not folder.is_dir():
        raise Failure(f"SECRETS_DIR is wrong: there is no folder {folder}", WRONG_USE)
    for path in folder.iterdir():
        if path.is_file():
            os.environ.setdefault(path.name.upper(), path.read_text().strip())


def parse(text: str) -> dict[str, str]:
    """Parse ``KEY=VALUE`` lines without unquoting. Blank lines and lines that begin with # are ignored."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def render(values: dict[str, str]) -> str:
    """Return ``values`` as text that ``parse`` can read."""
    return "".join(f"{key}={value}\n" for key, value in values.items())


def require(*names: str, meaning: str) -> str:
    """Return the first of the variables ``names`` that is set. Raises ``Failure`` when none is set."""
    for name in names:
        if value := os.environ.get(name):
            return value
    raise Failure(f"{' or '.join(names)} is not set ({meaning}); `make up` sets it for development", WRONG_USE)
