"""A publisher that waits for confirms without waiting for each, and goes to another node when its own is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pika
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Way, Witness, body_of

TURN_S = 0.02
RETRY_S = 0.1
HEARTBEAT_S = 2
"""pika gives a silent node up 5 s after that."""
CONNECT_TIMEOUT_S = 3.0
IN_FLIGHT_MAX = 64
PERSISTENT = BasicProperties(delivery_mode=2)


def parameters(way: Way) -> pika.ConnectionParameters:
    return pika.ConnectionParameters(
        way.host,
        way.port,
        heartbeat=HEARTBEAT_S,
        socket_timeout=CONNECT_TIMEOUT_S,
        stack_timeout=CONNECT_TIMEOUT_S,
        connection_attempts=1,
    )


class AmqpPublisher(threading.Thread):
    """``rate``: messages per second.  A message of unknown outcome is not sent again: each is published once."""

    def __init__(
        self,
        name: str,
        ways: Sequence[Way],
        queue: str,
        rate: float,
        witness: Witness,
        orders: Orders,
    ) -> None:
        """``ways``: in the order in which they are tried."""
        super().__init__(name=name, daemon=True)
        self.place = queue
        self.node = ""
        """That it is connected to."""
        self._ways = ways
        self._rate = rate
        self._witness = witness
        self._orders = orders
        self._in_flight: dict[int, int] = {}
        """Delivery tag -> id, in order."""
        self._tag = 0
        self._due_at = 0.0
        self._going_home = False

    @property
    def home(self) -> str:
        return self._ways[0].node

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def run(self) -> None:
        turn = 0
        while not self._orders.stop:
            way = self._ways[turn % len(self._ways)]
            turn += 1
            self._going_home = False
            self._publish_to(way)
            if self._going_home:
                turn = 0
            self.node = ""
            for id in self._in_flight.values():
                self._witness.lose(id)
            self._in_flight = {}
            self._orders.stopping.wait(RETRY_S)

    def _publish_to(self, way: Way) -> None:
        """Until the connection ends."""

        def begin(channel: Channel) -> None:
            channel.add_on_close_callback(give_up)
            channel.queue_declare(self.place, durable=True, callback=lambda _: channel.confirm_delivery(answered, go))
            self._channel = channel

        def give_up(channel: Channel, reason: Exception) -> None:
            if connection.is_open:
                connection.close()

        def answered(frame: Method) -> None:
            self._receive_answer(frame.method)

        def go(_: Method) -> None:
            self.node = way.node
            self._tag = 0
            self._due_at = time.monotonic()
            self._take_turn(connection)

        def end(_: pika.SelectConnection, reason: BaseException | str) -> None:
            connection.ioloop.stop()

        connection = pika.SelectConnection(
            parameters(way),
            on_open_callback=lambda connection: connection.channel(on_open_callback=begin),
            on_open_error_callback=end,
            on_close_callback=end,
        )
        self._watch_opening(connection)
        connection.ioloop.start()
        connection.ioloop.close()

    def _watch_opening(self, connection: pika.SelectConnection) -> None:
        """Who is told to stop does so while it waits for a node that says nothing, too."""
        if self.node:
            return
        if self._orders.stop:
            connection.ioloop.stop()
        else:
            connection.ioloop.call_later(0.2, lambda: self._watch_opening(connection))

    def _take_turn(self, connection: pika.SelectConnection) -> None:
        if not connection.is_open or not self._channel.is_open:
            return
        self._going_home = self._orders.homing.is_set() and self.node != self.home
        if self._orders.stop or (self._going_home and not self._in_flight):
            connection.close()
            return
        now = time.monotonic()
        self._due_at = max(self._due_at, now - 1.0 / self._rate - TURN_S)  # what was missed is not made up for
        while self._due_at <= now:
            self._due_at += 1.0 / self._rate
            if not (self._going_home or self._orders.paused.is_set()) and len(self._in_flight) < IN_FLIGHT_MAX:
                self._publish()
        connection.ioloop.call_later(TURN_S, lambda: self._take_turn(connection))

    def _publish(self) -> None:
        id = self._witness.publish(self.place, self.name)
        self._tag += 1
        self._in_flight[self._tag] = id
        self._channel.basic_publish("", self.place, body_of(id), PERSISTENT)

    def _receive_answer(self, answer: Basic.Ack | Basic.Nack) -> None:
        tags = [answer.delivery_tag]
        if answer.multiple:
            tags = [tag for tag in self._in_flight if tag <= answer.delivery_tag]
        tell = self._witness.confirm if isinstance(answer, Basic.Ack) else self._witness.refuse
        for tag in tags:
            id = self._in_flight.pop(tag, None)
            if id is None:
                self._witness.complain(f"{self.name} was answered twice for one publish")
            else:
                tell(id)
