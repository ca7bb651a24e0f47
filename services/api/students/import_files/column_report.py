"""The use of each column of a file."""

from dataclasses import dataclass, field

from services.api.students.import_files.vocabulary import COLUMNS


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """How a column of the file is used. ``used_as`` is ``None`` for a column that is not imported."""

    header: str
    used_as: str | None
    reason: str


@dataclass(slots=True)
class Layout:
    """``places``: for each column, the indexes of its cells in a row. Several cells, such as a name's, are joined."""

    headers: list[str]
    places: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def use(self, column: str, *indexes: int, reason: str) -> None:
        self.places[column] = indexes
        for index in indexes:
            self.reasons[index] = reason

    def report(self) -> list[ColumnReport]:
        # A department that also serves as the branch is reported as the branch, because drives filter by branch.
        used = {index: column for column in reversed(COLUMNS) for index in self.places.get(column, ())}
        return [
            ColumnReport(header, used.get(index), self.reasons.get(index, "not a column that is imported"))
            for index, header in enumerate(self.headers)
        ]
