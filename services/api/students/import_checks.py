"""SQL that finds errors in the rows of a file. It checks the whole table ``import_row`` at once."""

from enum import StrEnum

from services.api.users.decider import RESERVED_ADDRESS, RESERVED_ROLL_NUMBER


class ImportMode(StrEnum):
    """``insert``: every row is a new student. ``upsert``: update students on record, and enrol the others."""

    INSERT = "insert"
    UPSERT = "upsert"


# Some programs write trailing zeros: 7.50000, 2026.0.
MARK = r"^[0-9]{1,3}(\.[0-9]{1,2}0*)?$"
WHOLE = r"^[0-9]{1,4}(\.0*)?$"
EMAIL = r"^[^@\s]+@[^@\s]+$"
SHOWN_CHARACTERS = 40

# Column, SQL condition of the error, SQL expression of the message.
Check = tuple[str, str, str]


def _text(column: str, at_most: int) -> Check:
    return column, f"length({column}) > {at_most}", f"'is longer than {at_most} characters: shorten it'"


def _missing(column: str, mode: ImportMode) -> Check:
    only_new = "" if mode is ImportMode.INSERT else " AND m.line IS NULL"
    return column, f"{column} IS NULL{only_new}", "'is missing: enter it'"


def _number(column: str, pattern: str, least: int, limit: int, kind: str) -> Check:
    is_invalid = (
        f"CASE WHEN {column} IS NULL THEN false "
        f"WHEN {column} ~ '{pattern}' THEN {column}::numeric NOT BETWEEN {least} AND {limit} ELSE true END"
    )
    return (
        column,
        is_invalid,
        f"quote_literal(left({column}, {SHOWN_CHARACTERS})) || "
        f"' is not {kind} from {least} to {limit}: correct it, or clear the cell'",
    )


RESERVED_MESSAGE = "'is reserved for erased people: correct it'"
MARK_KIND = "a number with at most two decimals"
WHOLE_KIND = "a whole number"


def _checks(mode: ImportMode) -> tuple[Check, ...]:
    address_message = f"quote_literal(left(email, {SHOWN_CHARACTERS})) || ' is not an e-mail address: correct it'"
    return (
        _missing("name", mode),
        _text("name", 200),
        _missing("email", mode),
        _text("email", 320),
        ("email", f"email !~ '{EMAIL}'", address_message),
        ("email", f"lower(right(email, {len(RESERVED_ADDRESS)})) = '{RESERVED_ADDRESS}'", RESERVED_MESSAGE),
        _missing("roll_number", mode),
        _text("roll_number", 64),
        (
            "roll_number",
            f"lower(left(roll_number, {len(RESERVED_ROLL_NUMBER)})) = '{RESERVED_ROLL_NUMBER}'",
            RESERVED_MESSAGE,
        ),
        _text("branch", 100),
        _text("department", 200),
        _number("batch_year", WHOLE, 1900, 2200, WHOLE_KIND),
        _number("tenth_percent", MARK, 0, 100, MARK_KIND),
        _number("twelfth_percent", MARK, 0, 100, MARK_KIND),
        _number("diploma_percent", MARK, 0, 100, MARK_KIND),
        _number("cgpa", MARK, 0, 10, MARK_KIND),
        _number("active_backlogs", WHOLE, 0, 1000, WHOLE_KIND),
    )


def _invalid_cells(mode: ImportMode) -> str:
    """Return a query for invalid cells. Nearly all rows are valid, so only rows with an error are split into cells."""
    checks = _checks(mode)
    any_invalid = " OR ".join(condition for _, condition, _ in checks)
    cells = ",\n           ".join(
        f"('{column}', ({condition}) IS TRUE, {message})" for column, condition, message in checks
    )
    return f"""
    SELECT r.line, c."column", c.reason
      FROM import_row r LEFT JOIN import_match m USING (line), LATERAL (VALUES
           {cells}
      ) AS c ("column", is_invalid, reason)
     WHERE r.fault IS NULL AND ({any_invalid}) IS TRUE AND c.is_invalid"""  # noqa: S608


def _repeated(column: str) -> str:
    """Return a query for rows whose ``column`` repeats an earlier row, ignoring case, outer spaces and Unicode form."""
    return f"""
    SELECT r.line, '{column}', 'is the same as in line ' || t.first
      FROM import_row r JOIN (
           SELECT identity_key({column}) AS key, min(line) AS first FROM import_row
            WHERE {column} IS NOT NULL GROUP BY 1 HAVING count(*) > 1
      ) t ON t.key = identity_key(r.{column}) WHERE r.line > t.first"""  # noqa: S608


ON_RECORD_MESSAGE = "'is on record already: remove the row, or send mode=upsert to update students'"
ON_RECORD = f"""
    SELECT line, 'roll_number', {ON_RECORD_MESSAGE} FROM import_match WHERE by_roll IS NOT NULL
    UNION ALL
    SELECT line, 'email', {ON_RECORD_MESSAGE} FROM import_match WHERE by_email IS NOT NULL"""  # noqa: S608

# A row must identify exactly one student. The last part finds two rows that name one student in different ways.
AMBIGUOUS = """
    SELECT line, 'email', CASE
               WHEN is_student THEN
                    format('belongs to student %s, but the roll number to student %s', by_email, by_roll)
               ELSE 'belongs to an account that is not a student''s'
           END
      FROM import_match WHERE NOT is_student OR by_roll <> by_email
    UNION ALL
    SELECT r.line, 'roll_number', 'is the same student as in line ' || f.line
      FROM (SELECT line, student_id, min(line) OVER (PARTITION BY student_id) AS first FROM import_known) k
      JOIN import_row r ON r.line = k.line
      JOIN import_row f ON f.line = k.first
     WHERE k.line > k.first AND identity_key(r.roll_number) IS DISTINCT FROM identity_key(f.roll_number)
       AND identity_key(r.email) IS DISTINCT FROM identity_key(f.email)"""


def _validation_query(mode: ImportMode) -> str:
    return f"""
WITH row_error (line, "column", reason) AS MATERIALIZED (
    SELECT line, fault_column, fault FROM import_row WHERE fault IS NOT NULL
    UNION ALL {_invalid_cells(mode)}
    UNION ALL {_repeated("roll_number")}
    UNION ALL {_repeated("email")}
    UNION ALL {ON_RECORD if mode is ImportMode.INSERT else AMBIGUOUS}
), known AS MATERIALIZED (
    SELECT * FROM import_known k WHERE NOT EXISTS (SELECT FROM row_error f WHERE f.line = k.line)
)
SELECT (SELECT count(*) FROM import_row) AS rows,
       (SELECT count(DISTINCT line) FROM row_error) AS wrong_rows,
       (SELECT count(*) FROM row_error) AS error_count,
       (SELECT coalesce(jsonb_agg(f), '[]')
          FROM (SELECT * FROM row_error ORDER BY line, "column", reason LIMIT $1) f) AS errors,
       count(*) FILTER (WHERE changed <> '{{}}') AS changed,
       count(*) FILTER (WHERE changed = '{{}}') AS unchanged,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('line', line, 'student_id', student_id, 'changes', (
                   SELECT jsonb_object_agg(field, jsonb_build_object('from', before -> field, 'to', after -> field))
                     FROM unnest(c.changed) AS field)) ORDER BY line), '[]')
          FROM (SELECT * FROM known WHERE changed <> '{{}}' ORDER BY line LIMIT $2) c) AS changes
  FROM known
"""  # noqa: S608


# Returns one row: the numbers of rows, rows with errors, and errors; the first $1 errors as JSON; the numbers of
# changed and unchanged students on record; the first $2 changes as JSON.
VALIDATE = {mode: _validation_query(mode) for mode in ImportMode}

# In a file, a whole number may end in .0.
WHOLE_NUMBERS = {
    "batch_year": "batch_year::numeric::integer",
    "active_backlogs": "coalesce(active_backlogs::numeric::integer, 0)",
}
# The data of StudentEnrolled, as the event's class writes it, with two decimals for marks. jsonb_object takes text, and
# costs two thirds of jsonb_build_object, which looks up the type of each value of each row.
RECORD = f"""jsonb_object(
               '{{branch,tenth_percent,twelfth_percent,diploma_percent,cgpa}}',
               ARRAY[branch, tenth_percent::numeric(5, 2)::text, twelfth_percent::numeric(5, 2)::text,
                     diploma_percent::numeric(5, 2)::text, cgpa::numeric(4, 2)::text])
           || jsonb_build_object('batch_year', {WHOLE_NUMBERS["batch_year"]},
                                 'active_backlogs', {WHOLE_NUMBERS["active_backlogs"]})"""
ENROLLED = f"""jsonb_build_object('student_id', student_id, 'person_version', 1, 'department', department,
                              'record', {RECORD})"""
