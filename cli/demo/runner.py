"""Run the demo and clean up after it, even if it fails."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from cli.api_client import Api
from cli.commands import verify
from cli.demo import steps
from cli.demo.demo_run import DemoRun
from cli.failures import NO, Failure
from cli.local.settings import Place, fresh_secrets
from cli.local.system import launch, place_of, prepare_database
from cli.output import console, counted
from cli.sample import people, student_file
from devstack.artifacts import ensure_jars
from devstack.stack import Stack, data_folder, remove_abandoned

DATABASE = "demo"


def run_demo(students: int, file: Path | None) -> None:
    """Run the demo in a temporary system. Raises ``Failure`` when a check fails."""
    ensure_jars()  # shows its own progress bar the first time
    folder = data_folder() / "demo"
    remove_abandoned(folder)
    demo = DemoRun()
    stack = Stack(folder / str(os.getpid()), disposable=True)
    with ExitStack() as cleanup:
        cleanup.callback(console.print, "Everything is stopped.")
        with demo.step("Start Postgres and Kafka"):
            cleanup.enter_context(stack)
        place = set_up(demo, stack)
        with demo.step("Make the file of students", waiting=False):
            file = file or make_file(stack.home / "students.csv", students)
            console.print(f"  {file}: {file.stat().st_size / 1e6:.1f} MB", highlight=False)
        run_steps(demo, stack, place, file)
        with demo.step("Stop everything"):
            stack.stop()
    demo.show_times()
    if demo.wrong:
        raise Failure(f"{len(demo.wrong)} checks failed: {'; '.join(demo.wrong)}", NO)
    console.print("[green]All checks passed.[/green]")


def set_up(demo: DemoRun, stack: Stack) -> Place:
    """Migrate and seed the database, and start all processes."""
    place = place_of(stack, DATABASE, {}, fresh_secrets())
    demo.database_url = place.database_url
    with demo.step("Prepare the database: migrate, seed"):
        prepare_database(place, stack.addresses.database_url)
    with demo.step("Start API, relay and eligibility"):
        launch(stack, place)
    for process in stack.record.processes:
        console.print(f"  {process.name}: pid {process.pid}, {(process.url or '').removesuffix('/readyz')}")
    return place


def make_file(path: Path, students: int) -> Path:
    with counted() as bar:
        task = bar.add_task("Students", total=students)
        student_file.write(path, students, written=lambda number: bar.update(task, completed=number))
    return path


def run_steps(demo: DemoRun, stack: Stack, place: Place, file: Path) -> None:
    """Run every step, in order."""
    api = next(process for process in stack.record.processes if process.name == "api")
    head = Api(place.api_url).signed_in("head@college.edu", people.PASSWORD)
    steps.import_students(demo, head, file, api.rss_bytes)
    drive_id = steps.publish_with_kafka(demo, head)
    steps.check_as_students(demo, head, drive_id)
    steps.refresh_dashboards(demo, head)
    steps.publish_without_kafka(demo, head, stack.kafka.stop)
    with demo.step("Verify: replay the log and compare", waiting=False):
        began = time.perf_counter()
        findings = verify.run(place.database_url)
        verify.show(findings, took_s=time.perf_counter() - began)
    demo.check("the tables agree with the log", findings.differences == 0)
