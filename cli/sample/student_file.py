"""Generate a file of students with a realistic distribution of marks. The same seed gives the same file."""

import csv
import random
from collections.abc import Callable, Iterator
from pathlib import Path

# Typical headers of real files, which the import recognises.
HEADER = (
    "Student Name", "Email", "Roll No", "Branch", "Batch", "10th %", "12th %", "CGPA", "Active Backlogs", "Department",
)  # fmt: skip
BRANCHES = {"CSE": 32, "IT": 18, "ECE": 20, "EEE": 10, "ME": 12, "CE": 8}
DEPARTMENTS = {
    "CSE": "Computing", "IT": "Computing", "ECE": "Electronics", "EEE": "Electronics", "ME": "Mechanics",
    "CE": "Building",
}  # fmt: skip
BATCH = 2027
GIVEN = (
    "Aarav", "Aditi", "Akash", "Ananya", "Arjun", "Bhavna", "Chetan", "Deepa", "Dev", "Divya", "Esha", "Farhan",
    "Gauri", "Harsh", "Ishaan", "Jaya", "Kabir", "Kavya", "Lakshmi", "Manish", "Meera", "Nikhil", "Nisha", "Om",
    "Pooja", "Rahul", "Riya", "Rohan", "Sana", "Sneha", "Tara", "Uday", "Varun", "Vidya", "Yash", "Zoya",
)  # fmt: skip
FAMILY = (
    "Agarwal", "Bhat", "Chauhan", "Das", "Deshmukh", "Fernandes", "Gupta", "Iyer", "Jain", "Joshi", "Kapoor", "Khan",
    "Kulkarni", "Kumar", "Menon", "Mishra", "Nair", "Patel", "Pillai", "Rao", "Reddy", "Saxena", "Sen", "Shah",
    "Sharma", "Singh", "Thomas", "Verma",
)  # fmt: skip
# Diploma holders have no 12th mark, and some marks are missing.
NO_TWELFTH, NO_TENTH, NO_CGPA = 0.03, 0.004, 0.006

Row = tuple[str | int, ...]


def rows(count: int, *, seed: int = 2027) -> Iterator[Row]:
    """Yield ``count`` students, the same for the same ``seed``, with unique e-mail addresses and roll numbers."""
    rng = random.Random(seed)  # noqa: S311 - made-up marks
    branches, weights = tuple(BRANCHES), tuple(BRANCHES.values())
    for number in range(1, count + 1):
        branch = rng.choices(branches, weights)[0]
        given, family = rng.choice(GIVEN), rng.choice(FAMILY)
        email = f"{given}.{family}.{number}@students.college.edu".lower()
        marks = _marks(rng)
        yield (
            f"{given} {family}",
            email,
            f"{BATCH % 100}{branch}{number:07}",
            branch,
            BATCH,
            *marks,
            DEPARTMENTS[branch],
        )


def write(path: Path, count: int, *, written: Callable[[int], None] = lambda _: None, seed: int = 2027) -> None:
    """Write a CSV file of ``count`` students. Calls ``written`` with the row count after every thousand rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for number, row in enumerate(rows(count, seed=seed), start=1):
            writer.writerow(row)
            if number % 1000 == 0 or number == count:
                written(number)


def _marks(rng: random.Random) -> tuple[str, str, str, int]:
    """Return 10th, 12th, CGPA and backlogs. They are correlated, and weak students have backlogs."""
    talent = rng.gauss(0, 1)
    tenth = _mark(rng, 77 + 8 * talent + rng.gauss(0, 7), NO_TENTH, at_most=100)
    twelfth = _mark(rng, 72 + 8 * talent + rng.gauss(0, 8), NO_TWELFTH, at_most=100)
    points = 7.1 + 0.85 * talent + rng.gauss(0, 0.45)
    backlogs = 0
    while backlogs < 12 and rng.random() < (0.55 if points < 6 else 0.12 if points < 7 else 0.03):
        backlogs += 1
    return tenth, twelfth, _mark(rng, points, NO_CGPA, at_most=10), backlogs


def _mark(rng: random.Random, value: float, missing: float, *, at_most: int) -> str:
    """Return a mark with two decimals, or empty text if it is missing. Values below the pass mark are mirrored."""
    least = 0.35 * at_most
    return "" if rng.random() < missing else f"{min(at_most, least + abs(value - least)):.2f}"
