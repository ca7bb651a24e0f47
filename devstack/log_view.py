"""Print the logs of a stack: the end of each, then all new lines together."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from devstack.processes import tail

POLL_S = 0.2


def show_logs(logs: Mapping[str, Path], *, follow: bool) -> None:
    """Print the end of each log. ``follow``: then print each new line after the log's name, until interrupted."""
    for name, log in logs.items():
        print(f"==> {name} ({log})\n{tail(log)}\n")
    if follow:
        _follow(logs)


def _follow(logs: Mapping[str, Path]) -> None:
    files = {name: _open_at_end(log) for name, log in logs.items() if log.is_file()}
    while True:
        new_lines = [f"{name} | {line}" for name, file in files.items() for line in file.readlines()]
        print("".join(new_lines), end="", flush=True)
        if not new_lines:
            time.sleep(POLL_S)


def _open_at_end(log: Path) -> TextIO:
    file = log.open(errors="replace")
    file.seek(0, 2)
    return file
