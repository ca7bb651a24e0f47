"""Fixtures that several unit test modules share."""

from pathlib import Path

import pytest

from tests.manifests.building import OVERLAYS, Manifest, build, copy_with_secrets


@pytest.fixture(scope="session")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the overlays folder of a copy of deploy/k8s in which the secrets are filled in."""
    return copy_with_secrets(tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def built(overlays: Path) -> dict[str, list[Manifest]]:
    """Return all manifests of each overlay, by the name of the overlay. Tests must not change them."""
    return {name: build(overlays / name) for name in OVERLAYS}
