"""What a STOMP listener can be told, and its limits with their reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec

CONNECT_SIZE_MAX = 64 << 10
"""Bytes of a frame until CONNECTED, as RabbitMQ: an unknown peer gets no more memory."""
HEARTBEAT_MARGIN = 2.0
"""After so many heart-beat intervals of silence a client is taken for lost: browsers throttle the timers of hidden
tabs, and closing too early is what users of every STOMP broker complain about most."""
EOL_BURST_MAX = 1_000
EOLS_PER_S = 100.0
"""Line ends between frames beyond the one behind each: a burst, and how fast it may come again.  Heart-beats of one a
millisecond would be a burst of 1,000 in a second; nobody needs them."""
DECLARED_MAX = 1_024
"""Queues that a connection is remembered to have declared; one more, and all are forgotten and declared again."""
RECEIPTS_MAX = 4_096
"""RECEIPTs that may be owed to a connection.  SENDs are bounded by what the core bounds; this is for frames that are
cheaper than their receipts."""


def _says(description: str) -> msgspec.Meta:
    """The description is what ``docs/protocols/stomp.md`` shows."""
    return msgspec.Meta(description=description)


class StompSettings(msgspec.Struct, frozen=True):
    """Of one listener."""

    vhost: Annotated[str, _says("Where clients are whose CONNECT has no `host`.")] = "/"
    allow_anonymous: Annotated[
        bool | None,
        _says("Whether CONNECT may leave out `login` and `passcode`: `true`, `false`, or (None) those of this machine"
              " only."),
    ] = False  # fmt: skip
    anonymous_user: Annotated[str, _says("Whose rights they have then.")] = "guest"
    default_nack_requeue: Annotated[
        bool, _says("What a NACK without `requeue` does: the message goes back, or is rejected (and dead-lettered).")
    ] = True
    prefetch_count: Annotated[
        int, _says("Unsettled messages of a subscription without `prefetch-count`; 0: no bound, as in RabbitMQ.")
    ] = 0
    heartbeat_min_ms: Annotated[
        int, _says("The shortest heart-beat interval, either way; who offers a shorter one gets this.")
    ] = 500
    subscriptions_max: Annotated[
        int, _says("Of one connection; those that are being unsubscribed and the ones for temporary queues count.")
    ] = 1_000
    transactions_max: Annotated[int, _says("Open at a time on one connection, as in RabbitMQ.")] = 16
    transaction_actions_max: Annotated[int, _says("SEND, ACK and NACK frames in one transaction.")] = 10_000
    transaction_size_max: Annotated[
        int, _says("Bytes that the open transactions of a connection hold together: names, headers and bodies.")
    ] = 16 << 20
    frame_size_max: Annotated[int, _says("Bytes of the largest frame taken.")] = 10_000_000
    handshake_timeout_s: Annotated[float, _says("From connecting to CONNECTED; then it is hung up on.")] = 10.0
    login_failure_delay_s: Annotated[
        float, _says("From CONNECT to the refusal of a login, so that guessing is slow and timing tells nothing.")
    ] = 0.1
    product: Annotated[str, _says("Shown in CONNECTED's `server`.")] = "Dragoman"
    version: Annotated[str, _says("Shown in CONNECTED's `server`.")] = "0.1.0"
