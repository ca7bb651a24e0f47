"""Compare two policies on given students and drives: who gains and who loses which drives."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from contracts.policy.document import Policy
from contracts.policy.values import ApplicationState, PolicyModel
from services.api.policy.adoption import SeasonNames
from services.api.policy.decision import Decision, Verdict, judge_application
from services.api.policy.facts import DriveFacts, Facts, SeasonFacts, StudentFacts


class Population(PolicyModel):
    """The students and drives of a season, as a file of facts gives them."""

    season: SeasonFacts
    drives: list[DriveFacts] = Field(min_length=1)
    students: list[StudentFacts]

    def names(self) -> SeasonNames:
        attributes = {name for student in self.students for name in student.attributes}
        return SeasonNames(self.season, self.drives, frozenset(attributes))


@dataclass(frozen=True, slots=True)
class Change:
    """One student and one drive that the two policies judge differently."""

    student: str
    drive: str
    before: Decision
    after: Decision

    @property
    def gains(self) -> bool:
        return self.after.allowed

    @property
    def loses(self) -> bool:
        return self.before.allowed


@dataclass(frozen=True, slots=True)
class Simulation:
    """``changes``: in the order of students and drives. ``pairs``: the number of decisions by each policy."""

    changes: tuple[Change, ...]
    pairs: int
    students: int
    undetermined: int

    def gaining(self) -> list[Change]:
        return [change for change in self.changes if change.gains]

    def losing(self) -> list[Change]:
        return [change for change in self.changes if change.loses]


def simulate(old: Policy, new: Policy, population: Population) -> Simulation:
    """Decide on every student and drive by both policies. ``undetermined``: pairs that ``new`` cannot decide."""
    changes, pairs, undetermined = [], 0, 0
    for student in population.students:
        for drive in population.drives:
            before, after = (_decide(policy, population.season, student, drive) for policy in (old, new))
            pairs += 1
            undetermined += after.verdict is Verdict.UNDETERMINED
            if before.verdict is not after.verdict:
                changes.append(Change(student.id, drive.id, before, after))
    return Simulation(tuple(changes), pairs, len(population.students), undetermined)


def _decide(policy: Policy, season: SeasonFacts, student: StudentFacts, drive: DriveFacts) -> Decision:
    """Return the decision for one pair. Caps do not apply to a running application: they count it already."""
    running = any(
        each.drive.id == drive.id and each.state is ApplicationState.ACTIVE for each in student.applications or ()
    )
    facts = Facts(season=season, student=student, drive=drive)
    return judge_application(policy, facts, advise=False, caps=not running)


def by_drive(changes: Sequence[Change]) -> dict[str, tuple[int, int]]:
    """Return how many students gain and how many lose each drive."""
    counted: dict[str, tuple[int, int]] = {}
    for change in changes:
        gains, losses = counted.get(change.drive, (0, 0))
        counted[change.drive] = (gains + change.gains, losses + change.loses)
    return counted
