"""What more than one test module of this folder needs."""

from pathlib import Path

import pytest

from tests.manifests.building import OVERLAYS, Manifest, build, copy_with_secrets


@pytest.fixture(scope="session")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlays of a copy of deploy/k8s that has secrets."""
    return copy_with_secrets(tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def built(overlays: Path) -> dict[str, list[Manifest]]:
    """By the name of the overlay, every manifest of it. Not to be changed."""
    return {name: build(overlays / name) for name in OVERLAYS}
