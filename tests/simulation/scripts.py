"""What clients do: publishers, consumers, getters, one who purges, and the last one, who drains everything."""

from __future__ import annotations

from protocols.amqp.methods import (
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicRecover,
    BasicRecoverOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from tests.simulation.client import UNCONFIRMED_COUNT_MAX, Client, Script
from tests.simulation.ledger import Outcome
from tests.simulation.plan import EVERYONE, EXCHANGE, LEAST

FIRST = 1


def publisher(client: Client) -> Script:
    """Bursts; now and then it closes, or opens another channel."""
    random = client.world.random
    yield from client.connect()
    channel = yield from client.open(FIRST)
    yield from client.declare(FIRST)
    yield from client.select_confirms(FIRST)
    while True:
        choice = random.random()
        if client.world.healing or choice < 0.03:
            while channel.unconfirmed:
                yield None
            if client.world.healing or choice < 0.01:
                yield from client.close()
                return
            yield from client.close_channel(channel)
            channel = yield from client.open(FIRST)
            yield from client.select_confirms(FIRST)
        elif len(channel.unconfirmed) < UNCONFIRMED_COUNT_MAX:
            client.publish(channel, random.choice([1, 1, 3, 20]))
        yield None


def consumer(client: Client) -> Script:
    """Consumes one or two queues and settles as it likes."""
    world = client.world
    random = world.random
    yield from client.connect()
    yield from client.open(FIRST)
    yield from client.declare(FIRST)
    while True:
        channel = client.channels[FIRST]
        queues = random.sample(list(world.plan.queues), random.randint(1, min(2, len(world.plan.queues))))
        for queue in queues:
            yield from client.consume(channel, queue, random.choice([0, 1, 3, 50]))
        patience = random.random()
        while not world.healing and random.random() > 0.02:
            tags = list(channel.unsettled)
            if tags and random.random() < patience:
                tag = random.choice([tags[0], tags[-1], random.choice(tags)])
                client.settle(channel, tag, _draw_outcome(client), random.random() < 0.5)
            elif tags and random.random() < 0.02:
                yield from _recover(client)
            yield None
        if random.random() < 0.3:
            yield from client.cancel(channel, random.choice(list(channel.queues)))
        if world.healing or random.random() < 0.3:
            yield from client.close()
            return
        yield from client.close_channel(channel)
        yield from client.open(FIRST)


def _draw_outcome(client: Client) -> Outcome:
    choice = client.world.random.random()
    if choice < 0.7:
        return Outcome.ACK
    return Outcome.REJECT if choice < 0.85 else Outcome.REQUEUE


def _recover(client: Client) -> Script:
    """Asks for everything again; what is still on its way comes back unseen."""
    channel = client.channels[FIRST]
    ledger = client.world.ledger
    client.world.trace.note(f"{client.name} recovers")
    for copy in [] if channel.life.ended else list(channel.unsettled.values()):
        ledger.settle(channel.life, copy, Outcome.REQUEUE)
    for queue, _ in channel.queues.values():
        ledger.disturb(queue)
    channel.unsettled.clear()
    channel.recovering = True
    client.send(FIRST, BasicRecover(True))
    yield (BasicRecoverOk,)
    channel.recovering = False


def getter(client: Client) -> Script:
    """Fetches single messages, and purges where that is allowed."""
    world = client.world
    random = world.random
    yield from client.connect()
    channel = yield from client.open(FIRST)
    yield from client.declare(FIRST)
    while not world.healing:
        # What a queue with a single active consumer holds is for that one.
        plan = world.plan.queues[random.choice([name for name, queue in world.plan.queues.items() if not queue.single])]
        if plan.purged and random.random() < 0.2:
            client.send(FIRST, QueuePurge(0, plan.name))
            yield (QueuePurgeOk,)
        channel.getting = (plan.name, plan.blind)
        if plan.blind:
            channel.life.blind.add(plan.name)
        client.send(FIRST, BasicGet(0, plan.name, plan.blind))
        yield (BasicGetOk, BasicGetEmpty)
        tags = list(channel.unsettled)
        if tags and random.random() < 0.8:
            client.settle(channel, random.choice(tags), _draw_outcome(client), random.random() < 0.2)
        yield None
    yield from client.close()


def tinkerer(client: Client) -> Script:
    """Makes and deletes queues of its own, of every kind, that get what others publish."""
    world = client.world
    random = world.random
    yield from client.connect()
    channel = yield from client.open(FIRST)
    yield from client.declare(FIRST)
    while not world.healing:
        kind = random.choice(["durable", "durable", "transient", "exclusive", "auto-delete"])
        name = f"{kind}-{random.randint(0, 1)}"
        durable = kind == "durable" or (kind == "auto-delete" and name.endswith("1"))
        declare = QueueDeclare(
            0, name, durable=durable, exclusive=kind == "exclusive", auto_delete=kind == "auto-delete"
        )
        client.send(FIRST, declare)
        yield (QueueDeclareOk,)
        key = random.choice([EVERYONE, f"k.{random.choice(list(world.plan.queues))}"])
        client.send(FIRST, QueueBind(0, name, EXCHANGE, key))
        yield (QueueBindOk,)
        yield None
        choice = random.random()
        if choice < 0.3:
            client.send(FIRST, QueueUnbind(0, name, EXCHANGE, key))
            yield (QueueUnbindOk,)
        elif choice < 0.6:
            yield from client.taste(channel, name, random.random() < 0.5)
        elif choice < 0.9:
            client.send(FIRST, QueueDelete(0, name))
            yield (QueueDeleteOk,)
        yield None
    yield from client.close()


def drainer(client: Client) -> Script:
    """Takes everything that is left, and stays."""
    yield from client.connect()
    channel = yield from client.open(FIRST)
    yield from client.declare(FIRST)
    for queue in client.world.plan.queues:
        yield from client.consume(channel, queue, 0)
    if client.world.plan.mqtt:
        client.send(FIRST, BasicConsume(0, LEAST, LEAST))
        yield (BasicConsumeOk,)
    while not client.world.drained:
        if channel.unsettled:
            client.settle(channel, max(channel.unsettled), Outcome.ACK, True)
        yield None
    yield from client.close()
