"""The kernel's MQTT decoder: its laws, and each row of bad input by its bytes."""

from __future__ import annotations

import socket

import pytest

from kernel import (
    FLAG_EXACTLY_ONCE,
    FLAG_PERSISTENT,
    FLAG_RETAIN,
    ORIGIN_MQTT,
    Account,
    Acks,
    Counters,
    MqttDecoder,
    Packet,
    PacketIds,
    Publishes,
    Violation,
)
from kernel.poller import Poller

CONNECT_5 = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"
PINGREQ = b"\xc0\x00"


def test_publishes_come_in_runs_with_what_the_broker_must_know() -> None:
    decoder = MqttDecoder()
    assert decoder.receive_data(CONNECT_5) == [Packet(1, 0, CONNECT_5[2:])]
    assert decoder.stopped
    assert decoder.version == 5
    assert decoder.resume() == []
    publish = b"\x35\x0e\x00\x03a/b\x00\x07\x05\x02\x00\x00\x00\x02x"
    [frame] = decoder.receive_data(publish * 2)
    assert isinstance(frame, Publishes)
    flags = FLAG_PERSISTENT | FLAG_EXACTLY_ONCE | FLAG_RETAIN
    assert (frame.qos, frame.packet_ids) == (2, PacketIds.of([7, 7]))
    assert frame.messages.rows() == [(b"amq.topic", b"a/b", b"", b"x", flags, 2000)] * 2
    assert (frame.messages.origin, frame.messages.channel) == (ORIGIN_MQTT, 0)


def test_acknowledgements_come_together_by_kind_and_reason() -> None:
    decoder = MqttDecoder()
    decoder.receive_data(CONNECT_5)
    assert decoder.resume() == []
    frames = decoder.receive_data(b"\x40\x02\x00\x01\x40\x03\x00\x02\x00\x50\x03\x00\x03\x87")
    assert frames == [Acks(4, 0, PacketIds.of([1, 2])), Acks(5, 0x87, PacketIds.of([3]))]


def test_nothing_follows_a_violation() -> None:
    decoder = MqttDecoder(100)
    decoder.receive_data(CONNECT_5)
    decoder.resume()
    [violation] = decoder.receive_data(b"\x30\x63" + PINGREQ)
    assert isinstance(violation, Violation)
    assert (violation.code, violation.connection) == (0x95, True)
    assert violation.text == "packet of 101 bytes, at most 100 are allowed"
    assert decoder.receive_data(PINGREQ) == []


def test_its_settings_are_for_what_follows() -> None:
    decoder = MqttDecoder()
    assert (decoder.packet_size_max, decoder.topic_alias_max, decoder.version) == (65536, 0, 0)
    decoder.receive_data(CONNECT_5)
    decoder.packet_size_max, decoder.topic_alias_max = 20, 1
    decoder.resume()
    aliased = decoder.receive_data(b"\x30\x08\x00\x01t\x03\x23\x00\x01x\x30\x07\x00\x00\x03\x23\x00\x01y")
    assert [row[1:4:2] for row in aliased[0].messages.rows()] == [(b"t", b"x"), (b"t", b"y")]  # type: ignore[union-attr]
    [violation] = decoder.receive_data(b"\x30\x13")
    assert isinstance(violation, Violation)
    with pytest.raises(ValueError, match="a version is 3, 4 or 5"):
        decoder.version = 6


def test_packet_ids_are_what_they_were_made_of() -> None:
    ids = PacketIds.of([1, 65535, 1])
    assert (len(ids), ids.to_list(), repr(ids)) == (3, [1, 65535, 1], "PacketIds.of([1, 65535, 1])")
    assert ids != PacketIds.of([1, 65535])
    with pytest.raises(OverflowError):
        PacketIds.of([65536])


def test_the_poller_reads_with_it() -> None:
    poller = Poller(Counters(), Account("input", 0), Account("output", 0))
    ours, peer = socket.socketpair()
    with peer:
        poller.add(1, ours.detach(), MqttDecoder())
        peer.sendall(CONNECT_5 + PINGREQ)
        assert poller.round() == [(1, [Packet(1, 0, CONNECT_5[2:])])]
        assert poller.input_size(1) == len(PINGREQ)
        poller.wake(1)
        assert poller.round() == [(1, [Packet(12, 0, b"")])]
        with pytest.raises(TypeError, match="no decoder"):
            poller.add(2, peer.fileno(), object())  # type: ignore[arg-type]
