"""Conversations with an adapter, written as transcripts.

A transcript is a list of lines.  What is said to the adapter:

    C: connect client_id=c keep_alive=60 will.topic=w     a packet; properties by their names; bits without =
    C: publish topic=a qos=1 id=5 payload=hello count=3   three of them, ids counted on; ``+``: in one breath
    C: subscribe id=1 a/#:1 b:2:no_local                  filters with QoS and options
    C: puback id=5 reason=0x87 | pingreq | disconnect     and so on
    C: octets 01 00 02                                    any bytes, in hex
    core: Subscribed([None])                              what the core replies (Python, with its replies at hand)
    time: +2.5                                            seconds go by, in one step
    C: end                                                the client hangs up

What the adapter then does, exactly and in order:

    asks: Subscribe([SubscriptionSpec('a/#', 1)])         a command for the core; what has its default is left out
    S: suback id=1 GRANTED_QOS_1                          a packet for the client
    closing                                               it wants to be hung up on
    deadline: +60                                         the deadline, from now, where it changed
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from broker.model import client_sessions, replies
from broker.model.names import ClientId
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import (
    FLAG_EXACTLY_ONCE,
    FLAG_PERSISTENT,
    FLAG_REPLAYED,
    FLAG_RETAIN,
    ORIGIN_MQTT,
    DeliveryRun,
    Grant,
    MessageRun,
    MqttDecoder,
    PacketIds,
    PublishEncoder,
)
from protocols.adapter import Adapter
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.packet_codec import decode_packet, encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import (
    PACKET_TYPES,
    PACKETS,
    Ack,
    Connect,
    Packet,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import PROPERTIES, DataType, Holder, Properties, properties_decoder, properties_encoder
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from tests.protocols.mqtt.wire import remaining_length, string
from tests.protocols.transcript import conversation, replayed, split, struct_text

V3_1, V3_1_1, V5 = Version
START = 1000.0
"""The clock when a conversation begins."""
START_MS = 1_700_000_000_000
"""And the wall's."""
QOS_FLAGS = (0, FLAG_PERSISTENT, FLAG_PERSISTENT | FLAG_EXACTLY_ONCE)
PACKETS_BY_NAME = {number.name.lower(): layout.packet for number, layout in PACKETS.items()}
_publish_properties = properties_encoder(Holder.PUBLISH)
_read_publish_properties = properties_decoder(Holder.PUBLISH)

# What a client sends, as bytes.


def packet(first_byte: int, body: bytes) -> bytes:
    """Any packet."""
    return bytes((first_byte,)) + remaining_length(len(body)) + body


def publish(
    version: Version,
    topic: str = "t",
    payload: bytes = b"",
    qos: int = 0,
    id: int = 0,
    *,
    retain: bool = False,
    dup: bool = False,
    properties: Properties | None = None,
) -> bytes:
    """A PUBLISH."""
    own = _publish_properties(properties or {}) if version is V5 else b""
    body = string(topic) + (id.to_bytes(2, "big") if qos else b"") + own + payload
    return packet(0x30 | dup << 3 | qos << 1 | retain, body)


def _value(kind: DataType, text: str) -> Any:
    match kind:
        case DataType.STRING | DataType.TOPIC_NAME:
            return text
        case DataType.BINARY_DATA:
            return text.encode()
        case DataType.STRING_PAIR:
            return tuple(tuple(pair.split(":", 1)) for pair in text.split(","))
        case _:
            return int(text)


def _properties(given: dict[str, str], prefix: str = "") -> Properties:
    """Takes those that are named with this prefix."""
    taken: Properties = {}
    for name, row in PROPERTIES.items():
        text = given.pop(prefix + name, None)
        if text is not None:
            value = _value(row.type, text)
            taken[name] = (value,) if name == "subscription_identifiers" else value  # type: ignore[literal-required]
    return taken


def _will(given: dict[str, str]) -> Will | None:
    topic = given.pop("will.topic", None)
    if topic is None:
        return None
    own = _properties(given, "will.")
    payload, qos = given.pop("will.payload", "").encode(), int(given.pop("will.qos", "0"))
    return Will(topic, payload, qos, bool(given.pop("will.retain", "")), own)


def _connect(version: Version, given: dict[str, str], words: list[str]) -> Packet:
    will, own = _will(given), _properties(given)
    password = given.pop("password", None)
    return Connect(
        version,
        given.pop("client_id", ""),
        bool(given.pop("clean_start", "")),
        int(given.pop("keep_alive", "0")),
        will,
        given.pop("user_name", None),
        None if password is None else password.encode(),
        bool(given.pop("bridge", "")),
        own,
    )


def _subscribe(version: Version, given: dict[str, str], words: list[str]) -> Packet:
    requests = []
    for word in words:
        text, qos, *options = word.split(":")
        handling = next((int(option[-1]) for option in options if option.startswith("retain_handling=")), 0)
        no_local, as_published = "no_local" in options, "retain_as_published" in options
        requests.append(SubscriptionRequest(text, int(qos), no_local, as_published, handling))
    return Subscribe(int(given.pop("id")), tuple(requests), _properties(given))


def _unsubscribe(version: Version, given: dict[str, str], words: list[str]) -> Packet:
    return Unsubscribe(int(given.pop("id")), tuple(words), _properties(given))


def _other(kind: type[Packet], given: dict[str, str]) -> Packet:
    arguments: dict[str, Any] = {}
    if "id" in given:
        arguments["packet_id"] = int(given.pop("id"))
    if "reason" in given:
        arguments["reason_code"] = ReasonCode(int(given.pop("reason"), 0))
    own = _properties(given)
    return kind(**arguments, properties=own) if own else kind(**arguments)


BITS = ("clean_start", "bridge", "will.retain", "retain", "dup")
BUILDERS = {"connect": _connect, "subscribe": _subscribe, "unsubscribe": _unsubscribe}


def _client_line(version: Version, words: list[str]) -> bytes:
    name, *rest = words
    if name == "octets":
        return bytes.fromhex("".join(rest))
    given: dict[str, str] = {}
    bare = []
    for word in rest:
        if word in BITS:
            given[word] = "1"
        elif "=" in word and ":" not in word.split("=")[0]:
            key, _, text = word.partition("=")
            given[key] = text
        else:
            bare.append(word)
    count = int(given.pop("count", "1"))
    if name == "publish":
        return _publishes(version, given, count)
    built = BUILDERS[name](version, given, bare) if name in BUILDERS else _other(PACKETS_BY_NAME[name], given)
    assert not given, f"{name} has no {given}"
    return encode_packet(built, version) * count


def _publishes(version: Version, given: dict[str, str], count: int) -> bytes:
    own = _properties(given)
    first = int(given.pop("id", "0"))
    topic, payload, qos = given.pop("topic", ""), given.pop("payload", "").encode(), int(given.pop("qos", "0"))
    retain, dup = bool(given.pop("retain", "")), bool(given.pop("dup", ""))
    assert not given, f"publish has no {given}"
    sent = [
        publish(version, topic, payload, qos, first + number, retain=retain, dup=dup, properties=own)
        for number in range(count)
    ]
    return b"".join(sent)


# What an adapter sends, as lines.


def server_packets(output: bytes) -> list[tuple[int, bytes]]:
    """First byte and body of each packet."""
    packets = []
    position = 0
    while position < len(output):
        first, size, shift, at = output[position], 0, 0, position + 1
        while True:
            byte = output[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        assert at + size <= len(output), "a packet of ours is broken"
        packets.append((first, output[at : at + size]))
        position = at + size
    return packets


def server_lines(output: bytes, version: Version) -> list[str]:
    """The packets in these bytes, a line each."""
    return [f"S: {packet_text(first, body, version)}" for first, body in server_packets(output)]


def packet_text(first: int, body: bytes, version: Version) -> str:
    """``suback id=1 GRANTED_QOS_1``."""
    if first >> 4 == PacketType.PUBLISH:
        return _publish_text(first, body, version)
    read = decode_packet(first >> 4, first & 0x0F, body, version, Sender.SERVER)
    parts = [PACKET_TYPES[type(read)].name.lower()]
    if isinstance(read, Ack | Suback | Unsuback):
        parts.append(f"id={read.packet_id}")
    if isinstance(read, Suback | Unsuback):
        parts += [_code_text(code, read) for code in read.reason_codes]
    if getattr(read, "session_present", False):
        parts.append("session_present")
    reason = getattr(read, "reason_code", ReasonCode.SUCCESS)
    if reason:
        parts.append(reason.name)
    return " ".join([*parts, *_properties_text(getattr(read, "properties", {}))])


def _code_text(code: ReasonCode, holder: Packet) -> str:
    return "GRANTED_QOS_0" if isinstance(holder, Suback) and not code else code.name


def _publish_text(first: int, body: bytes, version: Version) -> str:
    qos = first >> 1 & 3
    size = int.from_bytes(body[:2], "big")
    parts = ["publish", f"topic={_text(body[2 : 2 + size].decode())}"]
    position = 2 + size
    if qos:
        parts += [f"qos={qos}", f"id={int.from_bytes(body[position : position + 2], 'big')}"]
        position += 2
    parts += [name for bit, name in ((1, "retain"), (8, "dup")) if first & bit]
    own: Properties = {}
    if version is V5:
        own, position = _read_publish_properties(body, position)
    return " ".join([*parts, *_properties_text(own), f"payload={_text(body[position:].decode())}"])


def _properties_text(own: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_text(value)}" for name, value in own.items()]


def _text(value: Any) -> str:
    text = str(value)
    return text if text and not set(text) & set(" '\"\\") else '"' + text.replace('"', '\\"') + '"'


def kernel_text(value: Any) -> str | None:
    """Message runs with topic, body, QoS and what else there is; packet ids as a list."""
    if isinstance(value, PacketIds):
        return f"ids{value.to_list()}"
    if not isinstance(value, MessageRun):
        return None
    texts = []
    for exchange, key, properties, body, flags, expiration_ms in value.rows():
        assert exchange == b"amq.topic"
        parts = [f"{key.decode()}:{body.decode()}"]
        parts += [f"qos{QOS_FLAGS.index(flags & QOS_FLAGS[2])}"] if flags & QOS_FLAGS[2] else []
        parts += ["retain"] if flags & FLAG_RETAIN else []
        if properties:
            own, _ = _read_publish_properties(remaining_length(len(properties)) + properties, 0)
            parts += _properties_text(own)
        parts += [] if expiration_ms is None else [f"{expiration_ms}ms"]
        texts.append(" ".join(parts))
    return f"[{', '.join(texts)}]"


# The conversation.


def messages(
    *bodies: str,
    topic: str = "t",
    qos: int = 0,
    retain: bool = False,
    replayed: bool = False,
    expiry_ms: int | None = None,
    **properties: Any,
) -> MessageRun:
    """A run of messages as a client published them."""
    flags = QOS_FLAGS[qos] | retain * FLAG_RETAIN | replayed * FLAG_REPLAYED
    encoded = _publish_properties(properties)[1:] if properties else b""  # type: ignore[arg-type]
    rows = [(b"amq.topic", topic.encode(), encoded, body.encode(), flags, expiry_ms) for body in bodies]
    return MessageRun.of(0, rows, ORIGIN_MQTT)


def deliveries(*bodies: str, redelivered: bool = False, **options: Any) -> DeliveryRun:
    """The same on their way to a subscriber."""
    run = messages(*bodies, **options)
    return DeliveryRun.of(run, 0, run.count, redelivered)


def ids(*packet_ids: int) -> PacketIds:
    return PacketIds.of(packet_ids)


CORE_NAMES: dict[str, Any] = {
    **{name: getattr(module, name) for module in (replies, client_sessions) for name in dir(module)},
    "Refusal": Refusal,
    "Grant": Grant,
    "deliveries": deliveries,
    "ids": ids,
}


class Conversation:
    """An adapter, the clock it is given, and what it did last."""

    def __init__(self, version: Version = V5, *, loopback: bool = True, **settings: Any) -> None:
        self.version = version
        self.now = START
        decoder = MqttDecoder()
        self.decoder: Any = decoder
        self.adapter: Adapter = MqttAdapter(
            decoder,
            PublishEncoder(),
            MqttSettings(**settings),
            lambda: START_MS + int((self.now - START) * 1000),
            loopback=loopback,
            now=self.now,
        )
        self._deadline: float | None = None
        self._take()

    def sends(self, data: bytes) -> list[str]:
        """The client's bytes; gives what the adapter does about them."""
        self.adapter.receive_data(data, self.now)
        return self._take()

    def frames(self, *frames: Any) -> list[str]:
        """What a decoder could have made of bytes, without one."""
        self.adapter.receive_frames(frames, self.now)
        return self._take()

    def core(self, *received: Reply) -> list[str]:
        """The core's replies."""
        self.adapter.receive_replies(received, self.now)
        return self._take()

    def passes(self, seconds: float) -> list[str]:
        """Time goes by."""
        self.now += seconds
        self.adapter.receive_timeout(self.now)
        return self._take()

    def hangs_up(self) -> list[str]:
        """The client is gone."""
        self.adapter.receive_end(self.now)
        return self._take()

    def _take(self) -> list[str]:
        lines: list[str] = []
        while True:
            ready = self.adapter.take_ready()
            lines += [f"asks: {struct_text(command, kernel_text)}" for command in ready.commands]
            lines += server_lines(b"".join(bytes(part) for part in ready.output), self.version)
            if not ready.resumed:
                break
            self.adapter.receive_frames(self.decoder.resume(), self.now)
        if ready.closing:
            lines.append("closing")
        if ready.deadline != self._deadline:
            self._deadline = ready.deadline
            lines.append(f"deadline: {'none' if ready.deadline is None else f'+{ready.deadline - self.now:g}'}")
        return lines

    def reads(self, line: str) -> list[str]:
        """One line of a transcript that says something to the adapter."""
        who, _, what = line.partition(":")
        match who:
            case "core":
                reply = eval(what, CORE_NAMES)
                return self.core(*(reply if isinstance(reply, tuple) else (reply,)))
            case "time":
                return self.passes(float(what))
        words = shlex.split(what)
        if words == ["end"]:
            return self.hangs_up()
        return self.sends(b"".join(_client_line(self.version, part) for part in split(words, "+")))


def connected(
    version: Version = V5,
    *,
    connect: str = "client_id=c",
    made: Callable[..., Conversation] = Conversation,
    **settings: Any,
) -> Conversation:
    """A conversation past its CONNACK, of an anonymous client of this machine."""
    talk = made(version, **settings)
    talk.reads(f"C: connect {connect}")
    talk.core(replies.Authenticated())
    attached = client_sessions.SessionAttached(ClientId("c"), False)
    said = talk.core(replies.VhostOpened(), attached)
    assert any(line.startswith("S: connack") for line in said), said
    return talk


__all__ = ["V3_1", "V3_1_1", "V5", "Conversation", "Version", "connected", "conversation", "replayed"]
