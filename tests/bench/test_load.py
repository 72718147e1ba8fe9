"""What can't be done is refused before anything is connected, and the fields are those of the kernel."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench.load import Amqp, Load, LookUp, Mqtt, Side, Stomp, WebSocket, look_up, put, transient_backlog
from kernel.generator import LoadError

# Nobody listens there: a load that got as far would say so.
NOWHERE: dict[str, Any] = {"port": 0, "routing_keys": ["t"], "queues": ["t"], "size": 16}


@pytest.mark.parametrize(
    ("protocol", "fields", "words"),
    [
        (Amqp(confirms=True), {}, "a window of nothing"),
        (Amqp(), {"size": 15}, "at least 16 bytes"),
        (Mqtt(qos=1), {}, "a window of nothing"),
        (Stomp(receipts=True), {}, "a window of nothing"),
        (Mqtt(qos=3), {"window": 1}, "a QoS that there is none of"),
        (Amqp(), {"consuming": Side(port=0, protocol=Mqtt(qos=3))}, "a QoS that there is none of"),
        (Mqtt(), {"websocket": WebSocket(together=0)}, "a WebSocket message of nothing"),
        (Mqtt(), {"websocket": WebSocket(together=9), "backlog_max": 8}, "more in a WebSocket message than may be"),
        (Mqtt(qos=1), {"websocket": WebSocket(together=9), "window": 8}, "more in a WebSocket message than may be"),
        (Mqtt(qos=1), {"window": 16_385}, "more than the protocol can name"),
        (Mqtt(), {"pattern": "pairs", "publishers": 2}, "as many routing keys and queues as publishers"),
        (Mqtt(), {"rate": float("nan")}, "a rate that is none"),
    ],
)
def test_a_load_that_can_not_be_is_refused(protocol: Amqp | Mqtt | Stomp, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        put(Load(protocol=protocol, **{**NOWHERE, **fields}))


def test_a_pattern_that_nobody_knows_is_refused() -> None:
    load = Load(protocol=Mqtt(), **NOWHERE)
    with pytest.raises((TypeError, ValueError), match="pattern"):
        put(msgspec.structs.replace(load, pattern="ring"))


def test_lookups_of_nothing_are_refused() -> None:
    with pytest.raises(LoadError, match="nothing to look up"):
        look_up(LookUp(port=0, topics=[], size=16, nonce=1, rate=1.0, duration_s=1.0, drain_s=1.0))


def test_what_is_on_its_way_is_bounded_in_bytes_and_messages() -> None:
    assert [transient_backlog(size) for size in (16, 1024, 1 << 20)] == [20_000, 4096, 4]
