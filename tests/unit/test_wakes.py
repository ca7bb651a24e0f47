"""The wake-ups that a worker remembers."""

from uuid import UUID, uuid4

import pytest

from chassis.jobs import wakes
from chassis.jobs.wakes import Wakes
from contracts.jobs import Channel


async def test_the_first_channel_counts_until_the_job_ends() -> None:
    worker_wakes, job_id = Wakes(), uuid4()
    assert worker_wakes.channel_of(job_id) is Channel.POLL
    worker_wakes.wake(job_id, Channel.HTTP)
    worker_wakes.wake(job_id, Channel.KAFKA)
    assert worker_wakes.channel_of(job_id) is Channel.HTTP
    worker_wakes.forget(job_id)
    assert worker_wakes.channel_of(job_id) is Channel.POLL


async def test_a_wake_up_ends_one_wait() -> None:
    worker_wakes = Wakes()
    worker_wakes.wake(uuid4(), Channel.KAFKA)
    worker_wakes.wake(uuid4(), Channel.KAFKA)
    assert await worker_wakes.wait(5)
    assert not await worker_wakes.wait(0.01)


async def test_a_free_slot_ends_the_wait_only_when_more_jobs_may_be_queued() -> None:
    worker_wakes = Wakes()
    worker_wakes.slot_is_free()
    assert not await worker_wakes.wait(0.01)
    worker_wakes.wake(uuid4(), Channel.KAFKA)
    assert await worker_wakes.wait(5)
    worker_wakes.slot_is_free()
    assert await worker_wakes.wait(5)
    worker_wakes.pending = False
    worker_wakes.slot_is_free()
    assert not await worker_wakes.wait(0.01)


async def test_the_oldest_wake_ups_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakes, "REMEMBERED", 3)
    worker_wakes = Wakes()
    for number in range(4):
        worker_wakes.wake(UUID(int=number), Channel.KAFKA)
    assert [worker_wakes.channel_of(UUID(int=number)) for number in range(4)] == [Channel.POLL] + [Channel.KAFKA] * 3
