"""The peer broke the protocol.

Raised by whatever reads what a peer sent, and caught at one place, the adapter: in MQTT 5 it sends DISCONNECT with the
reason code, or CONNACK if it was CONNECT that is at fault; in MQTT 3 it hangs up, after a CONNACK if it was CONNECT
and ``RETURN_CODES`` has a return code for it.
"""

from __future__ import annotations

from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.version import Version


class ProtocolViolation(Exception):
    """``version`` says in which version's words to answer; None: it is not known, so there is no answer."""

    def __init__(self, reason_code: ReasonCode, detail: str, version: Version | None = None) -> None:
        super().__init__(f"{reason_code.name} - {detail}")
        self.reason_code = reason_code
        self.detail = detail
        self.version = version


def malformed(detail: str) -> ProtocolViolation:
    """It can't be read as the specification says (MQTT 5, 1.2)."""
    return ProtocolViolation(ReasonCode.MALFORMED_PACKET, detail)


def protocol_error(detail: str) -> ProtocolViolation:
    """It can be read, and says what the protocol doesn't allow (MQTT 5, 1.2)."""
    return ProtocolViolation(ReasonCode.PROTOCOL_ERROR, detail)
