"""Write the sample people into a development database."""

from dataclasses import dataclass
from uuid import uuid4

from chassis.eventstore import event_store
from chassis.eventstore.event_store import Cause, fresh_ids
from chassis.postgres.database import Connection, Database
from cli.sample import people
from contracts.students import AcademicRecord, StudentEnrolled
from services.api.domains import sql as domains
from services.api.users import handlers
from services.api.users import sql as users
from services.api.users.decider import CreateUser, Person
from services.api.users.passwords import hash_password

# If two runs are concurrent, the second waits and then finds nothing to add.
LOCK = "SELECT pg_advisory_xact_lock(7461923010)"


@dataclass(frozen=True, slots=True)
class Seeded:
    """How many rows of each kind were added. Existing rows are not counted."""

    users: int
    students: int
    domains: int


async def seed(database: Database) -> Seeded:
    """Record everything in ``people``, in one transaction. Idempotent: existing people are not changed."""
    hashed = await hash_password(people.PASSWORD)
    cause = Cause(source="cli", correlation_id=uuid4())
    async with database.transaction() as connection:
        await connection.execute(LOCK)
        added_users = [
            await handlers.create(connection, CreateUser(name, email, role), hashed, cause, fresh_ids)
            for email, name, role in people.STAFF
            if (await users.by_email(connection, email))["user_id"] is None
        ]
        added_students = [
            await _enrol(connection, person, record, hashed, cause)
            for person, record in people.students()
            if (await users.by_email(connection, person.email))["user_id"] is None
        ]
        known = {row["domain_name"] for row in await domains.list_all(connection)}
        missing = [name for name in people.DOMAINS if name not in known]
        for name in missing:
            await domains.add(connection, name)
    return Seeded(len(added_users), len(added_students), len(missing))


async def _enrol(
    connection: Connection, person: Person, record: AcademicRecord, password_hash: str, cause: Cause
) -> int:
    student_id = await users.add_person(connection, person)
    event = StudentEnrolled(
        student_id=student_id, person_version=person.version, department=record.branch, record=record
    )
    await event_store.append(connection, f"student-{student_id}", [event], cause, expected_version=0)
    await users.put_password(connection, student_id, password_hash)
    return student_id
