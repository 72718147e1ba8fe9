"""The peer broke the protocol.

Raised by whatever reads what a peer sent, and caught at one place, the adapter, which sends ERROR and hangs up.
"""

from __future__ import annotations


class ProtocolViolation(Exception):
    """``message`` is ERROR's header, ``detail`` its body.

    ``receipt_id``: of the frame at fault, if it asked for one.  ``subscription``: the id of the one that is meant.
    """

    def __init__(self, message: str, detail: str, receipt_id: bytes = b"", subscription: str | None = None) -> None:
        super().__init__(f"{message}: {detail}")
        self.message = message
        self.detail = detail
        self.receipt_id = receipt_id
        self.subscription = subscription


def invalid_header(name: str, value: str, wanted: str) -> ProtocolViolation:
    """A header's value is none that it can have."""
    return ProtocolViolation("Invalid header", f"'{name}:{value}': {wanted}")


def missing_header(command: str, name: str, why: str = "") -> ProtocolViolation:
    """A frame lacks what it must have."""
    return ProtocolViolation("Missing header", f"{command} must include the '{name}' header{why}")
