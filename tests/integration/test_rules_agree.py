"""The eligibility rules in SQL (for selection) and in Python (for explanations) give the same results."""

import unicodedata
from decimal import Decimal

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.branches import branch_key
from contracts.drives import Criteria
from services.api.eligibility.rules import Record, reasons_against
from tests.support.sizes import sized

MEETS_CRITERIA = """
SELECT meets_criteria(ROW($1, $2, $3, $4, $5, branch_key($6), $7)::marks,
                      ROW($8, $9, $10, $11, branch_keys($12), $13)::criteria)
"""
EXAMPLES = sized(small=300, full=1_500)
BRANCHES = ("CSE", "ECE", "ME", "AI, ML", "Génie civil", "विद्युत", "ΟΔΟΣ", "電気", "İnşaat", "ﬁnance")
YEARS = (2025, 2026, 2027)


def spellings(branch: str) -> list[str]:
    """Return the spellings of a branch that must match."""
    forms = [unicodedata.normalize(form, branch) for form in ("NFC", "NFD")]
    cases = [case for form in forms for case in (form, form.lower(), form.upper(), form.title())]
    spaced = [case.replace(" ", space) for case in cases for space in (" ", "  ", "\t", "\u00a0 ")]
    return [f"{before}{text}{after}" for text in spaced for before in ("", " ", "\u3000") for after in ("", "\n")]


SPELLINGS = [spelling for branch in BRANCHES for spelling in spellings(branch)]
branches = st.sampled_from([*BRANCHES, *SPELLINGS])


def decimals(limit: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=0, max_value=limit, places=2, allow_nan=False)


def maybe(values: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Decimal | None]:
    # The fixed marks make a mark equal to its limit frequent.
    return st.one_of(st.none(), values, st.sampled_from([Decimal("6.00"), Decimal("5.99")]))


records = st.builds(
    Record,
    cgpa=maybe(decimals(10)),
    tenth_percent=maybe(decimals(100)),
    twelfth_percent=maybe(decimals(100)),
    diploma_percent=maybe(decimals(100)),
    active_backlogs=st.one_of(st.none(), st.integers(0, 3)),
    branch=st.one_of(st.none(), branches),
    batch_year=st.one_of(st.none(), st.sampled_from(YEARS)),
)
criteria = st.builds(
    Criteria,
    min_cgpa=maybe(decimals(10)),
    min_10th=maybe(decimals(100)),
    min_12th=maybe(decimals(100)),
    max_backlogs=st.one_of(st.none(), st.integers(0, 3)),
    branches=st.one_of(st.none(), st.lists(branches, min_size=1, max_size=4)),
    batch_years=st.one_of(st.none(), st.lists(st.sampled_from(YEARS), min_size=1, max_size=5)),
)


async def test_sql_and_python_give_the_same_branch_key(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    texts: set[str] = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(branches)
    def collect(branch: str) -> None:
        texts.add(branch)

    collect()
    keys = "SELECT text, branch_key(text) AS key FROM unnest($1::text[]) AS text"
    for row in await owner.fetch(keys, sorted(texts)):
        assert row["key"] == branch_key(row["text"]), ascii(row["text"])
    for branch in BRANCHES[:-2]:
        assert branch_key(f"  {unicodedata.normalize('NFD', branch.lower())} ") == branch_key(branch)


async def test_sql_and_python_give_the_same_eligibility(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    disagreements: list[tuple[Record, Criteria]] = []
    pairs: list[tuple[Record, Criteria]] = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(records, criteria)
    def collect(record: Record, required: Criteria) -> None:
        pairs.append((record, required))

    collect()
    for record, required in pairs:
        in_sql = await owner.fetchval(MEETS_CRITERIA, *record, *required.model_dump().values())
        if in_sql is not (not reasons_against(record, required)):
            disagreements.append((record, required))
    assert len(pairs) >= EXAMPLES * 2 // 3
    diplomas = [
        1 for record, required in pairs if record.twelfth_percent is None and record.diploma_percent is not None
    ]
    assert len(diplomas) > EXAMPLES // 30, "a diploma must decide often enough"
    assert disagreements == []
