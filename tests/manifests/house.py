"""What we ask of manifests beyond their schemas. A check takes those of an overlay, and yields what is wrong."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.manifests.building import Manifest, title
from tests.manifests.pods import containers, environment, labels_of, selects, workloads

# The image writes its settings into itself when it starts; only `local` has it.
WRITES_TO_ITSELF = {"kafka"}
# Calls the API only.
WITHOUT_DATABASE = {"console"}
# Of an External Secrets template, whose data are a map of strings: sprig's functions of maps take none such.
OF_OTHER_MAPS = re.compile(r"\{\{[^}]*\b(get|hasKey|dig|keys|values|pick|omit|set|unset|pluck)\s")
PINNED = re.compile(r"^[^:@]+(:[0-9]+/[^:@]+)?(:v?[0-9][\w.-]*|@sha256:[0-9a-f]{64})$")
SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY)$")
LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")
# preStop and SHUTDOWN_GRACE_S, and so long for closing what is open.
TO_SPARE_S = 5
SHUTDOWN_GRACE_S = 25.0

REFERRED_TO = ("Deployment", "Service")
SELECT_PODS = ("PodDisruptionBudget", "PodMonitor", "Deployment", "StatefulSet")

Check = Callable[[Sequence[Manifest]], Iterator[str]]


def confined(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Pod security `restricted`, and more: nothing written but to volumes, no token, no variables made of Services."""
    for manifest, template in workloads(manifests):
        spec = template["spec"]
        pod = spec.get("securityContext", {})
        expected = {
            "runAsNonRoot": pod.get("runAsNonRoot") is True,
            "a user other than root": pod.get("runAsUser", 0) > 0,
            "seccompProfile RuntimeDefault": pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "automountServiceAccountToken: false": spec.get("automountServiceAccountToken") is False,
            "enableServiceLinks: false": spec.get("enableServiceLinks") is False,
            "no host": not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
            "no hostPath": not any("hostPath" in volume for volume in spec.get("volumes", [])),
        }
        yield from (f"{title(manifest)}: it lacks {what}" for what, there in expected.items() if not there)
        for container in containers(template):
            yield from (f"{title(manifest)}: {container['name']} lacks {what}" for what in _lacking(container))


def _lacking(container: dict[str, Any]) -> list[str]:
    context = container.get("securityContext", {})
    resources = container.get("resources", {})
    expected = {
        "allowPrivilegeEscalation: false": context.get("allowPrivilegeEscalation") is False,
        "capabilities drop ALL": context.get("capabilities") == {"drop": ["ALL"]},
        "readOnlyRootFilesystem": context.get("readOnlyRootFilesystem") is True
        or container["name"] in WRITES_TO_ITSELF,
        "no privileges": not context.get("privileged"),
        "no root": context.get("runAsUser", 1) > 0,
        "requests of cpu and memory": resources.get("requests", {}).keys() >= {"cpu", "memory"},
        "a limit of memory": "memory" in resources.get("limits", {}),
        "a pinned image": bool(PINNED.match(container["image"])),
    }
    return [what for what, there in expected.items() if not there]


def watched(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Probes of what runs on; for Deployments also spread, a disruption budget, and time to finish work in hand."""
    budgets = [one["spec"]["selector"] for one in manifests if one["kind"] == "PodDisruptionBudget"]
    for manifest, template in workloads(manifests):
        if manifest["kind"] in ("Job", "CronJob"):
            continue
        for container in template["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{title(manifest)}: {container['name']} has no {probe}"
        if manifest["kind"] != "Deployment":
            continue
        if not any(selects(selector, labels_of(template)) for selector in budgets):
            yield f"{title(manifest)}: no PodDisruptionBudget selects it"
        if not template["spec"].get("topologySpreadConstraints"):
            yield f"{title(manifest)}: it has no topologySpreadConstraints"
        yield from _time_to_finish(manifest, template["spec"], manifests)


def _time_to_finish(manifest: Manifest, spec: dict[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    given_s = spec.get("terminationGracePeriodSeconds", 30)
    for container in spec["containers"]:
        pause_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
        if pause_s is None:
            yield f"{title(manifest)}: {container['name']} has no preStop"
            continue
        grace_s = float(environment(container, manifests).get("SHUTDOWN_GRACE_S", SHUTDOWN_GRACE_S))
        if given_s < pause_s + grace_s + TO_SPARE_S:
            yield (
                f"{title(manifest)}: terminationGracePeriodSeconds {given_s} is less than preStop {pause_s} s,"
                f" SHUTDOWN_GRACE_S {grace_s:g} s and {TO_SPARE_S} s"
            )


def gated(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No process of ours starts before the database is at its revision, and something brings it there."""
    if not any(one["kind"] == "Job" and one["metadata"]["name"] == "migrate" for one in manifests):
        yield "there is no Job that migrates"
    for manifest, template in workloads(manifests):
        if manifest["metadata"]["name"] in WITHOUT_DATABASE:
            continue
        first = template["spec"].get("initContainers", [{}])[0].get("args", [])
        if manifest["kind"] == "Deployment" and first[:2] != ["migrate", "--wait"]:
            yield f"{title(manifest)}: it does not wait for the migration"


def connected(manifests: Sequence[Manifest]) -> Iterator[str]:
    """What selects finds something, and what refers to something is answered."""
    templates = [template for _, template in workloads(manifests)]
    services = [one for one in manifests if one["kind"] == "Service"]
    names = {kind: {one["metadata"]["name"] for one in manifests if one["kind"] == kind} for kind in REFERRED_TO}
    for one in manifests:
        kind, spec = one["kind"], one.get("spec", {})
        if kind == "Service":
            yield from _served(one, templates)
        elif kind == "ServiceMonitor":
            if not any(selects(spec["selector"], each["metadata"].get("labels", {})) for each in services):
                yield f"{title(one)}: its selector matches no Service"
        elif kind in SELECT_PODS and not any(selects(spec["selector"], labels_of(each)) for each in templates):
            yield f"{title(one)}: its selector matches no pod"
        elif kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            yield from _missing(one, "Deployment", {spec["scaleTargetRef"]["name"]} - names["Deployment"])
        elif kind == "HTTPRoute":
            backends = {each["name"] for rule in spec["rules"] for each in rule.get("backendRefs", [])}
            yield from _missing(one, "Service", backends - names["Service"])


def _missing(manifest: Manifest, kind: str, names: set[str]) -> Iterator[str]:
    yield from (f"{title(manifest)}: there is no {kind} {name}" for name in sorted(names))


def _served(service: Manifest, templates: Sequence[dict[str, Any]]) -> Iterator[str]:
    spec = service["spec"]
    found = [each for each in templates if selects({"matchLabels": spec["selector"]}, labels_of(each))]
    ports = {port["name"] for each in found for box in containers(each) for port in box.get("ports", [])}
    wanted = {port["targetPort"] for port in spec["ports"]}
    if not found:
        yield f"{title(service)}: its selector matches no pod"
    elif not wanted <= ports:
        yield f"{title(service)}: no pod has the port {', '.join(sorted(map(str, wanted - ports)))}"


def discreet(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No secret stands in a manifest: not as a Secret, not as a variable, not in an address."""
    for one in manifests:
        if one["kind"] == "Secret" and (one.get("data") or one.get("stringData")):
            yield f"{title(one)}: a Secret with its content"
        if one["kind"] == "ConfigMap":
            for name, value in one.get("data", {}).items():
                if SECRET_NAME.search(name.upper()) or LOGIN.search(value):
                    yield f"{title(one)}: {name} looks like a secret"
    for manifest, template in workloads(manifests):
        for container in containers(template):
            for variable in container.get("env", []):
                value = variable.get("value", "")
                if value and (SECRET_NAME.search(variable["name"]) or LOGIN.search(value)):
                    yield f"{title(manifest)}: the variable {variable['name']} looks like a secret"


def shared_storage(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Files go where every pod finds them: into a bucket."""
    for manifest, template in workloads(manifests):
        if "placewire.dev/needs-storage" not in labels_of(template):
            continue
        for container in template["spec"]["containers"]:
            url = environment(container, manifests).get("STORAGE_URL", "")
            if not re.match(r"(s3|gs|az)://.", url):
                yield f"{title(manifest)}: STORAGE_URL is {url or 'not set'}: a path is not shared between pods"


def trusting(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A file that a setting names is mounted in every container that reads that setting."""
    for manifest, template in workloads(manifests):
        for container in containers(template):
            mounted = [one["mountPath"] for one in container.get("volumeMounts", [])]
            for name, value in environment(container, manifests).items():
                if name == "PGSSLROOTCERT" and manifest["metadata"]["name"] in WITHOUT_DATABASE:
                    continue
                named = name in ("PGSSLROOTCERT", "SECRETS_DIR") or (
                    name == "KAFKA_SSL_CA_FILE" and "placewire.dev/needs-kafka" in labels_of(template)
                    and container["name"] in ("server", "command")
                )  # fmt: skip
                if named and not any(value == path or value.startswith(f"{path}/") for path in mounted):
                    yield f"{title(manifest)}: {container['name']} has {name}={value}, and no such volume"


def rendered(manifests: Sequence[Manifest]) -> Iterator[str]:
    """No template of a Secret calls what cannot take its data: the Secret would never be made."""
    for one in manifests:
        if one["kind"] != "ExternalSecret":
            continue
        for key, template in one["spec"]["target"].get("template", {}).get("data", {}).items():
            if found := OF_OTHER_MAPS.search(template):
                yield f"{title(one)}: {key} calls {found[1]}, which takes no map of strings; use index"


EVERYWHERE: tuple[Check, ...] = (confined, watched, gated, connected, trusting)
# `local` has its secrets from a file that git ignores, and its files in a folder.
IN_PRODUCTION: tuple[Check, ...] = (*EVERYWHERE, discreet, shared_storage, rendered)


def checks_of(overlay: str) -> tuple[Check, ...]:
    return EVERYWHERE if overlay == "local" else IN_PRODUCTION
