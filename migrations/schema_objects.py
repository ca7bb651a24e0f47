"""Read the files of ``functions/``: their objects, and the order in which these are applied."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent / "functions"
REQUIRES = re.compile(r"^-- requires: (.+)$", re.MULTILINE)
BEFORE_TABLES = "\n-- applied: before the tables\n"
ONCE = "\n-- applied: once\n"
CREATES_FUNCTION = re.compile(r"^CREATE OR REPLACE FUNCTION ([\w.]+)\s*\(", re.MULTILINE)
NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A function, a type, a view, or the triggers of a table. ``name``: the file's name without ``.sql``.

    ``before_tables``: a table or an index uses the object. ``once``: applied if it is missing, and never replaced.
    """

    name: str
    sql: str
    requires: frozenset[str]
    before_tables: bool
    once: bool

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def function_count(self) -> int:
        """Return how many functions of this name the file creates; 0 for views and triggers."""
        return CREATES_FUNCTION.findall(self.sql).count(self.name)


@cache
def load() -> tuple[SchemaObject, ...]:
    """Return every object in dependency order. Raises ``graphlib.CycleError`` and ``KeyError`` for wrong headers."""
    objects = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.sql"))}
    graph = {name: sorted(object_.requires) for name, object_ in objects.items()}
    return tuple(objects[name] for name in TopologicalSorter(graph).static_order())


def _read(path: Path) -> SchemaObject:
    sql = path.read_text(encoding="utf-8")
    requires = frozenset(name.strip() for line in REQUIRES.findall(sql) for name in line.split(","))
    return SchemaObject(path.stem, sql, requires, BEFORE_TABLES in sql, ONCE in sql)


def release() -> str:
    """Return the version of this release as three numbers with dots."""
    return ".".join(NUMBERS.findall(version("placewire"))[:3])


def is_newer(one: str, other: str) -> bool:
    """Return whether release ``one`` is newer than ``other``."""
    first, second = ([int(number) for number in text.split(".")] for text in (one, other))
    return first > second
