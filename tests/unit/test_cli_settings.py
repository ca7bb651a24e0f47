"""The settings of the command line: their sources, and the files that ``up`` writes."""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cli import environment
from cli.failures import Failure
from cli.local import settings
from cli.local.overrides import known_names, read_overrides
from cli.local.settings import Place, as_role, named

URL = "postgresql://postgres@127.0.0.1:5432/placewire"


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PORT", "JWT_SECRET", "ENVIRONMENT"):
        # First set, then deleted: so monkeypatch also removes the value that `load` sets.
        monkeypatch.setenv(name, "-")
        monkeypatch.delenv(name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    ports = {"api": 5000, "eligibility": 5001, "exporter": 5002, "maintenance": 5003, "relay": 5004, "console": 5005}
    return Place(URL, "127.0.0.1:9092", ports, tmp_path / "uploads", settings.fresh_secrets())


def test_rendered_settings_are_parsed_back_unchanged() -> None:
    values = {"A": "postgresql://x@y/z?a=b", "B": "", "C": "two words"}
    assert environment.parse("# a comment\n\n" + environment.render(values)) == values


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("DATABASE_URL=from-file\nPORT=1\n")
    monkeypatch.setenv("PORT", "2")
    environment.load(folder=tmp_path)
    assert (os.environ["DATABASE_URL"], os.environ["PORT"]) == ("from-file", "2")


def test_the_file_is_ignored_when_the_environment_names_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "env").write_text("PORT=1\n")
    monkeypatch.setenv("DATABASE_URL", "given")
    environment.load(folder=tmp_path)
    assert "PORT" not in os.environ


def test_each_process_gets_its_own_role_and_port(place: Place, tmp_path: Path) -> None:
    settings.keep(place, ("head@college.edu", "secret"), tmp_path)
    environment.load("relay", folder=tmp_path)
    assert os.environ["DATABASE_URL"] == "postgresql://placewire_relay@127.0.0.1:5432/placewire"
    assert os.environ["PORT"] == "5004"


def test_only_the_owner_may_read_files_with_secrets(place: Place, tmp_path: Path) -> None:
    for path in settings.keep(place, ("head@college.edu", "secret"), tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_checkout_keeps_its_secrets(place: Place, tmp_path: Path) -> None:
    settings.keep(place, ("head@college.edu", "secret"), tmp_path)
    settings.forget(tmp_path)
    assert settings.kept_secrets(tmp_path) == place.secrets
    assert environment.parse((tmp_path / "env").read_text()) == place.secrets
    assert all(len(secret) >= 32 for secret in place.secrets.values())


def test_the_error_names_the_missing_setting() -> None:
    with pytest.raises(Failure, match="NO_SUCH or NOR_THIS is not set"):
        environment.require("NO_SUCH", "NOR_THIS", meaning="an address")


def test_a_url_is_changed_only_in_user_or_database() -> None:
    assert as_role(URL, "placewire_api") == "postgresql://placewire_api@127.0.0.1:5432/placewire"
    assert named(URL, "other") == "postgresql://postgres@127.0.0.1:5432/other"


def test_up_prefers_the_environment_to_the_file_and_names_the_source(tmp_path: Path, place: Place) -> None:
    (tmp_path / ".env").write_text(
        'FRONTEND_DIST="/srv/front end"\nTZ=Asia/Kolkata # the campus\nLOG_LEVEL=\nJWT_SECRET=' + "s" * 40 + "\n"
    )
    overrides = read_overrides({"TZ": "Europe/Berlin", "LOG_LEVEL": "debug", "EDITOR": "vi"}, tmp_path)
    assert overrides.lines() == [
        ("FRONTEND_DIST", "/srv/front end", ".env"),
        ("JWT_SECRET", "(set)", ".env"),
        ("LOG_LEVEL", "debug", "environment"),
        ("TZ", "Europe/Berlin", "environment"),
    ]
    for process in ("api", "exporter", "maintenance"):
        process_settings = replace(place, given=overrides.values).settings(process)
        values = tuple(process_settings[name] for name in ("TZ", "FRONTEND_DIST", "JWT_SECRET"))
        assert values == ("Europe/Berlin", "/srv/front end", "s" * 40)


def test_the_file_cannot_replace_the_servers_of_up(tmp_path: Path, place: Place) -> None:
    (tmp_path / ".env").write_text(
        "DATABASE_URL=postgresql://x@production/placewire\nSTORAGE_URL=s3://production\nPORT=1\n"
        "KAFKA_BOOTSTRAP_SERVERS=production:9092\nKAFKA_SASL_PASSWORD=x\nENVIRONMENT=production\n"
    )
    overrides = read_overrides({"DATABASE_URL": "postgresql://x@y/z"}, tmp_path)
    assert overrides.values == {}
    assert overrides.unused == [
        "DATABASE_URL", "ENVIRONMENT", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SASL_PASSWORD", "PORT", "STORAGE_URL",
    ]  # fmt: skip
    assert replace(place, given=overrides.values).settings("api") == place.settings("api")


def test_without_a_file_there_are_no_overrides(tmp_path: Path) -> None:
    overrides = read_overrides({}, tmp_path)
    assert (overrides.values, overrides.unused) == ({}, [])


def test_up_uses_or_reports_every_setting_of_the_example_file(tmp_path: Path) -> None:
    example = (environment.CHECKOUT / ".env.example").read_text()
    # Only the command line reads PLACEWIRE_… names. They are no settings of a process.
    listed = set(re.findall(r"^#? ?(?!PLACEWIRE_)([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in listed))
    overrides = read_overrides({}, tmp_path)
    assert overrides.values.keys() | set(overrides.unused) == listed
    assert known_names() <= listed
