"""The stream path: a connection whose bytes go through trio, as TLS's and the simulator's do.

One task reads, one writes; everything else is the engine's, as for sockets.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import trio

from broker.server.buffers import Buffers
from protocols.adapter import Decoder, Frame, Output

READ_SIZE_MAX = 64 << 10
WRITE_SIZE_MAX = 256 << 10
"""What is joined for one send, so that a slow peer's progress is seen."""


class StreamOwner(Protocol):
    """The engine, as a stream's tasks see it."""

    def receive_frames(self, token: int, frames: list[Frame] | None) -> None: ...

    def receive_writing(self, token: int, left: int) -> None: ...

    def receive_written(self, token: int, left: int, now: float) -> None: ...

    def ring(self) -> None: ...


class StreamTransport:
    """One stream.  ``run`` carries its bytes until it ends or is closed."""

    def __init__(
        self, token: int, stream: trio.abc.Stream, decoder: Decoder, owner: StreamOwner, buffers: Buffers
    ) -> None:
        """``buffers`` is charged with what is held of the connection."""
        self._token = token
        self._stream = stream
        self._decoder = decoder
        self._owner = owner
        self._buffers = buffers
        self._input_charged = 0
        self._pieces: deque[Output] = deque()
        self._left = 0
        self._hanging_up = False
        self._received = 0
        self._begun: int | None = None
        """``_received`` at the last look, if something was unfinished then and hasn't been finished since."""
        self._scope = trio.CancelScope()
        self._reading = trio.Event()
        self._reading.set()
        self._woken = trio.Event()
        self._writing = trio.Event()

    # ---- the engine's side

    def send(self, output: list[Output]) -> None:
        size = sum(map(len, output))
        self._pieces.extend(output)
        self._left += size
        self._buffers.output.charge(size)
        self._owner.receive_writing(self._token, self._left)
        self._writing.set()

    def pause(self) -> None:
        self._reading = trio.Event()

    def resume(self) -> None:
        self._reading.set()

    def wake(self) -> None:
        frames = self._decoder.resume()
        self._charge_input(self._decoder.buffered)
        if frames:
            self._owner.receive_frames(self._token, frames)
        self._woken.set()

    def hang_up(self) -> None:
        self._hanging_up = True
        self._reading.set()
        self._woken.set()
        self._writing.set()

    def close(self) -> None:
        self._buffers.output.release(self._left)
        self._left = 0
        self._pieces.clear()
        self._charge_input(0)
        self._scope.cancel()

    @property
    def input_size(self) -> int:
        return self._decoder.buffered

    def is_slow(self, least: int) -> bool:
        """As the poller's ``slow_inputs`` (kernel/src/input_progress.rs)."""
        read = self._reading.is_set() and not (self._decoder.stopped or self._hanging_up)
        before = self._begun
        self._begun = self._received if read and self._decoder.buffered else None
        return before is not None and self._begun is not None and self._received - before < least

    # ---- the stream's side

    async def run(self) -> None:
        """Closes the stream in the end."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read_on)
                    nursery.start_soon(self._write_on)
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _read_on(self) -> None:
        data: bytes | bytearray = b"more"
        while data:
            await self._wait_wanted()
            try:
                data = await self._stream.receive_some(READ_SIZE_MAX)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            # It may have been paused while this read waited.
            await self._wait_wanted()
            if not data:
                self._owner.receive_frames(self._token, None)
            elif not (self._hanging_up or self._scope.cancel_called):
                frames = self._decoder.receive_data(bytes(data))
                self._charge_input(self._decoder.buffered)
                self._received += len(data)
                if frames:
                    self._begun = None
                self._owner.receive_frames(self._token, frames)

    async def _wait_wanted(self) -> None:
        """Until it is neither paused nor is the decoder stopped, or nothing matters any more."""
        while not self._hanging_up:
            await self._reading.wait()
            if not self._decoder.stopped:
                return
            self._woken = trio.Event()
            await self._woken.wait()

    def _charge_input(self, size: int) -> None:
        account = self._buffers.input
        account.charge(size)
        account.release(self._input_charged)
        self._input_charged = size

    async def _write_on(self) -> None:
        try:
            while self._pieces or not self._hanging_up:
                await self._writing.wait()
                self._writing = trio.Event()
                while self._pieces:
                    await self._write_some()
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        # Nothing can be heard or said any more.
        self._owner.receive_frames(self._token, None)

    async def _write_some(self) -> None:
        joined = bytearray()
        while self._pieces and len(joined) < WRITE_SIZE_MAX:
            joined += bytes(self._pieces.popleft())
        await self._stream.send_all(joined)
        if self._scope.cancel_called:
            return  # closed in the very moment, which has released everything
        self._left -= len(joined)
        self._buffers.output.release(len(joined))
        self._owner.receive_written(self._token, self._left, trio.current_time())
        self._owner.ring()
