"""Find the encoding of a CSV file. Encodings that are not certain are refused."""

import codecs
from typing import BinaryIO

from chassis.errors import Invalid

BLOCK_BYTES = 64 * 1024
SAMPLE_BYTES = 4096
# UTF-32 comes first, because its byte order mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
SAVE_AS = "Open the file in your spreadsheet and save it as 'CSV UTF-8'."


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding by the byte order mark, else UTF-8. Raises ``Invalid`` for UTF-16 without a mark."""
    file.seek(0)
    start = file.read(SAMPLE_BYTES)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    half = len(start) // 2
    nuls = max(start[0::2].count(0), start[1::2].count(0))
    if half and nuls * 10 > half * 4 and start.count(0) < nuls * 1.2:
        raise Invalid(f"The file is UTF-16 text without a byte order mark, not UTF-8. {SAVE_AS}")
    return "utf-8"


def not_utf8(file: BinaryIO) -> Invalid:
    """Return the refusal of a file that is not valid text, with its first invalid line."""
    line, byte = _first_invalid_line(file)
    guess = "it looks like Windows-1252 or Latin-1" if byte >= 0x80 else "its encoding is unknown"
    return Invalid(
        f"Line {line} is not UTF-8 text; {guess}. {SAVE_AS}",
        errors=[{"line": line, "reason": "is not UTF-8 text: save as UTF-8"}],
    )


def _first_invalid_line(file: BinaryIO) -> tuple[int, int]:
    """Return the number of the first line with an invalid byte, and the byte (0 if there is none)."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    while True:
        block = file.read(BLOCK_BYTES)
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return line + error.object[: error.start].count(b"\n"), error.object[error.start]
        if not block:
            return line, 0
        line += block.count(b"\n")
