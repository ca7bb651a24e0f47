"""The steps of the demo: import, publish with Kafka, check eligibility as students, publish without Kafka."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.api_client import Api, Job
from cli.commands.jobs import watched as watched_job
from cli.commands.students import show_errors, upload
from cli.demo import drives
from cli.demo.demo_run import DemoRun
from cli.demo.drives import DemoDrive
from cli.demo.memory import Peak, watch_memory
from cli.failures import Failure
from cli.output import console
from cli.sample import people
from cli.sample.pdf import one_page

MEBIBYTE = 1024 * 1024
BREAKER_TIMEOUT_S = 60.0
POLL_S = 0.1
STUDENT_PASSWORD = "a-password-for-the-demo"  # noqa: S105 - for a temporary system


def import_students(demo: DemoRun, head: Api, file: Path, rss_bytes: Callable[[], int]) -> Peak:
    """Check the file, then import it. Return the API's memory before and at its peak."""
    with watch_memory(rss_bytes) as peak:
        with demo.step("Check the students (dry run)", waiting=False):
            checked = upload(head, file, dry_run=True)
            console.print(f"  {checked['rows']:,} rows, {checked['error_count']:,} errors", highlight=False)
        if checked["error_count"]:
            show_errors(checked)
            raise Failure(
                f"{checked['rows'] - checked['valid']:,} rows of {file} are wrong: fix them, or leave them out"
            )
        with demo.step("Import the students", waiting=False):
            done = upload(head, file, dry_run=False)
            console.print(f"  {done['imported']:,} students imported", highlight=False)
    console.print(f"  API memory: {_mib(peak.before)} before, {_mib(peak.maximum)} at most", highlight=False)
    demo.check("every row of the file became a student", done["imported"] == checked["rows"])
    return peak


def publish_with_kafka(demo: DemoRun, head: Api) -> int:
    """Create the first drive with ``auto_calc`` and a PDF, and follow its job. Return the drive's id."""
    with demo.step("Wait until the breaker is closed: Kafka works"):
        wait_for_breaker(head, "closed")
    pdf = one_page(f"{drives.FIRST.form['company_name']}: {drives.FIRST.form['job_title']}", "Salary: 12 LPA")
    with demo.step("Publish a drive, with Kafka", waiting=False):
        answer = head.post(
            "/api/drives", data=_with_domain(head, drives.FIRST), files={"pdf": ("work.pdf", pdf, "application/pdf")}
        )
        drive, queued = answer.body, answer.body["job"]
        console.print(f"  {drives.FIRST.description}", highlight=False)
        console.print(f"  HTTP {answer.status} after {answer.took_s * 1000:.0f} ms, delivery: {queued['delivery']}")
        job = watched_job(head, queued["id"])
    console.print(f"  channel: [bold]{job['channel']}[/bold]")
    demo.check("Kafka woke the worker", job["channel"] == "kafka")
    demo.check("the PDF can be read back", head.raw(drive["pdf_path"]) == pdf)
    check_selected(demo, drives.FIRST, drive["drive_id"], job)
    return int(drive["drive_id"])


def check_as_students(demo: DemoRun, head: Api, drive_id: int) -> None:
    """Sign in as a selected and as an unselected student, and check the eligibility of each."""
    for name, query, expected in (
        ("Check as a selected student", drives.A_SELECTED, True),
        ("Check as an unselected student", drives.AN_UNSELECTED, False),
    ):
        rows = demo.query(query, drive_id, [person.email for person, _ in people.students()])
        if not rows:
            console.print(f"{name}: the file has no such student")
            continue
        with demo.step(name, waiting=False):
            _check_as(demo, head, drive_id, rows[0]["student_id"], expected=expected)


def refresh_dashboards(demo: DemoRun, head: Api) -> None:
    """Start a refresh of the dashboards' figures, follow its job, and read the figures."""
    with demo.step("Refresh the dashboards", waiting=False):
        job = watched_job(head, head.post("/api/analytics/refresh").body["job"]["id"])
        summary = head.get("/api/analytics/summary")
    console.print(f"  {summary['total_drives']} drive, as of {summary['as_of']}", highlight=False)
    demo.check("the dashboards count the drive", (job["state"], summary["total_drives"]) == ("succeeded", 1))


def publish_without_kafka(demo: DemoRun, head: Api, stop_kafka: Callable[[], None]) -> None:
    """Stop Kafka and publish the second drive. The API then answers the request itself with the job's result."""
    with demo.step("Stop Kafka, wait until the breaker is open"):
        stop_kafka()
        wait_for_breaker(head, "open")
    coordinator = head.signed_in("coord@college.edu", people.PASSWORD)
    with demo.step("Publish a drive, without Kafka", waiting=False):
        drive_id = head.post("/api/drives", json=_with_domain(head, drives.SECOND)).body["drive_id"]
        answer = coordinator.post(f"/api/drives/{drive_id}/publish")
    job = answer.body["job"]
    console.print(f"  {drives.SECOND.description}", highlight=False)
    console.print(f"  HTTP {answer.status} after {answer.took_s * 1000:.0f} ms, delivery: {job['delivery']}")
    console.print(f"  channel: [bold]{job['channel']}[/bold]")
    demo.check("the API woke the worker, and waited for it", (job["channel"], answer.status) == ("http", 200))
    check_selected(demo, drives.SECOND, drive_id, job)


def check_selected(demo: DemoRun, drive: DemoDrive, drive_id: int, job: Job) -> None:
    """Compare the counts of the job and of the ledger with a count in plain SQL."""
    reported = (job["result"] or {}).get("selected")
    by_hand = demo.query(drive.count)[0]["count"]
    in_force = demo.query(drives.IN_FORCE, drive_id)[0]["count"]
    demo.check(
        f"{by_hand:,} by SQL = {reported if reported is None else f'{reported:,}'} of the job = {in_force:,} stored",
        job["state"] == "succeeded" and by_hand == reported == in_force,
    )


def wait_for_breaker(api: Api, state: str) -> None:
    """Wait until the API's breaker for the eligibility service is ``state``. Raises ``TimeoutError``."""
    deadline = time.monotonic() + BREAKER_TIMEOUT_S
    while api.get("/readyz")["bus"]["eligibility"] != state:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the breaker did not become {state} in {BREAKER_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _check_as(demo: DemoRun, head: Api, drive_id: int, student_id: int, *, expected: bool) -> None:
    record = demo.query(drives.RECORD, student_id)[0]
    head.patch(f"/api/users/{student_id}", json={"password": STUDENT_PASSWORD})
    student = head.signed_in(record["email"], STUDENT_PASSWORD)
    answer = student.get(f"/api/eligibility/{drive_id}/check")
    marks = f"CGPA {record['cgpa']}, 10th {record['tenth_percent']}, 12th {record['twelfth_percent']}"
    console.print(f"  {record['name']} ({record['roll_number']}): {marks}, {record['active_backlogs']} backlogs")
    reasons = f" ({', '.join(answer['reasons'])})" if answer["reasons"] else ""
    console.print(f"  eligible: [bold]{answer['eligible']}[/bold], {answer['reason']}{reasons}", highlight=False)
    demo.check(f"the answer is {'yes' if expected else 'no'}", answer["eligible"] is expected)


def _with_domain(head: Api, drive: DemoDrive) -> dict[str, Any]:
    return drive.form | {"domain_id": head.get("/api/job-domains")[0]["domain_id"]}


def _mib(size: int) -> str:
    return f"{size / MEBIBYTE:.0f} MiB"
