"""Every setting, its type, its bounds and its default: here, described in ``config/dragoman.yaml``, and nowhere else.

Sizes are bytes, durations seconds; the file may write either with a unit.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# ``unit`` says how a value may be written, ``secret`` that `config show` hides it.
SIZE = {"unit": "size"}
DURATION = {"unit": "duration"}
SECRET = {"secret": True}

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
"""0 asks the system for a free one; the banner tells which."""
OptionalName: TypeAlias = Annotated[str, Meta(min_length=0, max_length=255)]
"""Empty: not given."""
FilePath: TypeAlias = Annotated[str, Meta(min_length=0, max_length=4096)]
"""Empty: not given."""
SECRET_SIZE_MAX = 1024
Origin: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
MemorySize: TypeAlias = Annotated[int, Meta(ge=MIB, le=1 << 50, extra=SIZE)]
MessageCount: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
ConnectionCount: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping in the file."""


class ClusterTls(Section, frozen=True, kw_only=True):
    """PEM files.  With them nodes speak TLS, and each shows the other a certificate that the CA signed."""

    ca_file: FilePath = ""
    cert_file: FilePath = ""
    key_file: FilePath = ""


class Cluster(Section, frozen=True, kw_only=True):
    """Who this node is, and who the others are.  A node alone is a cluster of one."""

    node_id: Annotated[int, Meta(ge=1, le=65535)] = 1
    node_name: OptionalName = ""
    cluster_name: Name = "dragoman"
    listen: OptionalName = ""
    advertise: OptionalName = ""
    peers: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    zone: OptionalName = ""
    secret: Annotated[str, Meta(min_length=0, max_length=SECRET_SIZE_MAX, extra=SECRET)] = ""
    secret_file: FilePath = ""
    tls: ClusterTls = ClusterTls()
    shards: Annotated[int, Meta(ge=1, le=64)] = 4
    replication_factor: Literal[1, 3, 5] = 3
    default_confirm: Literal["quorum", "leader", "none"] = "quorum"
    repair: Literal["auto", "manual"] = "auto"
    replace_dead_after: Annotated[float, Meta(ge=0, le=30 * 86400, extra=DURATION)] = 0.0
    heartbeat_interval: Annotated[float, Meta(ge=0.01, le=1, extra=DURATION)] = 0.3
    suspect_after: Annotated[float, Meta(ge=0.1, le=4, extra=DURATION)] = 1.0
    election_timeout: Annotated[float, Meta(ge=0.1, le=4, extra=DURATION)] = 0.5

    @property
    def name_of_node(self) -> str:
        """What it is called if nobody said."""
        return self.node_name or f"node-{self.node_id}"


class AmqpListener(Section, frozen=True, kw_only=True):
    """A door at which AMQP 0-9-1 is spoken."""

    protocol: Literal["amqp"]
    host: Name = "127.0.0.1"
    port: Port = 5672


class MqttListener(Section, frozen=True, kw_only=True):
    """A door at which MQTT 3.1, 3.1.1 and 5 are spoken.  Where Mosquitto has a key, it has its name here."""

    protocol: Literal["mqtt"]
    host: Name = "127.0.0.1"
    port: Port = 1883
    vhost: Name = "/"
    allow_anonymous: Literal["loopback", True, False] = "loopback"
    anonymous_user: Name = "guest"
    receive_maximum: MessageCount = 1000
    enforce_receive_maximum: bool = True
    max_inflight_messages: MessageCount = 1000
    max_queued_messages: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    persistent_client_expiration: Annotated[float, Meta(ge=0, le=4_294_967_294, extra=DURATION)] = 0.0
    retain_available: bool = True
    max_topic_alias: Annotated[int, Meta(ge=0, le=65535)] = 16
    max_keepalive: Annotated[float, Meta(ge=0, le=65535, extra=DURATION)] = 3600.0
    disconnect_on_unauthorized: bool = True
    response_information: Annotated[str, Meta(min_length=0, max_length=255)] = "response"


class StompListener(Section, frozen=True, kw_only=True):
    """A door at which STOMP 1.0, 1.1 and 1.2 are spoken.  Where RabbitMQ has a setting, it has its name here."""

    protocol: Literal["stomp"]
    host: Name = "127.0.0.1"
    port: Port = 61613
    vhost: Name = "/"
    allow_anonymous: Literal["loopback", True, False] = False
    anonymous_user: Name = "guest"
    default_nack_requeue: bool = True
    prefetch_count: Annotated[int, Meta(ge=0, le=65535)] = 0
    min_heartbeat: Annotated[float, Meta(ge=0.01, le=3600, extra=DURATION)] = 0.5
    max_subscriptions: Annotated[int, Meta(ge=1, le=65535)] = 1000
    max_transactions: Annotated[int, Meta(ge=0, le=65535)] = 16
    max_transaction_actions: Annotated[int, Meta(ge=1, le=65535)] = 10_000
    max_transaction_size: Annotated[int, Meta(ge=4 * KIB, le=16 * MIB, extra=SIZE)] = 16 * MIB


class HttpListener(Section, frozen=True, kw_only=True):
    """A door at which HTTP is spoken, and the other protocols over WebSocket."""

    protocol: Literal["http"]
    host: Name = "127.0.0.1"
    port: Port = 15672
    websocket_protocols: Annotated[tuple[Literal["amqp", "mqtt", "stomp"], ...], Meta(max_length=8)] = (
        "amqp",
        "mqtt",
        "stomp",
    )
    allowed_origins: Annotated[tuple[Origin, ...], Meta(max_length=100)] = ()
    ping_interval: Annotated[float, Meta(ge=5, le=3600, extra=DURATION)] = 30.0
    max_body_size: Annotated[int, Meta(ge=4 * KIB, le=512 * MIB, extra=SIZE)] = 20 * MIB
    idle_timeout: Annotated[float, Meta(ge=1, le=3600, extra=DURATION)] = 60.0


Listener: TypeAlias = AmqpListener | MqttListener | StompListener | HttpListener
LISTENERS: dict[str, type[Listener]] = {
    "amqp": AmqpListener,
    "mqtt": MqttListener,
    "stomp": StompListener,
    "http": HttpListener,
}
"""By protocol."""


class Storage(Section, frozen=True, kw_only=True):
    """The log on disk."""

    log_dir: Annotated[str, Meta(min_length=1, max_length=4096)] = "./data"
    journal_file_size: Annotated[int, Meta(ge=MIB, le=GIB, extra=SIZE)] = 128 * MIB
    sync: Literal[True] = True


class Replication(Section, frozen=True, kw_only=True):
    """What is fixed.  How many nodes hold a message is ``cluster.replication_factor``."""

    min_insync_replicas: Literal["majority", 1, 2, 3] = "majority"
    unclean_leader_election: Literal[False] = False


class Performance(Section, frozen=True, kw_only=True):
    """Sizes of single things."""

    max_message_size: Annotated[int, Meta(ge=4 * KIB, le=512 * MIB, extra=SIZE)] = 10_000_000


class Mqtt(Section, frozen=True, kw_only=True):
    """What MQTT clients of all listeners share."""

    shared_subscriptions: Literal["round_robin", "sticky"] = "round_robin"
    max_retained_messages: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 10_000_000
    max_retained_bytes: Annotated[int, Meta(ge=0, le=1 << 50, extra=SIZE)] = 16 * GIB


class Memory(Section, frozen=True, kw_only=True):
    """Budgets.  When one is used up, those who filled it wait; nothing is dropped."""

    volatile_queues: MemorySize = 256 * MIB
    connection_input: MemorySize = 256 * MIB
    connection_output: MemorySize = 512 * MIB
    message_cache: MemorySize = 256 * MIB


class Limits(Section, frozen=True, kw_only=True):
    """What one client, and all of them together, may take."""

    max_connections: ConnectionCount = 50_000
    max_unauthenticated_connections: ConnectionCount = 1_000
    max_unauthenticated_per_address: ConnectionCount = 256
    frame_max: Annotated[int, Meta(ge=4 * KIB, le=16 * MIB, extra=SIZE)] = 128 * KIB
    channel_max: Annotated[int, Meta(ge=1, le=2047)] = 2047
    heartbeat: Annotated[float, Meta(ge=0, le=65535, extra=DURATION)] = 60.0
    handshake_timeout: Annotated[float, Meta(ge=0.1, le=300, extra=DURATION)] = 10.0
    memory: Memory = Memory()


class Broker(Section, frozen=True, kw_only=True):
    """What serves clients."""

    listeners: Annotated[tuple[Listener, ...], Meta(min_length=1, max_length=64)] = (
        AmqpListener(protocol="amqp"),
        MqttListener(protocol="mqtt"),
        StompListener(protocol="stomp"),
        HttpListener(protocol="http"),
    )
    storage: Storage = Storage()
    replication: Replication = Replication()
    performance: Performance = Performance()
    mqtt: Mqtt = Mqtt()
    limits: Limits = Limits()


class Security(Section, frozen=True, kw_only=True):
    """The first user, made when a data directory is; ``guest`` may log in from this machine only."""

    default_user: Name = "guest"
    default_password: Annotated[str, Meta(min_length=1, max_length=1024, extra=SECRET)] = "guest"


class Logging(Section, frozen=True, kw_only=True):
    """Lines on standard error."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section, frozen=True, kw_only=True):
    """``message_queue:``."""

    cluster: Cluster = Cluster()
    broker: Broker = Broker()
    security: Security = Security()
    logging: Logging = Logging()
