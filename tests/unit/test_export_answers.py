"""Downloads over HTTP: byte ranges, file names and digests. Exports: the columns that a request may name."""

import hashlib

import pytest

from chassis.http.responses import content_disposition
from contracts.exports import COLUMNS, ExportKind
from services.api.exports.file_answer import Span, Unsatisfiable, repr_digest, requested_span
from services.exporter.columns import columns

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "span"),
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
def test_a_range_header_is_parsed(header: str | None, span: Span | None) -> None:
    assert requested_span(header, None, size=100, etag=ETAG) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_after_the_end_is_unsatisfiable(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        requested_span(header, None, size=100, etag=ETAG)


def test_if_range_with_another_etag_returns_the_whole_file() -> None:
    assert requested_span("bytes=0-1", ETAG, size=100, etag=ETAG) == Span(0, 2)
    assert requested_span("bytes=0-1", '"old"', size=100, etag=ETAG) is None
    assert requested_span("bytes=0-1", f"W/{ETAG}", size=100, etag=ETAG) is None  # RFC 9110, 13.1.5: strong only


def test_file_names_are_quoted_and_encoded() -> None:
    assert content_disposition("a-1.csv") == 'attachment; filename="a-1.csv"'
    assert content_disposition('é "x";.csv') == (
        "attachment; filename=\"___x__.csv\"; filename*=UTF-8''%C3%A9%20%22x%22%3B.csv"
    )


def test_the_digest_header_is_in_base64() -> None:
    # SHA-256 of no bytes, in the form of RFC 9530.
    assert repr_digest(hashlib.sha256(b"").hexdigest()) == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


@pytest.mark.parametrize("kind", [*ExportKind])
def test_every_allowed_column_can_be_written(kind: ExportKind) -> None:
    assert tuple(column.name for column in columns(kind, list(COLUMNS[kind]))) == COLUMNS[kind]


def test_a_column_of_another_kind_cannot_be_written() -> None:
    with pytest.raises(KeyError):
        columns(ExportKind.REGISTRATIONS, ["finished_date"])
