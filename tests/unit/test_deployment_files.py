"""Compose file, Dockerfile, systemd units and Prometheus configuration agree with the code and with each other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.local.system import INHERITED
from tests.e2e.test_closure import SERVICES, SHARED
from tests.support.service_settings import OURS

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# `docker compose up` does not start these containers.
BY_HAND = {"doctor"}
ONCE = {name for name, container in CONTAINERS.items() if container["restart"] == "no"} - BY_HAND
# Libraries read these variables, or code that runs before the settings are loaded.
NO_SETTINGS = {"SECRETS_DIR", "TZ"}
SYSTEMD = shutil.which("systemd-analyze")
UNITS = ROOT / "deploy" / "systemd"
COMMON_UNIT = UNITS / "placewire-.service.d" / "common.conf"


def port(name: str) -> int:
    return int(OURS[name].model_fields["port"].default)


def test_the_compose_file_is_valid() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_is_confined_limited_and_pinned(name: str) -> None:
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]
    assert container["read_only"] or name in ("kafka", "s3")
    assert container["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert "privileged" not in container
    assert "ulimits" not in container, "an engine that may not raise a limit so far does not start the container"
    assert "container_name" not in container
    _, colon, tag = container["image"].partition(":")
    assert colon
    assert re.fullmatch(r"v?[0-9][\w.-]*|\$\{PLACEWIRE_VERSION:-[0-9.]+\}", tag), container["image"]


def test_each_image_of_ours_is_built_once_and_never_pulled() -> None:
    """Compose builds in parallel, and the second of two builds with the same tag fails.

    Without `pull_policy: never`, Compose would look for the image in a registry before it builds anything.
    """
    ours = {name: container for name, container in CONTAINERS.items() if container["image"].startswith("placewire/")}
    assert ours.keys() == OURS.keys() | ONCE | BY_HAND
    assert {container.get("pull_policy") for container in ours.values()} == {"never"}
    built = [
        (container["image"], container.get("profiles")) for container in CONTAINERS.values() if "build" in container
    ]
    images = sorted({container["image"] for container in ours.values()})
    assert sorted(built) == [(image, None) for image in images]


def test_only_env_or_the_s3_profile_changes_the_storage() -> None:
    """`secrets` runs with every command. Only .env or the container of the profile may change the storage URL."""
    assert CONTAINERS["secrets"]["command"][-2:] == ["--storage", "${STORAGE_URL:-}"]
    assert CONTAINERS["storage"]["command"][-2:] == ["--storage", "${STORAGE_URL:-s3://placewire}"]
    assert CONTAINERS["storage"]["profiles"] == ["s3"]
    assert CONTAINERS["storage"]["depends_on"]["secrets"]["condition"] == "service_completed_successfully"


def test_only_gateway_and_grafana_are_published_and_only_on_loopback() -> None:
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert published.keys() == {"gateway", "grafana"}
    assert all(re.match(r"\$\{\w+_ADDRESS:-127\.0\.0\.1\}:", port) for ports in published.values() for port in ports)


def test_each_dependency_waits_for_health_or_for_the_end_of_a_one_time_container() -> None:
    """``up --wait`` reports a container that ended as a failure, unless another container depends on its end."""
    waited_for: dict[str, set[str]] = {}
    for container in CONTAINERS.values():
        for name, dependency in container.get("depends_on", {}).items():
            waited_for.setdefault(name, set()).add(dependency["condition"])
    for name, conditions in waited_for.items():
        assert conditions == {"service_completed_successfully" if name in ONCE else "service_healthy"}, name
    assert waited_for.keys() >= ONCE
    healthy = {name for name, container in CONTAINERS.items() if "healthcheck" in container}
    assert CONTAINERS.keys() - ONCE - BY_HAND - healthy == OURS.keys(), "our images have a health check of their own"


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_a_ready_container_becomes_healthy_within_five_seconds() -> None:
    """Docker Engine 24 runs the first check after a whole interval. Later versions support `start_interval`."""
    healthchecks = [container["healthcheck"] for container in CONTAINERS.values() if "healthcheck" in container]
    (options,) = re.findall(r"^HEALTHCHECK (.*) \\$", DOCKERFILE, re.MULTILINE)
    healthchecks.append(dict(option.removeprefix("--").split("=") for option in options.split()))
    assert len(healthchecks) > 5
    for healthcheck in healthchecks:
        assert seconds(healthcheck["interval"]) <= 5
        # A container that is busy for a moment is not reported as unhealthy.
        assert seconds(healthcheck["interval"]) * int(healthcheck["retries"]) >= 30


# Fails like kubectl while the container is being created. Writes its arguments to a file.
KUBECTL = """#!/bin/sh
echo "$*" >> calls
case "$*" in
    *logs*)
        [ "$(grep -c logs calls)" -gt 3 ] && echo "Nothing is wrong." && exit 0
        echo 'container "command" in pod "doctor-x" is waiting to start: ContainerCreating' >&2
        exit 1 ;;
esac
"""


def test_the_documented_doctor_job_waits_for_its_container(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    (commands,) = (
        block for block in re.findall(r"```bash needs-cluster\n(.*?)```", text, re.DOTALL) if "doctor" in block
    )
    for name, program in (("kubectl", KUBECTL), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    completed = subprocess.run(
        ["bash", "-eu", "-c", commands],
        cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (completed.returncode, completed.stdout) == (0, "Nothing is wrong.\n")
    calls = [line.removeprefix("--namespace placewire ") for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls[:2] == ["delete job doctor --ignore-not-found", "create job doctor --from=cronjob/operator"]
    assert calls[2:] == ["logs --follow job/doctor"] * 4 + ["get job doctor"]


@pytest.mark.parametrize("name", OURS)
def test_each_variable_of_a_container_is_a_setting_of_its_service(name: str) -> None:
    container = CONTAINERS[name]
    settings = {field.upper() for field in OURS[name].model_fields}
    unknown = {key for key in container["environment"] if not key.startswith("AWS_")} - settings - NO_SETTINGS
    assert unknown - {"KAFKA_BOOTSTRAP_SERVERS"} == set()
    assert container["build"]["args"]["SERVICE"] == name
    grace_s = int(container["stop_grace_period"].removesuffix("s"))
    assert grace_s > OURS[name].model_fields["shutdown_grace_s"].default
    if "database_url" not in OURS[name].model_fields:
        assert not {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"} & container["environment"].keys()
    secret_volumes = [volume for volume in container["volumes"] if volume.startswith("secrets-")]
    assert secret_volumes == [f"secrets-{name}:/run/secrets/placewire:ro"]


def test_containers_use_each_others_addresses() -> None:
    environment = CONTAINERS["api"]["environment"]
    for name in ("eligibility", "exporter", "maintenance"):
        assert environment[f"{name.upper()}_URL"] == f"http://{name}:{port(name)}"
    assert CONTAINERS["gateway"]["environment"]["GATEWAY_API"] == f"server api:{port('api')} resolve;"
    console = CONTAINERS["gateway"]["environment"]["GATEWAY_CONSOLE"]
    assert console == f"server console:{port('console')} resolve;"
    assert CONTAINERS["console"]["environment"]["API_URL"] == f"http://api:{port('api')}"
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {(target["names"][0], target["port"]) for job in scraped for target in job.get("dns_sd_configs", [])}
    assert targets == {(name, port(name)) for name in OURS}


def test_the_time_zone_is_a_setting_in_every_deployment() -> None:
    for name in ("api", "console", "exporter", "maintenance"):
        assert CONTAINERS[name]["environment"]["TZ"] == "${TZ:-UTC}"
    for folder in ("base", "overlays/production"):
        settings_file = yaml.safe_load((ROOT / "deploy" / "k8s" / folder / "kustomization.yaml").read_text())
        assert "TZ=UTC" in settings_file["configMapGenerator"][0]["literals"]
    assert "TZ" in INHERITED
    systemd_guide = (ROOT / "docs" / "deployment.md").read_text().split("### With systemd")[1].split("\n### ")[0]
    assert "`TZ`" in systemd_guide


def test_each_variable_of_the_compose_file_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "deployment.md").read_text()))
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE_FILE.read_text())) <= documented


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_holds_only_the_folders_of_its_service(name: str) -> None:
    """test_closure.py shows that the service starts with these folders."""
    stage = DOCKERFILE.split(f" AS code-{name}\n")[1].split("\nFROM ")[0]
    copied = {line.split()[1] for line in stage.splitlines() if re.match("COPY (?!--from=(?:fonts|assets))", line)}
    assert copied == set(SERVICES[name][1])
    shared = DOCKERFILE.split(" AS shared\n")[1].split("\nFROM ")[0]
    assert {line.split()[1] for line in shared.splitlines() if line.startswith("COPY ")} == set(SHARED)
    if name in OURS:
        assert f"ENV PORT={port(name)}" in stage
        module = "chassis.messaging.relay_process" if name == "relay" else f"services.{name}"
        assert f'CMD ["python", "-m", "{module}"]' in stage


def test_the_build_context_holds_only_what_the_dockerfile_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(\w+)", DOCKERFILE, re.MULTILINE))
    assert copied | {"pyproject.toml", "uv.lock"} == allowed


@pytest.mark.skipif(SYSTEMD is None, reason="NOT TESTED: there is no systemd-analyze here")
def test_systemd_accepts_the_units_and_rates_them_as_hardened(tmp_path: Path) -> None:
    assert SYSTEMD is not None
    shutil.copytree(UNITS, tmp_path / "units")
    for path in (tmp_path / "units").glob("*.service"):
        path.write_text(path.read_text().replace("/opt/placewire/.venv/bin/placewire", "/bin/true"))
    units = [str(path) for path in sorted((tmp_path / "units").glob("placewire*.*")) if path.is_file()]
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path / 'units'}:", "PATH": "/usr/bin:/bin"}
    completed = subprocess.run(
        [SYSTEMD, "verify", *units], env=environment, capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stdout + completed.stderr) == (0, "")
    for name in OURS:
        unit = f"placewire-{name}.service"
        command = [SYSTEMD, "security", "--offline=true", "--threshold=20", unit]
        completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stdout + completed.stderr


def system_calls(group: str) -> set[str]:
    """Return the system calls of ``group``, as systemd resolves it. A single call is returned as it is."""
    if not group.startswith("@"):
        return {group}
    assert SYSTEMD is not None
    listed = subprocess.run([SYSTEMD, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    members = [line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(system_calls, members))


@pytest.mark.skipif(SYSTEMD is None, reason="NOT TESTED: there is no systemd-analyze here")
def test_the_units_allow_the_system_calls_of_the_file_reader() -> None:
    """The reader limits itself (prlimit64) and lowers its priority. A denied call would end it at once."""
    filters = re.findall(r"^SystemCallFilter=(~?)(.*)$", COMMON_UNIT.read_text(), re.MULTILINE)
    allowed: set[str] = set()
    for denied, groups in filters:
        calls = set().union(*map(system_calls, groups.split()))
        allowed = allowed - calls if denied else allowed | calls
    assert {"setpriority", "getpriority", "prlimit64", "execve", "dup", "kill"} <= allowed
    assert not {"setrlimit", "mount", "reboot"} & allowed


def test_the_python_of_the_units_is_outside_of_home_directories() -> None:
    """The units cannot read home directories (ProtectHome). By default, uv installs Python in root's home."""
    assert "ProtectHome=yes" in COMMON_UNIT.read_text()
    guide = (ROOT / "docs" / "deployment.md").read_text().split("## On a plain machine")[1]
    exported = guide.index("export UV_PYTHON_INSTALL_DIR=/opt/placewire/")
    assert exported < guide.index("uv sync")
    (synced,) = re.findall(r"^uv sync .*", guide, re.MULTILINE)
    assert "--compile-bytecode" in synced, "the units cannot write bytecode, so each start would compile everything"
    assert set(re.findall(r"--extra (\w+)", synced)) == {*OURS, "cli"}


@pytest.mark.parametrize("name", OURS)
def test_each_service_has_a_unit_and_a_line_in_the_procfile(name: str) -> None:
    unit = (UNITS / f"placewire-{name}.service").read_text()
    assert f"ExecStart=/opt/placewire/.venv/bin/placewire run {name}\n" in unit
    secrets = {"database_url", "jwt_secret", "internal_secret", "storage_url", "console_secret"} & OURS[
        name
    ].model_fields.keys()
    assert {line.partition(":")[0] for line in re.findall(r"^LoadCredential=(.*)$", unit, re.MULTILINE)} == secrets
    assert f"\n{name}: " in "\n" + (ROOT / "deploy" / "Procfile").read_text()
