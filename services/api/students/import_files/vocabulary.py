"""The columns of a student import, and the words of their headers, grouped by meaning."""

from services.api.students.import_files.header_words import PLUS_TWO

# In the order of the staging table.
COLUMNS = (
    "name", "email", "roll_number", "branch", "batch_year", "tenth_percent", "twelfth_percent", "diploma_percent",
    "cgpa", "active_backlogs", "department",
)  # fmt: skip
REQUIRED = ("name", "email", "roll_number")
# Each of these identifies a student on record.
IDENTIFYING = frozenset({"email", "roll_number"})

Words = frozenset[str]


def word_set(text: str) -> Words:
    """Return the words of ``text``."""
    return frozenset(text.split())


FILLER = word_set(
    "the of in a an is as on and or student students stu stud candidate candidates applicant applicants participant "
    "your no number num nr nos count"
)
# Instructions for filling in the form. They do not change what a column is.
NOTES = word_set(
    "enter write mention fill only numbers numeric numerals digit digits symbol sign decimal decimals rounded rounding "
    "applicable required mandatory compulsory optional eg ex example please pls without with for if else otherwise off "
    "valid upto2 select choose lateral entry"
)
MAXIMUM = word_set("max maximum")
PERCENT = word_set("percent percentage percentages pct perc p per")
MARK = PERCENT | word_set("mark marks score scores aggregate agg result obtained secured average avg")
# A header with one of these words is about neither a mark nor the student's identity.
OTHERS = word_set("father fathers mother mothers parent parents guardian company mentor faculty coordinator hod tpo")
NEVER_A_MARK = word_set("attendance rank percentile fee fees salary ctc package age gap")
NOT_A_MARK = NEVER_A_MARK | word_set(
    "year yop passing board school name college institute university date stream medium state city place type roll "
    "hall status location subject b t s specialization degree"
)
GPA = word_set("cgpa cpi gpa cgpi ogpa cgp ccpi")
# Averages that colleges define differently, so the caller is asked.
OTHER_GPA = word_set("sgpa spi sgpi tgpa dgpa ygpa qpi cqpi cwa gpi wgpa")
GRADE_POINTS = word_set("pointer pointers")
SEMESTER = word_set("semester sem sems semesters")
ORDINAL = word_set("1st 2nd 3rd 4th 5th 6th 7th 8th 1 2 3 4 5 6 7 8 i ii iii iv v vi vii viii")
LATEST = word_set("current present latest last previous declared published final till until upto up to after now")
UNTIL = word_set("till until upto up to after")
DEGREE = word_set(
    "ug pg be b e tech btech degree graduation college university engineering engg grad bachelor bachelors"
)
DEGREES = DEGREE | word_set("m mtech mba mca msc bca bba bsc bcom com sc me")
TENTH = word_set("10th tenth x xth ssc sslc matric matriculation matriculate 10 secondary aisse hslc madhyamik")
TWELFTH = word_set(
    "12th twelfth twelveth xii xiith hsc hssc puc pu intermediate inter 12 isc aissce pdc vhse hsslc"
) | {PLUS_TWO}
DIPLOMA = word_set("diploma polytechnic dip")
BOARDS = word_set("cbse icse isc nios")
# Words of headers that may be about any school mark.
SCHOOL_HINT = BOARDS | word_set("high school hs pcm pcb board state pre university hr sec")
LEVEL = word_set("class std standard level exam board higher senior sr 2nd second equivalent total overall")
BARE = word_set("x 10 xii 12 inter pu")
SCHOOL = (TENTH | TWELFTH | DIPLOMA | word_set("school board jee neet cet eamcet")) - {"10", "12", "x"}
BACKLOG = word_set(
    "backlog backlogs arrear arrears kt kts atkt atkts backpaper backpapers backs reappear reappears supply supplies "
    "supplementary supplementaries carryover carryovers nob"
)
ACTIVE = word_set(
    "active live current currently standing pending present existing ongoing uncleared outstanding remaining now"
)
HISTORY = word_set(
    "history cleared dead passed closed past previous previously ever earlier far historical lifetime inactive passive"
)
NAME_WORDS = FILLER | word_set(
    "name names full complete legal std capital capitals block letter letters caps bold initial initials with at end"
)
NAME_PARTS = {
    "first_name": word_set("first given fore forename firstname"),
    "middle_name": word_set("middle middlename"),
    "last_name": word_set("last sur surname family lastname"),
}
PLAIN_EMAIL = FILLER | word_set("email mail e id ids address emails")
EMAIL_WORDS = PLAIN_EMAIL | word_set(
    "official college university institute institutional personal primary gmail domain current active"
)
# Words for an address of another account, or for a second address of the student.
OTHER_EMAIL = word_set("secondary alternate alternative alt other second 2nd another backup recovery")
ROLL = word_set("roll rollno usn prn urn enrollment enrolment enroll enrl registration reg register regn regd htno ht")
# Numbers that identify a student when the file has no roll number.
OTHER_IDENTITY = word_set("admission admn adm seat srn scholar uid gr erp")
UNIVERSITIES = word_set(
    "uni varsity vtu jntu jntuh jntuk jntua jntugv ou au aktu uptu rgpv gtu makaut wbut ktu anna mu sppu rtu bput ptu "
    "ikgptu mgu cusat osmania kuk mdu du dbatu rtmnu sgbau csvtu svu andhra kerala mumbai pune delhi madras calicut "
    "vit srm bits nit iit"
)
# Words for numbers of other documents, and for other facts about a registration.
OTHER_NUMBER = word_set(
    "library bus hostel room vehicle bike passport voter aadhar aadhaar pan licence license driving application form "
    "gate cat mat gre kcet comedk mhtcet ecet date time timestamp status fee fees year bank account"
)
ROLL_WORDS = (
    FILLER | ROLL | OTHER_IDENTITY | word_set("id university univ college class code exam hall ticket permanent")
)
BATCH_WORDS = (
    FILLER
    | DEGREE
    | word_set(
        "batch year passing pass passout out passed graduating grad yop expected completion completing course month "
        "academic end ending"
    )
)
BRANCH = {
    "branch": word_set("branch"),
    "stream": word_set("stream specialization specialisation discipline major trade"),
    "course": word_set("course programme program degree"),
    "department": word_set("department dept"),
}
ANY_BRANCH = frozenset().union(*BRANCH.values())
BRANCH_WORDS = FILLER | DEGREE | ANY_BRANCH | word_set("name study code short form abbreviation")
