"""Compose file, Dockerfile, units and Prometheus agree with the code and with each other. No Docker is needed."""

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
# Never started by `up`.
BY_HAND = {"doctor"}
ONCE = {name for name, container in CONTAINERS.items() if container["restart"] == "no"} - BY_HAND
# Read by libraries, or before there are settings.
NO_SETTINGS = {"SECRETS_DIR", "TZ"}
SYSTEMD = shutil.which("systemd-analyze")
UNITS = ROOT / "deploy" / "systemd"
COMMON_UNIT = UNITS / "placewire-.service.d" / "common.conf"


def port(name: str) -> int:
    return int(OURS[name].model_fields["port"].default)


def test_the_compose_file_is_one() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
    """Builds go side by side, and of two that export one tag the second fails. What is not built would be looked for in
    a registry, before anything is built."""
    ours = {name: one for name, one in CONTAINERS.items() if one["image"].startswith("placewire/")}
    assert ours.keys() == OURS.keys() | ONCE | BY_HAND
    assert {one.get("pull_policy") for one in ours.values()} == {"never"}
    built = [(one["image"], one.get("profiles")) for one in CONTAINERS.values() if "build" in one]
    assert sorted(built) == [(image, None) for image in sorted({one["image"] for one in ours.values()})]


def test_no_command_without_a_profile_changes_where_files_are_kept() -> None:
    """`secrets` runs with every command; only what .env gives, or the profile's own container, may change it."""
    assert CONTAINERS["secrets"]["command"][-2:] == ["--storage", "${STORAGE_URL:-}"]
    assert CONTAINERS["storage"]["command"][-2:] == ["--storage", "${STORAGE_URL:-s3://placewire}"]
    assert CONTAINERS["storage"]["profiles"] == ["s3"]
    assert CONTAINERS["storage"]["depends_on"]["secrets"]["condition"] == "service_completed_successfully"


def test_only_gateway_and_grafana_are_published_and_only_here() -> None:
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert published.keys() == {"gateway", "grafana"}
    assert all(re.match(r"\$\{\w+_ADDRESS:-127\.0\.0\.1\}:", port) for ports in published.values() for port in ports)


def test_wait_waits_for_the_right_thing() -> None:
    """``up --wait`` takes a container that ended for a failure, unless somebody waits for it to end."""
    waited_for: dict[str, set[str]] = {}
    for container in CONTAINERS.values():
        for name, how in container.get("depends_on", {}).items():
            waited_for.setdefault(name, set()).add(how["condition"])
    for name, conditions in waited_for.items():
        assert conditions == {"service_completed_successfully" if name in ONCE else "service_healthy"}, name
    assert waited_for.keys() >= ONCE
    healthy = {name for name, container in CONTAINERS.items() if "healthcheck" in container}
    assert CONTAINERS.keys() - ONCE - BY_HAND - healthy == OURS.keys(), "these have that of their image"


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_a_container_that_is_ready_is_found_to_be_so_within_five_seconds() -> None:
    """Engine 24 asks for the first time after a whole interval; what comes later knows `start_interval`."""
    asked = [container["healthcheck"] for container in CONTAINERS.values() if "healthcheck" in container]
    (options,) = re.findall(r"^HEALTHCHECK (.*) \\$", DOCKERFILE, re.MULTILINE)
    asked.append(dict(option.removeprefix("--").split("=") for option in options.split()))
    assert len(asked) > 5
    for healthcheck in asked:
        assert seconds(healthcheck["interval"]) <= 5
        # And one that is busy for a moment is not taken for a dead one.
        assert seconds(healthcheck["interval"]) * int(healthcheck["retries"]) >= 30


# Fails as kubectl does while the container is being created; writes down what it was asked.
KUBECTL = """#!/bin/sh
echo "$*" >> asked
case "$*" in
    *logs*)
        [ "$(grep -c logs asked)" -gt 3 ] && echo "Nothing is wrong." && exit 0
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
    done = subprocess.run(
        ["bash", "-eu", "-c", commands],
        cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "Nothing is wrong.\n")
    asked = [line.removeprefix("--namespace placewire ") for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked[:2] == ["delete job doctor --ignore-not-found", "create job doctor --from=cronjob/operator"]
    assert asked[2:] == ["logs --follow job/doctor"] * 4 + ["get job doctor"]


@pytest.mark.parametrize("name", OURS)
def test_what_is_set_is_a_setting(name: str) -> None:
    container = CONTAINERS[name]
    settings = {field.upper() for field in OURS[name].model_fields}
    unknown = {key for key in container["environment"] if not key.startswith("AWS_")} - settings - NO_SETTINGS
    assert unknown - {"KAFKA_BOOTSTRAP_SERVERS"} == set()
    assert container["build"]["args"]["SERVICE"] == name
    grace_s = int(container["stop_grace_period"].removesuffix("s"))
    assert grace_s > OURS[name].model_fields["shutdown_grace_s"].default
    if "database_url" not in OURS[name].model_fields:
        assert not {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"} & container["environment"].keys()
    mine = [volume for volume in container["volumes"] if volume.startswith("secrets-")]
    assert mine == [f"secrets-{name}:/run/secrets/placewire:ro"]


def test_addresses_between_containers_are_right() -> None:
    environment = CONTAINERS["api"]["environment"]
    for name in ("eligibility", "exporter", "maintenance"):
        assert environment[f"{name.upper()}_URL"] == f"http://{name}:{port(name)}"
    assert CONTAINERS["gateway"]["environment"]["GATEWAY_API"] == f"server api:{port('api')} resolve;"
    console = CONTAINERS["gateway"]["environment"]["GATEWAY_CONSOLE"]
    assert console == f"server console:{port('console')} resolve;"
    assert CONTAINERS["console"]["environment"]["API_URL"] == f"http://api:{port('api')}"
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    found = {(one["names"][0], one["port"]) for job in scraped for one in job.get("dns_sd_configs", [])}
    assert found == {(name, port(name)) for name in OURS}


def test_the_time_zone_of_the_campus_is_a_setting_everywhere() -> None:
    for name in ("api", "console", "exporter", "maintenance"):
        assert CONTAINERS[name]["environment"]["TZ"] == "${TZ:-UTC}"
    for folder in ("base", "overlays/production"):
        made = yaml.safe_load((ROOT / "deploy" / "k8s" / folder / "kustomization.yaml").read_text())
        assert "TZ=UTC" in made["configMapGenerator"][0]["literals"]
    assert "TZ" in INHERITED
    by_hand = (ROOT / "docs" / "deployment.md").read_text().split("### With systemd")[1].split("\n### ")[0]
    assert "`TZ`" in by_hand


def test_what_can_be_set_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "deployment.md").read_text()))
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE_FILE.read_text())) <= documented


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_holds_its_folders_and_nothing_else(name: str) -> None:
    """Those with which test_closure.py shows that the service starts."""
    stage = DOCKERFILE.split(f" AS code-{name}\n")[1].split("\nFROM ")[0]
    copied = {line.split()[1] for line in stage.splitlines() if re.match("COPY (?!--from=(?:fonts|assets))", line)}
    assert copied == set(SERVICES[name][1])
    shared = DOCKERFILE.split(" AS shared\n")[1].split("\nFROM ")[0]
    assert {line.split()[1] for line in shared.splitlines() if line.startswith("COPY ")} == set(SHARED)
    if name in OURS:
        assert f"ENV PORT={port(name)}" in stage
        module = "chassis.messaging.relay_process" if name == "relay" else f"services.{name}"
        assert f'CMD ["python", "-m", "{module}"]' in stage


def test_the_build_sees_only_what_it_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(\w+)", DOCKERFILE, re.MULTILINE))
    assert copied | {"pyproject.toml", "uv.lock"} == allowed


@pytest.mark.skipif(SYSTEMD is None, reason="NOT TESTED: there is no systemd-analyze here")
def test_units_are_understood_and_hardened(tmp_path: Path) -> None:
    assert SYSTEMD is not None
    shutil.copytree(UNITS, tmp_path / "units")
    for path in (tmp_path / "units").glob("*.service"):
        path.write_text(path.read_text().replace("/opt/placewire/.venv/bin/placewire", "/bin/true"))
    units = [str(path) for path in sorted((tmp_path / "units").glob("placewire*.*")) if path.is_file()]
    environment = {"SYSTEMD_UNIT_PATH": f"{tmp_path / 'units'}:", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([SYSTEMD, "verify", *units], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for name in OURS:
        unit = f"placewire-{name}.service"
        command = [SYSTEMD, "security", "--offline=true", "--threshold=20", unit]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def system_calls(group: str) -> set[str]:
    """Return the system calls of ``group``, as systemd resolves it; of a single call, itself."""
    if not group.startswith("@"):
        return {group}
    assert SYSTEMD is not None
    listed = subprocess.run([SYSTEMD, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    members = [line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(system_calls, members))


@pytest.mark.skipif(SYSTEMD is None, reason="NOT TESTED: there is no systemd-analyze here")
def test_the_units_allow_what_the_reader_of_imported_files_does() -> None:
    """It limits itself (prlimit64), lowers its priority, and is ended at once where the filter denies a call."""
    filters = re.findall(r"^SystemCallFilter=(~?)(.*)$", COMMON_UNIT.read_text(), re.MULTILINE)
    allowed: set[str] = set()
    for denied, groups in filters:
        calls = set().union(*map(system_calls, groups.split()))
        allowed = allowed - calls if denied else allowed | calls
    assert {"setpriority", "getpriority", "prlimit64", "execve", "dup", "kill"} <= allowed
    assert not {"setrlimit", "mount", "reboot"} & allowed


def test_the_units_python_is_not_in_a_home() -> None:
    """They see no home (ProtectHome), and uv would put a Python that it fetches into root's."""
    assert "ProtectHome=yes" in COMMON_UNIT.read_text()
    guide = (ROOT / "docs" / "deployment.md").read_text().split("## On a plain machine")[1]
    exported = guide.index("export UV_PYTHON_INSTALL_DIR=/opt/placewire/")
    assert exported < guide.index("uv sync")
    (synced,) = re.findall(r"^uv sync .*", guide, re.MULTILINE)
    assert "--compile-bytecode" in synced, "the units cannot write it, so each start would compile everything"
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
