"""The broker's no.  A refusal is a value; each protocol has one table that says what it looks like."""

from __future__ import annotations

import enum


class Refusal(enum.Enum):
    """Why the broker will not do what it was asked."""

    ACCESS_REFUSED = enum.auto()
    """No right, a reserved name, the default exchange, an exclusive consumer."""
    LOGIN_REFUSED = enum.auto()
    CLIENT_ID_TAKEN = enum.auto()
    """Somebody else's session has that client id."""
    NOT_FOUND = enum.auto()
    VHOST_NOT_FOUND = enum.auto()
    VHOST_ACCESS_REFUSED = enum.auto()
    RESOURCE_LOCKED = enum.auto()
    """An exclusive queue of another connection."""
    PRECONDITION_FAILED = enum.auto()
    """Inequivalent declaration, unknown delivery tag, if-unused, if-empty, a bad argument."""
    COMMAND_INVALID = enum.auto()
    """Something this broker does not know, such as an exchange type."""
    CONSUMER_TAG_IN_USE = enum.auto()
    NOT_IMPLEMENTED = enum.auto()
    NO_ROUTE = enum.auto()
    """Mandatory and unroutable."""
    RESOURCE_ERROR = enum.auto()
    """A limit of ours, or a shard that can't serve."""
