"""A core that keeps the order it promises and decides nothing: for laws about an adapter between a client and a core.

What has an answer is answered in its order, whenever the test says so, by its success or by its refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from broker.model import client_sessions as cs
from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import ClientId
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import Grant, PacketIds
from tests.protocols.mqtt.conversation import deliveries

PUBREC = 5
LOGIN = (
    commands.Authenticate,
    cs.AuthenticateAnonymous,
    commands.BeginScram,
    commands.ContinueScram,
    commands.OpenVhost,
    cs.AttachSession,
)
"""What must be answered before the client is listened to."""
ANSWERS: dict[type, Callable[[Any], Reply]] = {
    commands.Authenticate: lambda c: replies.Authenticated(),
    cs.AuthenticateAnonymous: lambda c: replies.Authenticated(),
    commands.BeginScram: lambda c: replies.ScramChallenge(b"r=x,s=eA==,i=4096"),
    commands.ContinueScram: lambda c: replies.Authenticated(b"v=x"),
    commands.OpenVhost: lambda c: replies.VhostOpened(),
    cs.AttachSession: lambda c: cs.SessionAttached(c.client_id or ClientId("auto-1"), False),
}


class CoreDouble:
    """Answers commands."""

    def __init__(self) -> None:
        self.pending: deque[Command] = deque()
        self.attached = False
        self.taken: set[int] = set()
        self._next_id = 1
        self._special: dict[type, Callable[[Any, Refusal | None], list[Reply]]] = {
            commands.Publish: self._publish,
            cs.PublishOnce: self._publish_once,
            cs.Release: self._release,
            cs.Acknowledge: self._acknowledge,
            cs.Subscribe: lambda c, refusal: [cs.Subscribed([refusal] * len(c.subscriptions))],
            cs.Unsubscribe: lambda c, refusal: [cs.Unsubscribed([refusal is None] * len(c.filters))],
            cs.DetachSession: lambda c, refusal: [],
        }

    def receive(self, received: list[Command]) -> None:
        self.pending += received

    def answer(self, refusal: Refusal | None = None) -> list[Reply]:
        """What is said to the next command."""
        command = self.pending.popleft()
        answer = self._special.get(type(command))
        if answer is not None:
            return answer(command, refusal)
        if refusal is not None:
            return [replies.Refuse(cs.NO_CHANNEL, refusal, "no")]
        self.attached = self.attached or isinstance(command, cs.AttachSession)
        return [ANSWERS[type(command)](command)]

    def _publish(self, command: commands.Publish, refusal: Refusal | None) -> list[Reply]:
        return self._settle(command.first_tag, command.messages.count, refusal) if command.first_tag else []

    def _publish_once(self, command: cs.PublishOnce, refusal: Refusal | None) -> list[Reply]:
        if refusal is None:
            self.taken.update(command.packet_ids.to_list())
        return self._settle(command.first_tag, command.messages.count, refusal)

    def _settle(self, first_tag: int, count: int, refusal: Refusal | None) -> list[Reply]:
        tags = [(first_tag, first_tag + count - 1)]
        if refusal is None:
            return [replies.Confirm(cs.NO_CHANNEL, tags)]
        return [replies.Reject(cs.NO_CHANNEL, tags, refusal)]

    def _release(self, command: cs.Release, refusal: Refusal | None) -> list[Reply]:
        ids = list(dict.fromkeys(command.packet_ids.to_list()))
        known = [packet_id for packet_id in ids if packet_id in self.taken]
        unknown = [packet_id for packet_id in ids if packet_id not in self.taken]
        self.taken.difference_update(known)
        return [cs.Released(PacketIds.of(known), PacketIds.of(unknown))]

    def _acknowledge(self, command: cs.Acknowledge, refusal: Refusal | None) -> list[Reply]:
        return [cs.ReleaseDue(command.packet_ids, PacketIds.of([]))] if command.kind == PUBREC else []

    def deliver(self, qos: int, count: int) -> list[Reply]:
        """Deliveries that nobody asked for just now; before anybody is there, there are none."""
        if not self.attached or not count:
            return []
        run = deliveries(*["x" * 10] * count, qos=qos)
        packet_ids = None
        if qos:
            packet_ids = PacketIds.of([(self._next_id + number - 1) % 65_535 + 1 for number in range(count)])
            self._next_id += count
        return [cs.DeliverPublishes(run, packet_ids, Grant(qos, False, [1]))]
