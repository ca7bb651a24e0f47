"""The columns of a student import, in the order of the staging table."""

COLUMNS = (
    "name", "email", "roll_number", "branch", "batch_year", "tenth_percent", "twelfth_percent", "diploma_percent",
    "cgpa", "active_backlogs", "department",
)  # fmt: skip
REQUIRED = ("name", "email", "roll_number")
# Either of them identifies a student on record.
IDENTIFYING = frozenset({"email", "roll_number"})
