"""``make chaos SECONDS=900 SEED=7``: a run of any length. Exits with 1 when anything was lost, duplicated or wrong."""

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
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long faults are caused (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the faults of an earlier run (default: random)")
    parser.add_argument("--rate", type=float, default=24, help="commands a second (default: %(default)s)")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    console = Console()
    folder = data_folder() / f"chaos-{os.getpid()}"
    columns = (TextColumn("{task.description:36}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("starting", total=arguments.seconds)

        def watch(elapsed_s: float, step: str) -> None:
            progress.update(bar, completed=elapsed_s, description=step)

        report = run(folder, plan(seed), seconds=arguments.seconds, seed=seed, rate=arguments.rate, watch=watch)
    report.findings.wrong += report.shortfalls()
    show(report, console)
    if report.findings.clean:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    console.print(f"Data and logs of the run: {folder}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
