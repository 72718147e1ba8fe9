"""What clients see of a disk that fails or is full, step by step; drawn seeds mix it with everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.amqp.methods import QueueDeclare, QueueDeclareOk, QueueDelete, QueueDeleteOk
from tests.simulation.client import Client, Script
from tests.simulation.ledger import Outcome
from tests.simulation.plan import QueuePlan
from tests.simulation.scripts import FIRST, publisher
from tests.simulation.simulation import CAPACITY, Simulation

ROUNDS_MAX = 2000
CALM: dict[str, Any] = {
    name: 0.0
    for name in (
        "crashes", "kills", "power_cuts", "sync_faults", "full_disks", "stops", "vanishes", "deaf", "pauses",
        "checkpoints",
    )
}  # fmt: skip
QUEUES = {name: QueuePlan(name, dead_letters=False) for name in ("plain", "dead")}


def calm(*scripts: Callable[[Client], Script]) -> Simulation:
    """A node without bad luck, and clients of these scripts."""
    simulation = Simulation(1, queues=QUEUES, file_size=256 << 10, cache_size=64 << 20, body_size_max=2000, **CALM)
    simulation.clients = [Client(f"client{number}", simulation.world, script) for number, script in enumerate(scripts)]
    return simulation


def go_on(simulation: Simulation, until: Callable[[], bool]) -> None:
    for _ in range(ROUNDS_MAX):
        simulation.calm_round()
        if until():
            return
    raise AssertionError("\n".join(simulation.trace.last))


def acker(client: Client) -> Script:
    """When the disk is full, takes and acks, and asks with a goodbye whether that is kept."""
    yield from client.connect()
    channel = yield from client.open(FIRST)
    yield from client.declare(FIRST)
    while not client.world.full:
        yield None
    while not client.world.healing:
        yield from client.consume(channel, "plain", 10)
        for _ in range(5):
            if channel.unsettled:
                client.settle(channel, max(channel.unsettled), Outcome.ACK, True)
            yield None
        yield from client.close_channel(channel)
        channel = yield from client.open(FIRST)
    yield from client.close()


def deleter(client: Client) -> Script:
    """Makes a queue; deletes it when the disk is full."""
    yield from client.connect()
    yield from client.open(FIRST)
    client.send(FIRST, QueueDeclare(0, "doomed", durable=True))
    yield (QueueDeclareOk,)
    while not client.world.full:
        yield None
    client.send(FIRST, QueueDelete(0, "doomed"))
    yield (QueueDeleteOk,)
    yield from client.close()


def amqp_clients(simulation: Simulation) -> list[Client]:
    return [client for client in simulation.clients if isinstance(client, Client)]


@pytest.mark.slow
def test_after_a_failed_sync_nothing_is_confirmed_and_a_restart_is_clean() -> None:
    simulation = calm(publisher)
    ledger = simulation.world.ledger
    (publishing,) = amqp_clients(simulation)
    go_on(simulation, lambda: ledger.confirmed_count > 20)
    node = simulation.node
    assert node is not None
    for name in simulation.disk.names():
        simulation.disk.fail_sync_once(name)
    go_on(simulation, lambda: node.poisoned and publishing.blocked)
    confirmed = ledger.confirmed_count
    for _ in range(100):
        simulation.calm_round()
    assert ledger.confirmed_count == confirmed
    simulation.kill()
    go_on(simulation, lambda: ledger.confirmed_count > confirmed)
    simulation.crash()
    simulation.heal()


@pytest.mark.slow
def test_a_full_disk_stops_publishers_only_and_heals() -> None:
    simulation = calm(publisher, acker, deleter)
    ledger = simulation.world.ledger
    publishing, acking, deleting = amqp_clients(simulation)
    go_on(simulation, lambda: ledger.confirmed_count > 200 and deleting.link is not None)
    node = simulation.node
    assert node is not None
    simulation.set_capacity(CAPACITY - simulation.disk.free + 1000)
    go_on(simulation, lambda: publishing.blocked)
    simulation.world.full = True
    go_on(simulation, lambda: deleting.link is None)
    go_on(simulation, lambda: sum(copy.settled for copy in ledger.copies.values()) > 20)
    assert not node.poisoned
    confirmed = ledger.confirmed_count
    simulation.set_capacity(CAPACITY)
    go_on(simulation, lambda: not publishing.blocked and ledger.confirmed_count > confirmed)
    assert acking.link is not None
    simulation.heal()
