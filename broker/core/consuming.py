"""Consuming at the front: consumers come and go, and single messages are fetched."""

from __future__ import annotations

import base64

from broker.core.asking import GETTER, ask_leader, led_elsewhere
from broker.core.channel import Channel
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.declarations import in_exclusive_use, not_to_get
from broker.core.declaring import ENTROPY_SIZE, find_queue
from broker.core.front import Front, end_consumer, when_arrived
from broker.core.outcomes import Refused
from broker.core.permissions import Action
from broker.core.queue import Queue
from broker.core.replicated_shard import ReplicatedShard
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ConsumerTag, DeliveryTag
from broker.model.refusals import Refusal

PRIORITY = "x-priority"


def consume(front: Front, channel: Channel, command: c.Consume) -> None:
    found = find_queue(front, channel, lambda: consume(front, channel, command), command.queue, Action.READ)
    if found is None:
        return
    shard, queue = found
    refused = _check(channel, command)
    if refused is None and shard.hands_out and queue.excludes(command.exclusive):
        refused = in_exclusive_use(queue.vhost, queue.name)
    if refused is not None:
        front.refuse(channel, refused)
        return
    tag = command.consumer_tag
    if not tag:
        entropy = front.back.random_bytes(ENTROPY_SIZE)
        tag = ConsumerTag("amq.ctag-" + base64.urlsafe_b64encode(entropy).decode().rstrip("="))
    consumer = Consumer(
        outlet=front,
        channel=channel.number,
        number=channel.next_consumer,
        tag=tag,
        queue_id=queue.id,
        no_ack=command.no_ack,
        exclusive=command.exclusive,
        credit=command.credit,
        priority=command.arguments.get(PRIORITY, 0),
    )
    channel.next_consumer += 1
    if front.back.forwarding is not None and isinstance(shard, ReplicatedShard):
        _consume_afar(front, channel, shard, consumer)
        return
    _start(front, channel, consumer)
    queue.add_consumer(consumer)
    shard.dirty[queue.id] = None


def _start(front: Front, channel: Channel, consumer: Consumer) -> None:
    channel.consumers[consumer.tag] = consumer
    channel.by_number[consumer.number] = consumer
    front.say(r.ConsumerStarted(channel.number, consumer.tag))


def _consume_afar(front: Front, channel: Channel, shard: ReplicatedShard, consumer: Consumer) -> None:
    """The queue's leader may be any node."""
    forwarding = front.back.forwarding
    assert forwarding is not None
    front_end = forwarding.front
    channel.waiting = True

    def answer(refused: Refused | None) -> None:
        if channel.closed and refused is None:
            front_end.leave(consumer)
        elif refused is None:
            _start(front, channel, consumer)  # before the first delivery
        front.go_on(channel, lambda: None if refused is None else front.refuse(channel, refused))

    front_end.consume(shard, consumer, answer)


def _check(channel: Channel, command: c.Consume) -> Refused | None:
    if command.consumer_tag and command.consumer_tag in channel.consumers:
        detail = f"attempt to reuse consumer tag '{command.consumer_tag}'"
        return Refused(Refusal.CONSUMER_TAG_IN_USE, detail)
    priority = command.arguments.get(PRIORITY, 0)
    if type(priority) is not int:
        return Refused(Refusal.PRECONDITION_FAILED, f"invalid arg '{PRIORITY}': an integer is wanted")
    return None


def cancel(front: Front, channel: Channel, command: c.Cancel) -> None:
    consumer = channel.consumers.get(command.consumer_tag)
    if consumer is not None:
        end_consumer(front, channel, consumer)
    reply = r.ConsumerCancelled(channel.number, command.consumer_tag)
    channel.waiting = True
    front.wait_for_settles([channel], lambda: front.go_on(channel, lambda: front.say(reply)))


def set_credit(front: Front, channel: Channel, command: c.SetChannelCredit) -> None:
    unsettled = len(channel.unsettled)
    channel.credit = UNBOUNDED if command.credit is None else command.credit - unsettled
    front.back.mark_dirty(consumer.queue_id for consumer in channel.consumers.values())


def get(front: Front, channel: Channel, command: c.Get) -> None:
    found = find_queue(front, channel, lambda: get(front, channel, command), command.queue, Action.READ)
    if found is None:
        return
    shard, queue = found
    if queue.settings.single_active_consumer:
        front.refuse(channel, not_to_get(queue.vhost, queue.name))
        return
    if led_elsewhere(front, shard):
        ask_leader(front, channel, shard, command)
        return
    queue.used_ms = front.back.now_ms
    queue.expire(front.back.now_ms)
    if queue.ready_count and _try_to_get(front, channel, command, queue):
        return
    when_arrived(front, channel, shard, queue, lambda: _get_in_turn(front, channel, command))


def _get_in_turn(front: Front, channel: Channel, command: c.Get) -> None:
    """At the next dispatch, behind consumers: the message may have to be read first, or be beyond the mark."""
    found = find_queue(front, channel, lambda: get(front, channel, command), command.queue, Action.READ)
    if found is None:
        return
    shard, queue = found
    channel.waiting = True

    def getter(queue: Queue) -> bool:
        if channel.closed:
            front.go_on(channel, lambda: None)
            return True
        if queue.id not in front.back.queues:  # deleted meanwhile
            front.go_on(channel, lambda: get(front, channel, command))
            return True
        got = _try_to_get(front, channel, command, queue)
        if got:
            front.go_on(channel, lambda: None)
        return got

    queue.wait_to_get(getter)
    shard.dirty[queue.id] = None


def _try_to_get(front: Front, channel: Channel, command: c.Get, queue: Queue) -> bool:
    """Answers if there is a message in memory, or none at all."""
    queue.expire(front.back.now_ms)
    got = queue.get(command.no_ack)
    if got is None:
        if queue.ready_count:
            return False
        front.say(r.GotNothing(channel.number))
        return True
    deliveries, sequences, count = got
    tag = channel.unsettled.push(GETTER, queue.id, sequences, not command.no_ack)
    front.traffic.sent += 1
    front.traffic.sent_size += deliveries.size
    front.say(r.Got(channel.number, DeliveryTag(tag), deliveries, count))
    return True
