"""What a node says of itself over HTTP: whether it is ready, and which shards it leads."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection, HTTPException

import msgspec

from broker.demo.cluster.witness import Way

TIMEOUT_S = 0.5
LEADING = re.compile(rb'^dragoman_shard_leading\{shard="(\d+)"\} ([01])', re.MULTILINE)


class Said(msgspec.Struct, frozen=True):
    """``why_not``: why it is not ready; empty: it is.  ``led``: by shard, whether it leads it."""

    reached: bool = False
    why_not: str = ""
    led: dict[int, bool] = {}

    @property
    def ready(self) -> bool:
        return self.reached and not self.why_not

    @property
    def leads(self) -> list[int]:
        return [shard for shard, leads in self.led.items() if leads]


UNREACHED = Said()


def ask(way: Way, timeout_s: float = TIMEOUT_S) -> Said:
    """Of a node's HTTP door."""
    connection = HTTPConnection(way.host, way.port, timeout=timeout_s)
    try:
        connection.request("GET", "/health/ready")
        why_not = str(json.loads(connection.getresponse().read()).get("reason", ""))
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read()
    except (OSError, HTTPException, ValueError):
        return UNREACHED
    finally:
        connection.close()
    return Said(True, why_not, {int(shard): leads == b"1" for shard, leads in LEADING.findall(metrics)})
