"""The manifests in deploy/k8s agree with the code, with each other, and with the diagram in the README."""

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

# Libraries read these variables, or code that runs before the settings are loaded.
NO_SETTINGS = {"SECRETS_DIR", "PGSSLMODE", "PGSSLROOTCERT"}
# The most connections of a process outside of its pool: LISTEN, NOTIFY, progress, the relay's own session.
CONNECTIONS_OUTSIDE_POOL = 5

pytestmark = pytest.mark.skipif(
    builder() is None, reason="NOT TESTED: there is neither kustomize nor kubectl to build the manifests with"
)

Built = dict[str, list[Manifest]]


def server(manifests: Sequence[Manifest], name: str) -> dict[str, Any]:
    container: dict[str, Any] = one(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", OURS)
def test_processes_agree_with_their_settings(built: Built, overlay: str, name: str) -> None:
    manifests, fields = built[overlay], OURS[name].model_fields
    container = server(manifests, name)
    assert container["image"].endswith(f"placewire/{name}:0.1.0")
    assert [port["containerPort"] for port in container["ports"]] == [fields["port"].default]
    known = {field.upper() for settings in OURS.values() for field in settings.model_fields}
    known.add("OTEL_EXPORTER_OTLP_ENDPOINT")
    names = environment(container, manifests).keys()
    assert {variable for variable in names if not variable.startswith("AWS_")} - known - NO_SETTINGS == set()
    own = {variable["name"].lower() for variable in container.get("env", [])}
    assert own <= fields.keys()
    template = one(manifests, "Deployment", name)["spec"]["template"]
    (secrets,) = (volume for volume in template["spec"]["volumes"] if volume["name"] == "secrets")
    files = [item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
    assert set(files) <= fields.keys(), "a process gets only its own secrets"
    required = {field for field, about in fields.items() if about.is_required()}
    assert required <= set(files) | {name_.lower() for name_ in names}
    keys = [item["key"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]]
    assert (f"{name}_database_url" in keys) == ("database_url" in fields)


@pytest.mark.parametrize("name", ["eligibility", "exporter", "maintenance"])
def test_addresses_are_those_of_the_services(built: Built, name: str) -> None:
    manifests = built["production"]
    port = OURS[name].model_fields["port"].default
    assert environment(server(manifests, "api"), manifests)[f"{name.upper()}_URL"] == f"http://{name}:{port}"
    assert one(manifests, "Service", name)["spec"]["ports"][0]["port"] == port


@pytest.mark.parametrize("overlay", ["local", "everything"])
def test_each_secret_that_is_mounted_exists(built: Built, overlay: str) -> None:
    manifests = built[overlay]
    keys_of_secret: dict[str, set[str]] = {}
    for resource in manifests:
        if resource["kind"] == "Secret":
            keys_of_secret[resource["metadata"]["name"]] = set(resource["data"])
        if resource["kind"] == "ExternalSecret":
            keys_of_secret[resource["spec"]["target"]["name"]] = set(resource["spec"]["target"]["template"]["data"])
        if resource["kind"] == "KafkaUser":
            keys_of_secret[resource["metadata"]["name"]] = {"password"}
    # The operators create these secrets, with their certificate authorities.
    keys_of_secret |= {"placewire-postgres-ca": {"ca.crt"}, "placewire-kafka-cluster-ca-cert": {"ca.crt"}}
    for manifest, template in workloads(manifests):
        for volume in template["spec"].get("volumes", []):
            sources = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
            plain = volume.get("secret")
            for source in [*sources, *([plain] if plain else [])]:
                keys = {item["key"] for item in source["items"]}
                assert keys <= keys_of_secret[source.get("name") or source["secretName"]], title(manifest)


def test_example_files_and_external_secrets_have_the_same_keys(built: Built) -> None:
    """The example files of the production overlay have the keys that External Secrets would create."""
    for file, name in (("secrets", "placewire-secrets"), ("owner", "placewire-postgres-owner")):
        lines = (DEPLOY / "k8s" / "overlays" / "production" / f"{file}.env.example").read_text().splitlines()
        from_example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        template = one(built["everything"], "ExternalSecret", name)["spec"]["target"]["template"]["data"]
        word = re.compile(r"replace-me-[a-z-]+|\{\{.*?\}\}")
        assert {key: word.sub("*", value) or "*" for key, value in from_example.items()} == {
            key: word.sub("*", value) for key, value in template.items()
        }


def test_production_needs_no_external_secrets_operator(built: Built) -> None:
    """`kubectl apply` fails for a kind that the API server does not know."""
    kinds = {manifest["kind"] for manifest in built["production"]}
    assert "ExternalSecret" not in kinds
    assert "ExternalSecret" in {manifest["kind"] for manifest in built["everything"]}
    text = (ROOT / "docs" / "deployment.md").read_text()
    external_secrets = [manifest for manifest in built["everything"] if manifest["kind"] == "ExternalSecret"]
    for manifest in external_secrets:
        target = manifest["spec"]["target"]
        assert f"`{target['name']}`" in text
    for name in ("placewire-storage", "placewire-backup"):
        keys = one(external_secrets, "ExternalSecret", name)["spec"]["target"]["template"]["data"]
        assert all(f"`{key}`" in text for key in keys)


@pytest.mark.parametrize(
    "file", [f"deploy/k8s/overlays/{name}.env" for name in ("local/secrets", "production/secrets", "production/owner")]
)
def test_git_ignores_secret_files(file: str) -> None:
    folder = file.split("/")[3]
    assert file in {line.replace("*", folder) for line in (ROOT / ".gitignore").read_text().splitlines()}
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        ignored = subprocess.run([git, "check-ignore", "--quiet", file], cwd=ROOT, check=False)
        tracked = subprocess.run([git, "ls-files", file], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (ignored.returncode, tracked.stdout) == (0, "")


def test_each_generated_secret_is_unique_and_never_replaced(overlays: Path, tmp_path: Path) -> None:
    lines = (overlays / "local" / "secrets.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert "replace-me" not in "".join(lines)
    passwords = [
        values[name]
        for name in values
        if name.endswith(("_password", "jwt_secret", "internal_secret", "console_secret"))
    ]
    assert len(set(passwords)) == len(passwords) == 9
    for name in OURS.keys() - {"console"}:
        assert f":{values[f'placewire_{name}_password']}@" in values[f"{name}_database_url"]
    again = subprocess.run(["python3", str(overlays / "make_secrets.py")], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_declared_topics_agree_with_the_contracts(built: Built) -> None:
    declared = {
        manifest["metadata"]["name"]: (manifest["spec"]["partitions"], manifest["spec"]["config"]["retention.ms"])
        for manifest in built["production"]
        if manifest["kind"] == "KafkaTopic"
    }
    assert declared == {topic.name: (topic.partitions, topic.retention_ms) for topic in every_topic()}


def test_a_kafka_user_may_only_read_the_topics_of_its_process(built: Built) -> None:
    for service in set(OWNER.values()):
        acls = one(built["production"], "KafkaUser", f"placewire-{service}")["spec"]["authorization"]["acls"]
        topics = {TOPIC_OF[kind].name for kind, owner in OWNER.items() if owner == service} | {PROBE.name}
        granted = {(acl["resource"]["type"], acl["resource"]["name"], tuple(acl["operations"])) for acl in acls}
        reads = ("Read", "Describe")
        assert granted == {("topic", name, reads) for name in topics} | {("group", f"placewire-{service}", reads)}
        assert all(acl["resource"]["patternType"] == "literal" for acl in acls)
        variables = {variable["name"]: variable["value"] for variable in server(built["production"], service)["env"]}
        assert variables["KAFKA_SASL_USERNAME"] == f"placewire-{service}"


def operator_pod(manifests: Sequence[Manifest]) -> dict[str, Any]:
    pod: dict[str, Any] = one(manifests, "CronJob", "operator")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_operator_job_has_the_settings_that_the_doctor_checks(built: Built, overlay: str) -> None:
    manifests = built[overlay]
    assert one(manifests, "CronJob", "operator")["spec"]["suspend"] is True
    pod = operator_pod(manifests)
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
def test_the_patch_of_the_guide_makes_an_interactive_job(built: Built, tmp_path: Path) -> None:
    """Apply the patch of the guide to the Job that `kubectl create job --from=cronjob/operator` creates."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    (patch,) = re.findall(r"--patch '([^']+)'", text)
    template = one(built["production"], "CronJob", "operator")["spec"]["jobTemplate"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "by-hand"}, **template}
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    command = ["kubectl", "patch", "--local", "--filename", str(file), "--type=json", "--patch", patch, "--output=yaml"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert completed.returncode == 0, completed.stderr
    container = yaml.safe_load(completed.stdout)["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container.get("args")) == (["sleep", "3600"], None)


@pytest.mark.parametrize("name", ["eligibility", "exporter"])
def test_workers_scale_on_queued_jobs_and_their_age(built: Built, name: str) -> None:
    """``integration/test_scaler_queries.py`` runs the queries."""
    scaler = one(built["production"], "ScaledObject", name)["spec"]
    assert [(trigger["type"], trigger["name"]) for trigger in scaler["triggers"]] == [
        ("postgresql", "queued"),
        ("postgresql", "age"),
    ]
    for trigger in scaler["triggers"]:
        words = set(re.findall(r"'(\w+)'", trigger["metadata"]["query"]))
        assert words == {Service(name).value, State.QUEUED.value}
        login = one(built["production"], "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
        assert [secret["key"] for secret in login["secretTargetRef"]] == [f"{name}_database_url"]
    assert "replicas" not in one(built["production"], "Deployment", name)["spec"], "each apply would undo the scaling"
    scaled = {
        manifest["spec"]["scaleTargetRef"]["name"]
        for manifest in built["production"]
        if manifest["kind"].startswith("Hor")
    }
    assert scaled == {"api"}


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_the_database_has_connections_for_all_processes(built: Built, overlay: str) -> None:
    manifests, needed = built[overlay], 0
    limit = {
        manifest["spec"]["scaleTargetRef"]["name"]: manifest["spec"].get("maxReplicas")
        or manifest["spec"].get("maxReplicaCount")
        for manifest in manifests
        if manifest["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    for name, settings in OURS.items():
        if "database_pool_size" not in settings.model_fields:
            continue
        spec = one(manifests, "Deployment", name)["spec"]
        replicas = limit.get(name) or spec["replicas"]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        needed += (replicas + surge) * (settings.model_fields["database_pool_size"].default + CONNECTIONS_OUTSIDE_POOL)
    if overlay == "local":
        arguments = one(manifests, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["args"]
        (available,) = (int(word.partition("=")[2]) for word in arguments if word.startswith("max_connections="))
    else:
        cluster = one(manifests, "Cluster", "placewire-postgres")["spec"]
        available = int(cluster["postgresql"]["parameters"]["max_connections"])
    assert needed <= available - 10, "ten connections are for superusers, KEDA and operators"


# The CPU requests of the system pods in a cluster of kubeadm or kind: etcd 100m, API server 250m, controllers 200m,
# scheduler 100m, two pods of CoreDNS 200m, network plugin 100m.
SYSTEM_MILLICPU = 950
SMALLEST_NODE_MILLICPU = 2000


def test_the_local_overlay_fits_a_node_of_two_processors(built: Built) -> None:
    """Count all replicas at their maximum, the migration job, and the extra pod of one rollout."""
    manifests = built["local"]
    max_replicas = {
        scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["maxReplicas"]
        for scaler in manifests
        if scaler["kind"] == "HorizontalPodAutoscaler"
    }
    requested, surges = 0, []
    for manifest, template in workloads(manifests):
        name, pod = manifest["metadata"]["name"], requested_millicpu(template)
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            requested += pod * max_replicas.get(name, manifest["spec"].get("replicas", 1))
        elif manifest["kind"] == "Job":
            requested += pod
        if manifest["kind"] == "Deployment":
            surges.append(pod * manifest["spec"]["strategy"]["rollingUpdate"]["maxSurge"])
    assert max_replicas == {"api": 2}, "the API can get a second replica"
    # Only the largest surge counts: a pod that does not fit waits until another rollout has removed a pod.
    assert requested + max(surges) <= SMALLEST_NODE_MILLICPU - SYSTEM_MILLICPU


def requested_millicpu(template: dict[str, Any]) -> int:
    """Return the CPU that the scheduler reserves for a pod.

    This is the sum of its containers, or the largest init container if that is more.
    """
    running, first = (
        [millicpu(container["resources"]["requests"]["cpu"]) for container in template["spec"].get(kind, [])]
        for kind in ("containers", "initContainers")
    )
    return max(sum(running), *first, 0)


def millicpu(quantity: str | int) -> int:
    text = str(quantity)
    return int(text.removesuffix("m")) if text.endswith("m") else round(float(text) * 1000)


# Labels of CloudNativePG's pods. Instances also inherit the labels of the Cluster; pods of its jobs do not.
JOB = {"cnpg.io/cluster": "placewire-postgres", "cnpg.io/jobRole": "join"}
INSTANCE = {"cnpg.io/cluster": "placewire-postgres", "placewire.dev/part": "postgres"}
POSTGRES = ("api", "eligibility", "exporter", "maintenance", "relay", "migrate", "operator")
ARROWS = (
    {("console", "api", 5000), ("api", "eligibility", 5001), ("api", "exporter", 5002), ("api", "maintenance", 5003)}
    | {(name, "postgres", 5432) for name in POSTGRES}
    | {(name, "kafka", "bus") for name in ("eligibility", "exporter", "maintenance", "relay", "operator")}
)


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_network_policies_allow_only_the_arrows_of_the_diagram(built: Built, overlay: str) -> None:
    """Apply the network policies to every pair of pods and every port."""
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


def test_network_policies_allow_the_jobs_that_create_an_instance(built: Built) -> None:
    manifests = built["production"]
    cluster = one(manifests, "Cluster", INSTANCE["cnpg.io/cluster"])
    assert cluster["spec"]["inheritedMetadata"]["labels"].items() >= INSTANCE.items() - JOB.items()
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    assert _passes(policies, "egress", JOB, INSTANCE, 5432), "the job copies another instance"
    assert _passes(policies, "ingress", INSTANCE, JOB, 5432)
    assert _passes(policies, "egress", JOB, {}, 6443), "the job reads its cluster from the Kubernetes API"
    assert not _passes(policies, "egress", JOB, {}, 5000)


def test_a_gateway_pod_in_our_namespace_reaches_only_the_api(built: Built) -> None:
    """Some implementations run the pods of a Gateway in its namespace, where all traffic is denied by default."""
    manifests = built["production"]
    gateway_pod = {"gateway.networking.k8s.io/gateway-name": one(manifests, "Gateway", "placewire")["metadata"]["name"]}
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    api = {"app.kubernetes.io/name": "api"}
    assert _passes(policies, "egress", gateway_pod, api, 5000)
    assert _passes(policies, "ingress", api, gateway_pod, 5000)
    assert _passes(policies, "ingress", gateway_pod, {}, 8443)
    assert not _passes(policies, "egress", gateway_pod, INSTANCE, 5432)
    assert not _passes(policies, "ingress", {"app.kubernetes.io/name": "exporter"}, gateway_pod, 5002)


def test_the_commented_rules_for_cloud_identities_are_valid() -> None:
    """The policy has them as comments, next to the rule that blocks the addresses of the node."""
    text = (DEPLOY / "k8s" / "overlays" / "production" / "storage.yaml").read_text()
    policy = yaml.safe_load(text.replace("    # - {", "    - {"))
    assert list(schemas.of_kubernetes(policy)) == []
    addresses = [rule["to"][0]["ipBlock"]["cidr"] for rule in policy["spec"]["egress"][1:]]
    assert {"169.254.170.23/32", "169.254.169.254/32"} <= set(addresses)
    assert len(yaml.safe_load(text)["spec"]["egress"]) == 1


def _passes(
    policies: list[dict[str, Any]], direction: str, pod: dict[str, str], other: dict[str, str], port: int
) -> bool:
    matching = [
        policy
        for policy in policies
        if direction.capitalize() in policy["policyTypes"] and selects(policy["podSelector"], pod)
    ]
    assert matching, "a policy must select each pod, because the default allows all traffic"
    for rule in itertools.chain.from_iterable(policy.get(direction, []) for policy in matching):
        peers = rule.get("to" if direction == "egress" else "from")
        by_peer = peers is None or any(
            "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], other)
            for peer in peers
        )
        if by_peer and ("ports" not in rule or port in {entry["port"] for entry in rule["ports"]}):
            return True
    return False


def test_the_manifest_of_the_alert_rules_is_up_to_date() -> None:
    assert rules.WRITTEN.read_text() == rules.as_manifest(), "make k8s-rules"


def test_the_manifests_hold_every_dashboard(built: Built) -> None:
    dashboards = {path.name: path.read_text() for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    in_manifests: dict[str, str] = {}
    for manifest in built["production"]:
        if manifest["metadata"].get("labels", {}).get("grafana_dashboard"):
            in_manifests |= manifest["data"]
    assert in_manifests == dashboards != {}


def test_scraped_jobs_have_the_names_that_the_rules_use(built: Built) -> None:
    for kind, name, key in (
        ("ServiceMonitor", "services", "endpoints"),
        ("PodMonitor", "relay", "podMetricsEndpoints"),
    ):
        (endpoint,) = one(built["production"], kind, name)["spec"][key]
        (change,) = endpoint["relabelings"]
        assert (change["targetLabel"], change["replacement"]) == ("job", "placewire-$1")
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert {f"placewire-{name}" for name in OURS} <= {job["job_name"] for job in scraped}


def test_the_api_trusts_proxies_only_if_the_overlay_has_a_gateway(built: Built) -> None:
    """The trusted networks hold only pods, because a caller from a trusted address can claim any client address."""
    for manifests in built.values():
        has_gateway = any(manifest["kind"] == "Gateway" for manifest in manifests)
        trusted = networks(environment(server(manifests, "api"), manifests)["TRUSTED_PROXIES"])
        assert bool(trusted) is has_gateway
        assert all(network.is_private and network.prefixlen >= 12 for network in trusted)
