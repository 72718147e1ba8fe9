"""kill -9 under confirmed load, again and again: nothing that was confirmed is lost, nothing comes from nowhere."""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from broker_process import BrokerProcess
from clients import AMQP, CLIENTS, PYTHON, require

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROUNDS = int(os.environ.get("DRAGOMAN_TEST_KILL_ROUNDS", "5"))
QUEUE = "kill-nine"
CLIENT_TIMEOUT_S = 60


def publish_until_killed(broker: BrokerProcess, first: int, load_s: float) -> tuple[set[int], int]:
    """Kills the broker ``load_s`` after the first confirm; which numbers were confirmed, and one past the last sent."""
    command = ["node", "publish_until_lost.js", broker.url, QUEUE, str(first)]
    with subprocess.Popen(command, cwd=AMQP / "node", stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout is not None
        lines = [publisher.stdout.readline()]
        time.sleep(load_s)
        broker.kill()
        lines += publisher.stdout.readlines()
        assert publisher.wait(CLIENT_TIMEOUT_S) == 0
    assert lines[-1].startswith("sent "), lines[-5:]
    return {int(line) for line in lines[:-1]}, int(lines[-1].split()[1])


def drained(broker: BrokerProcess) -> list[int]:
    command = [str(PYTHON), "drain.py", broker.url, QUEUE]
    output = subprocess.run(
        command, cwd=AMQP / "python", stdout=subprocess.PIPE, text=True, check=True, timeout=CLIENT_TIMEOUT_S
    )
    return [int(line) for line in output.stdout.splitlines()]


def test_what_was_confirmed_is_delivered_after_a_kill(fresh_broker: BrokerProcess) -> None:
    for client in CLIENTS:
        if client.name in ("pika", "amqplib"):
            require(client.missing())
    seed = random.SystemRandom().getrandbits(32)
    drawn = random.Random(seed)
    kept: list[int] = []
    lowest = first = 0
    for turn in range(ROUNDS):
        told = f"seed {seed}, round {turn}"
        confirmed, following = publish_until_killed(fresh_broker, first, drawn.uniform(0.05, 0.8))
        fresh_broker.start()
        assert confirmed, told
        if turn + 1 < ROUNDS and drawn.random() < 0.3:  # the next round finds what this one left
            kept += sorted(confirmed)
        else:
            got = drained(fresh_broker)
            assert got == sorted(set(got)), f"{told}: out of order or doubled"
            missing = ({*kept, *confirmed}) - {*got}
            assert not missing, f"{told}: {len(missing)} confirmed messages are lost, such as {min(missing)}"
            assert not got or (lowest <= got[0] and got[-1] < following), f"{told}: {got[0]} to {got[-1]}"
            kept, lowest = [], following
        first = following
    assert drained(fresh_broker) == [], f"seed {seed}: what was settled came back"
