"""``run.py PORTS PUBLISHER``: what a client of one protocol publishes, clients of all protocols hear; and what it asks,
each of them answers; or fails.

PORTS is JSON: of ``amqp``, ``mqtt`` and ``stomp``, or of ``http`` alone, which has them all over WebSocket.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial

from ends import AmqpEnd, Asking, End, MqttEnd, StompEnd, fresh
from said import PLAIN, RICH, Said, left_of, same
from tunnel import tunnel

KINDS: dict[str, tuple[str, Callable[[int], Asking]]] = {
    "amqp": ("amqp", AmqpEnd),
    "mqtt4": ("mqtt", partial(MqttEnd, level=4)),
    "mqtt5": ("mqtt", partial(MqttEnd, level=5)),
    "stomp": ("stomp", StompEnd),
}
ASKING = ("amqp", "mqtt5", "stomp")
"""MQTT 3.1.1 has no words for where an answer goes."""
TUNNELS = {"amqp": ("/amqp", "amqp"), "mqtt": ("/mqtt", "mqtt"), "stomp": ("/ws", "v12.stomp")}


def main() -> None:
    ports = json.loads(sys.argv[1])
    publisher = sys.argv[2]
    sys.excepthook = fail
    if "http" in ports:
        ports = {protocol: tunnel(ports["http"], *where) for protocol, where in TUNNELS.items()}
    ends: dict[str, End] = {kind: make(ports[protocol]) for kind, (protocol, make) in KINDS.items()}
    key = f"{fresh('pairs')}.to.all"
    for end in ends.values():
        end.listen(key)
    for said in (*PLAIN, *(RICH if publisher != "mqtt4" else ())):
        ends[publisher].say(key, said)
        for kind, end in ends.items():
            hear(publisher, kind, end, key, said)
    if publisher in ASKING:
        for answerer in ASKING:
            ask(publisher, answerer, ports)
    print("shown", flush=True)
    os._exit(0)  # clients' threads are not waited for


def hear(publisher: str, kind: str, end: End, key: str, said: Said) -> None:
    heard_key, heard = end.hear()
    expected = left_of(said, publisher, kind)
    assert heard_key == key, (publisher, kind, heard_key)
    assert same(heard, expected), f"{publisher} to {kind}: {shortened(expected)} came as {shortened(heard)}"


def ask(asker: str, answerer: str, ports: dict[str, int]) -> None:
    """Each client is new: the question and the answer are all that it hears."""
    one, other = (make(ports[protocol]) for protocol, make in (KINDS[asker], KINDS[answerer]))
    key = fresh("service")
    other.listen(key)
    one.ask(key, b"question", "7")
    other.answer(b" answered")
    _, heard = one.hear()
    assert (heard.payload, heard.correlation) == (b"question answered", "7"), (asker, answerer, heard)


def shortened(said: Said) -> Said:
    return said._replace(payload=said.payload[:40])


def fail(_: type[BaseException], error: BaseException, __: object) -> None:
    print("".join(traceback.format_exception(error)), flush=True)
    os._exit(1)


if __name__ == "__main__":
    main()
