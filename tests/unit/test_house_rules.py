"""House rules that linters do not check. Each failure names the file and the rule."""

import ast
import fnmatch
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "chassis", "services", "migrations", "cli", "devstack", "bench")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VAGUE_MODULES = {"utils", "util", "helpers", "common", "misc", "base", "manager", "core", "models"}
VAGUE_CLASSES = ("Manager", "Helper", "Util", "Processor", "Impl")
MAX_MODULE_LINES = 300
# The generated module has one function for each table.
GENERATED = {"migrations/versions/0001_baseline.py"}
MAX_FUNCTION_LINES = 45

# Private words of earlier releases, and gendered pronouns. Write instead: fix, report, notify, process, channel, they.
WORDS = {
    *("mend", "mends", "mended", "mending", "told", "tell", "tells", "telling", "whoever", "lest", "road", "roads"),
    *("door", "doors", "rooms", "brake", "brakes", "braked", "stranger", "strangers", "he", "his", "him", "himself"),
}
PHRASES = {("for", "ever")}
# Splits `TooManyRooms` and `too_many_rooms` into the same words.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

# Files that may keep such words: pattern, and reason.
KEPT = {
    "CHANGELOG.md": "history",
    "docs/upgrading.md": "names of a former release",
    "contracts/released/*": "history",
    "migrations/versions/*": "applied history",
    "tests/cases/*": "files of other systems",
    "cli/api_client.py": "`tell` is a method of Python's file objects",
    "tests/unit/test_house_rules.py": "names the words",
}


def breaches(path: Path) -> Iterator[str]:
    source = path.read_text()
    tree = ast.parse(source)
    if path.stem in VAGUE_MODULES:
        yield "vague module name"
    if source.count("\n") > MAX_MODULE_LINES and path.relative_to(ROOT).as_posix() not in GENERATED:
        yield f"over {MAX_MODULE_LINES} lines: split by what changes together"
    if source and not ast.get_docstring(tree):
        yield "no module docstring"
    if "asyncio.wait_for(" in source and path.relative_to(ROOT).parts[0] in ("chassis", "services"):
        yield "asyncio.wait_for of Python 3.11 can forget a cancellation: use asyncio.timeout"
    if ".commit(" in source:
        yield "commits by hand: only chassis/postgres/database.py commits"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_CLASSES):
            yield f"class {node.name} has a vague name"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


def test_house_rules() -> None:
    breaches_by_module = {path.relative_to(ROOT).as_posix(): list(breaches(path)) for path in MODULES}
    assert {name: broken for name, broken in breaches_by_module.items() if broken} == {}


def test_every_import_rule_matches_a_module() -> None:
    modules = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in MODULES
    }
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    patterns = [pattern for rule in rules for pattern in rule.get("source_modules", [])]
    unmatched = [pattern for pattern in patterns if not fnmatch.filter(modules, pattern.replace("**", "*"))]
    assert patterns
    assert unmatched == [], "a rule that matches no module checks nothing"


def tracked() -> list[str]:
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def private_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield each private word or phrase with its line number. A phrase over two lines has the number of the second."""
    last = ""
    for number, line in enumerate(text.splitlines(), start=1):
        for word in map(str.lower, WORD.findall(line)):
            if word in WORDS:
                yield number, word
            elif (last, word) in PHRASES:
                yield number, f"{last} {word}"
            last = word


def test_no_file_has_a_private_word() -> None:
    findings = []
    for name in tracked():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in KEPT):
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not a text file
        findings += [f"{name}:{number}: {word!r}" for number, word in private_words(text)]
    assert findings == [], "use a plain word (fix, report, notify, return, process, channel, they), or add to KEPT"


def test_words_are_found_in_names_and_across_lines() -> None:
    text = "TooLargeForAStranger MAX_ROOMS\nthe_other\nkept for\never"
    assert list(private_words(text)) == [(1, "stranger"), (1, "rooms"), (4, "for ever")]
    assert list(private_words("theme, recommend, there, room, for everyone, amended")) == []
