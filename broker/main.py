"""The composition root: reads the configuration, builds a node, runs it.  The only file that knows everyone.

Imports are made where they are needed: `dragoman --help` must not wait for trio, and the process accepts
connections within half a second.
"""

from __future__ import annotations

import functools
import gc
import math
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.cli.arguments import VERSION, parser
from broker.config import Config, ConfigError, load
from broker.config.schema import AmqpListener, HttpListener, MqttListener, StompListener

if TYPE_CHECKING:
    from broker.admin.metrics import Sources
    from broker.cluster.assembly import CoreSettings
    from broker.clustered import ClusteredNode
    from broker.config.schema import Listener
    from broker.server.buffers import Buffers
    from broker.server.engine import Engine
    from broker.server.figures import ServerFigures
    from broker.server.listener import Endpoint, Protocol
    from broker.server.node import Node, NodeSettings
    from kernel import Counters, PublishEncoder
    from protocols.adapter import Adapter
    from protocols.mqtt.settings import MqttSettings
    from protocols.stomp.connecting import BasicAuth
    from protocols.stomp.settings import StompSettings
    from protocols.websocket.inner import InnerDecoder

    Opener = Callable[[bool, float], tuple[Adapter, InnerDecoder]]
    """Makes a connection's adapter and its decoder; whether the client is on this machine, and the time."""
    StompOpener = Callable[[bool, float, BasicAuth | None], tuple[Adapter, InnerDecoder]]
    """The same; and who the client told HTTP that it is."""

BAD_START = 1
BAD_CONFIG = 2
DISK_FAILED = 3
"""Exit codes.  After the last one a start may help: it reads what is on the disk (docs/decisions/0013)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``dragoman`` command; its exit code."""
    asked = parser().parse_args(arguments)
    if asked.command == "log":
        from broker.cli import log_commands

        read = {"dump": log_commands.dump_log, "verify": log_commands.verify_log}[asked.action]
        return read(asked.directory)
    if asked.command == "demo":
        from broker.demo.command import demo

        return demo(asked.port_offset, asked.devices)
    if asked.command == "cluster":
        from broker.cli.cluster_commands import run_cluster

        return run_cluster(asked)
    from broker.cli import config_commands

    try:
        config = load(asked.config, os.environ)
    except ConfigError as error:
        config_commands.report(error)
        return BAD_CONFIG
    match (asked.command, getattr(asked, "action", "")):
        case ("config", "check"):
            config_commands.check(config)
        case ("config", _):
            config_commands.show(config)
        case _:
            return run(config)
    return 0


def run(config: Config) -> int:
    """Serves until it is told to stop.  Damaged data is put aside once, if it may be, and then it serves anew."""
    from broker.clustered import DiskFailed
    from broker.logging import configure
    from broker.repair import repair
    from broker.server.memory import keep_freed_memory
    from store.files import DirectoryInUse

    keep_freed_memory()
    configure(config.logging.format, config.logging.level)
    data = Path(config.broker.storage.log_dir).resolve()
    failures = serve_until_stopped(config, data)
    try:
        if repair(data, config.cluster, failures):
            failures = serve_until_stopped(config, data)
    except (DirectoryInUse, OSError) as error:
        failures.append(error)
    for failure in failures:
        print(f"dragoman: {failure}", file=sys.stderr)
    if not failures:
        return 0
    return DISK_FAILED if all(isinstance(failure, DiskFailed) for failure in failures) else BAD_START


def serve_until_stopped(config: Config, data: Path) -> list[BaseException]:
    """What it ended by; nothing if it was told to."""
    import trio

    from broker.clustered import ClusterUnavailable, DiskFailed
    from broker.core.back import MetadataMissing
    from broker.server.listener import AddressUnavailable
    from kernel.journal import Damage
    from store.files import DirectoryInUse, MustJoin

    failures: list[BaseException] = []
    try:
        trio.run(serve_node, config, data)
    except* (
        AddressUnavailable, ClusterUnavailable, Damage, DirectoryInUse, DiskFailed, MetadataMissing, MustJoin, OSError,
    ) as group:  # fmt: skip
        failures += leaves(group)
    return failures


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The exceptions themselves."""
    nested = [leaves(each) if isinstance(each, BaseExceptionGroup) else [each] for each in group.exceptions]
    return [error for errors in nested for error in errors]


async def serve_node(config: Config, data: Path) -> None:
    """Serves; prints the banner once connections are accepted."""
    import trio

    from broker.cli.banner import banner
    from broker.clustered import open_clustered
    from broker.server.admission import ConnectionLimits
    from broker.server.buffers import Buffers
    from broker.server.figures import ServerFigures
    from broker.server.housekeeping import keep_house
    from broker.server.node import open_node
    from broker.server.serve import serve
    from broker.server.waiting_room import receive_visitors
    from kernel import Counters

    limits = config.broker.limits
    counters, figures = Counters(), ServerFigures()
    buffers = Buffers(limits.memory.connection_input, limits.memory.connection_output)
    clustered = None
    if config.cluster.listen:
        clustered, stored = await open_clustered(data, config.cluster, config.broker.storage.journal_file_size)
    node = clustered or await open_node(data, node_settings(config), counters)
    try:
        async with trio.open_nursery() as keeping:
            begun = leave = None
            if clustered is not None:
                async with trio.open_nursery() as waiting:
                    waiting.start_soon(receive_visitors, waiting_endpoints(config, clustered))
                    await clustered.come_in(keeping, stored, core_settings(config), counters)
                    waiting.cancel_scope.cancel()
                keeping.start_soon(clustered.tick)
                begun, leave = clustered.receive_engine, clustered.leave
            keeping.start_soon(keep_house, node, trio.sleep if clustered is None else clustered.rest)
            async with trio.open_nursery() as nursery:
                serving = await nursery.start(
                    partial(
                        serve,
                        node.broker,
                        node.journal,
                        endpoints(config, node, sources(node, counters, buffers, figures), figures),
                        counters=counters,
                        limits=ConnectionLimits(
                            limits.max_connections,
                            limits.max_unauthenticated_connections,
                            limits.max_unauthenticated_per_address,
                        ),
                        buffers=buffers,
                        figures=figures,
                        begun=begun or nothing,
                        leave=leave,
                        fail=trio.sleep_forever if clustered is None else clustered.fail,
                    )
                )
                _keep_what_is_loaded()
                print(banner(config.cluster.cluster_name, serving.addresses, data), end="", flush=True)
            keeping.cancel_scope.cancel()
        if clustered is not None:
            clustered.raise_failure()
    finally:
        node.close()


STOMP_SESSION_SIZE = 12
"""Random bytes in the name of a STOMP connection's session: with so many no two are the same, nor is one guessed."""
YOUNG_OBJECTS_MAX = 50_000
"""New containers after which the youngest are collected.  A round makes thousands that no cycle holds; at Python's 700
collections came 70 times as often, for nothing."""


def _keep_what_is_loaded() -> None:
    """What start-up made lives as long as the process: collections need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 20, 100)


def nothing(engine: Engine[Any]) -> None:
    """A node alone asks for no rounds."""


def core_settings(config: Config) -> CoreSettings:
    """Of a node in a cluster."""
    from broker.cluster.assembly import CoreSettings

    settings = node_settings(config)
    return CoreSettings(
        shards=settings.shards,
        cache_size_max=settings.cache_size_max,
        volatile_size_max=settings.volatile_size_max,
        replication_factor=config.cluster.replication_factor,
        first_user=settings.first_user,
        first_password=settings.first_password,
        version=settings.version,
        clients=settings.clients,
    )


def node_settings(config: Config) -> NodeSettings:
    from broker.core.back import ClientSettings
    from broker.core.retained import RetainedLimits
    from broker.model.names import UserName
    from broker.model.queue_settings import CONFIRM_LEVELS
    from broker.server.node import NodeSettings

    return NodeSettings(
        shards=config.cluster.shards,
        journal_file_size=config.broker.storage.journal_file_size,
        cache_size_max=config.broker.limits.memory.message_cache,
        volatile_size_max=config.broker.limits.memory.volatile_queues,
        first_user=UserName(config.security.default_user),
        first_password=config.security.default_password.encode(),
        version=VERSION,
        clients=ClientSettings(
            sticky_shares=config.broker.mqtt.shared_subscriptions == "sticky",
            default_confirm=CONFIRM_LEVELS[config.cluster.default_confirm],
            retained=RetainedLimits(config.broker.mqtt.max_retained_messages, config.broker.mqtt.max_retained_bytes),
        ),
    )


def sources(node: Node | ClusteredNode, counters: Counters, buffers: Buffers, figures: ServerFigures) -> Sources:
    """Where metrics come from."""
    from broker.admin.metrics import Sources
    from broker.clustered import ClusteredNode

    accounts = (buffers.input, buffers.output)
    times = figures.round_times
    door = node.overview if isinstance(node, ClusteredNode) else None
    return Sources(node.broker, node.journal, counters, accounts, lambda: figures.adapters(), times, VERSION, door)


def endpoints(config: Config, node: Node | ClusteredNode, shown: Sources, figures: ServerFigures) -> list[Endpoint]:
    """Where to listen, and what is spoken there."""
    from broker.server.connection import Opened, Peer
    from broker.server.listener import Endpoint
    from broker.web import http_protocol, site
    from protocols.websocket.basic_auth import read_basic_auth
    from protocols.websocket.inner import Inner, InnerProtocol, UpgradeRequest

    def inner(opener: Opener) -> InnerProtocol:
        def open_inner(request: UpgradeRequest, now: float) -> Inner:
            return Inner(*opener(request.loopback, now))

        return InnerProtocol(open_inner)

    listeners = config.broker.listeners
    mqtt_listeners = [each for each in listeners if isinstance(each, MqttListener)]
    stomp_listeners = [each for each in listeners if isinstance(each, StompListener)]
    open_stomp = stomp(stomp_listeners[0] if stomp_listeners else StompListener(protocol="stomp"), config)

    def open_stomp_inside(request: UpgradeRequest, now: float) -> Inner:
        return Inner(*open_stomp(request.loopback, now, read_basic_auth(request.authorization)))

    over_websocket = {
        "amqp": inner(amqp(config)),
        "mqtt": inner(mqtt(mqtt_listeners[0] if mqtt_listeners else MqttListener(protocol="mqtt"), config)),
        "stomp": InnerProtocol(open_stomp_inside, text_allowed=True),
    }
    openers: dict[type, Callable[[Any], Opener]] = {
        AmqpListener: lambda listener: amqp(config),
        MqttListener: lambda listener: mqtt(listener, config),
        StompListener: lambda listener: without_http(stomp(listener, config)),
    }

    def why_not_ready() -> str | None:
        return "shutting down" if figures.stopping else node.why_not_ready()

    def protocol(listener: Listener) -> Protocol:
        if isinstance(listener, HttpListener):
            return http_protocol(listener, config, over_websocket, site(listener, config, why_not_ready, shown))
        opener = openers[type(listener)](listener)

        def open_connection(peer: Peer, now: float) -> Opened:
            return Opened(*opener(peer.loopback, now))

        return open_connection

    return [Endpoint(each.protocol, each.host, each.port, protocol(each)) for each in listeners]


def waiting_endpoints(config: Config, node: ClusteredNode) -> list[Endpoint]:
    """Of a node that looks for its cluster."""
    from broker.admin.waiting import waiting_site
    from broker.server.listener import Endpoint
    from broker.web import http_protocol

    site = waiting_site(node.why_not_in)
    return [
        Endpoint(each.protocol, each.host, each.port, http_protocol(each, config, None, site))
        for each in config.broker.listeners
        if isinstance(each, HttpListener)
    ]


def amqp(config: Config) -> Opener:
    from kernel import AmqpDecoder
    from protocols.amqp.connection import AmqpAdapter
    from protocols.amqp.settings import AmqpSettings

    limits = config.broker.limits
    settings = AmqpSettings(
        frame_size_max=limits.frame_max,
        channel_max=limits.channel_max,
        heartbeat_s=math.ceil(limits.heartbeat),
        message_size_max=config.broker.performance.max_message_size,
        handshake_timeout_s=limits.handshake_timeout,
        version=VERSION,
        cluster_name=config.cluster.cluster_name,
    )

    def open_amqp(loopback: bool, now: float) -> tuple[AmqpAdapter, AmqpDecoder]:
        decoder = AmqpDecoder()
        return AmqpAdapter(decoder, settings, loopback=loopback, now=now), decoder

    return open_amqp


def mqtt(listener: MqttListener, config: Config) -> Opener:
    from broker.server.serve import now_ms
    from kernel import MqttDecoder
    from protocols.mqtt.connection import MqttAdapter

    settings = mqtt_settings(listener, config)

    def open_mqtt(loopback: bool, now: float) -> tuple[MqttAdapter, MqttDecoder]:
        decoder = MqttDecoder()
        return MqttAdapter(decoder, _encoder(), settings, now_ms, loopback=loopback, now=now), decoder

    return open_mqtt


@functools.cache
def _encoder() -> PublishEncoder:
    """One for all connections: a fan-out is encoded once."""
    from kernel import PublishEncoder

    return PublishEncoder()


def stomp(listener: StompListener, config: Config) -> StompOpener:
    from kernel import StompDecoder
    from protocols.stomp.connection import StompAdapter

    settings = stomp_settings(listener, config)

    def open_stomp(loopback: bool, now: float, basic_auth: BasicAuth | None) -> tuple[Adapter, InnerDecoder]:
        decoder = StompDecoder()
        session = secrets.token_urlsafe(STOMP_SESSION_SIZE)
        return StompAdapter(decoder, settings, session, loopback=loopback, now=now, basic_auth=basic_auth), decoder

    return open_stomp


def without_http(opener: StompOpener) -> Opener:
    return lambda loopback, now: opener(loopback, now, None)


def mqtt_settings(listener: MqttListener, config: Config) -> MqttSettings:
    from protocols.mqtt.settings import MqttSettings

    return MqttSettings(
        vhost=listener.vhost,
        allow_anonymous=None if listener.allow_anonymous == "loopback" else listener.allow_anonymous,
        anonymous_user=listener.anonymous_user,
        receive_maximum=listener.receive_maximum,
        enforce_receive_maximum=listener.enforce_receive_maximum,
        max_inflight_messages=listener.max_inflight_messages,
        max_queued_messages=listener.max_queued_messages,
        persistent_client_expiration_s=math.ceil(listener.persistent_client_expiration) or None,
        retain_available=listener.retain_available,
        topic_alias_maximum=listener.max_topic_alias,
        packet_size_max=config.broker.performance.max_message_size,
        keep_alive_max_s=math.ceil(listener.max_keepalive) or None,
        handshake_timeout_s=config.broker.limits.handshake_timeout,
        disconnect_on_unauthorized=listener.disconnect_on_unauthorized,
        response_information=listener.response_information,
    )


def stomp_settings(listener: StompListener, config: Config) -> StompSettings:
    from protocols.stomp.settings import StompSettings

    return StompSettings(
        vhost=listener.vhost,
        allow_anonymous=None if listener.allow_anonymous == "loopback" else listener.allow_anonymous,
        anonymous_user=listener.anonymous_user,
        default_nack_requeue=listener.default_nack_requeue,
        prefetch_count=listener.prefetch_count,
        heartbeat_min_ms=math.ceil(listener.min_heartbeat * 1000),
        subscriptions_max=listener.max_subscriptions,
        transactions_max=listener.max_transactions,
        transaction_actions_max=listener.max_transaction_actions,
        transaction_size_max=listener.max_transaction_size,
        frame_size_max=config.broker.performance.max_message_size,
        handshake_timeout_s=config.broker.limits.handshake_timeout,
        version=VERSION,
    )


if __name__ == "__main__":
    sys.exit(main())
