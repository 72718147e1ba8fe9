"""A small blocking AMQP client for what isn't measured: topology, idle connections, one delivery."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self, TypeVar

from pamqp import base, body, commands, exceptions, frame, header

TIMEOUT_S = 60.0

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

    def _send(self, method: base.Frame, channel: int = 1) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def _wait(self, expected: type[FrameT]) -> FrameT:
        """The next frame of the ``expected`` kind; ClientError at a close or the end."""
        while True:
            received = self._next()
            if isinstance(received, expected):
                return received
            if isinstance(received, commands.Channel.Close | commands.Connection.Close):
                raise ClientError(f"{received.reply_code} {received.reply_text}")

    def _next(self) -> object:
        while True:
            try:
                size, _, received = frame.unmarshal(self._buffer)
            except exceptions.UnmarshalingException:
                size = 0
            if size:
                self._buffer = self._buffer[size:]
                assert not isinstance(received, body.ContentBody) or size > 0
                return received
            data = self._socket.recv(65536)
            if not data:
                raise ClientError("the broker hung up")
            self._buffer += data
