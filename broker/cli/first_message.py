"""A first message with nothing but what Dragoman itself needs: the two lines of its banner.

A client of AMQP 0-9-1 in its shortest form, for any broker.  Programs use a client library (see the README).
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterator
from typing import TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

from pamqp import body, commands, frame, header

ANSWER_TIMEOUT_S = 10.0
FrameT = TypeVar("FrameT")
CHANNEL = 1


class Client:
    """A connection with one channel."""

    def __init__(self, url: SplitResult) -> None:
        address = (url.hostname or "127.0.0.1", url.port or 5672)
        self._socket = socket.create_connection(address, ANSWER_TIMEOUT_S)
        self._frames = self._receive()
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(commands.Connection.Start)
        login = f"\0{unquote(url.username or 'guest')}\0{unquote(url.password or 'guest')}"
        self.send(commands.Connection.StartOk({}, "PLAIN", login, "en_US"), channel=0)
        tune = self.expect(commands.Connection.Tune)
        self.send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), channel=0)
        self.send(commands.Connection.Open(unquote(url.path[1:]) or "/"), channel=0)
        self.expect(commands.Connection.OpenOk)
        self.send(commands.Channel.Open())
        self.expect(commands.Channel.OpenOk)

    def send(self, *values: object, channel: int = CHANNEL) -> None:
        self._socket.sendall(b"".join(frame.marshal(cast("frame.FrameTypes", value), channel) for value in values))

    def expect(self, kind: type[FrameT]) -> FrameT:
        """The next frame of this kind."""
        for value in self._frames:
            if isinstance(value, kind):
                return value
            if isinstance(value, commands.Connection.Close | commands.Channel.Close):
                raise SystemExit(f"refused: {value.reply_code} {value.reply_text}")
        raise SystemExit("the broker hung up")

    def wait_forever(self) -> None:
        """Answers may take as long as they like from now on."""
        self._socket.settimeout(None)

    def close(self) -> None:
        self.send(commands.Connection.Close(200, "", 0, 0), channel=0)
        self.expect(commands.Connection.CloseOk)
        self._socket.close()

    def _receive(self) -> Iterator[object]:
        data = b""
        while received := self._socket.recv(1 << 16):
            data += received
            while len(data) >= 7 and len(data) >= 8 + int.from_bytes(data[3:7], "big"):
                size, _, value = frame.unmarshal(data)
                data = data[size:]
                yield value


def send(client: Client, queue: str, text: str) -> None:
    """Returns once the message is on disk."""
    client.send(commands.Queue.Declare(queue=queue, durable=True))
    client.expect(commands.Queue.DeclareOk)
    client.send(commands.Confirm.Select())
    client.expect(commands.Confirm.SelectOk)
    content = text.encode()
    properties = commands.Basic.Properties(delivery_mode=2, content_type="text/plain")
    client.send(
        commands.Basic.Publish(exchange="", routing_key=queue),
        header.ContentHeader(body_size=len(content), properties=properties),
        *([body.ContentBody(content)] if content else []),
    )
    client.expect(commands.Basic.Ack)
    print("confirmed")


def receive(client: Client, queue: str) -> None:
    """Prints what comes, until it is interrupted."""
    client.send(commands.Queue.Declare(queue=queue, durable=True))
    client.expect(commands.Queue.DeclareOk)
    client.send(commands.Basic.Consume(queue=queue))
    client.expect(commands.Basic.ConsumeOk)
    client.wait_forever()
    print(f"waiting for messages in {queue}; Ctrl-C ends", file=sys.stderr)
    while True:
        delivery = client.expect(commands.Basic.Deliver)
        left = client.expect(header.ContentHeader).body_size
        content = b""
        while left > len(content):
            content += client.expect(body.ContentBody).value
        print(content.decode(errors="replace"), flush=True)
        client.send(commands.Basic.Ack(delivery.delivery_tag or 0))


def main() -> None:
    parser = argparse.ArgumentParser(prog="first_message", description=__doc__)
    parser.add_argument("action", choices=["send", "receive"])
    parser.add_argument("url", type=urlsplit)
    parser.add_argument("queue")
    parser.add_argument("text", nargs="?", default="Hello, world")
    arguments = parser.parse_args()
    try:
        client = Client(arguments.url)
        if arguments.action == "send":
            send(client, arguments.queue, arguments.text)
            client.close()
        else:
            receive(client, arguments.queue)
    except OSError as error:
        raise SystemExit(f"first_message: {error}") from None
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
