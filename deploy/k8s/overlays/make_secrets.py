"""Write the secrets of one overlay (OVERLAY, by default local): each NAME.env.example in its folder becomes NAME.env,
with a random word for each replace-me-... placeholder. Equal placeholders get the same word. Existing files are kept.
"""

import os
import re
import secrets
from collections import defaultdict
from pathlib import Path

FOLDER = Path(__file__).parent / os.environ.get("OVERLAY", "local")


def main() -> None:
    words: defaultdict[str, str] = defaultdict(lambda: secrets.token_hex(24))
    examples = sorted(FOLDER.glob("*.env.example"))
    for written in (example.with_suffix("") for example in examples):
        if written.exists():
            raise SystemExit(f"{written} is there already; its passwords are those of the database.")
    for example in examples:
        lines = [line for line in example.read_text().splitlines() if line[:1] != "#"]
        filled = [re.sub(r"replace-me-[a-z-]+", lambda found: words[found[0]], line) for line in lines]
        with os.fdopen(os.open(example.with_suffix(""), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as into:
            into.write("\n".join(filled) + "\n")


if __name__ == "__main__":
    main()
