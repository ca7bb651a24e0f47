"""Rules: Prometheus takes them, each alert is tried both ways, and somebody who is called finds what to do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.prometheus import (
    ALERTS,
    DEPLOY,
    GROUPS,
    NAMED,
    OURS,
    PROMTOOL,
    RECORDED,
    RULES,
    needs_prometheus,
    series_of,
)

FOLDER = DEPLOY / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
RUNBOOKS = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text()
# As GitHub makes them of a heading.
ANCHORS = {heading.lower() for heading in re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)}


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_prometheus_takes_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


@needs_prometheus
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_each_alert_fires_when_it_should_and_only_then(path: Path) -> None:
    promtool("test", "rules", path)


def test_each_alert_is_tried_both_ways() -> None:
    tried = [
        check
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for check in test["alert_rule_test"]
    ]
    fires = {check["alertname"] for check in tried if check["exp_alerts"]}
    stays_silent = {check["alertname"] for check in tried if not check["exp_alerts"]}
    assert fires == stays_silent == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
    entry = RUNBOOKS.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert f"*{alert['labels']['severity'].capitalize()}.*" in entry
    for part in ("**Users**", "**Look.**", "**Fix.**"):
        assert part in entry, part


def test_no_entry_is_left_of_an_alert_that_is_gone() -> None:
    assert {name.lower() for name in ALERTS} == ANCHORS
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOKS)) <= ANCHORS


def test_rules_speak_only_of_what_there_is() -> None:
    known = set().union(*(series_of(metric) for metric in OURS.values()), RECORDED)
    said = {name for rule in RULES for name in NAMED.findall(re.sub(r'"[^"]*"', "", rule["expr"]))}
    assert said - known == set()
    assert all(group["name"].startswith("placewire-") for group in GROUPS)
