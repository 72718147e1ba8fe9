"""``python -m tests.store.make_golden VERSION``: a version's golden data directory, which every later one must read.

Made once for a format; never made again to make a test pass.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from broker.model import commands as c
from broker.model.names import DeliveryTag, ExchangeName, QueueName, RoutingKey
from broker.model.topology import BindingSpec, ExchangeSpec
from tests.core.node import CHANNEL, Node, consume, declare, publish

GOLDEN = Path(__file__).parent / "golden"
FILE_SIZE = 1 << 20


def fill(node: Node) -> None:
    """An exchange, two bound queues, a dead letter, a returned message; some sealed, some only in the journal."""
    session = node.session()
    exchange = ExchangeSpec(ExchangeName("golden"), "topic", durable=True)
    node.ask(session, declare("a"), declare("b", x_dead_letter_exchange="", x_dead_letter_routing_key="a"))
    node.ask(session, c.DeclareExchange(CHANNEL, exchange))
    for queue, key in (("a", "k.#"), ("b", "*.b")):
        node.ask(session, c.Bind(CHANNEL, BindingSpec(exchange.name, queue, RoutingKey(key))))
    node.ask(session, *(publish(f"sealed {i}", exchange="golden", key=f"k.{'ab'[i % 2]}") for i in range(40)))
    node.cycle()
    node.ask(session, consume("b", credit=3))
    first, second, third = (DeliveryTag(tag) for tag in (1, 2, 3))
    node.ask(session, c.Settle(CHANNEL, first, first, c.Outcome.REJECTED))
    node.ask(session, c.Settle(CHANNEL, second, second, c.Outcome.ACCEPTED))
    node.ask(session, c.Settle(CHANNEL, third, third, c.Outcome.REQUEUED))
    node.ask(session, c.Cancel(CHANNEL, consume("b").consumer_tag), c.CloseChannel(CHANNEL))
    node.ask(node.session(), publish("last", exchange="golden", key="k.b"))
    node.ask(node.session(), c.PurgeQueue(CHANNEL, QueueName("nowhere")))


def main(version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder), file_size=FILE_SIZE)
        fill(node)
        node.journal.close()
        with tarfile.open(GOLDEN / f"{version}.tar.xz", "w:xz") as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.add(path, path.name)


if __name__ == "__main__":
    main(sys.argv[1])
