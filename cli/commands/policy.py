"""``placewire policy``: check a policy document, test it with cases, and compare it with another."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.failures import NO, Failure
from cli.output import console, errors, table

if TYPE_CHECKING:
    from contracts.policy.document import Policy
    from services.api.policy.located import Located, Problem
    from services.api.policy.simulation import Change, Population

SHOWN = 100

app = typer.Typer(
    help="The campus's placement policy: check it, test it, compare it. Works on files; docs/policy.md explains them.",
    no_args_is_help=True,
)

PolicyFile = Annotated[Path, typer.Argument(help="A policy document, YAML or JSON.", exists=True, dir_okay=False)]
FACTS_HELP = "The season, its drives and students (YAML or JSON)."


@app.callback()
def policy() -> None:
    """The campus's placement policy: check it, test it, compare it. Works on files; docs/policy.md explains them."""


@app.command()
def check(
    file: PolicyFile,
    facts: Annotated[
        Path | None,
        typer.Option(help=f"{FACTS_HELP} Also checks the policy against them.", exists=True, dir_okay=False),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print each rule in plain language.")] = False,
) -> None:
    """Report every error and warning about a policy document, with its line and column.

    Checks the grammar, the questions that every policy must answer, the names, and rules that can never apply.
    Exit 0: the policy can be adopted, perhaps with warnings. Exit 1: it cannot.

    Example: placewire policy check policy.yaml --explain
    """
    from services.api.policy.adoption import adoption_report

    document, located = _policy(file)
    population = _population(facts) if facts else None
    report = adoption_report(document, located, population.names() if population else None)
    _print_problems(file, report.errors, "error")
    _print_problems(file, report.warnings, "warning")
    if explain:
        _explain(document)
    if report.errors:
        raise Failure(f"{file} cannot be adopted: {_counted(report.errors, 'error')}", NO)
    console.print(f"{file} can be adopted, with {_counted(report.warnings, 'warning')}.", soft_wrap=True)


@app.command("try")
def try_cases(
    file: PolicyFile,
    cases: Annotated[Path, typer.Argument(help="Facts and expected verdicts.", exists=True, dir_okay=False)],
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Print only the cases that fail.")] = False,
) -> None:
    """Apply a policy to the cases in a file, and compare the verdicts with the expected ones.

    Exit 0: every verdict is as expected. Exit 1: at least one verdict differs.

    Example: placewire policy try policy.yaml cases.yaml
    """
    from services.api.policy.cases import CaseFile, run_cases
    from services.api.policy.located import InvalidDocument
    from services.api.policy.parsing import parse_as, read_document

    document, _ = _policy(file)
    try:
        case_file = parse_as(CaseFile, read_document(cases.read_bytes()))
    except InvalidDocument as error:
        raise _invalid(cases, error.problems) from error
    results = run_cases(document, case_file)
    shown = [result for result in results if not (failed_only and result.passed)]
    rows = [
        (
            "ok" if each.passed else "FAILED",
            escape(each.name),
            each.verdict,
            each.reason,
            escape("; ".join(each.differences)),
        )
        for each in shown
    ]
    console.print(table(("", "case", "verdict", "reason", "difference"), rows))
    failed = sum(not each.passed for each in results)
    if failed:
        raise Failure(f"{failed} of {_counted(results, 'case')} failed", NO)
    console.print(f"{_counted(results, 'case')}, all as expected.")


@app.command()
def simulate(
    old: Annotated[Path, typer.Argument(help="The policy in force.", exists=True, dir_okay=False)],
    new: Annotated[Path, typer.Argument(help="The policy to compare with it.", exists=True, dir_okay=False)],
    facts: Annotated[Path, typer.Option(help=FACTS_HELP, exists=True, dir_okay=False)],
) -> None:
    """Show which students gain and lose which drives when NEW replaces OLD.

    Example: placewire policy simulate old.yaml new.yaml --facts season.yaml
    """
    from services.api.policy.simulation import by_drive
    from services.api.policy.simulation import simulate as compare

    population = _population(facts)
    result = compare(_policy(old)[0], _policy(new)[0], population)
    gaining, losing = result.gaining(), result.losing()
    _print_changes("gains", gaining)
    _print_changes("loses", losing)
    if result.changes:
        rows = [(escape(drive), gains, losses) for drive, (gains, losses) in by_drive(result.changes).items()]
        console.print(table(("drive", "students who gain it", "students who lose it"), rows))
    console.print(
        f"{result.students} students and {len(population.drives)} drives: {len(gaining)} gained, {len(losing)} lost, "
        f"{result.undetermined} undetermined by the new policy.",
        soft_wrap=True,
    )


def _print_changes(heading: str, changes: "Sequence[Change]") -> None:
    if not changes:
        return
    rows = [
        (
            escape(each.student),
            escape(each.drive),
            f"{each.before.verdict} ({each.before.code})",
            f"{each.after.verdict} ({each.after.code})",
        )
        for each in changes[:SHOWN]
    ]
    console.print(table(("student", heading, "before", "after"), rows))
    if len(changes) > SHOWN:
        console.print(f"and {len(changes) - SHOWN} more.")


def _policy(file: Path) -> "tuple[Policy, Located]":
    """Return the policy in ``file``. Prints every problem and raises ``Failure`` when there is one."""
    from services.api.policy.located import InvalidDocument
    from services.api.policy.parsing import parse_policy

    try:
        return parse_policy(file.read_bytes())
    except InvalidDocument as error:
        raise _invalid(file, error.problems) from error


def _population(file: Path) -> "Population":
    from services.api.policy.located import InvalidDocument
    from services.api.policy.parsing import parse_as, read_document
    from services.api.policy.simulation import Population

    try:
        return parse_as(Population, read_document(file.read_bytes()))
    except InvalidDocument as error:
        raise _invalid(file, error.problems) from error


def _invalid(file: Path, problems: "Sequence[Problem]") -> Failure:
    _print_problems(file, problems, "error")
    return Failure(f"{file} is not valid: {_counted(problems, 'error')}", NO)


def _print_problems(file: Path, problems: "Sequence[Problem]", kind: str) -> None:
    for problem in problems:
        errors.print(f"{file}:{problem}", markup=False, highlight=False, soft_wrap=True, end="")
        errors.print(f" ({kind})", markup=False, highlight=False)


def _explain(document: "Policy") -> None:
    from services.api.policy.document_text import policy_text

    console.print(
        table(("rule", "in plain language"), [(escape(line.rule), escape(line.text)) for line in policy_text(document)])
    )


def _counted(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
