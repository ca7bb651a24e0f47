"""House rules that no linter checks. Each failure names the file and the rule."""

import ast
import fnmatch
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "chassis", "services", "migrations", "cli", "devstack", "bench")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VAGUE_MODULES = {"utils", "util", "helpers", "common", "misc", "base", "manager", "core", "models"}
VAGUE_CLASSES = ("Manager", "Helper", "Util", "Processor", "Impl")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 45


def breaches(path: Path) -> Iterator[str]:
    source = path.read_text()
    tree = ast.parse(source)
    if path.stem in VAGUE_MODULES:
        yield "vague module name"
    if source.count("\n") > MAX_MODULE_LINES:
        yield f"over {MAX_MODULE_LINES} lines: split by what changes together"
    if source and not ast.get_docstring(tree):
        yield "no module docstring"
    if "asyncio.wait_for(" in source and path.relative_to(ROOT).parts[0] in ("chassis", "services"):
        yield "asyncio.wait_for of Python 3.11 can forget a cancellation: use asyncio.timeout"
    if (
        ".commit(" in source and path.relative_to(ROOT).as_posix() != "chassis/offsets.py"
    ):  # Kafka's, not the database's
        yield "commits by hand: only chassis/database.py commits"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_CLASSES):
            yield f"class {node.name} has a vague name"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_house_rules(path: Path) -> None:
    assert list(breaches(path)) == []


def test_every_import_rule_matches_a_module() -> None:
    modules = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in MODULES
    }
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    patterns = [pattern for rule in rules for pattern in rule.get("source_modules", [])]
    unmatched = [pattern for pattern in patterns if not fnmatch.filter(modules, pattern.replace("**", "*"))]
    assert patterns
    assert unmatched == [], "a rule that matches nothing is silently kept"
