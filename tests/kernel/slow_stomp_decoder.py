"""What kernel/src/stomp does, slowly: written from the specifications' text and RabbitMQ's grammar, a stream at a time.

Facts: ``("send", kind, exchange, key, properties, body, flags, expiration, receipt, transaction, parameters,
temp queue)``, ``("settle", channel, tag, kind)``, ``("frame", command, headers, settled)``, ``("eols", count)``
once at the end, and ``("violation", message, receipt id)``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from kernel import (
    DESTINATION_AMQ_QUEUE,
    DESTINATION_EXCHANGE,
    DESTINATION_QUEUE,
    DESTINATION_REPLY_QUEUE,
    DESTINATION_TEMP_QUEUE,
    DESTINATION_TOPIC,
    FLAG_HAS_USER_ID,
    FLAG_PERSISTENT,
    SettleKind,
)

Fact = tuple[Any, ...]
Headers = list[tuple[bytes, bytes]]

COMMANDS = b"CONNECT STOMP SEND SUBSCRIBE UNSUBSCRIBE ACK NACK BEGIN COMMIT ABORT DISCONNECT".split()
PARAMETERS = (
    b"x-queue-name x-queue-type x-message-ttl x-expires x-max-length x-max-length-bytes x-overflow x-max-priority "
    b"x-dead-letter-exchange x-dead-letter-routing-key x-single-active-consumer x-max-age "
    b"x-stream-max-segment-size-bytes x-stream-filter-size-bytes exclusive auto-delete durable"
).split()
ESCAPES = {b"\\n": b"\n", b"\\r": b"\r", b"\\c": b":", b"\\\\": b"\\"}
PLAIN_NAMES = {
    b"/queue/": DESTINATION_QUEUE,
    b"/topic/": DESTINATION_TOPIC,
    b"/amq/queue/": DESTINATION_AMQ_QUEUE,
    b"/temp-queue/": DESTINATION_TEMP_QUEUE,
}


class Broken(Exception):
    """The peer broke the protocol: ERROR's message."""


class MoreNeeded(Exception):
    """The stream ends within a frame."""


def escaped(text: bytes) -> bytes:
    plain = {value: key for key, value in ESCAPES.items()}
    return b"".join(plain.get(byte, byte) for byte in (text[i : i + 1] for i in range(len(text))))


def unescaped(text: bytes) -> bytes:
    def replaced(found: re.Match[bytes]) -> bytes:
        if found[0] not in ESCAPES:
            raise Broken("Malformed frame")
        return ESCAPES[found[0]]

    return re.sub(rb"\\.?", replaced, text, flags=re.DOTALL)


def checked_name(name: bytes, what: str) -> bytes:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise Broken(f"Invalid {what}") from None
    if not 0 < len(name) <= 255 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise Broken(f"Invalid {what}")
    return name


def destination_of(text: bytes, what: str = "destination") -> tuple[int, bytes, bytes]:
    def name(part: bytes) -> bytes:
        if re.fullmatch(rb"([^/%]|%[0-9A-Fa-f]{2})*", part, re.DOTALL) is None:
            raise Broken(f"Invalid {what}")
        return checked_name(re.sub(rb"%(..)", lambda found: bytes([int(found[1], 16)]), part), what)

    for prefix, kind in PLAIN_NAMES.items():
        if text.startswith(prefix):
            return kind, b"amq.topic" if prefix == b"/topic/" else b"", name(text.removeprefix(prefix))
    if text.startswith(b"/exchange/"):
        exchange, _, key = text.removeprefix(b"/exchange/").partition(b"/")
        return DESTINATION_EXCHANGE, name(exchange), name(key) if key else b""
    if text.startswith(b"/reply-queue/"):
        return DESTINATION_REPLY_QUEUE, b"", checked_name(text.removeprefix(b"/reply-queue/"), what)
    raise Broken(f"Unknown {what}")


@dataclass
class SlowStompDecoder:
    """A whole stream's facts; CONNECT's version and session are given beforehand."""

    version: int
    session: bytes
    frame_size_max: int
    connected: bool = False
    facts: list[Fact] = field(default_factory=list)
    eols: int = 0

    def decode(self, stream: bytes) -> list[Fact]:
        at, own_eol = 0, False
        try:
            while at < len(stream):
                eol = re.compile(rb"\r?\n").match(stream, at)
                if eol is not None:
                    self.eols += not own_eol
                    at, own_eol = eol.end(), False
                    continue
                at, own_eol = self.take_frame(stream, at), True
        except MoreNeeded:
            pass
        return [*self.facts, ("eols", self.eols)]

    def take_frame(self, stream: bytes, start: int) -> int:
        """Where the next begins."""
        self.lines: list[bytes] = []
        try:
            return self.frame(stream, start)
        except Broken as broken:
            receipt = next((v for n, v in self.readable_headers() if n == b"receipt"), b"")
            self.facts.append(("violation", str(broken), receipt))
            raise MoreNeeded from None

    def frame(self, stream: bytes, start: int) -> int:
        at, cut_short = self.head(stream, start)
        command = self.lines[0]
        self.check_command(command)
        try:
            stream[start:at].decode()
        except UnicodeDecodeError:
            raise Broken("Malformed frame") from None
        send, length = None, None
        if command == b"SEND":
            headers = self.headers()
            send = self.send(headers)
            length = next((self.length(v) for n, v in headers if n == b"content-length"), None)
        else:
            length = next((self.length(v) for n, v in self.readable_headers() if n == b"content-length"), None)
        if cut_short and length:
            raise Broken("Malformed frame")
        if length is not None and at - start + length + 1 > self.frame_size_max:
            raise Broken("Frame too large")
        if length and not self.may_have_body(command):
            raise Broken("Malformed frame")
        end = self.body_end(stream, start, at, command, length)
        if send is not None:
            self.facts.append((*send[:5], stream[at:end], *send[5:]))
        else:
            self.other(command)
        return end + 1

    def head(self, stream: bytes, start: int) -> tuple[int, bool]:
        at, crlf = start, False
        while True:
            most = 8192 if self.lines else 32
            end = next((i for i in range(at, min(len(stream), at + most + 1)) if stream[i] in b"\n\0"), None)
            if end is None or end - start > self.frame_size_max:
                limits = {start + self.frame_size_max: "Frame too large"}
                limits.setdefault(at + most, "Header line too long" if self.lines else "Command too long")
                if len(stream) > min(limits):
                    raise Broken(limits[min(limits)])
                raise MoreNeeded
            if stream[end] == 0:
                if end == at and self.lines:
                    return end, True
                raise Broken("Malformed frame")
            line = stream[at:end]
            if line.endswith(b"\r") and (not self.lines or crlf or not self.connected or self.version == 12):
                line, crlf = line[:-1], True
            if not line and self.lines:
                return end + 1, False
            if len(self.lines) > 100:
                raise Broken("Too many headers")
            self.lines.append(line)
            at = end + 1

    def check_command(self, command: bytes) -> None:
        if command not in COMMANDS:
            raise Broken("Unknown command")
        if (command in (b"CONNECT", b"STOMP")) == self.connected:
            raise Broken("Already connected" if self.connected else "Not connected")
        if command == b"NACK" and self.version == 10:
            raise Broken("Unknown command")

    def header(self, line: bytes) -> tuple[bytes, bytes]:
        name, colon, value = line.partition(b":")
        version = self.version if self.connected else 0
        if version < 11 and not self.is_newer_connect():
            name, value = name.strip(b" \t\n\x0c\r"), value.strip(b" \t\n\x0c\r")
        if not colon or not name:
            raise Broken("Malformed frame")
        return (name, value) if version < 11 else (unescaped(name), unescaped(value))

    def is_newer_connect(self) -> bool:
        return not self.connected and any(
            line.partition(b":")[0].strip() == b"accept-version" for line in self.lines[1:]
        )

    def headers(self) -> Headers:
        first: dict[bytes, bytes] = {}
        for line in self.lines[1:]:
            name, value = self.header(line)
            first.setdefault(name, value)
        return list(first.items())

    def readable_headers(self) -> Headers:
        """Those that are headers; around a CONNECT's, spaces never matter here."""
        readable = []
        for line in self.lines[1:]:
            try:
                name, value = self.header(line)
            except Broken:
                continue
            readable.append((name, value) if self.connected else (name.strip(), value.strip()))
        return readable

    def length(self, text: bytes) -> int:
        if re.fullmatch(rb"[0-9]+", text) is None:
            raise Broken("Invalid header")
        return int(text)

    def may_have_body(self, command: bytes) -> bool:
        if command == b"SEND":
            return True
        return self.version < 11 if self.connected else not self.is_newer_connect()

    def body_end(self, stream: bytes, start: int, at: int, command: bytes, length: int | None) -> int:
        if length is not None:
            if at + length >= len(stream):
                raise MoreNeeded
            if stream[at + length] != 0:
                raise Broken("Malformed frame")
            return at + length
        if at < len(stream) and stream[at] != 0 and not self.may_have_body(command):
            raise Broken("Malformed frame")
        end = stream.find(b"\0", at, start + self.frame_size_max)
        if end < 0:
            if len(stream) - start > self.frame_size_max:
                raise Broken("Frame too large")
            raise MoreNeeded
        return end

    def send(self, headers: Headers) -> Fact:
        known = dict(headers)
        if b"message-id" in known or known.get(b"transaction") == b"":
            raise Broken("Invalid header")
        if b"content-length" in known:
            self.length(known[b"content-length"])
        if b"destination" not in known:
            raise Broken("Missing header")
        kind, exchange, key = destination_of(known[b"destination"])
        if kind == DESTINATION_TEMP_QUEUE:
            raise Broken("Invalid destination")
        temp_queue = b""
        if known.get(b"reply-to", b"").startswith(b"/temp-queue/"):
            temp_queue = destination_of(known[b"reply-to"], "reply-to")[2]
        expiration = known.get(b"expiration", b"")
        expiration_ms = None
        if re.fullmatch(rb"[0-9]+", expiration) and int(expiration) < 2**32:
            expiration_ms = min(int(expiration), 2**32 - 2)
        gone = {b"destination", b"content-length", b"receipt", b"transaction", b"persistent"}
        gone |= {b"expiration"} if expiration_ms is not None else set()
        properties = b"".join(escaped(n) + b":" + escaped(v) + b"\n" for n, v in headers if n not in gone)
        flags = FLAG_PERSISTENT if known.get(b"persistent") == b"true" else 0
        flags |= FLAG_HAS_USER_ID if b"user-id" in known else 0
        parameters = [(n, v) for n, v in headers if n in PARAMETERS and kind == DESTINATION_QUEUE]
        receipt, transaction = known.get(b"receipt"), known.get(b"transaction", b"")
        more = (flags, expiration_ms, receipt, transaction, parameters, temp_queue)
        return ("send", kind, exchange, key, properties, *more)

    def other(self, command: bytes) -> None:
        headers = self.headers()
        settled = self.settled(command, dict(headers)) if command in (b"ACK", b"NACK") else None
        if settled is not None and not {b"receipt", b"transaction"} & dict(headers).keys():
            self.facts.append(("settle", *settled))
            return
        if command in (b"CONNECT", b"STOMP"):
            command, self.connected = b"CONNECT", True
        self.facts.append(("frame", command, headers, settled))

    def settled(self, command: bytes, known: dict[bytes, bytes]) -> Fact:
        name = b"id" if self.version == 12 else b"message-id"
        if name not in known:
            raise Broken("Missing header")
        found = re.fullmatch(rb"([0-9]+)@@%s@@([0-9]+)" % re.escape(self.session), known[name])
        if found is None or int(found[1]) > 65535 or not 0 < int(found[2]) < 2**64:
            raise Broken("Message not found")
        kinds = {None: SettleKind.NACK, b"true": SettleKind.NACK_REQUEUE, b"false": SettleKind.REJECT}
        if command == b"ACK":
            return int(found[1]), int(found[2]), SettleKind.ACK
        if known.get(b"requeue") not in kinds:
            raise Broken("Invalid header")
        return int(found[1]), int(found[2]), kinds[known.get(b"requeue")]
