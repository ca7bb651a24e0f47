"""Runs the demo and cleans up after it, even if it fails."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from cli.api_client import Api
from cli.commands import verify
from cli.demo import acts
from cli.demo.scene import Scene
from cli.failures import NO, Failure
from cli.local.settings import Place, fresh_secrets
from cli.local.system import launch, place_of, prepare_database
from cli.output import console, counted
from cli.sample import people, student_file
from devstack.artifacts import ensure_jars
from devstack.stack import Stack, data_folder, remove_abandoned

DATABASE = "demo"


def perform(students: int, file: Path | None) -> None:
    """Everything, in a system of its own. Raises ``Failure`` when something differs from what it should be."""
    ensure_jars()  # with a bar of its own, the first time
    folder = data_folder() / "demo"
    remove_abandoned(folder)
    scene = Scene()
    stack = Stack(folder / str(os.getpid()), disposable=True)
    with ExitStack() as cleared_up:
        cleared_up.callback(console.print, "Everything is stopped.")
        with scene.step("Start Postgres and Kafka"):
            cleared_up.enter_context(stack)
        place = set_up(scene, stack)
        with scene.step("Make the file of students", waiting=False):
            file = file or make_file(stack.home / "students.csv", students)
            console.print(f"  {file}: {file.stat().st_size / 1e6:.1f} MB", highlight=False)
        play(scene, stack, place, file)
        with scene.step("Stop everything"):
            stack.stop()
    scene.show_times()
    if scene.wrong:
        raise Failure(f"{len(scene.wrong)} things are not as they should be: {'; '.join(scene.wrong)}", NO)
    console.print("[green]Everything is as it should be.[/green]")


def set_up(scene: Scene, stack: Stack) -> Place:
    """Migrated, with the sample people, all processes ready."""
    place = place_of(stack, DATABASE, {}, fresh_secrets())
    scene.database_url = place.database_url
    with scene.step("Prepare the database: migrate, seed"):
        prepare_database(place, stack.addresses.database_url)
    with scene.step("Start API, relay and eligibility"):
        launch(stack, place)
    for process in stack.record.processes:
        console.print(f"  {process.name}: pid {process.pid}, {(process.url or '').removesuffix('/readyz')}")
    return place


def make_file(path: Path, students: int) -> Path:
    with counted() as bar:
        task = bar.add_task("Students", total=students)
        student_file.write(path, students, written=lambda number: bar.update(task, completed=number))
    return path


def play(scene: Scene, stack: Stack, place: Place, file: Path) -> None:
    """Every act, in order."""
    api = next(process for process in stack.record.processes if process.name == "api")
    head = Api(place.api_url).signed_in("head@college.edu", people.PASSWORD)
    acts.import_students(scene, head, file, api.rss_bytes)
    drive_id = acts.publish_over_the_bus(scene, head)
    acts.ask_as_students(scene, head, drive_id)
    acts.refresh_dashboards(scene, head)
    acts.publish_without_the_bus(scene, head, stack.kafka.stop)
    with scene.step("Verify: replay the log and compare", waiting=False):
        began = time.perf_counter()
        findings = verify.run(place.database_url)
        verify.show(findings, took_s=time.perf_counter() - began)
    scene.check("the tables are what the log says", findings.differences == 0)
