"""One bad sample opens the breaker. Eight good samples in a row close it."""

import pytest

from chassis.messaging.breaker import GOOD_POLLS_TO_CLOSE, Breaker, Sample

GOOD = Sample(probe_age_s=0.5, outbox_age_s=None)


def closed() -> Breaker:
    breaker = Breaker()
    breaker.observe(GOOD)
    return breaker


def test_the_first_sample_decides() -> None:
    assert not closed().open
    breaker = Breaker()
    assert breaker.open
    breaker.observe(Sample(None, None))
    assert breaker.open


@pytest.mark.parametrize(
    "bad",
    [
        Sample(probe_age_s=3.1, outbox_age_s=None),
        Sample(probe_age_s=None, outbox_age_s=None),
        Sample(probe_age_s=0.5, outbox_age_s=2.1),
    ],
)
def test_one_bad_sample_opens_the_breaker(bad: Sample) -> None:
    breaker = closed()
    breaker.observe(bad)
    assert breaker.open


def test_the_breaker_closes_after_enough_good_samples_in_a_row() -> None:
    breaker = closed()
    breaker.observe(Sample(9, None))
    for _ in range(GOOD_POLLS_TO_CLOSE - 1):
        breaker.observe(GOOD)
    assert breaker.open
    breaker.observe(GOOD)
    assert not breaker.open


def test_one_bad_sample_restarts_the_count() -> None:
    breaker = closed()
    breaker.observe(Sample(9, None))
    for _ in range(GOOD_POLLS_TO_CLOSE - 1):
        breaker.observe(GOOD)
    breaker.observe(Sample(9, None))
    breaker.observe(GOOD)
    assert breaker.open
