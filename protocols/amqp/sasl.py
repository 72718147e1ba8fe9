"""The login mechanisms: PLAIN (RFC 4616) and AMQPLAIN, which is a field table without its size.

Neither needs a challenge, so connection.secure is never sent.  ANONYMOUS is left out on purpose.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from broker.model.names import CONTROL_CHARACTER, NAME_SIZE_MAX, UserName
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.table import decode_table_entries
from protocols.amqp.violation import ProtocolViolation


class Login(msgspec.Struct, frozen=True):
    """Who a client says it is."""

    user: UserName
    password: bytes

    def __repr__(self) -> str:
        """A password is never shown."""
        return f"Login({self.user!r})"


def _plain(response: bytes) -> Login:
    """``authorization id NUL user NUL password``; the first is not used, as in RabbitMQ."""
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise _invalid("PLAIN")
    return Login(_user_name(parts[1], "PLAIN"), parts[2])


def _amqplain(response: bytes) -> Login:
    table = decode_table_entries(response, 0, len(response))
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    if not isinstance(user, str | bytes) or not isinstance(password, str | bytes):
        raise _invalid("AMQPLAIN")
    return Login(_user_name(_bytes(user), "AMQPLAIN"), _bytes(password))


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _user_name(encoded: bytes, mechanism: str) -> UserName:
    try:
        name = encoded.decode()
    except UnicodeDecodeError:
        raise _invalid(mechanism) from None
    if len(encoded) > NAME_SIZE_MAX or CONTROL_CHARACTER.search(name):
        raise _invalid(mechanism)
    return UserName(name)


def _invalid(mechanism: str) -> ProtocolViolation:
    """Says nothing of what was sent: half of it is a secret."""
    return ProtocolViolation(ReplyCode.SYNTAX_ERROR, f"response to mechanism {mechanism} is not valid")


MECHANISMS: dict[str, Callable[[bytes], Login]] = {"PLAIN": _plain, "AMQPLAIN": _amqplain}


def login(mechanism: str, response: bytes) -> Login:
    """Reads a start-ok's response; raises ProtocolViolation."""
    read = MECHANISMS.get(mechanism)
    if read is None:
        detail = f"unknown authentication mechanism '{mechanism}'"
        raise ProtocolViolation(ReplyCode.COMMAND_INVALID, detail)
    return read(response)
