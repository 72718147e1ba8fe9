"""Headers come as they were sent, the first of each name; destination and content-type are the sender's."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('headers')}"
    client = broker.connect()
    subscription = client.subscribe(queue)
    own = {"colour": "grey green", "naïve": "čaj", "empty": ""}
    if broker.version != "1.0":
        own |= {"colons": "a:b:\\n", "lines": "one\ntwo"}
    known = {"correlation-id": "17", "priority": "3", "type": "greeting", "content-type": "text/plain"}
    client.stomp.send(queue, b"hello", headers={**own, **known})
    message = client.next_message()
    assert {name: message.headers.get(name) for name in own} == own
    assert {name: message.headers.get(name) for name in known} == known
    assert message.headers["destination"] == queue
    assert message.headers["subscription"] == subscription
    assert message.headers["content-length"] == "5"
    assert message.headers["message-id"]
    assert ("ack" in message.headers) is False
    assert not message.redelivered
    client.disconnect()
