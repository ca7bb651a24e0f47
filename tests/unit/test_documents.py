"""README and docs/ speak of what there is: each other, commands, ports, settings, metrics, folders."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from typer.core import TyperGroup
from typer.main import get_command

from chassis.observability import metrics
from cli.main import app
from tests.support.service_settings import OURS
from tests.unit.test_settings import documented

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
EXPECTED = {
    "architecture", "deployment", "operations", "api", "quick-reference", "runbooks", "reliability", "scaling",
}  # fmt: skip
QUICK = (ROOT / "docs" / "quick-reference.md").read_text()
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"`(?:uv run )?placewire ([^`…]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def prose(document: Path) -> str:
    return FENCED.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_there_and_the_readme_leads_to_it() -> None:
    names = {path.stem for path in DOCUMENTS} - {"README"}
    assert names >= EXPECTED
    assert names <= set(re.findall(r"\]\(docs/([\w-]+)\.md\)", README.read_text()))


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *OTHERS, *DECISIONS], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(document: Path) -> None:
    for path, anchor in LINK.findall(prose(document)):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    assert [path.name for path in DECISIONS if path.name != "README.md" and f"({path.name})" not in listed] == []


def test_the_tests_that_reliability_names_exist() -> None:
    named = 0
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines():
        module = ""
        for path, test in re.findall(r"`((?:e2e|integration|unit)/\w+\.py)?(?:::|…)?(test_\w+)?…?`", line):
            if path:
                module = (ROOT / "tests" / path).read_text()
            assert not test or re.search(rf"^async def {test}|^def {test}", module, re.MULTILINE), f"{path}::{test}"
            named += bool(test)
    assert named > 20


@pytest.mark.parametrize("said", sorted({said for path in DOCUMENTS for said in COMMAND.findall(prose(path))}))
def test_each_command_in_the_text_is_one(said: str) -> None:
    """Its words and its options; the rest are names."""
    command: Any = get_command(app)
    words = shlex.split(said)
    while isinstance(command, TyperGroup) and words:
        word = words.pop(0)
        assert word in command.commands, said
        command = command.commands[word]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_target_of_make_is_one(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9-]+)", prose(document))) <= targets


def test_the_quick_reference_has_the_ports() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", QUICK, re.MULTILINE)
    said = {name: int(port) for name, port in rows if name in OURS}
    assert said == {name: settings.model_fields["port"].default for name, settings in OURS.items()}


def test_the_quick_reference_has_settings_as_they_are() -> None:
    table = QUICK.split("## Settings that are changed")[1].split("\n## ")[0]
    known = documented()
    documented_elsewhere = {"SECRETS_DIR"}
    for names, default in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", table, re.MULTILINE):
        settings = re.findall(r"`([A-Z_]+)`", names)
        assert set(settings) <= known.keys() - documented_elsewhere
        values = [value.strip(" `") for value in default.split(", ")]
        for name, value in zip(settings, values, strict=False):
            if re.fullmatch(r"[\d.]+", value):
                assert float(value) == float(known[name]), name


def test_the_quick_reference_names_metrics_that_there_are() -> None:
    assert metrics.HTTP_REQUESTS
    known = {metric.name + "_total" * (metric.type == "counter") for metric in REGISTRY.collect()}
    said = set(re.findall(r"`(placewire_\w+)`", QUICK))
    assert len(said) >= 10
    assert said <= known


def test_the_quick_reference_names_folders_that_there_are() -> None:
    said = re.findall(r"`((?:deploy|contracts)/[\w./-]+)`", QUICK)
    assert said
    assert [path for path in said if not (ROOT / path).exists()] == []
