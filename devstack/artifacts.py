"""Download jars once per user, with locked versions and checksums. By default these are Kafka's jars."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from devstack.exclusive import exclusive
from devstack.failures import DownloadFailed

KAFKA_VERSION = "4.1.0"
# Kafka logs through slf4j 1.7; without this binding it logs nothing.
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    "org.apache.logging.log4j:log4j-core:2.24.3",
)
LOCK_FILE = Path(__file__).with_name("kafka.lock")
LOCK_HEAD = "# Made by `python -m devstack lock`. coordinate, size in bytes, SHA-256\n"
DOWNLOADS_AT_ONCE = 6
TIMEOUT_S = 60
SCRATCH = ".download-"


@dataclass(frozen=True, slots=True)
class Jar:
    """A locked jar. ``coordinate``: group:artifact:version, or group:artifact:version:classifier."""

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"

    def is_in(self, folder: Path) -> bool:
        path = folder / self.filename
        return path.is_file() and path.stat().st_size == self.size_bytes


def cache_folder() -> Path:
    """Return the cache folder that all checkouts of this user share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "placewire"


def locked(lock_file: Path = LOCK_FILE) -> list[Jar]:
    lines = (line.split() for line in lock_file.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in lines]


def ensure_jars(
    folder: Path | None = None,
    jars: list[Jar] | None = None,
    repositories: dict[str, str] | None = None,
    *,
    what: str = f"Kafka {KAFKA_VERSION}",
) -> list[Path]:
    """Return the paths of all locked jars. Download missing ones with a progress bar. Wait for another download.

    ``repositories``: Maven repositories, name to URL; jgo's by default. ``what``: the text of the progress bar.
    Raises ``DownloadFailed``. Then no partial or wrong jar is left behind.
    """
    folder = folder or cache_folder() / f"kafka-{KAFKA_VERSION}"
    jars = locked() if jars is None else jars
    if not all(jar.is_in(folder) for jar in jars):
        with exclusive(folder / ".lock"):
            for leftover in folder.glob(f"{SCRATCH}*"):  # of a killed download
                shutil.rmtree(leftover)
            missing = [jar for jar in jars if not jar.is_in(folder)]
            if missing:
                _download_all(missing, folder, repositories, what)
    return [folder / jar.filename for jar in jars]


def _download_all(jars: list[Jar], folder: Path, repositories: dict[str, str] | None, what: str) -> None:
    columns = (
        TextColumn("Downloading {task.description}, once: {task.fields[done]} of {task.fields[count]} jars"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads:
        total = sum(jar.size_bytes for jar in jars)
        task = progress.add_task(what, total=total, done=0, count=len(jars))
        advance = partial(progress.advance, task)
        downloads = [threads.submit(_download, jar, folder, repositories, advance) for jar in jars]
        try:
            for done, download in enumerate(downloads, 1):
                download.result()
                progress.update(task, done=done)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _download(jar: Jar, folder: Path, repositories: dict[str, str] | None, advance: Callable[[int], None]) -> None:
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        try:
            fetched = _fetch(jar, Path(scratch) / "repository", repositories, advance)
        except Exception as error:
            raise DownloadFailed(
                f"could not download {jar.filename} ({type(error).__name__}): is there a network? Try again later"
            ) from error
        digest = hashlib.sha256(fetched.read_bytes()).hexdigest()
        if digest != jar.sha256:
            raise DownloadFailed(f"{jar.filename} is not the locked one: SHA-256 is {digest}, not {jar.sha256}")
        # Atomic, so that another process sees the complete file or none.
        fetched.replace(folder / jar.filename)


@retry(
    retry=retry_if_exception_type(OSError),  # the errors of ``requests`` for a failed network
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
def _fetch(jar: Jar, into: Path, repositories: dict[str, str] | None, advance: Callable[[int], None]) -> Path:
    @contextmanager
    def report(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield advance

    if into.exists():
        shutil.rmtree(into)  # a partial file of the previous attempt
    resolver = PythonResolver(progress_callback=report)
    context = MavenContext(resolver, repo_cache=into, remote_repos=repositories, timeout=TIMEOUT_S)
    group, artifact, version, *classifier = jar.coordinate.split(":")
    return Path(context.project(group, artifact).at_version(version).artifact(*classifier).resolve())


def lock(lock_file: Path = LOCK_FILE, roots: Sequence[str] = ROOTS, *, transitive: bool = True) -> int:
    """Resolve ``roots`` again, download everything and write the lock file. Return the number of jars.

    ``transitive``: also lock the dependencies of ``roots``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), timeout=TIMEOUT_S)
        # "!": log4j's own dependency management must not choose the version of Kafka's client.
        inputs, others = context.resolver.resolve([context.create_dependency(f"{root}!") for root in roots])
        jars = {
            _locked(dependency)
            for dependency in (*inputs, *(others if transitive else ()))
            if dependency.scope not in ("test", "provided") and dependency.type == "jar"
        }
    lines = sorted(f"{jar.coordinate} {jar.size_bytes} {jar.sha256}\n" for jar in jars)
    lock_file.write_text(LOCK_HEAD + "".join(lines))
    return len(lines)


def _locked(dependency: Any) -> Jar:
    content = Path(dependency.artifact.resolve()).read_bytes()
    parts = (dependency.groupId, dependency.artifactId, dependency.version, dependency.classifier)
    return Jar(":".join(part for part in parts if part), len(content), hashlib.sha256(content).hexdigest())
