"""The manifests in deploy/k8s pass every check, and each check finds a manifest that breaks its rule."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.manifests import house, schemas
from tests.manifests.building import (
    OVERLAYS,
    ROOT,
    BuildFailed,
    Manifest,
    build,
    builder,
    one,
)
from tests.manifests.pods import containers, workloads

CRDS = Path(os.environ.get("CRDS") or ROOT.parent / "shared" / "crds")
pytestmark = pytest.mark.skipif(
    builder() is None, reason="NOT TESTED: there is neither kustomize nor kubectl to build the manifests with"
)

Built = dict[str, list[Manifest]]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", house.IN_PRODUCTION, ids=lambda check: check.__name__)
def test_overlays_pass_every_check(built: Built, overlay: str, check: house.Check) -> None:
    if check in house.checks_of(overlay):
        assert list(check(built[overlay])) == []


def test_kubernetes_schemas_accept_their_kinds(built: Built) -> None:
    """Validate one manifest of each kind of the local overlay. `make k8s-validate` validates all overlays.

    The local overlay has only kinds of Kubernetes itself, and the other overlays use them too.
    """
    kinds: dict[str, Manifest] = {manifest["kind"]: manifest for manifest in built["local"]}
    assert [problem for manifest in kinds.values() for problem in schemas.of_kubernetes(manifest)] == []


@pytest.mark.skipif(not CRDS.is_dir(), reason="NOT TESTED: no definitions of custom resources (CRDS=folder)")
def test_definitions_of_custom_resources_accept_their_kinds(built: Built) -> None:
    definitions = schemas.read_definitions(CRDS)
    custom = [manifest for manifest in built["everything"] if (manifest["apiVersion"], manifest["kind"]) in definitions]
    assert [problem for manifest in custom for problem in schemas.of_definition(manifest, definitions)] == []
    assert {manifest["kind"] for manifest in custom} == {
        "Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "ScheduledBackup", "Gateway", "HTTPRoute",
        "ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule",
    }  # fmt: skip
    broken = copy.deepcopy(custom)
    for manifest in broken:
        manifest["spec"]["unknownField"] = True
    assert all(list(schemas.of_definition(manifest, definitions)) for manifest in broken)
    pool = copy.deepcopy(one(custom, "KafkaNodePool", "nodes"))
    pool["spec"]["replicas"] = "three"
    assert any("'three'" in problem for problem in schemas.of_definition(pool, definitions))


def _set(path: str, value: Any) -> Callable[[Manifest], None]:
    def change(manifest: Manifest) -> None:
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("/"))
        target: Any = manifest
        for part in parents:
            target = target[part]
        if value is None:
            del target[last]
        else:
            target[last] = value

    return change


POD = "spec/template/spec"
SERVER = f"{POD}/containers/0"
LOGIN = "postgresql://placewire_api:hunter2@db/placewire"


@pytest.mark.parametrize(
    ("target", "change", "problem"),
    [
        ("Deployment api", _set(f"{SERVER}/image", "placewire/api:latest"), "pinned image"),
        ("Deployment api", _set(f"{SERVER}/image", "placewire/api"), "pinned image"),
        ("Deployment api", _set(f"{SERVER}/readinessProbe", None), "no readinessProbe"),
        ("Deployment relay", _set(f"{SERVER}/livenessProbe", None), "no livenessProbe"),
        ("Deployment relay", _set(f"{SERVER}/securityContext/readOnlyRootFilesystem", False), "readOnlyRootFilesystem"),
        ("Deployment relay", _set(f"{SERVER}/securityContext/capabilities", None), "capabilities"),
        ("Deployment relay", _set(f"{SERVER}/resources/limits", None), "limit of memory"),
        ("Deployment relay", _set(f"{POD}/securityContext/seccompProfile", None), "seccompProfile"),
        ("Deployment relay", _set(f"{POD}/securityContext/runAsUser", 0), "other than root"),
        ("Deployment relay", _set(f"{POD}/automountServiceAccountToken", None), "automountServiceAccountToken"),
        ("Deployment relay", _set(f"{POD}/hostNetwork", True), "no host"),
        ("Deployment relay", _set(f"{POD}/terminationGracePeriodSeconds", 30), "is less than preStop 5 s"),
        ("Deployment relay", _set(f"{SERVER}/lifecycle", None), "no preStop"),
        ("Deployment relay", _set(f"{POD}/initContainers/0/args", ["--help"]), "does not wait for the migration"),
        ("Deployment relay", _set(f"{POD}/topologySpreadConstraints", None), "topologySpreadConstraints"),
        ("Deployment relay", _set(f"{SERVER}/volumeMounts", []), "no such volume"),
        ("Deployment api", _set(f"{SERVER}/env/0", {"name": "JWT_SECRET", "value": "x" * 40}), "looks like a secret"),
        ("Deployment api", _set(f"{SERVER}/env/0", {"name": "DATABASE_URL", "value": LOGIN}), "looks like a secret"),
        ("Deployment api", _set(f"{SERVER}/env/0", {"name": "STORAGE_URL", "value": "file:///tmp"}), "not shared"),
        ("Service exporter", _set("spec/selector", {"app.kubernetes.io/name": "exports"}), "matches no pod"),
        ("Service exporter", _set("spec/ports/0/targetPort", "web"), "no pod has the port web"),
        ("PodDisruptionBudget api", _set("spec/selector/matchLabels", {"app": "api"}), "matches no pod"),
        ("ScaledObject exporter", _set("spec/scaleTargetRef/name", "exports"), "no Deployment exports"),
        ("ServiceMonitor services", _set("spec/selector", {"matchLabels": {"a": "b"}}), "matches no Service"),
        ("HTTPRoute api", _set("spec/rules/0/backendRefs/0/name", "web"), "no Service web"),
        ("ServiceAccount api", lambda it: it.update(kind="Secret", data={"a": "Yg=="}), "a Secret with its content"),
        (
            "ExternalSecret placewire-secrets",
            _set("spec/target/template/data/jwt_secret_previous", '{{ get . "jwt_secret_previous" }}'),
            "takes no map of strings",
        ),
        ("Job migrate", lambda it: it["metadata"].update(name="other"), "no Job that migrates"),
    ],
    ids=lambda value: value.replace("/", ".") if isinstance(value, str) else "",
)
def test_a_broken_manifest_is_reported(
    built: Built, target: str, change: Callable[[Manifest], None], problem: str
) -> None:
    manifests = copy.deepcopy(built["everything"])
    change(one(manifests, *target.split()))
    problems = [problem for check in house.IN_PRODUCTION for problem in check(manifests)]
    assert any(problem in reported for reported in problems), problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set("spec/replcias", 3), "replcias"),
        (_set("spec/replicas", "three"), "three"),
        (_set("spec/selector", None), "selector"),
        (_set(f"{POD}/securityContext/runAsUser", "root"), "root"),
    ],
)
def test_kubernetes_schemas_report_a_wrong_field(
    built: Built, change: Callable[[Manifest], None], problem: str
) -> None:
    manifest = copy.deepcopy(one(built["local"], "Deployment", "relay"))
    change(manifest)
    assert any(problem in reported for reported in schemas.of_kubernetes(manifest))


def test_a_failed_build_names_the_cause(overlays: Path) -> None:
    with pytest.raises(BuildFailed, match=r"kustomization"):
        build(overlays)


def test_containers_of_every_kind_are_checked(built: Built) -> None:
    kinds = {manifest["kind"] for manifest, template in workloads(built["everything"]) if containers(template)}
    assert kinds == {"Deployment", "Job", "CronJob"}
