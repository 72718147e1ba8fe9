"""The WebSocket adapter: holds the adapter of the protocol that is spoken inside, and wraps what it says.

The kernel's decoder has unmasked and decoded already: the inner protocol's frames come as they are, and are handed on
in runs.  Here are only pings, closing and, if the upgrade did not say it, the choice of what is spoken.  The inner's
last words leave as data before the close frame, which is the last.

Laws: however the bytes are cut, the inner's commands and the bytes it says are the same; no bytes whatever raise
anything out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from broker.model.commands import Command
from broker.model.replies import Authenticated, CloseConnection, Reply
from kernel import Control, Data, Violation, WebDecoder, encode_web_control, encode_web_messages
from protocols.adapter import Adapter, Frame, Output, Ready
from protocols.websocket.close_codes import BadClose, CloseCode, answer_to, close_payload
from protocols.websocket.handshake import Accepted
from protocols.websocket.inner import FIRST_BYTES, Protocols, UpgradeRequest
from protocols.websocket.settings import (
    CONTROL_COUNT_MAX,
    CONTROL_PERIOD_S,
    MESSAGE_SIZE_MAX_UNPROVEN,
    MISSED_PINGS_MAX,
    WebSocketSettings,
)

CLOSE, PING, PONG = 8, 9, 10
"""Opcodes."""
CLOSE_CODE_MIN = 1000
"""A violation's code from here on is WebSocket's."""


class WebSocketAdapter:
    """One connection's worth of WebSocket, from its upgrade on."""

    def __init__(
        self,
        decoder: WebDecoder,
        accepted: Accepted,
        request: UpgradeRequest,
        leftover: bytes,
        protocols: Protocols,
        settings: WebSocketSettings,
        now: float,
    ) -> None:
        """``leftover``: the bytes that came behind the upgrade."""
        self._decoder = decoder
        self._request = request
        self._protocols = protocols
        self._settings = settings
        self._inner: Adapter | None = None
        self._inner_deadline = math.inf
        self._text_allowed = False
        self._output: list[Output] = [accepted.output]
        self._upgraded_at = self._received_at = self._refilled_at = now
        self._missed_count = 0
        """Our pings since anything came."""
        self._proven = False
        self._commands: list[Command] = []
        self._closing = False
        """Our close frame is said; nothing more is."""
        self._going_away = False
        self._at_fault = False
        """The inner protocol was broken by the client."""
        self._resumed = True
        inner_decoder = None
        if accepted.protocol is not None:
            chosen = protocols[accepted.protocol]
            inner = chosen.open(request, now)
            self._inner, inner_decoder, self._text_allowed = inner.adapter, inner.decoder, chosen.text_allowed
        text_allowed = inner_decoder is None or self._text_allowed
        decoder.upgrade(inner_decoder, leftover, text_allowed, MESSAGE_SIZE_MAX_UNPROVEN)

    # The seam.

    @property
    def protocol(self) -> str:
        """The inner one's, once it is known."""
        return "websocket" if self._inner is None else self._inner.protocol

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""
        self.receive_frames(self._decoder.receive_data(data), now)
        self._collect()
        while self._resumed:
            self._resumed = False
            self.receive_frames(self._decoder.resume(), now)
            self._collect()

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What came: of the inner protocol, and of WebSocket itself."""
        self._received_at = now
        self._missed_count = 0
        if now - self._refilled_at >= CONTROL_PERIOD_S:
            self._refilled_at = now
            self._decoder.control_room = CONTROL_COUNT_MAX
        if self._closing:
            return
        run: list[Frame] = []
        own = False
        for frame in frames:
            if isinstance(frame, Control | Data) or (isinstance(frame, Violation) and frame.code >= CLOSE_CODE_MIN):
                own = True
                if run:
                    self._hand_in(run, now)
                    run = []
                if not self._receive_own(frame, now):
                    return
            else:
                run.append(frame)
        if run or not own:
            self._hand_in(run, now)

    def receive_replies(self, received: Sequence[Reply], now: float) -> None:
        """What the core says to the inner protocol."""
        if self._closing:
            return
        for reply in received:
            if type(reply) is Authenticated and not self._proven:
                self._proven = True
                self._decoder.message_size_max = self._settings.message_size_max
            elif type(reply) is CloseConnection:
                self._going_away = True
        if self._inner is not None:
            self._inner.receive_replies(received, now)
        elif self._going_away:
            self._end(close_payload(CloseCode.GOING_AWAY))

    def receive_timeout(self, now: float) -> None:
        """The deadline has come: too early a call does nothing."""
        if self._closing:
            return
        if self._inner is None:
            if now >= self._upgraded_at + self._settings.first_bytes_timeout_s:
                self._end(close_payload(CloseCode.POLICY_VIOLATION, "nothing was said"))
            return
        if now >= self._inner_deadline:
            self._inner.receive_timeout(now)
        if now >= self._ping_at():
            if self._missed_count >= MISSED_PINGS_MAX:
                self._leave(close_payload(CloseCode.POLICY_VIOLATION, "no answer to pings"), now)
                return
            self._missed_count += 1
            self._output.append(encode_web_control(PING, b""))

    def receive_end(self, now: float) -> None:
        """The peer is gone."""
        if self._inner is not None and not self._closing:
            self._inner.receive_end(now)
        self._closing = True

    def take_ready(self) -> Ready:
        """All that became due since the last call: the inner's, wrapped."""
        self._collect()
        ready = Ready(self._output, self._commands, self._deadline(), self._closing, self._resumed)
        self._output = []
        self._commands = []
        self._resumed = False
        return ready

    def _collect(self) -> None:
        """Takes what the inner protocol has ready."""
        if self._inner is None:
            return
        ready = self._inner.take_ready()
        self._commands += ready.commands
        if ready.output and not self._closing:
            self._output += encode_web_messages(ready.output, self._text_allowed and self._decoder.text)
        self._inner_deadline = math.inf if ready.deadline is None else ready.deadline
        self._resumed = self._resumed or ready.resumed
        if ready.closing:
            self._end(close_payload(self._closing_code()))

    # Time.

    def _ping_at(self) -> float:
        return self._received_at + self._settings.ping_interval_s * (1 + self._missed_count)

    def _deadline(self) -> float | None:
        if self._closing:
            return None
        if self._inner is None:
            return self._upgraded_at + self._settings.first_bytes_timeout_s
        return min(self._ping_at(), self._inner_deadline)

    # Frames.

    def _hand_in(self, run: list[Frame], now: float) -> None:
        if self._inner is not None:
            self._at_fault = self._at_fault or any(type(frame) is Violation for frame in run)
            self._inner.receive_frames(run, now)

    def _receive_own(self, frame: Frame, now: float) -> bool:
        """Whether the connection goes on; what the inner protocol said of the frames before comes first."""
        self._collect()
        if self._closing:
            return False
        match frame:
            case Control(opcode=opcode, payload=payload) if opcode == PING:
                self._output.append(encode_web_control(PONG, payload))
            case Control(opcode=opcode, payload=payload) if opcode == CLOSE:
                self._receive_close(payload, now)
            case Data(data=data):
                self._choose(data, now)
            case Violation():
                self._leave(close_payload(frame.code, frame.text), now)
        return not self._closing

    def _receive_close(self, payload: bytes, now: float) -> None:
        try:
            answer = answer_to(payload)
        except BadClose as bad:
            answer = close_payload(bad.code, bad.detail)
        self._leave(answer, now)

    def _choose(self, data: bytes, now: float) -> None:
        """The first bytes have come, and tell what is spoken."""
        name = FIRST_BYTES.get(data[0])
        protocol = self._protocols.get(name) if name is not None else None
        if protocol is None:
            self._end(close_payload(CloseCode.PROTOCOL_ERROR, "no protocol that is spoken here begins like this"))
            return
        if self._decoder.text and not protocol.text_allowed:
            self._end(close_payload(CloseCode.UNSUPPORTED_DATA, "text where the protocol is of bytes"))
            return
        inner = protocol.open(self._request, now)
        self._inner, self._text_allowed = inner.adapter, protocol.text_allowed
        self._decoder.choose(inner.decoder, data, protocol.text_allowed)
        self._resumed = True

    # The end.

    def _leave(self, payload: bytes, now: float) -> None:
        """The client leaves, or has to; what the inner protocol has said by now goes before."""
        self._collect()
        if not self._closing:
            self._end(payload)
            if self._inner is not None:
                self._inner.receive_end(now)

    def _end(self, payload: bytes) -> None:
        if not self._closing:
            self._closing = True
            self._output.append(encode_web_control(CLOSE, payload))

    def _closing_code(self) -> CloseCode:
        """Why the inner protocol closes: its own last words say more."""
        if self._going_away:
            return CloseCode.GOING_AWAY
        return CloseCode.PROTOCOL_ERROR if self._at_fault else CloseCode.NORMAL
