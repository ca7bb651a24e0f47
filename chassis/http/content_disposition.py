"""The Content-Disposition header: the file name under which a response or a stored file is saved."""

import re
from typing import Literal
from urllib.parse import quote

# Characters that need no encoding in a parameter (RFC 8187, attr-char).
ATTRIBUTE_SAFE = "!#$&+.^_`|~-"
UNSAFE = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~-]")


def content_disposition(name: str, disposition: Literal["attachment", "inline"] = "attachment") -> str:
    """Return the Content-Disposition for the file name ``name``, in any script (RFC 6266, section 4.3)."""
    plain = UNSAFE.sub("_", name)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe=ATTRIBUTE_SAFE)}"
    return f'{disposition}; filename="{plain}"{extended}'
