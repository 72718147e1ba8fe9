"""The channels of one connection by their numbers, which are used again.

A number may be open at the client while the core still closes the channel that had it before; what the core says of the
number until then is of the old channel, and nobody wants to hear it any more.
"""

from __future__ import annotations

from broker.model import commands
from protocols.amqp.channel import Channel, ChannelState, Client
from protocols.amqp.methods import ChannelOpenOk
from protocols.amqp.outbox import Outbox


class Channels:
    """Open channels, and those of which the core has yet to say that they are closed."""

    def __init__(self, outbox: Outbox) -> None:
        self.by_number: dict[int, Channel] = {}
        """What the client can speak on: open, closing or finishing.  Empty unless the connection is open."""
        self._outbox = outbox
        self._closing_in_core: dict[int, int] = {}
        """Number -> how many ChannelClosed are to come of channels that the client knows to be closed."""
        self._ended = False

    def open(self, number: int, client: Client) -> None:
        """A number that was free is taken."""
        channel = self.by_number[number] = Channel(number, self._outbox, client)
        channel.tell(commands.OpenChannel(channel.number))
        self._outbox.send(number, ChannelOpenOk())

    def receive_close_ok(self, channel: Channel) -> None:
        """The client knows that we closed the channel, and may use its number again."""
        number = channel.number
        del self.by_number[number]
        if not channel.core_closed:
            self._closing_in_core[number] = self._closing_in_core.get(number, 0) + 1

    def addressed(self, number: int) -> Channel | None:
        """The channel that a reply of the core's is for; None if its time is over."""
        if self._closing_in_core and number in self._closing_in_core:
            return None
        channel = self.by_number.get(number)
        assert channel is not None or self._ended, f"channel {number} is not open"
        return channel

    def receive_closed(self, number: int) -> None:
        """The core has closed a channel."""
        left = self._closing_in_core.pop(number, 0)
        if left:
            if left > 1:
                self._closing_in_core[number] = left - 1
            return
        channel = self.addressed(number)
        if channel is None:
            return
        if channel.state is ChannelState.FINISHING:
            channel.finished()
            del self.by_number[number]
        else:
            channel.core_closed = True

    def end(self) -> None:
        """The connection ends, and with it all of them."""
        self.by_number.clear()
        self._ended = True
