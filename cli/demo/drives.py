"""The two drives of the demo, and plain SQL that counts the expected selections without the product's functions."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoDrive:
    """A drive of the demo. ``should_select``: the SQL condition on ``students`` that selects the expected students."""

    form: dict[str, Any]
    should_select: str

    @property
    def count(self) -> str:
        return f"SELECT count(*) AS count FROM students WHERE {self.should_select}"  # noqa: S608 - written above

    @property
    def description(self) -> str:
        return f"{self.form['job_title']} at {self.form['company_name']}, for {self.should_select}"


FIRST = DemoDrive(
    {
        "company_name": "Northwind Systems",
        "job_title": "Software Engineer",
        "job_description": "Backend work on payments.",
        "min_cgpa": "7.00",
        "min_10th": "60",
        "min_12th": "60",
        "max_backlogs": "0",
        "auto_calc": "true",
    },
    "cgpa >= 7 AND tenth_percent >= 60 AND twelfth_percent >= 60 AND active_backlogs = 0",
)
SECOND = DemoDrive(
    {
        "company_name": "Helios Energy",
        "job_title": "Graduate Trainee",
        "job_description": "Two years through all departments.",
        "min_cgpa": "6.50",
        "max_backlogs": "1",
        "branches": ["ECE", "EEE", "ME"],
    },
    "cgpa >= 6.5 AND active_backlogs <= 1 AND branch IN ('ECE', 'EEE', 'ME')",
)

IN_FORCE = "SELECT count(*) AS count FROM selections WHERE drive_id = $1 AND revoked_version IS NULL"
A_SELECTED = """
SELECT student_id FROM selections JOIN users ON user_id = student_id
 WHERE drive_id = $1 AND revoked_version IS NULL AND email <> ALL ($2) ORDER BY student_id LIMIT 1
"""
AN_UNSELECTED = """
SELECT student_id FROM students s JOIN users ON user_id = student_id
 WHERE email <> ALL ($2)
   AND NOT EXISTS (SELECT FROM selections c
                    WHERE c.drive_id = $1 AND c.student_id = s.student_id AND c.revoked_version IS NULL)
 ORDER BY student_id LIMIT 1
"""
RECORD = """
SELECT name, email, roll_number, branch, cgpa, tenth_percent, twelfth_percent, active_backlogs
  FROM students JOIN users ON user_id = student_id WHERE student_id = $1
"""
