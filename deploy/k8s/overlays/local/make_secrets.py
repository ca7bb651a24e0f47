"""Writes secrets.env beside this file: each replace-me-... of the example becomes a random word. Only once."""

import os
import re
import secrets
from collections import defaultdict
from pathlib import Path

FOLDER = Path(__file__).parent
WRITTEN = FOLDER / "secrets.env"


def main() -> None:
    words: defaultdict[str, str] = defaultdict(lambda: secrets.token_hex(24))
    example = (FOLDER / "secrets.env.example").read_text().splitlines()
    lines = [re.sub(r"replace-me-[a-z-]+", lambda found: words[found[0]], line) for line in example if line[:1] != "#"]
    try:
        file = os.open(WRITTEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SystemExit(f"{WRITTEN} is there already; its passwords are those of the database.") from None
    with os.fdopen(file, "w") as into:
        into.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
