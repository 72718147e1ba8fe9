"""Stands for a session of another node: does one of its commands about a queue that is led here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from broker.core.channel import Channel
from broker.core.consumer import UNBOUNDED, Consumer
from broker.core.forward_words import AskedCommand, AwaitMoves, LookUpRetained, RetainedPage
from broker.core.front import Finish
from broker.core.outcomes import Refused
from broker.core.permissions import Principal
from broker.core.scram import ScramExchange
from broker.core.shard import Shard
from broker.core.traffic import Traffic
from broker.core.waiter import Waiter
from broker.model import replies as r
from broker.model.names import Channel as ChannelNumber
from broker.model.names import SessionId, UserName, VhostName
from kernel import DeliveryRun

if TYPE_CHECKING:
    from broker.core.back import Back

Answered = Callable[[Any, list[tuple[int, int, int]]], None]
"""The reply, and what was got: (queue, first, last)."""
DOING: dict[type[AskedCommand], Callable[[Any, Channel, Any], None]] = {}
"""What may be asked of a leader; what sessions do as well ``session.py`` puts there."""


class Agent:
    """A front for as long as one command takes."""

    def __init__(self, back: Back, id: SessionId, user: UserName, vhost: VhostName, answer: Answered) -> None:
        self.back = back
        self.id = id
        self.closed = False
        self.principal: Principal | None = Principal(user)
        self.vhost: VhostName | None = vhost
        self.scram: ScramExchange | None = None
        self.traffic = Traffic()
        """Its own node counts."""
        self.room = UNBOUNDED
        self._answer = answer
        self._channel: Channel | None = None

    def do(self, command: AskedCommand) -> None:
        self._channel = Channel(ChannelNumber(getattr(command, "channel", 0)))
        DOING[type(command)](self, self._channel, command)

    def say(self, reply: r.Reply | RetainedPage) -> None:
        assert self._channel is not None
        got = [(queue_id, first, last) for _, queue_id, first, last in self._channel.unsettled.take_all()]
        self._answer(reply, got)

    def refuse(self, channel: Channel, refused: Refused) -> None:
        self.say(r.Refuse(channel.number, refused.refusal, refused.detail))

    def wait(self, channel: Channel, shard: Shard, number: int, finish: Finish) -> None:
        shard.when_applied(number, Waiter(finish))

    def go_on(self, channel: Channel, finish: Finish) -> None:
        finish()

    def wait_for_settles(self, channels: Sequence[Channel], finish: Finish) -> None:
        """It has settled nothing."""
        finish()

    def deliver(
        self, consumer: Consumer, deliveries: DeliveryRun, sequences: list[tuple[int, int]], count: int, size: int
    ) -> None:
        raise AssertionError("an agent consumes nothing")

    def starve(self, consumer: Consumer) -> None:
        raise AssertionError("an agent consumes nothing")

    def lose_consumer(self, consumer: Consumer) -> None:
        raise AssertionError("an agent consumes nothing")

    def channel_credit(self, consumer: Consumer) -> int:
        return UNBOUNDED


def look_up_retained(agent: Agent, channel: Channel, command: LookUpRetained) -> None:
    """A page of a vhost's retained messages, for another node's lookup (``far_retained.py``)."""
    assert agent.vhost is not None
    agent.back.retained.of(agent.vhost).look_up_page(command.filter.encode(), command.place, agent.say)


def await_moves(agent: Agent, channel: Channel, command: AwaitMoves) -> None:
    """For a transaction whose messages wait in an outbox here."""
    shard = agent.back.logged_shard(command.of)
    outbox = agent.back.find_outbox(shard, command.outbox)

    def moved() -> None:
        agent.say(r.Done(channel.number))

    if outbox is None:
        moved()
    else:
        outbox.when_moved(shard.kernel.next_sequence(command.outbox), moved)


DOING[LookUpRetained] = look_up_retained
DOING[AwaitMoves] = await_moves
