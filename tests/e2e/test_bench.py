"""The benchmarks run, and their results have the documented format. Durations are not checked."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pydantic import TypeAdapter

from bench import growth
from bench.__main__ import main
from bench.catalogue import BENCHES
from bench.documents import BEGIN, END, put_into
from bench.pairs import Pairs
from bench.picture import draw
from bench.results import AT_MOST, Results
from bench.sizes import SIZES
from bench.stage import Bench, Servers
from devstack.stack import data_folder
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)


@pytest.mark.full_only
def test_a_benchmark_writes_valid_results_and_a_picture(tmp_path: Path) -> None:
    file, picture = tmp_path / "results.json", tmp_path / "benchmarks.svg"
    done = bench("--only", "poll_check", "--size", "tiny", "--results", str(file), "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    results = TypeAdapter(Results).validate_json(file.read_bytes())
    assert (results.size, results.failed) == ("tiny", {})
    [ratio] = results.ratios
    assert (ratio.name, ratio.at_most, ratio.pairs) == ("poll_check", AT_MOST["poll_check"], 1)
    assert 0 < ratio.spread[0] <= ratio.ratio <= ratio.spread[1]
    assert picture.read_text().startswith("<svg")
    assert "poll_check" in done.stdout


def test_every_bounded_ratio_has_one_bench() -> None:
    assert sorted(name for entry in BENCHES.values() for name in entry.ratios) == sorted(AT_MOST)


def test_a_bench_that_fails_is_reported_as_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Growth fails without other benchmarks, because it has nothing to compare."""
    file = tmp_path / "results.json"
    assert main(["--only", "growth", "--size", "tiny", "--results", str(file)]) == 1
    results = TypeAdapter(Results).validate_json(file.read_bytes())
    assert list(results.failed) == ["growth"]
    assert "growth failed" in capsys.readouterr().err


def test_growth_needs_complete_lines() -> None:
    results = Results("full", lines={name: [(10_000, 0.05), (100_000, 0.4)] for name in ("eligibility", "export")})
    bench = Bench(SIZES["full"], results, Servers(), lambda: None)
    with pytest.raises(LookupError, match="complete results"):
        asyncio.run(growth.run(bench))
    assert results.ratios == []
    for name, took_s in (("eligibility", 4.0), ("export", 3.2)):
        results.lines[name].append((1_000_000, took_s))
    asyncio.run(growth.run(bench))
    [ratio] = results.ratios
    assert (ratio.ratio, ratio.ours, ratio.theirs) == (10, 4.0, 0.4), "growth is not the worse of the two lines"


# A shell without job control starts its background jobs with SIGINT ignored.
IN_THE_FOREGROUND = ("sh", "-c", 'exec "$@"', "sh")
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


@pytest.mark.full_only
@pytest.mark.parametrize("launcher", [IN_THE_FOREGROUND, IN_THE_BACKGROUND], ids=["foreground", "background"])
async def test_a_bench_that_is_ended_leaves_nothing_running(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """SIGTERM ends the benchmark and its child processes, and deletes the folder of its servers."""
    with (tmp_path / "output").open("wb") as output:
        run = await asyncio.create_subprocess_exec(
            *launcher, sys.executable, "-m", "bench", "--only", "poll_check", cwd=ROOT, stdout=output, stderr=output
        )
    own, home = psutil.Process(run.pid), data_folder() / "bench" / str(run.pid)

    async def started() -> list[psutil.Process]:
        with suppress(psutil.Error):  # a child process may have just ended
            processes = own.children()
            return processes if any("bench.bare_server" in process.cmdline() for process in processes) else []
        return []

    try:
        processes = await eventually(started, within_s=100)
        assert home.exists()
    finally:
        run.terminate()
        await run.wait()
    assert run.returncode != 0
    assert psutil.wait_procs(processes, 1)[1] == []
    assert not home.exists()


def test_the_picture_shows_every_type_of_result() -> None:
    results = Results("full", lines={"eligibility": [(10_000, 0.05), (100_000, 0.4), (1_000_000, 4.2)]})
    results.compare("accept_32", Pairs((2.0, 2.2, 2.1), (1.0, 1.0, 1.0)), "s")
    results.curves["not yet done"] = [(0.0, 1000), (1.0, 400), (2.0, 0)]
    picture = draw(results)
    assert all(words in picture for words in ("accept_32", "2.10 of 2", "1,000,000 rows", "not yet done"))


def test_figures_are_written_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "scaling.md"
    document.write_text((ROOT / "docs" / "scaling.md").read_text())
    results = Results("quick")
    for value in (312.4, 298.0):
        results.measured = []
        results.note("cost", "relay: from commit to Kafka", value, "us an event")
        put_into(document, results)
    text = document.read_text()
    assert "| cost | relay: from commit to Kafka | 298 | us an event |" in text
    assert "312" not in text
    assert text.count(BEGIN) == text.count(END) == 1
    assert "## A billion events" in text


def test_a_failed_benchmark_does_not_lose_the_figures_of_others(tmp_path: Path) -> None:
    document = tmp_path / "scaling.md"
    document.write_text(f"{BEGIN}{END}")
    results = Results("full", failed={"burst": "TimeoutError: of\ntwo lines"})
    results.note("effect_latency", "claimed to done, median", 1.7, "ms")
    results.note("burst", "relay alone, commit to Kafka", 23_810.0, "events/s")
    results.note("cost", "relay: from commit to Kafka", 33.0, "us an event")
    put_into(document, results)
    text = document.read_text()
    assert "| burst | relay alone, commit to Kafka | 23,810 | events/s |" in text
    assert "burst failed: TimeoutError: of two lines. The figures below are from before the failure." in text
