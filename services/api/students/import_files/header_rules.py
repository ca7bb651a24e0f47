"""Rules that interpret the words of a header. There is a rule for each column of the import."""

from collections.abc import Callable
from dataclasses import replace

from services.api.students.import_files.meaning import Certainty, Meaning
from services.api.students.import_files.vocabulary import (
    ACTIVE,
    ANY_BRANCH,
    BACKLOG,
    BARE,
    BATCH_WORDS,
    BOARDS,
    BRANCH,
    BRANCH_WORDS,
    DEGREE,
    DEGREES,
    DIPLOMA,
    EMAIL_WORDS,
    FILLER,
    GPA,
    GRADE_POINTS,
    HISTORY,
    LATEST,
    LEVEL,
    MARK,
    MAXIMUM,
    NAME_PARTS,
    NAME_WORDS,
    NEVER_A_MARK,
    NOT_A_MARK,
    ORDINAL,
    OTHER_EMAIL,
    OTHER_GPA,
    OTHER_IDENTITY,
    OTHER_NUMBER,
    PERCENT,
    PLAIN_EMAIL,
    ROLL,
    ROLL_WORDS,
    SCHOOL,
    SCHOOL_HINT,
    SEMESTER,
    TENTH,
    TWELFTH,
    UNIVERSITIES,
    UNTIL,
    Words,
    word_set,
)  # fmt: skip

UNKNOWN_MARK = "it looks like a mark, but not like one that is imported"
_AS_PERCENTAGE = "it holds grade points, and a percentage is stored"
# The header is certainly not imported. Later rules are not tried.
NOTHING = Meaning("")
A_TERM = Meaning("cgpa", Certainty.ASK, "the average of one semester or year is not the CGPA", numeric_only=True)
PERCENT_COLUMNS = ("tenth_percent", "twelfth_percent")


def _password(words: Words) -> Meaning | None:
    return Meaning("password") if words & word_set("password passwords pwd passcode") else None


def _backlogs(words: Words) -> Meaning | None:
    papers = words & word_set("subject subjects paper papers course courses")
    failed = words & word_set("failed fail") and papers
    pending = words & word_set("pending uncleared back") and papers
    graded = words & word_set("f u") and words & word_set("grade grades")
    if words <= FILLER | {"back", "hoa"} and words & {"back", "hoa"}:
        return Meaning("active_backlogs", Certainty.ASK, "it may be a number of backlogs", numeric_only=True)
    if words & GPA or not (words & BACKLOG or failed or pending or graded or {"carry", "over"} <= words):
        return None
    active = words & (ACTIVE - {"now"})
    if words & HISTORY or (not active and words & UNTIL and words & word_set("date now")):
        return Meaning("active_backlogs", Certainty.ASK, "a history of backlogs is not the number of active ones")
    if not active and words & word_set("total all overall cumulative"):
        return Meaning(
            "active_backlogs", Certainty.ASK, "it does not say whether cleared backlogs are counted", rival=True
        )
    known = BACKLOG | ACTIVE | FILLER | DEGREES | SEMESTER | UNTIL | word_set("back paper papers subject subjects any")
    known |= word_set("have date today none nil zero 0 carry over") | (ORDINAL | {"total"} if active else frozenset())
    if words - known:
        return Meaning("active_backlogs", Certainty.ASK, "it is about backlogs, but perhaps not their number")
    return Meaning("active_backlogs", plain=bool(active))


def _grade_points(words: Words) -> Meaning | None:
    by_phrase = "grade" in words and bool(words & word_set("point points"))
    if not (words & (GPA | OTHER_GPA | GRADE_POINTS) or by_phrase):
        return None
    bare = frozenset() if words & word_set("class std standard") else BARE
    for column, level in (
        ("twelfth_percent", TWELFTH - bare), ("tenth_percent", TENTH - bare), ("diploma_percent", DIPLOMA),
    ):  # fmt: skip
        if words & level:
            return Meaning(column, Certainty.ASK, _AS_PERCENTAGE)
    cumulative = words & (GPA - {"gpa"} | UNTIL | {"cumulative", "overall", "aggregate"})
    if words & OTHER_GPA or (words & SEMESTER and not cumulative):
        return replace(A_TERM, numeric_only=False)
    known = GPA | FILLER | MARK | DEGREES | SEMESTER | ORDINAL | LATEST | word_set(
        "grade point points average cumulative overall aggregate out 10 scale obtained date today marksheet total value"
    )  # fmt: skip
    known |= word_set("year years") if words & UNTIL else frozenset()
    if words - known:
        return Meaning("cgpa", Certainty.ASK, "it is about grade points, but perhaps not the CGPA")
    of_a_term = words & (SEMESTER | ORDINAL - {"1", "2"}) and not words & (
        UNTIL | {"overall", "aggregate", "cumulative"}
    )
    return Meaning("cgpa", plain=not of_a_term)


def _semester_mark(words: Words) -> Meaning | None:
    terms = SEMESTER | {"year"}
    known = terms | ORDINAL | FILLER | MARK | DEGREES
    return A_TERM if words & terms and words & ORDINAL and words <= known else None


def _name(words: Words) -> Meaning | None:
    if words & ANY_BRANCH:
        return None
    parts = {part for part, spellings in NAME_PARTS.items() if words & spellings}
    spellings = frozenset().union(*NAME_PARTS.values())
    if len(parts) == 1 and words - NAME_PARTS[min(parts)] <= NAME_WORDS:
        return Meaning(min(parts))
    if words in (word_set("student"), word_set("candidate"), word_set("fullname")):
        return Meaning("name")
    if not words & {"name", "names"}:
        return None
    # The words after "as per" name a document.
    as_on_paper = "as" in words and bool(words & word_set("per in on"))
    rest = words - NAME_WORDS - (spellings if len(parts) > 1 else frozenset())
    if rest and not as_on_paper:
        return NOTHING
    return Meaning("name", plain=not rest)


def _email(words: Words) -> Meaning | None:
    if not words & word_set("email mail gmail emails"):
        return None
    if words & OTHER_EMAIL:
        return NOTHING
    if words - EMAIL_WORDS:
        return Meaning("email", Certainty.WEAK)
    return Meaning("email", plain=words <= PLAIN_EMAIL)


def _roll_number(words: Words) -> Meaning | None:
    if words & ROLL or {"hall", "ticket"} <= words:
        rest = words - ROLL_WORDS - UNIVERSITIES
        if rest & (SCHOOL | OTHER_NUMBER | BARE):
            return NOTHING
        if rest:
            return Meaning("roll_number", Certainty.ASK, "it identifies a student, but perhaps not by the roll number")
        return Meaning("roll_number", plain=True)
    numbered = words & word_set("no number num nr id code")
    of_a_university = words <= UNIVERSITIES | FILLER | {"id"} and words & UNIVERSITIES and numbered
    of_another_kind = words <= ROLL_WORDS and (words & word_set("srn uid") or (numbered and words & OTHER_IDENTITY))
    plain_id = words <= FILLER | word_set("id code") and numbered and words & word_set("id student code")
    return Meaning("roll_number", Certainty.WEAK) if of_a_university or of_another_kind or plain_id else None


def _branch(words: Words) -> Meaning | None:
    for kind, spellings in BRANCH.items():
        if words & spellings:
            if words <= BRANCH_WORDS:
                return Meaning(kind)
            if kind == "department" and words <= BRANCH_WORDS | {"school"}:
                return Meaning(kind)
            if kind == "branch" and not words & SCHOOL:
                return Meaning(kind, Certainty.ASK, "it is about a branch, but perhaps not the student's")
    return None


def _batch_year(words: Words) -> Meaning | None:
    if not words & word_set("batch year yop passout passing graduation graduating") or words - BATCH_WORDS:
        return None
    if words & MARK or not words & word_set("batch year yop passout passing"):
        return None
    if "academic" in words and not words & word_set("batch yop passout passing"):
        return None
    weak = words <= DEGREE | FILLER | {"year"} and not words & word_set("graduation grad")
    return Meaning("batch_year", Certainty.WEAK if weak else Certainty.SURE, plain=not weak)


def _school_mark(words: Words) -> Meaning | None:
    words = _spelled_out(words)
    twelfth = bool(words & TWELFTH) or ({"secondary"} < words and bool(words & word_set("higher senior sr")))
    tenth = bool(words & (TENTH - ({"secondary"} if twelfth else set())))
    if not (twelfth or tenth or words & DIPLOMA):
        return None
    column = "twelfth_percent" if twelfth else "tenth_percent" if tenth else "diploma_percent"
    percent = words & PERCENT - {"p"}
    marked = percent or words & word_set("mark marks score scores aggregate")
    allowed = word_set("school") if "secondary" in words else frozenset()
    allowed |= BOARDS | (word_set("board state") if marked else frozenset())
    level = LEVEL | allowed | (word_set("grade") if percent else frozenset())
    level |= word_set("ii") if words & word_set("puc pu inter intermediate") else frozenset()
    if words & (NOT_A_MARK | ANY_BRANCH) - allowed:
        return Meaning(column, Certainty.ASK, UNKNOWN_MARK, numeric_only=True) if marked else NOTHING
    if tenth and (twelfth or words & DIPLOMA):
        return Meaning("tenth_percent", Certainty.ASK, "it names more than one school certificate", numeric_only=True)
    if words - TENTH - TWELFTH - level - MARK - FILLER - DIPLOMA - MAXIMUM - {"any"}:
        return Meaning(column, Certainty.ASK, UNKNOWN_MARK, numeric_only=True)
    return Meaning(column, Certainty.WEAK if words <= BARE else Certainty.SURE)


def _spelled_out(words: Words) -> Words:
    """Return ``words`` with "Hr. Sec" and "Pre-University Course" replaced by words of the vocabulary."""
    if "sec" in words and words & word_set("hr higher sr senior"):
        words = words - {"sec", "hr"} | {"secondary", "higher"}
    if {"pre", "university"} <= words:
        words = words - {"pre", "university", "course"} | {"puc"}
    return words


def _other_mark(words: Words) -> Meaning | None:
    if words & NEVER_A_MARK or not words & MARK:
        return None
    if words & (NOT_A_MARK - SCHOOL_HINT - word_set("b t s degree college university")) and not words & PERCENT - {
        "p",
        "per",
    }:
        return None
    # The header does not say which class or course the mark belongs to.
    also = PERCENT_COLUMNS if words <= MARK | FILLER | SCHOOL_HINT | word_set("total overall obtained") else ()
    return Meaning("cgpa", Certainty.ASK, UNKNOWN_MARK, numeric_only=True, also=also)


RULES: tuple[Callable[[Words], Meaning | None], ...] = (
    _password, _backlogs, _grade_points, _email, _roll_number, _branch, _name, _batch_year, _school_mark,
    _semester_mark, _other_mark,
)  # fmt: skip
