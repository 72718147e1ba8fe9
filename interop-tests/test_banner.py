"""The two lines of the banner do what they say, pasted while the broker runs."""

from __future__ import annotations

import shlex
import subprocess
import time

from broker_process import BrokerProcess

BANNER_TIMEOUT_S = 10.0
"""After the first connection was accepted."""


def test_the_lines_of_the_banner_pass_a_message(fresh_broker: BrokerProcess) -> None:
    receive, send = banner_lines(fresh_broker)
    sent = subprocess.run(shlex.split(send), capture_output=True, text=True, timeout=60, check=False)
    assert sent.returncode == 0, sent.stderr
    with subprocess.Popen(shlex.split(receive), stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        try:
            told = [receiver.stdout.readline()]
            while "Hello, world" not in told[-1] and told[-1]:
                told.append(receiver.stdout.readline())
        finally:
            receiver.kill()
    assert "Hello, world" in told[-1], told


def banner_lines(broker: BrokerProcess) -> tuple[str, str]:
    """The line that receives and the one that sends."""
    deadline = time.monotonic() + BANNER_TIMEOUT_S
    while True:
        lines = [line.strip() for line in broker.log.read_text().splitlines() if "first_message" in line]
        if len(lines) == 2:
            return lines[0], lines[1]
        assert time.monotonic() < deadline, f"no banner:\n{broker.log.read_text()}"
        time.sleep(0.05)
