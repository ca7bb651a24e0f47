"""README and docs/ name only pages, anchors, files, commands, ports, settings and metrics that exist."""

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
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [README, *PAGES]
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("*/README.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
QUICK = (ROOT / "docs" / "quick-reference.md").read_text()
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"`(?:uv run )?placewire ([^`…]+)`")
# A file or folder of the checkout, or a pattern of files.
PATH = re.compile(
    r"`((?:contracts|chassis|services|migrations|cli|devstack|bench|deploy|docs|tests)/[\w./*{}-]*|\.env\.example|Makefile)`"
)
TITLE = re.compile(r'^```\w+ title="([^"]+)"$', re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def prose(document: Path) -> str:
    return FENCED.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def linked(document: Path) -> set[Path]:
    return {(document.parent / path).resolve() for path, _ in LINK.findall(prose(document)) if path}


def test_the_index_links_every_page_and_the_readme_links_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    assert set(PAGES) - set(DECISIONS) - {index} <= linked(index)
    assert DECISIONS[-1] in linked(index)
    assert index in linked(README)
    assert index in linked(ROOT / "CONTRIBUTING.md")


def test_the_glossary_is_short_sorted_and_linked() -> None:
    glossary = ROOT / "docs" / "glossary.md"
    terms = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", glossary.read_text(), re.MULTILINE)[2:]
    assert 10 <= len(terms) <= 25
    assert terms == sorted(terms)
    assert [name for name, meaning in terms if len(re.findall(r"\.(?: |$)", meaning.strip())) > 2] == []
    assert all(glossary in linked(page) for page in (ROOT / "docs" / "index.md", ROOT / "CONTRIBUTING.md", README))


@pytest.mark.parametrize("document", [*DOCUMENTS, *OTHERS], ids=named)
def test_each_named_file_exists(document: Path) -> None:
    """A file that the page itself creates need not exist."""
    created = set(TITLE.findall(document.read_text()))
    missing = [path for path in PATH.findall(prose(document)) if path not in created and not list(ROOT.glob(path))]
    assert missing == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *OTHERS], ids=named)
def test_each_link_has_a_target(document: Path) -> None:
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


@pytest.mark.parametrize(
    "text", sorted({text for path in [*DOCUMENTS, *OTHERS] for text in COMMAND.findall(prose(path))})
)
def test_each_named_command_exists(text: str) -> None:
    """Check the names of the command and its options. Arguments are not checked."""
    command: Any = get_command(app)
    words = shlex.split(text)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        word = words.pop(0)
        assert word in command.commands, text
        command = command.commands[word]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("document", [*DOCUMENTS, *OTHERS], ids=named)
def test_each_named_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", document.read_text(), re.MULTILINE)) <= targets


def test_the_quick_reference_has_the_ports() -> None:
    rows = re.findall(r"^\| (\w+) \| (\d+) \|", QUICK, re.MULTILINE)
    ports = {name: int(port) for name, port in rows if name in OURS}
    assert ports == {name: settings.model_fields["port"].default for name, settings in OURS.items()}


def test_the_quick_reference_has_the_default_of_each_setting() -> None:
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


def test_the_quick_reference_names_only_metrics_that_exist() -> None:
    assert metrics.HTTP_REQUESTS
    known = {metric.name + "_total" * (metric.type == "counter") for metric in REGISTRY.collect()}
    named_metrics = set(re.findall(r"`(placewire_\w+)`", QUICK))
    assert len(named_metrics) >= 10
    assert named_metrics <= known


def test_the_quick_reference_names_only_folders_that_exist() -> None:
    paths = re.findall(r"`((?:deploy|contracts)/[\w./-]+)`", QUICK)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
