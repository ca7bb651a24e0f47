"""What is wrong with the rows of a file, as SQL over ``import_row``: sets, not loops."""

# Trailing zeros are how some programs write 7.5 and 2026.
MARK = r"^[0-9]{1,3}(\.[0-9]{1,2}0*)?$"
WHOLE = r"^[0-9]{1,4}(\.0*)?$"
EMAIL = r"^[^@\s]+@[^@\s]+$"
SHOWN_CHARACTERS = 40

# Column, what makes it wrong, and how to say so.
Check = tuple[str, str, str]


def _text(column: str, at_most: int) -> Check:
    return column, f"length({column}) > {at_most}", f"'is longer than {at_most} characters'"


def _missing(column: str) -> Check:
    return column, f"{column} IS NULL", "'is missing'"


def _number(column: str, pattern: str, least: int, most: int, kind: str) -> Check:
    wrong = (
        f"CASE WHEN {column} IS NULL THEN false "
        f"WHEN {column} ~ '{pattern}' THEN {column}::numeric NOT BETWEEN {least} AND {most} ELSE true END"
    )
    return (
        column,
        wrong,
        f"quote_literal(left({column}, {SHOWN_CHARACTERS})) || ' is not {kind} from {least} to {most}'",
    )


A_MARK = "a number with at most two decimals"
A_WHOLE = "a whole number"

CHECKS: tuple[Check, ...] = (
    _missing("name"),
    _text("name", 200),
    _missing("email"),
    _text("email", 320),
    ("email", f"email !~ '{EMAIL}'", f"quote_literal(left(email, {SHOWN_CHARACTERS})) || ' is not an e-mail address'"),
    _missing("roll_number"),
    _text("roll_number", 64),
    _text("branch", 100),
    _text("department", 200),
    _number("batch_year", WHOLE, 1900, 2200, A_WHOLE),
    _number("tenth_percent", MARK, 0, 100, A_MARK),
    _number("twelfth_percent", MARK, 0, 100, A_MARK),
    _number("cgpa", MARK, 0, 10, A_MARK),
    _number("active_backlogs", WHOLE, 0, 1000, A_WHOLE),
)

# Nearly every row is right, so one look over all columns comes first and only the wrong rows are taken apart.
WRONG_ROW = "(" + " OR ".join(wrong for _, wrong, _ in CHECKS) + ") IS TRUE"
WRONG_CELLS = ",\n           ".join(f"('{column}', ({wrong}) IS TRUE, {say})" for column, wrong, say in CHECKS)


def _twice(column: str) -> str:
    return f"""
    SELECT r.line, '{column}', 'is the same as in line ' || t.first
      FROM import_row r JOIN (
           SELECT {column}, min(line) AS first FROM import_row GROUP BY 1 HAVING count({column}) > 1
      ) t USING ({column}) WHERE r.line > t.first"""  # noqa: S608


def _taken(column: str, table: str) -> str:
    return f"""
    SELECT r.line, '{column}', 'is on record already' FROM import_row r JOIN {table} o USING ({column})"""  # noqa: S608


# One row: how many rows, how many of them wrong, how many errors, and the first $1 errors as JSON.
JUDGE = f"""
WITH found (line, "column", reason) AS MATERIALIZED (
    SELECT line, fault_column, fault FROM import_row WHERE fault IS NOT NULL
    UNION ALL
    SELECT r.line, c."column", c.reason
      FROM import_row r, LATERAL (VALUES
           {WRONG_CELLS}
      ) AS c ("column", wrong, reason)
     WHERE r.fault IS NULL AND {WRONG_ROW} AND c.wrong
    UNION ALL {_twice("roll_number")}
    UNION ALL {_twice("email")}
    UNION ALL {_taken("roll_number", "students")}
    UNION ALL {_taken("email", "users")}
)
SELECT (SELECT count(*) FROM import_row) AS rows,
       count(DISTINCT line) AS wrong_rows,
       count(*) AS error_count,
       (SELECT coalesce(jsonb_agg(f), '[]')
          FROM (SELECT * FROM found ORDER BY line, "column", reason LIMIT $1) f) AS errors
  FROM found
"""  # noqa: S608

# The record of StudentEnrolled, exactly as the event's class writes it; a mark with the two places of its column.
RECORD = """jsonb_build_object(
               'roll_number', roll_number, 'branch', branch, 'batch_year', batch_year::numeric::integer,
               'tenth_percent', tenth_percent::numeric(5, 2)::text,
               'twelfth_percent', twelfth_percent::numeric(5, 2)::text,
               'cgpa', cgpa::numeric(4, 2)::text,
               'active_backlogs', coalesce(active_backlogs::numeric::integer, 0))"""
ENROLLED = f"""jsonb_build_object(
               'student_id', student_id, 'name', name, 'email', email, 'department', department, 'record', {RECORD})"""
