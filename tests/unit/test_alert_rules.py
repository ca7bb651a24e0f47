"""Alert rules: promtool accepts them, each alert has a test that fires and one that does not, and a runbook entry."""

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
# GitHub derives the anchor of a heading like this.
ANCHORS = {heading.lower() for heading in re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)}


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    completed = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@needs_prometheus
def test_prometheus_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


@needs_prometheus
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_each_alert_fires_when_it_should_and_only_then(path: Path) -> None:
    promtool("test", "rules", path)


def test_each_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    checks = [
        check
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for check in test["alert_rule_test"]
    ]
    fires = {check["alertname"] for check in checks if check["exp_alerts"]}
    stays_silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    assert fires == stays_silent == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_complete_runbook_entry(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
    entry = RUNBOOKS.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert f"*{alert['labels']['severity'].capitalize()}.*" in entry
    for part in ("**Users**", "**Look.**", "**Fix.**"):
        assert part in entry, part


def test_each_runbook_entry_belongs_to_an_alert() -> None:
    assert {name.lower() for name in ALERTS} == ANCHORS
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOKS)) <= ANCHORS


def test_rules_name_only_series_that_exist() -> None:
    known = set().union(*(series_of(metric) for metric in OURS.values()), RECORDED)
    named = {name for rule in RULES for name in NAMED.findall(re.sub(r'"[^"]*"', "", rule["expr"]))}
    assert named - known == set()
    assert all(group["name"].startswith("placewire-") for group in GROUPS)
