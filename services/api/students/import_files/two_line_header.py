"""Join a header of two lines: "10th" above "Board" and "%" gives "10th Board" and "10th %"."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from chassis.errors import Invalid
from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.meaning import Certainty
from services.api.students.import_files.recognition import meaning_of
from services.api.students.import_files.rows import Row
from services.api.students.import_files.vocabulary import (
    BACKLOG,
    DEGREES,
    DIPLOMA,
    FILLER,
    GPA,
    MARK,
    OTHER_GPA,
    SEMESTER,
    TENTH,
    TWELFTH,
    word_set,
)  # fmt: skip

# Columns that belong to no group, and that every student fills.
ALONE = ("name", "first_name", "last_name", "email", "roll_number", "branch", "department")
MAX_HEADER = 60
# Words of a lower line, which describe a mark. Words of an upper line, which name a group of marks.
DETAILS = (
    MARK | GPA | OTHER_GPA | BACKLOG | SEMESTER | word_set("board year yop passing out active live cleared history")
)
GROUPS = TENTH | TWELFTH | DIPLOMA | DEGREES | SEMESTER
IN_GROUPS = (
    GROUPS | FILLER | MARK | BACKLOG | word_set("class std standard details school high higher academic academics")
)


def joined_with_next(headers: Sequence[str], following: Row | None) -> list[str] | None:
    """Return both lines joined when ``following`` is the second line of the header, else ``None``."""
    if following is None or following.faults or not _may_be_joined(headers, following.cells):
        return None
    new_cells = [
        cell.strip()
        for upper, cell in zip_longest(headers, following.cells, fillvalue="")
        if cell.strip() and cell.strip() != upper.strip()
    ]
    if not new_cells or any(
        cell[0].isdigit() and not words_of(cell)[0].isalpha() and len(words_of(cell)) < 2 for cell in new_cells
    ):
        return None
    if not any(DETAILS.intersection(words_of(cell)) for cell in new_cells):
        return None
    return list(_joined(headers, following.cells))


def joined_with_previous(previous: Row | None, headers: Sequence[str]) -> list[str] | None:
    """Return both lines joined when ``previous`` names groups of the columns, else ``None``."""
    if previous is None or previous.faults or not _may_be_joined(headers, previous.cells):
        return None
    groups = [frozenset(words_of(cell)) for cell in previous.cells if cell.strip()]
    if not groups or any(not words & GROUPS or not words <= IN_GROUPS for words in groups):
        return None
    joined = list(_joined(previous.cells, headers))
    _refuse_uncertain_groups(previous, headers, joined)
    return joined


def _refuse_uncertain_groups(previous: Row, headers: Sequence[str], joined: Sequence[str]) -> None:
    """Raise ``Invalid`` if a header without an upper cell, such as CGPA, may or may not belong to the last group."""
    for index, (header, joined_header) in enumerate(zip(headers, joined, strict=False)):
        if header == joined_header or (index < len(previous.cells) and previous.cells[index].strip()):
            continue
        alone, grouped = meaning_of(header), meaning_of(joined_header)
        certain = alone is not None and alone.certainty is Certainty.SURE and headers.count(header) == 1
        if certain and alone != grouped:
            raise Invalid(
                f"It is not certain whether {header!r} (column {index + 1}) belongs to a group of line "
                f"{previous.line}, as in {joined_header!r}. "
                f"Write every header on one line, and remove line {previous.line}."
            )


def _may_be_joined(headers: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether ``other`` is short, and is empty or repeats ``headers`` in the columns that name a student."""
    if any(len(cell) > MAX_HEADER for cell in other):
        return False
    for header, cell in zip_longest(headers, other, fillvalue=""):
        meaning = meaning_of(header) if header.strip() else None
        if meaning is not None and meaning.kind in ALONE and cell.strip() not in ("", header.strip()):
            return False
    return True


def _joined(upper: Sequence[str], lower: Sequence[str]) -> Iterator[str]:
    group = ""
    for above, below in zip_longest((cell.strip() for cell in upper), (cell.strip() for cell in lower), fillvalue=""):
        meaning = meaning_of(below) if below and not above else None
        if above or (meaning is not None and meaning.kind in ALONE):
            group = above
        yield f"{group} {below}".strip() if below and below != above else above
