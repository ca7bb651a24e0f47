"""Icons of bootstrap-icons, as SVG inside the page: no font and no request of their own."""

import re
from pathlib import Path

from markupsafe import Markup

SYMBOL = re.compile(r'<symbol[^>]*viewBox="([^"]*)"[^>]*id="([^"]*)"[^>]*>(.*?)</symbol>', re.DOTALL)


class Icons:
    """The symbols of the file ``bootstrap-icons.svg``."""

    def __init__(self, sprite: Path) -> None:
        self._symbols = {name: (box, shape) for box, name, shape in SYMBOL.findall(sprite.read_text())}

    def __call__(self, name: str) -> Markup:
        """Return the icon. It is hidden from screen readers: a word is always beside it."""
        box, shape = self._symbols[name]
        return Markup(  # noqa: S704 - a file with a locked checksum
            f'<svg class="icon" width="16" height="16" fill="currentColor" viewBox="{box}" aria-hidden="true"'
            f' focusable="false">{shape}</svg>'
        )
