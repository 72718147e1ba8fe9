"""A client of MQTT: what it must remember across connections, it remembers; what it says, it says when it is its turn.

A publisher keeps what is in flight and sends it again; a subscriber keeps the QoS 2 packet ids that are not released.
Both answer late, and in order.
"""

from __future__ import annotations

import msgspec

from tests.simulation import mqtt_wire as wire
from tests.simulation.client import World
from tests.simulation.ledger import Broken
from tests.simulation.link import Link
from tests.simulation.link_end import LinkEnd
from tests.simulation.mqtt_ledger import Life, Message, MqttLedger
from tests.simulation.mqtt_wire import PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, Incoming, Packet
from tests.simulation.plan import RETAINED_TOPICS, MqttClientPlan

FAILED = 0x80
"""The least reason code that says something failed."""
UNKNOWN = 0x92
"""PUBCOMP's, of an id that is released already."""
TAKEN_OVER = 0x8E
LEAVING = (3, 0x88, 0x8B)
"""The broker is on its way out: 3.1.1's and 5's code in CONNACK, and DISCONNECT's."""
INFLIGHT_MAX = 8
IDS = 12
"""Packet ids are used again soon: a broker that remembers one too long is found out."""
SUBSCRIBE_ID = 100
QUIET_TURNS = 60
"""Without a message, after which the last one has been sent all that is retained."""


class MqttClient(LinkEnd[Packet]):
    """What publishers and subscribers have in common: a connection, and a session that outlives it."""

    protocol = "mqtt"

    def __init__(self, name: str, world: World, plan: MqttClientPlan) -> None:
        assert world.mqtt is not None
        self.name = name
        self.world = world
        self.plan = plan
        self.ledger: MqttLedger = world.mqtt
        self.deaf_until_us = 0
        self.open = False
        """CONNACK came."""
        self._incoming = Incoming(plan.version)
        self._acks: list[tuple[int, int]] = []
        """(packet type, packet id) to be sent, in order."""
        self._clean = False
        self._acknowledged = False
        """There is a session that the broker told of."""
        self._uncertain = False
        """Whether the session is the one that is known can't be told: the next one is asked for anew."""
        self._last_link: Link | None = None
        self._asked_ms = self._attached_ms = 0
        """When CONNECT was sent, and when one that was answered was: the session was not over then."""

    # ---- the connection

    @property
    def finished(self) -> bool:
        """It wants no more connection."""
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        return self.link is None and self.finished

    @property
    def wants_link(self) -> bool:
        return not self.world.healing or not self.finished

    def begin(self, link: Link) -> None:
        """It is connected, and says so."""
        if self._last_link is not None and self._uncertain:
            self._last_link.to_node.clear()  # what would end a session does not arrive after all
        self.link = self._last_link = link
        self._incoming = Incoming(self.plan.version)
        self.open = False
        self._acks.clear()
        plan, self._asked_ms = self.plan, self.world.now_ms()
        self._clean = not plan.durable or self._uncertain or (plan.expiry_s == 1 and self.world.random.random() < 0.1)
        if self._clean:
            self.lose_session()
        elif self._may_have_expired:
            self._uncertain = True  # if no answer comes to this
        self.send_bytes(wire.connect(plan.version, self.name, self._clean, plan.expiry_s, plan.receive_max))
        self._uncertain |= self._clean

    @property
    def _may_have_expired(self) -> bool:
        expiry_s = self.plan.expiry_s
        return expiry_s != wire.NEVER and self.world.now_ms() >= self._attached_ms + expiry_s * 1000

    def lose(self) -> None:
        """The connection is over, for whatever reason."""
        self.leave_link()
        self.open = False

    def _receive(self, packet: Packet) -> None:
        if packet.kind == wire.CONNACK:
            self._receive_connack(packet)
        elif packet.kind == wire.DISCONNECT:
            # An older connection's CONNECT may be read after this one's: whose the session is then, nobody knows.
            self.expect(packet.reason in (*LEAVING, TAKEN_OVER), "M10", f"DISCONNECT {packet.reason:#x}")
            self._uncertain |= packet.reason == TAKEN_OVER and self.plan.expiry_s != wire.NEVER
            self.lose()
        else:
            self.expect(self.open and not self.is_wrong(packet), "M10", packet)
            self.receive(packet)

    def is_wrong(self, packet: Packet) -> bool:
        """It says no for no reason."""
        return packet.reason >= FAILED and not (packet.kind == PUBCOMP and packet.reason == UNKNOWN)

    def _receive_connack(self, packet: Packet) -> None:
        if packet.reason in LEAVING:
            self.lose()
            return
        self.expect(not self.open and packet.reason == 0, "M10", packet)
        # What was told before the broker may have been gone for a while stays true for as long as it said.
        due = self._acknowledged and not self._clean and not self._may_have_expired
        self.expect(packet.present or not due, "M6", "session present false, of a session that goes on")
        self.expect(not (packet.present and self._clean), "M6", "session present after a clean start")
        self.world.trace.note(f"{self.name} is attached{', to the old session' * packet.present}")
        if not packet.present:
            self.lose_session()
        self.open = True
        self._uncertain = False
        self._acknowledged = self.plan.durable
        self._attached_ms = self._asked_ms
        self.resume()

    def expect(self, holds: bool, invariant: str, what: object) -> None:
        if not holds:
            raise Broken(invariant, f"{self.name}: {what}")

    def leave(self) -> None:
        """Says goodbye."""
        self.send_bytes(wire.disconnect())
        self.world.trace.note(f"{self.name} leaves")
        self.lose()

    def act(self) -> None:
        """Its turn: some of the answers it owes, and what it likes."""
        if not self.open:
            return
        random = self.world.random
        count = len(self._acks) if self.world.healing else random.randint(0, len(self._acks))
        for kind, packet_id in self._acks[:count]:
            self.send_bytes(wire.ack(kind, packet_id))
            self.answered(kind, packet_id)
        del self._acks[:count]
        if not self.world.healing and random.random() < 0.005:
            self.leave()
        else:
            self.go_on()

    # ---- of each kind

    def lose_session(self) -> None:
        """It is over, or is going to be."""
        self._acknowledged = False

    def resume(self) -> None:
        """Attached."""

    def receive(self, packet: Packet) -> None:
        raise NotImplementedError

    def answered(self, kind: int, packet_id: int) -> None:
        """An answer was sent."""

    def go_on(self) -> None:
        """What it does in its turn."""


class Sending(msgspec.Struct):
    message: Message
    released: bool = False
    """PUBREC came: it is PUBREL that is sent."""


class Publisher(MqttClient):
    """Publishes at all QoS; its session lasts for ever."""

    def __init__(self, name: str, world: World, plan: MqttClientPlan) -> None:
        super().__init__(name, world, plan)
        self._inflight: dict[int, Sending] = {}
        """By packet id, in the order in which they were sent."""
        self._next_id = 0
        self._places = {0: 0, 1: 0, 2: 0}

    @property
    def finished(self) -> bool:
        return self.world.healing and not self._inflight

    def lose_session(self) -> None:
        super().lose_session()
        self._inflight.clear()

    def resume(self) -> None:
        """All that is not acknowledged goes again, with its id ([MQTT-4.4.0-1])."""
        for packet_id, sending in self._inflight.items():
            if sending.released:
                self.send_bytes(wire.ack(PUBREL, packet_id))
            else:
                self._send(packet_id, sending.message, dup=True)

    def _send(self, packet_id: int, message: Message, dup: bool) -> None:
        message.send_count += 1
        self.send_bytes(
            wire.publish(
                self.plan.version, message.topic, message.body, message.qos, packet_id, dup=dup, retain=message.retain
            )
        )

    def receive(self, packet: Packet) -> None:
        sending = self._inflight.get(packet.packet_id)
        if sending is None:
            raise Broken("M4", f"{self.name} waits for nothing of the kind: {packet}")
        message = sending.message
        if packet.kind == PUBREC:
            self.expect(message.qos == 2, "M4", packet)
            sending.released = True
            self._acks.append((PUBREL, packet.packet_id))
        else:
            over = packet.kind == PUBACK if message.qos == 1 else packet.kind == PUBCOMP and sending.released
            self.expect(over, "M4", f"{packet} for {message.text}")
            del self._inflight[packet.packet_id]
        self.ledger.confirm(message)
        self.world.trace.note(f"{self.name} got {packet.kind} for {message.id} as {packet.packet_id}")

    def go_on(self) -> None:
        random = self.world.random
        if self.world.healing:
            if self.finished:
                self.leave()
        elif random.random() < 0.5:
            for _ in range(random.choice([1, 1, 3, 8])):
                if len(self._inflight) < INFLIGHT_MAX:
                    self._publish()

    def _publish(self) -> None:
        world, random = self.world, self.world.random
        qos = random.choice([0, 1, 1, 2, 2, 2])
        retain = qos > 0 and random.random() < 0.2
        topic = f"r/{self.name}/{qos}{random.randint(0, 1)}" if retain else f"m/{qos}/{self.name}"
        number = world.next_id()
        body = b"%d:" % number + b"." * random.randint(0, world.plan.body_size_max)
        if retain and random.random() < 0.2:
            body = b""  # nothing is retained any more
        self._places[qos] += 1
        message = Message(number, topic, qos, body, self.line_of(qos), self._places[qos], retain)
        message.bound = world.bound
        self.ledger.publish(message)
        packet_id = 0
        if qos:
            packet_id = self._free_id()
            self._inflight[packet_id] = Sending(message)
        self._send(packet_id, message, dup=False)
        world.trace.note(f"{self.name} publishes {number} to {topic} as {packet_id}{', empty' * (not body)}")

    def line_of(self, qos: int) -> str:
        """Within which messages of one QoS are in order."""
        return f"{self.name}/{qos}"

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % IDS + 1
            if self._next_id not in self._inflight:
                return self._next_id


class Subscriber(MqttClient):
    """Has what is published sent to it; its session lasts or not."""

    def __init__(self, name: str, world: World, plan: MqttClientPlan) -> None:
        super().__init__(name, world, plan)
        self._life: Life | None = None
        self._asked = False
        self._unreleased: dict[int, int] = {}
        """QoS 2 packet ids that were not released, and their messages' ids."""
        self._uncompleted: set[int] = set()
        """PUBREL came for these, and PUBCOMP was not sent."""
        self._unanswered: dict[int, int] = {}
        """Packet ids of this connection for which PUBACK or PUBCOMP is to be sent, and the messages' ids."""

    @property
    def finished(self) -> bool:
        return self.world.drained or (not self.plan.durable and self.world.healing)

    def lose_session(self) -> None:
        super().lose_session()
        if self._life is not None:
            self._life.ended = True
            self._life = None
        self._unreleased.clear()
        self._uncompleted.clear()

    def resume(self) -> None:
        self._unanswered.clear()
        self._asked = self._life is not None and self._life.since is not None
        if self._life is None:
            self._life = Life(self.name, self.plan.filters, self.plan.durable)
            self.ledger.lives.append(self._life)

    def go_on(self) -> None:
        if not self._asked:
            self._asked = True
            self.send_bytes(wire.subscribe(self.plan.version, SUBSCRIBE_ID, self.plan.filters))
        elif self.finished:
            if self.plan.durable:
                self.expect(not self._unreleased and not self._uncompleted, "M5", "PUBREL is owed in the end")
            self.leave()

    def receive(self, packet: Packet) -> None:
        if packet.kind == SUBACK:
            self._receive_suback(packet)
        elif packet.kind == wire.PUBLISH:
            self._receive_publish(packet)
        else:
            self.expect(packet.kind == PUBREL, "M10", packet)
            self._receive_pubrel(packet.packet_id)

    def _receive_suback(self, packet: Packet) -> None:
        assert self._life is not None
        granted = bytes(qos for _, qos in self.plan.filters)
        self.expect(packet.codes == granted, "M10", f"{packet}, not {granted!r}")
        self._life.since = self.world.last_id

    def _receive_publish(self, packet: Packet) -> None:
        if not packet.qos:
            if packet.body:
                self._take(packet)
            return
        packet_id = packet.packet_id
        self.expect(packet_id not in self._unanswered, "M4", f"{packet} while that id is in flight")
        self.expect(packet_id not in self._uncompleted, "M4", f"{packet} while that id is being released")
        number = int(packet.body.split(b":")[0]) if packet.body else 0
        self._unanswered[packet_id] = number
        self.expect(len(self._unanswered) <= self.plan.receive_max, "M9", f"{len(self._unanswered)} are in flight")
        self._acks.append((PUBREC if packet.qos == 2 else PUBACK, packet_id))
        if packet_id in self._unreleased:
            known = self._unreleased[packet_id]
            self.expect(packet.qos == 2 and known == number, "M4", f"{packet} with the id of message {known}")
            self.expect(packet.dup, "M4", f"{packet} comes again without DUP")
            return
        if packet.qos == 2:
            self._unreleased[packet_id] = number
        if packet.body:
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        life = self._life
        assert life is not None
        message = self.ledger.find(packet.topic, packet.body)
        self.world.trace.note(f"{self.name} got {message.id} as {packet.packet_id}{' again' * packet.dup}")
        self.keep(packet, message)
        if packet.retain:
            return
        if packet.qos and message.send_count == 1 and life.durable:
            before = life.ids.setdefault(message.id, packet.packet_id)
            self.expect(before == packet.packet_id, "M4", f"{message.text} came as {before} and {packet.packet_id}")
            self.expect(message.id not in life.seen or packet.dup, "M4", f"{message.text} came again without DUP")
        self.ledger.take(life, message, packet.qos)

    def keep(self, packet: Packet, message: Message) -> None:
        """Only the last one does."""
        self.expect(not packet.retain or message.retain, "M8", f"{message.text} came as a retained one")

    def _receive_pubrel(self, packet_id: int) -> None:
        if packet_id not in self._unanswered:
            self._unanswered[packet_id] = 0
            self.expect(len(self._unanswered) <= self.plan.receive_max, "M9", f"{len(self._unanswered)} are in flight")
        known = packet_id in self._unreleased or packet_id in self._uncompleted or not self.plan.durable
        self.world.trace.note(f"{self.name} got PUBREL {packet_id}{'' if known else ', known to the broker alone'}")
        self._unreleased.pop(packet_id, None)
        self._uncompleted.add(packet_id)
        self._acks.append((PUBCOMP, packet_id))

    def answered(self, kind: int, packet_id: int) -> None:
        if kind in (PUBACK, PUBCOMP):
            self._unanswered.pop(packet_id, None)
            self._uncompleted.discard(packet_id)


class Latecomer(Subscriber):
    """Subscribes when everything is over, to what is retained."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world, MqttClientPlan(wire.V5, durable=False, expiry_s=0, filters=[("r/#", 2)]))
        self._quiet = 0
        self._satisfied = False

    @property
    def finished(self) -> bool:
        return self._satisfied

    def keep(self, packet: Packet, message: Message) -> None:
        self._quiet = 0
        self.expect(packet.retain and message.topic.startswith(RETAINED_TOPICS), "M7", f"{message.text} came late")
        self.expect(message.topic not in self.ledger.retained, "M7", f"two are retained for {message.topic}")
        self.ledger.retained[message.topic] = message

    def go_on(self) -> None:
        super().go_on()
        self._quiet += self._life is not None and self._life.since is not None
        if self._quiet > QUIET_TURNS and not self._satisfied:
            self._satisfied = True
