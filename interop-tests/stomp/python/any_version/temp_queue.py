"""Request and reply by a temporary queue, which is the requester's alone."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    queue = f"/queue/{fresh('service')}"
    service, requester = broker.connect(), broker.connect()
    service.subscribe(queue)
    for number in range(3):
        requester.send(queue, b"%d" % number, reply_to="/temp-queue/answers", correlation_id=f"c{number}")
    for number in range(3):
        request = service.next_message()
        reply_to = request.headers["reply-to"]
        assert reply_to.startswith("/reply-queue/")
        service.send(reply_to, request.body * 2, correlation_id=request.headers["correlation-id"])
        reply = requester.next_message()
        assert (reply.body, reply.headers["correlation-id"]) == (b"%d" % number * 2, f"c{number}")
        assert reply.headers["subscription"] == "/temp-queue/answers"
    requester.disconnect()
    service.disconnect()
