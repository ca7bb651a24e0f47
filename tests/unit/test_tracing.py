"""The trace context of a caller is kept if it is valid. A span of a statement has a short name."""

import pytest

from chassis.observability import tracing
from chassis.postgres.traced_connection import summary

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_callers_trace_is_kept() -> None:
    assert tracing.traceparent(GOOD) == GOOD


@pytest.mark.parametrize(
    "header",
    [
        None, "", "x", GOOD.upper(), GOOD[:-1], f"{GOOD}\n", f"{GOOD}-{'x' * 10_000}", f"ff{GOOD[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)  # fmt: skip
def test_an_invalid_traceparent_is_ignored(header: str | None) -> None:
    assert tracing.traceparent(header) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT version, duplicate FROM es.append($1, $2)", "SELECT es.append"),
        ("SELECT es.finish($1)", "SELECT es.finish"),
        ("COMMIT;", "COMMIT"),
        ("SET LOCAL synchronous_commit = off", "SET"),
        ("\nWITH gone AS (\n  UPDATE selections SET revoked_version = $1 RETURNING 1) SELECT 1", "UPDATE selections"),
        ("with some as (select 1) select * from some", "SELECT some"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY attendance_trend", "REFRESH attendance_trend"),
        ("COPY import_row FROM STDIN", "COPY import_row"),
        ("", "statement"),
    ],
)
def test_a_span_is_named_after_the_verb_and_the_object_of_its_statement(text: str, name: str) -> None:
    assert summary(text) == name
