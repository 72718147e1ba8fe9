"""Packet ids at the front: what is taken once, what is released, what the client has.

Of a durable session every step is in its shard's log before the next one is taken: message and id in one wave, the
release, the settle with the release that is owed.  Of any other it is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from operator import not_

from broker.core import client_states as s
from broker.core.channel import Channel, Publication
from broker.core.client_session import PUBACK, PUBREC, ClientSession
from broker.core.front import ClientFront, hold_until_routing
from broker.core.outbox import CLIENT_OUTBOX_BASE
from broker.model import commands as c
from broker.model.client_sessions import NO_IDS, Acknowledge, PublishOnce, Release, Released, ReleaseDue
from broker.model.replies import Reject, TagRange
from kernel import MessageRun, PacketIds

TAKEN_MAX = 1000
"""Ids of a session that are not released, after which more are rejected (mqtt.md section 4)."""


def publish_once(front: ClientFront, channel: Channel, command: PublishOnce) -> None:
    client = front.client
    if client is None:
        return
    if not front.back.routing and not (client.durable and not client.no_local):
        hold_until_routing(front, channel, command)
        return
    ids = command.packet_ids.to_list()
    taken = client.taken
    if taken.keys().isdisjoint(ids) and len(taken) + len(ids) <= TAKEN_MAX and len(set(ids)) == len(ids):
        _take(front, channel, client, command.messages, ids, command.first_tag)
        return
    # Rare: some of them came before, or there are too many.
    for index, packet_id in enumerate(ids):
        tag = command.first_tag + index
        if packet_id in taken:
            _confirm_when_safe(front, channel, client, tag)
        elif len(taken) >= TAKEN_MAX:
            channel.rejected.append((tag, tag))
            front.owe(channel)
        else:
            one = command.messages.before(index + 1).after(index)
            _take(front, channel, client, one, [packet_id], tag)


def _take(
    front: ClientFront, channel: Channel, client: ClientSession, messages: MessageRun, ids: list[int], first_tag: int
) -> None:
    if front.admit_keys(messages) is not None:
        for start, part, refused in front.admitted_parts(messages):
            tag, end = first_tag + start, start + part.count
            if refused is None:
                _take(front, channel, client, part, ids[start:end], tag)
            else:
                front.say(Reject(channel.number, [(tag, tag + part.count - 1)], refused.refusal))
        return
    client.taken.update(dict.fromkeys(ids))
    if not client.durable or client.no_local:
        # Without Local the messages' publisher must be known where they are routed: not behind an outbox.
        front.publish(channel, c.Publish(channel.number, messages, first_tag))
        if client.durable:
            client.propose(s.TakenIn(client.id, ids))
        return
    outbox = front.back.outbox(client.shard, client.row.vhost, CLIENT_OUTBOX_BASE)
    number = client.accept(messages, outbox, s.TakenIn(client.id, ids))
    _owe(front, channel, client, number, (first_tag, first_tag + len(ids) - 1))


def _confirm_when_safe(front: ClientFront, channel: Channel, client: ClientSession, tag: int) -> None:
    """It was taken before, and that is safe once what was proposed so far is."""
    if client.durable:
        _owe(front, channel, client, client.shard.barrier(), (tag, tag))
    else:
        channel.confirm([(tag, tag)])
        front.owe(channel)


def _owe(front: ClientFront, channel: Channel, client: ClientSession, number: int, tags: TagRange) -> None:
    front.unconfirmed += 1
    client.when_logged(number, Publication(front, channel, [tags], 1).applied)


def release(front: ClientFront, channel: Channel, command: Release) -> None:
    client = front.client
    if client is None:
        return
    ids = command.packet_ids.to_list()
    there = [client.taken.pop(packet_id, 0) is None for packet_id in ids]
    known = list(compress(ids, there))
    # One that comes twice is unknown then, and each is answered.
    unknown = NO_IDS if all(there) else PacketIds.of(list(compress(ids, map(not_, there))))
    reply = Released(PacketIds.of(known), unknown)
    if not client.durable:
        front.say(reply)
        return
    # What is unknown may be on its way to be released: PUBCOMP says that the id is free, also after a crash.
    number = client.propose(s.Released(client.id, known)) if known else client.shard.barrier()
    client.when_logged(number, lambda: front.say(reply))


def acknowledge(front: ClientFront, channel: Channel, command: Acknowledge) -> None:
    client = front.client
    if client is None or client.attachment is None:
        return
    before = client.inflight.outstanding
    ranges, foreign, unknown = client.inflight.acknowledge(command.packet_ids, command.kind)
    outcome = c.Outcome.REJECTED if command.refused else c.Outcome.ACCEPTED
    for queue_id, first, last in foreign:
        front.back.settle(queue_id, first, last, outcome)
        client.attachment.settled(queue_id, first, last)
    if command.kind == PUBREC:
        _receive(front, client, command.packet_ids, ranges, unknown)
    elif command.kind == PUBACK:
        client.settle(ranges)
    elif client.durable:
        client.propose(s.Completed(client.id, command.packet_ids.to_list()))
    if client.inflight.outstanding < before:
        client.attachment.send_more()


def _receive(
    front: ClientFront,
    client: ClientSession,
    packet_ids: PacketIds,
    ranges: Iterable[tuple[int, int]],
    unknown: list[int],
) -> None:
    client.settle(list(ranges))
    received = packet_ids
    if unknown:
        strange = set(unknown)
        received = PacketIds.of([packet_id for packet_id in packet_ids.to_list() if packet_id not in strange])
    reply = ReleaseDue(received, PacketIds.of(unknown))
    if not client.durable or not len(received):
        front.say(reply)
        return
    number = client.propose(s.Received(client.id, received.to_list()))
    client.when_logged(number, lambda: front.say(reply))
