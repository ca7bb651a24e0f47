"""The generated sample PDF has a correct cross-reference table and stream length."""

import re

from cli.sample.pdf import one_page


def test_the_cross_reference_table_has_the_offset_of_each_object() -> None:
    pdf = one_page("Acme (Pune)", r"a \ backslash")
    start = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", pdf)[0])
    assert pdf[start:].startswith(b"xref\n0 6\n")
    offsets = [int(digits) for digits in re.findall(rb"(\d{10}) 00000 n ", pdf)]
    assert [pdf[offset:].split(b" ", 1)[0] for offset in offsets] == [b"1", b"2", b"3", b"4", b"5"]


def test_text_is_escaped_and_the_stream_has_the_stated_length() -> None:
    pdf = one_page("Acme (Pune)")
    length = int(re.findall(rb"/Length (\d+)", pdf)[0])
    content = pdf.split(b"stream\n", 1)[1].split(b"\nendstream", 1)[0]
    assert len(content) == length
    assert rb"(Acme \(Pune\)) Tj" in content
