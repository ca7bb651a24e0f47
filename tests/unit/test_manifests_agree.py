"""The manifests in deploy/k8s agree with the code, with each other, and with the picture in the README."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.messaging.topics import every_topic
from contracts.jobs import OWNER, TOPIC_OF, Service, State
from contracts.topics import PROBE
from services.api.http.client_address import networks
from tests.manifests import rules, schemas
from tests.manifests.building import DEPLOY, OVERLAYS, ROOT, Manifest, builder, one, title
from tests.manifests.pods import environment, labels_of, selects, workloads
from tests.support.service_settings import OURS

# Read by libraries, or before there are settings.
NO_SETTINGS = {"SECRETS_DIR", "PGSSLMODE", "PGSSLROOTCERT"}
# What a process holds beside its pool at most: LISTEN, NOTIFY, progress, the relay's own session.
BESIDE_POOL = 5

pytestmark = pytest.mark.skipif(
    builder() is None, reason="NOT TESTED: there is neither kustomize nor kubectl to build the manifests with"
)

Built = dict[str, list[Manifest]]


def server(manifests: Sequence[Manifest], name: str) -> dict[str, Any]:
    found: dict[str, Any] = one(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return found


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
    assert set(files) <= fields.keys(), "each gets its own secrets, and no other's"
    required = {field for field, about in fields.items() if about.is_required()}
    assert required <= set(files) | {each.lower() for each in names}
    keys = [item["key"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
    assert (f"{name}_database_url" in keys) == ("database_url" in fields)


@pytest.mark.parametrize("name", ["eligibility", "exporter", "maintenance"])
def test_addresses_are_those_of_the_services(built: Built, name: str) -> None:
    manifests = built["production"]
    port = OURS[name].model_fields["port"].default
    assert environment(server(manifests, "api"), manifests)[f"{name.upper()}_URL"] == f"http://{name}:{port}"
    assert one(manifests, "Service", name)["spec"]["ports"][0]["port"] == port


@pytest.mark.parametrize("overlay", ["local", "everything"])
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


def test_by_hand_the_same_secrets_are_made(built: Built) -> None:
    """The examples in production have what External Secrets would bring."""
    for file, name in (("secrets", "placewire-secrets"), ("owner", "placewire-postgres-owner")):
        lines = (DEPLOY / "k8s" / "overlays" / "production" / f"{file}.env.example").read_text().splitlines()
        by_hand = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        template = one(built["everything"], "ExternalSecret", name)["spec"]["target"]["template"]["data"]
        word = re.compile(r"replace-me-[a-z-]+|\{\{.*?\}\}")
        assert {key: word.sub("*", value) or "*" for key, value in by_hand.items()} == {
            key: word.sub("*", value) for key, value in template.items()
        }


def test_production_needs_no_operator_that_has_no_definition_here(built: Built) -> None:
    """`kubectl apply` fails for a kind that the API server does not know."""
    kinds = {each["kind"] for each in built["production"]}
    assert "ExternalSecret" not in kinds
    assert "ExternalSecret" in {each["kind"] for each in built["everything"]}
    text = (ROOT / "docs" / "deployment.md").read_text()
    theirs = [each for each in built["everything"] if each["kind"] == "ExternalSecret"]
    for each in theirs:
        target = each["spec"]["target"]
        assert f"`{target['name']}`" in text
    for name in ("placewire-storage", "placewire-backup"):
        keys = one(theirs, "ExternalSecret", name)["spec"]["target"]["template"]["data"]
        assert all(f"`{key}`" in text for key in keys)


@pytest.mark.parametrize(
    "file", [f"deploy/k8s/overlays/{name}.env" for name in ("local/secrets", "production/secrets", "production/owner")]
)
def test_secrets_are_not_for_git(file: str) -> None:
    folder = file.split("/")[3]
    assert file in {line.replace("*", folder) for line in (ROOT / ".gitignore").read_text().splitlines()}
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        ignored = subprocess.run([git, "check-ignore", "--quiet", file], cwd=ROOT, check=False)
        tracked = subprocess.run([git, "ls-files", file], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (ignored.returncode, tracked.stdout) == (0, "")


def test_secrets_are_made_once_and_each_is_another(overlays: Path, tmp_path: Path) -> None:
    lines = (overlays / "local" / "secrets.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert "replace-me" not in "".join(lines)
    words = [
        values[name]
        for name in values
        if name.endswith(("_password", "jwt_secret", "internal_secret", "console_secret"))
    ]
    assert len(set(words)) == len(words) == 9
    for name in OURS.keys() - {"console"}:
        assert f":{values[f'placewire_{name}_password']}@" in values[f"{name}_database_url"]
    again = subprocess.run(["python3", str(overlays / "make_secrets.py")], capture_output=True, text=True, check=False)
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
        heard = {TOPIC_OF[kind].name for kind, owner in OWNER.items() if owner == service} | {PROBE.name}
        found = {(each["resource"]["type"], each["resource"]["name"], tuple(each["operations"])) for each in acls}
        reads = ("Read", "Describe")
        assert found == {("topic", name, reads) for name in heard} | {("group", f"placewire-{service}", reads)}
        assert all(each["resource"]["patternType"] == "literal" for each in acls)
        variables = {each["name"]: each["value"] for each in server(built["production"], service)["env"]}
        assert variables["KAFKA_SASL_USERNAME"] == f"placewire-{service}"


def operators_pod(manifests: Sequence[Manifest]) -> dict[str, Any]:
    found: dict[str, Any] = one(manifests, "CronJob", "operator")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_operator_has_everything_the_doctor_checks(built: Built, overlay: str) -> None:
    manifests = built[overlay]
    assert one(manifests, "CronJob", "operator")["spec"]["suspend"] is True
    pod = operators_pod(manifests)
    (container,) = pod["containers"]
    assert container["args"] == ["doctor", "--queue"]
    (secrets,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
    files = {item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]}
    assert files >= {"database_url", "migration_database_url", "jwt_secret", "internal_secret"}
    assert {"STORAGE_URL", "KAFKA_BOOTSTRAP_SERVERS"} <= environment(container, manifests).keys()
    if overlay == "local":
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert environment(container, manifests)["STORAGE_URL"].removeprefix("file://") in mounts
        return
    assert any("secretRef" in source for source in container["envFrom"])
    assert "kafka_sasl_password" in files
    user = one(manifests, "KafkaUser", environment(container, manifests)["KAFKA_SASL_USERNAME"])
    (acl,) = user["spec"]["authorization"]["acls"]
    assert (acl["resource"]["type"], acl["operations"]) == ("topic", ["Describe", "DescribeConfigs"])


@pytest.mark.skipif(not shutil.which("kubectl"), reason="NOT TESTED: there is no kubectl")
def test_the_job_by_hand_becomes_one_to_enter(built: Built, tmp_path: Path) -> None:
    """The patch in the document, on the Job that `kubectl create job --from=cronjob/operator` makes."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    (patch,) = re.findall(r"--patch '([^']+)'", text)
    template = one(built["production"], "CronJob", "operator")["spec"]["jobTemplate"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "by-hand"}, **template}
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    command = ["kubectl", "patch", "--local", "--filename", str(file), "--type=json", "--patch", patch, "--output=yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    container = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container.get("args")) == (["sleep", "3600"], None)


@pytest.mark.parametrize("name", ["eligibility", "exporter"])
def test_workers_scale_on_queued_jobs_and_their_age(built: Built, name: str) -> None:
    """The queries themselves are run by ``integration/test_scaler_queries.py``."""
    scaler = one(built["production"], "ScaledObject", name)["spec"]
    assert [(trigger["type"], trigger["name"]) for trigger in scaler["triggers"]] == [
        ("postgresql", "queued"),
        ("postgresql", "age"),
    ]
    for trigger in scaler["triggers"]:
        words = set(re.findall(r"'(\w+)'", trigger["metadata"]["query"]))
        assert words == {Service(name).value, State.QUEUED.value}
        login = one(built["production"], "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
        assert [each["key"] for each in login["secretTargetRef"]] == [f"{name}_database_url"]
    assert "replicas" not in one(built["production"], "Deployment", name)["spec"], "each apply would set it back"
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in built["production"] if each["kind"].startswith("Hor")}
    assert scaled == {"api"}


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_database_has_connections_for_all(built: Built, overlay: str) -> None:
    manifests, needed = built[overlay], 0
    limit = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"].get("maxReplicas") or each["spec"].get("maxReplicaCount")
        for each in manifests
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    for name, settings in OURS.items():
        if "database_pool_size" not in settings.model_fields:
            continue
        spec = one(manifests, "Deployment", name)["spec"]
        replicas = limit.get(name) or spec["replicas"]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        needed += (replicas + surge) * (settings.model_fields["database_pool_size"].default + BESIDE_POOL)
    if overlay == "local":
        arguments = one(manifests, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["args"]
        (given,) = (int(word.partition("=")[2]) for word in arguments if word.startswith("max_connections="))
    else:
        cluster = one(manifests, "Cluster", "placewire-postgres")["spec"]
        given = int(cluster["postgresql"]["parameters"]["max_connections"])
    assert needed <= given - 10, "ten are for superusers, KEDA, and people who look"


# What the system's pods request in a cluster of kubeadm or kind: etcd 100m, API server 250m, controllers 200m,
# scheduler 100m, two of CoreDNS 200m, network plugin 100m.
SYSTEM_MILLICPU = 950
SMALLEST_NODE_MILLICPU = 2000


def test_the_local_overlay_fits_a_node_of_two_processors(built: Built) -> None:
    """Everything at its largest, with the migration, and the pod that a rollout adds before it removes one."""
    manifests = built["local"]
    at_most = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicas"]
        for each in manifests
        if each["kind"] == "HorizontalPodAutoscaler"
    }
    requested, surges = 0, []
    for manifest, template in workloads(manifests):
        name, pod = manifest["metadata"]["name"], requested_millicpu(template)
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            requested += pod * at_most.get(name, manifest["spec"].get("replicas", 1))
        elif manifest["kind"] == "Job":
            requested += pod
        if manifest["kind"] == "Deployment":
            surges.append(pod * manifest["spec"]["strategy"]["rollingUpdate"]["maxSurge"])
    assert at_most == {"api": 2}, "the API can get a second replica"
    # Rollouts that start together take turns: a pod that does not fit waits until another rollout has removed one.
    assert requested + max(surges) <= SMALLEST_NODE_MILLICPU - SYSTEM_MILLICPU


def requested_millicpu(template: dict[str, Any]) -> int:
    """What the scheduler reserves for a pod: its containers together, or its largest init container."""
    running, first = (
        [millicpu(each["resources"]["requests"]["cpu"]) for each in template["spec"].get(kind, [])]
        for kind in ("containers", "initContainers")
    )
    return max(sum(running), *first, 0)


def millicpu(quantity: str | int) -> int:
    text = str(quantity)
    return int(text.removesuffix("m")) if text.endswith("m") else round(float(text) * 1000)


# As CloudNativePG labels them: instances also inherit what the Cluster says, pods of its jobs do not.
JOB = {"cnpg.io/cluster": "placewire-postgres", "cnpg.io/jobRole": "join"}
INSTANCE = {"cnpg.io/cluster": "placewire-postgres", "placewire.dev/part": "postgres"}
POSTGRES = ("api", "eligibility", "exporter", "maintenance", "relay", "migrate", "operator")
ARROWS = (
    {("console", "api", 5000), ("api", "eligibility", 5001), ("api", "exporter", 5002), ("api", "maintenance", 5003)}
    | {(name, "postgres", 5432) for name in POSTGRES}
    | {(name, "kafka", "bus") for name in ("eligibility", "exporter", "maintenance", "relay", "operator")}
)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_only_the_arrows_of_the_picture_are_allowed(built: Built, overlay: str) -> None:
    """Every pair of pods and every port, as a network that obeys the policies would let it through."""
    manifests = built[overlay]
    bus = 9092 if overlay == "local" else 9093
    pods = {labels_of(template)["app.kubernetes.io/name"]: labels_of(template) for _, template in workloads(manifests)}
    if overlay == "production":
        pods |= {"postgres": INSTANCE, "kafka": {"placewire.dev/part": "kafka"}}
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    ports = {each.model_fields["port"].default for each in OURS.values()} | {5432, 9092, 9093, 80}
    allowed = {
        (a, b, "bus" if port == bus else port)
        for (a, b), port in itertools.product(itertools.permutations(pods, 2), ports)
        if _passes(policies, "egress", pods[a], pods[b], port) and _passes(policies, "ingress", pods[b], pods[a], port)
    }
    assert allowed == ARROWS


def test_the_jobs_that_make_an_instance_are_let_through(built: Built) -> None:
    manifests = built["production"]
    cluster = one(manifests, "Cluster", INSTANCE["cnpg.io/cluster"])
    assert cluster["spec"]["inheritedMetadata"]["labels"].items() >= INSTANCE.items() - JOB.items()
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    assert _passes(policies, "egress", JOB, INSTANCE, 5432), "a copy is made of another instance"
    assert _passes(policies, "ingress", INSTANCE, JOB, 5432)
    assert _passes(policies, "egress", JOB, {}, 6443), "it asks the Kubernetes API for its cluster"
    assert not _passes(policies, "egress", JOB, {}, 5000)


def test_a_gateway_beside_its_gateway_reaches_the_api_alone(built: Built) -> None:
    """Some put the pods of a Gateway into its namespace: there the default deny would hold for them."""
    manifests = built["production"]
    beside = {"gateway.networking.k8s.io/gateway-name": one(manifests, "Gateway", "placewire")["metadata"]["name"]}
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    api = {"app.kubernetes.io/name": "api"}
    assert _passes(policies, "egress", beside, api, 5000)
    assert _passes(policies, "ingress", api, beside, 5000)
    assert _passes(policies, "ingress", beside, {}, 8443)
    assert not _passes(policies, "egress", beside, INSTANCE, 5432)
    assert not _passes(policies, "ingress", {"app.kubernetes.io/name": "exporter"}, beside, 5002)


def test_the_rules_for_an_identity_of_the_cloud_are_ready() -> None:
    """Those that stand commented out beside the one that keeps pods from the addresses of the node."""
    text = (DEPLOY / "k8s" / "overlays" / "production" / "storage.yaml").read_text()
    policy = yaml.safe_load(text.replace("    # - {", "    - {"))
    assert list(schemas.of_kubernetes(policy)) == []
    opened = [each["to"][0]["ipBlock"]["cidr"] for each in policy["spec"]["egress"][1:]]
    assert {"169.254.170.23/32", "169.254.169.254/32"} <= set(opened)
    assert len(yaml.safe_load(text)["spec"]["egress"]) == 1


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
    for kind, name, key in (
        ("ServiceMonitor", "services", "endpoints"),
        ("PodMonitor", "relay", "podMetricsEndpoints"),
    ):
        (endpoint,) = one(built["production"], kind, name)["spec"][key]
        (change,) = endpoint["relabelings"]
        assert (change["targetLabel"], change["replacement"]) == ("job", "placewire-$1")
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {f"placewire-{name}" for name in OURS} <= {job["job_name"] for job in scraped}


def test_the_api_believes_the_gateway_where_there_is_one(built: Built) -> None:
    """Pods and nothing else: a program that can connect from a trusted address can claim to be any client."""
    for manifests in built.values():
        has_gateway = any(manifest["kind"] == "Gateway" for manifest in manifests)
        trusted = networks(environment(server(manifests, "api"), manifests)["TRUSTED_PROXIES"])
        assert bool(trusted) is has_gateway
        assert all(network.is_private and network.prefixlen >= 12 for network in trusted)
