"""Which column of a file is which of ours: by its header, by a known other name for it, or as the caller says."""

from collections.abc import Mapping, Sequence

from chassis.errors import Invalid

REQUIRED = ("name", "email", "roll_number")

# Our column and the other names it goes by, as ``_plain`` writes them.
ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("studentname", "fullname", "nameofstudent", "nameofthestudent", "candidatename", "student"),
    "email": (
        "emailid", "emailaddress", "mail", "mailid", "studentemail", "collegeemail", "collegeemailid",
        "officialemail", "officialemailid",
    ),
    "roll_number": (
        "roll", "rollno", "rollnum", "rollnr", "studentroll", "studentrollno", "studentrollnumber", "universityrollno",
        "universityrollnumber", "usn", "prn", "prnno", "prnnumber", "regno", "regnumber", "registrationno",
        "registrationnumber", "registerno", "registernumber", "enrollment", "enrollmentno", "enrollmentnumber",
        "enrolmentno", "enrolmentnumber", "admissionno", "admissionnumber", "hallticketno", "hallticketnumber",
    ),
    "branch": (
        "branchname", "stream", "specialization", "specialisation", "discipline", "programme", "program", "course",
    ),
    "batch_year": (
        "batch", "year", "passingyear", "passoutyear", "passout", "yearofpassing", "yearofpassout", "graduationyear",
        "yearofgraduation", "gradyear", "passyear",
    ),
    "tenth_percent": (
        "10th", "tenth", "x", "xth", "class10", "class10th", "classx", "std10", "std10th", "10", "ssc", "sscp",
        "sscpercent", "sscpercentage", "sslc", "sslcp", "sslcpercent", "sslcpercentage", "matric", "matriculation",
        "10thpercent", "10thpercentage", "10thmarks", "10percent", "10percentage", "tenthpercentage", "tenthmarks",
        "xpercent", "xpercentage", "class10percent", "class10percentage",
    ),
    "twelfth_percent": (
        "12th", "twelfth", "twelveth", "xii", "xiith", "class12", "class12th", "classxii", "std12", "std12th", "12",
        "hsc", "hscp", "hscpercent", "hscpercentage", "puc", "pucpercent", "pucpercentage", "intermediate",
        "12thpercent", "12thpercentage", "12thmarks", "12percent", "12percentage", "twelfthpercentage",
        "twelfthmarks", "xiipercent", "xiipercentage", "class12percent", "class12percentage", "puc12th",
    ),
    "diploma_percent": ("diploma", "diplomapercentage", "diplomamarks"),
    "cgpa": ("gpa", "cpi", "currentcgpa", "overallcgpa", "aggregatecgpa", "ugcgpa", "degreecgpa", "cgpaoutof10"),
    "active_backlogs": (
        "backlogs", "backlog", "noofbacklogs", "numberofbacklogs", "noofactivebacklogs", "numberofactivebacklogs",
        "currentbacklogs", "livebacklogs", "activebacklog", "activearrears", "arrears", "standingarrears", "liveatkt",
        "atkt", "kts",
    ),
    "department": ("dept", "departmentname", "deptname"),
}  # fmt: skip
COLUMNS = tuple(ALIASES)

SHOWN_HEADERS = 60

Layout = dict[str, int]


def layout_of(headers: Sequence[str], mapping: Mapping[str, str]) -> Layout:
    """Where each of our columns stands in the file; those that may be absent and are, are left out.

    Case, spaces and punctuation do not matter. ``mapping``: our column to their header, goes before everything else.
    Raises ``Invalid`` when a required column is missing, or when it is not clear which one is meant.
    """
    places = _mapped(headers, mapping)
    taken = set(places.values())
    free = [(index, _plain(header)) for index, header in enumerate(headers) if index not in taken]
    for column in COLUMNS:
        if column not in places and (index := _found(column, free, headers)) is not None:
            places[column] = index
    if missing := [column for column in REQUIRED if column not in places]:
        raise Invalid(
            f"The file has no column for {' and '.join(missing)}. Its headers are: {_listed(headers)}. Rename a "
            f'header, or say which one it is with mapping, for instance {{"{missing[0]}": "their header"}}.',
            errors=[{"column": column, "reason": "no such column in the file"} for column in missing],
        )
    return places


def _mapped(headers: Sequence[str], mapping: Mapping[str, str]) -> Layout:
    plain = [_plain(header) for header in headers]
    places = {}
    for column, theirs in mapping.items():
        if column not in COLUMNS:
            raise Invalid(f"mapping: there is no column {column!r}. Ours are: {', '.join(COLUMNS)}.")
        if theirs in headers:
            places[column] = headers.index(theirs)
        elif _plain(theirs) in plain:
            places[column] = plain.index(_plain(theirs))
        else:
            raise Invalid(f"mapping: the file has no header {theirs!r}. Its headers are: {_listed(headers)}.")
    if len(set(places.values())) < len(places):
        raise Invalid("mapping: two columns are mapped to the same header.")
    return places


def _found(column: str, free: Sequence[tuple[int, str]], headers: Sequence[str]) -> int | None:
    own = [index for index, plain in free if plain == _plain(column)]
    found = own or [index for index, plain in free if plain in ALIASES[column]]
    if len(found) > 1:
        both = " and ".join(repr(headers[index]) for index in found)
        raise Invalid(
            f'{both} could each be {column}. Say which one with mapping: {{"{column}": "{headers[found[0]]}"}}.',
            errors=[{"column": column, "reason": "more than one header fits"}],
        )
    return found[0] if found else None


def _plain(header: str) -> str:
    return "".join(letter for letter in header.casefold() if letter.isalnum())


def _listed(headers: Sequence[str]) -> str:
    shown = ", ".join(header[:50] or "(empty)" for header in headers[:SHOWN_HEADERS])
    return f"{shown} and {len(headers) - SHOWN_HEADERS} more" if len(headers) > SHOWN_HEADERS else shown
