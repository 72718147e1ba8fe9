"""A client's end of a link, whatever it speaks: bytes that come are read into pieces, each of which it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from tests.simulation.link import Link

PieceT = TypeVar("PieceT")
ReadT = TypeVar("ReadT", covariant=True)


class Reading(Protocol[ReadT]):
    """Puts together what came."""

    def receive(self, data: bytes) -> Iterable[ReadT]: ...


class LinkEnd(ABC, Generic[PieceT]):
    """Its ``link`` is None while it has none."""

    link: Link | None = None
    _incoming: Reading[PieceT]

    @abstractmethod
    def lose(self) -> None:
        """The connection is over, for whatever reason; nothing more is sent or read."""

    @abstractmethod
    def _receive(self, piece: PieceT) -> None:
        """It came."""

    def send_bytes(self, data: bytes) -> None:
        if self.link is not None:
            self.link.to_node += data

    def leave_link(self) -> None:
        """Nobody is at this end any more."""
        if self.link is not None:
            self.link.client_gone = True
        self.link = None

    def vanish(self, lost_size: int) -> None:
        """It is gone without a word, and so are the last bytes it sent."""
        if self.link is not None:
            kept = max(len(self.link.to_node) - lost_size, 0)
            del self.link.to_node[kept:]
            self.lose()

    def read(self, size: int) -> None:
        """Takes up to ``size`` bytes that came, or notices the end."""
        link = self.link
        assert link is not None
        data = bytes(link.to_client[:size])
        del link.to_client[:size]
        if not data:
            self.lose()
            return
        for piece in self._incoming.receive(data):
            if self.link is link:
                self._receive(piece)
