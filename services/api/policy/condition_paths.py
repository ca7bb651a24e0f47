"""List the conditions of a policy, each with its place in the document."""

from collections.abc import Iterator, Sequence

from contracts.policy.document import Policy
from contracts.policy.grammar import Condition, Not
from services.api.policy.located import Path


def condition_lists(policy: Policy) -> Iterator[tuple[Path, Sequence[Condition]]]:
    """Yield each list of conditions that must all hold, with its place."""
    for number, conditions in enumerate(policy.allow):
        yield ("allow", number), conditions
    for number, rule in enumerate(policy.deny):
        yield ("deny", number, "when"), rule.when
    for number, hold in enumerate(policy.hold):
        if hold.when:
            yield ("hold", number, "when"), hold.when
    for number, cap in enumerate(policy.caps):
        if cap.when:
            yield ("caps", number, "when"), cap.when


def conditions_in(path: Path, conditions: Sequence[Condition]) -> Iterator[tuple[Path, Condition]]:
    """Yield each condition of the list, and those inside a `not`."""
    for number, condition in enumerate(conditions):
        yield (*path, number), condition
        if isinstance(condition, Not):
            yield from conditions_in((*path, number, "not"), condition.not_)


def all_conditions(policy: Policy) -> Iterator[tuple[Path, Condition]]:
    for path, conditions in condition_lists(policy):
        yield from conditions_in(path, conditions)
