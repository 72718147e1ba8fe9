"""What one connection has to write and to ask of the core, until it is taken."""

from __future__ import annotations

from broker.model.commands import Command
from protocols.adapter import Output
from protocols.amqp.method_codec import encode_method
from protocols.amqp.methods import (
    Method,
)


class Outbox:
    """Shared by a connection and its channels, so that their output is in one order and their commands in another."""

    def __init__(self, frame_size_max: int) -> None:
        self.output: list[Output] = []
        self.commands: list[Command] = []
        self.frame_size_max = frame_size_max
        """Of what we send; what tune settled on."""
        self.held_size = 0
        """Bytes of input that the channels keep together (``Channel.hold``)."""

    def send(self, channel: int, method: Method) -> None:
        """Puts a method's frame into the output."""
        self.output.append(encode_method(channel, method))
