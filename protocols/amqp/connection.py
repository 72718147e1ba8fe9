"""The AMQP 0-9-1 adapter: one connection's frames to commands, replies to bytes.

Laws: however the bytes are cut, the commands and the output are the same; no bytes whatever raise anything out of it.
What a method does in a state stands in two tables: ``CONNECTION_METHODS`` here for channel 0, ``CHANNEL_METHODS`` for
the others.  Messages pass in runs; nothing here loops over one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import kernel
from broker.model import commands, replies
from broker.model.names import CONTROL_CHARACTER, VhostName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from kernel import AmqpDecoder, Heartbeat, MessageRun, ProtocolHeader, Settlement
from protocols.adapter import Frame, Ready
from protocols.amqp.blocking import Blocking
from protocols.amqp.channel import ACK_ID, CHANNEL_REPLIES, PUBLISH_ID, ChannelState, Client
from protocols.amqp.channel_methods import receive_method
from protocols.amqp.channels import Channels
from protocols.amqp.connection_state import DISCARDING, ConnectionState
from protocols.amqp.heartbeats import Heartbeats
from protocols.amqp.method_codec import HEARTBEAT_FRAME, PROTOCOL_HEADER, decode_method
from protocols.amqp.methods import (
    METHOD_IDS,
    METHOD_NAMES,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    Method,
    MethodId,
)
from protocols.amqp.outbox import Outbox
from protocols.amqp.properties import LOCALES, client_capabilities, server_properties
from protocols.amqp.refusals import REPLY_CODES
from protocols.amqp.reply_codes import ReplyCode, Scope, reply_text, scope_of
from protocols.amqp.sasl import MECHANISMS, login
from protocols.amqp.settings import HANDSHAKE_FRAME_SIZE_MAX, AmqpSettings
from protocols.amqp.tuning import negotiated, offer
from protocols.amqp.violation import ProtocolViolation

NO_METHOD: MethodId = (0, 0)
_CHANNEL_OPEN_ID = METHOD_IDS[ChannelOpen]
_CLOSE_IDS = (METHOD_IDS[ConnectionClose], METHOD_IDS[ConnectionCloseOk])
_BEATING = (ConnectionState.OPEN, ConnectionState.FINISHING)
"""Heartbeats go both ways; before, the handshake's deadline holds."""


class AmqpAdapter:
    """One connection's worth of AMQP 0-9-1.

    ``loopback``: the peer's address is one.  Its owner calls ``receive_frames`` for every read, also when nothing in
    it was complete: any traffic is a sign of life.
    """

    protocol = "amqp"

    def __init__(self, decoder: AmqpDecoder, settings: AmqpSettings, *, loopback: bool, now: float) -> None:
        decoder.frame_size_max = HANDSHAKE_FRAME_SIZE_MAX
        decoder.message_size_max = settings.message_size_max
        self._decoder = decoder
        self._settings = settings
        self._loopback = loopback
        self._state = ConnectionState.AWAITING_HEADER
        self._now = self._start_ok_at = now
        self._deadline: float | None = now + settings.handshake_timeout_s
        self._closing = False
        self._resumed = False
        self._session_open = False
        """The core was asked for a vhost and has not refused it, so that it has something to close."""
        self._outbox = Outbox(HANDSHAKE_FRAME_SIZE_MAX)
        self._channels = Channels(self._outbox)
        self._channel_max = settings.channel_max
        self._mechanism = ""
        self._capabilities: frozenset[str] = frozenset()
        self._client = Client(user_id=b"", cancel_notify=False)
        self._heartbeats: Heartbeats | None = None
        self._blocking = Blocking(self._outbox)

    # The seam.

    def receive_data(self, data: bytes, now: float) -> None:
        """The decoder and ``receive_frames`` in a row, resuming as needed; for streams and tests."""
        self.receive_frames(self._decoder.receive_data(data), now)
        while self._resumed:
            self._resumed = False
            self.receive_frames(self._decoder.resume(), now)

    def receive_frames(self, frames: Sequence[Frame], now: float) -> None:
        """What the decoder made of a read, in order."""
        self._now = now
        if self._heartbeats is not None:
            self._heartbeats.received_at = now
        for frame in frames:
            self._receive(frame)

    def receive_replies(self, received: Sequence[Reply], now: float) -> None:
        """What the core says, in order."""
        self._now = now
        for reply in received:
            _REPLIES[type(reply)](self, reply)

    def receive_timeout(self, now: float) -> None:
        """The deadline has come: too early a call does nothing."""
        self._now = now
        if self._deadline is None or now < self._deadline:
            return
        if self._state is ConnectionState.LOGIN_REFUSED:
            self._tell_login_refused()
        elif self._heartbeats is not None and self._state in _BEATING:
            self._beat(self._heartbeats)
        else:
            self._hang_up()

    def receive_end(self, now: float) -> None:
        """The peer is gone; its owner closes the session."""
        self._now = now
        self._hang_up()

    def take_ready(self) -> Ready:
        """All that became due since the last call."""
        outbox = self._outbox
        ready = Ready(outbox.output, outbox.commands, self._deadline, self._closing, self._resumed)
        outbox.output = []
        outbox.commands = []
        if ready.output and self._heartbeats is not None:
            self._heartbeats.sent_at = self._now
        self._resumed = False
        return ready

    # Frames.

    def _receive(self, frame: Frame) -> None:
        """The one place that catches what a peer did wrong."""
        try:
            _FRAMES[type(frame)](self, frame)
        except ProtocolViolation as violation:
            class_id = violation.class_id or getattr(frame, "class_id", 0)
            method_id = violation.method_id or getattr(frame, "method_id", 0)
            number = getattr(frame, "channel", 0)
            self._fail(violation.code, violation.detail, (class_id, method_id), number)

    def _receive_messages(self, run: MessageRun) -> None:
        channel = self._channels.by_number.get(run.channel)
        if channel is None:
            self._receive_on_no_channel(run.channel, PUBLISH_ID)
            return
        if not self._blocking.publishing:
            self._blocking.start_publishing()
        channel.publish(run)

    def _receive_settlement(self, settlement: Settlement) -> None:
        channel = self._channels.by_number.get(settlement.channel)
        if channel is None:
            self._receive_on_no_channel(settlement.channel, ACK_ID)
        else:
            channel.settle(settlement)

    def _receive_method(self, frame: kernel.Method) -> None:
        number = frame.channel
        if number == 0:
            self._receive_connection_method(frame)
            return
        channel = self._channels.by_number.get(number)
        if channel is None:
            self._receive_on_no_channel(number, (frame.class_id, frame.method_id), frame.arguments)
            return
        receive_method(channel, frame)
        if channel.state is ChannelState.CLOSED:
            self._channels.receive_close_ok(channel)

    def _receive_connection_method(self, frame: kernel.Method) -> None:
        closing = self._state is ConnectionState.CLOSING and (frame.class_id, frame.method_id) in _CLOSE_IDS
        if self._state in DISCARDING and not closing:
            return
        method = decode_method(frame.class_id, frame.method_id, frame.arguments)
        handler = CONNECTION_METHODS.get((self._state, type(method)))
        if handler is None:
            detail = f"unexpected method '{METHOD_NAMES[type(method)]}' in connection state {self._state.value}"
            raise ProtocolViolation(ReplyCode.COMMAND_INVALID, detail)
        handler(self, method)

    def _receive_on_no_channel(self, number: int, method_id: MethodId, arguments: bytes = b"") -> None:
        """Something came for a channel that is not there."""
        if self._state in DISCARDING:
            return
        if number == 0:
            raise ProtocolViolation(ReplyCode.COMMAND_INVALID, "a channel's method on channel 0", *method_id)
        if self._state is not ConnectionState.OPEN:
            detail = f"channel {number} in connection state {self._state.value}"
            raise ProtocolViolation(ReplyCode.UNEXPECTED_FRAME, detail, *method_id)
        if method_id != _CHANNEL_OPEN_ID:
            raise ProtocolViolation(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'", *method_id)
        decode_method(*method_id, arguments)
        if number > self._channel_max:
            detail = f"channel {number} is beyond the negotiated channel_max ({self._channel_max})"
            raise ProtocolViolation(ReplyCode.NOT_ALLOWED, detail, *method_id)
        self._channels.open(number, self._client)

    def _receive_header(self, header: ProtocolHeader) -> None:
        if self._state is not ConnectionState.AWAITING_HEADER:
            return
        if header.data != PROTOCOL_HEADER:
            # 4.2.2: tell which protocol is spoken here, and close.
            self._outbox.output.append(PROTOCOL_HEADER)
            self._hang_up()
            return
        self._state = ConnectionState.AWAITING_START_OK
        mechanisms = " ".join(MECHANISMS).encode()
        self._outbox.send(0, ConnectionStart(0, 9, server_properties(self._settings), mechanisms, LOCALES))
        self._resumed = True

    def _receive_heartbeat(self, heartbeat: Heartbeat) -> None:
        """That it came has been noted."""

    def _receive_violation(self, violation: kernel.Violation) -> None:
        if self._state in DISCARDING:
            return
        method_id = (violation.class_id, violation.method_id)
        if violation.connection:
            raise ProtocolViolation(ReplyCode(violation.code), violation.text, *method_id)
        channel = self._channels.by_number.get(violation.channel)
        if channel is None:
            self._receive_on_no_channel(violation.channel, method_id)
        else:
            channel.receive_violation(violation)

    # Channel 0.

    def _receive_start_ok(self, method: ConnectionStartOk) -> None:
        self._capabilities = client_capabilities(method.client_properties)
        self._mechanism = method.mechanism
        self._start_ok_at = self._now
        claimed = login(method.mechanism, method.response)
        self._client = Client(claimed.user.encode(), "consumer_cancel_notify" in self._capabilities)
        self._blocking.capable = "connection.blocked" in self._capabilities
        self._state = ConnectionState.AUTHENTICATING
        self._outbox.commands.append(commands.Authenticate(claimed.user, claimed.password, self._loopback))

    def _receive_tune_ok(self, method: ConnectionTuneOk) -> None:
        tuning = negotiated(self._settings, method)
        self._channel_max = tuning.channel_max
        self._outbox.frame_size_max = self._decoder.frame_size_max = tuning.frame_size_max
        if tuning.heartbeat_s:
            self._heartbeats = Heartbeats(tuning.heartbeat_s, self._now)
        self._state = ConnectionState.AWAITING_OPEN
        self._resumed = True

    def _receive_open(self, method: ConnectionOpen) -> None:
        if CONTROL_CHARACTER.search(method.virtual_host):
            raise ProtocolViolation(ReplyCode.NOT_ALLOWED, f"vhost {method.virtual_host} not found")
        self._state = ConnectionState.OPENING
        self._session_open = True
        self._outbox.commands.append(commands.OpenVhost(VhostName(method.virtual_host)))

    def _receive_close(self, method: ConnectionClose) -> None:
        self._channels.end()
        if self._session_open:
            self._state = ConnectionState.FINISHING
            self._outbox.commands.append(commands.CloseSession())
        else:
            self._finish()

    def _receive_close_again(self, method: ConnectionClose) -> None:
        """Both sides said connection.close at once."""
        self._finish()

    def _receive_close_ok(self, method: ConnectionCloseOk) -> None:
        self._hang_up()

    def _receive_secret(self, method: ConnectionUpdateSecret) -> None:
        """A login by password stands as it is, as in RabbitMQ: only a token would have to be looked at again."""
        self._outbox.send(0, ConnectionUpdateSecretOk())

    # Replies.

    def _receive_confirm(self, reply: replies.Confirm) -> None:
        """The most frequent reply of all, straight to its channel's tags."""
        channel = self._channels.addressed(reply.channel)
        if channel is not None and channel.state is ChannelState.OPEN:
            channel.receive_confirm(reply)

    def _receive_channel_reply(self, reply: Any) -> None:
        channel = self._channels.addressed(reply.channel)
        if channel is not None:
            channel.receive_reply(reply)

    def _receive_declared(self, reply: replies.QueueDeclared) -> None:
        """A queue may have got its name, on which frames were waiting."""
        channel = self._channels.addressed(reply.channel)
        if channel is not None:
            channel.receive_reply(reply)
            for frame in channel.take_held():
                self._receive(frame)

    def _receive_channel_closed(self, reply: replies.ChannelClosed) -> None:
        self._channels.receive_closed(reply.channel)

    def _receive_refusal(self, reply: replies.Refuse) -> None:
        if self._state in DISCARDING:
            return
        if reply.channel:
            channel = self._channels.addressed(reply.channel)
            if channel is not None and channel.state is ChannelState.OPEN:
                self._fail(REPLY_CODES[reply.refusal], reply.detail, channel.refused_id(), reply.channel)
        elif self._state is ConnectionState.AUTHENTICATING and reply.refusal is Refusal.LOGIN_REFUSED:
            self._refuse_login()
        else:
            # A vhost that was refused leaves no session to close.
            self._session_open = self._session_open and self._state is not ConnectionState.OPENING
            self._close_connection(REPLY_CODES[reply.refusal], reply.detail, NO_METHOD)

    def _receive_authenticated(self, reply: replies.Authenticated) -> None:
        if self._state is not ConnectionState.AUTHENTICATING:
            return
        self._state = ConnectionState.AWAITING_TUNE_OK
        self._outbox.send(0, offer(self._settings))
        self._resumed = True

    def _receive_vhost_opened(self, reply: replies.VhostOpened) -> None:
        if self._state is not ConnectionState.OPENING:
            return
        self._state = ConnectionState.OPEN
        self._deadline = None if self._heartbeats is None else self._heartbeats.deadline
        self._outbox.send(0, ConnectionOpenOk())
        self._resumed = True

    def _receive_session_closed(self, reply: replies.SessionClosed) -> None:
        if self._state is ConnectionState.FINISHING:
            self._finish()

    def _receive_block(self, reply: replies.Block) -> None:
        if self._state not in DISCARDING:
            self._blocking.block(reply.reason)

    def _receive_unblock(self, reply: replies.Unblock) -> None:
        if self._state not in DISCARDING:
            self._blocking.unblock()

    def _receive_forced_close(self, reply: replies.CloseConnection) -> None:
        if self._state not in DISCARDING:
            self._close_connection(ReplyCode.CONNECTION_FORCED, reply.detail, NO_METHOD)

    # The end, and what leads to it.

    def _beat(self, heartbeats: Heartbeats) -> None:
        if heartbeats.is_dead(self._now):
            self._hang_up()
            return
        if heartbeats.is_due(self._now):
            self._outbox.output.append(HEARTBEAT_FRAME)
            heartbeats.sent_at = self._now
        self._deadline = heartbeats.deadline

    def _refuse_login(self) -> None:
        """The delay counts from start-ok, so that it says nothing of how far a login got."""
        settings = self._settings
        knows = "authentication_failure_close" in self._capabilities
        delay_s = settings.login_failure_delay_s if knows else settings.silent_failure_delay_s
        self._state = ConnectionState.LOGIN_REFUSED
        self._deadline = max(self._now, self._start_ok_at + delay_s)

    def _tell_login_refused(self) -> None:
        if "authentication_failure_close" not in self._capabilities:
            self._hang_up()
            return
        detail = (
            f"Login was refused using authentication mechanism {self._mechanism}. For details see the broker logfile."
        )
        self._close_connection(ReplyCode.ACCESS_REFUSED, detail, NO_METHOD)

    def _fail(self, code: ReplyCode, detail: str, method_id: MethodId, number: int) -> None:
        """Ends a channel or the connection, as the code's scope says."""
        channel = self._channels.by_number.get(number)
        if channel is not None and scope_of(code) is Scope.CHANNEL:
            channel.close(code, detail, method_id)
        else:
            self._close_connection(code, detail, method_id)

    def _close_connection(self, code: ReplyCode, detail: str, method_id: MethodId) -> None:
        """Our last words.  The core hears at once, so that what is unsettled does not wait for the socket to go."""
        if self._state is ConnectionState.AWAITING_HEADER:
            self._hang_up()
            return
        self._channels.end()
        self._state = ConnectionState.CLOSING
        self._deadline = self._now + self._settings.close_timeout_s
        self._resumed = True
        self._outbox.send(0, ConnectionClose(code, reply_text(code, detail), *method_id))
        if self._session_open:
            self._outbox.commands.append(commands.CloseSession())

    def _finish(self) -> None:
        self._outbox.send(0, ConnectionCloseOk())
        self._hang_up()

    def _hang_up(self) -> None:
        self._channels.end()
        self._state = ConnectionState.CLOSED
        self._deadline = None
        self._closing = True


_FRAMES: dict[type, Callable[[AmqpAdapter, Any], None]] = {
    MessageRun: AmqpAdapter._receive_messages,
    Settlement: AmqpAdapter._receive_settlement,
    kernel.Method: AmqpAdapter._receive_method,
    ProtocolHeader: AmqpAdapter._receive_header,
    Heartbeat: AmqpAdapter._receive_heartbeat,
    kernel.Violation: AmqpAdapter._receive_violation,
}

_REPLIES: dict[type, Callable[[AmqpAdapter, Any], None]] = {
    **dict.fromkeys(CHANNEL_REPLIES, AmqpAdapter._receive_channel_reply),
    replies.Confirm: AmqpAdapter._receive_confirm,
    replies.QueueDeclared: AmqpAdapter._receive_declared,
    replies.Refuse: AmqpAdapter._receive_refusal,
    replies.Authenticated: AmqpAdapter._receive_authenticated,
    replies.VhostOpened: AmqpAdapter._receive_vhost_opened,
    replies.ChannelClosed: AmqpAdapter._receive_channel_closed,
    replies.SessionClosed: AmqpAdapter._receive_session_closed,
    replies.Block: AmqpAdapter._receive_block,
    replies.Unblock: AmqpAdapter._receive_unblock,
    replies.CloseConnection: AmqpAdapter._receive_forced_close,
}

_CLOSABLE = (
    ConnectionState.AWAITING_START_OK,
    ConnectionState.AUTHENTICATING,
    ConnectionState.AWAITING_TUNE_OK,
    ConnectionState.AWAITING_OPEN,
    ConnectionState.OPENING,
    ConnectionState.OPEN,
)

CONNECTION_METHODS: dict[tuple[ConnectionState, type[Method]], Callable[[AmqpAdapter, Any], None]] = {
    (ConnectionState.AWAITING_START_OK, ConnectionStartOk): AmqpAdapter._receive_start_ok,
    (ConnectionState.AWAITING_TUNE_OK, ConnectionTuneOk): AmqpAdapter._receive_tune_ok,
    (ConnectionState.AWAITING_OPEN, ConnectionOpen): AmqpAdapter._receive_open,
    (ConnectionState.OPEN, ConnectionUpdateSecret): AmqpAdapter._receive_secret,
    **{(state, ConnectionClose): AmqpAdapter._receive_close for state in _CLOSABLE},
    (ConnectionState.CLOSING, ConnectionClose): AmqpAdapter._receive_close_again,
    (ConnectionState.CLOSING, ConnectionCloseOk): AmqpAdapter._receive_close_ok,
}
"""What a method on channel 0 does in a state.  What is not here is discarded in the states of ``DISCARDING``, and is
503 in the others."""
