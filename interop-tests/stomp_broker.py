"""The broker that STOMP clients meet, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.rabbitmq import RabbitMq

from broker_process import BrokerProcess, free_port


class StompBroker(NamedTuple):
    """``restart`` is None where it isn't ours to be restarted, ``web_url`` where another broker's wasn't given."""

    url: str
    web_url: str | None
    ours: bool
    restart: Callable[[], None] | None = None
    check_alive: Callable[[], None] = lambda: None


def our_broker(process: BrokerProcess) -> StompBroker:
    urls = (process.stomp_url, process.web_stomp_url)
    return StompBroker(*urls, ours=True, restart=process.restart, check_alive=process.check_alive)


@contextmanager
def rabbitmq(directory: Path) -> Iterator[StompBroker]:
    """Debian's RabbitMQ with its STOMP plugins, to see whether a behaviour is what another broker shows too."""
    # Two ports below the first are the port mapper's and Erlang's own.
    first = free_port()
    node = RabbitMq(directory, first, stomp_port=free_port(), web_stomp_port=free_port())
    missing = node.missing()
    assert missing is None, missing

    def restart() -> None:
        node.stop()
        node.start()

    node.start()
    try:
        login = "guest:guest@127.0.0.1"
        yield StompBroker(
            f"stomp://{login}:{node.stomp_port}", f"ws://{login}:{node.web_stomp_port}/ws", ours=False, restart=restart
        )
    finally:
        node.stop()
