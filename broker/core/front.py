"""What the parts of a front know of their session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from broker.core.back import Back
from broker.core.channel import Channel, weight_of
from broker.core.client_session import ClientSession
from broker.core.consumer import Consumer, Outlet
from broker.core.outcomes import Refused
from broker.core.permissions import Principal
from broker.core.queue import Queue
from broker.core.replicated_shard import ReplicatedShard
from broker.core.scram import ScramExchange
from broker.core.shard import Shard
from broker.core.traffic import Traffic
from broker.model.client_sessions import AttachSession
from broker.model.commands import Command, Publish
from broker.model.names import SessionId, VhostName
from broker.model.replies import Reply
from kernel import MessageRun

Finish = Callable[[], None]


class Front(Outlet, Protocol):
    """A session, as its commands' handlers use it."""

    back: Back
    id: SessionId
    closed: bool
    """The connection is gone."""
    principal: Principal | None
    vhost: VhostName | None
    scram: ScramExchange | None
    """The login that has begun."""

    traffic: Traffic
    """Where its messages are counted."""
    held_count: int
    """What its channels hold back, by ``weight_of``."""

    def say(self, reply: Reply) -> None:
        """Owes the connection a reply."""

    def refuse(self, channel: Channel, refused: Refused) -> None:
        """Owes the connection a no."""

    def wait(self, channel: Channel, shard: Shard, number: int, finish: Finish) -> None:
        """Holds the channel's later commands until the shard has applied ``number``; then finishes."""

    def go_on(self, channel: Channel, finish: Finish) -> None:
        """What the channel waited for has happened."""

    def wait_for_settles(self, channels: Sequence[Channel], finish: Finish) -> None:
        """Finishes once what the channels settled before is committed."""


class ClientFront(Front, Protocol):
    """A session, as its client's handlers use it."""

    room: int
    client: ClientSession | None
    """What the client is attached to."""
    unconfirmed: int
    says_again: bool
    """Its client publishes again itself what was not confirmed, wherever it comes next, before anything else."""

    @property
    def given_up(self) -> bool:
        """Such a client has gone."""

    def begin_relay(self, shard: ReplicatedShard, command: AttachSession) -> None:
        """Its client's session is, or will be, in a shard that another node leads."""

    def owe(self, channel: Channel) -> None:
        """The channel has confirms or rejects to send."""

    def publish(self, channel: Channel, command: Publish) -> None:
        """Routes a run."""

    def admit_keys(self, messages: MessageRun) -> Refused | None:
        """Why some of these may not be published; None: all may."""

    def admitted_parts(self, messages: MessageRun) -> Iterator[tuple[int, MessageRun, Refused | None]]:
        """What may be published and what may not, in turns: where in the run it begins, and why not."""

    def lose_client_leader(self) -> None:
        """Its client session is led by another node now."""

    def lose_client(self) -> None:
        """Its client session is another's now, or gone."""


def hold_until_routing(front: Front, channel: Channel, command: Command) -> None:
    """Does it, and what the channel says later, once the node may route again: it is told to keep still while others
    may know of changes of the topology that it doesn't."""
    channel.hold_first(command)
    front.held_count += weight_of(command)
    when_routing(front, channel, lambda: None)


def when_routing(front: Front, channel: Channel, finish: Finish) -> None:
    """Finishes once the node may route again; the channel waits."""
    channel.waiting = True
    front.back.when_routing(channel, lambda: front.go_on(channel, finish))


def refuse_when_routing(front: Front, channel: Channel, refused: Refused, again: Finish) -> None:
    """A no by the topology.  The others may know better while the node is told to keep still: then it does all of it
    ``again`` once it is not."""
    if front.back.routing:
        front.refuse(channel, refused)
    else:
        when_routing(front, channel, again)


def when_arrived(front: Front, channel: Channel, shard: Shard, queue: Queue, finish: Finish) -> None:
    """Finishes once the queue has all that the channel published before.

    In RabbitMQ a channel's words reach a queue in order, so whoever looks after publishing sees the message.
    """
    if queue.under_way_count:
        front.wait(channel, shard, shard.barrier(), finish)
    else:
        finish()


def end_consumer(front: Front, channel: Channel, consumer: Consumer) -> None:
    """It leaves its queue; what it was delivered stays to be settled."""
    del channel.consumers[consumer.tag]
    front.back.remove_consumer(consumer)
