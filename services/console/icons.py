"""Icons of bootstrap-icons as inline SVG, which needs no font and no further request."""

import re
from pathlib import Path

from markupsafe import Markup

SYMBOL = re.compile(r'<symbol[^>]*viewBox="([^"]*)"[^>]*id="([^"]*)"[^>]*>(.*?)</symbol>', re.DOTALL)


class Icons:
    """The symbols of the file ``bootstrap-icons.svg``."""

    def __init__(self, sprite: Path) -> None:
        self._symbols = {name: (box, shape) for box, name, shape in SYMBOL.findall(sprite.read_text())}

    def __call__(self, name: str) -> Markup:
        """Return the icon. Screen readers skip it, because a word stands beside each icon."""
        box, shape = self._symbols[name]
        return Markup(  # noqa: S704 - a file with a locked checksum
            f'<svg class="icon" width="16" height="16" fill="currentColor" viewBox="{box}" aria-hidden="true"'
            f' focusable="false">{shape}</svg>'
        )
