"""Where the command's settings come from, and what ``up`` writes down."""

import os
import stat
from pathlib import Path

import pytest

from cli import environment
from cli.failures import Failure
from cli.local import settings
from cli.local.settings import Place, as_role, named

URL = "postgresql://postgres@127.0.0.1:5432/placewire"


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PORT", "JWT_SECRET", "ENVIRONMENT"):
        # set and deleted: so that what `load` sets is undone too
        monkeypatch.setenv(name, "-")
        monkeypatch.delenv(name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    ports = {"api": 5000, "eligibility": 5001, "exporter": 5002, "maintenance": 5003, "relay": 5004}
    return Place(URL, "127.0.0.1:9092", ports, tmp_path / "uploads", settings.fresh_secrets())


def test_lines_are_read_as_they_were_written() -> None:
    values = {"A": "postgresql://x@y/z?a=b", "B": "", "C": "two words"}
    assert environment.parse("# a comment\n\n" + environment.render(values)) == values


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("DATABASE_URL=from-file\nPORT=1\n")
    monkeypatch.setenv("PORT", "2")
    environment.load(folder=tmp_path)
    assert (os.environ["DATABASE_URL"], os.environ["PORT"]) == ("from-file", "2")


def test_with_a_database_in_the_environment_the_file_says_nothing(
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


def test_what_holds_secrets_is_for_its_owner_only(place: Place, tmp_path: Path) -> None:
    for path in settings.keep(place, ("head@college.edu", "secret"), tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_made_once_for_a_checkout(place: Place, tmp_path: Path) -> None:
    settings.keep(place, ("head@college.edu", "secret"), tmp_path)
    settings.forget(tmp_path)
    assert settings.kept_secrets(tmp_path) == place.secrets
    assert environment.parse((tmp_path / "env").read_text()) == place.secrets
    assert all(len(secret) >= 32 for secret in place.secrets.values())


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(Failure, match="NO_SUCH or NOR_THIS is not set"):
        environment.require("NO_SUCH", "NOR_THIS", meaning="an address")


def test_addresses_are_changed_only_where_meant() -> None:
    assert as_role(URL, "placewire_api") == "postgresql://placewire_api@127.0.0.1:5432/placewire"
    assert named(URL, "other") == "postgresql://postgres@127.0.0.1:5432/other"
