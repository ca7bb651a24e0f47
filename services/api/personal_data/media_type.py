"""Choose between JSON and HTML by the Accept header (RFC 9110, section 12.5.1)."""

from typing import Literal

Format = Literal["json", "html"]


def preferred(accept: str) -> Format:
    """Return ``html`` when the header prefers it to JSON, as a browser's does; else ``json``, also without a header."""
    html = _quality(accept, "text/html") or 0.0
    json = next(
        (
            found
            for name in ("application/json", "application/*", "*/*")
            if (found := _quality(accept, name)) is not None
        ),
        0.0,
    )
    return "html" if html > json else "json"


def _quality(accept: str, media_range: str) -> float | None:
    """Return the weight of a media range in the header, ``None`` if it is not named."""
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name == media_range:
            weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
            return float(weight) if weight.replace(".", "", 1).isdigit() and weight.isascii() else 0.0
    return None
