"""A core that keeps the order it promises and decides nothing: for laws about an adapter between a client and a core.

Commands of one channel are answered in their order, whenever the test says so, each by its success or by a Refuse.
"""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import Channel, ConsumerTag, DeliveryTag, QueueName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from tests.protocols.amqp.conversation import deliveries

ANSWERS: dict[type, Callable[[Any], Reply]] = {
    commands.Authenticate: lambda c: replies.Authenticated(),
    commands.OpenVhost: lambda c: replies.VhostOpened(),
    commands.CloseSession: lambda c: replies.SessionClosed(),
    commands.CloseChannel: lambda c: replies.ChannelClosed(c.channel),
    commands.DeclareExchange: lambda c: replies.Done(c.channel),
    commands.DeleteExchange: lambda c: replies.Done(c.channel),
    commands.Bind: lambda c: replies.Done(c.channel),
    commands.Unbind: lambda c: replies.Done(c.channel),
    commands.DeclareQueue: lambda c: replies.QueueDeclared(c.channel, c.spec.name or QueueName("amq.gen-1"), 0, 0),
    commands.DeleteQueue: lambda c: replies.QueueDeleted(c.channel, 0),
    commands.PurgeQueue: lambda c: replies.QueuePurged(c.channel, 0),
    commands.Consume: lambda c: replies.ConsumerStarted(c.channel, c.consumer_tag or ConsumerTag("amq.ctag-1")),
    commands.Cancel: lambda c: replies.ConsumerCancelled(c.channel, c.consumer_tag),
    commands.Get: lambda c: replies.GotNothing(c.channel),
    commands.Recover: lambda c: replies.Done(c.channel),
}
UNANSWERED = (commands.OpenChannel, commands.SetChannelCredit, commands.Publish, commands.Settle)
SURE = (commands.CloseSession, commands.CloseChannel)
"""Commands that are never refused."""


class CoreDouble:
    """Answers commands; what is on its way to a channel that was closed meanwhile still comes, as from a real core."""

    def __init__(self) -> None:
        self.pending: dict[int, deque[Command]] = defaultdict(deque)
        self._delivery_tags: dict[int, itertools.count[int]] = {}

    def receive(self, received: list[Command]) -> None:
        for command in received:
            self.pending[getattr(command, "channel", 0)].append(command)

    @property
    def busy(self) -> list[int]:
        """Channels with something to answer."""
        return sorted(number for number, waiting in self.pending.items() if waiting)

    def answer(self, number: int, *, refuse: bool = False) -> list[Reply]:
        """The next command of a channel."""
        command = self.pending[number].popleft()
        channel = Channel(number)
        if isinstance(command, commands.OpenChannel):
            self._delivery_tags[number] = itertools.count(1)
            return []
        if isinstance(command, commands.CloseChannel):
            self._delivery_tags.pop(number, None)
        if refuse and not isinstance(command, (*SURE, commands.SetChannelCredit)):
            return [replies.Refuse(channel, Refusal.NOT_FOUND, "nothing of that name")]
        if isinstance(command, commands.Publish) and command.first_tag:
            return [replies.Confirm(channel, [(command.first_tag, command.first_tag + command.messages.count - 1)])]
        return [] if isinstance(command, UNANSWERED) else [ANSWERS[type(command)](command)]

    def deliver(self, number: int) -> list[Reply]:
        """A delivery that nobody asked for just now."""
        tags = self._delivery_tags.get(number)
        if tags is None:
            return []
        tag = DeliveryTag(next(tags))
        return [replies.Deliver(Channel(number), ConsumerTag("t"), tag, deliveries("body"))]
