"""The questions that every policy must answer. A document that leaves a question open is refused with it."""

from collections.abc import Iterator
from typing import Any

from services.api.policy.located import Path

QUESTIONS: dict[Path, str] = {
    ("counts",): (
        "In which states does an offer count, for each source? "
        "Answer with counts: {CAMPUS: [...], PPO: [...], OFF_CAMPUS: [...]}"
    ),
    ("counts", "CAMPUS"): (
        "Does a campus offer count when it is announced, or only when it is accepted? And after the student declined "
        "it, after it expired or was revoked? List the states, such as [open, accepted, declined]"
    ),
    ("counts", "PPO"): (
        "Does a pre-placement offer count, and so end the process as an accepted campus offer does? "
        "List the states, such as [accepted]; [] means that it never counts"
    ),
    (
        "counts",
        "OFF_CAMPUS",
    ): "Do off-campus jobs count? List the states, such as [accepted]; [] means that they never do",
    ("after_offer",): "May a student with an offer that counts apply again? Answer open, closed or rules",
    (
        "decide_in",
    ): "What does silence at the deadline mean? Answer with decide_in: {silence: decline} (expire or accept)",
    ("decide_in", "silence"): "What does silence at the deadline mean? Answer decline, expire or accept",
}
COHORT = {
    "same": "Who is in this cohort: students who share what? List attributes, such as [branch]",
    "of": "Who is in this cohort: registered, eligible or all students?",
    "counts": "When is a student of this cohort placed? List the states of offers, such as [accepted]",
}
REFUND = (
    "Are withdrawn applications, and those of cancelled drives, given back? "
    "Answer with refund: [withdrawn, drive_cancelled], or [] for neither"
)


def open_questions(document: Any) -> Iterator[tuple[Path, str]]:
    """Yield the place and the text of each question that ``document`` leaves open."""
    if not isinstance(document, dict):
        return
    for path, question in QUESTIONS.items():
        outer = document.get(path[0]) if len(path) > 1 else document
        if isinstance(outer, dict) and path[-1] not in outer:
            yield path, question
    cohorts = document.get("cohorts")
    for name, cohort in cohorts.items() if isinstance(cohorts, dict) else ():
        if isinstance(cohort, dict):
            yield from ((("cohorts", name, key), question) for key, question in COHORT.items() if key not in cohort)
    yield from _refunds(document)


def _refunds(document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    caps = document.get("caps")
    for number, cap in enumerate(caps) if isinstance(caps, list) else ():
        if isinstance(cap, dict) and "refund" not in cap and not _has_refund(cap):
            yield ("caps", number, "refund"), REFUND
    yield from _refunds_of_conditions(document, ())


def _refunds_of_conditions(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the question for each condition that counts applications and does not answer it."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _refunds_of_conditions(item, (*path, number))
    elif isinstance(value, dict):
        counting = value.keys() & {"applications_since_below", "shortlists_below"}
        if counting and not _has_refund(value):
            yield (
                (*path, "of", "refund"),
                REFUND.replace("with refund", "with of: {refund").replace("cancelled],", "cancelled]},"),
            )
        for key, item in value.items():
            yield from _refunds_of_conditions(item, (*path, key))


def _has_refund(value: dict[str, Any]) -> bool:
    return isinstance(value.get("of"), dict) and "refund" in value["of"]


def question_about(path: Path) -> bool:
    """Return whether a question asks for a missing key at ``path``, so that no other message is needed."""
    cohort = len(path) == 3 and path[0] == "cohorts" and path[2] in COHORT
    return path in QUESTIONS or cohort
