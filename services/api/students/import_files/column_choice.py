"""Choose the column of the file for each column of the import: by the header's words, and by the values."""

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
# "Email" is chosen before "Personal Email", "CGPA" before "CGPA of Sem 5". Of two other marks or counts none is: their
# values must be the same.
PREFER_PLAIN = ("name", "email", "roll_number", "batch_year", "cgpa")
BRANCH_KINDS = ("branch", "stream", "course")


@dataclass(slots=True)
class ColumnChoice:
    layout: Layout
    found: dict[str, list[tuple[int, Meaning]]]
    mapping: Mapping[str, str | None]
    samples: Sequence[Sequence[str]]
    questions: list[Question] = field(default_factory=list)

    def choose(self) -> list[Question]:
        self._choose_names()
        self._choose_branch()
        for column in COLUMNS:
            if column not in ("branch", "department"):
                self._choose_column(column, self.found.get(column, []))
        for index, _ in self.found.get("password", []):
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
        """Return the candidates that are not to be asked about. A header whose values do not fit is asked here."""
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
        """Ask about a header that may also be a column that is not known yet. Return whether there is one."""
        if meaning.numeric_only and not sample_values.are_numbers(self._values(index)):
            return False
        unknown = [column for column in meaning.also if not self._is_decided(column)]
        if unknown:
            self._ask(unknown[0], [index], meaning.reason)
        return bool(unknown)

    def _one_of(self, indexes: list[int]) -> list[int]:
        """Return one of ``indexes`` when it does not matter which one is used, else those that have values."""
        filled = [index for index in indexes if self._values(index)]
        if not filled:
            return indexes
        alike = all(sample_values.are_alike(self.samples, filled[0], other) for other in filled[1:])
        return filled[:1] if alike else filled

    def _ask_or_leave_out(
        self, column: str, candidates: Sequence[tuple[int, Meaning]], *, is_known: bool, is_plain: bool
    ) -> None:
        """Ask about the headers that are not certain. Where the column is known, they are left out with a warning."""
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
        parts = [self.found.get(part, []) for part in NAME_PARTS]
        if not any(parts) or "name" in self.mapping or self.found.get("name"):
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
        departments = self.found.get("department", [])
        self._choose_column("department", departments)
        if "branch" in self.mapping:
            return
        degrees: list[int] = []
        for kind in BRANCH_KINDS:
            candidates = [index for index, meaning in self.found.get(kind, []) if meaning.certainty is Certainty.SURE]
            # A column named branch holds branches, whatever they are called.
            other = [] if kind == "branch" else [i for i in candidates if sample_values.are_degrees(self._values(i))]
            degrees += other
            for index in other:
                self.layout.reasons[index] = "it holds degrees such as B.Tech, not branches"
            fits = [index for index in candidates if index not in other]
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
        uncertain = [index for index, _ in self.found.get("branch", []) if self._values(index)]
        if place and "department" not in self.mapping:
            self.layout.use("branch", *place, reason="no other column holds the branch; also stored as the department")
        elif uncertain:
            self._ask("branch", uncertain, "it is about a branch, but perhaps not the student's")
        elif degrees:
            self._ask("branch", degrees, "it holds degrees such as B.Tech, and no other column holds the branch")
