"""What the generator is asked for and what it answers, with names and defaults."""

from __future__ import annotations

import secrets
from typing import Any, Literal, TypeAlias

import msgspec

from kernel.generator import look_up_retained, run_load

# What may be on its way to a consumer without confirms: enough that neither side waits for the other, and less
# than what any broker drops.
TRANSIENT_BACKLOG_BYTES = 4 << 20
TRANSIENT_BACKLOG_MAX = 20_000


class Amqp(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``AmqpSpec``; see there."""

    exchange: str = ""
    persistent: bool = False
    confirms: bool = False
    ack_every: int = 0
    prefetch: int = 0
    username: str = "guest"
    password: str = "guest"


class Mqtt(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``MqttSpec``; see there."""

    qos: int = 0
    clean_session: bool = True
    retain: bool = False


class Stomp(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``StompSpec``; see there."""

    persistent: bool = False
    receipts: bool = False
    login: str = "guest"
    passcode: str = "guest"


Protocol: TypeAlias = Amqp | Mqtt | Stomp


class WebSocket(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``WebSocketSpec``; see there."""

    path: str = "/ws"
    together: int = 1


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``Side``; see there: where clients connect, and what they speak."""

    port: int
    protocol: Protocol
    websocket: WebSocket | None = None
    host: str = "127.0.0.1"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``LoadSpec``; see there.  Times in seconds, sizes in bytes.

    All clients are of one side, which ``port``, ``protocol`` and ``websocket`` tell; with ``consuming`` the
    consumers are of another.
    """

    port: int
    routing_keys: list[str]
    queues: list[str]
    size: int
    protocol: Protocol
    websocket: WebSocket | None = None
    consuming: Side | None = None
    pattern: Literal["everyone", "pairs", "group"] = "everyone"
    publishers: int = 1
    window: int = 0
    rate: float = 0.0
    backlog_max: int = 0
    warmup_s: float = 1.0
    duration_s: float = 5.0
    messages: int = 0
    queued: int = 0
    drain_s: float = 60.0
    nonce: int = msgspec.field(default_factory=lambda: secrets.randbits(32))
    broker_pids: list[int] = []


class Latency(msgspec.Struct, frozen=True):
    """Microseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the kernel's ``LookUpSpec``; see there.  Times in seconds, sizes in bytes."""

    port: int
    topics: list[str]
    size: int
    nonce: int
    rate: float
    duration_s: float
    drain_s: float
    host: str = "127.0.0.1"


class LookUpResult(msgspec.Struct, frozen=True):
    """The fields of the kernel's ``LookUpResult``; see there."""

    seconds: float
    latency: Latency
    sweeps: int


class Result(msgspec.Struct, frozen=True):
    """The fields of the kernel's ``LoadResult``; see there."""

    seconds: float
    published: int
    confirmed: int
    received: int
    confirm_latency: Latency
    delivery_latency: Latency
    first_delivery_s: float
    cpu_seconds: float
    broker_cpu_seconds: float
    reads: int
    writes: int
    redelivered: int


def transient_backlog(size: int) -> int:
    """Messages of ``size`` bytes that may be on their way without confirms."""
    return min(TRANSIENT_BACKLOG_MAX, TRANSIENT_BACKLOG_BYTES // size)


def put(load: Load) -> Result:
    """Puts the load on the broker.  LoadError if it refuses, ends, loses, repeats or reorders anything."""
    publishing = Side(port=load.port, protocol=load.protocol, websocket=load.websocket)
    consuming = load.consuming or publishing
    spec: dict[str, Any] = msgspec.to_builtins(load)
    spec |= {"publishing": msgspec.to_builtins(publishing), "consuming": msgspec.to_builtins(consuming)}
    return msgspec.convert(run_load(spec), Result)


def look_up(lookups: LookUp) -> LookUpResult:
    """Looks up retained messages.  LoadError if the broker refuses, ends, loses or repeats anything."""
    spec: dict[str, Any] = msgspec.to_builtins(lookups)
    return msgspec.convert(look_up_retained(spec), LookUpResult)
