"""The simulation against what queueing theory knows exactly."""

import statistics

import pytest

from bench.simulate import Costs, Layout, enough, keeps_up, simulated


def test_one_server_with_a_fixed_time_waits_as_long_as_the_formula_says() -> None:
    """M/D/1 at 70 % (Pollaczek and Khinchine): the mean wait is rho / (2 (1 - rho)) service times."""
    costs = Costs(relay=0, worker=0.01, sending=0, doing=0, kafka=0, way=0, effect=0)
    took = simulated(costs, Layout(postgres_cores=1), 70, jobs=20_000)
    assert statistics.mean(took) == pytest.approx(0.01 * (1 + 0.7 / (2 * 0.3)), rel=0.1)


def test_what_only_waits_takes_as_long_as_it_waits() -> None:
    costs = Costs(relay=0, worker=0, sending=0, doing=0, kafka=0, way=0.002, effect=0.003)
    assert statistics.mean(simulated(costs, Layout(postgres_cores=1), 10)) == pytest.approx(0.005, rel=0.05)


def test_a_layout_that_is_enough_stays_below_its_share() -> None:
    costs = Costs(relay=0.00001, worker=0.001, sending=0.00001, doing=0.0006, kafka=0.00001, way=0.002, effect=0.004)
    layout = enough(costs, 10_000)
    assert layout == Layout(workers=24, postgres_cores=11)
    assert keeps_up(costs, layout, 10_000) == "their slots, 58%"


def test_more_than_a_part_can_do_is_told() -> None:
    costs = Costs(relay=0.0002, worker=0.001, sending=0, doing=0, kafka=0, way=0, effect=0)
    assert keeps_up(costs, Layout(workers=100, postgres_cores=1), 10_000) == "the relay, 200%"


def test_costs_are_read_from_results() -> None:
    measured = [
        {"of": "cost", "name": f"{part}: from commit to {end}", "value": cost, "unit": "us an event"}
        for part in ("relay", "worker", "postgres", "kafka")
        for end, cost in (("Kafka", 100.0), ("effect", 300.0))
    ]
    measured += [
        {"of": "effect_latency", "name": f"{phase}, median", "value": 3.0, "unit": "ms"}
        for phase in ("queued to received", "claimed to done")
    ]
    costs = Costs.measured({"measured": measured})
    assert (costs.relay, costs.worker, costs.sending, costs.doing) == pytest.approx((0.0001, 0.0003, 0.0001, 0.0002))
    assert costs.way == pytest.approx((0.003 - 0.0003) / 0.6931, rel=0.001)
    with pytest.raises(KeyError, match="from commit to Kafka"):
        Costs.measured({"measured": []})
