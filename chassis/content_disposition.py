"""How a response or a stored file says what it is called when it is saved."""

import re
from typing import Literal
from urllib.parse import quote

# What a parameter may hold unencoded (RFC 8187, attr-char).
ATTRIBUTE_SAFE = "!#$&+.^_`|~-"
UNSAFE = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~-]")


def content_disposition(name: str, disposition: Literal["attachment", "inline"] = "attachment") -> str:
    """Return the Content-Disposition of a file that is saved as ``name``, in any script (RFC 6266, section 4.3)."""
    plain = UNSAFE.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe=ATTRIBUTE_SAFE)}"
    return f'{disposition}; filename="{plain}"{extended}'
