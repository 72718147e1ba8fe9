"""An adapter with a core that keeps the order it promises and decides nothing: for laws about what is between a client
and a core.

What has an answer is answered in its order, whenever the test says so, by its success or by its refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from broker.model import client_sessions as cs
from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import ClientId
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import Grant, MqttDecoder, PacketIds, PublishEncoder
from protocols.adapter import Adapter
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packets import Connect, Pingreq
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import deliveries, publish, server_lines

V5 = Version.MQTT_5
PUBREC = 5
REFUSED_V3 = b"\x20\x02"
"""A CONNACK in MQTT 3: to a version that is not spoken."""
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
        """One by one, so that it is the same however they fell into runs."""
        said: list[Reply] = []
        for packet_id in command.packet_ids.to_list():
            one, none = PacketIds.of([packet_id]), PacketIds.of([])
            said.append(cs.Released(one, none) if packet_id in self.taken else cs.Released(none, one))
            self.taken.discard(packet_id)
        return said

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


SETTINGS = MqttSettings(receive_maximum=6, packet_size_max=5_000, topic_alias_maximum=3)


def opening(version: Version, **options: Any) -> bytes:
    return encode_packet(Connect(version, "c", **options), version)


class Connection:
    """An adapter between its decoder and a core, with all that it ever did."""

    def __init__(self, settings: MqttSettings = SETTINGS, *, answering: tuple[type, ...] = LOGIN) -> None:
        self.mqtt_decoder = MqttDecoder()
        self.decoder: Any = self.mqtt_decoder
        self.adapter: Adapter = MqttAdapter(
            self.mqtt_decoder, PublishEncoder(), settings, lambda: 0, loopback=True, now=0.0
        )
        self.core = CoreDouble()
        self.answering = answering
        self.commands: list[Command] = []
        self.output = b""
        self.closing = False

    def receive(self, data: bytes) -> None:
        if self.decoder.stopped:
            return  # it waits for what the core does not say
        self.adapter.receive_data(data, 0.0)
        self.settle()

    def say(self, said: Sequence[Reply]) -> None:
        self.adapter.receive_replies(said, 0.0)
        self.settle()

    def settle(self) -> None:
        """Goes on until nothing is to be done at once."""
        while True:
            ready = self.adapter.take_ready()
            self.commands += ready.commands
            self.output += b"".join(bytes(part) for part in ready.output)
            self.closing = ready.closing
            self.core.receive(ready.commands)
            if ready.resumed:
                self.adapter.receive_frames(self.decoder.resume(), 0.0)
            elif not self._answer():
                return

    def _answer(self) -> bool:
        """What holds back whatever follows is answered before what is left for the end."""
        pending = self.core.pending
        due = next((command for command in pending if isinstance(command, self.answering)), None)
        if due is None:
            return False
        pending.remove(due)
        pending.appendleft(due)
        self.adapter.receive_replies(self.core.answer(), 0.0)
        return True

    def finish(self) -> None:
        """The core answers all that is left."""
        while self.core.pending:
            self.say(self.core.answer())

    @property
    def version(self) -> Version:
        if self.mqtt_decoder.version:
            return Version(self.mqtt_decoder.version)
        return Version.MQTT_3_1_1 if self.output.startswith(REFUSED_V3) else V5


def flat(given_commands: list[Command]) -> list[Any]:
    """Commands with runs undone: only run lengths may differ."""
    result: list[Any] = []
    for command in given_commands:
        match command:
            case commands.Publish() | cs.PublishOnce():
                packet_ids = getattr(command, "packet_ids", None)
                tag = command.first_tag
                for index, row in enumerate(command.messages.rows()):
                    one = packet_ids.to_list()[index] if packet_ids is not None else None
                    result.append((type(command), tag and tag + index, one, row))
            case cs.Acknowledge():
                said = (cs.Acknowledge, command.kind, command.refused)
                result += [(*said, packet_id) for packet_id in command.packet_ids.to_list()]
            case cs.Release():
                result += [(cs.Release, packet_id) for packet_id in command.packet_ids.to_list()]
            case cs.AttachSession(will=will) if will is not None:
                result.append((command.client_id, command.expiry_s, will.delay_s, will.messages.rows()))
            case _:
                result.append(command)
    return result


def assert_same(cut: Connection, whole: Connection) -> None:
    assert flat(cut.commands) == flat(whole.commands)
    assert cut.output == whole.output
    assert cut.closing == whole.closing
    cut.finish()
    whole.finish()
    assert cut.output == whole.output
    assert cut.closing == whole.closing


def assert_well_behaved(connection: Connection) -> None:
    """What it says are whole packets that a server may send, and after its end it says and asks nothing more."""
    server_lines(connection.output, connection.version)
    if not connection.core.attached:
        assert all(isinstance(command, (*LOGIN, cs.DetachSession)) for command in connection.commands)
    if connection.closing:
        said, asked = connection.output, len(connection.commands)
        connection.receive(opening(V5) + publish(V5) + encode_packet(Pingreq(), V5))
        connection.say([replies.CloseConnection("no"), cs.SessionTaken()])
        connection.adapter.receive_timeout(1e9)
        connection.settle()
        assert connection.output == said
        assert len(connection.commands) == asked
