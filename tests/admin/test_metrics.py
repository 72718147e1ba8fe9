"""What /metrics and /health tell of a core that has something to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.admin.health import live, ready
from broker.admin.metrics import OBJECT_COUNT_MAX, Sources, kept, node_metrics, queue_metrics
from broker.core.session import Session
from broker.model import commands as c
from broker.model.names import VhostName
from broker.server.engine import DISK_ALARMS
from kernel import Account, Counters, Histogram
from protocols.http.message import Request
from tests.core.clients import Client
from tests.core.node import CHANNEL, Node, consume, declare, publish

REQUEST = Request("GET", "/metrics", ("metrics",), "", {}, b"", "127.0.0.1", True)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def sources(node: Node) -> Sources:
    round_times = Histogram()
    round_times.record(70, 3)
    accounts = (Account("connection input", 1), Account("connection output", 1))
    return Sources(node.broker, node.journal, Counters(), accounts, tuple, round_times, "1.2.3")


def samples(text: bytes) -> dict[str, float]:
    """Each line that is no comment."""
    lines = [line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#")]
    told = {name: float(value) for name, _, value in lines}
    assert len(told) == len(lines), "a sample stands once"
    return told


def amqp(node: Node) -> Session:
    session = node.session()
    session.receive_protocol("amqp")
    return session


def test_messages_are_counted_by_protocol_those_of_transactions_too(node: Node) -> None:
    session = amqp(node)
    node.ask(session, declare(), publish("ab", "c"))
    node.ask(session, c.CommitTransaction(CHANNEL, [publish("def").messages], []))
    node.ask(session, consume(no_ack=True))
    told = samples(node_metrics(sources(node)))
    assert told['dragoman_messages_received_total{protocol="amqp"}'] == 3
    assert told['dragoman_message_bytes_received_total{protocol="amqp"}'] == 6
    assert told['dragoman_messages_sent_total{protocol="amqp"}'] == 3


def test_queues_and_clients_own_are_told_apart(node: Node) -> None:
    node.ask(amqp(node), declare("orders"), publish("a", "b", key="orders"))
    client = Client(node)
    client.attach()
    client.subscribe("t", qos=1)
    node.broker.back.publish(VhostName("/"), publish("x", key="t", exchange="amq.topic").messages)
    node.run()
    told = samples(node_metrics(sources(node)))
    assert told['dragoman_queues{kind="queue"}'] == 1
    assert told['dragoman_queues{kind="client"}'] >= 1
    assert told['dragoman_queue_messages{kind="queue",state="ready"}'] == 2
    each = samples(queue_metrics(sources(node)))
    assert each['dragoman_queue_depth{vhost="/",queue="orders",state="ready"}'] == 2
    assert [name for name in each if name.startswith("dragoman_queue_consumers")] == [
        'dragoman_queue_consumers{vhost="/",queue="orders"}'
    ]
    assert each["dragoman_queues_not_shown"] == 0 < OBJECT_COUNT_MAX


def test_a_name_writes_no_line_of_its_own(node: Node) -> None:
    node.ask(amqp(node), declare('q"\\\n'))
    assert 'dragoman_queue_depth{vhost="/",queue="q\\"\\\\\\n",state="ready"}' in samples(queue_metrics(sources(node)))


def test_a_logged_shard_is_led_or_not(node: Node) -> None:
    node.broker.back.logged[0].leading = False
    told = samples(node_metrics(sources(node)))
    led = {name: value for name, value in told.items() if name.startswith("dragoman_shard_leading")}
    shards = (node.broker.back.meta_shard, *node.broker.back.logged)
    assert led == {f'dragoman_shard_leading{{shard="{shard.id}"}}': int(shard.leading) for shard in shards}
    assert sorted(led.values()) == [0.0, *([1.0] * (len(shards) - 1))]


def test_times_are_cumulative_buckets_in_seconds(node: Node) -> None:
    told = samples(node_metrics(sources(node)))
    assert told['dragoman_round_seconds_bucket{le="5e-05"}'] == 0
    assert told['dragoman_round_seconds_bucket{le="0.0001"}'] == told["dragoman_round_seconds_count"] == 3
    assert told["dragoman_round_seconds_sum"] == pytest.approx(210e-6, rel=0.02)
    assert told["dragoman_sync_seconds_count"] >= 0
    assert told['dragoman_build_info{version="1.2.3"}'] == 1


@pytest.mark.parametrize(
    ("alarm", "disk", "memory"),
    [(None, 0, 0), ("low on memory", 0, 1), *((each, 1, 0) for each in DISK_ALARMS.values() if each is not None)],
)
def test_an_alarm_says_of_what(node: Node, alarm: str | None, disk: int, memory: int) -> None:
    node.broker._alarm = alarm
    told = samples(node_metrics(sources(node)))
    assert (told['dragoman_alarm{resource="disk"}'], told['dragoman_alarm{resource="memory"}']) == (disk, memory)


def test_what_was_written_a_moment_ago_is_given_again() -> None:
    now, written = 0.0, 0

    def write() -> bytes:
        nonlocal written
        written += 1
        return str(written).encode()

    handler = kept(write, lambda: now)
    assert [handler(REQUEST).body, handler(REQUEST).body] == [b"1", b"1"]
    now = 1.0
    assert handler(REQUEST).body == b"2"


def test_it_is_ready_unless_there_is_a_reason() -> None:
    assert live(REQUEST).status == 200
    assert ready(lambda: None)(REQUEST).status == 200
    refused = ready(lambda: "low on disk")(REQUEST)
    assert refused.status == 503
    assert b"low on disk" in refused.body
