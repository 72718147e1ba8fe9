"""What an AMQP listener can be told, and its limits with their reasons."""

from __future__ import annotations

import msgspec

FRAME_SIZE_MIN = 4096
"""The specification's frame-min-size: every peer takes frames of this size."""
HANDSHAKE_FRAME_SIZE_MAX = 8192
"""Before tune-ok, as RabbitMQ: nothing of a login is longer, and an unknown peer gets no more memory."""


class AmqpSettings(msgspec.Struct, frozen=True):
    """The defaults are RabbitMQ's, so that clients meet what they know."""

    frame_size_max: int = 131_072
    """Bytes, overhead included."""
    channel_max: int = 2047
    """The highest channel number, and so the most channels of a connection."""
    heartbeat_s: int = 60
    """What is proposed; the client's tune-ok decides.  0: none."""
    message_size_max: int = 16 << 20
    """Bytes of a body.  A longer one closes its channel."""
    handshake_timeout_s: float = 10.0
    """From the connection's first moment to connection.open-ok."""
    login_failure_delay_s: float = 0.1
    """From start-ok to the refusal of a login (Kafka's): guessing is slow, and how long it took tells nothing."""
    silent_failure_delay_s: float = 3.0
    """The same for a client that does not know what connection.close means at that time: it is hung up on after this
    silence, as RabbitMQ does (AMQP 0-9-1 4.9 wants a pause before hanging up on a login)."""
    close_timeout_s: float = 1.0
    """How long a connection.close of ours waits for close-ok before the socket goes."""
    product: str = "Dragoman"
    """Clients branch on it: ``RabbitMQ`` with a matching version makes them take us for one."""
    version: str = "0.1.0"
    cluster_name: str = "dragoman"
