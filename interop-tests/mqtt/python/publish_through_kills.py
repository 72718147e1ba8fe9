"""``publish_through_kills.py URL LEVEL TOPIC QOS``: publishes 0, 1, ... until its standard input ends.

Then it waits until all are acknowledged, publishes one more, and says "sent" and how many those were.
"""

from __future__ import annotations

import os
import select
import sys
import time
import uuid

from load import LastingClient

IN_FLIGHT_MAX = 100
"""Not acknowledged yet, those that wait in the client included."""
DRAIN_S = 60


def main(url: str, level: str, topic: str, qos: str) -> None:
    lasting = LastingClient(url, level, f"publisher-{uuid.uuid4().hex[:12]}")
    acknowledged = 0

    def count(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1

    lasting.client.on_publish = count
    assert lasting.connected.wait(10)
    sent = connections = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        # Once connected again, paho may send a new message before those it has to send again.
        settled = acknowledged == sent or connections == lasting.connections
        if settled:
            connections = lasting.connections
        if settled and sent - acknowledged < IN_FLIGHT_MAX and lasting.connected.is_set():
            lasting.client.publish(topic, b"%d" % sent, int(qos))
            sent += 1
        else:
            time.sleep(0.001)
    deadline = time.monotonic() + DRAIN_S
    while acknowledged < sent:
        assert time.monotonic() < deadline, f"{sent} sent, {acknowledged} acknowledged"
        time.sleep(0.01)
    lasting.client.publish(topic, b"%d" % sent, int(qos)).wait_for_publish(DRAIN_S)
    lasting.check()
    print("sent", sent + 1, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
