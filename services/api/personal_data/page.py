"""Build the page with the stored data of a person: plain HTML without scripts, in pieces."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from services.api.personal_data.sections import Section

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border: 1px solid #999; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th { background: #eee; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# The page may load and run nothing except the style above, and may not be framed or send forms.
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

TITLE = "What is stored about you"
START = f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{TITLE}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body>
<h1>{TITLE}</h1>
"""
END = "</body>\n</html>\n"
NOTHING = "<p>Nothing.</p>\n"


def introduction(person_id: int, now: str, sentences: Sequence[str]) -> str:
    """Return the beginning of the page."""
    paragraphs = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)
    return f"{START}<p>Person {person_id}, at {escape(now)}.</p>\n{paragraphs}"


def heading(section: Section) -> str:
    return f"<h2>{escape(section.title)}</h2>\n<p>{escape(section.about)}</p>\n"


def header_row(names: Sequence[str]) -> str:
    """Return the start of a table with a column for each name."""
    cells = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    return f"<table>\n<tr>{cells}</tr>\n"


def row(values: Mapping[str, Any]) -> str:
    return f"<tr>{''.join(f'<td>{escape(_text(value))}</td>' for value in values.values())}</tr>\n"


def single(values: Mapping[str, Any]) -> str:
    """Return a table with a row for each field."""
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(_text(value))}</td></tr>\n"
        for name, value in values.items()
    )
    return f"<table>\n{rows}</table>\n"


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return "; ".join(
                f"{name.replace('_', ' ')}: {_text(item)}" for name, item in value.items() if item is not None
            )
        case list():
            return ", ".join(_text(item) for item in value)
        case _:
            return str(value)
