"""Assign the columns of a file to the columns of the import: by mapping, by the words of headers, and by values."""

from collections.abc import Mapping, Sequence

from chassis.errors import Invalid
from services.api.students.import_files import sample_values
from services.api.students.import_files.column_choice import ColumnChoice
from services.api.students.import_files.column_report import Layout
from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.meaning import Meaning
from services.api.students.import_files.questions import listed, refuse
from services.api.students.import_files.recognition import meaning_of, meaning_of_numbers, meaning_of_years
from services.api.students.import_files.vocabulary import COLUMNS, IDENTIFYING, REQUIRED


def layout_of(
    headers: Sequence[str],
    mapping: Mapping[str, str | None],
    samples: Sequence[Sequence[str]] = (),
    *,
    updates: bool = False,
) -> Layout:
    """Return the place of each column of the import. ``samples``: rows below the header.

    ``updates``: one identifying column (roll number or e-mail address) is enough.

    Raises ``Invalid`` when a required column is missing or a header is unclear. The message names the headers and shows
    how to answer with ``mapping``.
    """
    layout = Layout(list(headers))
    _apply_mapping(layout, mapping)
    taken = {index for indexes in layout.places.values() for index in indexes}
    open_headers: dict[str, list[tuple[int, Meaning]]] = {}
    for index, header in enumerate(headers):
        if index in taken:
            continue
        meaning = _meaning(header, sample_values.column(samples, index))
        if meaning is not None:
            open_headers.setdefault(meaning.kind, []).append((index, meaning))
        elif not header and any(sample_values.column(samples, index)):
            layout.reasons[index] = "it has values and no header"
            layout.warnings.append(f"Column {index + 1} of the file has values and no header; it is not imported.")
    chooser = ColumnChoice(layout, open_headers, mapping, samples)
    questions = chooser.choose()
    missing = [column for column in REQUIRED if column not in layout.places]
    if updates and layout.places.keys() & IDENTIFYING:
        missing = []
    asked_columns = {question.column for question in questions}
    if questions or missing:
        refuse(headers, questions, [column for column in missing if column not in asked_columns])
    return layout


def _meaning(header: str, values: Sequence[str]) -> Meaning | None:
    """Return what the header may be. "UG" and "Graduation" may be a mark or a year: their values decide."""
    decided = None
    if sample_values.are_years(values):
        decided = meaning_of_years(header)
    elif sample_values.are_numbers(values):
        decided = meaning_of_numbers(header)
    return decided or meaning_of(header)


def _apply_mapping(layout: Layout, mapping: Mapping[str, str | None]) -> None:
    words = [words_of(header) for header in layout.headers]
    for column, wanted in mapping.items():
        if column not in COLUMNS:
            raise Invalid(f"mapping: there is no column {column!r}. The columns are: {', '.join(COLUMNS)}.")
        if wanted is None:
            if column in REQUIRED:
                raise Invalid(f"mapping: {column} cannot be left out. Name its header.")
            continue
        mapped_words = words_of(wanted)
        indexes = [index for index, header in enumerate(layout.headers) if header == wanted.strip()] or [
            index for index, header_words in enumerate(words) if header_words and header_words == mapped_words
        ]
        if not indexes:
            raise Invalid(f"mapping: the file has no header {wanted!r}. Its headers are: {listed(layout.headers)}.")
        if len(indexes) > 1:
            raise Invalid(f"mapping: {len(indexes)} columns have the header {wanted!r}. Rename all but one.")
        layout.use(column, indexes[0], reason="your mapping")
    chosen = [index for indexes in layout.places.values() for index in indexes]
    if len(set(chosen)) < len(chosen):
        raise Invalid("mapping: two columns are mapped to the same header.")
