"""A responder answers to the topic that a request names, with its correlation data."""

from __future__ import annotations

from device import Broker, Filter, Message, fresh


def run(broker: Broker) -> None:
    topic = fresh("service")
    responder = broker.connect()
    responder.subscribe(Filter(topic, 1))
    requesters = [broker.connect(), broker.connect()]
    for number, requester in enumerate(requesters):
        requester.subscribe(Filter(f"{topic}/answers/{number}", 1))
        for count in range(3):
            asked = {"response_topic": f"{topic}/answers/{number}", "correlation_data": bytes([number, count, 0, 255])}
            requester.publish(Message(topic, b"%d" % count, 1, properties=asked))
    for _ in range(6):
        request = responder.next_message()
        told = {"correlation_data": request.properties["correlation_data"]}
        responder.publish(Message(request.properties["response_topic"], b"re " + request.payload, 1, properties=told))
    for number, requester in enumerate(requesters):
        for count in range(3):
            answer = requester.next_message()
            assert answer.payload == b"re %d" % count
            assert answer.properties["correlation_data"] == bytes([number, count, 0, 255])
            assert "response_topic" not in answer.properties
