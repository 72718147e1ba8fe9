"""The STOMP adapter, for 1.0, 1.1 and 1.2: one connection's frames to commands, replies to bytes.

Laws: however the bytes are cut, the commands and the output are the same; no bytes whatever raise anything out of it.
Here are the connection's states, from CONNECT to the last word; what a connected client's frames do is ``client.py``'s.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import kernel
from broker.model import commands, replies
from broker.model.client_sessions import AuthenticateAnonymous
from broker.model.names import UserName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import Sends, Settlement, StompDecoder, StompFrame, encode_stomp_frame
from protocols.adapter import Frame, Ready
from protocols.stomp.client import REPLIES as CLIENT_REPLIES
from protocols.stomp.client import Client
from protocols.stomp.connecting import Agreement, BasicAuth, agree, connected
from protocols.stomp.headers import check_headers, read_headers
from protocols.stomp.heartbeats import Heartbeats
from protocols.stomp.line_ends import LineEnds
from protocols.stomp.outbox import Outbox
from protocols.stomp.receipts import OwedReceipts
from protocols.stomp.refusals import BAD_CONNECT, ERRORS
from protocols.stomp.settings import CONNECT_SIZE_MAX, StompSettings
from protocols.stomp.version import SUPPORTED, Version
from protocols.stomp.violation import ProtocolViolation

CONNECT = b"CONNECT"
HEARTBEAT = b"\n"


class State(enum.Enum):
    CONNECTING = enum.auto()
    """CONNECT has not come."""
    LOGGING_IN = enum.auto()
    LOGIN_REFUSED = enum.auto()
    OPENING = enum.auto()
    """The vhost is to be opened."""
    OPEN = enum.auto()
    LEAVING = enum.auto()
    """DISCONNECT has come, and what was asked before it is not all done."""
    FINISHING = enum.auto()
    """The core closes the session."""
    CLOSED = enum.auto()


BEATING = (State.OPEN, State.LEAVING, State.FINISHING)
"""Heart-beats go; before, the handshake's deadline holds."""
DISCARDING = (State.LEAVING, State.FINISHING, State.CLOSED)
"""What a client sends is not looked at any more."""


class StompAdapter:
    """One connection's worth of STOMP."""

    protocol = "stomp"

    __slots__ = (
        "_agreement",
        "_basic_auth",
        "_client",
        "_closing",
        "_connect_at",
        "_deadline",
        "_decoder",
        "_heartbeats",
        "_line_ends",
        "_loopback",
        "_now",
        "_outbox",
        "_resumed",
        "_session",
        "_settings",
        "_state",
        "_user",
    )

    def __init__(
        self,
        decoder: StompDecoder,
        settings: StompSettings,
        session: str,
        *,
        loopback: bool,
        now: float,
        basic_auth: BasicAuth | None = None,
    ) -> None:
        """``session``: nobody else's, and not to be guessed; letters, digits, ``-`` and ``_``.

        ``loopback``: the peer's address is one.  ``basic_auth``: counts where CONNECT names nobody.
        """
        decoder.frame_size_max = CONNECT_SIZE_MAX
        decoder.session = session.encode()
        self._decoder = decoder
        self._settings = settings
        self._session = session
        self._loopback = loopback
        self._basic_auth = basic_auth
        self._state = State.CONNECTING
        self._now = self._connect_at = now
        self._deadline: float | None = now + settings.handshake_timeout_s
        self._outbox = Outbox()
        self._heartbeats = Heartbeats(now)
        self._line_ends = LineEnds(now)
        self._agreement: Agreement | None = None
        self._user = ""
        self._client: Client | None = None
        """Once it is connected."""
        self._closing = False
        self._resumed = False

    # The seam.

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""
        self.receive_frames(self._decoder.receive_data(data), now)
        while self._resumed:
            self._resumed = False
            self.receive_frames(self._decoder.resume(), now)

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What the decoder made of a read, in order.  Here is caught what a peer did wrong."""
        self._now = self._heartbeats.received_at = now
        try:
            for frame in frames:
                if self._state in DISCARDING:
                    return
                _FRAMES[type(frame)](self, frame)
        except ProtocolViolation as violation:
            self._fail(violation)

    def receive_replies(self, received: Sequence[Reply], now: float) -> None:
        """What the core says, in order; a no of its to a connected client ends the connection, like a violation."""
        self._now = now
        try:
            for reply in received:
                if self._state is State.CLOSED:
                    return
                REPLIES[type(reply)](self, reply)
        except ProtocolViolation as violation:
            self._fail(violation)
        if self._state is State.LEAVING:
            self._leave()

    def receive_timeout(self, now: float) -> None:
        """The deadline has come: too early a call does nothing."""
        self._now = now
        if self._state in BEATING:
            self._beat()
        elif self._deadline is not None and now >= self._deadline:
            if self._state is State.LOGIN_REFUSED:
                self._tell_login_refused()
            else:
                self._hang_up()

    def receive_end(self, now: float) -> None:
        """The peer is gone; its owner closes the session."""
        self._hang_up()

    def take_ready(self) -> Ready:
        """All that became due since the last call."""
        if self._client is not None and self._state is not State.CLOSED:
            self._client.write_receipts()
        outbox = self._outbox
        if outbox.output:
            self._heartbeats.sent_at = self._now
        deadline = self._heartbeats.deadline if self._state in BEATING else self._deadline
        ready = Ready(outbox.output, outbox.commands, deadline, self._closing, self._resumed)
        if outbox.output:
            outbox.output = []
        if outbox.commands:
            outbox.commands = []
        self._resumed = False
        return ready

    # Frames.

    def _receive_sends(self, sends: Sends) -> None:
        if self._client is None:
            receipts = OwedReceipts(Version.V1_0)
            tag = receipts.add_sends(sends.receipts, sends.messages.count)
            raise _too_early("SEND", receipts.reject([(tag, tag)]) or b"")
        self._client.receive_sends(sends)

    def _receive_settlement(self, settlement: Settlement) -> None:
        if self._client is None:
            raise _too_early("ACK")
        self._client.receive_settlement(settlement)

    def _receive_frame(self, frame: StompFrame) -> None:
        if frame.command == CONNECT:
            self._receive_connect(frame)
            return
        client = self._client
        if client is None:
            raise _too_early(frame.command.decode(), dict(frame.headers).get(b"receipt", b""))
        client.receive_frame(frame)
        if client.leaving:
            self._state = State.LEAVING
            self._heartbeats.expect_nothing()
            self._leave()

    def _receive_line_ends(self, frame: kernel.Eols) -> None:
        self._line_ends.take(frame.count, self._now)

    def _receive_violation(self, violation: kernel.Violation) -> None:
        message, _, detail = violation.text.partition(": ")
        raise ProtocolViolation(message, detail, violation.receipt_id if _is_text(violation.receipt_id) else b"")

    # CONNECT.

    def _receive_connect(self, frame: StompFrame) -> None:
        if self._state is not State.CONNECTING:
            raise ProtocolViolation("Already connected", "the connection has had its CONNECT")
        headers = read_headers(frame)
        check_headers(frame.command.decode(), headers)
        settings = self._settings
        agreement = self._agreement = agree(headers, settings, self._basic_auth)
        self._connect_at = self._now
        self._state = State.LOGGING_IN
        self._user = settings.anonymous_user if agreement.user is None else agreement.user
        if agreement.user is not None:
            login = commands.Authenticate(agreement.user, agreement.password, self._loopback)
            self._outbox.commands.append(login)
        elif settings.allow_anonymous or (settings.allow_anonymous is None and self._loopback):
            self._outbox.commands.append(AuthenticateAnonymous(UserName(self._user)))
        else:
            raise ProtocolViolation(BAD_CONNECT, "CONNECT needs login and passcode")

    def _receive_authenticated(self, reply: replies.Authenticated) -> None:
        assert self._agreement is not None
        self._state = State.OPENING
        self._outbox.commands.append(commands.OpenVhost(self._agreement.vhost))

    def _receive_vhost_opened(self, reply: replies.VhostOpened) -> None:
        agreement, settings, decoder = self._agreement, self._settings, self._decoder
        assert agreement is not None
        decoder.version = agreement.version
        decoder.frame_size_max = settings.frame_size_max
        headers = connected(agreement, settings, self._session)
        self._outbox.output.append(encode_stomp_frame(b"CONNECTED", headers, b"", agreement.version))
        self._client = Client(self._outbox, agreement.version, self._user, self._session, settings)
        self._heartbeats.start(agreement.heartbeats, self._now)
        self._state = State.OPEN
        self._resumed = True

    def _receive_refusal(self, reply: replies.Refuse) -> None:
        if self._client is not None:
            self._client.receive_reply(reply)
        elif reply.refusal is Refusal.LOGIN_REFUSED:
            # Later, so that guessing is slow and timing tells nothing.
            self._state = State.LOGIN_REFUSED
            self._deadline = max(self._now, self._connect_at + self._settings.login_failure_delay_s)
        else:
            assert self._agreement is not None
            error = ERRORS[reply.refusal]
            detail = f"user '{self._user}' may not enter vhost '{self._agreement.vhost}'\n{error.remedy}"
            raise ProtocolViolation(error.message, detail)

    def _tell_login_refused(self) -> None:
        error = ERRORS[Refusal.LOGIN_REFUSED]
        self._fail(ProtocolViolation(error.message, f"Access refused for user '{self._user}'\n{error.remedy}"))

    # Other replies.

    def _receive_client_reply(self, reply: Reply) -> None:
        assert self._client is not None, "nobody has asked for anything"
        self._client.receive_reply(reply)

    def _receive_session_closed(self, reply: replies.SessionClosed) -> None:
        assert self._client is not None
        self._client.leave()
        self._client.write_receipts()
        self._hang_up()

    def _receive_close(self, reply: replies.CloseConnection) -> None:
        raise ProtocolViolation("Connection closed by the broker", reply.detail)

    def _ignore(self, reply: Reply) -> None:
        """That publishers are held back, which STOMP has no word for: they aren't read."""

    # The end.

    def _beat(self) -> None:
        if self._heartbeats.is_dead(self._now):
            self._fail(ProtocolViolation("Heart-beat missed", "nothing came for two heart-beat intervals"))
        elif self._heartbeats.is_due(self._now):
            self._outbox.output.append(HEARTBEAT)

    def _leave(self) -> None:
        """A session that is closed does nothing more: not before all that came before DISCONNECT is done."""
        client = self._client
        assert client is not None
        client.write_receipts()
        if client.settled:
            self._state = State.FINISHING
            self._outbox.commands.append(commands.CloseSession())

    def _fail(self, violation: ProtocolViolation) -> None:
        """ERROR, behind the receipts that are due, and no more."""
        if self._client is not None:
            self._client.write_receipts()
        version = Version.V1_0 if self._agreement is None else self._agreement.version
        headers = [
            (b"message", violation.message.encode()),
            (b"content-type", b"text/plain"),
            (b"version", SUPPORTED.encode()),
        ]
        if violation.receipt_id:
            headers.append((b"receipt-id", violation.receipt_id))
        if violation.subscription is not None:
            headers.append((b"subscription", violation.subscription.encode()))
        body = f"{violation.detail}\n".encode()
        self._outbox.output.append(encode_stomp_frame(b"ERROR", headers, body, version))
        self._hang_up()

    def _hang_up(self) -> None:
        self._state = State.CLOSED
        self._deadline = None
        self._closing = True


def _is_text(data: bytes) -> bool:
    """A frame may be at fault for not being UTF-8; ours are."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_early(command: str, receipt_id: bytes = b"") -> ProtocolViolation:
    return ProtocolViolation("Not connected", f"{command} before CONNECT", receipt_id)


_FRAMES: dict[type, Callable[[StompAdapter, Any], None]] = {
    Sends: StompAdapter._receive_sends,
    Settlement: StompAdapter._receive_settlement,
    StompFrame: StompAdapter._receive_frame,
    kernel.Eols: StompAdapter._receive_line_ends,
    kernel.Violation: StompAdapter._receive_violation,
}

REPLIES: dict[type, Callable[[StompAdapter, Any], None]] = {
    **dict.fromkeys(CLIENT_REPLIES, StompAdapter._receive_client_reply),
    replies.Authenticated: StompAdapter._receive_authenticated,
    replies.VhostOpened: StompAdapter._receive_vhost_opened,
    replies.SessionClosed: StompAdapter._receive_session_closed,
    replies.Refuse: StompAdapter._receive_refusal,
    replies.Block: StompAdapter._ignore,
    replies.Unblock: StompAdapter._ignore,
    replies.CloseConnection: StompAdapter._receive_close,
}
"""What a reply of the core does."""
