"""Whom the load's clients tell what they do and see: a display that counts, or a ledger that checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

PADDING = b"x" * 100
SEPARATOR = b":"


class Way(NamedTuple):
    """To a node, by one protocol."""

    node: str
    host: str
    port: int


class Life:
    """One channel or session of a client at one node, from its beginning to whatever ends it."""

    def __init__(self, name: str, node: str) -> None:
        self.name = name
        self.node = node
        self.ended = False
        self.mark: int | None = None
        """For its witness's use."""


class Witness(Protocol):
    """Called from many threads.  ``place``: a queue or a topic; each message goes to one."""

    def publish(self, place: str, publisher: str) -> int:
        """A message is about to be sent, once and never again: its id."""

    def confirm(self, id: int) -> None: ...

    def refuse(self, id: int) -> None: ...

    def lose(self, id: int) -> None:
        """Nobody will tell what became of it."""

    def resend(self, id: int) -> None:
        """Its connection ended before it was answered: it is sent once more, as MQTT has it."""

    def deliver(self, life: Life, place: str, body: bytes, again: bool) -> int | None:
        """``again``: flagged as delivered before.  Its id; None: it is none of ours."""

    def settle(self, life: Life, ids: Sequence[int]) -> None:
        """A client says so on the wire."""

    def settled(self, life: Life) -> None:
        """What that life settled stays settled: the broker said good-bye after it."""

    def end(self, life: Life) -> None:
        """What it held comes back."""

    def complain(self, what: str) -> None:
        """A client saw what must not be."""


def body_of(id: int) -> bytes:
    return b"%d%b%b" % (id, SEPARATOR, PADDING)


def id_in(body: bytes) -> int | None:
    """None: it is no body of ours."""
    number, separator, padding = body.partition(SEPARATOR)
    return int(number) if separator and padding == PADDING and number.isdigit() else None
