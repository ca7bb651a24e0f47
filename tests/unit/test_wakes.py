"""What a worker remembers of its wake-ups."""

from uuid import UUID, uuid4

import pytest

from chassis.jobs import wakes
from chassis.jobs.wakes import Wakes
from contracts.jobs import Channel


async def test_the_first_channel_counts_until_the_job_has_ended() -> None:
    remembered, job_id = Wakes(), uuid4()
    assert remembered.channel_of(job_id) is Channel.POLL
    remembered.wake(job_id, Channel.HTTP)
    remembered.wake(job_id, Channel.KAFKA)
    assert remembered.channel_of(job_id) is Channel.HTTP
    remembered.forget(job_id)
    assert remembered.channel_of(job_id) is Channel.POLL


async def test_a_wake_up_ends_one_wait() -> None:
    remembered = Wakes()
    remembered.wake(uuid4(), Channel.KAFKA)
    remembered.wake(uuid4(), Channel.KAFKA)
    assert await remembered.wait(5)
    assert not await remembered.wait(0.01)


async def test_a_free_slot_ends_the_wait_only_when_more_jobs_may_be_queued() -> None:
    remembered = Wakes()
    remembered.slot_is_free()
    assert not await remembered.wait(0.01)
    remembered.wake(uuid4(), Channel.KAFKA)
    assert await remembered.wait(5)
    remembered.slot_is_free()
    assert await remembered.wait(5)
    remembered.pending = False
    remembered.slot_is_free()
    assert not await remembered.wait(0.01)


async def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakes, "REMEMBERED", 3)
    remembered = Wakes()
    for number in range(4):
        remembered.wake(UUID(int=number), Channel.KAFKA)
    assert [remembered.channel_of(UUID(int=number)) for number in range(4)] == [Channel.POLL] + [Channel.KAFKA] * 3
