"""Builds overlays as `kubectl apply -k` would, from a copy of deploy/ that has secrets."""

import runpy
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("local", "production", "everything")

Manifest = dict[str, Any]


class BuildFailed(Exception):
    """kustomize refuses the overlay; says what it said."""


def builder() -> list[str] | None:
    """The command that takes a folder with a kustomization; ``None`` where there is none."""
    if found := shutil.which("kustomize"):
        return [found, "build"]
    return [found, "kustomize"] if (found := shutil.which("kubectl")) else None


def copy_with_secrets(into: Path) -> Path:
    """The overlays of a copy of deploy/ below ``into``: with secrets for `local`, and one more overlay.

    `everything` is `production` with each line uncommented that names a component.
    """
    shutil.copytree(DEPLOY, into / "deploy")
    overlays = into / "deploy" / "k8s" / "overlays"
    (overlays / "local" / "secrets.env").unlink(missing_ok=True)
    runpy.run_path(str(overlays / "make_secrets.py"), run_name="__main__")
    shutil.copytree(overlays / "production", overlays / "everything")
    kustomization = overlays / "everything" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("# - ../../components/", "- ../../components/"))
    return overlays


def build(folder: Path) -> list[Manifest]:
    """Every manifest of the kustomization in ``folder``. Raises ``BuildFailed``; needs ``builder()``."""
    command = builder()
    assert command is not None
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise BuildFailed(done.stderr.strip())
    return [one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one]


def title(manifest: Manifest) -> str:
    return f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"


def one(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The only manifest of that kind and name. Raises ``ValueError`` where there is another number of them."""
    (found,) = (each for each in manifests if title(each) == f"{kind} {name}")
    return found
