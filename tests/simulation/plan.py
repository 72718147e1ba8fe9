"""What a seed draws before anything happens: queues, clients, and which faults there will be.

Each seed leaves some faults out (swarm testing): a fault that is always there hides what only shows without it.
"""

from __future__ import annotations

import random

import msgspec

from tests.simulation.mqtt_wire import NEVER, V3, V5

EXCHANGE = "x"
DEATHS = "deaths"
DEAD = "dead"
"""The exchange and the queue of dead letters."""
EVERYONE = "all"
"""The routing key that all queues are bound with."""


EXACT = "exact"
"""The queue of what MQTT clients publish exactly once; AMQP clients see it as any other."""
LEAST = "least"
"""The queue of what they publish at least once; it is looked at in the end only."""
EXACT_TOPICS, LEAST_TOPICS, RETAINED_TOPICS = "m/2/", "m/1/", "r/"


class QueuePlan(msgspec.Struct, frozen=True):
    """A queue, and what may legally happen to its messages."""

    name: str
    durable: bool = True
    ttl_ms: int | None = None
    length_max: int | None = None
    rejecting: bool = False
    dead_letters: bool = True
    blind: bool = False
    """It is consumed without acks."""
    purged: bool = False
    """Somebody purges it now and then."""
    single: bool = False
    """One consumer at a time is active."""

    @property
    def refuses(self) -> bool:
        """A publisher may be told no."""
        return self.rejecting

    @property
    def loses(self) -> bool:
        """A confirmed message may vanish by the rules."""
        drops = self.ttl_ms is not None or (self.length_max is not None and not self.rejecting)
        return self.purged or (drops and not self.dead_letters)

    @property
    def arguments(self) -> dict[str, object]:
        arguments: dict[str, object] = {}
        if self.ttl_ms is not None:
            arguments["x-message-ttl"] = self.ttl_ms
        if self.length_max is not None:
            arguments["x-max-length"] = self.length_max
        if self.rejecting:
            arguments["x-overflow"] = "reject-publish"
        if self.dead_letters:
            arguments["x-dead-letter-exchange"] = DEATHS
        if self.single:
            arguments["x-single-active-consumer"] = True
        return arguments


class MqttClientPlan(msgspec.Struct, frozen=True):
    """A client of MQTT; one without filters publishes."""

    version: int
    durable: bool = True
    expiry_s: int = NEVER
    receive_max: int = 65_535
    filters: list[tuple[str, int]] = []
    """Of a subscriber, each with its QoS."""


class Plan(msgspec.Struct, frozen=True):
    """One simulation."""

    queues: dict[str, QueuePlan]
    publisher_count: int
    consumer_count: int
    getter_count: int
    step_count: int
    """Of the chaos; then everything heals."""
    body_size_max: int
    file_size: int
    cache_size: int
    disk_speed: float
    """Chance that the journal's write or sync gets on, at each step."""
    crashes: float
    """Chance of each fault, at each step."""
    kills: float
    power_cuts: float
    sync_faults: float
    full_disks: float
    stops: float
    vanishes: float
    deaf: float
    """Chance that a client stops reading for a while."""
    pauses: float
    """Chance that much time goes by at once."""
    checkpoints: float
    """Chance of a cycle that nothing calls for, at each look of the housekeeping."""
    checks: float
    """Chance that replay is compared."""
    mqtt: list[MqttClientPlan] = []

    def routed(self, routing_key: str) -> tuple[str, ...]:
        """Where the exchange takes it."""
        return tuple(
            name for name in self.queues if name != DEAD and (routing_key == EVERYONE or routing_key == f"k.{name}")
        )


def with_mqtt(plan: Plan, random: random.Random) -> Plan:
    """The same with clients of MQTT, and a queue for what they publish."""
    clients = [MqttClientPlan(random.choice([V3, V5])) for _ in range(random.randint(1, 2))]
    clients += [_draw_subscriber(random) for _ in range(random.randint(1, 3))]
    return msgspec.structs.replace(
        plan,
        queues={EXACT: QueuePlan(EXACT, dead_letters=False), **plan.queues},
        publisher_count=random.randint(0, plan.publisher_count),
        consumer_count=random.randint(1, 2),
        getter_count=0,
        mqtt=clients,
    )


def _draw_subscriber(random: random.Random) -> MqttClientPlan:
    version = random.choice([V3, V5])
    possible = [[("m/2/#", 2)], [("m/#", 2)], [("m/+/+", 2), ("m/1/#", 1)], [("m/#", 1)], [("#", 2)], [("m/2/+", 2)]]
    possible += [[("m/#", 2), ("k/#", 1)], [("k/+", 2), ("all", 2), ("m/2/#", 2)]]
    durable = random.random() < 0.8
    expiry_s = random.choice([NEVER, NEVER, 3600, 1]) if version == V5 else NEVER
    receive_max = random.choice([1, 3, 20, 65_535]) if version == V5 else 65_535
    return MqttClientPlan(version, durable, expiry_s if durable else 0, receive_max, random.choice(possible))


def draw_plan(random: random.Random) -> Plan:
    """A plan of this random's."""

    def some(chance: float, rate: float) -> float:
        return rate * random.random() if random.random() < chance else 0.0

    possible = [
        QueuePlan("plain", dead_letters=False),
        QueuePlan("dying"),
        QueuePlan("fleeting", ttl_ms=random.choice([0, 20, 200, 2000])),
        QueuePlan("short", length_max=random.choice([1, 5, 40])),
        QueuePlan("full", length_max=random.choice([5, 40]), rejecting=True),
        QueuePlan("light", durable=False, dead_letters=False),
        QueuePlan("blind", dead_letters=False, blind=True),
        QueuePlan("purged", dead_letters=False, purged=True),
    ]
    chosen = random.sample(possible, random.randint(1, 5))
    queues = {queue.name: queue for queue in chosen}
    queues[DEAD] = QueuePlan(DEAD, dead_letters=False)
    return Plan(
        queues=queues,
        publisher_count=random.randint(1, 3),
        consumer_count=random.randint(1, 4),
        getter_count=random.randint(0, 1),
        step_count=random.choice([500, 1000, 2000]),
        body_size_max=random.choice([20, 20, 200, 6000]),
        file_size=random.choice([64 << 10, 256 << 10, 4 << 20]),
        cache_size=random.choice([0, 4 << 10, 64 << 20]),
        disk_speed=random.choice([0.05, 0.2, 0.5]),
        crashes=some(0.5, 0.004),
        kills=some(0.3, 0.004),
        power_cuts=some(0.3, 0.004),
        sync_faults=some(0.25, 0.002),
        full_disks=some(0.3, 0.005),
        stops=some(0.25, 0.004),
        vanishes=some(0.6, 0.01),
        deaf=some(0.4, 0.01),
        pauses=some(0.5, 0.01),
        checkpoints=some(0.5, 0.02),
        checks=0.01,
    )
