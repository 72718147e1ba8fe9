"""Close codes and the payloads of close frames (RFC 6455, 5.5.1 and 7.4)."""

from __future__ import annotations

import enum

CONTROL_SIZE_MAX = 125


class CloseCode(enum.IntEnum):
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009


RECEIVABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
"""What a close frame may say; 1004 to 1006 and 1015 are for logs only, others are nobody's (IANA's registry)."""


class BadClose(Exception):
    """A close frame that may not be; ``code`` is the answer."""

    def __init__(self, code: CloseCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame says; a long reason is cut between two characters."""
    room = CONTROL_SIZE_MAX - 2
    return code.to_bytes(2, "big") + reason.encode()[:room].decode(errors="ignore").encode()


def answer_to(payload: bytes) -> bytes:
    """The payload of the close frame that answers this one: the same code.  Raises BadClose."""
    if not payload:
        return b""
    if len(payload) == 1:
        raise BadClose(CloseCode.PROTOCOL_ERROR, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if code not in RECEIVABLE:
        raise BadClose(CloseCode.PROTOCOL_ERROR, f"close code {code}")
    try:
        payload[2:].decode()
    except UnicodeDecodeError as error:
        raise BadClose(CloseCode.INVALID_PAYLOAD, "a close reason is not UTF-8") from error
    return payload[:2]
