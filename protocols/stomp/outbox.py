"""What one connection has to write and to ask of the core, until it is taken."""

from __future__ import annotations

from broker.model.commands import Command
from protocols.adapter import Output


class Outbox:
    """Shared by the parts of an adapter, so that their output is in one order and their commands in another."""

    __slots__ = ("commands", "output")

    def __init__(self) -> None:
        self.output: list[Output] = []
        self.commands: list[Command] = []
