"""``make k8s-validate``: builds every overlay and says what is wrong. Exit 1 for anything wrong; what could not be
checked here is said last, loudly, and is not an error unless STRICT=1.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.manifests import house, schemas
from tests.manifests.building import OVERLAYS, ROOT, BuildFailed, Manifest, build, builder, copy_with_secrets

GROUPS_OF_KUBERNETES = ("apps", "batch", "autoscaling", "policy", "networking.k8s.io", "v1")


def examine(overlay: str, folder: Path, definitions: schemas.Schemas, unseen: set[str]) -> list[str]:
    """What is wrong with the overlay in ``folder``. Kinds that nothing here describes are added to ``unseen``."""
    manifests = build(folder)
    problems = [problem for one in manifests for problem in _by_schema(one, definitions, unseen)]
    problems += [problem for check in house.checks_of(overlay) for problem in check(manifests)]
    print(f"{overlay}: {len(manifests)} manifests, {len(problems)} wrong")
    return problems


def _by_schema(manifest: Manifest, definitions: schemas.Schemas, unseen: set[str]) -> list[str]:
    key = (manifest["apiVersion"], manifest["kind"])
    if key in definitions:
        return list(schemas.of_definition(manifest, definitions))
    if manifest["apiVersion"].partition("/")[0] in GROUPS_OF_KUBERNETES:
        return list(schemas.of_kubernetes(manifest))
    unseen.add(" ".join(key))
    return []


def main() -> int:
    skipped: list[str] = []
    unseen: set[str] = set()
    problems: list[str] = []
    folder = Path(os.environ.get("CRDS") or ROOT.parent / "shared" / "crds")
    definitions = schemas.read_definitions(folder)
    if builder() is None:
        skipped.append("every overlay: there is neither kustomize (5) nor kubectl (1.30 or newer)")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            overlays = copy_with_secrets(Path(scratch))
            for overlay in OVERLAYS:
                try:
                    problems += [
                        f"{overlay}: {text}" for text in examine(overlay, overlays / overlay, definitions, unseen)
                    ]
                except BuildFailed as error:
                    problems.append(f"{overlay}: it cannot be built: {error}")
    skipped += [f"the fields of {kind}: no definition of it in CRDS={folder}" for kind in sorted(unseen)]
    for problem in problems:
        print(f"WRONG  {problem}")
    for what in skipped:
        print(f"!!! NOT CHECKED !!!  {what}", file=sys.stderr)
    return 1 if problems or (skipped and os.environ.get("STRICT") == "1") else 0


if __name__ == "__main__":
    sys.exit(main())
