"""Finds pods and their containers in manifests of every kind that makes some."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.manifests.building import Manifest

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def pod_template(manifest: Manifest) -> dict[str, Any] | None:
    """Metadata and spec of the pods that ``manifest`` makes; ``None`` when it makes none."""
    found: dict[str, Any] | None = None
    if manifest["kind"] in WORKLOADS:
        found = manifest["spec"]["template"]
    elif manifest["kind"] == "CronJob":
        found = manifest["spec"]["jobTemplate"]["spec"]["template"]
    return found


def workloads(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    for manifest in manifests:
        if (template := pod_template(manifest)) is not None:
            yield manifest, template


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def labels_of(template: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = template.get("metadata", {}).get("labels", {})
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions with In) takes something with ``labels``."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(one["key"]) in one["values"] for one in among
    )


def environment(container: dict[str, Any], manifests: Sequence[Manifest]) -> dict[str, str]:
    """Name to value, from config maps too; a value that a Secret gives is empty."""
    found: dict[str, str] = {}
    maps = {one["metadata"]["name"]: one.get("data", {}) for one in manifests if one["kind"] == "ConfigMap"}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= maps.get(source["configMapRef"]["name"], {})
    found |= {one["name"]: one.get("value", "") for one in container.get("env", [])}
    return found
