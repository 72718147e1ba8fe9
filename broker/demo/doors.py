"""Where the demo's broker listens: the documented ports, or all of them moved by the same number."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

OFFSETS = range(0, 2000, 100)
"""Tried in turn where nothing is said.  STOMP's 61613 leaves room for no more than 3922."""
PORT_MAX = 65_535
CONNECT_TIMEOUT_S = 1.0


class Door(NamedTuple):
    """``protocol``: as a listener's in the configuration."""

    protocol: str
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def moved(self, offset: int) -> Door:
        return self._replace(port=self.port + offset)


class Taken(Exception):
    """One line that says which door can't be had, and what to do."""


def is_free(door: Door) -> bool:
    """Could somebody listen there now?"""
    with socket.socket() as probe:
        # As the broker does: connections of the one before may still be closing.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((door.host, door.port))
        except OSError:
            return False
    return True


def accepts(door: Door) -> bool:
    """Does somebody listen there now?"""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex((door.host, door.port)) == 0


def free_doors(
    doors: Sequence[Door], offset: int | None, free: Callable[[Door], bool] = is_free
) -> tuple[Sequence[Door], str]:
    """Doors that are all free, and a line that says why they are others than ``doors`` (empty: they aren't).

    ``offset``: just this one, or None for the first of OFFSETS that will do.  Taken if there is none.
    """
    if offset is not None:
        moved = _moved(doors, offset)
        taken = [door for door in moved if not free(door)]
        if taken:
            raise Taken(f"{_said(taken)} taken: try another --port-offset")
        return moved, ""
    first_taken: list[Door] = []
    for each in OFFSETS:
        moved = _moved(doors, each)
        taken = [door for door in moved if not free(door)]
        if not taken:
            return moved, f"{_said(first_taken)} taken: all ports are moved by {each}" if first_taken else ""
        first_taken = first_taken or taken
    raise Taken(f"{_said(first_taken)} taken, and so are others: try --port-offset")


def _moved(doors: Sequence[Door], offset: int) -> Sequence[Door]:
    moved = [door.moved(offset) for door in doors]
    for door in moved:
        if not 1 <= door.port <= PORT_MAX:
            raise Taken(f"there is no port {door.port}: try another --port-offset")
    return moved


def _said(taken: Sequence[Door]) -> str:
    named = ", ".join(f"{door.port} ({door.protocol})" for door in taken)
    return f"port {named} is" if len(taken) == 1 else f"ports {named} are"
