"""Interpret a header by its words alone. ``layout`` checks the values."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from services.api.students.import_files.header_words import words_of
from services.api.students.import_files.vocabulary import (
    ACTIVE,
    ANY_BRANCH,
    BACKLOG,
    BARE,
    BATCH_WORDS,
    BRANCH,
    BRANCH_WORDS,
    DEGREE,
    DEGREES,
    DIPLOMA,
    EMAIL_WORDS,
    FILLER,
    GPA,
    HISTORY,
    LATEST,
    LEVEL,
    MARK,
    NAME_PARTS,
    NAME_WORDS,
    NEVER_A_MARK,
    NOT_A_MARK,
    NOTES,
    ORDINAL,
    OTHER_GPA,
    OTHER_IDENTITY,
    OTHERS,
    PERCENT,
    PLAIN_EMAIL,
    ROLL,
    ROLL_WORDS,
    SCHOOL,
    SEMESTER,
    TENTH,
    TWELFTH,
    UNTIL,
    Words,
    word_set,
)  # fmt: skip


class Certainty(Enum):
    """How well a header fits. ``WEAK``: only if the values fit, too. ``ASK``: asked, unless another header is sure."""

    SURE = "sure"
    WEAK = "weak"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Meaning:
    """``kind``: a column of the import, a part of a name (``first_name``, …), a branch (``course``, …), ``password``.

    ``column``: the column that a question about the header would be about. ``plain``: nothing in the header qualifies
    it, so it is preferred to headers that fit and are qualified. ``rival``: of a header that is asked, that only a
    ``plain`` header is preferred to it.
    """

    kind: str
    certainty: Certainty = Certainty.SURE
    reason: str = ""
    numeric_only: bool = False
    plain: bool = False
    rival: bool = False

    @property
    def column(self) -> str:
        return {"course": "branch", "stream": "branch"}.get(self.kind, self.kind)


_UNKNOWN_MARK = "it looks like a mark, but not like one that is imported"
_AS_PERCENTAGE = "it holds grade points, and a percentage is stored"
# The header is surely nothing that is imported, whatever the later rules would say.
NOTHING = Meaning("")


def meaning_of(header: str) -> Meaning | None:
    """Return what ``header`` may be, or ``None`` when it is nothing that is imported."""
    words = frozenset(words_of(header))
    words = words - NOTES or words
    if not words or words & OTHERS:
        return None
    for rule in RULES:
        meaning = rule(words)
        if meaning is not None:
            return meaning if meaning.kind else None
    return None


def _password(words: Words) -> Meaning | None:
    return Meaning("password") if words & word_set("password passwords pwd passcode") else None


def _backlogs(words: Words) -> Meaning | None:
    failed = words & word_set("failed fail") and words & word_set("subject subjects paper papers course courses")
    if not (words & BACKLOG or failed or ("back" in words and words & word_set("paper papers"))):
        return None
    active = words & ACTIVE
    if words & HISTORY or (not active and words & UNTIL and words & word_set("date now")):
        return Meaning("active_backlogs", Certainty.ASK, "a history of backlogs is not the number of active ones")
    if not active and words & word_set("total all overall cumulative"):
        return Meaning(
            "active_backlogs", Certainty.ASK, "it does not say whether cleared backlogs are counted", rival=True
        )
    known = BACKLOG | ACTIVE | FILLER | DEGREES | SEMESTER | UNTIL | word_set("back paper papers subject subjects any")
    known |= word_set("have date today") | (ORDINAL | {"total"} if active else frozenset())
    if words - known:
        return Meaning("active_backlogs", Certainty.ASK, "it is about backlogs, but perhaps not their number")
    return Meaning("active_backlogs", plain=bool(active))


def _grade_points(words: Words) -> Meaning | None:
    by_phrase = "grade" in words and bool(words & word_set("point points"))
    if not (words & (GPA | OTHER_GPA) or by_phrase):
        return None
    for column, level in (
        ("twelfth_percent", TWELFTH - BARE), ("tenth_percent", TENTH - BARE), ("diploma_percent", DIPLOMA),
    ):  # fmt: skip
        if words & level:
            return Meaning(column, Certainty.ASK, _AS_PERCENTAGE)
    cumulative = words & (GPA - {"gpa"} | UNTIL | {"cumulative", "overall", "aggregate"})
    if words & OTHER_GPA or (words & SEMESTER and not cumulative):
        return Meaning("cgpa", Certainty.ASK, "the average of one semester or year is not the CGPA")
    known = GPA | FILLER | MARK | DEGREES | SEMESTER | ORDINAL | LATEST | word_set(
        "grade point points average cumulative overall aggregate out 10 scale obtained date marksheet total value"
    )  # fmt: skip
    if words - known:
        return Meaning("cgpa", Certainty.ASK, "it is about grade points, but perhaps not the CGPA")
    return Meaning("cgpa")


def _name(words: Words) -> Meaning | None:
    if words & ANY_BRANCH:
        return None
    parts = {part for part, spellings in NAME_PARTS.items() if words & spellings}
    spellings = frozenset().union(*NAME_PARTS.values())
    if len(parts) == 1 and words - NAME_PARTS[min(parts)] <= NAME_WORDS:
        return Meaning(min(parts))
    if words in (word_set("student"), word_set("candidate"), word_set("fullname")):
        return Meaning("name")
    if "name" not in words:
        return None
    # What follows "as per" names a paper.
    as_on_paper = "as" in words and bool(words & word_set("per in on"))
    rest = words - NAME_WORDS - (spellings if len(parts) > 1 else frozenset())
    if rest and not as_on_paper:
        return NOTHING
    return Meaning("name", plain=not rest)


def _email(words: Words) -> Meaning | None:
    if not words & word_set("email mail gmail emails"):
        return None
    return NOTHING if words - EMAIL_WORDS else Meaning("email", plain=words <= PLAIN_EMAIL)


def _roll_number(words: Words) -> Meaning | None:
    numbered = words & word_set("no number num nr id code")
    if words & ROLL or {"hall", "ticket"} <= words:
        return NOTHING if words - ROLL_WORDS else Meaning("roll_number", plain=True)
    if words <= ROLL_WORDS and (words & word_set("srn uid") or (numbered and words & OTHER_IDENTITY)):
        return Meaning("roll_number", Certainty.WEAK)
    if words <= FILLER | word_set("id code") and numbered and words & word_set("id student code"):
        return Meaning("roll_number", Certainty.WEAK)
    return None


def _branch(words: Words) -> Meaning | None:
    for kind, spellings in BRANCH.items():
        if words & spellings:
            if words <= BRANCH_WORDS:
                return Meaning(kind)
            if kind == "branch" and not words & SCHOOL:
                return Meaning(kind, Certainty.ASK, "it is about a branch, but perhaps not the student's")
    return None


def _batch_year(words: Words) -> Meaning | None:
    if not words & word_set("batch year yop passout passing graduation graduating") or words - BATCH_WORDS:
        return None
    if words & MARK or not words & word_set("batch year yop passout passing"):
        return None
    weak = words <= DEGREE | FILLER | {"year"} and not words & word_set("graduation grad")
    return Meaning("batch_year", Certainty.WEAK if weak else Certainty.SURE, plain=not weak)


def _school_mark(words: Words) -> Meaning | None:
    twelfth = bool(words & TWELFTH) or ({"secondary"} < words and bool(words & word_set("higher senior sr")))
    tenth = bool(words & (TENTH - ({"secondary"} if twelfth else set())))
    if not (twelfth or tenth or words & DIPLOMA):
        return None
    percent = words & PERCENT - {"p"}
    allowed = word_set("school") if "secondary" in words else frozenset()
    level = LEVEL | allowed | (word_set("grade") if percent else frozenset())
    level |= word_set("ii") if words & word_set("puc pu inter intermediate") else frozenset()
    if words & (NOT_A_MARK | ANY_BRANCH) - allowed:
        return Meaning("tenth_percent", Certainty.ASK, _UNKNOWN_MARK, numeric_only=True) if percent else NOTHING
    column = "twelfth_percent" if twelfth else "tenth_percent" if tenth else "diploma_percent"
    if tenth and (twelfth or words & DIPLOMA):
        return Meaning("tenth_percent", Certainty.ASK, "it names more than one school certificate", numeric_only=True)
    if words - TENTH - TWELFTH - level - MARK - FILLER - DIPLOMA - {"any"}:
        return Meaning(column, Certainty.ASK, _UNKNOWN_MARK, numeric_only=True)
    return Meaning(column, Certainty.WEAK if words <= BARE else Certainty.SURE)


def _other_mark(words: Words) -> Meaning | None:
    if words & NEVER_A_MARK or not words & MARK:
        return None
    if words & (NOT_A_MARK - word_set("b t s degree college university")) and not words & PERCENT - {"p", "per"}:
        return None
    return Meaning("cgpa", Certainty.ASK, _UNKNOWN_MARK, numeric_only=True)


RULES: tuple[Callable[[Words], Meaning | None], ...] = (
    _password, _backlogs, _grade_points, _email, _roll_number, _branch, _name, _batch_year, _school_mark, _other_mark,
)  # fmt: skip
