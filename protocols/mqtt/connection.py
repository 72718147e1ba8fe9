"""The MQTT adapter, for 3.1, 3.1.1 and 5: one connection's frames to commands, replies to bytes.

Laws: however the bytes are cut, the commands and the output are the same; no bytes whatever raise anything out of it.
What a packet does in a state stands in one table (``PACKETS``), what a reply does in another (``REPLIES``).  Publishes
and acknowledgements pass in runs; nothing here loops over one.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import kernel
from broker.model import client_sessions as cs
from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import UserName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import FLAG_RETAIN, MessageRun, MqttDecoder, PacketIds, PublishEncoder, TopicAliases, encode_acks
from protocols.adapter import Frame, Output, Ready
from protocols.mqtt.authenticating import Authentication
from protocols.mqtt.connecting import Agreement, accepted, agree, attach_command, login_of, session_expiry
from protocols.mqtt.packet_codec import PACKET_SIZE_MAX, decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType
from protocols.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Subscribe,
    Unsubscribe,
)
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import CARRIERS, RETURN_CODES, ReasonCode
from protocols.mqtt.refusals import reason_for
from protocols.mqtt.settings import CONNECT_SIZE_MAX, KEEP_ALIVE_FACTOR, MqttSettings
from protocols.mqtt.subscribing import Asked, read_subscribe, read_unsubscribe, suback, unsuback
from protocols.mqtt.unacknowledged import FAILED, Unacknowledged
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation, protocol_error

PUBACK, PUBREC, PUBREL, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP


class State(enum.Enum):
    CONNECTING = enum.auto()
    """CONNECT has not come."""
    LOGGING_IN = enum.auto()
    AUTHENTICATING = enum.auto()
    """The client was challenged, and its AUTH is to come."""
    LOGIN_REFUSED = enum.auto()
    ATTACHING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class MqttAdapter:
    """One connection's worth of MQTT.  ``encoder`` is shared by all: a fan-out is encoded once."""

    protocol = "mqtt"

    __slots__ = (
        "_agreement",
        "_aliases",
        "_answers",
        "_authentication",
        "_closing",
        "_commands",
        "_connect",
        "_deadline",
        "_decoder",
        "_encoder",
        "_login_at",
        "_loopback",
        "_now_ms",
        "_output",
        "_received_at",
        "_resumed",
        "_settings",
        "_state",
        "_unacknowledged",
        "_version",
    )

    def __init__(
        self,
        decoder: MqttDecoder,
        encoder: PublishEncoder,
        settings: MqttSettings,
        now_ms: Callable[[], int],
        *,
        loopback: bool,
        now: float,
    ) -> None:
        """``now_ms``: wall time of the round, for what expires."""
        decoder.packet_size_max = CONNECT_SIZE_MAX
        self._decoder = decoder
        self._encoder = encoder
        self._settings = settings
        self._now_ms = now_ms
        self._loopback = loopback
        self._state = State.CONNECTING
        self._version: Version | None = None
        self._connect: Connect | None = None
        """Until it is answered."""
        self._agreement: Agreement | None = None
        self._authentication: Authentication | None = None
        """If CONNECT has an authentication method."""
        self._aliases: TopicAliases | None = None
        self._login_at = self._received_at = now
        self._deadline: float | None = now + settings.handshake_timeout_s
        self._output: list[Output] = []
        self._commands: list[Command] = []
        self._answers: deque[Asked] | None = None
        """SUBSCRIBE and UNSUBSCRIBE packets that the core has not answered."""
        self._unacknowledged: Unacknowledged | None = None
        """Once it has published with QoS 1 or 2: many clients only listen."""
        self._closing = False
        self._resumed = False

    # The seam.

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""
        self.receive_frames(self._decoder.receive_data(data), now)
        while self._resumed:
            self._resumed = False
            self.receive_frames(self._decoder.resume(), now)

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What the decoder made of a read, in order.  This is the one place that catches what a peer did wrong."""
        self._received_at = now
        try:
            for frame in frames:
                if self._state is State.CLOSED:
                    return
                _FRAMES[type(frame)](self, frame)
        except ProtocolViolation as violation:
            self._fail(violation)

    def receive_replies(self, received: Sequence[Reply], now: float) -> None:
        """What the core says, in order."""
        for reply in received:
            if self._state is State.CLOSED:
                return
            REPLIES[type(reply)](self, reply, now)

    def receive_timeout(self, now: float) -> None:
        """The deadline has come: too early a call does nothing."""
        if self._state is State.LOGIN_REFUSED:
            if self._deadline is not None and now >= self._deadline:
                self._refuse_connect(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
        elif self._state is State.OPEN:
            deadline = self._silence_ends_at()
            if deadline is not None and now >= deadline:
                self._leave(ReasonCode.KEEP_ALIVE_TIMEOUT)
        elif self._deadline is not None and now >= self._deadline:
            self._close()

    def receive_end(self, now: float) -> None:
        """The peer is gone; its owner closes the session."""
        self._close()

    def take_ready(self) -> Ready:
        """All that became due since the last call."""
        deadline = self._silence_ends_at() if self._state is State.OPEN else self._deadline
        ready = Ready(self._output, self._commands, deadline, self._closing, self._resumed)
        if self._output:
            self._output = []
        if self._commands:
            self._commands = []
        self._resumed = False
        return ready

    def _silence_ends_at(self) -> float | None:
        assert self._agreement is not None
        keep_alive_s = self._agreement.keep_alive_s
        return self._received_at + keep_alive_s * KEEP_ALIVE_FACTOR if keep_alive_s else None

    # Frames.

    def _receive_publishes(self, frame: kernel.Publishes) -> None:
        self._check_open()
        fault = self._first_fault(frame)
        if fault is None:
            self._publish(frame.qos, frame.messages, frame.packet_ids)
            return
        # What came before it counts, however the bytes were cut.
        position, violation = fault
        if position:
            packet_ids = PacketIds.of(frame.packet_ids.to_list()[:position])
            self._publish(frame.qos, frame.messages.before(position), packet_ids)
        raise violation

    def _first_fault(self, frame: kernel.Publishes) -> tuple[int, ProtocolViolation] | None:
        """The first message that may not be published, and why."""
        messages, settings = frame.messages, self._settings
        retained = None
        if messages.flags & FLAG_RETAIN and not settings.retain_available:
            retained = messages.first_with_flag(FLAG_RETAIN)
        exceeding = None
        if frame.qos and self._version is Version.MQTT_5 and settings.enforce_receive_maximum:
            exceeding = self._publishes.first_exceeding(frame.qos, frame.packet_ids, settings.receive_maximum)
        if exceeding is not None and (retained is None or exceeding < retained):
            detail = f"more than {settings.receive_maximum} publishes are unacknowledged"
            return exceeding, ProtocolViolation(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, detail)
        if retained is not None:
            detail = "there are no retained messages here"
            return retained, ProtocolViolation(ReasonCode.RETAIN_NOT_SUPPORTED, detail)
        return None

    def _publish(self, qos: int, messages: MessageRun, packet_ids: PacketIds) -> None:
        if qos:
            self._commands.append(self._publishes.publish(qos, messages, packet_ids))
        else:
            self._commands.append(commands.Publish(cs.NO_CHANNEL, messages))

    @property
    def _publishes(self) -> Unacknowledged:
        unacknowledged = self._unacknowledged
        if unacknowledged is None:
            unacknowledged = self._unacknowledged = Unacknowledged()
        return unacknowledged

    def _check_open(self) -> None:
        """The decoder goes on before CONNACK if AUTH is to come, and nothing else ([MQTT-3.1.2-30])."""
        if self._state is not State.OPEN:
            raise protocol_error(f"a publish or an acknowledgement in state {self._state.name}")

    def _receive_acks(self, frame: kernel.Acks) -> None:
        self._check_open()
        kind = frame.kind
        if kind == PUBREL:
            # A negative PUBREL says that there was nothing to release; either way it is over.
            self._commands.append(cs.Release(frame.packet_ids))
        elif kind in (PUBACK, PUBREC) and frame.reason >= FAILED:
            # Settled: it goes to nobody else, and no PUBREL follows ([MQTT-4.3.3-4]).
            self._commands.append(cs.Acknowledge(PUBACK, frame.packet_ids, refused=True))
        else:
            self._commands.append(cs.Acknowledge(kind, frame.packet_ids))

    def _receive_packet(self, frame: kernel.Packet) -> None:
        packet = decode_packet(frame.kind, frame.flags, frame.body, self._version)
        handler = PACKETS.get((self._state, type(packet)))
        if handler is None:
            raise protocol_error(f"{PacketType(frame.kind).name} in state {self._state.name}")
        handler(self, packet)

    def _receive_violation(self, violation: kernel.Violation) -> None:
        raise ProtocolViolation(ReasonCode(violation.code), violation.text)

    # CONNECT.

    def _receive_connect(self, connect: Connect) -> None:
        self._connect = connect
        self._version = connect.protocol_level
        settings = self._settings
        self._agreement = agree(connect, settings)
        if "authentication_method" in connect.properties:
            self._authentication = Authentication(connect, settings, loopback=self._loopback)
        self._login_at = self._received_at
        self._state = State.LOGGING_IN
        if self._authentication is not None:
            self._ask(self._authentication.begin(connect.properties))
            return
        login = login_of(connect, settings)
        if login.user is not None:
            self._commands.append(commands.Authenticate(login.user, login.password, self._loopback))
        elif settings.allow_anonymous or (settings.allow_anonymous is None and self._loopback):
            self._commands.append(cs.AuthenticateAnonymous(UserName(settings.anonymous_user)))
        else:
            self._refuse_login()

    def _receive_auth(self, packet: Auth) -> None:
        if self._authentication is None:
            raise protocol_error("AUTH without an authentication method in CONNECT")  # [MQTT-4.12.0-7]
        self._login_at = self._received_at
        command = self._authentication.receive_auth(packet)
        if self._state is State.AUTHENTICATING:
            self._state = State.LOGGING_IN
        self._ask(command)

    def _ask(self, command: Command | None) -> None:
        if command is None:
            self._refuse_login()
        else:
            self._commands.append(command)

    def _receive_challenge(self, reply: replies.ScramChallenge, now: float) -> None:
        assert self._authentication is not None
        self._send(self._authentication.challenge(reply))
        if self._state is State.LOGGING_IN:
            self._state = State.AUTHENTICATING
        self._resumed = True

    def _receive_authenticated(self, reply: replies.Authenticated, now: float) -> None:
        authentication = self._authentication
        if authentication is not None:
            authentication.succeed(reply)
            if self._state is State.OPEN:
                self._send(Auth(properties=authentication.proof))
                self._resumed = True
                return
        assert self._connect is not None
        self._state = State.ATTACHING
        login = authentication.login if authentication is not None else login_of(self._connect, self._settings)
        assert login is not None
        self._commands.append(commands.OpenVhost(login.vhost))

    def _receive_vhost_opened(self, reply: replies.VhostOpened, now: float) -> None:
        assert self._connect is not None
        assert self._agreement is not None
        try:
            self._commands.append(attach_command(self._connect, self._agreement, self._settings))
        except ProtocolViolation as violation:
            self._fail(violation)

    def _receive_attached(self, reply: cs.SessionAttached, now: float) -> None:
        connect, agreement, settings = self._connect, self._agreement, self._settings
        assert connect is not None
        assert agreement is not None
        decoder = self._decoder
        decoder.version = agreement.version
        decoder.packet_size_max = settings.packet_size_max
        if agreement.version is Version.MQTT_5:
            decoder.topic_alias_max = settings.topic_alias_maximum
            if agreement.topic_alias_max:
                self._aliases = TopicAliases(agreement.topic_alias_max)
        proof = self._authentication.proof if self._authentication is not None else {}
        if not self._send(accepted(connect, agreement, settings, reply.client_id, reply.present, proof)):
            self._commands.append(cs.DetachSession(send_will=False))
            self._refuse_connect(ReasonCode.PACKET_TOO_LARGE)
            return
        self._connect = None
        self._state = State.OPEN
        self._received_at = now
        self._resumed = True

    def _refuse_login(self) -> None:
        """Later, so that guessing is slow and timing tells nothing; at once if it is known who is there."""
        if self._state is State.OPEN:
            self._leave(ReasonCode.NOT_AUTHORIZED)
            return
        self._state = State.LOGIN_REFUSED
        self._deadline = self._login_at + self._settings.login_failure_delay_s

    def _refuse_connect(self, reason: ReasonCode, detail: str = "") -> None:
        """CONNACK in the client's version, if it has a word for it."""
        if self._version is Version.MQTT_5 or (self._version is not None and reason in RETURN_CODES):
            self._send(Connack(False, reason, self._reason_string(detail)))
        self._close()

    def _reason_string(self, detail: str) -> Properties:
        """For a client that did not ask to be spared (MQTT 5 3.1.2.11.7)."""
        spared = self._agreement is not None and not self._agreement.problem_information
        return {"reason_string": detail} if detail and not spared else {}

    # After CONNACK.

    def _receive_subscribe(self, packet: Subscribe) -> None:
        asked, specs = read_subscribe(packet)
        self._owe(asked)
        ids = packet.properties.get("subscription_identifiers", ())
        self._commands.append(cs.Subscribe(specs, ids[0] if ids else 0))

    def _receive_unsubscribe(self, packet: Unsubscribe) -> None:
        asked, filters = read_unsubscribe(packet)
        self._owe(asked)
        self._commands.append(cs.Unsubscribe(filters))

    def _receive_ping(self, packet: Pingreq) -> None:
        self._send(Pingresp())

    def _receive_disconnect(self, packet: Disconnect) -> None:
        assert self._agreement is not None
        expiry_s = packet.properties.get("session_expiry_interval")
        if expiry_s is not None:
            if expiry_s and not self._agreement.expiry_s:
                raise protocol_error("a session that ends with its connection can't be made to last")  # [3.14.2.2.2]
            expiry_s = session_expiry(expiry_s, self._settings)
        send_will = packet.reason_code is not ReasonCode.NORMAL_DISCONNECTION
        self._commands.append(cs.DetachSession(send_will, expiry_s))
        self._close()

    def _give_up(self, packet: Disconnect) -> None:
        """Before CONNACK."""
        self._close()

    # Replies.

    def _receive_confirm(self, reply: replies.Confirm, now: float) -> None:
        self._settle(reply.tags, 0)

    def _receive_reject(self, reply: replies.Reject, now: float) -> None:
        reason = reason_for(reply.refusal, PUBACK)
        if self._version is not Version.MQTT_5:
            if reason is not ReasonCode.NOT_AUTHORIZED or self._settings.disconnect_on_unauthorized:
                self._close()
                return
            reason = ReasonCode.SUCCESS
        self._settle(reply.tags, reason)

    def _settle(self, tags: Sequence[replies.TagRange], reason: int) -> None:
        assert self._version is not None
        for kind, settled, packet_ids in self._publishes.settle(tags, reason):
            self._output.append(encode_acks(kind, packet_ids, settled, self._version))

    def _receive_delivery(self, reply: cs.DeliverPublishes, now: float) -> None:
        agreement = self._agreement
        assert agreement is not None
        chunk, left_out = self._encoder.encode(
            reply.deliveries,
            version=agreement.version,
            grants=reply.grants,
            packet_ids=reply.packet_ids,
            now_ms=self._now_ms(),
            packet_size_max=agreement.packet_size_max,
            aliases=self._aliases,
        )
        if len(chunk):
            self._output.append(chunk)
        if left_out and reply.packet_ids is not None:
            # Larger than the client takes: discarded, as if it had been sent ([MQTT-3.1.2-25]).
            ids = reply.packet_ids.to_list()
            discarded = PacketIds.of([ids[position] for position in left_out])
            self._commands.append(cs.Acknowledge(PUBACK, discarded))

    def _receive_release_due(self, reply: cs.ReleaseDue, now: float) -> None:
        self._send_acks(PUBREL, reply.packet_ids, reply.unknown)

    def _receive_released(self, reply: cs.Released, now: float) -> None:
        self._publishes.release(reply)
        self._send_acks(PUBCOMP, reply.packet_ids, reply.unknown)

    def _send_acks(self, kind: PacketType, packet_ids: PacketIds, unknown: PacketIds) -> None:
        assert self._version is not None
        if len(packet_ids):
            self._output.append(encode_acks(kind, packet_ids, 0, self._version))
        if len(unknown):
            reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            self._output.append(encode_acks(kind, unknown, reason, self._version))

    def _receive_subscribed(self, reply: cs.Subscribed, now: float) -> None:
        self._answer(suback(self._take_owed(), reply.refusals))

    def _receive_unsubscribed(self, reply: cs.Unsubscribed, now: float) -> None:
        self._answer(unsuback(self._take_owed(), reply.found))

    def _owe(self, asked: Asked) -> None:
        if self._answers is None:
            self._answers = deque()
        self._answers.append(asked)

    def _take_owed(self) -> Asked:
        assert self._answers is not None
        asked = self._answers.popleft()
        if not self._answers:
            self._answers = None
        return asked

    def _answer(self, packet: Packet) -> None:
        """One that the client waits for: larger than it takes, it would wait for ever."""
        if not self._send(packet):
            self._leave(ReasonCode.PACKET_TOO_LARGE)

    def _receive_taken(self, reply: cs.SessionTaken, now: float) -> None:
        self._leave(ReasonCode.SESSION_TAKEN_OVER)

    def _receive_close(self, reply: replies.CloseConnection, now: float) -> None:
        if self._state is State.OPEN:
            self._leave(ReasonCode.SERVER_SHUTTING_DOWN)
        else:
            self._refuse_connect(ReasonCode.SERVER_UNAVAILABLE)

    def _receive_refusal(self, reply: replies.Refuse, now: float) -> None:
        if reply.refusal is Refusal.LOGIN_REFUSED:
            self._refuse_login()
        elif self._state is State.ATTACHING:
            self._refuse_connect(reason_for(reply.refusal, PacketType.CONNACK))
        else:
            self._leave(reason_for(reply.refusal, PacketType.DISCONNECT))

    def _ignore(self, reply: Reply, now: float) -> None:
        """That publishers are held back, which MQTT has no word for: they aren't read."""

    # The end.

    def _fail(self, violation: ProtocolViolation) -> None:
        """In MQTT 5 its reason is told before the close; MQTT 3 has words for a bad CONNECT only."""
        if self._state is State.OPEN:
            self._leave(violation.reason_code, violation.detail)
        else:
            self._version = self._version or violation.version
            # What is wrong with a packet that comes where only AUTH may, CONNACK has no word for.
            allowed = PacketType.CONNACK in CARRIERS[violation.reason_code]
            reason = violation.reason_code if allowed else ReasonCode.PROTOCOL_ERROR
            self._refuse_connect(reason, violation.detail)

    def _leave(self, reason: ReasonCode, detail: str = "") -> None:
        if self._version is Version.MQTT_5 and self._state is State.OPEN:
            self._send(Disconnect(reason, self._reason_string(detail)))
        self._close()

    def _close(self) -> None:
        self._state = State.CLOSED
        self._deadline = None
        self._closing = True

    def _send(self, packet: Packet) -> bool:
        """False: the client takes none that is so large ([MQTT-3.1.2-24])."""
        assert self._version is not None
        size_max = PACKET_SIZE_MAX if self._agreement is None else self._agreement.packet_size_max
        encoded = encode_packet(packet, self._version, size_max)
        if encoded:
            self._output.append(encoded)
        return bool(encoded)


_FRAMES: dict[type, Callable[[MqttAdapter, Any], None]] = {
    kernel.Publishes: MqttAdapter._receive_publishes,
    kernel.Acks: MqttAdapter._receive_acks,
    kernel.Packet: MqttAdapter._receive_packet,
    kernel.Violation: MqttAdapter._receive_violation,
}

PACKETS: dict[tuple[State, type[Packet]], Callable[[MqttAdapter, Any], None]] = {
    (State.CONNECTING, Connect): MqttAdapter._receive_connect,
    (State.AUTHENTICATING, Auth): MqttAdapter._receive_auth,
    (State.AUTHENTICATING, Disconnect): MqttAdapter._give_up,
    (State.OPEN, Subscribe): MqttAdapter._receive_subscribe,
    (State.OPEN, Unsubscribe): MqttAdapter._receive_unsubscribe,
    (State.OPEN, Pingreq): MqttAdapter._receive_ping,
    (State.OPEN, Disconnect): MqttAdapter._receive_disconnect,
    (State.OPEN, Auth): MqttAdapter._receive_auth,
}
"""What a packet does in a state; any other is a protocol error."""

REPLIES: dict[type, Callable[[MqttAdapter, Any, float], None]] = {
    cs.DeliverPublishes: MqttAdapter._receive_delivery,
    replies.Confirm: MqttAdapter._receive_confirm,
    replies.Reject: MqttAdapter._receive_reject,
    cs.ReleaseDue: MqttAdapter._receive_release_due,
    cs.Released: MqttAdapter._receive_released,
    cs.Subscribed: MqttAdapter._receive_subscribed,
    cs.Unsubscribed: MqttAdapter._receive_unsubscribed,
    cs.SessionAttached: MqttAdapter._receive_attached,
    cs.SessionTaken: MqttAdapter._receive_taken,
    replies.Authenticated: MqttAdapter._receive_authenticated,
    replies.ScramChallenge: MqttAdapter._receive_challenge,
    replies.VhostOpened: MqttAdapter._receive_vhost_opened,
    replies.Block: MqttAdapter._ignore,
    replies.Unblock: MqttAdapter._ignore,
    replies.Refuse: MqttAdapter._receive_refusal,
    replies.CloseConnection: MqttAdapter._receive_close,
}
"""What a reply of the core does."""
