"""``make chaos SECONDS=900 SEED=7``: a run of any length; exits with 1 when anything was lost, doubled or wrong."""

import argparse
import os
import random
import shutil
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from devstack.stack import data_folder
from tests.chaos.faults import plan
from tests.chaos.report import show
from tests.chaos.run import run


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    asked.add_argument("--seconds", type=float, default=300, help="how long things go wrong (default: %(default)s)")
    asked.add_argument("--seed", type=int, default=None, help="repeats the plan of an earlier run (default: by chance)")
    asked.add_argument("--rate", type=float, default=24, help="commands a second (default: %(default)s)")
    given = asked.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    console = Console()
    folder = data_folder() / f"chaos-{os.getpid()}"
    columns = (TextColumn("{task.description:36}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("starting", total=given.seconds)

        def watch(so_far: float, doing: str) -> None:
            progress.update(bar, completed=so_far, description=doing)

        report = run(folder, plan(seed), seconds=given.seconds, seed=seed, rate=given.rate, watch=watch)
    report.findings.wrong += report.shortfalls()
    show(report, console)
    if report.findings.clean:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    console.print(f"What was left behind is in {folder}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
