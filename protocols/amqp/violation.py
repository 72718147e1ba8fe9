"""The peer broke the protocol.

Raised by whatever reads what a peer sent, and caught at one place: ``AmqpAdapter``, which turns it
into the last words of a channel or of the connection, as the code's scope says.
"""

from __future__ import annotations

from protocols.amqp.reply_codes import ReplyCode


class ProtocolViolation(Exception):
    """``detail`` becomes the reply text; ``class_id`` and ``method_id`` name the method at fault, or are 0."""

    def __init__(self, code: ReplyCode, detail: str, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(f"{code.name} - {detail}")
        self.code = code
        self.detail = detail
        self.class_id = class_id
        self.method_id = method_id
