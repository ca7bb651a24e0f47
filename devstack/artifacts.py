"""The jars of Kafka: versions and checksums locked, downloaded once per user, checked, and kept."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

KAFKA_VERSION = "4.1.0"
# Kafka logs through slf4j 1.7; without this binding it logs nothing.
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    "org.apache.logging.log4j:log4j-core:2.24.3",
)
LOCK_FILE = Path(__file__).with_name("kafka.lock")


class DownloadFailed(SystemExit):
    """A jar could not be had, or is not the one that was locked. Ends the program with one line."""


@dataclass(frozen=True, slots=True)
class Jar:
    """``coordinate``: group:artifact:version, with a classifier as a fourth part where there is one."""

    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"


def cache_folder() -> Path:
    """Where jars are kept for every checkout of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "placewire" / f"kafka-{KAFKA_VERSION}"


def locked(lock_file: Path = LOCK_FILE) -> list[Jar]:
    lines = (line.split() for line in lock_file.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, sha256) for coordinate, sha256 in lines]


def ensure_jars(folder: Path | None = None, jars: list[Jar] | None = None) -> list[Path]:
    """The paths of all locked jars, downloading what is missing with a progress bar. Safe beside another download.

    Raises ``DownloadFailed``; no partial or wrong jar is then left behind.
    """
    folder = folder or cache_folder()
    jars = locked() if jars is None else jars
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (folder / jar.filename).exists()]
    if missing:
        with _progress() as progress:
            task = progress.add_task(f"Kafka {KAFKA_VERSION}", total=len(missing))
            for jar in missing:
                _download(jar, folder)
                progress.advance(task)
    return [folder / jar.filename for jar in jars]


def _progress() -> Progress:
    columns = (
        TextColumn("Downloading {task.description}, once"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jars"),
    )
    return Progress(*columns)


def _download(jar: Jar, folder: Path) -> None:
    with _scratch(folder) as scratch:
        try:
            fetched = _fetch(jar.coordinate, scratch)
        except Exception as error:
            raise DownloadFailed(f"could not download {jar.filename}: {type(error).__name__}: {error}") from error
        found = hashlib.sha256(fetched.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise DownloadFailed(f"{jar.filename} is not the locked one: SHA-256 is {found}, not {jar.sha256}")
        # Atomic: another process that downloads the same sees all of it or nothing.
        os.replace(fetched, folder / jar.filename)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _fetch(coordinate: str, repo_cache: Path) -> Path:
    group, artifact, version, *classifier = coordinate.split(":")
    component = MavenContext(repo_cache=repo_cache, timeout=60).project(group, artifact).at_version(version)
    return Path(component.artifact(*classifier).resolve())


def lock(lock_file: Path = LOCK_FILE) -> int:
    """Resolve ``ROOTS`` anew, download everything and write the lock file. Returns the number of jars."""
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), timeout=60)
        # "!": log4j's own dependency management must not choose the version of Kafka's client.
        inputs, transitive = context.resolver.resolve([context.create_dependency(f"{root}!") for root in ROOTS])
        lines = set()
        for dependency in (*inputs, *transitive):
            if dependency.scope in ("test", "provided") or dependency.type != "jar":
                continue
            path = Path(dependency.artifact.resolve())
            parts = [dependency.groupId, dependency.artifactId, dependency.version]
            coordinate = ":".join([*parts, *([dependency.classifier] if dependency.classifier else [])])
            lines.add(f"{coordinate} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    head = "# Made by `python -m devstack lock`: coordinate, SHA-256.\n"
    lock_file.write_text(head + "\n".join(sorted(lines)) + "\n")
    return len(lines)
