"""Read the topics, and count by branch: students, those who registered, those who were present. Keeps no state.

KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 python docs/examples/branch_counts.py
"""

import asyncio
import json
import os
from collections import Counter

from aiokafka import AIOKafkaConsumer

from contracts import topics
from contracts.attendance import AttendanceMarked, Presence
from contracts.catalogue import EVENTS, read_event
from contracts.drives import DriveDeleted
from contracts.message import Envelope
from contracts.registrations import StudentRegistered
from contracts.students import StudentEnrolled, StudentRecordRevised


class BranchCounts:
    """Every event states the result of a change. So the newest version of each stream counts, in any order, and a
    repeated event changes nothing."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._branch: dict[int, str] = {}
        self._registered: set[tuple[int, int]] = set()
        self._present: dict[tuple[int, int], bool] = {}
        self._deleted: set[int] = set()

    def take(self, message: Envelope) -> None:
        if message.type not in EVENTS or message.streamversion <= self._newest.get(message.subject, 0):
            return
        self._newest[message.subject] = message.streamversion
        match read_event(message.type, message.data):
            case StudentEnrolled() | StudentRecordRevised() as student:
                self._branch[student.student_id] = student.record.branch or ""
            case StudentRegistered() as one:
                self._registered.add((one.drive_id, one.student_id))
            case AttendanceMarked() as mark:
                self._present[mark.drive_id, mark.student_id] = mark.status is Presence.PRESENT
            case DriveDeleted() as drive:
                self._deleted.add(drive.drive_id)

    def counts(self) -> dict[str, dict[str, int]]:
        registered = {student for drive, student in self._registered if drive not in self._deleted}
        present = {student for (drive, student), came in self._present.items() if came and drive not in self._deleted}
        columns = {"students": set(self._branch), "registered": registered, "present": present}
        found = {name: Counter(self._branch[id_] for id_ in ids & self._branch.keys()) for name, ids in columns.items()}
        return {
            branch: {name: found[name][branch] for name in columns} for branch in sorted(set(self._branch.values()))
        }


async def main() -> None:
    """Read everything that the topics hold, and print the counts as JSON."""
    consumer = AIOKafkaConsumer(
        topics.STUDENT.name, topics.REGISTRATION.name, topics.DRIVE.name,
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest", enable_auto_commit=False,
    )  # fmt: skip
    branch_counts = BranchCounts()
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    branch_counts.take(Envelope.from_kafka(record.headers, json.loads(record.value)))
    print(json.dumps(branch_counts.counts()))


if __name__ == "__main__":
    asyncio.run(main())
