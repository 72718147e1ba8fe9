"""Conversations with an adapter, written as transcripts.

A transcript is a list of lines.  What is said to the adapter:

    C: CONNECT login:guest passcode:guest               a frame with its headers (quoted if there are spaces)
    C: SEND destination:/queue/a receipt:1 | hello       and its body
    C: SEND*3 destination:/queue/a receipt:{} | {}       three of them, numbered from 1; ``+``: in one breath
    C: octets 0a 0a                                      any bytes, in hex
    core: ConsumerStarted(1, "T_0")                      what the core replies (Python, with its replies at hand)
    time: +2.5                                           seconds go by, in one step
    C: end                                               the client hangs up

What the adapter then does, exactly and in order:

    asks: OpenVhost('/')                                 a command for the core; what has its default is left out
    S: RECEIPT receipt-id:1                              a frame for the client; ``~``: a heart-beat
    closing                                              it wants to be hung up on
    deadline: +60                                        the deadline, from now, where it changed
"""

from __future__ import annotations

import shlex
from typing import Any

from broker.model import replies
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import FLAG_PERSISTENT, ORIGIN_STOMP, DeliveryRun, MessageRun, StompDecoder
from protocols.stomp.connecting import BasicAuth
from protocols.stomp.connection import StompAdapter
from protocols.stomp.settings import StompSettings
from protocols.stomp.version import Version
from tests.protocols.stomp.wire import ServerFrame, frame, read_frames
from tests.protocols.transcript import conversation, replayed, split, struct_text

V1_0, V1_1, V1_2 = Version
START = 1000.0
"""The clock when a conversation begins."""
SESSION = "s"

# What a client sends, as bytes.


def _client_line(version: Version, words: list[str]) -> bytes:
    name, *rest = words
    if name == "octets":
        return bytes.fromhex("".join(rest))
    command, _, count = name.partition("*")
    body = ""
    if "|" in rest:
        at = rest.index("|")
        rest, body = rest[:at], " ".join(rest[at + 1 :])
    sent = b""
    for number in range(1, int(count or 1) + 1):
        headers = [word.replace("{}", str(number)).split(":", 1) for word in rest]
        assert all(len(header) == 2 for header in headers), f"no header: {rest}"
        pairs = [(name, value) for name, value in headers]
        sent += frame(command, *pairs, body=body.replace("{}", str(number)).encode(), version=version)
    return sent


# What an adapter sends, as lines.


def server_lines(output: bytes, version: Version) -> list[str]:
    """The frames in these bytes, a line each."""
    return [f"S: {frame_text(each)}" for each in read_frames(output, version)]


def frame_text(read: ServerFrame) -> str:
    """``RECEIPT receipt-id:1``."""
    if not read.command:
        return "~"
    words = [read.command, *(_text(f"{name}:{value}") for name, value in read.headers)]
    return " ".join(words) + (f" | {_text(read.body.decode().rstrip())}" if read.body else "")


def _text(text: str) -> str:
    return text if text.isprintable() and not set(text) & set(" \"'\\") else repr(text)


def kernel_text(value: Any) -> str | None:
    """Message runs with destination, body, headers and what else there is."""
    if isinstance(value, bytes):
        return _text(value.decode())
    if not isinstance(value, MessageRun):
        return None
    texts = []
    for exchange, key, properties, body, flags, expiration_ms in value.rows():
        parts = [f"{exchange.decode()}/{key.decode()}:{body.decode()}", *properties.decode().splitlines()]
        parts += ["persistent"] if flags & FLAG_PERSISTENT else []
        parts += [] if expiration_ms is None else [f"{expiration_ms}ms"]
        texts.append(" ".join(parts))
    return f"[{', '.join(texts)}]"


# The conversation.


def messages(
    *bodies: str, exchange: str = "", key: str = "a", headers: str = "", persistent: bool = False
) -> MessageRun:
    """A run of messages as a client sent them; ``headers``: as they are kept."""
    flags = FLAG_PERSISTENT if persistent else 0
    rows = [(exchange.encode(), key.encode(), headers.encode(), body.encode(), flags, None) for body in bodies]
    return MessageRun.of(0, rows, ORIGIN_STOMP)


def deliveries(*bodies: str, redelivered: bool = False, **options: Any) -> DeliveryRun:
    """The same on their way to a subscriber."""
    run = messages(*bodies, **options)
    return DeliveryRun.of(run, 0, run.count, redelivered)


CORE_NAMES: dict[str, Any] = {
    **{name: getattr(replies, name) for name in dir(replies)},
    "Refusal": Refusal,
    "deliveries": deliveries,
}


class Conversation:
    """An adapter, the clock it is given, and what it did last."""

    def __init__(
        self,
        version: Version = V1_2,
        *,
        loopback: bool = True,
        basic_auth: BasicAuth | None = None,
        **settings: Any,
    ) -> None:
        self.version = version
        self.now = START
        self.decoder = StompDecoder()
        self.adapter = StompAdapter(
            self.decoder, StompSettings(**settings), SESSION, loopback=loopback, now=self.now, basic_auth=basic_auth
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


def connected(version: Version = V1_2, *, connect: str = "login:me passcode:pw", **settings: Any) -> Conversation:
    """A conversation past its CONNECTED."""
    talk = Conversation(version, **settings)
    talk.reads(f"C: CONNECT accept-version:{version.text} {connect}")
    said = talk.core(replies.Authenticated(), replies.VhostOpened())
    assert any(line.startswith("S: CONNECTED") for line in said), said
    return talk


def subscribed(
    destination: str = "/queue/a", ack: str = "client-individual", version: Version = V1_2, **settings: Any
) -> Conversation:
    """A conversation with the subscription ``0`` on channel 1."""
    talk = connected(version, **settings)
    talk.reads(f"C: SUBSCRIBE id:0 destination:{destination} ack:{ack}")
    talk.core(replies.QueueDeclared(0, "q", 0, 0))  # type: ignore[arg-type]
    if not destination.startswith(("/queue", "/amq/queue")):
        talk.core(replies.Done(0))  # type: ignore[arg-type]
    talk.core(replies.ConsumerStarted(1, "T_0"))  # type: ignore[arg-type]
    return talk


__all__ = ["V1_0", "V1_1", "V1_2", "Conversation", "Version", "connected", "conversation", "replayed", "subscribed"]
