"""What concerns a queue that another node leads is asked there, and its answer said as if it had been done here."""

from __future__ import annotations

import msgspec

from broker.core.channel import Channel
from broker.core.forward_words import AskedCommand, AskedReply, RetainedPage
from broker.core.front import Front
from broker.core.outcomes import Refused
from broker.core.replicated_shard import ReplicatedShard
from broker.core.shard import Shard
from broker.model import commands as c
from broker.model import replies as r
from broker.model.commands import Outcome
from broker.model.names import DeliveryTag

GETTER = 0
"""The consumer number of what basic.get fetched."""
NOTHING_HELD = (0, 0, 0)
"""What a message got without an acknowledgement leaves to be settled."""


def led_elsewhere(front: Front, shard: Shard) -> bool:
    """What concerns its queues is to be asked of another node, or waits until one leads; or until its own clients of
    before have claimed what they hold."""
    return front.back.forwarding is not None and not shard.hands_out


def ask_leader(front: Front, channel: Channel, shard: Shard, command: AskedCommand) -> None:
    """The queue's leader does it and answers; the channel waits."""
    forwarding = front.back.forwarding
    assert forwarding is not None
    assert isinstance(shard, ReplicatedShard)
    assert front.principal is not None
    assert front.vhost is not None
    channel.waiting = True

    def answer(reply: AskedReply, got: list[tuple[int, int, int]]) -> None:
        if channel.closed:
            for queue_id, first, last in got:
                front.back.settle(queue_id, first, last, Outcome.REQUEUED)
        front.go_on(channel, lambda: _pass_on(front, channel, command, reply, got))

    forwarding.front.ask(shard, front.id, front.principal.user, front.vhost, command, answer)


def _pass_on(
    front: Front, channel: Channel, command: AskedCommand, reply: AskedReply, got: list[tuple[int, int, int]]
) -> None:
    assert not isinstance(reply, RetainedPage)
    if isinstance(reply, r.Refuse):
        front.refuse(channel, Refused(reply.refusal, reply.detail))
    elif isinstance(reply, r.Got) and isinstance(command, c.Get):
        queue_id, first, last = got[0] if got else NOTHING_HELD
        tag = channel.unsettled.push(GETTER, queue_id, [(first, last)], not command.no_ack)
        front.traffic.sent += 1
        front.traffic.sent_size += reply.deliveries.size
        front.say(r.Got(channel.number, DeliveryTag(tag), reply.deliveries, reply.message_count))
    else:
        front.say(msgspec.structs.replace(reply, channel=channel.number))
