"""``make bench``: run the benches, print and store the results. ``--list`` names them."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvloop

from bench import documents
from bench.catalogue import BENCHES
from bench.picture import draw
from bench.results import Results
from bench.sizes import SIZES, Size
from bench.stage import Bench, Servers
from bench.tables import tables
from cli.output import console, counted, errors
from devstack.interruption import interruptible

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches. Return 0 when all of them ran, whatever their ratios, and 1 when one failed."""
    options = _parser().parse_args(arguments)
    if options.list:
        for name, entry in BENCHES.items():
            console.print(f"{name:<16} {entry.about} ({', '.join(entry.ratios) or 'no bound'})", highlight=False)
        return 0
    chosen = [name for name in BENCHES if not options.only or name in options.only]
    results = Results(options.size)
    # SIGTERM ends the run like Ctrl-C, so that its servers and workers are stopped.
    with interruptible():
        uvloop.run(_run(chosen, SIZES[options.size], results))
    _write_results(results, options.results, options.picture, complete=not options.only)
    for table in tables(results):
        console.print(table)
    for name, reason in results.failed.items():
        errors.print(f"{name} failed: {reason}", style="red", highlight=False, markup=False)
    return 1 if results.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the benches and exit")
    parser.add_argument(
        "--only", action="append", choices=BENCHES, metavar="NAME", help="run only this bench; repeatable"
    )
    parser.add_argument("--size", choices=SIZES, default="full", help="how much is measured")
    parser.add_argument("--results", type=Path, help="file for the results (complete run: bench/results.json)")
    parser.add_argument("--picture", type=Path, help="file for the diagram (complete run: docs/benchmarks.svg)")
    return parser


async def _run(chosen: Sequence[str], size: Size, results: Results) -> None:
    async with Servers() as servers:
        with counted() as bar:
            overall = bar.add_task("Benches", total=len(chosen))
            for name in chosen:
                task = bar.add_task(name, total=BENCHES[name].steps(size))
                await _run_one(name, Bench(size, results, servers, partial(bar.advance, task)))
                bar.remove_task(task)
                bar.advance(overall)


async def _run_one(name: str, bench: Bench) -> None:
    """Run one bench. A failure is recorded in the results, and the other benches still run."""
    errors.print(f"{name} …", highlight=False)
    try:
        await BENCHES[name].run(bench)
    except Exception as error:  # noqa: BLE001 - printed, recorded in the results, and the run exits with 1
        traceback.print_exc()
        bench.results.failed[name] = f"{type(error).__name__}: {error}"


def _write_results(results: Results, file: Path | None, picture: Path | None, *, complete: bool) -> None:
    """Write the results. A complete run at full or quick size replaces the results in the repository.

    Any other run writes only the files that its arguments name.
    """
    in_repository = complete and results.size != "tiny"
    if in_repository:
        file, picture = file or ROOT / "bench" / "results.json", picture or ROOT / "docs" / "benchmarks.svg"
    if file is not None:
        results.write(file)
    if picture is not None:
        picture.write_text(draw(results))
    if in_repository:
        documents.put_into(ROOT / "docs" / "scaling.md", results)


if __name__ == "__main__":
    sys.exit(main())
