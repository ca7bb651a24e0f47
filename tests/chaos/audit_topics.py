"""Check that the topics have every event, and each stream in order."""

import asyncpg

from contracts import topics
from tests.chaos.findings import Findings
from tests.support.topic_log import first_sights

Owner = asyncpg.Connection

# Without enrolments: the students were enrolled like those of an import, whose events are not sent to Kafka.
SENT = """
SELECT event_id::text, stream_id, version FROM es.event WHERE type <> 'placewire.student.enrolled.v1'
"""


async def audit_topics(owner: "Owner[asyncpg.Record]", bootstrap_servers: str, found: Findings) -> None:
    """Check that each event is on its topic, and that the first records of a stream's versions are in order."""
    seen = await first_sights(bootstrap_servers, topics.BY_STREAM_TYPE.values())
    sent = await owner.fetch(SENT)
    found.events = len(sent)
    for row in sent:
        if row["event_id"] not in seen[row["stream_id"]]:
            found.lost.append(f"{row['stream_id']} version {row['version']} on its topic")
    for stream, versions in seen.items():
        if list(versions.values()) != sorted(versions.values()):
            found.wrong.append(f"{stream} is out of order on its topic: {list(versions.values())}")
