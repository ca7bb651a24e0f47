"""Writes the PrometheusRule of deploy/prometheus/rules: ``python -m tests.manifests.rules``."""

import yaml

from tests.manifests.building import DEPLOY

HEAD = "# Made of deploy/prometheus/rules by `make k8s-rules`; a test compares. Changes belong there.\n"
WRITTEN = DEPLOY / "k8s" / "components" / "monitoring" / "rules.yaml"


def as_manifest() -> str:
    """The text of the one manifest with every group of rules."""
    groups = []
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "placewire", "labels": {"app.kubernetes.io/part-of": "placewire"}},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.safe_dump(manifest, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    WRITTEN.write_text(as_manifest())
