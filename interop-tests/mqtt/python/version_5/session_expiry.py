"""A session ends with its connection, later, or when DISCONNECT says."""

from __future__ import annotations

import time

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic, client_id = fresh("expiry"), fresh("session")
    publisher = broker.connect()

    def connect(expiry_s: int | None) -> tuple:
        properties = {} if expiry_s is None else {"session_expiry_interval": expiry_s}
        device = broker.device(client_id, clean=False, properties=properties)
        return device, device.connect().session_present

    device, _ = connect(None)
    device.hang_up()
    device.wait_ended()
    device, present = connect(1)
    assert not present, "without an expiry it ends with the connection"
    device.subscribe(Filter(topic, 1))
    device.hang_up()
    device.wait_ended()
    device, present = connect(1)
    assert present, "back within its second"
    device.hang_up()
    device.wait_ended()
    time.sleep(2.2)
    publisher.publish(Message(topic, b"for nobody", 1))
    device, present = connect(3600)
    assert not present, "its second is over"
    device.disconnect(properties={"session_expiry_interval": 0})
    device, present = connect(3600)
    assert not present, "DISCONNECT said so"
    device.disconnect()
    device, present = connect(0)
    assert present
    device.disconnect()
    device, present = connect(None)
    assert not present
    device.subscribe(Filter(topic, 1))
    publisher.publish(Message(topic, b"end", 1))
    assert device.messages_until(b"end") == []
