"""Where settings come from when the environment is silent: the files that ``placewire up`` writes."""

import os
from pathlib import Path

from cli.failures import WRONG_USE, Failure

CHECKOUT = Path(__file__).resolve().parents[1]
# `env` is for commands and the API; `env.relay` and `env.eligibility` are for those processes, under their own roles.
FOLDER = CHECKOUT / ".devstack"


def load(process: str | None = None, *, folder: Path | None = None) -> None:
    """Set what the files in SECRETS_DIR say; then what ``.devstack/env`` says, unless DATABASE_URL is set by now.

    ``process``: prefer that process's own file. What is set already stays.
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
    """``KEY=VALUE`` lines, each value as it stands; blank lines and those that begin with # say nothing."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def render(values: dict[str, str]) -> str:
    """The text that ``parse`` reads back."""
    return "".join(f"{key}={value}\n" for key, value in values.items())


def require(*names: str, meaning: str) -> str:
    """The first of ``names`` that is set. Raises ``Failure`` naming them."""
    for name in names:
        if value := os.environ.get(name):
            return value
    raise Failure(f"{' or '.join(names)} is not set ({meaning}); `make up` makes one for development", WRONG_USE)
