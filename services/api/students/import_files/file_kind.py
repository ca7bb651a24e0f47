"""Recognise a file by its content. Refuse a file that is not a table, and say what it is."""

import codecs
import re
import zipfile
from enum import Enum
from typing import BinaryIO

from chassis.errors import Invalid

START_BYTES = 4096
MAX_PARTS = 10_000
AS_TABLE = "Save it as .xlsx or as CSV (UTF-8), and import that."


class FileKind(Enum):
    CSV = "csv"
    XLSX = "xlsx"
    ODS = "ods"
    XLS = "xls"


_SIGNATURES = (
    (b"%PDF-", "a PDF document"), (b"\x1f\x8b", "compressed (gzip)"), (b"7z\xbc\xaf", "compressed (7-Zip)"),
    (b"Rar!", "compressed (RAR)"), (b"{\\rtf", "a text document (RTF)"), (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"), (b"GIF8", "an image"), (b"\x7fELF", "a program"), (b"MZ\x90", "a program"),
    (b"PK\x05\x06", "an empty ZIP archive"), (b"RIFF", "an image or a sound"), (b"MIME-Version:", "a web page (MHTML)"),
    (b"PAR1", "a Parquet file"), (b"SQLite format 3", "an SQLite database"),
)  # fmt: skip
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|table|meta|div)\b", re.IGNORECASE | re.DOTALL
)
# No text begins with these. NUL is left out, because UTF-16 without a byte order mark has its own message.
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x19\x1b-\x1f]")
FIRST_BYTES = 16
BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_XML = re.compile(rb"\s*<\?xml\b", re.IGNORECASE)
ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BIFF_WITHOUT_OLE = (b"\x09\x08", b"\x09\x04", b"\x09\x02", b"\x09\x00")
SPREADSHEET_NAMES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def kind_of(file: BinaryIO, name: str) -> FileKind:
    """Return the kind of ``file``. For any other kind, raise ``Invalid`` with a message that says what the file is."""
    file.seek(0)
    start = file.read(START_BYTES)
    file.seek(0)
    if start.startswith(ZIP):
        return _zipped(file)
    if start.startswith(OLE):
        return _ole(file)
    for signature, description in _SIGNATURES:
        if start.startswith(signature):
            raise Invalid(f"The file is {description}, neither CSV nor XLSX, XLS or ODS. {AS_TABLE}")
    text = start.removeprefix(b"\xef\xbb\xbf")
    ending = re.search(r"\.\w{1,5}$", name)
    although = f", although its name ends in {ending[0]}" if ending else ""
    if _HTML.match(text):
        raise Invalid(f"The file is a web page (HTML){although}. Open it in your spreadsheet. {AS_TABLE}")
    if _XML.match(text):
        raise Invalid(f"The file is XML{although}. Open it in your spreadsheet. {AS_TABLE}")
    if start.startswith(BIFF_WITHOUT_OLE):
        raise Invalid(f"The file is of an Excel before 1997. Open it in your spreadsheet. {AS_TABLE}")
    if not start.startswith(BYTE_ORDER_MARKS) and _CONTROL.search(start, 0, FIRST_BYTES):
        raise Invalid(f"The file is binary{although}, neither CSV nor XLSX, XLS or ODS. {AS_TABLE}")
    if name.lower().endswith(SPREADSHEET_NAMES):
        raise _not_a_spreadsheet(start, ending[0] if ending else name)
    return FileKind.CSV


def _not_a_spreadsheet(start: bytes, ending: str) -> Invalid:
    if not start:
        return Invalid("The file is empty.")
    try:
        start[:-4].decode()
        is_text = b"\0" not in start
    except UnicodeDecodeError:
        is_text = False
    if is_text:
        return Invalid(
            f"The file is CSV text, although its name ends in {ending}. Rename it to end in .csv, and import it again."
        )
    return Invalid(f"The file is neither CSV nor XLSX, although its name ends in {ending}. {AS_TABLE}")


def _zipped(file: BinaryIO) -> FileKind:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            names = {info.filename.lstrip("/").lower() for info in infos}
            if len(infos) > MAX_PARTS:
                raise Invalid(f"The file has {len(infos):,} parts; a workbook has a few. {AS_TABLE}")
            if any(info.flag_bits & 1 for info in infos):
                raise Invalid("The file is protected by a password. Remove the password, save it, and import it again.")
            opendocument = "mimetype" in names and archive.open("mimetype").read(100).decode("ascii", "replace")
    except zipfile.BadZipFile as error:
        raise Invalid(
            "The file is incomplete or damaged: it begins like an XLSX file and does not end like one. Save it again "
            "in your spreadsheet, and upload it again."
        ) from error
    finally:
        file.seek(0)
    if opendocument:
        if "spreadsheet" in opendocument:
            return FileKind.ODS
        raise Invalid(f"The file is a document of another program, not a spreadsheet. {AS_TABLE}")
    if "xl/workbook.bin" in names:
        raise Invalid(f"The file is a binary workbook (.xlsb). {AS_TABLE}")
    if any(part.startswith("word/") or part.startswith("ppt/") for part in names):
        raise Invalid(f"The file is a Word or PowerPoint document, not a spreadsheet. {AS_TABLE}")
    if "[content_types].xml" in names:
        return FileKind.XLSX
    raise Invalid(f"The file is a ZIP archive, not a spreadsheet. Unpack it and import the file in it. {AS_TABLE}")


def _ole(file: BinaryIO) -> FileKind:
    """Recognise an OLE container by its directory: it holds an old workbook, or an encrypted new one."""
    content = file.read(64 * 1024 * 1024)
    file.seek(0)
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise Invalid(
            "The file is protected by a password. Open it in your spreadsheet, remove the password, save it, and "
            "import it again."
        )
    if "Workbook".encode("utf-16-le") in content or "Book".encode("utf-16-le") in content:
        return FileKind.XLS
    raise Invalid(f"The file is a document of an old Office program, not a spreadsheet. {AS_TABLE}")
