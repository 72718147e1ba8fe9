"""Bodies of a mebibyte, whatever is in them."""

from __future__ import annotations

import hashlib
import random

from client import Broker, fresh

SIZE = 1 << 20


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('large')}"
    client = broker.connect()
    client.subscribe(queue)
    sent = [random.Random(seed).randbytes(SIZE) for seed in range(4)]
    for body in sent:
        client.send(queue, body)
    got = client.take(len(sent))
    assert [hashlib.sha256(body).digest() for body in got] == [hashlib.sha256(body).digest() for body in sent]
    client.disconnect()
