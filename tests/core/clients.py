"""Clients of a node's core, with sessions: what they say and what they are told, in short."""

from __future__ import annotations

from typing import Protocol

from broker.core.broker import Broker
from broker.core.session import Session
from broker.model import client_sessions as cs
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import ClientId, UserName, VhostName
from kernel import FLAG_EXACTLY_ONCE, FLAG_PERSISTENT, FLAG_RETAIN, ORIGIN_MQTT, MessageRun, PacketIds

PUBACK, PUBREC, PUBCOMP = 4, 5, 7
FLAGS = (0, FLAG_PERSISTENT, FLAG_PERSISTENT | FLAG_EXACTLY_ONCE)


def published(
    *bodies: str, topic: str = "t", qos: int = 1, retain: bool = False, expiry_ms: int | None = None
) -> MessageRun:
    flags = FLAGS[qos] | (FLAG_RETAIN if retain else 0)
    rows = [(b"amq.topic", topic.encode(), b"", body.encode(), flags, expiry_ms) for body in bodies]
    return MessageRun.of(0, rows, ORIGIN_MQTT)


class Home(Protocol):
    """A node that clients connect to."""

    @property
    def broker(self) -> Broker: ...

    def run(self) -> None:
        """Until nothing more comes of what was said."""


class Client:
    """One connection of a client."""

    def __init__(self, node: Home, client_id: str = "c", user: str = "guest") -> None:
        self.node = node
        self.client_id = ClientId(client_id)
        self.session: Session = node.broker.open_session()
        self.session.submit([cs.AuthenticateAnonymous(UserName(user)), c.OpenVhost(VhostName("/"))])
        self.replies: list[r.Reply] = []
        self.sent: list[tuple[int | None, str]] = []
        """Packet id (None: QoS 0) and body of what was delivered."""
        self.next_tag = 1

    def run(self) -> list[r.Reply]:
        """What came since the last time."""
        self.node.run()
        replies = self.session.take_replies()
        for reply in replies:
            if isinstance(reply, cs.DeliverPublishes):
                count = reply.deliveries.count
                ids: list[int | None] = [None] * count
                if reply.packet_ids is not None:
                    ids = [*reply.packet_ids.to_list()]
                bodies = [reply.deliveries.body(index).decode() for index in range(count)]
                self.sent += zip(ids, bodies, strict=True)
        self.replies += replies
        return replies

    def ask(self, *commands: c.Command) -> list[r.Reply]:
        self.session.submit(commands)
        return self.run()

    def attach(
        self, clean: bool = True, expiry_s: int = 0, receive_max: int = 100, will: cs.Will | None = None
    ) -> bool:
        """Whether there was a session."""
        replies = self.ask(cs.AttachSession(self.client_id, clean, expiry_s, receive_max, will))
        attached = [reply for reply in replies if isinstance(reply, cs.SessionAttached)]
        assert len(attached) == 1, replies
        return attached[0].present

    def subscribe(self, filter: str = "t", qos: int = 1, id: int = 0, **options: object) -> None:
        spec = cs.SubscriptionSpec(filter, qos, **options)  # type: ignore[arg-type]
        replies = self.ask(cs.Subscribe([spec], id))
        assert any(isinstance(reply, cs.Subscribed) and reply.refusals == [None] for reply in replies), replies

    def publish(self, *bodies: str, topic: str = "t", qos: int = 1, retain: bool = False) -> list[r.Reply]:
        tag = self.next_tag if qos else 0
        self.next_tag += len(bodies)
        return self.ask(c.Publish(cs.NO_CHANNEL, published(*bodies, topic=topic, qos=qos, retain=retain), tag))

    def publish_once(self, body: str, packet_id: int, topic: str = "t") -> list[r.Reply]:
        tag = self.next_tag
        self.next_tag += 1
        messages = published(body, topic=topic, qos=2)
        return self.ask(cs.PublishOnce(messages, PacketIds.of([packet_id]), tag))

    def acknowledge(self, *packet_ids: int, kind: int = PUBACK) -> list[r.Reply]:
        return self.ask(cs.Acknowledge(kind, PacketIds.of(packet_ids)))

    def take_sent(self) -> list[tuple[int | None, str]]:
        self.run()
        sent, self.sent = self.sent, []
        return sent

    def bodies(self) -> list[str]:
        return [body for _, body in self.take_sent()]

    def detach(self, send_will: bool = False, expiry_s: int | None = None) -> None:
        self.session.submit([cs.DetachSession(send_will, expiry_s)])
        self.lose()

    def lose(self) -> None:
        """The connection is gone."""
        self.node.broker.close_session(self.session)
        self.node.run()
