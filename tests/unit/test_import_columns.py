"""Recognition of the headers of an imported file: which column each one stands for."""

import string
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Invalid
from services.api.students.import_files.column_report import Layout
from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.layout import layout_of
from services.api.students.import_files.meaning import Certainty
from services.api.students.import_files.recognition import meaning_of
from services.api.students.import_files.vocabulary import COLUMNS

IDENTITY = ["Name", "E-Mail", "USN"]


def recognised(header: str, column: str, values: Sequence[str] = ()) -> Layout:
    samples = [["Asha", "a@b", "1", value] for value in values]
    layout = layout_of([*IDENTITY, header], {}, samples)
    assert layout.places.get(column) == (3,), layout.report()
    return layout


def question(header: str, values: Sequence[str] = ("7.5",)) -> str:
    with pytest.raises(Invalid) as caught:
        layout_of([*IDENTITY, header], {}, [["Asha", "a@b", "1", value] for value in values])
    assert caught.value.errors[0]["header"] == header
    return str(caught.value)


def ignored(header: str, values: Sequence[str] = ("7.5",)) -> str:
    report = layout_of([*IDENTITY, header], {}, [["Asha", "a@b", "1", value] for value in values]).report()
    assert report[3].used_as is None
    return report[3].reason


def test_our_own_column_names_are_recognised_in_any_order() -> None:
    headers = list(reversed(COLUMNS))
    assert layout_of(headers, {}).places == {column: (headers.index(column),) for column in COLUMNS}


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("ssc_p", "tenth_percent"), ("10th", "tenth_percent"), ("Tenth", "tenth_percent"), ("10th %", "tenth_percent"),
        ("Class X (%)", "tenth_percent"), ("Matriculation Percentage", "tenth_percent"), ("sslc", "tenth_percent"),
        ("Secondary %", "tenth_percent"), ("hsc_p", "twelfth_percent"), ("10+2 %", "twelfth_percent"),
        ("+2 Marks", "twelfth_percent"), ("Sr. Secondary", "twelfth_percent"), ("Intermediate", "twelfth_percent"),
        ("PUC %", "twelfth_percent"), ("Diploma (%)", "diploma_percent"), ("C.G.P.A.", "cgpa"), ("CPI", "cgpa"),
        ("Current CGPA (out of 10)", "cgpa"), ("Grade Point Average", "cgpa"), ("overallCGPA", "cgpa"),
        ("No. of Backlogs", "active_backlogs"), ("liveKTs", "active_backlogs"), ("ATKT", "active_backlogs"),
        ("Active Backlogs as on date", "active_backlogs"), ("Arrears (standing)", "active_backlogs"),
        ("Batch", "batch_year"), ("yearofpassing", "batch_year"), ("Dept.", "department"), ("Discipline", "branch"),
        ("\uff23\uff27\uff30\uff21", "cgpa"), ("Student's 10th %", "tenth_percent"),
        ("CGPA (upto VI Sem)", "cgpa"), ("CGPA till last semester", "cgpa"), ("CGPA upto 3-1", "cgpa"),
        ("CGPA as per latest marksheet", "cgpa"), ("CGPA upto 5th Sem (2 decimals)", "cgpa"), ("Present CGPA", "cgpa"),
        ("Standing Arrear(s)", "active_backlogs"), ("Total no. of current arrears", "active_backlogs"),
        ("Number of Active Backlogs till date", "active_backlogs"), ("Active Backs", "active_backlogs"),
        ("Live backlogs, if any (enter number)", "active_backlogs"), ("Re-appear", "active_backlogs"),
        ("10 th %", "tenth_percent"), ("10th %age", "tenth_percent"), ("10th Overall %", "tenth_percent"),
        ("Secondary School %", "tenth_percent"), ("10th Percentage (without % symbol)", "tenth_percent"),
        ("II PUC %", "twelfth_percent"), ("12th Grade %", "twelfth_percent"), ("AISSCE %", "twelfth_percent"),
        ("Diploma % (if applicable)", "diploma_percent"), ("HSC/Diploma %", "twelfth_percent"),
        ("B.Tech Branch", "branch"), ("Branch of Study", "branch"), ("BRANCH OF ENGG", "branch"),
        ("Year of Passing (B.Tech)", "batch_year"), ("YoP (UG)", "batch_year"),
        ("Course Completion Year", "batch_year"), ("Batch (2022-2026)", "batch_year"), ("2026 Batch", "batch_year"),
        ("Month & Year of Passing", "batch_year"), ("Branch (CSE/ECE/...)", "branch"), ("Branch (in short)", "branch"),
        ("Select your branch", "branch"), ("Department (CSE/ECE/MECH)", "department"),
        ("School/Department", "department"), ("SSC marks (out of 100)", "tenth_percent"), ("HSLC %", "tenth_percent"),
        ("SSLC/ICSE/CBSE (10th) %", "tenth_percent"), ("10th (CBSE/State) %", "tenth_percent"),
        ("10th Board %", "tenth_percent"), ("10th Percent (eg. 85.6)", "tenth_percent"),
        ("Class 10 (%)", "tenth_percent"),
        ("Hr. Sec %", "twelfth_percent"), ("Pre-University Course %", "twelfth_percent"), ("VHSE %", "twelfth_percent"),
        ("12th (CBSE/ISC/State) %", "twelfth_percent"), ("XII/Dip", "twelfth_percent"),
        ("Diploma % (Lateral Entry)", "diploma_percent"), ("CGPA upto 3rd year", "cgpa"), ("CGPA(10.0)", "cgpa"),
        ("CGPA (Scale 0-10)", "cgpa"), ("CGPA (as on 30-06-2026)", "cgpa"), ("CGPA as on 31st July 2026", "cgpa"),
        ("CGPA (6)", "cgpa"), ("Carry Over Papers", "active_backlogs"), ("Pending Subjects", "active_backlogs"),
        ("Active Backlogs (0 if none)", "active_backlogs"), ("Active backlogs(write 0 if nil)", "active_backlogs"),
    ],
)  # fmt: skip
def test_many_names_of_a_column_are_recognised(header: str, column: str) -> None:
    recognised(header, column)


@pytest.mark.parametrize(
    "header",
    [
        "roll no", "Roll_No.", "ROLL NUMBER", "usn", "Reg. No", "Enrolment No", "Hall Ticket No", "Regd. No.",
        "H.T. No.", "Univ. Roll No", "USN (University Seat Number)", "Permanent Registration Number", "Student ID",
        "SRN", "ID No", "Exam Seat No", "Admission No", "Roll No (digits only)", "VTU USN", "AKTU Roll No", "KTU ID",
        "Anna University Register Number", "JNTUH Hall Ticket Number", "Admn. No.", "Stud ID", "Uni. Roll No",
    ],
)  # fmt: skip
def test_many_names_of_the_roll_number_are_recognised(header: str) -> None:
    samples = [["Asha", "a@b", "R1"]]
    assert layout_of(["Student Name", "Email ID", header], {}, samples).places["roll_number"] == (2,)


@pytest.mark.parametrize(
    "header",
    [
        "History of Backlogs", "Dead Backlogs", "Total Backlogs", "Backlogs cleared", "Backlogs till date", "SGPA",
        "Sem 5 SGPA", "Semester GPA", "10th CGPA", "SSC GPA", "12th Maths %", "10th Marks (out of 500)", "B.Tech %",
        "Degree Percentage", "Aptitude Score", "MBA %", "10th / 12th %", "Inactive backlogs", "Non-active backlogs",
        "Any backlog? (Y/N)", "Failed subjects", "Backlogs (Active + Dead)", "DGPA", "CWA", "High School %",
        "1st PUC %", "10th %/CGPA", "Bank Branch", "CGPA (out of 4)", "GPA (5 point scale)", "CGPA/4",
        "SSC Marks (out of 600)", "10th (out of 10)", "Sem 1", "III Sem", "1st Year", "2-1", "Pointer", "HOA", "Back",
        "No. of F Grades", "Backlogs till now", "Graduation", "UG", "B.Tech", "Degree", "CBSE %", "PCM %",
        "Class X Percentage/CGPA", "10th Board Marks Year",
    ],
)  # fmt: skip
def test_an_uncertain_mark_or_backlog_asks_for_a_mapping(header: str) -> None:
    assert "mapping" in question(header)


@pytest.mark.parametrize(
    "header",
    [
        "Hostel", "S.No", "Father's Name", "Parent Email", "10th Board", "12th Year of Passing", "Semester",
        "Attendance %", "Phone", "School Name", "DOB", "Year of Admission", "ssc_b", "12th YOP", "Alternate Email",
        "Year of Passing (10th)", "Diploma Branch", "12th Stream", "JEE Roll No", "EAMCET Rank", "Section",
        "LinkedIn ID", "10th Max Marks", "Vehicle Registration No", "Registration Date", "Name (Institute)",
        "Email (Alternate)", "Name (Bank)", "Academic Year",
    ],
)  # fmt: skip
def test_an_unrelated_column_is_ignored(header: str) -> None:
    ignored(header)


def test_a_short_header_is_recognised_by_its_values() -> None:
    recognised("X", "tenth_percent", ["91.5", "88"])
    assert "numbers of the rows" in ignored("X", ["1", "2", "3"])
    assert "'8.2'" in question("X", ["8.2", "9"])
    recognised("Year", "batch_year", ["2026"])
    assert "'3rd year'" in question("Year", ["3rd year"])


def test_the_values_decide_whether_a_degree_is_a_mark_or_a_year() -> None:
    recognised("Graduation", "batch_year", ["2026", "2027"])
    assert "a mark" in question("Graduation", ["78.5", "64"])
    recognised("Degree", "branch", ["CSE"])


@pytest.mark.parametrize("header", ["VIT Email", "Email (edu)", "Email Id for placement communication"])
def test_the_only_column_of_addresses_is_the_email(header: str) -> None:
    headers = ["Name", "USN", header]
    assert layout_of(headers, {}, [["Asha", "1", "a@b"]]).places["email"] == (2,)
    with pytest.raises(Invalid, match="it holds no e-mail addresses, for instance 'sent'"):
        layout_of(headers, {}, [["Asha", "1", "sent"]])


def test_a_mark_of_an_uncertain_class_asks_while_a_class_has_no_column() -> None:
    headers = [*IDENTITY, "High School %", "12th %", "CGPA"]
    samples = [["A", "a@b", "1", "81", "82", "8"]]
    with pytest.raises(Invalid, match="'High School %' may be tenth_percent"):
        layout_of(headers, {}, samples)
    assert "tenth_percent" not in layout_of(headers, {"tenth_percent": None}, samples).places
    with pytest.raises(Invalid, match="'High School %' may be tenth_percent"):
        layout_of(headers, {"cgpa": "CGPA"}, samples)
    layout = layout_of([*headers, "10th %"], {}, [[*samples[0], "83"]])
    assert layout.places["tenth_percent"] == (6,)
    assert "Not imported: 'High School %'" in layout.warnings[0]


def test_a_column_with_marks_above_a_hundred_is_not_the_percentage() -> None:
    headers = [*IDENTITY, "10th Marks", "10th Max Marks", "10th %"]
    layout = layout_of(headers, {}, [["A", "a@b", "1", "540", "600", "90"]])
    assert layout.places["tenth_percent"] == (5,)
    assert "'10th Marks': it holds marks above 100" in layout.warnings[0]
    assert "Correct the values" in question("10th Marks", ["540", "480"])


def test_fractions_are_refused_as_percentages() -> None:
    assert "fractions of 1, not percentages; enter 85 for 85 %, for instance '0.85'" in question(
        "10th %", ["0.85", "0.8"]
    )
    recognised("10th %", "tenth_percent", ["0.3", "80", "75"])
    recognised("10th %", "tenth_percent", ["0.85%", "80"])


def test_the_overall_cgpa_is_preferred_to_that_of_a_semester() -> None:
    headers = [*IDENTITY, "Sem 1 CGPA", "Sem 2 CGPA", "Overall CGPA"]
    assert layout_of(headers, {}, [["A", "a@b", "1", "8", "9", "8.5"]]).places["cgpa"] == (5,)


def test_percentages_are_refused_as_a_cgpa() -> None:
    assert "at most 10" in question("UG %/CGPA", ["82", "75"])


def test_a_mark_column_without_numbers_is_ignored() -> None:
    assert ignored("Overall Result Marks", ["first class"])


def test_a_column_of_degrees_is_not_the_branch() -> None:
    headers = [*IDENTITY, "Course", "Department"]
    layout = layout_of(headers, {}, [["A", "a@b", "1", "B.Tech", "CSE"]])
    assert (layout.places["branch"], layout.places["department"]) == ((4,), (4,))
    with pytest.raises(Invalid, match="'Course' and 'Department' could each be branch"):
        layout_of(headers, {}, [["A", "a@b", "1", "CSE", "Engineering"]])


def test_parts_of_a_name_are_joined() -> None:
    layout = layout_of(["Surname", "Given Name", "Email", "USN"], {})
    assert layout.places["name"] == (1, 0)
    with pytest.raises(Invalid, match="a part of the name only"):
        layout_of(["First Name", "Email", "USN"], {})


def test_a_mapping_overrides_the_recognition() -> None:
    headers = ["name", "email", "roll_number", "cgpa", "Final CGPA"]
    assert layout_of(headers, {"cgpa": "final cgpa"}).places["cgpa"] == (4,)
    assert "cgpa" not in layout_of(headers, {"cgpa": None}).places


def test_the_error_names_the_missing_column_the_headers_and_the_remedies() -> None:
    with pytest.raises(
        Invalid, match=r"no column for roll_number.*Name, E-Mail, Hostel.*mapping.*header_row"
    ) as caught:
        layout_of(["Name", "E-Mail", "Hostel"], {})
    assert caught.value.status == 422
    assert caught.value.errors == [{"column": "roll_number", "reason": "no such column in the file"}]


@pytest.mark.parametrize("pair", [("10th", "SSC %"), ("CGPA", "CPI"), ("CGPA", "CGPA"), ("Backlogs", "Active KTs")])
def test_two_headers_that_fit_equally_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(Invalid, match=rf"'{pair[0]}' and '{pair[1]}' could each be"):
        layout_of([*IDENTITY, *pair], {})


def test_a_second_roll_number_asks_for_a_mapping() -> None:
    with pytest.raises(Invalid, match="'USN' and 'Roll Number' could each be roll_number"):
        layout_of(["USN", "name", "email", "Roll Number"], {})


@pytest.mark.parametrize("values", [[("1", "1"), ("A2", "a2 ")], [("1", ""), ("A2", "")]])
def test_a_second_roll_number_column_that_is_equal_or_empty_is_ignored(values: list[tuple[str, str]]) -> None:
    samples = [["Asha", "a@b", first, second] for first, second in values]
    assert layout_of([*IDENTITY, "Roll Number"], {}, samples).places["roll_number"] == (2,)


@pytest.mark.parametrize(
    ("header", "other", "column"),
    [
        ("Email", "Personal Email", "email"), ("Name", "Name (as per 10th marksheet)", "name"),
        ("USN", "Admission No", "roll_number"), ("Batch", "Year", "batch_year"),
    ],
)  # fmt: skip
def test_a_plain_header_is_preferred_to_a_qualified_one(header: str, other: str, column: str) -> None:
    headers = [name for name in ["Name", "Email", "USN", "Batch"] if name != header] + [other, header]
    values = {"Name": "Asha", "Email": "a@b", "USN": "R1", "Batch": "2026", "Year": "4"}
    layout = layout_of(headers, {}, [[values.get(name, "other") for name in headers]])
    assert layout.places[column] == (4,)


def test_a_column_that_is_surely_another_mark_is_skipped_with_a_warning() -> None:
    headers = [*IDENTITY, "CGPA", "Sem 1 SGPA", "UG %", "Active Backlogs", "Total Backlogs", "Backlog History"]
    layout = layout_of(headers, {}, [["A", "a@b", "1", "8.1", "7.9", "77", "0", "3", "3"]])
    assert (layout.places["cgpa"], layout.places["active_backlogs"]) == ((3,), (6,))
    assert "Not imported: 'Sem 1 SGPA', 'UG %'" in layout.warnings[0]
    assert "Not imported: 'Total Backlogs', 'Backlog History'" in layout.warnings[1]


def test_a_total_next_to_backlogs_asks_for_a_mapping() -> None:
    with pytest.raises(Invalid, match="'Total Backlogs' may be active_backlogs"):
        layout_of([*IDENTITY, "Backlogs", "Total Backlogs"], {}, [["A", "a@b", "1", "1", "3"]])


@pytest.mark.parametrize("header", ["branch", "Branch", "Stream"])
def test_mechanical_engineering_is_a_branch(header: str) -> None:
    recognised(header, "branch", ["ME", "ME"])


def test_degrees_without_a_branch_column_ask_for_a_mapping() -> None:
    assert "it holds degrees" in question("Course", ["B.Tech", "MBA"])


@pytest.mark.parametrize("value", ["2022-26", "IV", "4"])
def test_a_batch_that_is_not_a_year_asks_for_a_mapping(value: str) -> None:
    assert repr(value) in question("Batch", [value])


def test_equal_headers_must_be_renamed() -> None:
    with pytest.raises(Invalid, match="Rename all but the one that is cgpa"):
        layout_of([*IDENTITY, "CGPA", "CGPA"], {}, [["A", "a@b", "1", "8", "7"]])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"grade": "Name"}, "there is no column 'grade'"),
        ({"cgpa": "Grade"}, "the file has no header 'Grade'"),
        ({"cgpa": "Name", "name": "Name"}, "two columns are mapped to the same header"),
        ({"email": None}, "email cannot be left out"),
    ],
)
def test_a_wrong_mapping_is_explained(mapping: dict[str, str | None], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        layout_of(["Name", "email", "usn"], mapping)


NOISE = st.sampled_from(["", " ", "_", "-", ".", " (", ") ", "*", ":", "\u200b", "\u00a0", "[", "]"])


def styled(words: str) -> st.SearchStrategy[str]:
    """Return the words as people write headers: in any case, with any punctuation between them."""
    parts = words.split()
    joints = st.lists(
        st.sampled_from([" ", "_", "  ", " - ", " (", "\n", "/"]), min_size=len(parts), max_size=len(parts)
    )
    casing = st.sampled_from([str.upper, str.lower, str.title])

    def header(before: str, between: list[str], case: Callable[[str], str], after: str) -> str:
        return before + case("".join(a + b for a, b in zip(between, parts, strict=True))) + after

    return st.builds(header, NOISE, joints, casing, NOISE)


SCHOOL = st.sampled_from(["10th", "ssc", "sslc", "matriculation", "class 10", "tenth"])
UNIT = st.sampled_from(["", " %", " percentage", " marks", " percent", " mark %"])
COUNT = st.sampled_from(["no of ", "count of ", ""])
ACTIVE = st.sampled_from(["active", "live", "current", "standing", "pending"])
HISTORY = st.sampled_from(["dead", "cleared", "history of", "passed", "past", "total"])
BACKLOG = st.sampled_from(["backlogs", "arrears", "kts", "atkt", "backlog"])


@given(st.tuples(SCHOOL, UNIT).map("".join).flatmap(styled))
def test_every_spelling_of_a_school_mark_is_recognised(header: str) -> None:
    meaning = meaning_of(header)
    assert meaning is not None
    assert (meaning.kind, meaning.certainty) == ("tenth_percent", Certainty.SURE)


@given(
    st.tuples(st.sampled_from(["no of ", "count of ", ""]), ACTIVE, st.just(" "), BACKLOG).map("".join).flatmap(styled)
)
def test_every_spelling_of_active_backlogs_is_recognised(header: str) -> None:
    meaning = meaning_of(header)
    assert meaning is not None
    assert (meaning.kind, meaning.certainty) == ("active_backlogs", Certainty.SURE)


@given(st.tuples(HISTORY, st.just(" "), BACKLOG).map("".join).flatmap(styled))
def test_no_spelling_of_past_backlogs_is_recognised_as_active_backlogs(header: str) -> None:
    meaning = meaning_of(header)
    assert meaning is not None
    assert (meaning.kind, meaning.certainty) == ("active_backlogs", Certainty.ASK)


@given(st.text())
def test_any_header_can_be_parsed(header: str) -> None:
    assert all(words_of(header))
    meaning_of(header)


@given(st.lists(st.text(string.printable, max_size=20), max_size=12))
def test_each_header_is_reported_and_used_at_most_once(headers: list[str]) -> None:
    try:
        layout = layout_of([*IDENTITY, *headers], {})
    except Invalid:
        return
    assert len(layout.report()) == len(headers) + len(IDENTITY)
    used = [index for column, places in layout.places.items() if column != "department" for index in places]
    assert len(used) == len(set(used))
