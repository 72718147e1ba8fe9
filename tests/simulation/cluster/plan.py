"""What a seed of the cluster draws before anything happens: machines, net, clients, and how often faults strike."""

from __future__ import annotations

import random

import msgspec

from tests.simulation.mqtt_wire import NEVER
from tests.simulation.plan import DEAD, MqttClientPlan, Plan, QueuePlan, draw_plan, with_mqtt

FAULT_RATES: dict[str, float] = {
    "crash": 0.06,
    "kill": 0.06,
    "crash of all": 0.03,
    "kill of all": 0.02,
    "crash while it writes": 0.05,
    "pause": 0.06,
    "partition": 0.1,
    "one way": 0.08,
    "reset": 0.2,
    "corruption": 0.2,
    "slow way": 0.1,
    "swizzle": 0.03,
    "sync fault": 0.04,
    "disk full": 0.04,
    "slow disk": 0.06,
    "clock step": 0.08,
    "wiped disk": 0.06,
    "flipped bit": 0.08,
    "read fault": 0.1,
    "newcomer": 0.1,
    "leaver": 0.06,
    "transfer": 0.25,
    "client vanishes": 0.3,
    "deaf client": 0.15,
}
"""The most that each strikes, per second."""
REPLICA_COUNT = 3
STOP_RATE = 0.15
WITH_STOPS = (1, 2, 4, 6)
"""Four seeds in seven have clean stops, those with these remainders (and faults at all)."""
MOVE_RATE = 0.3
WITH_MOVES = 3
"""Of seeds by their remainder of four with more machines than replicas: replicas are moved, as operators do."""
FAULT_CHANCE = 0.4
"""That a plan has one of them."""
WITH_MQTT = (1, 2)
"""Two seeds in five have clients of MQTT, those with these remainders."""
WITH_STOMP = 1
"""Of seeds by their remainder of three: there are clients of STOMP."""
WITH_SINGLE = 2
"""Of seeds by their remainder of four: a queue has a single active consumer."""
QUIET_SEEDS = 10
"""One seed in so many has no faults at all: what fails there is plainly wrong."""


class ClusterPlan(msgspec.Struct, frozen=True):
    """One simulation."""

    clients: Plan
    """Queues and clients."""
    machine_count: int
    newcomer_count: int
    """Machines that may come later."""
    stomp: tuple[int, int]
    """Clients of STOMP that publish, and that consume."""
    shard_count: int
    seconds: float
    """Of the chaos; then everything heals."""
    operations: float
    """Of all clients together, per second."""
    file_size: int
    cache_size: int
    delay_us: tuple[int, int]
    pieces: float
    """Chance that what is written at once arrives in two pieces."""
    disk_us: tuple[int, int]
    """What a write, a sync or a read takes."""
    round_us: tuple[int, int]
    """After what calls for a round, until a node makes it: what comes meanwhile is taken along."""
    drift: float
    """A machine's clock is faster or slower by up to so much."""
    skew_ms: int
    """And its wall clock wrong by up to so much."""
    checkpoints: float
    """Chance of a cycle that nothing calls for, at each look of the house-keeping."""
    faults: dict[str, float]
    """Per second."""


def draw_cluster_plan(seed: int, random: random.Random, seconds: float) -> ClusterPlan:
    clients = draw_plan(random)
    queues = {name: queue for name, queue in clients.queues.items() if queue.durable}
    if len(queues) == 1:
        queues = {"plain": QueuePlan("plain", dead_letters=False), DEAD: queues[DEAD]}
    if seed % 4 == WITH_SINGLE:
        first = next(name for name in queues if name != DEAD)
        queues[first] = msgspec.structs.replace(queues[first], single=True)
    faults = {
        kind: rate * random.random() for kind, rate in FAULT_RATES.items() if random.random() < FAULT_CHANCE
    } if seed % QUIET_SEEDS else {}  # fmt: skip
    plan = ClusterPlan(
        clients=msgspec.structs.replace(clients, queues=queues, publisher_count=random.randint(1, 3)),
        machine_count=5 if random.random() < 0.15 else 3,
        newcomer_count=random.choice([0, 0, 0, 1]),
        stomp=(0, 0),
        shard_count=random.choice([2, 4, 4]),
        seconds=seconds,
        operations=random.choice([5, 20, 20, 60]),
        file_size=random.choice([256 << 10, 4 << 20]),
        cache_size=random.choice([64 << 10, 64 << 20, 64 << 20]),
        delay_us=random.choice([(50, 300), (100, 2000), (1000, 30_000), (100, 100_000)]),
        pieces=random.choice([0.0, 0.02, 0.3]),
        disk_us=random.choice([(50, 300), (300, 3000), (3000, 30_000)]),
        round_us=random.choice([(20, 200), (20, 200), (200, 2000), (1000, 10_000)]),
        drift=random.choice([0.0, 0.0001, 0.01]),
        skew_ms=random.choice([0, 20, 500]),
        checkpoints=0.0,
        faults=faults,
    )
    if seed % 5 in WITH_MQTT:
        mixed = with_mqtt(plan.clients, random)
        mqtt = [_lasting(each) for each in mixed.mqtt]
        plan = msgspec.structs.replace(plan, clients=msgspec.structs.replace(mixed, mqtt=mqtt))
    if seed % 3 == WITH_STOMP:
        plan = msgspec.structs.replace(plan, stomp=random.choice([(1, 0), (0, 1), (1, 1), (1, 2)]))
    if seed % 7 in WITH_STOPS and seed % QUIET_SEEDS:
        plan = msgspec.structs.replace(plan, faults={**plan.faults, "stop": STOP_RATE * random.random()})
    if seed % 4 == WITH_MOVES and seed % QUIET_SEEDS and plan.machine_count + plan.newcomer_count > REPLICA_COUNT:
        plan = msgspec.structs.replace(plan, faults={**plan.faults, "move": MOVE_RATE * random.random()})
    return plan


def _lasting(plan: MqttClientPlan) -> MqttClientPlan:
    """A session that lasts at all lasts for ever: see ``mqtt_clients.py``."""
    return msgspec.structs.replace(plan, expiry_s=NEVER) if plan.durable else plan
