"""The wire between a client and the node: bytes on their way in both directions, cut at drawn places.

The node's end is a transport of the engine's, as a stream's is; nothing moves unless the simulation moves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from broker.core.session import Session
from broker.server.buffers import Buffers
from broker.server.engine import Engine
from protocols.adapter import Decoder, Output

WINDOW_SIZE = 16 << 10
"""Bytes on the way to a client before the node's writes stop."""


class Link:
    """Both directions, as bytes that have left one end and not reached the other."""

    def __init__(self) -> None:
        self.to_node = bytearray()
        self.to_client = bytearray()
        self.client_gone = False
        self.node_gone = False
        """The node's end is closed or has shut its side down: no more bytes will come."""
        self.cut_off: Callable[[], None] = lambda: None
        """The client's: the node has given the connection up, whatever is still on its way."""


class SimTransport:
    """The node's end of a link."""

    def __init__(self, link: Link, token: int, decoder: Decoder, engine: Engine[Session], buffers: Buffers) -> None:
        self.link = link
        self._token = token
        self._decoder = decoder
        self._engine = engine
        self._buffers = buffers
        self._pieces: deque[Output] = deque()
        self._left = 0
        self._input_charged = 0
        self._paused = False
        self._hanging_up = False
        self._closed = False
        self._told = False
        """The engine knows of the end."""

    # ---- the engine's side

    def send(self, output: list[Output]) -> None:
        assert not self._closed
        size = sum(map(len, output))
        self._pieces.extend(output)
        self._left += size
        self._buffers.output.charge(size)
        self._engine.receive_writing(self._token, self._left)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def wake(self) -> None:
        frames = self._decoder.resume()
        self._charge(self._decoder.buffered)
        if frames:
            self._engine.receive_frames(self._token, frames)

    def hang_up(self) -> None:
        self._hanging_up = True
        self._paused = False
        self.link.cut_off()
        self._end_output()

    def close(self) -> None:
        self._buffers.output.release(self._left)
        self._left = 0
        self._pieces.clear()
        self._charge(0)
        self._closed = True
        self.link.node_gone = True
        self.link.cut_off()

    @property
    def input_size(self) -> int:
        return self._decoder.buffered

    # ---- the wire's side

    @property
    def closed(self) -> bool:
        return self._closed

    def can_write(self) -> bool:
        return not self._closed and bool(self._pieces) and len(self.link.to_client) < WINDOW_SIZE

    def write(self, size: int, now: float) -> None:
        """Up to ``size`` bytes leave."""
        if self.link.client_gone:
            self._tell_end()
            return
        moved = 0
        while self._pieces and moved < size:
            piece = bytes(self._pieces.popleft())
            part = piece[: size - moved]
            if len(part) < len(piece):
                self._pieces.appendleft(piece[len(part) :])
            self.link.to_client += part
            moved += len(part)
        self._left -= moved
        self._buffers.output.release(moved)
        self._engine.receive_written(self._token, self._left, now)
        self._engine.ring()
        self._end_output()

    def can_read(self) -> bool:
        if self._closed or self._told:
            return False
        if not self._hanging_up and (self._paused or self._decoder.stopped):
            return False
        return bool(self.link.to_node) or self.link.client_gone

    def read(self, size: int) -> None:
        """Up to ``size`` bytes arrive, or the end."""
        data = bytes(self.link.to_node[:size])
        del self.link.to_node[:size]
        if not data:
            self._tell_end()
        elif not self._hanging_up:
            frames = self._decoder.receive_data(data)
            self._charge(self._decoder.buffered)
            self._engine.receive_frames(self._token, frames)

    def _tell_end(self) -> None:
        if not self._told:
            self._told = True
            self._engine.receive_frames(self._token, None)

    def _end_output(self) -> None:
        if self._hanging_up and not self._pieces:
            self.link.node_gone = True

    def _charge(self, size: int) -> None:
        self._buffers.input.charge(size)
        self._buffers.input.release(self._input_charged)
        self._input_charged = size
