"""A will is sent when the connection is lost, and not after DISCONNECT; it may be retained."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("will")
    watcher = broker.connect()
    watcher.subscribe(Filter(f"{topic}/#", 2))

    broker.connect(will=Message(f"{topic}/lost", b"lost", 1)).hang_up()
    will = watcher.next_message()
    assert (will.topic, will.payload, will.qos, will.retain) == (f"{topic}/lost", b"lost", 1, False)

    broker.connect(will=Message(f"{topic}/kept", b"kept", 2, retain=True)).hang_up()
    will = watcher.next_message()
    assert (will.payload, will.qos, will.retain) == (b"kept", 2, False)
    late = broker.connect()
    late.subscribe(Filter(f"{topic}/kept", 2))
    will = late.next_message()
    assert (will.payload, will.qos, will.retain) == (b"kept", 2, True)

    broker.connect(will=Message(f"{topic}/good", b"never", 1)).disconnect()
    late.publish(Message(f"{topic}/kept", b"", 1, retain=True))
    late.publish(Message(f"{topic}/end", b"end", 1))
    assert [message.payload for message in watcher.messages_until(b"end")] == [b""]
