"""Choose between JSON and HTML by the Accept header (RFC 9110, section 12.5.1)."""

from typing import Literal

Format = Literal["json", "html"]


def preferred(accept: str) -> Format:
    """Return ``html`` if the header prefers HTML to JSON, as browsers do; otherwise ``json``."""
    html = _quality(accept, "text/html") or 0.0
    json = next(
        (
            quality
            for name in ("application/json", "application/*", "*/*")
            if (quality := _quality(accept, name)) is not None
        ),
        0.0,
    )
    return "html" if html > json else "json"


def _quality(accept: str, media_range: str) -> float | None:
    """Return the weight of a media range in the header; ``None`` if the header does not name it."""
    for entry in accept.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name == media_range:
            weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
            return float(weight) if weight.replace(".", "", 1).isdigit() and weight.isascii() else 0.0
    return None
