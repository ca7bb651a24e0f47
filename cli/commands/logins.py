"""Print the sample accounts as a table."""

from cli.output import console, table
from cli.sample import people


def show_logins() -> None:
    rows = [(email, people.PASSWORD, str(role)) for email, _, role in people.STAFF]
    rows.append(("student1@college.edu ... student10@college.edu", people.PASSWORD, "STUDENT"))
    console.print(table(("Login", "Password", "Role"), rows))
