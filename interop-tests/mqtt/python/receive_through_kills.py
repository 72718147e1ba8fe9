"""``receive_through_kills.py URL LEVEL TOPIC QOS``: says "ready", then each number that comes, until its input ends."""

from __future__ import annotations

import os
import sys
import uuid

from load import LastingClient


def main(url: str, level: str, topic: str, qos: str) -> None:
    lasting = LastingClient(url, level, f"receiver-{uuid.uuid4().hex[:12]}")
    lasting.receive(topic, int(qos), lambda number: print(number, flush=True))
    print("ready", flush=True)
    sys.stdin.read()
    lasting.check()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
