"""The laws of the adapter: any cut of the bytes gives the same, any garbage raises nothing, answers come in order."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel
from broker.model import client_sessions as cs
from broker.model import replies
from broker.model.refusals import Refusal
from kernel import PacketIds
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import (
    PACKETS,
    Auth,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from protocols.mqtt.properties import Holder, Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import messages, packet, publish, server_packets
from tests.protocols.mqtt.core_double import (
    SETTINGS,
    Connection,
    assert_same,
    assert_well_behaved,
    opening,
)
from tests.protocols.mqtt.drawn_packets import packets_of, properties_of

V5 = Version.MQTT_5
NO_RETAIN = MqttSettings(receive_maximum=3, retain_available=False)
versions = st.sampled_from(list(Version))
topics = st.sampled_from(["a", "a/b", "$SYS/x", "long/" * 20, "é"])
ids = st.integers(1, 6)


SCRAM = {"authentication_method": "SCRAM-SHA-256", "authentication_data": b"n,,n=me,r=abc"}
CONTINUE = Auth(ReasonCode.CONTINUE_AUTHENTICATION, {**SCRAM, "authentication_data": b"c=biws,r=x,p=eA=="})  # type: ignore[typeddict-item]
AGAIN = Auth(ReasonCode.RE_AUTHENTICATE, SCRAM)  # type: ignore[arg-type]
SCRAM_OPENING = opening(V5, properties=SCRAM) + encode_packet(CONTINUE, V5)
REAUTHENTICATION = encode_packet(AGAIN, V5) + encode_packet(CONTINUE, V5)


@st.composite
def publishes(draw: st.DrawFn, version: Version) -> bytes:
    properties: Properties = draw(properties_of(Holder.PUBLISH, ("subscription_identifiers",))) if version is V5 else {}
    if "payload_format_indicator" in properties:
        properties["payload_format_indicator"] = 0
    if "topic_alias" in properties:
        properties["topic_alias"] = draw(st.integers(1, 3))
    aliased = "topic_alias" in properties and draw(st.booleans())
    payload = draw(st.sampled_from([b"", b"hello", b"x" * 3000]))
    qos = draw(st.integers(0, 2))
    retain = draw(st.integers(0, 7)) == 0
    topic = "" if aliased else draw(topics)
    dup = bool(qos) and draw(st.booleans())
    return publish(version, topic, payload, qos, draw(ids), retain=retain, dup=dup, properties=properties)


def runs(version: Version) -> st.SearchStrategy[bytes]:
    """Publishes of one QoS, now and then with something that is not allowed among them."""
    retained = st.sampled_from([False, False, False, True])

    def run(qos: int, each: list[tuple[int, bool]]) -> bytes:
        return b"".join(publish(version, "a", b"x", qos, packet_id, retain=retain) for packet_id, retain in each)

    return st.builds(run, st.integers(0, 2), st.lists(st.tuples(ids, retained), min_size=2, max_size=6))


def sent(version: Version) -> st.SearchStrategy[bytes]:
    """A packet that a client may send; few of them end the connection."""
    known = [Puback, Pubrec, Pubrel, Pubcomp]
    acks = st.builds(lambda kind, packet_id: encode_packet(kind(packet_id), version), st.sampled_from(known), ids)
    filters = st.sampled_from(["a/#", "+", "a#", "$share/g/a", "$share//a", "b"])
    requests = st.lists(st.builds(SubscriptionRequest, filters, st.integers(0, 2)), min_size=1, max_size=3).map(tuple)
    others = [kind for kind in PACKETS if Sender.CLIENT in PACKETS[kind].senders_v3 or version is V5]
    others = [kind for kind in others if Sender.CLIENT in PACKETS[kind].senders]
    any_packet = st.sampled_from(others).flatmap(lambda kind: packets_of(kind, version, Sender.CLIENT))
    return st.one_of(
        publishes(version),
        publishes(version),
        runs(version),
        runs(version),
        acks,
        acks,
        st.just(encode_packet(Pingreq(), version)),
        st.builds(Subscribe, ids, requests).map(lambda asked: encode_packet(asked, version)),
        st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=3).map(tuple)).map(
            lambda asked: encode_packet(asked, version)
        ),
        any_packet.map(lambda any_: encode_packet(any_, getattr(any_, "protocol_level", version))),
    )


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    version = draw(versions)
    scram = version is V5 and draw(st.integers(0, 3)) == 0
    connects = packets_of(PacketType.CONNECT, version, Sender.CLIENT).map(lambda c: encode_packet(c, version))
    first = SCRAM_OPENING if scram else draw(st.just(opening(version)) | connects)
    one = sent(version) | st.just(REAUTHENTICATION) if scram else sent(version)
    return [first, *draw(st.lists(one, max_size=20))]


@pytest.mark.parametrize("settings", [SETTINGS, NO_RETAIN])
@given(parts=streams(), data=st.data())
def test_how_the_bytes_are_cut_does_not_matter(settings: MqttSettings, parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    whole, cut = Connection(settings), Connection(settings)
    whole.receive(stream)
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        cut.receive(stream[start:end])
    assert_same(cut, whole)


@given(streams())
def test_byte_by_byte_is_the_same_too(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole, cut = Connection(), Connection()
    whole.receive(stream)
    for octet in stream:
        cut.receive(bytes((octet,)))
    assert_same(cut, whole)


BEFORE = [
    b"",
    *map(opening, Version),
    *(opening(version) + publish(version, qos=2, id=1) for version in Version),
    opening(V5, properties=SCRAM),
    SCRAM_OPENING,
    opening(V5) + encode_packet(Disconnect(), V5),
]


@given(st.binary(max_size=200), st.sampled_from(BEFORE))
def test_no_bytes_whatever_raise_anything(garbage: bytes, before: bytes) -> None:
    connection = Connection()
    connection.receive(before + garbage)
    connection.finish()
    assert_well_behaved(connection)


@given(st.integers(0, 255), st.binary(max_size=40), st.sampled_from(BEFORE), st.integers(0, 2))
def test_no_packet_whatever_raises_anything(first: int, body: bytes, before: bytes, replied: int) -> None:
    """Well-framed, behind what may go before; ``replied``: how many of the core's answers have come."""
    connection = Connection(answering=())
    connection.receive(before)
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    connection.adapter.receive_data(packet(first, body), 0.0)
    connection.settle()
    connection.finish()
    assert_well_behaved(connection)


@given(streams(), st.data())
def test_no_damage_whatever_raises_anything(parts: list[bytes], data: st.DataObject) -> None:
    """Octets changed, left out or put in, in bytes that once made sense: that gets deeper than noise does."""
    stream = bytearray(b"".join(parts))
    start = data.draw(st.integers(0, 1)) * len(parts[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(min(start, len(stream) - 1), len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    connection = Connection(answering=(object,))
    connection.receive(bytes(stream))
    assert_well_behaved(connection)


bodies = st.binary(max_size=12)
frames = st.one_of(
    st.builds(kernel.Packet, st.integers(0, 15).filter(lambda kind: kind != 3), st.integers(0, 15), bodies),
    st.builds(kernel.Acks, st.integers(4, 7), st.sampled_from([0, 0x10, 0x80, 0x92]), st.just(PacketIds.of([1, 2]))),
    st.builds(
        lambda qos, retain: kernel.Publishes(
            qos, messages("x", "y", qos=qos, retain=retain), PacketIds.of([1, 2] if qos else [])
        ),
        st.integers(0, 2),
        st.booleans(),
    ),
    st.sampled_from([0x81, 0x82, 0x90, 0x94, 0x95, 0x99]).map(
        lambda code: kernel.Violation(code, "what is wrong", 0, 0, 0, True)
    ),
)


@given(st.lists(frames, max_size=12), st.sampled_from(BEFORE), st.integers(0, 4))
def test_no_frames_whatever_raise_anything(drawn: list[Any], before: bytes, replied: int) -> None:
    """Also those that no decoder would make in that state."""
    connection = Connection(NO_RETAIN, answering=())
    connection.receive(before)
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    for frame in drawn:
        connection.adapter.receive_frames([frame], 0.0)
        connection.settle()
    assert_well_behaved(connection)


refusals = st.sampled_from(list(Refusal))
STEPS = ["answer", "answer", "answer", "refuse", "deliver"]


class Exchange:
    """A client that keeps the rules and a core that answers and refuses as it likes, at any time."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.connection = Connection(MqttSettings(disconnect_on_unauthorized=False))
        self.connection.receive(opening(version))
        self.owed: dict[str, list[int]] = defaultdict(list)
        """Ids of what is to be answered, by the packet that answers it."""
        self._read = 0
        self._next_id = 1
        self.hear()

    def hear(self) -> None:
        """Reads what is new; what a client has to say about it, it says at once."""
        said = server_packets(self.connection.output[self._read :])
        self._read = len(self.connection.output)
        for first, body in said:
            kind = PacketType(first >> 4)
            if kind in (PacketType.CONNACK, PacketType.DISCONNECT, PacketType.PINGRESP):
                continue
            if kind is PacketType.PUBLISH:
                self._receive_publish(first >> 1 & 3, body)
                continue
            packet_id = int.from_bytes(body[:2], "big")
            if kind is PacketType.PUBREL:
                self.say(encode_packet(Pubcomp(packet_id), self.version))
                continue
            assert self.owed[kind.name].pop(0) == packet_id
            if kind is PacketType.PUBREC and not (len(body) > 2 and body[2] >= 0x80):
                self.owed["PUBCOMP"].append(packet_id)
                self.say(encode_packet(Pubrel(packet_id), self.version))

    def _receive_publish(self, qos: int, body: bytes) -> None:
        if not qos:
            return
        at = 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[at : at + 2], "big")
        self.say(encode_packet(Puback(packet_id) if qos == 1 else Pubrec(packet_id), self.version))

    def say(self, data: bytes) -> None:
        self.connection.receive(data)

    def ask(self, what: str) -> None:
        packet_id = self._next_id
        self._next_id += 1
        match what:
            case "subscribe":
                self.owed["SUBACK"].append(packet_id)
                self.say(encode_packet(Subscribe(packet_id, (SubscriptionRequest("a", 1),)), self.version))
            case "unsubscribe":
                self.owed["UNSUBACK"].append(packet_id)
                self.say(encode_packet(Unsubscribe(packet_id, ("a",)), self.version))
            case "publish 0":
                self.say(publish(self.version))
            case "publish 1":
                self.owed["PUBACK"].append(packet_id)
                self.say(publish(self.version, qos=1, id=packet_id))
            case _:
                self.owed["PUBREC"].append(packet_id)
                self.say(publish(self.version, qos=2, id=packet_id))

    def core(self, step: str, refusal: Refusal) -> None:
        core = self.connection.core
        if step == "deliver":
            self.connection.say(core.deliver(1 + refusal.value % 2, 2))
        elif core.pending:
            self.connection.say(core.answer(refusal if step == "refuse" else None))


asked = st.sampled_from(["subscribe", "unsubscribe", "publish 0", "publish 1", "publish 2", "publish 2"])


@given(versions, st.lists(st.tuples(st.sampled_from(STEPS) | asked, refusals), max_size=60))
def test_what_is_asked_is_answered_in_order_with_its_id(version: Version, steps: list[tuple[str, Refusal]]) -> None:
    exchange = Exchange(version)
    for step, refusal in steps:
        if exchange.connection.closing:
            break
        if step in STEPS:
            # MQTT 3 has no other way to say that a publish was refused for anything but rights.
            exchange.core(step, refusal if version is V5 else Refusal.ACCESS_REFUSED)
        else:
            exchange.ask(step)
        exchange.hear()
    assert not exchange.connection.closing
    while exchange.connection.core.pending:
        exchange.core("answer", Refusal.NO_ROUTE)
        exchange.hear()
    assert not any(exchange.owed.values())


@given(
    versions, st.lists(st.sampled_from(["taken", "close", "block", "timeout", "end"]), max_size=3), st.integers(0, 4)
)
def test_what_the_core_says_unasked_raises_nothing_in_any_state(
    version: Version, events: list[str], replied: int
) -> None:
    connection = Connection(answering=())
    connection.receive(opening(version))
    for _ in range(replied):
        if connection.core.pending:
            connection.say(connection.core.answer())
    for event in events:
        match event:
            case "taken":
                connection.say([cs.SessionTaken()] if connection.core.attached else [])
            case "close":
                connection.say([replies.CloseConnection("shutdown")])
            case "block":
                connection.say([replies.Block("memory"), replies.Unblock()])
            case "timeout":
                connection.adapter.receive_timeout(1e9)
            case _:
                connection.adapter.receive_end(0.0)
        connection.settle()
    connection.finish()
    assert_well_behaved(connection)
