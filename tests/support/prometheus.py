"""The shipped rules and dashboards, and a real Prometheus on loopback that scrapes the processes of a test."""

import json
import math
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from chassis.observability import metrics
from devstack.ports import LOOPBACK, free_port
from devstack.processes import Process
from tests.support.system import System

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
RULE_FILES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
}
GROUPS: list[dict[str, Any]] = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = [rule["record"] for rule in RULES if "record" in rule]
OURS: dict[str, MetricWrapperBase] = {
    name: metric for name, metric in vars(metrics).items() if isinstance(metric, MetricWrapperBase)
}
# Metrics of FastStream's middleware.
FASTSTREAM = {"placewire_received_messages_total"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
NAMED = re.compile(r"\bplacewire[_a-z0-9:]+")

needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None,
    reason="NOT TESTED: there is no prometheus or promtool here; `make tools` installs them",
)


def series_of(metric: MetricWrapperBase) -> set[str]:
    """Return the names of the series that Prometheus stores for ``metric``."""
    [described] = metric.describe()
    return {described.name + suffix for suffix in SUFFIXES[described.type]}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel that shows data, also panels in collapsed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the panel's title and the expression of each query."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@dataclass
class Prometheus:
    process: Process
    client: httpx.AsyncClient

    async def get(self, path: str, **params: str) -> Any:
        body = (await self.client.get(path, params=params)).json()
        assert body["status"] == "success", body
        return body["data"]

    async def values(self, expression: str) -> list[float]:
        """Return the current values of the expression, without NaN."""
        data = await self.get("/api/v1/query", query=expression)
        values = [float(sample["value"][1]) for sample in data["result"]]
        return [value for value in values if not math.isnan(value)]


def configuration(system: System) -> dict[str, Any]:
    """Return the shipped configuration with the addresses of ``system`` and shorter intervals."""
    shipped: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    shipped["rule_files"] = [str(path) for path in RULE_FILES]
    ours = [scrape for scrape in shipped["scrape_configs"] if "dns_sd_configs" in scrape]
    for scrape in ours:
        del scrape["dns_sd_configs"]
        port = system.ports[scrape["job_name"].removeprefix("placewire-")]
        scrape["static_configs"] = [{"targets": [f"{LOOPBACK}:{port}"]}]
    shipped["scrape_configs"] = ours
    return shipped


@asynccontextmanager
async def scraping(system: System) -> AsyncIterator[Prometheus]:
    """Yield a Prometheus that scrapes every process of ``system`` each second and uses the shipped rules."""
    assert PROMETHEUS is not None
    folder = system.folder / "prometheus"
    folder.mkdir()
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(configuration(system)))
    address = f"{LOOPBACK}:{free_port()}"
    process = Process.start(
        "prometheus",
        [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
         f"--web.listen-address={address}", "--log.level=warn"],
        log=folder / "prometheus.log",
        url=f"http://{address}/-/ready",
    )  # fmt: skip
    try:
        process.wait_ready()
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
            yield Prometheus(process, client)
    finally:
        process.stop(10)
