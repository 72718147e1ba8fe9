"""Conversations with an adapter, written as transcripts.

A transcript is a list of lines.  What is said to the adapter:

    C: 1 queue.declare queue=q durable      a method of the client's, on channel 1; words without = are bits
    C: 1 basic.publish routing_key=k body=hello count=3    with its content, three times; ``+``: in one breath
    C: header | heartbeat | octets 01 00 02      the protocol header; a heartbeat; any bytes, in hex
    core: QueueDeclared(1, "q", 0, 0)       what the core replies (Python, with ``broker.model.replies`` at hand)
    time: +2.5                              seconds go by, in one step
    C: end                                  the client hangs up

What the adapter then does, exactly and in order:

    S: 1 queue.declare-ok queue=q           a frame for the client; fields that are 0 or empty are left out
    asks: DeclareQueue(1, QueueSpec('q'))   a command for the core; so are fields that have their default
    closing                                 it wants to be hung up on
    deadline: +60                           the deadline, from now, where it changed
"""

from __future__ import annotations

import json
import shlex
import struct
from typing import Any

from broker.model import replies
from broker.model.names import ConsumerTag
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import AmqpDecoder, DeliveryRun, MessageRun
from protocols.amqp.connection import AmqpAdapter
from protocols.amqp.method_codec import HEARTBEAT_FRAME, PROTOCOL_HEADER, decode_method, encode_method
from protocols.amqp.methods import (
    FIELDS,
    METHOD_NAMES,
    BasicDeliver,
    BasicGetOk,
    BasicReturn,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Kind,
    Method,
)
from protocols.amqp.settings import AmqpSettings
from tests.protocols.transcript import conversation, replayed, split, struct_text

METHODS_BY_NAME = {name: method for method, name in METHOD_NAMES.items()}
CONTENT_METHODS = (BasicDeliver, BasicGetOk, BasicReturn)
START = 1000.0
"""The clock when a conversation begins."""

CAPABLE = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}

# What a client sends, as bytes.


def content(channel: int, body: bytes, properties: bytes = b"\0\0", frame_size_max: int = 131_072) -> bytes:
    """A content header and its body frames."""
    header = struct.pack(">HHQ", 60, 0, len(body)) + properties
    frames = [frame(2, channel, header)]
    step = frame_size_max - 8
    frames += [frame(3, channel, body[start : start + step]) for start in range(0, len(body), step)]
    return b"".join(frames)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Any frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel: int, name: str, **arguments: Any) -> bytes:
    """A method's frame; what is not given is 0 or empty."""
    return encode_method(channel, build(METHODS_BY_NAME[name], arguments))


EMPTY: dict[Kind, Any] = {
    Kind.OCTET: 0, Kind.SHORT: 0, Kind.LONG: 0, Kind.LONG_LONG: 0,
    Kind.SHORT_STRING: "", Kind.LONG_STRING: b"", Kind.TABLE: {}, Kind.BIT: False,
}  # fmt: skip


def build(kind: type[Method], arguments: dict[str, Any]) -> Method:
    """A method of which only some arguments are given."""
    unknown = arguments.keys() - {name for name, _ in FIELDS[kind]}
    assert not unknown, f"{kind.__name__} has no {unknown}"
    return kind(*(arguments.get(name, EMPTY[field]) for name, field in FIELDS[kind]))


def publish(channel: int, key: str = "k", body: bytes = b"", properties: bytes = b"\0\0", **arguments: Any) -> bytes:
    """A whole publish."""
    return method(channel, "basic.publish", routing_key=key, **arguments) + content(channel, body, properties)


def _client_line(words: list[str]) -> bytes:
    if words[0] == "header":
        return PROTOCOL_HEADER
    if words[0] == "heartbeat":
        return HEARTBEAT_FRAME
    if words[0] == "octets":
        return bytes.fromhex("".join(words[1:]))
    channel, name = int(words[0]), words[1]
    given = dict(word.split("=", 1) if "=" in word else [word, "true"] for word in words[2:])
    body, count, properties = given.pop("body", ""), int(given.pop("count", "1")), given.pop("properties", "0000")
    fields = dict(FIELDS[METHODS_BY_NAME[name]])
    arguments = {field: _value(fields[field], text) for field, text in given.items()}
    sent = method(channel, name, **arguments)
    if name == "basic.publish":
        sent += content(channel, body.encode(), bytes.fromhex(properties))
    return sent * count


def _value(kind: Kind, text: str) -> Any:
    match kind:
        case Kind.SHORT_STRING:
            return text.encode().decode("unicode_escape")
        case Kind.LONG_STRING:
            return text.encode().decode("unicode_escape").encode()
        case Kind.TABLE | Kind.BIT:
            return json.loads(text)
        case _:
            return int(text)


# What an adapter sends, as lines.


def server_lines(output: bytes) -> list[str]:
    """The frames in these bytes, a line each; a message's three are one."""
    lines: list[str] = []
    position = 0
    while position < len(output):
        if output[position : position + 4] == b"AMQP":
            lines.append("S: header")
            position += 8
            continue
        kind, channel, size = struct.unpack_from(">BHI", output, position)
        payload = output[position + 7 : position + 7 + size]
        assert output[position + 7 + size] == 0xCE, "a frame of ours is broken"
        position += 8 + size
        if kind == 8:
            lines.append("S: heartbeat")
        elif kind == 1:
            class_id, method_id = struct.unpack_from(">HH", payload)
            lines.append(f"S: {channel} {method_text(decode_method(class_id, method_id, payload[4:]))}")
        elif kind == 2:
            (body_size,) = struct.unpack_from(">Q", payload, 4)
            lines[-1] += f" properties={payload[12:].hex()} body_size={body_size}"
        else:
            lines[-1] += f" body={_text(payload.decode())}"
    return lines


def decoded_methods(output: bytes) -> list[Method]:
    """The methods of frames that are nothing else."""
    methods: list[Method] = []
    position = 0
    while position < len(output):
        kind, _, size = struct.unpack_from(">BHI", output, position)
        assert kind == 1
        class_id, method_id = struct.unpack_from(">HH", output, position + 7)
        methods.append(decode_method(class_id, method_id, output[position + 11 : position + 7 + size]))
        position += 8 + size
    return methods


def method_text(value: Method) -> str:
    """``queue.declare-ok queue=q message_count=3``."""
    parts = [METHOD_NAMES[type(value)]]
    for name, kind in FIELDS[type(value)]:
        argument = getattr(value, name)
        if kind is Kind.BIT:
            parts += [name] if argument else []
        elif argument:
            parts.append(f"{name}={_text(argument)}")
    return " ".join(parts)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, dict):
        return shlex.quote(json.dumps(value))
    text = str(value)
    return text if text and not set(text) & set(" '\"\\") else '"' + text.replace('"', '\\"') + '"'


def _kernel_text(value: Any) -> str | None:
    if isinstance(value, MessageRun):
        return "[" + ", ".join(f"{x.decode()}/{k.decode()}:{b.decode()}" for x, k, _, b, _, _ in value.rows()) + "]"
    return None


# The conversation.


def deliveries(*bodies: str, exchange: str = "x", key: str = "k", redelivered: bool = False) -> DeliveryRun:
    """A run of messages on their way to a consumer."""
    return DeliveryRun.of(messages(*bodies, exchange=exchange, key=key), 0, len(bodies), redelivered)


def messages(*bodies: str, exchange: str = "x", key: str = "k") -> MessageRun:
    """A run of messages as a publisher sent them."""
    rows = [(exchange.encode(), key.encode(), b"\0\0", body.encode(), 0, None) for body in bodies]
    return MessageRun.of(1, rows)


CORE_NAMES: dict[str, Any] = {
    **{name: getattr(replies, name) for name in dir(replies) if name[0].isupper()},
    "Refusal": Refusal,
    "deliveries": deliveries,
    "messages": messages,
}


class Conversation:
    """An adapter, the clock it is given, and what it did last."""

    def __init__(self, settings: AmqpSettings | None = None, *, loopback: bool = True) -> None:
        self.now = START
        self.decoder = AmqpDecoder()
        self.adapter = AmqpAdapter(self.decoder, settings or AmqpSettings(), loopback=loopback, now=self.now)
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
            lines += [f"asks: {struct_text(command, _kernel_text)}" for command in ready.commands]
            lines += server_lines(b"".join(bytes(part) for part in ready.output))
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
        words = shlex.split(what)
        match who:
            case "core":
                reply = eval(what, CORE_NAMES)
                return self.core(*(reply if isinstance(reply, tuple) else (reply,)))
            case "time":
                return self.passes(float(words[0]))
            case "C" if words == ["end"]:
                return self.hangs_up()
            case "C":
                return self.sends(b"".join(_client_line(part) for part in split(words, "+")))
        raise AssertionError(f"nobody says {line!r}")


def started(settings: AmqpSettings | None = None) -> Conversation:
    """A conversation past the protocol header."""
    talk = Conversation(settings)
    talk.sends(PROTOCOL_HEADER)
    return talk


def opened(
    settings: AmqpSettings | None = None,
    *,
    channels: int = 1,
    capabilities: dict[str, Any] = CAPABLE,
    heartbeat: int = 0,
    frame_max: int = 131_072,
) -> Conversation:
    """A conversation past its handshake, user ``guest``, with this many channels open."""
    talk = started(settings)
    start_ok = ConnectionStartOk({"capabilities": capabilities}, "PLAIN", b"\0guest\0guest", "en_US")
    talk.sends(encode_method(0, start_ok))
    talk.core(replies.Authenticated())
    talk.sends(encode_method(0, ConnectionTuneOk(2047, frame_max, heartbeat)))
    talk.sends(encode_method(0, ConnectionOpen("/")))
    assert "S: 0 connection.open-ok" in talk.core(replies.VhostOpened())
    for number in range(1, channels + 1):
        assert talk.sends(method(number, "channel.open")) == [
            f"asks: OpenChannel({number})",
            f"S: {number} channel.open-ok",
        ]
    return talk


__all__ = ["ConsumerTag", "Conversation", "conversation", "opened", "replayed"]
