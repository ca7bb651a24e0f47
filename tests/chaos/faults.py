"""Plan faults from a seed, and cause them."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

from devstack.processes import Process
from tests.chaos.replicas import WORKERS, Replicas

PROCESSES = ("api", *WORKERS, "relay", "kafka", "postgres")
NETWORKS = ("kafka network", "postgres network")
# Kafka and all replicas of one service fail together, so neither a record nor a request wakes a worker.
BOTH_AWAY = tuple(f"kafka and {worker}" for worker in WORKERS)
PAUSE_S = (1.0, 3.0)
SLOW_S = 0.15


@dataclass(frozen=True, slots=True)
class Fault:
    """``what`` happens to ``target`` for ``lasts_s`` seconds. The next fault begins ``then_s`` seconds later."""

    what: str
    target: str
    lasts_s: float
    then_s: float

    @property
    def name(self) -> str:
        return f"{self.target}: {self.what}"


def plan(seed: int) -> Iterator[Fault]:
    """Yield faults without end, in rounds. In each round, each process and network has one fault, in random order."""
    rng = random.Random(seed)
    while True:
        targets = [*PROCESSES, *NETWORKS, rng.choice(BOTH_AWAY)]
        rng.shuffle(targets)
        for target in targets:
            yield _fault(rng, target)


def one_of_each(seed: int, *, lasts_s: float) -> list[Fault]:
    """Return short faults: one for each process and each network, and a failure of Kafka together with a service."""
    rng = random.Random(seed)
    faults = [Fault(rng.choice(("kill", "freeze")), target, lasts_s, 0.2) for target in PROCESSES]
    faults += [Fault(rng.choice(("slow", "cut", "silent")), network, lasts_s, 0.2) for network in NETWORKS]
    rng.shuffle(faults)
    # Long enough for the breakers to open.
    return [Fault("both away", "kafka and eligibility", 3 * lasts_s, 0.2), *faults]


def _fault(rng: random.Random, target: str) -> Fault:
    if target in BOTH_AWAY:
        what, lasts_s = "both away", rng.uniform(6, 9)
    elif target in NETWORKS:
        what = rng.choice(("slow", "cut", "silent"))
        lasts_s = rng.uniform(3, 6)
    else:
        what = rng.choice(("kill", "freeze", "restart"))
        lasts_s = {"kill": rng.uniform(0.5, 4), "freeze": rng.triangular(5, 20, 6), "restart": 0.0}[what]
    return Fault(what, target, lasts_s, rng.uniform(*PAUSE_S))


async def commit(fault: Fault, replicas: Replicas, rng: random.Random) -> None:
    """Cause ``fault`` for its duration, end it, and wait until its target is ready again."""
    if fault.target in BOTH_AWAY:
        await _both_away(fault, replicas)
    elif fault.target in NETWORKS:
        await _network(fault, replicas)
    elif fault.target in ("kafka", "postgres"):
        await _server(fault, replicas)
    else:
        await _replica(fault, replicas, rng)


async def _replica(fault: Fault, replicas: Replicas, rng: random.Random) -> None:
    if fault.target == "relay":
        name = await replicas.leading_relay()
    else:
        name = f"{fault.target}{rng.choice((1, 2))}"
    process = replicas.system.processes[name]
    if fault.what == "freeze":
        process.suspend()
        await asyncio.sleep(fault.lasts_s)
        process.resume()
        return
    await asyncio.to_thread(process.kill if fault.what == "kill" else process.stop)
    await asyncio.sleep(fault.lasts_s)
    await replicas.start(name)


async def _server(fault: Fault, replicas: Replicas) -> None:
    server = replicas.kafka if fault.target == "kafka" else replicas.postgres
    if fault.what == "freeze":
        await asyncio.to_thread(server.suspend)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(server.resume)
        return
    await asyncio.to_thread(server.kill if fault.what == "kill" else server.stop)
    await asyncio.sleep(fault.lasts_s)
    await asyncio.to_thread(server.start)


async def _network(fault: Fault, replicas: Replicas) -> None:
    network = replicas.kafka_network if fault.target == "kafka network" else replicas.database_network
    if fault.what == "slow":
        network.slow(SLOW_S)
    elif fault.what == "cut":
        network.cut()
    else:
        network.silence()
    await asyncio.sleep(fault.lasts_s)
    network.heal()


async def _both_away(fault: Fault, replicas: Replicas) -> None:
    worker = fault.target.removeprefix("kafka and ")
    frozen: list[Process] = [replicas.system.processes[f"{worker}{number}"] for number in (1, 2)]
    await asyncio.to_thread(replicas.kafka.kill)
    for process in frozen:
        process.suspend()
    await asyncio.sleep(fault.lasts_s)
    for process in frozen:
        process.resume()
    await asyncio.to_thread(replicas.kafka.start)
