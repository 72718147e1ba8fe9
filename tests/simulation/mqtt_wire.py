"""MQTT 3.1.1 and 5 as a client sees them: bytes to packets and back, nothing of the broker's in it."""

from __future__ import annotations

import struct

import msgspec

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT = 8, 9, 10, 11, 14
ACKS = (PUBACK, PUBREC, PUBREL, PUBCOMP)
SESSION_EXPIRY, RECEIVE_MAXIMUM = 0x11, 0x21
V3, V5 = 4, 5
NEVER = 0xFFFFFFFF


class Packet(msgspec.Struct):
    """What came; of each kind some fields mean nothing."""

    kind: int
    packet_id: int = 0
    reason: int = 0
    present: bool = False
    """Session Present."""
    qos: int = 0
    dup: bool = False
    retain: bool = False
    topic: str = ""
    body: bytes = b""
    codes: bytes = b""


class Incoming:
    """A connection's bytes, as they come."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[Packet]:
        """What is complete now.  An assertion fails where the broker breaks the framing."""
        buffer = self._buffer
        buffer += data
        packets: list[Packet] = []
        position = 0
        while (head := _size(buffer, position + 1)) is not None:
            size, start = head
            if len(buffer) < start + size:
                break
            packets.append(self._read(buffer[position], bytes(buffer[start : start + size])))
            position = start + size
        del buffer[:position]
        return packets

    def _read(self, first: int, body: bytes) -> Packet:
        kind, flags = first >> 4, first & 15
        if kind == PUBLISH:
            return self._publish(flags, body)
        assert flags == (2 if kind == PUBREL else 0), f"flags {flags} of packet {kind}"
        if kind == CONNACK:
            assert body[0] < 2
            return Packet(kind, reason=body[1], present=bool(body[0]))
        if kind == DISCONNECT:
            assert self._version == V5, "a server has DISCONNECT in MQTT 5 only"
            return Packet(kind, reason=body[0] if body else 0)
        (packet_id,) = struct.unpack_from(">H", body)
        if kind in ACKS:
            assert len(body) == 2 or self._version == V5
            return Packet(kind, packet_id, reason=body[2] if len(body) > 2 else 0)
        assert kind in (SUBACK, UNSUBACK), f"packet {kind}"
        return Packet(kind, packet_id, codes=body[self._after_properties(body, 2) :])

    def _publish(self, flags: int, body: bytes) -> Packet:
        qos = flags >> 1 & 3
        (size,) = struct.unpack_from(">H", body)
        at = 2 + size
        topic = body[2:at].decode()
        packet_id = 0
        if qos:
            (packet_id,) = struct.unpack_from(">H", body, at)
            assert packet_id, "packet id 0"
            at += 2
        at = self._after_properties(body, at)
        return Packet(
            PUBLISH, packet_id, qos=qos, dup=bool(flags & 8), retain=bool(flags & 1), topic=topic, body=body[at:]
        )

    def _after_properties(self, body: bytes, at: int) -> int:
        if self._version != V5:
            return at
        head = _size(body, at)
        assert head is not None
        return head[0] + head[1]


def _size(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends; None: there is more to come."""
    value = 0
    for shift in range(0, 28, 7):
        if at >= len(data):
            return None
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise AssertionError("a length of more than four bytes")


def _packet(first: int, body: bytes) -> bytes:
    size, encoded = len(body), bytearray()
    while size > 127:
        encoded.append(size & 127 | 128)
        size >>= 7
    encoded.append(size)
    return bytes((first,)) + encoded + body


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def connect(version: int, client_id: str, clean: bool, expiry_s: int, receive_max: int) -> bytes:
    """Without keep-alive.  ``expiry_s`` and ``receive_max`` are MQTT 5's."""
    body = _string("MQTT") + bytes((version, 2 if clean else 0, 0, 0))
    if version == V5:
        properties = struct.pack(">BIBH", SESSION_EXPIRY, expiry_s, RECEIVE_MAXIMUM, receive_max)
        body += bytes((len(properties),)) + properties
    return _packet(0x10, body + _string(client_id))


def publish(
    version: int, topic: str, body: bytes, qos: int, packet_id: int, dup: bool = False, retain: bool = False
) -> bytes:
    first = PUBLISH << 4 | dup << 3 | qos << 1 | retain
    head = _string(topic) + (struct.pack(">H", packet_id) if qos else b"")
    return _packet(first, head + (b"\0" if version == V5 else b"") + body)


def ack(kind: int, packet_id: int) -> bytes:
    return _packet(kind << 4 | (2 if kind == PUBREL else 0), struct.pack(">H", packet_id))


def subscribe(version: int, packet_id: int, filters: list[tuple[str, int]]) -> bytes:
    body = struct.pack(">H", packet_id) + (b"\0" if version == V5 else b"")
    return _packet(SUBSCRIBE << 4 | 2, body + b"".join(_string(text) + bytes((qos,)) for text, qos in filters))


def disconnect() -> bytes:
    return _packet(DISCONNECT << 4, b"")
