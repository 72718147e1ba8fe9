"""What a node says over HTTP: whether it is ready, which shards it leads, and how far the cluster is."""

from __future__ import annotations

import base64
import json
import re
from http.client import HTTPConnection, HTTPException

import msgspec

from broker.demo.cluster.witness import Way

TIMEOUT_S = 0.5
ADMINISTRATOR = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}
"""As a new cluster has it, for this machine."""
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


class Held(msgspec.Struct, frozen=True):
    """A shard, as whoever was asked knows it: how many hold it, of how many that are to; what is being sent of it."""

    shard: int
    voters: int
    wanted: int
    settled: bool
    sending: tuple[tuple[int, int], ...] = ()
    """Bytes so far, and about how many in all, of each copy that is under way."""


def ask_held(way: Way, timeout_s: float = TIMEOUT_S) -> list[Held]:
    """Of a node's HTTP door; empty if it doesn't answer."""
    connection = HTTPConnection(way.host, way.port, timeout=timeout_s)
    try:
        connection.request("GET", "/api/cluster", headers=ADMINISTRATOR)
        shards = json.loads(connection.getresponse().read()).get("shards", [])
    except (OSError, HTTPException, ValueError):
        return []
    finally:
        connection.close()
    return [
        Held(
            shard["shard"],
            len(shard["voters"]),
            len(shard["wanted"]),
            bool(shard["leader"]) and not shard["changing"] and set(shard["voters"]) == set(shard["wanted"]),
            tuple((each["sent"], each["size"]) for each in shard["snapshots"]),
        )
        for shard in shards
    ]
