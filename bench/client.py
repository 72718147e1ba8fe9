"""A small blocking AMQP client for what isn't measured: topology, idle connections, one delivery."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from pamqp import base, body, commands, exceptions, frame, header

TIMEOUT_S = 60.0
DECLARED_AT_ONCE = 100

FrameT = TypeVar("FrameT", bound=base.Frame)


class ClientError(Exception):
    """The broker refused, or didn't answer."""


class Client:
    """One connection with channel 1 open."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._buffer = b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        try:
            self._open()
        except BaseException:
            self._socket.close()
            raise

    def _open(self) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(header.ProtocolHeader().marshal())
        self._wait(commands.Connection.Start)
        self._send(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), 0)
        tune = self._wait(commands.Connection.Tune)
        self._send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), 0)
        self._send(commands.Connection.Open("/"), 0)
        self._wait(commands.Connection.OpenOk)
        self._send(commands.Channel.Open())
        self._wait(commands.Channel.OpenOk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def declare_queue(self, name: str, *, durable: bool, arguments: dict[str, str]) -> None:
        self._send(commands.Queue.Declare(queue=name, durable=durable, arguments=dict(arguments)))
        self._wait(commands.Queue.DeclareOk)

    def declare_queues(self, names: Sequence[str], *, durable: bool, arguments: dict[str, str]) -> None:
        """As ``declare_queue``, with many declarations on their way at once."""
        for number, name in enumerate(names):
            if number >= DECLARED_AT_ONCE:
                self._wait(commands.Queue.DeclareOk)
            self._send(commands.Queue.Declare(queue=name, durable=durable, arguments=dict(arguments)))
        for _ in names[:DECLARED_AT_ONCE]:
            self._wait(commands.Queue.DeclareOk)

    def delete_queue(self, name: str) -> None:
        self._send(commands.Queue.Delete(queue=name))
        self._wait(commands.Queue.DeleteOk)

    def declare_exchange(self, name: str, kind: str) -> None:
        self._send(commands.Exchange.Declare(exchange=name, exchange_type=kind))
        self._wait(commands.Exchange.DeclareOk)

    def delete_exchange(self, name: str) -> None:
        self._send(commands.Exchange.Delete(exchange=name))
        self._wait(commands.Exchange.DeleteOk)

    def bind(self, queue: str, exchange: str, key: str) -> None:
        self._send(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key))
        self._wait(commands.Queue.BindOk)

    def message_count(self, queue: str) -> int:
        self._send(commands.Queue.Declare(queue=queue, passive=True))
        return self._wait(commands.Queue.DeclareOk).message_count or 0

    def consume_one(self, queue: str) -> None:
        """Returns once one message of the queue was delivered; it isn't acknowledged."""
        self._send(commands.Basic.Qos(prefetch_count=1))
        self._wait(commands.Basic.QosOk)
        self._send(commands.Basic.Consume(queue=queue, consumer_tag="one"))
        self._wait(commands.Basic.ConsumeOk)
        self._wait(commands.Basic.Deliver)

    def select_confirms(self) -> None:
        self._send(commands.Confirm.Select())
        self._wait(commands.Confirm.SelectOk)

    def publish(self, queue: str, content: bytes) -> None:
        """Publishes one persistent message."""
        properties = commands.Basic.Properties(delivery_mode=2)
        method = frame.marshal(commands.Basic.Publish(routing_key=queue), 1)
        head = frame.marshal(header.ContentHeader(body_size=len(content), properties=properties), 1)
        self._socket.sendall(method + head + frame.marshal(body.ContentBody(content), 1))

    def answers(self, timeout_s: float) -> Iterator[object]:
        """The frames that are here, or else those that come with the next bytes in that time."""
        if select.select([self._socket], [], [], timeout_s)[0]:
            self._read()
        while (received := self._parse()) is not None:
            self._check(received)
            yield received

    def _send(self, method: base.Frame, channel: int = 1) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def _wait(self, expected: type[FrameT]) -> FrameT:
        """The next frame of the ``expected`` kind; ClientError at a close or the end."""
        while True:
            received = self._next()
            if isinstance(received, expected):
                return received
            self._check(received)

    def _check(self, received: object) -> None:
        if isinstance(received, commands.Channel.Close | commands.Connection.Close):
            raise ClientError(f"{received.reply_code} {received.reply_text}")

    def _next(self) -> object:
        while True:
            received = self._parse()
            if received is not None:
                return received
            self._read()

    def _parse(self) -> object | None:
        """The next frame that is here whole."""
        try:
            size, _, received = frame.unmarshal(self._buffer)
        except exceptions.UnmarshalingException:
            return None
        if not size:
            return None
        self._buffer = self._buffer[size:]
        return received

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ClientError("the broker hung up")
        self._buffer += data
