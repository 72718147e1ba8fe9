"""The members of a shared subscription get each message once, together, and each of them some."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh

COUNT = 100


def run(broker: Broker) -> None:
    topic, group = fresh("shared"), fresh("group")
    members = [broker.connect() for _ in range(3)]
    alone, publisher = broker.connect(), broker.connect()
    for member in members:
        assert member.subscribe(Filter(f"$share/{group}/{topic}/+", 1)) == [1]
        member.subscribe(Filter(f"{topic}/to/all", 1))
    alone.subscribe(Filter(f"{topic}/+", 1))
    sent = [b"%d" % number for number in range(COUNT)]
    for payload in sent:
        publisher.publish(Message(f"{topic}/x", payload, 1))
    publisher.publish(Message(f"{topic}/x", b"end", 1))
    assert [message.payload for message in alone.messages_until(b"end")] == sent
    publisher.publish(Message(f"{topic}/to/all", b"end of all", 1))
    shares = [[message.payload for message in member.messages_until(b"end of all")] for member in members]
    assert sorted(payload for share in shares for payload in share) == sorted([*sent, b"end"]), "not each once"
    assert min(map(len, shares)) >= COUNT // 10, f"not spread: {[len(share) for share in shares]}"

    members[0].unsubscribe(f"$share/{group}/{topic}/+")
    members[1].hang_up()
    members[1].wait_ended()
    for payload in sent[:10]:
        publisher.publish(Message(f"{topic}/x", payload, 1))
    assert members[2].payloads(10) == sent[:10]
