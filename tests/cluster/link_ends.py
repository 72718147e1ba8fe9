"""Two nodes with one link between them, on whatever streams a test has."""

from __future__ import annotations

from random import Random

import trio

from broker.cluster.frame_kinds import Channel
from broker.cluster.link_stream import LinkStream, Watcher
from broker.cluster.peer_link import PeerLink
from broker.cluster.peers import Peers
from broker.cluster.violation import Reason
from tests.cluster.handshakes import terms
from tests.cluster.wire import Heard


class End:
    """A node with one link."""

    def __init__(self, name: str, watcher: Watcher | None = None) -> None:
        self.watcher = watcher
        self.heard = Heard()
        self.random = Random(name)
        self.peers = Peers(
            terms(name), self.heard, self.random, lambda: self.random.randbytes(32), list, trio.current_time()
        )
        self.peers.set_addresses(["b.example:7400"], trio.current_time())
        self.rooms = 0

    def stream(self, link: PeerLink, stream: trio.abc.Stream) -> LinkStream:
        self.link = link
        self.carried = LinkStream(link, stream, self.peers, self.served, self.watcher)
        return self.carried

    def served(self, room: bool) -> None:
        self.rooms += room
        if self.peers.take_ready():
            self.carried.wake()


def dialing(
    stream: trio.abc.Stream, channel: Channel = Channel.BULK, watcher: Watcher | None = None
) -> tuple[End, LinkStream]:
    end = End("a", watcher)
    return end, end.stream(end.peers.dialed("b.example:7400", channel, trio.current_time()), stream)


def accepting(stream: trio.abc.Stream) -> tuple[End, LinkStream]:
    end = End("b")
    return end, end.stream(end.peers.accepted(trio.current_time()), stream)


def reason(end: End) -> Reason | None:
    return end.link.closing.reason if end.link.closing else None
