"""The simulation agrees with exact results of queueing theory."""

import statistics

import pytest

from bench.simulate import Costs, Layout, busiest, enough, simulated


def test_the_mean_wait_of_one_server_agrees_with_the_formula() -> None:
    """M/D/1 at a load of 70 %: by Pollaczek and Khinchine, the mean wait is rho / (2 (1 - rho)) service times."""
    costs = Costs(append=0, relay=0, worker=0.01, sending=0, doing=0, kafka=0, way=0, effect=0)
    latencies_s = simulated(costs, Layout(postgres_cores=1), 70, jobs=20_000)
    assert statistics.mean(latencies_s) == pytest.approx(0.01 * (1 + 0.7 / (2 * 0.3)), rel=0.1)


def test_without_contention_the_latency_is_the_sum_of_the_delays() -> None:
    costs = Costs(append=0, relay=0, worker=0, sending=0, doing=0, kafka=0, way=0.002, effect=0.003)
    assert statistics.mean(simulated(costs, Layout(postgres_cores=1), 10)) == pytest.approx(0.005, rel=0.05)


def test_a_sufficient_layout_keeps_each_part_below_its_share() -> None:
    costs = Costs(
        append=0, relay=0.00001, worker=0.001, sending=0.00001, doing=0.0006, kafka=0.00001, way=0.002, effect=0.004
    )
    layout = enough(costs, 10_000)
    assert layout == Layout(workers=17, postgres_cores=11, relays=1)
    first, share = busiest(costs, layout, 10_000)
    assert first == "the workers"
    assert share == pytest.approx(10 / 17)


def test_an_overloaded_part_is_reported() -> None:
    costs = Costs(append=0, relay=0.0002, worker=0.001, sending=0, doing=0, kafka=0, way=0, effect=0)
    first, share = busiest(costs, Layout(workers=100, postgres_cores=1), 10_000)
    assert first == "the relay"
    assert share == pytest.approx(2)
    assert enough(costs, 10_000).relays == 4


def test_several_relays_share_the_load() -> None:
    costs = Costs(append=0, relay=0.002, worker=0, sending=0, doing=0, kafka=0, way=0, effect=0)
    one, two = (simulated(costs, Layout(postgres_cores=1, relays=relays), 450) for relays in (1, 2))
    assert statistics.median(two) < statistics.median(one) / 2


def test_costs_are_read_from_results() -> None:
    measured = [
        {"of": "cost", "name": f"{part}: from commit to {end}", "value": cost, "unit": "us an event"}
        for part in ("relay", "worker", "postgres", "kafka")
        for end, cost in (("Kafka", 100.0), ("effect", 300.0))
    ]
    measured += [
        {"of": "effect_latency", "name": f"{phase}, median", "value": 3.0, "unit": "ms"}
        for phase in ("queued to claimed", "claimed to done")
    ]
    measured.append({"of": "cost", "name": "postgres: append", "value": 80.0, "unit": "us an event"})
    ratios = [{"name": "effect_latency_p50", "ours": 6.0}]
    costs = Costs.measured({"measured": measured, "ratios": ratios})
    assert (costs.append, costs.relay, costs.worker) == pytest.approx((0.00008, 0.0003, 0.0003))
    assert (costs.sending, costs.doing, costs.kafka) == pytest.approx((0.0002, 0.0001, 0.0003))
    assert costs.way == pytest.approx((0.006 - 0.003 - 0.0004 - 0.00005) / 0.945)
    assert costs.effect == pytest.approx((0.003 - 0.0003 - 0.00005) / 0.945)
    latencies_s = simulated(costs, Layout(), 100, evenly=True)
    assert statistics.median(latencies_s) == pytest.approx(0.006, rel=0.1)
    with pytest.raises(KeyError, match="from commit to effect"):
        Costs.measured({"measured": [], "ratios": ratios})
