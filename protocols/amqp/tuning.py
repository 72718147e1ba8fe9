"""What connection.tune offers and tune-ok settles on."""

from __future__ import annotations

import msgspec

from protocols.amqp.methods import ConnectionTune, ConnectionTuneOk
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.settings import FRAME_SIZE_MIN, AmqpSettings
from protocols.amqp.violation import ProtocolViolation


class Tuning(msgspec.Struct, frozen=True):
    """The limits of one connection."""

    channel_max: int
    frame_size_max: int
    heartbeat_s: int
    """0: none."""


def offer(settings: AmqpSettings) -> ConnectionTune:
    """What we would like."""
    return ConnectionTune(settings.channel_max, settings.frame_size_max, settings.heartbeat_s)


def negotiated(settings: AmqpSettings, tune_ok: ConnectionTuneOk) -> Tuning:
    """The client may lower each limit; 0, "no limit", takes the offer.  The heartbeat is the client's to choose.

    Raises ProtocolViolation NOT_ALLOWED.
    """
    return Tuning(
        channel_max=_lowered("channel_max", settings.channel_max, 1, tune_ok.channel_max),
        frame_size_max=_lowered("frame_max", settings.frame_size_max, FRAME_SIZE_MIN, tune_ok.frame_max),
        heartbeat_s=tune_ok.heartbeat,
    )


def _lowered(name: str, offered: int, lowest: int, wanted: int) -> int:
    if wanted == 0:
        return offered
    if wanted > offered:
        raise _failed(f"{name} = {wanted} is higher than the maximum allowed value ({offered})")
    if wanted < lowest:
        raise _failed(f"{name} = {wanted} is lower than the minimum allowed value ({lowest})")
    return wanted


def _failed(detail: str) -> ProtocolViolation:
    text = f"failed to negotiate connection parameters: negotiated {detail}"
    return ProtocolViolation(ReplyCode.NOT_ALLOWED, text)
