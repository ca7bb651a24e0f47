"""Refuse a file with unclear headers. The message names the headers, and says how to answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from chassis.errors import Invalid
from services.api.students.import_files.vocabulary import REQUIRED

SHOWN_HEADERS = 60
SHOWN_QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """A question whether ``headers`` are ``column``. ``reason``: why it is not certain.

    ``misfit``: the values do not fit the column.
    """

    column: str
    headers: tuple[str, ...]
    reason: str
    misfit: bool = False

    def text(self) -> str:
        nothing = json.dumps({self.column: None})
        if self.misfit:
            answer, alternative = "Correct the values", f"send a mapping to import none of them: {nothing}"
        else:
            alternative = f"to import none of them: {nothing}"
            if len(self.headers) > 1 and len(set(self.headers)) == 1:
                answer = f"Rename all but the one that is {self.column}"
            else:
                example = json.dumps({self.column: self.headers[0]}, ensure_ascii=False)
                answer = f"Send a mapping to choose one: {example}"
        if self.column not in REQUIRED:
            answer += f", or {alternative}"
        names = " and ".join(repr(header) for header in self.headers)
        could = "could each be" if len(self.headers) > 1 else "may be"
        return f"{names} {could} {self.column}: {self.reason}. {answer}."


def refuse(headers: Sequence[str], questions: Sequence[Question], missing: Sequence[str]) -> NoReturn:
    """Raise ``Invalid`` with every question and every missing column."""
    sentences: list[str] = []
    errors: list[dict[str, object]] = []
    if missing:
        sentences.append(
            f"The file has no column for {' and '.join(missing)}. Its headers are: {listed(headers)}. Rename a header, "
            f'or send a mapping, for instance {{"{missing[0]}": "their header"}}. If the headers are on another line, '
            "send its number as header_row."
        )
        errors += [{"column": column, "reason": "no such column in the file"} for column in missing]
    sentences += [question.text() for question in questions[:SHOWN_QUESTIONS]]
    if len(questions) > SHOWN_QUESTIONS:
        sentences.append(f"{len(questions) - SHOWN_QUESTIONS} more headers are unclear: see errors.")
    errors += [
        {"column": question.column, "header": header, "reason": question.text()}
        for question in questions
        for header in question.headers
    ]
    raise Invalid(" ".join(sentences), errors=errors)


def listed(headers: Sequence[str]) -> str:
    """Return the first headers as a sentence shows them."""
    shown = ", ".join(header[:50] or "(empty)" for header in headers[:SHOWN_HEADERS])
    return f"{shown} and {len(headers) - SHOWN_HEADERS} more" if len(headers) > SHOWN_HEADERS else shown
