"""The SQL that selects and the Python that explains agree on every student and every criteria."""

import unicodedata
from decimal import Decimal

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.branches import branch_key
from contracts.drives import Criteria
from services.api.eligibility.rules import Record, reasons_against
from tests.support.sizes import sized

JUDGE = """
SELECT meets_criteria($1::numeric, $2::numeric, $3::numeric, $4::numeric, $5::integer, branch_key($6), $7::integer,
                      $8::numeric, $9::numeric, $10::numeric, $11::integer, branch_keys($12), $13::integer[])
"""
EXAMPLES = sized(small=300, full=1_500)
BRANCHES = ("CSE", "ECE", "ME", "AI, ML", "Génie civil", "विद्युत", "ΟΔΟΣ", "電気", "İnşaat", "ﬁnance")
YEARS = (2025, 2026, 2027)


def written(branch: str) -> list[str]:
    """The same branch as different people write it."""
    forms = [unicodedata.normalize(form, branch) for form in ("NFC", "NFD")]
    cases = [case for form in forms for case in (form, form.lower(), form.upper(), form.title())]
    spaced = [case.replace(" ", space) for case in cases for space in (" ", "  ", "\t", "\u00a0 ")]
    return [f"{before}{text}{after}" for text in spaced for before in ("", " ", "\u3000") for after in ("", "\n")]


SPELLINGS = [spelling for branch in BRANCHES for spelling in written(branch)]
branches = st.sampled_from([*BRANCHES, *SPELLINGS])


def decimals(most: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=0, max_value=most, places=2, allow_nan=False)


def maybe(values: st.SearchStrategy[Decimal]) -> st.SearchStrategy[Decimal | None]:
    # A few fixed marks as well, so that a mark equal to its limit comes up often.
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


async def test_the_key_of_a_branch_is_the_same_in_sql_and_python(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
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


async def test_sql_and_python_agree(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    disagreements: list[tuple[Record, Criteria]] = []
    pairs: list[tuple[Record, Criteria]] = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(records, criteria)
    def collect(record: Record, asked: Criteria) -> None:
        pairs.append((record, asked))

    collect()
    for record, asked in pairs:
        in_sql = await owner.fetchval(JUDGE, *record, *asked.model_dump().values())
        if in_sql is not (not reasons_against(record, asked)):
            disagreements.append((record, asked))
    assert len(pairs) >= EXAMPLES * 2 // 3
    diplomas = [1 for record, asked in pairs if record.twelfth_percent is None and record.diploma_percent is not None]
    assert len(diplomas) > EXAMPLES // 30, "a diploma decides often enough"
    assert disagreements == []
