"""What every Python client is used through: one client's end of one connection, as blocking calls.

Property names are the specification's, in snake case: ``message_expiry_interval``, ``user_property`` (a list of pairs),
``subscription_identifier`` (a list where the broker sends it).  Reason codes are MQTT 5's also for 3.1.1.
"""

from __future__ import annotations

import abc
import queue
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WAIT_S = 10.0
"""For what must come.  What must not come is bounded by a marker that comes after it."""

NOTHING: Mapping[str, object] = {}


class Address(NamedTuple):
    """A broker, the protocol level to speak with it (3: 3.1, 4: 3.1.1, 5), and who to be."""

    host: str
    port: int
    user: str
    password: str
    level: int


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Mapping[str, object] = field(default_factory=dict)


class Filter(NamedTuple):
    """A topic filter and its subscription options."""

    text: str
    qos: int = 2
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Connack(NamedTuple):
    session_present: bool | None
    """None where it isn't told: by 3.1, or by the client to us."""
    properties: Mapping[str, object]


class RefusedError(Exception):
    """The broker said no to a CONNECT, with this reason code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code:#x}")
        self.code = code


@dataclass
class Options:
    """How a client connects."""

    client_id: str
    clean: bool = True
    keep_alive_s: int = 60
    will: Message | None = None
    manual_ack: bool = False
    user: str | None = None
    password: str | None = None
    properties: Mapping[str, object] = field(default_factory=dict)


class Device(abc.ABC):
    """One client.  ``connect`` first; may be connected again after it was disconnected or lost."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self.options = options
        self.received: queue.Queue[Message] = queue.Queue()
        self.ended: queue.Queue[int | None] = queue.Queue()
        """The reason code of the broker's DISCONNECT, or None where it hung up without one."""

    @abc.abstractmethod
    def connect(self) -> Connack:
        """Raises RefusedError."""

    @abc.abstractmethod
    def subscribe(self, *filters: Filter, identifier: int | None = None) -> list[int]:
        """The reason codes of the SUBACK."""

    @abc.abstractmethod
    def unsubscribe(self, text: str) -> None: ...

    @abc.abstractmethod
    def publish(self, message: Message) -> int:
        """Returns when the exchange is complete, with its reason code."""

    @abc.abstractmethod
    def publish_all(self, messages: Sequence[Message]) -> None:
        """In order, without waiting for each."""

    @abc.abstractmethod
    def disconnect(self, reason: int = 0, properties: Mapping[str, object] = NOTHING) -> None:
        """With a DISCONNECT."""

    @abc.abstractmethod
    def hang_up(self) -> None:
        """Without one."""

    @abc.abstractmethod
    def ping(self) -> None:
        """Returns when a PINGRESP came, which the client asked for by itself."""

    def acknowledge(self, message: Message) -> None:
        """The oldest that was not acknowledged yet; for ``manual_ack`` only."""
        raise NotImplementedError

    def next_message(self, timeout_s: float = WAIT_S) -> Message:
        try:
            return self.received.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"{self.options.client_id}: no message within {timeout_s} s") from None

    def payloads(self, count: int) -> list[bytes]:
        return [self.next_message().payload for _ in range(count)]

    def messages_until(self, marker: bytes) -> list[Message]:
        """All that come before the message with the payload ``marker``."""
        got: list[Message] = []
        while (message := self.next_message()).payload != marker:
            got.append(message)
        return got

    def wait_ended(self) -> int | None:
        try:
            return self.ended.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"{self.options.client_id}: still connected") from None


def fresh(name: str) -> str:
    """A name nobody used; within the 23 characters that 3.1 allows for a client id."""
    return f"{name[:10]}-{uuid.uuid4().hex[:12]}"


class Broker:
    """A broker and the client that it is met with."""

    def __init__(self, kind: type[Device], address: Address) -> None:
        self.kind = kind
        self.address = address
        self._devices: list[Device] = []

    @property
    def level(self) -> int:
        return self.address.level

    def device(self, client_id: str | None = None, **options: object) -> Device:
        """Not connected yet."""
        chosen = fresh("device") if client_id is None else client_id
        device = self.kind(self.address, Options(chosen, **options))  # type: ignore[arg-type]
        self._devices.append(device)
        return device

    def connect(self, client_id: str | None = None, **options: object) -> Device:
        device = self.device(client_id, **options)
        device.connect()
        return device

    def resume(self, client_id: str, **options: object) -> tuple[Device, Connack]:
        """A client whose session outlives its connection, for an hour in MQTT 5."""
        properties = {"session_expiry_interval": 3600} if self.level == 5 else {}
        device = self.device(client_id, clean=False, properties=properties, **options)
        return device, device.connect()

    def check_present(self, connack: Connack, wanted: bool) -> None:
        """Is the session told to be there, or not?"""
        assert connack.session_present in (wanted, None), f"session present: {connack.session_present}"

    def forget(self, *client_ids: str) -> None:
        """Ends their sessions, whoever holds them."""
        for client_id in client_ids:
            self.connect(client_id).disconnect()

    def close(self) -> None:
        for device in self._devices:
            device.hang_up()
