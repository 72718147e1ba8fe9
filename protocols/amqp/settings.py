"""What an AMQP listener can be told, and its limits with their reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec

FRAME_SIZE_MIN = 4096
"""The specification's frame-min-size: every peer takes frames of this size."""
HANDSHAKE_FRAME_SIZE_MAX = 8192
"""Before tune-ok, as RabbitMQ: nothing of a login is longer, and an unknown peer gets no more memory."""


def _says(description: str) -> msgspec.Meta:
    """The description is what ``docs/protocols/amqp.md`` shows."""
    return msgspec.Meta(description=description)


class AmqpSettings(msgspec.Struct, frozen=True):
    """The defaults are RabbitMQ's, so that clients meet what they know."""

    frame_size_max: Annotated[int, _says("Bytes of the largest frame, overhead included; the client may lower it.")] = (
        131_072
    )
    channel_max: Annotated[int, _says("The highest channel number, and so the most channels of a connection.")] = 2047
    heartbeat_s: Annotated[
        int, _says("What is proposed in connection.tune; the client's tune-ok decides, 0 is none.")
    ] = 60
    message_size_max: Annotated[int, _says("Bytes of the largest body; a longer one closes its channel with 406.")] = (
        16 << 20
    )
    handshake_timeout_s: Annotated[
        float, _says("From the first moment of a connection to connection.open-ok; then it is hung up on.")
    ] = 10.0
    login_failure_delay_s: Annotated[
        float,
        _says("From start-ok to the refusal of a login, however long the look at it took, so that guessing is slow and"
              " timing tells nothing."),
    ] = 0.1  # fmt: skip
    silent_failure_delay_s: Annotated[
        float,
        _says("The same for a client without the capability `authentication_failure_close`, which is hung up on"
              " without a word (specification 4.9)."),
    ] = 3.0  # fmt: skip
    close_timeout_s: Annotated[
        float, _says("How long a connection.close of ours waits for close-ok before the socket goes.")
    ] = 1.0
    product: Annotated[
        str, _says("Clients branch on it: `RabbitMQ`, with a version of its, makes them take us for one.")
    ] = "Dragoman"
    version: Annotated[str, _says("Shown in connection.start.")] = "0.1.0"
    cluster_name: Annotated[str, _says("Shown in connection.start.")] = "dragoman"
