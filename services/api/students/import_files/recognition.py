"""Interpret a header by its words alone. ``layout`` checks the values."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from services.api.students.import_files.header_words import PLUS_TWO, words_of


class Certainty(Enum):
    """How well a header fits. ``WEAK``: only if the values fit, too. ``ASK``: the caller must decide."""

    SURE = "sure"
    WEAK = "weak"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Meaning:
    """``kind``: a column of the import, a part of a name (``first_name``, …), a branch (``course``, …), ``password``.

    ``column``: the column that a question about the header is about.
    """

    kind: str
    certainty: Certainty = Certainty.SURE
    reason: str = ""
    numeric_only: bool = False

    @property
    def column(self) -> str:
        return {"course": "branch", "stream": "branch"}.get(self.kind, self.kind)


Words = frozenset[str]


def _set(text: str) -> Words:
    return frozenset(text.split())


FILLER = _set("the of in a an is as on and or student students candidate candidates your no number num nr nos count")
PERCENT = _set("percent percentage percentages pct perc p per")
MARK = PERCENT | _set("mark marks score scores aggregate agg result obtained secured average avg")
# A header with one of these words is neither a mark nor the student's identity.
OTHERS = _set("father fathers mother mothers parent parents guardian company mentor faculty coordinator hod tpo")
NOT_A_MARK = _set(
    "year yop passing board school name college institute university date stream medium state city place type roll "
    "hall attendance rank fee fees salary ctc package age gap status location subject b t s specialization degree"
)
GPA = _set("cgpa cpi gpa cgpi ogpa cgp ccpi")
SEMESTER_GPA = _set("sgpa spi sgpi tgpa")
SEMESTER = _set("semester sem sems semesters")
ORDINAL = _set("1st 2nd 3rd 4th 5th 6th 7th 8th 1 2 3 4 5 6 7 8 i ii iii iv v vi vii viii")
UNTIL = _set("till until upto up to after")
DEGREE = _set("ug pg be b e tech btech degree graduation college university engineering engg grad bachelor bachelors")
TENTH = _set("10th tenth x xth ssc sslc matric matriculation matriculate 10 secondary")
TWELFTH = _set("12th twelfth twelveth xii xiith hsc hssc puc pu intermediate inter 12 isc") | {PLUS_TWO}
LEVEL = _set("class std standard level exam board higher senior sr 2nd second equivalent")
BARE = _set("x 10 xii 12 inter pu")
BACKLOG = _set(
    "backlog backlogs arrear arrears kt kts atkt atkts backpaper backpapers reappear reappears supply supplies"
)
ACTIVE = _set(
    "active live current currently standing pending present existing ongoing uncleared outstanding remaining now"
)
HISTORY = _set("history cleared dead passed closed past previous previously ever earlier far historical lifetime")
NAME_WORDS = FILLER | _set("name full complete legal")
EMAIL_WORDS = FILLER | _set(
    "email mail e id ids address official college university institute institutional personal primary gmail domain"
)
ROLL = _set("roll rollno usn prn urn enrollment enrolment enroll registration reg register regn admission htno")
ROLL_WORDS = FILLER | ROLL | _set("id university college class code exam hall ticket")
BATCH_WORDS = FILLER | _set(
    "batch year passing pass passout out passed graduation graduating grad yop expected college"
)
BRANCH = {
    "branch": _set("branch"),
    "stream": _set("stream specialization specialisation discipline major trade"),
    "course": _set("course programme program degree"),
    "department": _set("department dept"),
}
BRANCH_WORDS = FILLER | _set("name ug engineering college") | frozenset().union(*BRANCH.values())


def meaning_of(header: str) -> Meaning | None:
    """Return the meaning of ``header``, or ``None`` when it is not imported."""
    words = words_of(header)
    found = frozenset(words)
    if not words or found & OTHERS:
        return None
    for rule in RULES:
        meaning = rule(found)
        if meaning is not None:
            return meaning if meaning.kind else None
    return None


NOTHING = Meaning("")


def _password(words: Words) -> Meaning | None:
    return Meaning("password") if words & _set("password passwords pwd passcode") else None


def _backlogs(words: Words) -> Meaning | None:
    if not (words & BACKLOG or ("back" in words and words & _set("paper papers"))):
        return None
    if words & HISTORY or (words & UNTIL and words & _set("date now")):
        return Meaning("active_backlogs", Certainty.ASK, "a history of backlogs is not the number of active ones")
    if words & _set("total all overall cumulative"):
        return Meaning("active_backlogs", Certainty.ASK, "it does not say whether cleared backlogs are counted")
    today = _set("date today") if words & ACTIVE else frozenset()
    rest = (
        words
        - today
        - BACKLOG
        - ACTIVE
        - FILLER
        - DEGREE
        - SEMESTER
        - _set("back paper papers subject subjects if any have")
    )
    if rest:
        return Meaning("active_backlogs", Certainty.ASK, "it is about backlogs, but perhaps not their number")
    return Meaning("active_backlogs")


def _grade_points(words: Words) -> Meaning | None:
    by_phrase = {"grade", "point"} <= words or {"grade", "points"} <= words
    if not (words & (GPA | SEMESTER_GPA) or by_phrase):
        return None
    for column, level in (("twelfth_percent", TWELFTH - BARE), ("tenth_percent", TENTH - BARE)):
        if words & level:
            return Meaning(column, Certainty.ASK, "it holds grade points, and a percentage is stored")
    if "diploma" in words:
        return Meaning("diploma_percent", Certainty.ASK, "it holds grade points, and a percentage is stored")
    cumulative = words & (GPA - {"gpa"} | UNTIL | {"cumulative", "overall", "aggregate"})
    if words & SEMESTER_GPA or (words & SEMESTER and not cumulative):
        return Meaning("cgpa", Certainty.ASK, "the average of one semester is not the CGPA")
    known = (
        GPA
        | FILLER
        | MARK
        | DEGREE
        | SEMESTER
        | ORDINAL
        | UNTIL
        | _set(
            "grade point points average cumulative overall aggregate current final latest out 10 scale obtained "
            "date now"
        )
    )
    if words - known - _set("m mtech mba mca msc bca bba bsc bcom com sc me"):
        return Meaning("cgpa", Certainty.ASK, "it is about grade points, but perhaps not the CGPA")
    return Meaning("cgpa")


def _name(words: Words) -> Meaning | None:
    if words & frozenset().union(*BRANCH.values()):
        return None
    for part, spellings in (
        ("first_name", _set("first given fore forename firstname")),
        ("middle_name", _set("middle middlename")),
        ("last_name", _set("last sur surname family lastname")),
    ):
        if words & spellings and words - spellings <= NAME_WORDS:
            return Meaning(part)
    if words in (_set("student"), _set("candidate"), _set("fullname")):
        return Meaning("name")
    if "name" not in words:
        return None
    # What follows "as per" names a paper.
    rest = words - NAME_WORDS if not {"as", "per"} <= words else frozenset()
    return NOTHING if rest else Meaning("name")


def _email(words: Words) -> Meaning | None:
    if not words & _set("email mail gmail emails"):
        return None
    return NOTHING if words - EMAIL_WORDS else Meaning("email")


def _roll_number(words: Words) -> Meaning | None:
    if not (words & ROLL or {"hall", "ticket"} <= words or {"student", "id"} <= words):
        return None
    return NOTHING if words - ROLL_WORDS else Meaning("roll_number")


def _branch(words: Words) -> Meaning | None:
    for kind, spellings in BRANCH.items():
        if words & spellings and words <= BRANCH_WORDS:
            return Meaning(kind)
    return None


def _batch_year(words: Words) -> Meaning | None:
    if not words & _set("batch year yop passout passing graduation graduating") or words - BATCH_WORDS:
        return None
    if words & MARK or words == _set("graduation"):
        return None
    return Meaning("batch_year", Certainty.WEAK if words == _set("year") else Certainty.SURE)


def _school_mark(words: Words) -> Meaning | None:
    twelfth = bool(words & TWELFTH) or ({"secondary"} < words and bool(words & _set("higher senior sr")))
    tenth = bool(words & (TENTH - ({"secondary"} if twelfth else set())))
    diploma = bool(words & _set("diploma polytechnic"))
    if not (twelfth or tenth or diploma):
        return None
    if words & NOT_A_MARK:
        return Meaning("tenth_percent", Certainty.ASK, _UNKNOWN_MARK, True) if words & PERCENT - {"p"} else NOTHING
    column = "twelfth_percent" if twelfth else "tenth_percent" if tenth else "diploma_percent"
    if tenth and (twelfth or diploma):
        return Meaning("tenth_percent", Certainty.ASK, "it names more than one school certificate", True)
    rest = words - TENTH - TWELFTH - LEVEL - MARK - FILLER - _set("diploma polytechnic")
    if rest:
        return Meaning(column, Certainty.ASK, _UNKNOWN_MARK, True)
    return Meaning(column, Certainty.WEAK if words <= BARE else Certainty.SURE)


_UNKNOWN_MARK = "it looks like a mark, but not like one that is imported"


def _other_mark(words: Words) -> Meaning | None:
    if not words & MARK or words & (NOT_A_MARK - _set("b t s degree college university")):
        return None
    return Meaning("cgpa", Certainty.ASK, _UNKNOWN_MARK, True)


RULES: tuple[Callable[[Words], Meaning | None], ...] = (
    _password, _backlogs, _grade_points, _email, _roll_number, _branch, _name, _batch_year, _school_mark, _other_mark,
)  # fmt: skip
