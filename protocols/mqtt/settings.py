"""What an MQTT listener can be told, and its limits with their reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec

CONNECT_SIZE_MAX = 64 << 10
"""Bytes of the first packet, as RabbitMQ: an unknown peer gets no more memory."""
KEEP_ALIVE_FACTOR = 1.5
"""After so many keep-alives of silence a client is taken for lost (MQTT 5 3.1.2.10)."""


def _says(description: str) -> msgspec.Meta:
    """The description is what ``docs/protocols/mqtt.md`` shows."""
    return msgspec.Meta(description=description)


class MqttSettings(msgspec.Struct, frozen=True):
    """Of one listener."""

    vhost: Annotated[str, _says("Where clients are whose user name does not begin with `vhost:`.")] = "/"
    allow_anonymous: Annotated[
        bool | None,
        _says("Whether clients may leave out user name and password: `true`, `false`, or those of this machine only."),
    ] = None
    anonymous_user: Annotated[str, _says("Whose rights they have then.")] = "guest"
    receive_maximum: Annotated[
        int, _says("How many QoS 1 and 2 messages a client may publish before the first is acknowledged.")
    ] = 1000
    enforce_receive_maximum: Annotated[bool, _says("A client of MQTT 5 that exceeds it is disconnected with 0x93.")] = (
        True
    )
    max_inflight_messages: Annotated[
        int, _says("How many QoS 1 and 2 messages a client is sent before it acknowledges; it may ask for fewer.")
    ] = 1000
    max_queued_messages: Annotated[
        int, _says("QoS 1 and 2 messages kept for a client beyond those; the oldest are dropped then.")
    ] = 1000
    persistent_client_expiration_s: Annotated[
        int | None,
        _says("How long a session outlives its connection at most, and that of a client of MQTT 3 that is not clean."
              " None: as long as MQTT 5 clients say, and for ever."),
    ] = None  # fmt: skip
    retain_available: Annotated[bool, _says("Whether there are retained messages.")] = True
    topic_alias_maximum: Annotated[int, _says("How many topic aliases a client may use, and is sent at most.")] = 16
    packet_size_max: Annotated[int, _says("Bytes of the largest packet taken.")] = 10_000_000
    keep_alive_max_s: Annotated[
        int | None, _says("A client of MQTT 5 that asks for more, or for none, is told this (Server Keep Alive).")
    ] = 3600
    handshake_timeout_s: Annotated[float, _says("From connecting to CONNACK; then it is hung up on.")] = 10.0
    login_failure_delay_s: Annotated[
        float, _says("From CONNECT to the refusal of a login, so that guessing is slow and timing tells nothing.")
    ] = 0.1
    disconnect_on_unauthorized: Annotated[
        bool,
        _says("A client of MQTT 3 that publishes what it may not is hung up on; else it is acknowledged and dropped."),
    ] = True
    response_information: Annotated[
        str, _says("What clients that ask for it are told to begin their response topics with; empty: nothing.")
    ] = "response"
