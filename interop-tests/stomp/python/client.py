"""What each behaviour begins with: stomp.py 1.0, 1.1 and 1.2, its callbacks as queues."""

from __future__ import annotations

import queue
import secrets
from typing import NamedTuple
from urllib.parse import urlsplit

import stomp
from stomp.utils import Frame

WAIT_S = 20.0
SILENCE_S = 0.3

CONNECTIONS = {
    "1.0": stomp.StompConnection10,
    "1.1": stomp.StompConnection11,
    "1.2": stomp.StompConnection12,
}


def fresh(name: str) -> str:
    """A name nobody used."""
    return f"{name}-{secrets.token_hex(6)}"


class Message(NamedTuple):
    """A MESSAGE frame."""

    headers: dict[str, str]
    body: bytes

    @property
    def redelivered(self) -> bool:
        return self.headers.get("redelivered") == "true"


class Listener(stomp.ConnectionListener):
    """Keeps what comes until somebody asks for it."""

    def __init__(self) -> None:
        self.connected: queue.Queue[dict[str, str]] = queue.Queue()
        self.messages: queue.Queue[Message] = queue.Queue()
        self.receipts: queue.Queue[str] = queue.Queue()
        self.errors: queue.Queue[Message] = queue.Queue()
        self.ended: queue.Queue[None] = queue.Queue()
        self.silences = 0

    def on_connected(self, frame: Frame) -> None:
        self.connected.put(dict(frame.headers))

    def on_message(self, frame: Frame) -> None:
        self.messages.put(Message(dict(frame.headers), frame.body))

    def on_receipt(self, frame: Frame) -> None:
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: Frame) -> None:
        self.errors.put(Message(dict(frame.headers), frame.body))

    def on_disconnected(self) -> None:
        self.ended.put(None)

    def on_heartbeat_timeout(self) -> None:
        self.silences += 1


class Client:
    """One connection, opened once."""

    def __init__(self, broker: Broker, heart_beats: tuple[int, int]) -> None:
        self.version = broker.version
        self.connected: dict[str, str] = {}
        self.listener = Listener()
        options: dict[str, object] = {"auto_decode": False, "reconnect_attempts_max": 1}
        if self.version != "1.0":
            options |= {"vhost": "/", "heartbeats": heart_beats}
        self.stomp = CONNECTIONS[self.version]([(broker.host, broker.port)], **options)
        self.stomp.set_listener("behaviour", self.listener)

    def send(self, destination: str, body: bytes = b"", **headers: str) -> None:
        """Names are written with underlines for hyphens."""
        self.stomp.send(destination, body, headers=hyphened(headers))

    def send_surely(self, destination: str, body: bytes = b"", **headers: str) -> None:
        """Returns once the broker has it."""
        receipt = fresh("sent")
        self.send(destination, body, receipt=receipt, **headers)
        assert self.next_receipt() == receipt

    def subscribe(self, destination: str, ack: str = "auto", **headers: str) -> str:
        """Returns once the broker has done it; gives the subscription's id."""
        subscription, receipt = headers.pop("id", None) or fresh("subscription"), fresh("subscribed")
        self.stomp.subscribe(destination, subscription, ack, headers={"receipt": receipt, **hyphened(headers)})
        assert self.next_receipt() == receipt
        return subscription

    def unsubscribe(self, subscription: str, **headers: str) -> None:
        receipt = fresh("unsubscribed")
        self.stomp.unsubscribe(id=subscription, headers={"receipt": receipt, **hyphened(headers)})
        assert self.next_receipt() == receipt

    def settle(self, message: Message, verb: str = "ack", **fields: str) -> None:
        """ACK or NACK, by the name that the version has for a message."""
        settle = getattr(self.stomp, verb)
        if self.version == "1.2":
            settle(message.headers["ack"], **fields)
        elif self.version == "1.1":
            settle(message.headers["message-id"], message.headers["subscription"], **fields)
        else:
            settle(message.headers["message-id"], **fields)

    def next_message(self) -> Message:
        return self.listener.messages.get(timeout=WAIT_S)

    def take(self, count: int) -> list[bytes]:
        """The bodies of that many messages."""
        return [self.next_message().body for _ in range(count)]

    def next_receipt(self) -> str:
        return self.listener.receipts.get(timeout=WAIT_S)

    def next_error(self) -> Message:
        return self.listener.errors.get(timeout=WAIT_S)

    def wait_ended(self) -> None:
        self.listener.ended.get(timeout=WAIT_S)

    def assert_nothing_left(self, destination: str, **headers: str) -> None:
        """What is sent now is the next that comes."""
        marker = fresh("marker").encode()
        self.send(destination, marker, **headers)
        assert self.next_message().body == marker

    def disconnect(self) -> None:
        """Returns once the broker has said that it has everything, and hung up."""
        self.stomp.disconnect(fresh("disconnected"))
        self.wait_ended()

    def hang_up(self) -> None:
        """Without a DISCONNECT."""
        self.stomp.transport.disconnect_socket()
        self.wait_ended()


class Broker:
    """Whoever answers at a URL."""

    def __init__(self, url: str, version: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname, url
        self.host, self.port = parts.hostname, parts.port or 61613
        self.login, self.passcode = parts.username or "", parts.password or ""
        self.version = version

    def open(self, login: str, passcode: str, heart_beats: tuple[int, int] = (0, 0)) -> Client:
        """Sends CONNECT and doesn't wait for its answer."""
        client = Client(self, heart_beats)
        client.stomp.connect(login, passcode, wait=False)
        return client

    def connect(self, heart_beats: tuple[int, int] = (0, 0)) -> Client:
        """Returns once CONNECTED came."""
        client = self.open(self.login, self.passcode, heart_beats)
        client.connected = client.listener.connected.get(timeout=WAIT_S)
        return client


def hyphened(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
