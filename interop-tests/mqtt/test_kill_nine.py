"""kill -9 under load, again and again: QoS 2 delivers each message exactly once, QoS 1 at least once and in order."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
import uuid
from collections import Counter

import pytest

from clients import PYTHON, require
from mqtt_broker import MqttBroker
from mqtt_clients import MQTT, MQTT_CLIENTS

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROUNDS = int(os.environ.get("DRAGOMAN_TEST_KILL_ROUNDS", "5"))
CLIENT_TIMEOUT_S = 90
PROGRESS_TIMEOUT_S = 30


class Receiver:
    """The subscriber's process, and what it got so far."""

    def __init__(self, url: str, level: str, topic: str, qos: int) -> None:
        command = [str(PYTHON), "receive_through_kills.py", url, level, topic, str(qos)]
        self._process = subprocess.Popen(
            command, cwd=MQTT / "python", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self.got: list[int] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.got.append(int(line))

    def wait_progress(self, publisher: subprocess.Popen[str]) -> None:
        """Until more has come."""
        before, deadline = len(self.got), time.monotonic() + PROGRESS_TIMEOUT_S
        while len(self.got) == before:
            assert publisher.poll() is None, "the publisher gave up"
            assert time.monotonic() < deadline, f"nothing comes any more after {before} messages"
            time.sleep(0.01)

    def wait_for(self, number: int) -> None:
        deadline = time.monotonic() + PROGRESS_TIMEOUT_S
        while number not in self.got[-1000:]:
            assert time.monotonic() < deadline, f"{number} does not come; the last are {self.got[-5:]}"
            time.sleep(0.01)

    def stop(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reading.join(CLIENT_TIMEOUT_S)
        return self._process.wait(CLIENT_TIMEOUT_S)

    def kill(self) -> None:
        """Whatever has become of it."""
        with self._process:  # its pipes are closed
            self._process.kill()


def killed_again_and_again(broker: MqttBroker, level: str, qos: int, drawn: random.Random) -> tuple[list[int], int]:
    """What the subscriber got, and how many messages were sent: 0, 1, ..."""
    assert broker.restart is not None
    topic = f"kill-nine/{uuid.uuid4().hex[:12]}"
    receiver = Receiver(broker.url, level, topic, qos)
    command = [str(PYTHON), "publish_through_kills.py", broker.url, level, topic, str(qos)]
    try:
        with subprocess.Popen(
            command, cwd=MQTT / "python", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as publisher:
            try:
                for _ in range(ROUNDS):
                    receiver.wait_progress(publisher)
                    time.sleep(drawn.uniform(0.02, 0.5))
                    broker.restart()
                receiver.wait_progress(publisher)
                told, _ = publisher.communicate(timeout=CLIENT_TIMEOUT_S)
            finally:
                publisher.kill()
        assert publisher.returncode == 0, told
        sent = int(told.split()[1])
        receiver.wait_for(sent - 1)
        assert receiver.stop() == 0
    finally:
        receiver.kill()
    return receiver.got, sent


@pytest.mark.parametrize(("level", "qos"), [("4", 1), ("4", 2), ("5", 1), ("5", 2)])
def test_no_message_is_lost_by_a_kill(mqtt_broker: MqttBroker, level: str, qos: int) -> None:
    require(next(client for client in MQTT_CLIENTS if client.name == "paho-5").missing())
    if mqtt_broker.restart is None:
        pytest.skip("a broker that isn't ours isn't killed")
    if not mqtt_broker.ours and (level == "5" or qos == 2):
        pytest.skip("another broker may do otherwise: Mosquitto 2.0.11 stalls (5), or delivers twice (QoS 2)")
    seed = random.SystemRandom().getrandbits(32)
    got, sent = killed_again_and_again(mqtt_broker, level, qos, random.Random(seed))
    counts = Counter(got)
    lost = [number for number in range(sent) if not counts[number]]
    assert not lost, f"seed {seed}: {len(lost)} of {sent} messages are lost, such as {lost[:5]}"
    assert len(counts) == sent, f"seed {seed}: from nowhere: {[number for number in counts if number >= sent][:5]}"
    assert list(counts) == sorted(counts), f"seed {seed}: the first copies are out of order"
    if qos == 2:
        doubled = [number for number, count in counts.items() if count > 1]
        assert not doubled, f"seed {seed}: {len(doubled)} of {sent} messages came twice, such as {doubled[:5]}"
