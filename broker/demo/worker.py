"""Averages what the fleet measures: ``python -m broker.demo.worker --help``.  For any AMQP 0-9-1 broker.

Each reading is acknowledged once its average has been published, so one that was under way when a worker died comes to
the next.  Several share the queue, but each would know a part of the readings only.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from pika.spec import Basic, BasicProperties

from broker.demo.averages import MovingAverages
from broker.demo.stopping import ASK_INTERVAL_S, Stopping

URL = "amqp://guest:guest@127.0.0.1:5672"
EXCHANGE = "amq.topic"
QUEUE = "demo.temperatures"
READINGS = "fleet.*.temperature"
WINDOW = 20
PREFETCH = 200
RETRY_S = 1.0
VIA = {"via": "AMQP"}
"""A header for people who look on: a message is the same by whatever protocol it came."""


class Worker:
    """``work`` returns when it is told to stop."""

    def __init__(self, url: str, queue: str, window: int) -> None:
        self._parameters = pika.URLParameters(url)
        self._queue = queue
        self._averages = MovingAverages(window)

    def work(self, stopping: Stopping) -> None:
        """Until it stops or the connection breaks (AMQPError)."""
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            channel.queue_declare(self._queue, durable=True)
            channel.queue_bind(self._queue, EXCHANGE, READINGS)
            channel.basic_qos(prefetch_count=PREFETCH)
            channel.basic_consume(self._queue, self._receive)
            print(f"worker: consuming {self._queue}", flush=True)
            while not stopping:
                connection.process_data_events(ASK_INTERVAL_S)
        finally:
            if connection.is_open:
                connection.close()

    def _receive(self, channel: BlockingChannel, method: Basic.Deliver, _: BasicProperties, body: bytes) -> None:
        name = method.routing_key.removesuffix(".temperature")
        value = read(body)
        if value is not None:
            average = f"{self._averages.add(name, value):.2f}"
            properties = BasicProperties(content_type="text/plain", headers=VIA)
            channel.basic_publish(EXCHANGE, f"{name}.average", average.encode(), properties)
        channel.basic_ack(method.delivery_tag)


def read(body: bytes) -> float | None:
    """A plain number; None of anything else, which is left out."""
    try:
        value = float(body)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def reason(error: BaseException) -> BaseException:
    """pika wraps what happened in exceptions of its own."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m broker.demo.worker", description="Averages what the fleet measures."
    )
    parser.add_argument("--broker", metavar="URL", default=URL, help=f"default: {URL}")
    parser.add_argument("--queue", default=QUEUE, help=f"durable, made if it isn't there; default: {QUEUE}")
    parser.add_argument("--window", metavar="COUNT", type=int, default=WINDOW, help=f"readings; default: {WINDOW}")
    arguments = parser.parse_args()
    if arguments.window < 1:
        parser.error("--window must be at least 1")
    stopping = Stopping()
    worker = Worker(arguments.broker, arguments.queue, arguments.window)
    while not stopping:
        try:
            worker.work(stopping)
        except (AMQPError, OSError) as error:
            print(f"worker: {reason(error)!r}; once more in {RETRY_S:g} s", file=sys.stderr, flush=True)
            time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
