"""What the broker's no looks like on the wire: the one table of it."""

from __future__ import annotations

from broker.model.refusals import Refusal
from protocols.mqtt.packet_type import PacketType
from protocols.mqtt.reason_codes import CARRIERS, ReasonCode

REASONS: dict[Refusal, ReasonCode] = {
    Refusal.ACCESS_REFUSED: ReasonCode.NOT_AUTHORIZED,
    Refusal.LOGIN_REFUSED: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    # Whether there is a vhost that it may not enter is not for everybody to know.
    Refusal.VHOST_NOT_FOUND: ReasonCode.NOT_AUTHORIZED,
    Refusal.VHOST_ACCESS_REFUSED: ReasonCode.NOT_AUTHORIZED,
    Refusal.CLIENT_ID_TAKEN: ReasonCode.NOT_AUTHORIZED,
    Refusal.NOT_FOUND: ReasonCode.UNSPECIFIED_ERROR,
    Refusal.RESOURCE_LOCKED: ReasonCode.NOT_AUTHORIZED,
    Refusal.PRECONDITION_FAILED: ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    Refusal.COMMAND_INVALID: ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    Refusal.CONSUMER_TAG_IN_USE: ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    Refusal.NOT_IMPLEMENTED: ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
    Refusal.NO_ROUTE: ReasonCode.NO_MATCHING_SUBSCRIBERS,
    Refusal.RESOURCE_ERROR: ReasonCode.QUOTA_EXCEEDED,
}


def reason_for(refusal: Refusal, packet_type: PacketType) -> ReasonCode:
    """The code that such a packet says it with."""
    reason = REASONS[refusal]
    return reason if packet_type in CARRIERS[reason] else ReasonCode.UNSPECIFIED_ERROR
