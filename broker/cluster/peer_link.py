"""One connection between two nodes, without I/O: bytes in, frames out; frames in, bytes out.

Laws: however the bytes are cut, the frames and the output are the same; no bytes whatever raise anything out of it.
Once ``closing`` is set nothing is received any more; what is in the output is still to be sent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from broker.cluster.frame import Frame, FrameDecoder, encode_frames
from broker.cluster.frame_kinds import CHANNEL_SIZE_MAX, HANDSHAKE_SIZE_MAX, Channel, Kind, Role, check_frame
from broker.cluster.hello import Handshake, PeerInfo
from broker.cluster.violation import Closing, LinkViolation, Reason
from kernel import Piece

HANDSHAKE_TIMEOUT_S = 5.0
"""From the connection on."""
STALL_TIMEOUT_S = 10.0
"""For the next bytes of a frame that has begun."""
DIALER = Role.DIALER
NO_KIND = 0
RAFT_KINDS: dict[Channel, int] = {Channel.CONSENSUS: Kind.RAFT, Channel.BULK: Kind.APPEND}
"""Most of what comes on these, and the largest: of one that is plain nothing is left to be checked."""


class PeerLink:
    """One end of it.  ``address``: what was dialed; None: it was accepted."""

    __slots__ = (
        "_decoder",
        "_handshake",
        "_output",
        "_plain_kind",
        "_size_max",
        "address",
        "closing",
        "deadline",
        "queued_size",
        "was_ready",
    )

    def __init__(self, handshake: Handshake, address: str | None, now: float) -> None:
        self._handshake = handshake
        self._decoder = FrameDecoder()
        self._output: deque[bytes | Piece] = deque()
        self.address = address
        self.closing: Closing | None = None
        self.was_ready = False
        """Both have proved who they are; it stays so when the link is closing."""
        self.queued_size = 0
        """Bytes of output that the socket hasn't taken."""
        self._size_max = HANDSHAKE_SIZE_MAX
        self._plain_kind = NO_KIND
        self.deadline = now + HANDSHAKE_TIMEOUT_S
        """When to call ``receive_timeout``."""
        self._send(handshake.start())

    @property
    def role(self) -> Role:
        return self._handshake.role

    @property
    def channel(self) -> Channel | None:
        """None: its dialer hasn't said."""
        return self._handshake.channel

    @property
    def info(self) -> PeerInfo | None:
        """Of the other node; it is proved when ``was_ready``."""
        return self._handshake.info

    @property
    def ready(self) -> bool:
        return self.was_ready and self.closing is None

    def receive_data(self, data: bytes, now: float) -> list[Frame]:
        """The frames that are now complete, the handshake's left out."""
        frames: list[Frame] = []
        if self.closing is None:
            self._decoder.receive_data(data)
            try:
                self._receive_frames(frames)
            except LinkViolation as violation:
                self.close(violation.closing)
        if self.was_ready:
            self.deadline = now + STALL_TIMEOUT_S if self._decoder.unfinished else math.inf
        return frames

    def receive_timeout(self, now: float) -> None:
        """To be called at ``deadline``."""
        if self.closing is None and now >= self.deadline:
            self.close(Closing(Reason.STALLED if self.was_ready else Reason.HELLO_TIMEOUT))

    def send(self, pieces: Iterable[bytes | Piece], size: int) -> None:
        """Queues frames that are encoded already; ``size``: of all pieces."""
        assert self.was_ready
        assert self.closing is None
        assert self._handshake.role is DIALER, "a node sends on what it dialed"
        self._output.extend(pieces)
        self.queued_size += size

    def close(self, closing: Closing) -> None:
        """The first reason stays."""
        if self.closing is None:
            self.closing = closing
            self.deadline = math.inf
            self._send(self._handshake.reject(closing))

    def take_output(self, size_max: int) -> list[bytes | Piece]:
        """The next bytes to write: pieces of ``size_max`` bytes together, or one larger piece."""
        taken: list[bytes | Piece] = []
        size = 0
        while self._output and (not taken or size + len(self._output[0]) <= size_max):
            taken.append(self._output.popleft())
            size += len(taken[-1])
        return taken

    def receive_written(self, size: int) -> None:
        """So many bytes of what was taken have gone into the socket."""
        assert size <= self.queued_size
        self.queued_size -= size

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    def _receive_frames(self, frames: list[Frame]) -> None:
        while not self.was_ready:
            frame = self._decoder.take_frame(HANDSHAKE_SIZE_MAX)
            if frame is None:
                return
            self._send(self._handshake.receive_frame(frame))
            self.was_ready = self._handshake.done
            if self.was_ready:
                self._allow()
        taken, plain, violation = self._decoder.take_frames(self._size_max, self._plain_kind)
        if plain:
            frames += taken
        else:
            channel, sender = self._handshake.channel, self._handshake.role.other
            for frame in taken:
                check_frame(frame, channel, sender)
                frames.append(frame)
        if violation is not None:
            raise violation

    def _allow(self) -> None:
        """What may come once it is ready.  Nobody sends anything to a dialer after WELCOME, so there is nothing to take
        memory for."""
        if self._handshake.role is not DIALER:
            assert self.channel is not None
            self._size_max = CHANNEL_SIZE_MAX[self.channel]
            self._plain_kind = RAFT_KINDS.get(self.channel, NO_KIND)

    def _send(self, frames: list[Frame]) -> None:
        if frames:
            self._queue(encode_frames(frames))

    def _queue(self, data: bytes) -> None:
        self._output.append(data)
        self.queued_size += len(data)
