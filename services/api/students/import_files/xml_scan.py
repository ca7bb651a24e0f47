"""Read XML parts of a workbook as a stream. Entities are refused, and no part is held in memory as a whole."""

from typing import IO
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

from chassis.errors import Invalid

BLOCK_BYTES = 256 * 1024

Parser = XMLParserType


def new_parser() -> Parser:
    """Return a parser that refuses entities, because they can expand a small file to a huge one."""
    parser = ParserCreate()
    parser.buffer_text = True
    parser.EntityDeclHandler = _refuse_entities
    return parser


def _refuse_entities(*_: object) -> None:
    raise Invalid("The workbook declares XML entities, which no spreadsheet does. Save it again as .xlsx.")


def scan(parser: Parser, part: IO[bytes]) -> None:
    """Feed ``part`` to ``parser``. Raises ``Invalid`` for broken XML."""
    try:
        while block := part.read(BLOCK_BYTES):
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except ExpatError as error:
        raise Invalid(
            f"A part of the workbook is damaged (XML, line {error.lineno}). Open it in your spreadsheet and save it "
            "again, or save it as CSV (UTF-8)."
        ) from error


def local(name: str) -> str:
    """Return an element's name without its prefix."""
    return name.rpartition(":")[2]
