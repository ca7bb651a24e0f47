"""Dashboards use only keys that Grafana knows and metrics that exist, and show every metric.

tests/e2e/test_dashboards.py runs the queries in a real Prometheus.
"""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.support.prometheus import DASHBOARDS, FASTSTREAM, NAMED, OURS, RECORDED, RULES, panels, queries, series_of

ROOT = Path(__file__).parents[2]
UIDS = {"placement": "placewire-placement", "operators": "placewire-operators", "job-kind": "placewire-job-kind"}
SINGLE = {"gridPos", "fieldConfig", "targets", "options", "title", "description", "type", "id", "datasource"}
BUILT_IN = {"__rate_interval", "__field", "__url_time_range", "__all"}
SOURCES = [
    path for package in ("chassis", "services") for path in (ROOT / package).rglob("*.py") if path.stem != "telemetry"
]


def lost(written: Any, kept: Any, place: str = "") -> Iterator[str]:
    """Yield the place of each value of ``written`` that ``kept`` lacks, or has with another value."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            if value is not None:
                yield from lost(value, kept.get(key), f"{place}.{key}")
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for number, pair in enumerate(zip(written, kept, strict=True)):
            yield from lost(*pair, f"{place}[{number}]")
    elif written != kept:
        yield place


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_knows_every_key(name: str) -> None:
    """Grafana's schema generates these classes, so they drop an unknown key."""
    plugins.register_default_plugins()
    kept = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARDS[name])))
    assert list(lost(DASHBOARDS[name], kept)) == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_keeps_its_uid_and_links_to_the_others(name: str) -> None:
    board = DASHBOARDS[name]
    assert board["uid"] == UIDS[name]
    assert [link["tags"] for link in board["links"]] == [["placewire"]]
    assert board["tags"] == ["placewire"]
    assert re.findall(r"/d/([\w-]+)", json.dumps(board["panels"])) == [
        uid for uid in re.findall(r"/d/([\w-]+)", json.dumps(board["panels"])) if uid in UIDS.values()
    ]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_panel_is_described(name: str) -> None:
    board = DASHBOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(board):
        assert panel.keys() >= SINGLE, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
        assert [target["refId"] for target in panel["targets"]] == [*"ABCDEFGH"][: len(panel["targets"])]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_covers_another(name: str) -> None:
    places = [panel["gridPos"] for panel in DASHBOARDS[name]["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_used_variable_is_declared_and_each_declared_one_is_used(name: str) -> None:
    board = DASHBOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board)))
    assert used - BUILT_IN == declared


def test_the_data_source_is_the_provisioned_one() -> None:
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    uids = {source["uid"] for source in provisioned["datasources"]}
    for board in DASHBOARDS.values():
        chosen = [v["current"]["value"] for v in board["templating"]["list"] if v["type"] == "datasource"]
        assert set(chosen) == uids


def test_dashboards_name_only_series_that_exist() -> None:
    known = set().union(*(series_of(metric) for metric in OURS.values()), RECORDED, FASTSTREAM)
    named = {
        name for board in DASHBOARDS.values() for _, query in queries(board) for name in NAMED.findall(unquoted(query))
    }
    assert named - known == set()


@pytest.mark.parametrize("name", OURS)
def test_each_metric_is_set_and_used_in_a_dashboard_or_rule(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", path.read_text()) for path in SOURCES), "no module sets this metric"
    shown = " ".join(
        [query for board in DASHBOARDS.values() for _, query in queries(board)] + [r["expr"] for r in RULES]
    )
    assert any(re.search(rf"\b{series}\b", shown) for series in series_of(OURS[name])), (
        "neither a dashboard nor a rule uses this metric"
    )


def unquoted(query: str) -> str:
    return re.sub(r'"[^"]*"', "", query)
