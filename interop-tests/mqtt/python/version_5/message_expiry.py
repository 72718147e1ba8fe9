"""A message that waited tells what is left of its time, and one whose time is over is not delivered."""

from __future__ import annotations

import time

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic, client_id = fresh("expiry"), fresh("session")
    device, _ = broker.resume(client_id)
    device.subscribe(Filter(f"{topic}/live", 2))
    device.hang_up()
    device.wait_ended()
    publisher = broker.connect()

    def send(name: str, payload: bytes, expiry_s: int | None, retain: bool) -> None:
        properties = {} if expiry_s is None else {"message_expiry_interval": expiry_s}
        publisher.publish(Message(f"{topic}/{name}", payload, 1, retain, properties))

    for payload, expiry_s in ((b"short", 1), (b"long", 100), (b"forever", None)):
        send("live", payload, expiry_s, retain=False)
        send(f"kept/{payload.decode()}", payload, expiry_s, retain=True)
    time.sleep(2.2)
    send("live", b"end", None, retain=False)
    device, _ = broker.resume(client_id)
    got = {m.payload: m.properties.get("message_expiry_interval") for m in device.messages_until(b"end")}
    assert list(got) == [b"long", b"forever"]
    assert 90 <= got[b"long"] <= 98, got
    assert got[b"forever"] is None
    device.subscribe(Filter(f"{topic}/kept/+", 1))
    send("live", b"end", None, retain=False)
    got = {m.payload: m.properties.get("message_expiry_interval") for m in device.messages_until(b"end")}
    assert set(got) == {b"long", b"forever"}, "retained"
    assert 90 <= got[b"long"] <= 98, got
    for name in ("short", "long", "forever"):
        send(f"kept/{name}", b"", None, retain=True)
    device.disconnect()
    broker.forget(client_id)
