"""Every frame that asks for a receipt gets it, in order."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('receipts')}"
    client = broker.connect()
    persistent = {"persistent": "true"}
    asked = []

    def ask(name: str) -> dict[str, str]:
        asked.append(name)
        return {"receipt": name}

    client.stomp.subscribe(queue, "s", "client", headers=ask("subscribe"))
    client.stomp.begin("t", headers=ask("begin"))
    client.stomp.send(queue, b"in", headers={"transaction": "t", **ask("send in a transaction")})
    client.stomp.commit("t", headers=ask("commit"))
    client.stomp.begin("u", headers=ask("begin again"))
    client.stomp.abort("u", headers=ask("abort"))
    for number in range(20):
        client.stomp.send(queue, b"x", headers={**(persistent if number % 3 else {}), **ask(f"send {number}")})
    messages = [client.next_message() for _ in range(21)]
    client.settle(messages[-1], **ask("ack"))
    client.stomp.unsubscribe(id="s", headers=ask("unsubscribe"))
    got = [client.next_receipt() for _ in asked]
    assert got == asked
    client.disconnect()
