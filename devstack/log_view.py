"""Print the logs of a stack, one after another, or together as they grow."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from devstack.processes import tail

POLL_S = 0.2


def show_logs(logs: Mapping[str, Path], *, follow: bool) -> None:
    """Print the end of each; with ``follow``, then each new line with the name before it, until interrupted."""
    for name, log in logs.items():
        print(f"==> {name} ({log})\n{tail(log)}\n")
    if follow:
        _follow(logs)


def _follow(logs: Mapping[str, Path]) -> None:
    opened = {name: _at_its_end(log) for name, log in logs.items() if log.is_file()}
    while True:
        grown = [f"{name} | {line}" for name, file in opened.items() for line in file.readlines()]
        print("".join(grown), end="", flush=True)
        if not grown:
            time.sleep(POLL_S)


def _at_its_end(log: Path) -> TextIO:
    file = log.open(errors="replace")
    file.seek(0, 2)
    return file
