"""A consumer that acknowledges what it gets some time later, and goes to another node when its own is gone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NoReturn

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker
from pika.spec import Basic, BasicProperties

from broker.demo.cluster.amqp_publisher import RETRY_S, parameters
from broker.demo.cluster.orders import Orders
from broker.demo.cluster.witness import Life, Way, Witness

TURN_S = 0.1
PREFETCH = 50
HELD_MAX = 4
"""Deliveries that wait for their acknowledgement, so that a node that ends finds some that do."""
LIFE_S = 2.0
"""After which a channel is closed in good order: what it settled must stay settled."""


class AmqpConsumer(threading.Thread):
    """Of a durable queue, which it declares."""

    def __init__(self, name: str, ways: Sequence[Way], queue: str, witness: Witness, orders: Orders) -> None:
        super().__init__(name=name, daemon=True)
        self.place = queue
        self.ready = threading.Event()
        self.node = ""
        self._ways = ways
        self._witness = witness
        self._orders = orders

    def run(self) -> None:
        turn = 0
        while not self._orders.stop:
            way = self._ways[turn % len(self._ways)]
            turn += 1
            try:
                self._consume_at(way)
                turn = 0
            except ChannelClosedByBroker as error:
                self._witness.complain(f"{self.name} at {way.node}: {error!r}")
            except (AMQPError, OSError):
                pass  # the node is gone, or goes
            self.node = ""
            self._orders.stopping.wait(RETRY_S)

    def _consume_at(self, way: Way) -> None:
        connection = pika.BlockingConnection(parameters(way))
        try:
            while not (self._orders.stop or (self.node and self._is_to_go_home())):
                self._live(connection, way.node)
        finally:
            if connection.is_open:
                connection.close()

    @property
    def home(self) -> str:
        return self._ways[0].node

    def _is_to_go_home(self) -> bool:
        return self._orders.homing.is_set() and self.node != self.home

    def _live(self, connection: pika.BlockingConnection, node: str) -> None:
        """One channel."""
        channel = connection.channel()
        life = Life(self.name, node)
        held: deque[tuple[int, int]] = deque()

        def settle(keep: int) -> None:
            while len(held) > keep:
                tag, id = held.popleft()
                self._witness.settle(life, (id,))
                channel.basic_ack(tag)

        def receive(_: BlockingChannel, method: Basic.Deliver, __: BasicProperties, body: bytes) -> None:
            id = self._witness.deliver(life, self.place, body, method.redelivered)
            if id is None:
                channel.basic_ack(method.delivery_tag)
                return
            held.append((method.delivery_tag, id))
            settle(HELD_MAX)

        def cancelled(_: object) -> NoReturn:
            self._witness.complain(f"{self.name} at {node} was cancelled, though its queue is there")
            raise AMQPError("cancelled")

        try:
            channel.add_on_cancel_callback(cancelled)
            channel.queue_declare(self.place, durable=True)
            channel.basic_qos(prefetch_count=PREFETCH)
            channel.basic_consume(self.place, receive)
            self.node = node
            self.ready.set()
            until = time.monotonic() + LIFE_S
            while not (self._orders.stop or self._is_to_go_home()) and time.monotonic() < until:
                connection.process_data_events(TURN_S)
            settle(0)
            channel.close()
            self._witness.settled(life)
        finally:
            self._witness.end(life)
