"""Real clients of three protocols, each at another node; what one node has for them outlives it, or is gone with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from three_nodes import MqttClient, StompClient, amqp, door, three_nodes, wait_until

from tests.rig.nodes import ROOT, Nodes

pytestmark = pytest.mark.interop

TAKEN_OVER = 0x8E


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """For tests that leave all of them running."""
    with three_nodes(tmp_path_factory.mktemp("nodes")) as started:
        yield started


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Nodes]:
    """For tests that kill some."""
    with three_nodes(tmp_path) as started:
        yield started


def names_of(nodes: Nodes) -> tuple[str, str, str]:
    one, two, three = (node.name for node in nodes.all)
    return one, two, three


def test_clients_of_three_protocols_meet_at_three_nodes(nodes: Nodes) -> None:
    one, two, three = names_of(nodes)
    subscriber, stomper = MqttClient(nodes, one, "meets", durable=True, clean=True), StompClient(nodes, three)
    subscriber.subscribe("meet/#")
    stomper.ask("SUBSCRIBE", id="1", destination="/topic/meet.#")
    with amqp(nodes, two) as channel:
        mine = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(mine, "amq.topic", "meet.#")
        channel.basic_publish("amq.topic", "meet.amqp", b"amqp", pika.BasicProperties(delivery_mode=2))
        publisher = MqttClient(nodes, three, "publishes")
        publisher.publish("meet/mqtt", "mqtt")
        stomper.ask("SEND", "stomp", destination="/topic/meet.stomp")
        everything = {"amqp", "mqtt", "stomp"}
        assert set(subscriber.take(3)) == everything
        assert set(stomper.take(3)) == everything
        assert set(take(channel, mine, 3)) == everything
    for client in (subscriber, publisher, stomper):
        client.close()


def take(channel: Any, queue: str, count: int) -> list[str]:
    bodies: list[str] = []

    def poll() -> bool:
        while (found := channel.basic_get(queue, auto_ack=True))[0] is not None:
            bodies.append(found[2].decode())
        return len(bodies) >= count

    wait_until(poll)
    return bodies


@pytest.mark.parametrize("durable", [True, False])
def test_a_client_that_comes_to_another_node_takes_its_session_over(nodes: Nodes, durable: bool) -> None:
    one, two, three = names_of(nodes)
    publisher = MqttClient(nodes, three, f"publishes {durable}")
    first = MqttClient(nodes, one, f"moves {durable}", durable, clean=True)
    first.paho.reconnect_delay_set(1000, 1000)
    first.subscribe(f"moves/{durable}")
    second = MqttClient(nodes, two, f"moves {durable}", durable)
    assert second.was_present == durable
    assert first.reasons.get(timeout=20) == TAKEN_OVER
    if not durable:
        second.subscribe(f"moves/{durable}")
    publisher.publish(f"moves/{durable}", "m")
    assert second.take(1) == ["m"]
    assert first.received.empty()
    for client in (publisher, first, second):
        client.close()


def test_what_is_retained_at_one_node_is_sent_by_the_others(nodes: Nodes) -> None:
    one, two, three = names_of(nodes)
    publisher = MqttClient(nodes, one, "retains")
    publisher.publish("kept/1", "old", retain=True)
    publisher.publish("kept/1", "new", retain=True)
    for name in (one, two, three):
        subscriber = MqttClient(nodes, name, f"sees {name}")
        subscriber.subscribe("kept/#")
        assert subscriber.take(1) == ["new"]
        subscriber.close()
    publisher.close()


def test_a_transaction_of_stomp_reaches_queues_of_several_shards(nodes: Nodes) -> None:
    queues = [f"part {number}" for number in range(4)]
    for name in names_of(nodes):
        stomper = StompClient(nodes, name)
        stomper.ask("BEGIN", transaction="t")
        for queue in queues:
            body = f"{name} {queue}"
            stomper.ask("SEND", body, destination=f"/queue/{queue}", transaction="t")
        stomper.ask("COMMIT", transaction="t")
        stomper.close()
        with amqp(nodes, name) as channel:
            assert [take(channel, queue, 1) for queue in queues] == [[f"{name} {queue}"] for queue in queues]


def test_sessions_outlive_the_node_that_leads_them(mortal: Nodes) -> None:
    names = names_of(mortal)
    leader = max(names, key=lambda name: len([shard for shard in mortal.led()[name] if shard]))
    here, there = (name for name in names if name != leader)
    subscriber = MqttClient(mortal, here, "lasts", durable=True, clean=True)
    subscriber.subscribe("lasts/#")
    publisher = MqttClient(mortal, there, "says", durable=True, clean=True)
    bodies = [f"m{number}" for number in range(60)]
    for number, body in enumerate(bodies):
        if number == 20:
            mortal[leader].kill()
        publisher.publish("lasts/t", body)
    got = subscriber.take(len(bodies))
    assert sorted(got) == sorted(bodies)
    assert subscriber.received.empty()
    with amqp(mortal, here) as channel:
        channel.queue_declare("still", durable=True)
        channel.basic_publish("", "still", b"1", pika.BasicProperties(delivery_mode=2))
        assert take(channel, "still", 1) == ["1"]
    for client in (subscriber, publisher):
        client.close()


def test_volatile_queues_go_with_their_node_and_consumers_are_told(mortal: Nodes) -> None:
    one, two, three = names_of(mortal)
    host, port = mortal[one].plan.way("amqp")[1:]  # type: ignore[index]
    owner = pika.BlockingConnection(pika.ConnectionParameters(host, port))
    owner.channel().queue_declare("goes")
    with amqp(mortal, two) as channel, amqp(mortal, three) as other:
        cancelled: list[str] = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        tag = channel.basic_consume("goes", lambda *said: None)
        mortal[one].kill()
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            owner.process_data_events(10)

        def told() -> bool:
            channel.connection.process_data_events(0.1)
            return cancelled == [tag]

        wait_until(told)
        other.queue_declare("goes", exclusive=True)
        other.basic_publish("", "goes", b"1")
        assert take(other, "goes", 1) == ["1"]


def test_one_consumer_at_a_time_is_active_and_the_next_follows_when_its_node_is_killed(mortal: Nodes) -> None:
    one, two, three = names_of(mortal)
    with amqp(mortal, two) as second, amqp(mortal, three) as publisher:
        publisher.queue_declare("single", durable=True, arguments={"x-single-active-consumer": True})
        handed: list[str] = []

        def take_one(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            handed.append(body.decode())

        host, port = door(mortal, one, "amqp")
        first = pika.BlockingConnection(pika.ConnectionParameters(host, port)).channel()
        first.basic_consume("single", take_one)
        for number in range(3):
            publisher.basic_publish("", "single", str(number), pika.BasicProperties(delivery_mode=2))
        wait_until(lambda: first.connection.process_data_events(0.05) or len(handed) == 3)
        then: list[str] = []
        second.basic_consume("single", lambda channel, method, properties, body: then.append(body.decode()))
        second.connection.process_data_events(0.5)
        assert (handed, then) == (["0", "1", "2"], [])
        mortal[one].kill()
        wait_until(lambda: second.connection.process_data_events(0.05) or len(then) == 3)
        assert then == ["0", "1", "2"]
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            first.connection.process_data_events(5)


def test_a_node_that_waits_for_the_others_says_so(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    alone, *missing = nodes.all
    host, port = door(nodes, alone.name, "http")
    try:
        alone.start()
        wait_until(lambda: nodes.said(alone).why_not.startswith("waiting for "))
        arguments = [sys.executable, "-m", "broker.main", "cluster", "status", "--url", f"http://{host}:{port}"]
        status = subprocess.run(arguments, capture_output=True, text=True, timeout=20, cwd=ROOT)
        assert status.returncode == 3
        assert "serves nobody yet: waiting for " in status.stderr
        for node in missing:
            node.start()
        for node in nodes.all:
            nodes.wait_ready(node)
    finally:
        nodes.kill()
