"""`dragoman demo` does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broker_process import accepts
from demo_process import DemoProcess

pytestmark = [pytest.mark.interop, pytest.mark.slow]
TIMEOUT_S = 30.0


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    process = DemoProcess(tmp_path)
    process.launch()
    yield process
    process.interrupt()
    process.wait()


def is_gone(demo: DemoProcess, children: list[int]) -> bool:
    """Nothing is left of it."""
    running = [child for child in children if Path(f"/proc/{child}").exists()]
    return not running and not accepts(demo.amqp_port) and not [*demo.temporary.iterdir()]


def test_trucks_speak_and_obey_and_the_worker_averages(demo: DemoProcess) -> None:
    demo.wait_started()
    received: queue.Queue[tuple[str, str]] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def subscribe(*_: object) -> None:
        client.subscribe("fleet/truck-07/#", qos=1)

    client.on_connect = subscribe
    client.on_message = lambda _, __, message: received.put((message.topic, message.payload.decode()))
    client.connect("127.0.0.1", demo.mqtt_port)
    client.loop_start()
    try:
        found: dict[str, str] = {}
        deadline = time.monotonic() + TIMEOUT_S
        while {"temperature", "average", "echo"} - found.keys():
            topic, text = received.get(timeout=max(deadline - time.monotonic(), 0))
            if not found:  # a truck that measures listens, too
                client.publish("fleet/truck-07/command", "set 5", qos=1)
            found[topic.removeprefix("fleet/truck-07/")] = text
    finally:
        client.disconnect()
        client.loop_stop()
        client.on_connect = client.on_message = None  # its sockets go with it, as soon as the test ends
    assert found["echo"] == "set to 5.0 °C"
    assert abs(float(found["temperature"]) - float(found["average"])) < 10.0


def test_ctrl_c_leaves_nothing(demo: DemoProcess) -> None:
    demo.wait_started()
    children = demo.children()
    assert (len(children), len([*demo.temporary.iterdir()])) == (3, 1)
    demo.interrupt()
    assert demo.wait() == 0, demo.said()
    assert is_gone(demo, children)


def test_ctrl_c_twice_and_while_it_starts_leaves_nothing(demo: DemoProcess) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not (children := demo.children()):
        assert time.monotonic() < deadline, demo.said()
        time.sleep(0.01)
    demo.interrupt()
    demo.interrupt()
    assert demo.wait() == 0, demo.said()
    assert is_gone(demo, children)


def test_if_a_part_dies_it_says_so_and_ends(demo: DemoProcess) -> None:
    demo.wait_started()
    children = demo.children()
    os.kill(children[1], signal.SIGKILL)
    assert demo.wait() == 1
    assert "the fleet ended with code -9" in demo.said()
    assert is_gone(demo, children)
