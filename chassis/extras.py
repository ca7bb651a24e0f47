"""Check that an extra of the package is installed: the dependencies of one service, or of the `placewire` command."""

import re
from importlib.metadata import PackageNotFoundError, distribution, requires

PACKAGE = "placewire"
OPTIONAL = re.compile(r"""^(?P<name>[\w.-]+).*;.*\bextra == ['"](?P<extra>[\w-]+)['"]""")


class MissingExtra(SystemExit):
    """Packages of an extra are not installed. Ends the process with one line that names the command to install them."""


def require_extra(extra: str) -> None:
    """Raise ``MissingExtra`` unless every package of ``extra`` is installed. Call it before importing them.

    Does nothing if this package has no metadata, as in the container images.
    """
    try:
        declared = requires(PACKAGE) or []
    except PackageNotFoundError:
        return
    matches = [match for match in map(OPTIONAL.match, declared) if match and match["extra"] == extra]
    if missing := sorted(match["name"] for match in matches if not _is_installed(match["name"])):
        raise MissingExtra(
            f"{', '.join(missing)} not installed: this needs the extra {extra!r} (pip install '{PACKAGE}[{extra}]')"
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
