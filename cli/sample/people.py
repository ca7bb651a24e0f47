"""The accounts and job domains of a new development system. Every password is ``password123``."""

from decimal import Decimal

from cli.output import console, table
from contracts.students import AcademicRecord
from contracts.users import Role
from services.api.users.decider import Person

PASSWORD = "password123"  # noqa: S105 - refused outside development

STAFF = (
    ("head@college.edu", "Asha Head", Role.HEAD),
    ("coord@college.edu", "Ravi Coordinator", Role.COORDINATOR),
    ("staff1@college.edu", "Meera Staff", Role.STAFF),
)

DOMAINS = (
    "Artificial Intelligence",
    "Backend Development",
    "Business Analysis",
    "Cloud Computing",
    "Cyber Security",
    "Data Science",
    "DevOps",
    "Embedded Systems",
    "Finance",
    "Frontend Development",
    "Quality Assurance",
    "Software Development",
)

NUMBERS = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
# CGPA, 10th, 12th, backlogs. Students One to Five meet 6/60/60/0; each of the others fails a different criterion.
MARKS: tuple[tuple[str | None, str | None, str | None, int], ...] = (
    ("8.40", "91.00", "88.50", 0),
    ("7.25", "78.40", "81.00", 0),
    ("6.00", "60.00", "60.00", 0),
    ("9.10", "95.20", "93.75", 0),
    ("6.75", "72.00", "66.60", 0),
    ("5.99", "70.00", "71.00", 0),
    ("7.10", "59.50", "68.00", 0),
    ("7.80", "82.00", "58.25", 0),
    ("8.05", "85.00", "80.00", 2),
    (None, "76.00", "74.00", 0),
)
BRANCHES = ("CSE", "IT", "ECE", "EEE", "ME")


def show_logins() -> None:
    """Print the login and the password of every sample account."""
    rows = [(email, PASSWORD, str(role)) for email, _, role in STAFF]
    rows.append(("student1@college.edu ... student10@college.edu", PASSWORD, "STUDENT"))
    console.print(table(("Login", "Password", "Role"), rows))


def students() -> list[tuple[Person, AcademicRecord]]:
    """Return students One to Ten."""
    return [(_person(number), _record(number, marks)) for number, marks in enumerate(MARKS, start=1)]


def _person(number: int) -> Person:
    name = f"Student {NUMBERS[number - 1]}"
    return Person(1, name, f"student{number}@college.edu", f"SAMPLE-{number:02}")


def _record(number: int, marks: tuple[str | None, str | None, str | None, int]) -> AcademicRecord:
    cgpa, tenth, twelfth, backlogs = marks
    return AcademicRecord(
        branch=BRANCHES[number % len(BRANCHES)],
        batch_year=2027,
        tenth_percent=_decimal(tenth),
        twelfth_percent=_decimal(twelfth),
        cgpa=_decimal(cgpa),
        active_backlogs=backlogs,
    )


def _decimal(mark: str | None) -> Decimal | None:
    return None if mark is None else Decimal(mark)
