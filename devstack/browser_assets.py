"""What browsers load that is not ours: stylesheets and scripts from WebJars, locked, downloaded once and unpacked."""

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
# The file's name for us: artifact and path in its jar.
FILES = {
    "htmx.min.js": ("htmx.org", "dist/htmx.min.js"),
    "htmx-sse.js": ("htmx-ext-sse", "sse.js"),
    "bootstrap.min.css": ("bootstrap", "css/bootstrap.min.css"),
    "bootstrap-icons.svg": ("bootstrap-icons", "bootstrap-icons.svg"),
    "swagger-ui.css": ("swagger-ui", "swagger-ui.css"),
    "swagger-ui-bundle.js": ("swagger-ui", "swagger-ui-bundle.js"),
}
# Each project's licence goes with its files.
LICENCES = {
    "LICENSE.htmx.txt": ("htmx.org", "LICENSE"),
    "LICENSE.htmx-sse.txt": ("htmx-ext-sse", "LICENSE"),
    "LICENSE.bootstrap-icons.txt": ("bootstrap-icons", "LICENSE"),
    "LICENSE.swagger-ui.txt": ("swagger-ui", "swagger-ui-bundle.js.LICENSE.txt"),
}


def ensure_assets(
    folder: Path | None = None, jars: list[Jar] | None = None, repositories: dict[str, str] | None = None
) -> Path:
    """Return the folder with every file of ``FILES`` and ``LICENCES``, downloading and unpacking what is missing.

    By default a folder that all checkouts of this user share. Raises ``DownloadFailed``.
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
    """Unpack beside ``folder`` and move each file there, so that another process sees a whole file or none."""
    folder.mkdir(parents=True, exist_ok=True)
    by_artifact = {coordinate.split(":")[1]: (coordinate, path) for coordinate, path in jars.items()}
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as scratch:
        for name, (artifact, inner) in (FILES | LICENCES).items():
            coordinate, jar = by_artifact[artifact]
            version = coordinate.split(":")[2]
            with ZipFile(jar) as archive:
                content = archive.read(f"META-INF/resources/webjars/{artifact}/{version}/{inner}")
            written = Path(scratch) / name
            written.write_bytes(content)
            written.chmod(0o644)
            os.replace(written, folder / name)


def copy_assets(folder: Path) -> Path:
    """Put the assets into ``folder``, for an image or a server. Return it."""
    shutil.copytree(ensure_assets(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".unpack-*"))
    return folder


def _digest(jars: list[Jar]) -> str:
    described = repr((sorted(jar.sha256 for jar in jars), sorted((FILES | LICENCES).items())))
    return hashlib.sha256(described.encode()).hexdigest()[:12]
