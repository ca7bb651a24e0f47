""".env.example explains every setting, and a missing or wrong setting is reported in one line that names it."""

import re
from pathlib import Path

import pytest
from obstore.store import S3Store
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from chassis.messaging.relay_process import RelaySettings
from chassis.settings import load
from services.api.settings import ApiSettings
from services.console.settings import ConsoleSettings
from services.eligibility.settings import EligibilitySettings
from services.exporter.settings import ExporterSettings
from services.maintenance.settings import MaintenanceSettings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
PROCESSES: list[type[BaseSettings]] = [
    ApiSettings,
    ConsoleSettings,
    RelaySettings,
    EligibilitySettings,
    ExporterSettings,
    MaintenanceSettings,
]
OF_THE_COMMAND_LINE = {
    "MIGRATION_DATABASE_URL",
    "PLACEWIRE_API",
    "PLACEWIRE_EMAIL",
    "PLACEWIRE_PASSWORD",
    "PLACEWIRE_TOKEN",
    "PLACEWIRE_NEW_PASSWORD",
}
# Names the folder of secret settings, and is no setting itself.
FOLDER_OF_SECRETS = {"SECRETS_DIR"}
# obstore reads these itself.
OF_THE_STORAGE = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
}
# Other programs define these variables; our code only reads them.
OF_OTHER_PROGRAMS = {"DOCKER_HOST", "XDG_CACHE_HOME", "PYTHONPATH"}
# Selects the servers that tests use (devstack/choice.py).
OF_TESTS = {"DEVSTACK"}
READ = re.compile(r"""environ(?:\.get\(|\[)"([A-Z_]+)"|envvar="([A-Z_]+)\"""")


def documented() -> dict[str, str]:
    """Return the example value of each variable, also of assignments that are commented out."""
    return dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), flags=re.MULTILINE))


def test_the_example_has_exactly_the_settings() -> None:
    names = {name.upper() for settings in PROCESSES for name in settings.model_fields}
    assert documented().keys() == names | OF_THE_COMMAND_LINE | FOLDER_OF_SECRETS | OF_THE_STORAGE


def test_every_variable_that_code_reads_is_in_the_example() -> None:
    root = EXAMPLE.parent
    files = [path for folder in ("chassis", "services", "cli", "devstack") for path in (root / folder).rglob("*.py")]
    read = {name for path in files for groups in READ.findall(path.read_text()) for name in groups if name}
    assert read >= {"SECRETS_DIR", "PLACEWIRE_API"}
    assert read - OF_OTHER_PROGRAMS - OF_TESTS <= documented().keys()


@pytest.mark.parametrize("name", sorted(OF_THE_STORAGE))
def test_the_storage_library_knows_its_settings(name: str) -> None:
    """obstore raises for a name that it does not know."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "x"}
    value = "true" if "ALLOW" in name or "STYLE" in name else "https://storage.example"
    assert S3Store("bucket", config={**keys, name: value})  # type: ignore[arg-type]


def test_the_example_shows_the_defaults() -> None:
    shown = documented()
    for settings in PROCESSES:
        for name, field in settings.model_fields.items():
            own_port = name in ("port", "database_pool_size")
            if field.default not in (None, PydanticUndefined) and not own_port:
                assert shown[name.upper()] == str(field.default), name


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in documented():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://placewire_api@localhost/placewire")
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    monkeypatch.setenv("INTERNAL_SECRET", "y" * 32)
    monkeypatch.setenv("STORAGE_URL", "file:///tmp/uploads")
    return monkeypatch


def test_a_complete_environment_loads(environment: pytest.MonkeyPatch) -> None:
    assert load(ApiSettings).port == 5000


@pytest.mark.parametrize("name", ["DATABASE_URL", "JWT_SECRET", "INTERNAL_SECRET", "STORAGE_URL"])
def test_a_missing_setting_is_reported_in_one_line(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(SystemExit) as error:
        load(ApiSettings)
    assert str(error.value).startswith(f"{name} is not set")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "seventy"), ("JWT_SECRET", "too short"), ("DATABASE_URL", "mysql://x")]
)
def test_the_error_of_a_wrong_setting_does_not_show_its_value(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as error:
        load(ApiSettings)
    assert str(error.value).startswith(f"{name} is wrong")
    assert value not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example/, https://b.example"),
        ("CORS_ORIGINS", "b.example"),
        ("FRONTEND_DIST", "/nowhere/dist"),
        ("FRONTEND_DIST", "/tmp"),
    ],
)
def test_settings_of_the_frontend_are_checked_at_the_start(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as error:
        load(ApiSettings)
    assert str(error.value).startswith(f"{name} is wrong")


def test_origins_are_parsed_into_a_list_and_an_empty_folder_means_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CORS_ORIGINS", "https://a.example , http://localhost:5173")
    environment.setenv("FRONTEND_DIST", "")
    settings = load(ApiSettings)
    assert settings.allowed_origins == ["https://a.example", "http://localhost:5173"]
    assert settings.frontend_dist is None


def test_a_pool_too_small_for_its_jobs_is_reported_in_one_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JOBS_AT_ONCE", "10")
    with pytest.raises(SystemExit) as error:
        load(EligibilitySettings)
    assert str(error.value) == "DATABASE_POOL_SIZE is wrong: it must be at least JOBS_AT_ONCE + 2"


def test_jobs_must_be_kept_as_long_as_idempotency_keys(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JOBS_KEPT_DAYS", "5")
    with pytest.raises(SystemExit) as error:
        load(MaintenanceSettings)
    assert str(error.value) == "JOBS_KEPT_DAYS is wrong: it must be at least IDEMPOTENCY_KEYS_KEPT_DAYS"


def test_settings_missing_in_the_environment_are_read_from_files(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("JWT_SECRET")
    environment.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "jwt_secret").write_text("z" * 40 + "\n")
    (tmp_path / "internal_secret").write_text("not used: the environment has this setting")
    settings = load(ApiSettings)
    assert settings.jwt_secret.get_secret_value() == "z" * 40
    assert settings.internal_secret.get_secret_value() == "y" * 32


def test_a_missing_folder_of_secrets_is_reported_in_one_line(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="SECRETS_DIR is wrong: there is no folder"):
        load(ApiSettings)


def test_a_failpoint_is_refused_in_production(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FAILPOINT", "after-commit")
    with pytest.raises(SystemExit, match="FAILPOINT is for tests"):
        load(ApiSettings)
    environment.setenv("ENVIRONMENT", "development")
    assert load(ApiSettings).failpoint == "after-commit"
