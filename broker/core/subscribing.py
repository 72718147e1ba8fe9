"""Subscriptions at the front: rights first, then the topology, then the answer.

One to ``$queue/<name>`` is remembered as any other, and consumes while the client is attached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from broker.core.channel import Channel
from broker.core.client_session import ClientSession
from broker.core.declaring import look_up_queue, vhost_of
from broker.core.front import ClientFront, when_routing
from broker.core.outcomes import Outcome, Refused
from broker.core.permissions import Action
from broker.core.queue import Queue
from broker.core.resources import exchange_resource, queue_resource
from broker.core.shard import Shard
from broker.core.sys_topics import PREFIX as SYS_PREFIX
from broker.core.topology_commands import DropSubscriptions, PutSubscriptions
from broker.model.client_sessions import Subscribe, Subscribed, SubscriptionSpec, Unsubscribe, Unsubscribed
from broker.model.names import ClientSessionId, QueueName
from broker.model.refusals import Refusal
from routing.subscriptions import MQTT_EXCHANGE, Subscription, queue_of_filter


def subscribe(front: ClientFront, channel: Channel, command: Subscribe) -> None:
    client = front.client
    if client is None:
        return  # taken over meanwhile, which it will be told
    vhost = vhost_of(front)
    refusals = [_refusal(front, spec) for spec in command.subscriptions]
    if any(refusals) and not front.back.routing:
        when_routing(front, channel, lambda: subscribe(front, channel, command))
        return
    wanted = [spec for spec, refusal in zip(command.subscriptions, refusals, strict=True) if refusal is None]
    table = front.back.topology.subscription_table(vhost)
    replayed = [spec for spec in wanted if _is_replayed(spec, table.find(client.id, spec.share, spec.filter) is None)]
    subscriptions = tuple(_subscription(client.id, spec, command.id) for spec in wanted)

    def answer(outcome: Outcome) -> None:
        client.receive_subscriptions(table.of_session(client.id))
        front.back.clients.announce(client)
        if front.client is client:
            _begin_consuming(front, client, command, refusals, done)
        else:
            done()

    def done() -> None:
        front.go_on(channel, lambda: front.say(Subscribed(refusals)))
        if front.client is client:
            for spec in replayed:
                front.back.retained.replay(client, spec)

    channel.waiting = True
    if subscriptions:
        client.receive_asked(table.of_session(client.id), subscriptions)
        front.back.submit(PutSubscriptions(vhost, subscriptions, client.durable), answer)
    else:
        front.go_on(channel, lambda: front.say(Subscribed(refusals)))


def _refusal(front: ClientFront, spec: SubscriptionSpec) -> Refusal | None:
    assert front.principal is not None
    topology = front.back.topology
    queue = queue_of_filter(spec.filter)
    if queue is not None:
        found = _queue_to_consume(front, queue)
        return found.refusal if isinstance(found, Refused) else None
    if spec.filter.startswith(SYS_PREFIX) and not topology.is_administrator(front.principal.user):
        return Refusal.ACCESS_REFUSED
    refused = topology.authorize(
        front.principal, Action.READ, exchange_resource(vhost_of(front), MQTT_EXCHANGE.decode())
    )
    return None if refused is None else refused.refusal


def _is_replayed(spec: SubscriptionSpec, new: bool) -> bool:
    """Retain Handling (MQTT 5 3.8.3.1); shared subscriptions are sent no retained messages (4.8.2), nor are queues'."""
    if queue_of_filter(spec.filter) is not None:
        return False
    return spec.share is None and (spec.retain_handling == 0 or (spec.retain_handling == 1 and new))


def _subscription(session: ClientSessionId, spec: SubscriptionSpec, id: int) -> Subscription:
    return Subscription(session, spec.filter, spec.share, spec.qos, spec.no_local, spec.retain_as_published, id)


def _queue_to_consume(front: ClientFront, name: QueueName) -> tuple[Shard, Queue] | Refused:
    found = look_up_queue(front, name, Action.READ)
    if not isinstance(found, Refused) and found[1].in_exclusive_use:
        return Refused(Refusal.ACCESS_REFUSED, f"{queue_resource(found[1].vhost, name)} in exclusive use")
    return found


def _begin_consuming(
    front: ClientFront,
    client: ClientSession,
    command: Subscribe,
    refusals: list[Refusal | None],
    done: Callable[[], None],
) -> None:
    """From the queues among the new subscriptions; ``refusals`` get those that went meanwhile."""
    asked = {spec.filter: index for index, spec in enumerate(command.subscriptions) if refusals[index] is None}
    new = [each for each in client.queue_subscriptions if each.filter in asked]
    left = len(new) + 1

    def answer(subscription: Subscription | None, refused: Refused | None) -> None:
        nonlocal left
        if subscription is not None and refused is not None:
            refusals[asked[subscription.filter]] = refused.refusal
            if client.attachment is not None:
                client.attachment.stop(subscription.filter)
            front.back.clients.drop_subscription(client, subscription)
        left -= 1
        if not left:
            done()

    for subscription in new:
        _consume(front, client, subscription, partial(answer, subscription))
    answer(None, None)


def resume_consuming(front: ClientFront, client: ClientSession) -> None:
    """The client is attached again.  With a queue that is gone its subscription goes; where its user may not consume
    now it waits for the next time."""

    def answer(subscription: Subscription, refused: Refused | None) -> None:
        if refused is not None and refused.refusal is Refusal.NOT_FOUND:
            front.back.clients.drop_subscription(client, subscription)

    for subscription in client.queue_subscriptions:
        _consume(front, client, subscription, partial(answer, subscription))


def _consume(
    front: ClientFront, client: ClientSession, subscription: Subscription, answer: Callable[[Refused | None], None]
) -> None:
    queue = subscription.queue
    assert queue is not None
    assert client.attachment is not None
    found = _queue_to_consume(front, queue)
    if isinstance(found, Refused):
        answer(found)
    else:
        client.attachment.start(subscription, *found, answer)


def unsubscribe(front: ClientFront, channel: Channel, command: Unsubscribe) -> None:
    client = front.client
    if client is None:
        return
    vhost = vhost_of(front)
    table = front.back.topology.subscription_table(vhost)
    there = [table.find(client.id, share, filter) for share, filter in command.filters]
    found = [subscription is not None for subscription in there]
    gone = tuple(subscription for subscription in there if subscription is not None)

    def answer(outcome: Outcome) -> None:
        client.receive_subscriptions(table.of_session(client.id))
        front.back.clients.announce(client)
        if front.client is client and client.attachment is not None:
            for subscription in gone:
                client.attachment.stop(subscription.filter)
        front.go_on(channel, lambda: front.say(Unsubscribed(found)))

    channel.waiting = True
    if gone:
        front.back.submit(DropSubscriptions(vhost, gone, client.durable), answer)
    else:
        front.go_on(channel, lambda: front.say(Unsubscribed(found)))
