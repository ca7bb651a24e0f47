"""Download third-party stylesheets and scripts for browsers: WebJars with locked versions, unpacked once per user."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from zipfile import ZipFile

from devstack.artifacts import Jar, cache_folder, ensure_jars, locked
from devstack.exclusive import exclusive

WEBJARS = (
    "org.webjars.npm:htmx.org:2.0.8",
    "org.webjars.npm:htmx-ext-sse:2.2.2",
    "org.webjars:bootstrap:5.3.8",
    "org.webjars.npm:bootstrap-icons:1.13.1",
    "org.webjars:swagger-ui:5.34.1",
)
LOCK_FILE = Path(__file__).with_name("browser.lock")
# Our name of a file: the artifact, and the path in its jar.
FILES = {
    "htmx.min.js": ("htmx.org", "dist/htmx.min.js"),
    "htmx-sse.js": ("htmx-ext-sse", "sse.js"),
    "bootstrap.min.css": ("bootstrap", "css/bootstrap.min.css"),
    "bootstrap-icons.svg": ("bootstrap-icons", "bootstrap-icons.svg"),
    "swagger-ui.css": ("swagger-ui", "swagger-ui.css"),
    "swagger-ui-bundle.js": ("swagger-ui", "swagger-ui-bundle.js"),
}
# The licences of these files, which must be shipped with them.
LICENCES = {
    "LICENSE.htmx.txt": ("htmx.org", "LICENSE"),
    "LICENSE.htmx-sse.txt": ("htmx-ext-sse", "LICENSE"),
    "LICENSE.bootstrap-icons.txt": ("bootstrap-icons", "LICENSE"),
    "LICENSE.swagger-ui.txt": ("swagger-ui", "swagger-ui-bundle.js.LICENSE.txt"),
}


def ensure_assets(
    folder: Path | None = None, jars: list[Jar] | None = None, repositories: dict[str, str] | None = None
) -> Path:
    """Return the folder with all files of ``FILES`` and ``LICENCES``. Download and unpack missing ones.

    All checkouts of this user share the default folder. Raises ``DownloadFailed``.
    """
    jars = locked(LOCK_FILE) if jars is None else jars
    folder = folder or cache_folder() / f"browser-{_digest(jars)}"
    if _is_complete(folder):
        return folder
    with exclusive(cache_folder() / "browser.lock"):
        if not _is_complete(folder):
            paths = ensure_jars(cache_folder() / "webjars", jars, repositories, what="browser assets")
            _unpack(dict(zip((jar.coordinate for jar in jars), paths, strict=True)), folder)
    return folder


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (*FILES, *LICENCES))


def _unpack(jars: dict[str, Path], folder: Path) -> None:
    """Unpack files into a scratch folder, then move each into ``folder``, so that it appears there complete."""
    folder.mkdir(parents=True, exist_ok=True)
    by_artifact = {coordinate.split(":")[1]: (coordinate, path) for coordinate, path in jars.items()}
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        for name, (artifact, inner) in (FILES | LICENCES).items():
            coordinate, jar = by_artifact[artifact]
            version = coordinate.split(":")[2]
            with ZipFile(jar) as archive:
                content = archive.read(f"META-INF/resources/webjars/{artifact}/{version}/{inner}")
            unpacked = Path(scratch) / name
            unpacked.write_bytes(content)
            unpacked.chmod(0o644)
            os.replace(unpacked, folder / name)


def copy_assets(folder: Path) -> Path:
    """Copy the assets into ``folder``, for a container image or a server. Return ``folder``."""
    shutil.copytree(ensure_assets(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".unpack-*"))
    return folder


def _digest(jars: list[Jar]) -> str:
    content = repr((sorted(jar.sha256 for jar in jars), sorted((FILES | LICENCES).items())))
    return hashlib.sha256(content.encode()).hexdigest()[:12]
