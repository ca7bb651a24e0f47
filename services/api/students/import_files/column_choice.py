"""Choose the column of the file for each column of the import, by the words of its header and by its values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.api.students.import_files import sample_values
from services.api.students.import_files.column_report import Layout
from services.api.students.import_files.meaning import Certainty, Meaning
from services.api.students.import_files.questions import Question
from services.api.students.import_files.vocabulary import COLUMNS

PASSWORDS = (
    "passwords are not imported; after the import, invite the students to set their own "
    "(POST /api/students/invitations)"
)
NAME_PARTS = ("first_name", "middle_name", "last_name")
# Columns for which a plain header is preferred: "Email" to "Personal Email", "CGPA" to "CGPA of Sem 5". For the others,
# two headers that fit must have the same values.
PREFER_PLAIN = ("name", "email", "roll_number", "batch_year", "cgpa")
BRANCH_KINDS = ("branch", "stream", "course")


@dataclass(slots=True)
class ColumnChoice:
    layout: Layout
    candidates: dict[str, list[tuple[int, Meaning]]]
    mapping: Mapping[str, str | None]
    samples: Sequence[Sequence[str]]
    questions: list[Question] = field(default_factory=list)

    def choose(self) -> list[Question]:
        self._choose_names()
        self._choose_branch()
        for column in COLUMNS:
            if column not in ("branch", "department"):
                self._choose_column(column, self.candidates.get(column, []))
        for index, _ in self.candidates.get("password", []):
            self.layout.reasons[index] = PASSWORDS
            self.layout.warnings.append(f"{self._header(index)}: {PASSWORDS}.")
        return self.questions

    def _header(self, index: int) -> str:
        return repr(self.layout.headers[index])

    def _ask(self, column: str, indexes: Iterable[int], reason: str, *, misfit: bool = False) -> None:
        headers = tuple(self.layout.headers[index] for index in indexes)
        self.questions.append(Question(column, headers, reason, misfit))

    def _is_decided(self, column: str) -> bool:
        return column in self.layout.places or column in self.mapping

    def _values(self, index: int) -> list[str]:
        return sample_values.column(self.samples, index)

    def _choose_column(self, column: str, candidates: Sequence[tuple[int, Meaning]]) -> None:
        if column in self.mapping:
            for index, meaning in candidates:
                self.layout.reasons[index] = f"your mapping says where {column} is"
                if meaning.certainty is Certainty.ASK and self._values(index):
                    self._ask_of_other_columns(index, meaning)
            return
        fits = self._fitting(column, candidates)
        plain = [index for index, meaning in fits if meaning.plain]
        preferred = plain if column in PREFER_PLAIN else []
        chosen = self._one_of(preferred or [index for index, _ in fits])
        for index, _ in fits:
            if index not in chosen:
                self.layout.reasons[index] = f"{self._header(chosen[0])} is the column of {column}"
        if len(chosen) > 1:
            self._ask(column, chosen, "more than one header fits, and their values differ")
        elif chosen:
            self.layout.use(column, *chosen, reason="recognised by its header")
        self._ask_or_leave_out(column, candidates, is_known=len(chosen) == 1, is_plain=bool(plain))

    def _fitting(self, column: str, candidates: Sequence[tuple[int, Meaning]]) -> list[tuple[int, Meaning]]:
        """Return the candidates whose values fit too. Ask about, or leave out, headers whose values do not fit."""
        fits, doubtful = [], []
        weak_of = {index: meaning.certainty is Certainty.WEAK for index, meaning in candidates}
        for index, meaning in candidates:
            weak, values = weak_of[index], self._values(index)
            if meaning.certainty is Certainty.ASK:
                continue
            if weak and sample_values.are_row_numbers(values):
                self.layout.reasons[index] = "it holds the numbers of the rows"
            elif (problem := sample_values.misfit(column, values, weak=weak)) is None:
                fits.append((index, meaning))
            elif weak or column.endswith("_percent"):
                doubtful.append((index, problem))
            else:
                self._ask(column, [index], problem, misfit=True)
        for index, problem in doubtful:
            if fits:
                self.layout.reasons[index] = problem
                if not weak_of[index]:
                    self.layout.warnings.append(f"Not imported: {self._header(index)}: {problem}.")
            else:
                self._ask(column, [index], problem, misfit=True)
        return fits

    def _ask_of_other_columns(self, index: int, meaning: Meaning) -> bool:
        """Ask whether a header is another column (``meaning.also``) that is not known yet. Return whether it asked."""
        if meaning.numeric_only and not sample_values.are_numbers(self._values(index)):
            return False
        unknown = [column for column in meaning.also if not self._is_decided(column)]
        if unknown:
            self._ask(unknown[0], [index], meaning.reason)
        return bool(unknown)

    def _one_of(self, indexes: list[int]) -> list[int]:
        """Return those of ``indexes`` that have values, or only the first of them if their values are equal.

        If no index has values, return all.
        """
        filled = [index for index in indexes if self._values(index)]
        if not filled:
            return indexes
        alike = all(sample_values.are_alike(self.samples, filled[0], other) for other in filled[1:])
        return filled[:1] if alike else filled

    def _ask_or_leave_out(
        self, column: str, candidates: Sequence[tuple[int, Meaning]], *, is_known: bool, is_plain: bool
    ) -> None:
        """Ask about the uncertain headers. If the column is known already, leave them out with a warning."""
        left_out = []
        for index, meaning in candidates:
            if meaning.certainty is not Certainty.ASK:
                continue
            values = self._values(index)
            if not values or (meaning.numeric_only and not sample_values.are_numbers(values)):
                self.layout.reasons[index] = "it holds no numbers" if values else "it is empty"
            elif is_known and self._ask_of_other_columns(index, meaning):
                continue
            elif is_known and (is_plain or not meaning.rival):
                self.layout.reasons[index] = f"not imported: {meaning.reason}"
                left_out.append(index)
            else:
                self._ask(column, [index], meaning.reason)
        if left_out:
            names = ", ".join(map(self._header, left_out))
            used = self._header(self.layout.places[column][0])
            self.layout.warnings.append(f"Not imported: {names}. The column of {column} is {used}.")

    def _choose_names(self) -> None:
        parts = [self.candidates.get(part, []) for part in NAME_PARTS]
        if not any(parts) or "name" in self.mapping or self.candidates.get("name"):
            for index in (index for part in parts for index, _ in part):
                self.layout.reasons[index] = "another column holds the whole name"
            return
        indexes = [index for part in parts for index, _ in part]
        if any(len(part) > 1 for part in parts):
            self._ask("name", indexes, "more than one header fits")
        elif not parts[0] or not parts[2]:
            self._ask("name", indexes, "it is a part of the name only")
        else:
            self.layout.use("name", *indexes, reason="joined to the name")

    def _choose_branch(self) -> None:
        departments = self.candidates.get("department", [])
        self._choose_column("department", departments)
        if "branch" in self.mapping:
            return
        degrees: list[int] = []
        for kind in BRANCH_KINDS:
            of_kind = self.candidates.get(kind, [])
            candidates = [index for index, meaning in of_kind if meaning.certainty is Certainty.SURE]
            # A column with the header "Branch" holds branches, even if its values look like degrees.
            with_degrees = []
            if kind != "branch":
                with_degrees = [index for index in candidates if sample_values.are_degrees(self._values(index))]
            degrees += with_degrees
            for index in with_degrees:
                self.layout.reasons[index] = "it holds degrees such as B.Tech, not branches"
            fits = [index for index in candidates if index not in with_degrees]
            if kind == "course" and fits and departments:
                fits += [index for index, _ in departments]
            fits = self._one_of(fits)
            if len(fits) > 1:
                self._ask("branch", fits, "more than one header fits")
                return
            if fits:
                self.layout.use("branch", *fits, reason="recognised by its header")
                return
        self._use_department(degrees)

    def _use_department(self, degrees: list[int]) -> None:
        """Use the department as the branch. Without one, ask about the headers that may be the branch."""
        place = self.layout.places.get("department")
        uncertain = [index for index, _ in self.candidates.get("branch", []) if self._values(index)]
        if place and "department" not in self.mapping:
            self.layout.use("branch", *place, reason="no other column holds the branch; also stored as the department")
        elif uncertain:
            self._ask("branch", uncertain, "it is about a branch, but perhaps not the student's")
        elif degrees:
            self._ask("branch", degrees, "it holds degrees such as B.Tech, and no other column holds the branch")
