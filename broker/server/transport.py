"""What carries one connection's bytes: a socket of the poller, or a stream (``stream.py``)."""

from __future__ import annotations

from typing import Protocol

from kernel.poller import Poller
from protocols.adapter import Decoder, Output


class Transport(Protocol):
    """One connection's way out, and the tap of its way in.  None of it waits."""

    def send(self, output: list[Output]) -> None:
        """Queues output.  It leaves with the round's flush, or from then on as the peer takes it."""

    def pause(self) -> None:
        """Stops reading; what has been decoded already may still come."""

    def resume(self) -> None:
        """Reads on."""

    def wake(self) -> None:
        """The decoder may go on with what it holds."""

    def hang_up(self) -> None:
        """Lets output out and shuts our side; the peer's end is told when it comes."""

    def close(self) -> None:
        """Frees everything, now."""

    @property
    def input_size(self) -> int:
        """Bytes that the decoder holds of frames and messages that aren't complete."""


class PolledSocket:
    """A socket that the poller reads and writes."""

    __slots__ = ("_poller", "_token")

    def __init__(self, poller: Poller, token: int, fd: int, decoder: Decoder) -> None:
        """Takes ``fd`` over.  OSError: the system has no room for it; it is closed."""
        poller.add(token, fd, decoder)
        self._poller = poller
        self._token = token

    def send(self, output: list[Output]) -> None:
        self._poller.send(self._token, output)

    def pause(self) -> None:
        self._poller.pause(self._token)

    def resume(self) -> None:
        self._poller.resume(self._token)

    def wake(self) -> None:
        self._poller.wake(self._token)

    def hang_up(self) -> None:
        self._poller.hang_up(self._token)

    def close(self) -> None:
        self._poller.remove(self._token)

    @property
    def input_size(self) -> int:
        return self._poller.input_size(self._token)
