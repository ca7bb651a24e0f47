"""Parts, names and digests of files over HTTP; what may be asked of an export."""

import hashlib

import pytest

from chassis.http.responses import content_disposition
from contracts.exports import COLUMNS, ExportKind
from services.api.exports.file_answer import Span, Unsatisfiable, repr_digest, requested_span
from services.exporter.columns import columns

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-99", Span(0, 100)),
        ("bytes=0-100", Span(0, 100)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("Bytes = 1 - 2", Span(1, 3)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("bytes=+1-2", None),
        ("bytes=1-٢", None),
        ("lines=1-2", None),
    ],
)
def test_one_range_of_bytes(asked: str | None, span: Span | None) -> None:
    assert requested_span(asked, None, size=100, etag=ETAG) == span


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end(asked: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_span(asked, None, size=100, etag=ETAG)


def test_a_range_of_another_file_is_the_whole() -> None:
    assert requested_span("bytes=0-1", ETAG, size=100, etag=ETAG) == Span(0, 2)
    assert requested_span("bytes=0-1", '"old"', size=100, etag=ETAG) is None
    assert requested_span("bytes=0-1", f"W/{ETAG}", size=100, etag=ETAG) is None  # RFC 9110, 13.1.5: strong only


def test_names() -> None:
    assert content_disposition("a-1.csv") == 'attachment; filename="a-1.csv"'
    assert content_disposition('é "x";.csv') == (
        "attachment; filename=\"___x__.csv\"; filename*=UTF-8''%C3%A9%20%22x%22%3B.csv"
    )


def test_digest() -> None:
    # The example of RFC 9530, appendix A, is of another text; this is SHA-256 of nothing.
    assert repr_digest(hashlib.sha256(b"").hexdigest()) == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


@pytest.mark.parametrize("kind", [*ExportKind])
def test_every_column_that_may_be_asked_for_can_be_written(kind: ExportKind) -> None:
    assert tuple(column.name for column in columns(kind, list(COLUMNS[kind]))) == COLUMNS[kind]


def test_a_column_of_another_kind_cannot() -> None:
    with pytest.raises(KeyError):
        columns(ExportKind.REGISTRATIONS, ["finished_date"])
