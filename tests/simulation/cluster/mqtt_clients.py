"""MQTT's clients in a cluster: those of one node's simulation, who go to another node when theirs is gone or silent.

What lasts of theirs lasts for ever: a CONNECT that would end a session may be under way between nodes while its client
has long come to another one, and whose session it then is nobody can tell.
"""

from __future__ import annotations

from typing import TypeAlias

from tests.simulation.cluster.ledger import ClusterClient
from tests.simulation.cluster.stomp_client import StompClient
from tests.simulation.link import Link
from tests.simulation.mqtt_client import Latecomer, MqttClient, Publisher, Subscriber
from tests.simulation.mqtt_wire import PUBACK, PUBREC, Packet

QUOTA_EXCEEDED = 0x97
"""What a change of leaders may have rejected, or a leader that was lost has, is refused so."""


class Wandering(MqttClient):
    """Knows where it is, and how long it has waited there."""

    node = ""
    waits_since_us = 0
    waits_to_act = False
    """It goes on while it waits, as MQTT has no turns."""

    def begin(self, link: Link) -> None:
        super().begin(link)
        self.waits_since_us = self.world.trace.now_us

    def read(self, size: int) -> None:
        self.waits_since_us = self.world.trace.now_us
        super().read(size)

    @property
    def waits(self) -> bool:
        """For an answer."""
        return self.link is not None and not self.open


class ClusterPublisher(Publisher, Wandering):
    """One that publishes."""

    refused_count = 0
    _link_count = 0

    def begin(self, link: Link) -> None:
        self._link_count += 1
        super().begin(link)

    @property
    def waits(self) -> bool:
        return super().waits or (self.link is not None and bool(self._inflight))

    def line_of(self, qos: int) -> str:
        """What is sent once at most may be overtaken by what a later connection sends at another node."""
        return f"{super().line_of(qos)}#{self._link_count}" if not qos else super().line_of(qos)

    def go_on(self) -> None:
        if not self._inflight:
            self.waits_since_us = self.world.trace.now_us
        super().go_on()

    def is_wrong(self, packet: Packet) -> bool:
        refused = packet.kind in (PUBACK, PUBREC) and packet.reason == QUOTA_EXCEEDED
        return not refused and super().is_wrong(packet)

    def receive(self, packet: Packet) -> None:
        sending = self._inflight.get(packet.packet_id)
        if packet.reason == QUOTA_EXCEEDED and sending is not None and not sending.released:
            self.refused_count += 1
            self.world.trace.note(f"{self.name} is refused {sending.message.id}")
            del self._inflight[packet.packet_id]
            return
        super().receive(packet)


class ClusterSubscriber(Subscriber, Wandering):
    """One that is sent messages."""

    @property
    def waits(self) -> bool:
        subscribes = self._asked and (self._life is None or self._life.since is None)
        return super().waits or (self.link is not None and subscribes)

    def go_on(self) -> None:
        if not self._asked:
            self.waits_since_us = self.world.trace.now_us
        super().go_on()


class ClusterLatecomer(Latecomer, ClusterSubscriber):
    """The last one, who looks at what is retained."""


AnyClient: TypeAlias = ClusterClient | ClusterPublisher | ClusterSubscriber | ClusterLatecomer | StompClient
