"""``/metrics``: the node's figures for Prometheus.  ``/metrics/per-object``: each queue's.

Nothing is counted for it per message.  What must be gathered is gathered when it is asked for, and what was written
less than ``KEPT_S`` ago is given again: nobody can keep the broker busy by asking.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from broker.admin.cluster_metrics import cluster_metrics
from broker.admin.cluster_operations import ClusterDoor
from broker.admin.exposition import CONTENT_TYPE, Exposition
from broker.core.broker import LOW_ON_MEMORY, Broker
from broker.core.queue import Queue
from kernel import Account, Counters, Histogram
from kernel.journal import Journal
from protocols.adapter import Adapter
from protocols.http.connection import HttpAdapter
from protocols.http.message import Handler, Request, Response

KEPT_S = 1.0
OBJECT_COUNT_MAX = 10_000
"""Queues that are named; how many there are in all is told anyway."""
STATM = Path("/proc/self/statm")


class Sources(msgspec.Struct, frozen=True):
    """Where the figures are."""

    broker: Broker
    journal: Journal
    counters: Counters
    accounts: Sequence[Account]
    adapters: Callable[[], Iterable[Adapter]]
    """Of all connections."""
    round_times: Histogram
    """Microseconds."""
    version: str
    cluster: ClusterDoor | None = None
    """None: the node runs alone."""


def kept(write: Callable[[], bytes], clock: Callable[[], float], content_type: str = CONTENT_TYPE) -> Handler:
    """A handler that writes anew only when what it has is old."""
    written_at, text = float("-inf"), b""

    def answer(request: Request) -> Response:
        nonlocal written_at, text
        now = clock()
        if now - written_at >= KEPT_S:
            written_at, text = now, write()
        return Response(content_type=content_type, body=text)

    return answer


def node_metrics(sources: Sources) -> bytes:
    """All but single objects."""
    out = Exposition()
    out.gauge("dragoman_build_info", "The version, as a label.", [({"version": sources.version}, 1)])
    _connections(out, sources)
    _traffic(out, sources)
    _queues(out, sources.broker)
    _shards(out, sources.broker)
    if sources.cluster is not None:
        cluster_metrics(out, sources.cluster)
    _times(out, sources)
    _space(out, sources)
    return out.encode()


def _connections(out: Exposition, sources: Sources) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    for adapter in sources.adapters():
        protocol = adapter.protocol
        websocket = isinstance(adapter, HttpAdapter) and protocol != "http"
        counted[protocol, "websocket" if websocket else "tcp"] += 1
    samples = [({"protocol": name, "transport": way}, count) for (name, way), count in sorted(counted.items())]
    out.gauge("dragoman_connections", "Connections that are open.", samples)


def _traffic(out: Exposition, sources: Sources) -> None:
    back = sources.broker.back
    by_protocol = sorted(back.traffic_by_protocol.items())
    rows = (
        ("messages_received", "Messages published by clients.", "received"),
        ("message_bytes_received", "Bytes of the bodies published.", "received_size"),
        ("messages_sent", "Messages delivered to clients.", "sent"),
        ("message_bytes_sent", "Bytes of the messages delivered.", "sent_size"),
    )
    for name, help, field in rows:
        samples = [({"protocol": protocol}, getattr(traffic, field)) for protocol, traffic in by_protocol]
        out.counter(f"dragoman_{name}_total", help, samples)
    traffic = back.traffic
    out.counter(
        "dragoman_messages_dropped_total", "Messages dropped for MQTT clients' full queues.", [({}, traffic.dropped)]
    )
    counts = dict(sources.counters.values())
    for name, help, key in (
        ("dragoman_network_received_bytes_total", "Bytes read from sockets.", "poller_read_bytes"),
        ("dragoman_network_sent_bytes_total", "Bytes written to sockets.", "poller_written_bytes"),
    ):
        out.counter(name, help, [({}, counts.get(key, 0))])


def _queues(out: Exposition, broker: Broker) -> None:
    back = broker.back
    kinds: dict[str, list[Queue]] = {"queue": [], "client": []}
    for _, queue in back.queues.values():
        kinds["queue" if queue.owner is back else "client"].append(queue)
    out.gauge(
        "dragoman_queues",
        "Queues, and MQTT clients' own.",
        [({"kind": kind}, len(queues)) for kind, queues in kinds.items()],
    )
    samples: list[tuple[dict[str, str], float]] = []
    for kind, queues in kinds.items():
        counts = [queue.kernel.counts(queue.id) for queue in queues]
        samples.append(({"kind": kind, "state": "ready"}, sum(count[0] for count in counts)))
        samples.append(({"kind": kind, "state": "unacknowledged"}, sum(count[1] for count in counts)))
    out.gauge("dragoman_queue_messages", "Messages in queues: ready, or delivered and not acknowledged.", samples)


def _shards(out: Exposition, broker: Broker) -> None:
    samples = [({"shard": str(shard.id)}, int(shard.leading)) for shard in broker.back.shards if shard.logged]
    out.gauge("dragoman_shard_leading", "1 where the shard is led by this node, and served.", samples)


def _times(out: Exposition, sources: Sources) -> None:
    out.histogram("dragoman_sync_seconds", "A write of the journal with its fdatasync.", sources.journal.sync_times)
    out.histogram("dragoman_round_seconds", "A round of the engine, without the wait for it.", sources.round_times)


def _space(out: Exposition, sources: Sources) -> None:
    accounts = [({"account": account.name}, account) for account in sources.accounts]
    shards = sources.broker.back.stored_size()
    out.gauge(
        "dragoman_memory_bytes",
        "Bytes held, by what they are held for.",
        [({"account": "messages"}, shards), *((labels, account.charged) for labels, account in accounts)],
    )
    out.gauge("dragoman_memory_resident_bytes", "Resident memory of the process.", [({}, resident_size())])
    names = ("journal", "segments", "checkpoints")
    sizes = zip(names, sources.journal.sizes, strict=True)
    out.gauge("dragoman_disk_bytes", "Bytes of the log on disk.", [({"part": name}, size) for name, size in sizes])
    alarm = sources.broker.alarm
    out.gauge(
        "dragoman_alarm",
        "1 while publishers wait for it.",
        [
            ({"resource": "disk"}, int(alarm not in (None, LOW_ON_MEMORY))),
            ({"resource": "memory"}, int(alarm == LOW_ON_MEMORY)),
        ],
    )


def queue_metrics(sources: Sources) -> bytes:
    """Each queue's depth, by vhost and name; the first ``OBJECT_COUNT_MAX`` of them.  MQTT clients' own are no queues
    that anybody has named."""
    out = Exposition()
    back = sources.broker.back
    queues = [queue for _, queue in back.queues.values() if queue.owner is back]
    shown = queues[:OBJECT_COUNT_MAX]
    out.gauge("dragoman_queues_not_shown", "Queues beyond those below.", [({}, len(queues) - len(shown))])
    samples: list[tuple[dict[str, str], float]] = []
    for queue in shown:
        counts = queue.kernel.counts(queue.id)
        labels = {"vhost": queue.vhost, "queue": queue.name}
        samples.append(({**labels, "state": "ready"}, counts[0]))
        samples.append(({**labels, "state": "unacknowledged"}, counts[1]))
    out.gauge("dragoman_queue_depth", "Messages of a queue: ready, or delivered and not acknowledged.", samples)
    consumers = [({"vhost": queue.vhost, "queue": queue.name}, queue.consumer_count) for queue in shown]
    out.gauge("dragoman_queue_consumers", "Consumers of a queue.", consumers)
    return out.encode()


def resident_size() -> int:
    """Bytes; 0 where the system doesn't say."""
    if not STATM.exists():
        return 0
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
