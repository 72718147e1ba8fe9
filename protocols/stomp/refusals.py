"""What the broker's no looks like on the wire: the one table of it."""

from __future__ import annotations

import msgspec

from broker.model.refusals import Refusal


class ErrorText(msgspec.Struct, frozen=True):
    """ERROR's ``message`` header, and what the client can do about it, which ends the body."""

    message: str
    remedy: str


BAD_CONNECT = "Bad CONNECT"
_VHOST = "CONNECT's host names the vhost: check it, or leave it out for the listener's own."

ERRORS: dict[Refusal, ErrorText] = {
    Refusal.ACCESS_REFUSED: ErrorText("Access refused", "The user needs the right to do this."),
    Refusal.LOGIN_REFUSED: ErrorText(BAD_CONNECT, "Check login and passcode."),
    # Whether there is a vhost that it may not enter is not for everybody to know.
    Refusal.VHOST_NOT_FOUND: ErrorText(BAD_CONNECT, _VHOST),
    Refusal.VHOST_ACCESS_REFUSED: ErrorText(BAD_CONNECT, _VHOST),
    Refusal.CLIENT_ID_TAKEN: ErrorText("Access refused", "Another user's session has that client id."),
    Refusal.NOT_FOUND: ErrorText(
        "not_found", "Only /queue/ and /temp-queue/ destinations make a queue; anything else must be declared before."
    ),
    Refusal.RESOURCE_LOCKED: ErrorText("resource_locked", "An exclusive queue is for the connection that made it."),
    Refusal.PRECONDITION_FAILED: ErrorText(
        "precondition_failed",
        "A queue that was declared with other parameters is /amq/queue/<name>, or takes the same parameters as headers."
        " A message can be acknowledged once, while its subscription is there.",
    ),
    Refusal.COMMAND_INVALID: ErrorText("command_invalid", "This broker doesn't know it."),
    Refusal.CONSUMER_TAG_IN_USE: ErrorText("not_allowed", "Give each subscription an id of its own."),
    Refusal.NOT_IMPLEMENTED: ErrorText("not_implemented", "This broker doesn't serve it."),
    Refusal.NO_ROUTE: ErrorText("no_route", "Subscribe or bind a queue first."),
    Refusal.RESOURCE_ERROR: ErrorText(
        "resource_error", "The message was not taken: a queue is full, or the broker is at a limit. Try again later."
    ),
}
"""Where RabbitMQ's adapter has a word for it, it is the same."""
