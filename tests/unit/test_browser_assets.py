"""Browser assets: devstack unpacks them from locked jars, and the API serves them for /api/docs."""

import re
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from devstack import artifacts, browser_assets
from devstack.browser_assets import FILES, LICENCES, WEBJARS, copy_assets, ensure_assets
from services.api.main import create_app
from tests.support.service_settings import api_settings

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"
EVERY = {**FILES, **LICENCES}


def jar_files(folder: Path) -> dict[str, Path]:
    """Write a jar for each artifact, with one file more than is unpacked. Return the paths by coordinate."""
    folder.mkdir()
    jars = {}
    for coordinate in WEBJARS:
        _, artifact, version = coordinate.split(":")
        jars[coordinate] = folder / f"{artifact}.jar"
        with ZipFile(jars[coordinate], "w") as archive:
            archive.writestr("META-INF/resources/webjars/../../outside.js", "not taken")
            for name, (owner, inner) in EVERY.items():
                if owner == artifact:
                    archive.writestr(f"META-INF/resources/webjars/{artifact}/{version}/{inner}", f"content of {name}")
    return jars


def test_only_the_listed_files_are_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "assets"
    browser_assets._unpack(jar_files(tmp_path / "jars"), folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: f"content of {name}" for name in EVERY}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_a_missing_file_is_unpacked_again(tmp_path: Path) -> None:
    folder = tmp_path / "assets"
    assert ensure_assets(folder) == folder
    (folder / "htmx.min.js").unlink()
    assert (ensure_assets(folder) / "htmx.min.js").read_bytes().startswith(b"var htmx")
    assert ensure_assets(folder, jars=[], repositories={}) == folder


def test_the_copy_for_an_image_holds_only_files_and_licences(tmp_path: Path) -> None:
    assert {path.name for path in copy_assets(tmp_path / "image").iterdir()} == EVERY.keys()


def test_the_lock_file_names_the_jars_that_are_unpacked() -> None:
    locked = [jar.coordinate for jar in artifacts.locked(browser_assets.LOCK_FILE)]
    assert sorted(locked) == sorted(WEBJARS)
    assert {coordinate.split(":")[1] for coordinate in WEBJARS} == {artifact for artifact, _ in EVERY.values()}


async def test_the_api_docs_page_loads_only_files_of_this_server(tmp_path: Path) -> None:
    app = create_app(api_settings(NOWHERE, tmp_path, assets_folder=ensure_assets()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        page = await client.get("/api/docs")
        assert page.status_code == 200
        loaded = re.findall(r'<(?:script|link)\b[^>]*?(?:src|href)="([^"]+)"', page.text)
        assert {path.rsplit("/")[-1] for path in loaded} == {"swagger-ui-bundle.js", "swagger-ui.css", "data:,"}
        for path in (address for address in loaded if address != "data:,"):
            asset = await client.get(path)
            assert (asset.status_code, "immutable" in asset.headers["cache-control"]) == (200, True)
        assert (await client.get("/api/docs/assets/0123456789abcdef/swagger-ui.css")).status_code == 404
        assert "https://" not in page.text


def test_the_api_does_not_start_when_an_asset_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"swagger-ui-bundle\.js is missing"):
        create_app(api_settings(NOWHERE, tmp_path, assets_folder=tmp_path))
