"""Commands of the command line: their arguments, their failures and their help texts."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import typer
from typer.testing import CliRunner

from chassis.errors import RuleViolation, Unavailable
from cli.api_client import server_sent
from cli.commands.drives import student_ids
from cli.failures import NO, UNREACHABLE, WRONG_USE, Failure, as_failure
from cli.main import app
from cli.replay.comparison import Cell, RowDifference, Rows, differing
from cli.replay.tables import Table

STUDENTS = Table("students", ("student_id",), ("student_id", "cgpa"))


def test_version_prints_the_version_of_the_package() -> None:
    packaged = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"placewire {packaged}\n")


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield *path, command.name or command.callback.__name__.strip("_")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, (*path, inner.name or ""))


@pytest.mark.parametrize("command", sorted(commands(app)), ids=" ".join)
def test_every_command_has_a_help_text(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.strip() and "Usage" not in line]
    assert lines[0].strip(" │╭╮─") != ""


def test_a_wrong_argument_has_its_own_exit_code() -> None:
    assert CliRunner().invoke(app, ["drives", "publish", "none"]).exit_code == WRONG_USE


def test_the_first_password_is_asked_for_twice_and_has_no_default() -> None:
    """The command asks again after an empty password, and after two that differ."""
    answers = ["", "first password", "other password", "short", "short"]
    result = CliRunner().invoke(app, ["users", "create-head", "a@college.edu"], input="\n".join(answers) + "\n")
    assert isinstance(result.exception, Failure)
    assert "at least 8 characters" in str(result.exception)
    assert result.output.count("Password: ") == 3
    assert "[" not in result.output
    assert not any(answer in result.output for answer in answers if answer)


def test_server_sent_events_are_parsed_from_lines() -> None:
    lines = [
        ": hello",
        "",
        "event: job",
        'data: {"a":',
        "data:  1}",
        "",
        ": still here",
        "",
        "data: x",
        "",
        "data: cut",
    ]
    assert list(server_sent(lines)) == [("job", '{"a":\n 1}'), ("message", "x")]


def test_student_ids_are_read_from_the_argument_or_from_a_file(tmp_path: Path) -> None:
    id_file = tmp_path / "ids.txt"
    id_file.write_text("7\n8,9\n")
    assert student_ids("1, 2,3") == [1, 2, 3]
    assert student_ids(str(id_file)) == [7, 8, 9]
    for wrong in ("one", "1,-2", " "):
        with pytest.raises(Failure):
            student_ids(wrong)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuleViolation("no"), NO),
        (Unavailable("the database cannot be reached"), UNREACHABLE),
        (httpx.ConnectError("refused", request=httpx.Request("GET", "http://127.0.0.1:1/x")), UNREACHABLE),
        (asyncpg.UndefinedTableError("no such table"), WRONG_USE),
        (asyncpg.InvalidCatalogNameError("no such database"), UNREACHABLE),
    ],
)
def test_an_expected_failure_is_reported_in_one_line(error: Exception, code: int) -> None:
    failure = as_failure(error)
    assert failure is not None
    assert (failure.code, "\n" in str(failure)) == (code, False)


def test_an_unexpected_error_is_not_turned_into_a_failure() -> None:
    assert as_failure(KeyError("x")) is None


def test_rows_are_compared_by_key_and_column() -> None:
    live: Rows = {("2",): ("2", "7.00"), ("10",): ("10", None), ("3",): ("3", "8.00")}
    replayed: Rows = {("2",): ("2", "7.00"), ("10",): ("10", "6.50"), ("4",): ("4", "9.00")}
    assert differing(STUDENTS, live, replayed) == [
        RowDifference(("3",), only="live"),
        RowDifference(("4",), only="replayed"),
        RowDifference(("10",), cells=(Cell("cgpa", None, "6.50"),)),
    ]
