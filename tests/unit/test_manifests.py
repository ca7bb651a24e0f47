"""The manifests in deploy/k8s are sound, agree with the code, and would not be believed if they were broken."""

import copy
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.kafka_topics import every_topic
from chassis.relay_process import RelaySettings
from chassis.settings import ProcessSettings
from contracts.jobs import OWNER, TOPIC_OF, Kind, State
from contracts.topics import CANARY
from services.api.settings import ApiSettings
from services.eligibility.settings import EligibilitySettings
from services.exporter.settings import ExporterSettings
from services.maintenance.settings import MaintenanceSettings
from tests.manifests import house, rules, schemas
from tests.manifests.building import (
    DEPLOY,
    OVERLAYS,
    ROOT,
    BuildFailed,
    Manifest,
    build,
    builder,
    copy_with_secrets,
    title,
)
from tests.manifests.pods import containers, environment, labels_of, selects, workloads

OURS: dict[str, type[ProcessSettings]] = {
    "api": ApiSettings,
    "eligibility": EligibilitySettings,
    "exporter": ExporterSettings,
    "maintenance": MaintenanceSettings,
    "relay": RelaySettings,
}
CRDS = Path(os.environ.get("CRDS") or ROOT.parent / "shared" / "crds")
# Read by libraries, or before there are settings.
NO_SETTINGS = {"SECRETS_DIR", "PGSSLMODE", "PGSSLROOTCERT"}
# What a process holds beside its pool at the most: LISTEN, NOTIFY, progress, leases, the sweep's or relay's own session.
BESIDE_POOL = 5

pytestmark = pytest.mark.skipif(
    builder() is None, reason="NOT TESTED: there is neither kustomize nor kubectl to build the manifests with"
)

Built = dict[str, list[Manifest]]


@pytest.fixture(scope="module")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_with_secrets(tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="module")
def built(overlays: Path) -> Built:
    return {name: build(overlays / name) for name in OVERLAYS}


def one(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in manifests if title(each) == f"{kind} {name}")
    return found


def server(manifests: Sequence[Manifest], name: str) -> dict[str, Any]:
    found: dict[str, Any] = one(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", house.IN_PRODUCTION, ids=lambda check: check.__name__)
def test_overlays_are_sound(built: Built, overlay: str, check: house.Check) -> None:
    if check in house.checks_of(overlay):
        assert list(check(built[overlay])) == []


def test_kubernetes_takes_the_kinds_that_are_its_own(built: Built) -> None:
    """Of the local overlay, which has nothing else; the others have these too. All of them: make k8s-validate."""
    kinds: dict[str, Manifest] = {each["kind"]: each for each in built["local"]}
    assert [problem for each in kinds.values() for problem in schemas.of_kubernetes(each)] == []


@pytest.mark.skipif(not CRDS.is_dir(), reason="NOT TESTED: no definitions of custom resources (CRDS=folder)")
def test_operators_take_theirs(built: Built) -> None:
    definitions = schemas.read_definitions(CRDS)
    theirs = [each for each in built["everything"] if (each["apiVersion"], each["kind"]) in definitions]
    assert [problem for each in theirs for problem in schemas.of_definition(each, definitions)] == []
    assert {each["kind"] for each in theirs} == {
        "Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "ScheduledBackup", "Gateway", "HTTPRoute",
        "ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule",
    }  # fmt: skip
    broken = copy.deepcopy(theirs)
    for each in broken:
        each["spec"]["nobodyKnows"] = True
    # Rules are lists of groups; every kind of theirs refuses what it does not know.
    assert all(list(schemas.of_definition(each, definitions)) for each in broken)
    pool = copy.deepcopy(one(theirs, "KafkaNodePool", "nodes"))
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
    ("what", "change", "told"),
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
        ("Job migrate", lambda it: it["metadata"].update(name="other"), "no Job that migrates"),
    ],
    ids=lambda value: value.replace("/", ".") if isinstance(value, str) else "",
)
def test_what_is_broken_is_refused(built: Built, what: str, change: Callable[[Manifest], None], told: str) -> None:
    manifests = copy.deepcopy(built["production"])
    change(one(manifests, *what.split()))
    problems = [problem for check in house.IN_PRODUCTION for problem in check(manifests)]
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("spec/replcias", 3), "replcias"),
        (_set("spec/replicas", "three"), "three"),
        (_set("spec/selector", None), "selector"),
        (_set(f"{POD}/securityContext/runAsUser", "root"), "root"),
    ],
)
def test_kubernetes_own_schemas_refuse(built: Built, change: Callable[[Manifest], None], told: str) -> None:
    manifest = copy.deepcopy(one(built["local"], "Deployment", "relay"))
    change(manifest)
    assert any(told in problem for problem in schemas.of_kubernetes(manifest))


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", OURS)
def test_processes_agree_with_their_settings(built: Built, overlay: str, name: str) -> None:
    manifests, fields = built[overlay], OURS[name].model_fields
    container = server(manifests, name)
    assert container["image"].endswith(f"placewire/{name}:0.1.0")
    assert [port["containerPort"] for port in container["ports"]] == [fields["port"].default]
    known = {field.upper() for each in OURS.values() for field in each.model_fields} | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    names = environment(container, manifests).keys()
    assert {each for each in names if not each.startswith("AWS_")} - known - NO_SETTINGS == set()
    own = {variable["name"].lower() for variable in container.get("env", [])}
    assert own <= fields.keys()
    template = one(manifests, "Deployment", name)["spec"]["template"]
    (secrets,) = (volume for volume in template["spec"]["volumes"] if volume["name"] == "secrets")
    files = [item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
    assert set(files) <= fields.keys(), "each is told its own secrets, and no other's"
    required = {field for field, about in fields.items() if about.is_required()}
    assert required <= set(files) | {each.lower() for each in names}
    keys = [item["key"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
    assert f"{name}_database_url" in keys


@pytest.mark.parametrize("name", ["eligibility", "exporter", "maintenance"])
def test_addresses_are_those_of_the_services(built: Built, name: str) -> None:
    manifests = built["production"]
    port = OURS[name].model_fields["port"].default
    assert environment(server(manifests, "api"), manifests)[f"{name.upper()}_URL"] == f"http://{name}:{port}"
    assert one(manifests, "Service", name)["spec"]["ports"][0]["port"] == port


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_secret_that_is_read_is_made(built: Built, overlay: str) -> None:
    manifests = built[overlay]
    made: dict[str, set[str]] = {}
    for each in manifests:
        if each["kind"] == "Secret":
            made[each["metadata"]["name"]] = set(each["data"])
        if each["kind"] == "ExternalSecret":
            made[each["spec"]["target"]["name"]] = set(each["spec"]["target"]["template"]["data"])
        if each["kind"] == "KafkaUser":
            made[each["metadata"]["name"]] = {"password"}
    # The authorities of the operators.
    made |= {"placewire-postgres-ca": {"ca.crt"}, "placewire-kafka-cluster-ca-cert": {"ca.crt"}}
    for manifest, template in workloads(manifests):
        for volume in template["spec"].get("volumes", []):
            sources = [each["secret"] for each in volume.get("projected", {}).get("sources", [])]
            plain = volume.get("secret")
            for source in [*sources, *([plain] if plain else [])]:
                keys = {item["key"] for item in source["items"]}
                assert keys <= made[source.get("name") or source["secretName"]], title(manifest)


def test_local_secrets_are_not_for_git() -> None:
    file = "deploy/k8s/overlays/local/secrets.env"
    assert file in {line.replace("*", "local") for line in (ROOT / ".gitignore").read_text().splitlines()}
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        ignored = subprocess.run([git, "check-ignore", "--quiet", file], cwd=ROOT, check=False)
        tracked = subprocess.run([git, "ls-files", file], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (ignored.returncode, tracked.stdout) == (0, "")


def test_secrets_are_made_once_and_each_is_another(overlays: Path, tmp_path: Path) -> None:
    lines = (overlays / "local" / "secrets.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert "replace-me" not in "".join(lines)
    words = [values[name] for name in values if name.endswith(("_password", "jwt_secret", "internal_secret"))]
    assert len(set(words)) == len(words) == 8
    for name in OURS:
        assert f":{values[f'placewire_{name}_password']}@" in values[f"{name}_database_url"]
    again = subprocess.run(
        ["python3", str(overlays / "local" / "make_secrets.py")], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_topics_are_those_of_the_contracts(built: Built) -> None:
    declared = {
        each["metadata"]["name"]: (each["spec"]["partitions"], each["spec"]["config"]["retention.ms"])
        for each in built["production"]
        if each["kind"] == "KafkaTopic"
    }
    assert declared == {topic.name: (topic.partitions, topic.retention_ms) for topic in every_topic()}


def test_kafka_users_may_do_what_their_process_does_and_nothing_else(built: Built) -> None:
    for service in set(OWNER.values()):
        acls = one(built["production"], "KafkaUser", f"placewire-{service}")["spec"]["authorization"]["acls"]
        heard = {TOPIC_OF[kind].name for kind, owner in OWNER.items() if owner == service} | {CANARY.name}
        found = {(each["resource"]["type"], each["resource"]["name"], tuple(each["operations"])) for each in acls}
        reads = ("Read", "Describe")
        assert found == {("topic", name, reads) for name in heard} | {("group", f"placewire-{service}", reads)}
        assert all(each["resource"]["patternType"] == "literal" for each in acls)
        variables = {each["name"]: each["value"] for each in server(built["production"], service)["env"]}
        assert variables["KAFKA_SASL_USERNAME"] == f"placewire-{service}"


@pytest.mark.parametrize("name", ["eligibility", "exporter"])
def test_consumers_are_at_most_as_many_as_partitions(built: Built, name: str) -> None:
    scaler = one(built["production"], "ScaledObject", name)["spec"]
    lag, waiting = scaler["triggers"]
    (kind,) = (kind for kind, owner in OWNER.items() if owner == name)
    assert lag["metadata"]["topic"] == TOPIC_OF[kind].name
    assert lag["metadata"]["consumerGroup"] == f"placewire-{name}"
    assert scaler["maxReplicaCount"] == TOPIC_OF[kind].partitions
    words = set(re.findall(r"'(\w+)'", waiting["metadata"]["query"]))
    assert words == {Kind(kind).value, State.QUEUED.value, State.RECEIVED.value, State.RUNNING.value}
    assert "replicas" not in one(built["production"], "Deployment", name)["spec"], "each apply would set it back"
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in built["production"] if each["kind"].startswith("Hor")}
    assert scaled == {"api"}


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_database_has_connections_for_all(built: Built, overlay: str) -> None:
    manifests, needed = built[overlay], 0
    most = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"].get("maxReplicas") or each["spec"].get("maxReplicaCount")
        for each in manifests
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    for name, settings in OURS.items():
        spec = one(manifests, "Deployment", name)["spec"]
        replicas = most.get(name) or spec["replicas"]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        needed += (replicas + surge) * (settings.model_fields["database_pool_size"].default + BESIDE_POOL)
    if overlay == "local":
        arguments = one(manifests, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["args"]
        (given,) = (int(word.partition("=")[2]) for word in arguments if word.startswith("max_connections="))
    else:
        cluster = one(manifests, "Cluster", "placewire-postgres")["spec"]
        given = int(cluster["postgresql"]["parameters"]["max_connections"])
    assert needed <= given - 10, "ten are for superusers, KEDA, and whoever looks"


POSTGRES = ("api", "eligibility", "exporter", "maintenance", "relay", "migrate")
ARROWS = (
    {("api", "eligibility", 5001), ("api", "exporter", 5002), ("api", "maintenance", 5003)}
    | {(name, "postgres", 5432) for name in POSTGRES}
    | {(name, "kafka", "bus") for name in ("eligibility", "exporter", "maintenance", "relay")}
)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_only_the_arrows_of_the_picture_are_allowed(built: Built, overlay: str) -> None:
    """Every pair of pods and every port, as a network that obeys the policies would let it through."""
    manifests = built[overlay]
    bus = 9092 if overlay == "local" else 9093
    pods = {labels_of(template)["app.kubernetes.io/name"]: labels_of(template) for _, template in workloads(manifests)}
    if overlay == "production":
        pods |= {part: {"placewire.dev/part": part} for part in ("postgres", "kafka")}
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    ports = {each.model_fields["port"].default for each in OURS.values()} | {5432, 9092, 9093, 80}
    allowed = {
        (a, b, "bus" if port == bus else port)
        for (a, b), port in itertools.product(itertools.permutations(pods, 2), ports)
        if _passes(policies, "egress", pods[a], pods[b], port) and _passes(policies, "ingress", pods[b], pods[a], port)
    }
    assert allowed == ARROWS


def _passes(policies: list[dict[str, Any]], way: str, pod: dict[str, str], other: dict[str, str], port: int) -> bool:
    mine = [each for each in policies if way.capitalize() in each["policyTypes"] and selects(each["podSelector"], pod)]
    assert mine, "by default nothing passes"
    for rule in itertools.chain.from_iterable(each.get(way, []) for each in mine):
        peers = rule.get("to" if way == "egress" else "from")
        by_peer = peers is None or any(
            "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], other)
            for peer in peers
        )
        if by_peer and ("ports" not in rule or port in {each["port"] for each in rule["ports"]}):
            return True
    return False


def test_rules_are_those_of_prometheus() -> None:
    assert rules.WRITTEN.read_text() == rules.as_manifest(), "make k8s-rules"


def test_every_dashboard_is_there(built: Built) -> None:
    dashboards = {path.name: path.read_text() for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    found: dict[str, str] = {}
    for each in built["production"]:
        if each["metadata"].get("labels", {}).get("grafana_dashboard"):
            found |= each["data"]
    assert found == dashboards != {}


def test_scraped_jobs_have_the_names_that_rules_know(built: Built) -> None:
    for kind, name, key in (("ServiceMonitor", "services", "endpoints"), ("PodMonitor", "relay", "podMetricsEndpoints")):
        (endpoint,) = one(built["production"], kind, name)["spec"][key]
        (change,) = endpoint["relabelings"]
        assert (change["targetLabel"], change["replacement"]) == ("job", "placewire-$1")
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {f"placewire-{name}" for name in OURS} <= {job["job_name"] for job in scraped}


def test_what_cannot_be_built_says_so(overlays: Path) -> None:
    with pytest.raises(BuildFailed, match=r"kustomization"):
        build(overlays)


def test_containers_of_every_kind_are_looked_at(built: Built) -> None:
    kinds = {manifest["kind"] for manifest, template in workloads(built["everything"]) if containers(template)}
    assert kinds == {"Deployment", "Job", "CronJob"}
