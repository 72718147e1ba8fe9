"""Declaring, deleting and binding, at the front: rights first, then the topology, then the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from broker.core import topology_commands as t
from broker.core.asking import ask_leader, led_elsewhere
from broker.core.channel import Channel
from broker.core.declarations import generated_queue_name
from broker.core.front import Front, refuse_when_routing, when_arrived, when_routing
from broker.core.outcomes import Applied, Outcome, Refused
from broker.core.permissions import Action
from broker.core.queue import Queue
from broker.core.resources import exchange_resource, queue_resource
from broker.core.shard import Shard
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import Channel as ChannelNumber
from broker.model.names import QueueId, QueueName, VhostName
from broker.model.queue_settings import is_balanced
from broker.model.refusals import Refusal
from broker.model.topology import QueueSpec

ENTROPY_SIZE = 16
NO_ID = QueueId(0)
"""Asks for the next one."""


def vhost_of(front: Front) -> VhostName:
    assert front.vhost is not None, "an adapter opens the vhost first"
    return front.vhost


def submit(front: Front, channel: Channel, command: Any, answer: Callable[[Applied], None]) -> None:
    """Asks the topology; the channel waits. ``answer`` says the reply, or waits for something more."""
    assert front.principal is not None
    refused = front.back.topology.authorize_command(front.principal, command)
    if refused is not None:
        refuse_when_routing(front, channel, refused, lambda: submit(front, channel, command, answer))
        return

    def receive(outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            refusal = outcome
            front.go_on(channel, lambda: front.refuse(channel, refusal))
        else:
            applied = outcome
            front.go_on(channel, lambda: answer(applied))

    channel.waiting = True
    front.back.submit(command, receive)


def say_done(front: Front, channel: Channel) -> Callable[[Applied], None]:
    return lambda applied: front.say(r.Done(channel.number))


def declare_exchange(front: Front, channel: Channel, command: c.DeclareExchange) -> None:
    vhost = vhost_of(front)
    if command.passive:
        assert front.principal is not None
        topology = front.back.topology
        resource = exchange_resource(vhost, command.spec.name)
        found = topology.authorize_any(front.principal, resource) or topology.find_exchange(vhost, command.spec.name)
        if isinstance(found, Refused):
            refuse_when_routing(front, channel, found, lambda: declare_exchange(front, channel, command))
        else:
            front.say(r.Done(channel.number))
        return
    submit(front, channel, t.DeclareExchange(vhost, command.spec), say_done(front, channel))


def delete_exchange(front: Front, channel: Channel, command: c.DeleteExchange) -> None:
    delete = t.DeleteExchange(vhost_of(front), command.name, command.if_unused)
    owner = _owner_elsewhere(front, delete)
    if owner is not None:
        ask_leader(front, channel, owner, command)
        return
    submit(front, channel, delete, say_done(front, channel))


def _owner_elsewhere(front: Front, command: t.DeleteExchange | t.Bind | t.Unbind) -> Shard | None:
    """What is volatile and another node's changes there."""
    owner = front.back.owner_of(command)
    return owner if owner is not None and led_elsewhere(front, owner) else None


def bind(front: Front, channel: Channel, command: c.Bind) -> None:
    bind = t.Bind(vhost_of(front), command.spec, front.id)
    owner = _owner_elsewhere(front, bind)
    if owner is not None:
        ask_leader(front, channel, owner, command)
        return
    submit(front, channel, bind, say_done(front, channel))


def unbind(front: Front, channel: Channel, command: c.Unbind) -> None:
    unbind = t.Unbind(vhost_of(front), command.spec, front.id)
    owner = _owner_elsewhere(front, unbind)
    if owner is not None:
        ask_leader(front, channel, owner, command)
        return
    submit(front, channel, unbind, say_done(front, channel))


def declare_queue(front: Front, channel: Channel, command: c.DeclareQueue) -> None:
    back = front.back
    if command.passive:
        found = find_queue(front, channel, lambda: declare_queue(front, channel, command), command.spec.name)
        if found is not None and led_elsewhere(front, found[0]):
            passive = c.DeclareQueue(channel.number, QueueSpec(command.spec.name), passive=True)
            ask_leader(front, channel, found[0], passive)
        elif found is not None:
            shard, queue = found
            when_created(front, channel, shard, queue)
        return
    spec = command.spec
    if spec.exclusive and front.closed:
        return  # it would go with its connection, which is gone
    generated = not spec.name
    if generated:
        spec = msgspec.structs.replace(spec, name=generated_queue_name(back.random_bytes(ENTROPY_SIZE)))
    shard_id = back.next_shard() if is_balanced(spec.arguments) else back.next_led_shard()
    declare = t.DeclareQueue(vhost_of(front), spec, shard_id, NO_ID, generated, front.id)

    def answer(applied: Applied) -> None:
        assert applied.queue is not None
        found = back.queues.get(applied.queue.queue_id)
        if found is None:  # deleted again by somebody else, in the same wave
            front.say(r.QueueDeclared(channel.number, spec.name, 0, 0))
            return
        shard, queue = found
        if led_elsewhere(front, shard):
            passive = c.DeclareQueue(channel.number, QueueSpec(spec.name), passive=True)
            ask_leader(front, channel, shard, passive)
            return
        queue.used_ms = back.now_ms
        when_created(front, channel, shard, queue)

    submit(front, channel, declare, answer)


def when_created(front: Front, channel: Channel, shard: Shard, queue: Queue) -> None:
    """Its row is there; it is declared once its shard has it, and what the channel published before."""
    if shard.kernel.has_queue(queue.id):
        when_arrived(front, channel, shard, queue, lambda: say_declared(front, channel.number, queue))
    else:
        front.wait(channel, shard, shard.barrier(), lambda: say_declared(front, channel.number, queue))


def say_declared(front: Front, channel: ChannelNumber, queue: Queue) -> None:
    front.say(r.QueueDeclared(channel, queue.name, queue.ready_count, queue.consumer_count))


def delete_queue(front: Front, channel: Channel, command: c.DeleteQueue) -> None:
    """Unused and empty are the shard's to say, before the row goes.

    Deleting what is not there is done, as in RabbitMQ.
    """
    row = front.back.topology.find_queue(vhost_of(front), command.name, front.id)
    found = None if isinstance(row, Refused) else front.back.queues.get(row.queue_id)
    if found is None:
        _delete_now(front, channel, command)
    elif led_elsewhere(front, found[0]):
        ask_leader(front, channel, found[0], command)
    else:
        when_arrived(front, channel, *found, lambda: _delete_now(front, channel, command))


def _delete_now(front: Front, channel: Channel, command: c.DeleteQueue) -> None:
    vhost = vhost_of(front)
    back = front.back
    delete = t.DeleteQueue(vhost, command.name, None, front.id)
    row = back.topology.find_queue(vhost, command.name, front.id)
    if isinstance(row, Refused) and row.refusal is Refusal.NOT_FOUND:
        if back.routing:
            front.say(r.QueueDeleted(channel.number, 0))
        else:
            when_routing(front, channel, lambda: delete_queue(front, channel, command))
        return
    found = None if isinstance(row, Refused) else back.queues.get(row.queue_id)
    count = 0
    if found is not None:
        queue = found[1]
        count = queue.ready_count
        resource = queue_resource(vhost, command.name)
        reason = None
        if command.if_unused and queue.consumers:
            reason = f"{resource} in use"
        elif command.if_empty and count:
            reason = f"{resource} not empty"
        if reason is not None:
            front.refuse(channel, Refused(Refusal.PRECONDITION_FAILED, reason))
            return

    def answer(applied: Applied) -> None:
        reply = r.QueueDeleted(channel.number, count)
        if found is None or not found[0].logged:
            front.say(reply)
        else:
            front.wait(channel, found[0], found[0].barrier(), lambda: front.say(reply))

    submit(front, channel, delete, answer)


def purge_queue(front: Front, channel: Channel, command: c.PurgeQueue) -> None:
    found = find_queue(front, channel, lambda: purge_queue(front, channel, command), command.name, Action.READ)
    if found is None:
        return
    if led_elsewhere(front, found[0]):
        ask_leader(front, channel, found[0], command)
        return
    when_arrived(front, channel, *found, lambda: _purge_now(front, channel, command))


def _purge_now(front: Front, channel: Channel, command: c.PurgeQueue) -> None:
    found = find_queue(front, channel, lambda: purge_queue(front, channel, command), command.name, Action.READ)
    if found is None:
        return  # deleted meanwhile
    shard, queue = found
    reply = r.QueuePurged(channel.number, queue.purge())
    front.wait(channel, shard, shard.barrier(), lambda: front.say(reply))


def find_queue(
    front: Front, channel: Channel, again: Callable[[], None], name: QueueName, action: Action | None = None
) -> tuple[Shard, Queue] | None:
    """The queue, or None: the session has said why not, or does it ``again`` later.  Without an ``action`` any right on
    it will do."""
    found = look_up_queue(front, name, action)
    if isinstance(found, Refused):
        refuse_when_routing(front, channel, found, again)
        return None
    return found


def look_up_queue(front: Front, name: QueueName, action: Action | None = None) -> tuple[Shard, Queue] | Refused:
    """The queue, if it is there, may be used so, and is not another session's own."""
    vhost = vhost_of(front)
    topology = front.back.topology
    assert front.principal is not None
    resource = queue_resource(vhost, name)
    if action is None:
        refused = topology.authorize_any(front.principal, resource)
    else:
        refused = topology.authorize(front.principal, action, resource)
    if refused is None:
        row = topology.find_queue(vhost, name, front.id)
        if not isinstance(row, Refused):
            found = front.back.queues.get(row.queue_id)
            if found is not None:
                return found
            row = Refused(Refusal.NOT_FOUND, f"no {resource}")
        refused = row
    return refused


def delete_exclusive(front: Front) -> None:
    """The session ends, and what was its own with it."""
    for row in front.back.topology.queues_of_session(front.id):
        found = front.back.queues.get(row.queue_id)
        if found is not None and not found[1].closing:
            front.back.delete(found[1])
