"""What the broker's no looks like on the wire: the one table of it."""

from __future__ import annotations

from broker.model.refusals import Refusal
from protocols.amqp.reply_codes import ReplyCode

REPLY_CODES: dict[Refusal, ReplyCode] = {
    Refusal.ACCESS_REFUSED: ReplyCode.ACCESS_REFUSED,
    Refusal.LOGIN_REFUSED: ReplyCode.ACCESS_REFUSED,
    Refusal.CLIENT_ID_TAKEN: ReplyCode.ACCESS_REFUSED,
    Refusal.NOT_FOUND: ReplyCode.NOT_FOUND,
    Refusal.VHOST_NOT_FOUND: ReplyCode.NOT_ALLOWED,
    Refusal.VHOST_ACCESS_REFUSED: ReplyCode.NOT_ALLOWED,
    Refusal.RESOURCE_LOCKED: ReplyCode.RESOURCE_LOCKED,
    Refusal.PRECONDITION_FAILED: ReplyCode.PRECONDITION_FAILED,
    # An unknown exchange type closes its channel only, as in RabbitMQ 4; up to 3.13 it was 503 and took the connection.
    Refusal.COMMAND_INVALID: ReplyCode.PRECONDITION_FAILED,
    Refusal.CONSUMER_TAG_IN_USE: ReplyCode.NOT_ALLOWED,
    Refusal.NOT_IMPLEMENTED: ReplyCode.NOT_IMPLEMENTED,
    Refusal.NO_ROUTE: ReplyCode.NO_ROUTE,
    Refusal.RESOURCE_ERROR: ReplyCode.RESOURCE_ERROR,
}
"""The code's scope (``reply_codes.scope_of``) says whether it closes the channel or the connection.  On channel 0, for
a login or a vhost, it is the connection; NO_ROUTE is said by basic.return and closes nothing."""
