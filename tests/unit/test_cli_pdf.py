"""The hand-made PDF: every offset in its table leads to the object it names."""

import re

from cli.sample.pdf import one_page


def test_the_cross_reference_table_leads_to_every_object() -> None:
    made = one_page("Acme (Pune)", r"a \ backslash")
    start = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", made)[0])
    assert made[start:].startswith(b"xref\n0 6\n")
    offsets = [int(found) for found in re.findall(rb"(\d{10}) 00000 n ", made)]
    assert [made[offset:].split(b" ", 1)[0] for offset in offsets] == [b"1", b"2", b"3", b"4", b"5"]


def test_text_is_escaped_and_the_stream_is_as_long_as_it_says() -> None:
    made = one_page("Acme (Pune)")
    length = int(re.findall(rb"/Length (\d+)", made)[0])
    content = made.split(b"stream\n", 1)[1].split(b"\nendstream", 1)[0]
    assert len(content) == length
    assert rb"(Acme \(Pune\)) Tj" in content
