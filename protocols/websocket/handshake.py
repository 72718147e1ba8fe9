"""The opening handshake (RFC 6455, 4.2): who may connect, and what will be spoken."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request
from wsproto.utilities import RemoteProtocolError

from protocols.websocket.inner import PATHS, TOKENS, Protocols
from protocols.websocket.settings import WebSocketSettings

KEY_SIZE = 16
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?P<host>[^/?#@]+)")
DEFAULT_PORTS = {"http": "80", "https": "443"}


class Accepted(msgspec.Struct, frozen=True):
    """The upgrade is done by sending ``output``."""

    output: bytes
    protocol: str | None
    """Its name; None: the first bytes will tell."""
    token: str | None


class NotAccepted(msgspec.Struct, frozen=True):
    """An HTTP answer says why not."""

    status: HTTPStatus
    detail: str
    headers: Mapping[str, str] = {}


def shake_hands(
    method: str, path: str, headers: Mapping[str, str], protocols: Protocols, settings: WebSocketSettings
) -> Accepted | NotAccepted:
    """``headers`` by lower-case names.  Extensions are declined: wsproto inflates without a limit (limits, 12)."""
    if path not in PATHS:
        return NotAccepted(HTTPStatus.NOT_FOUND, f"there is no WebSocket here, but at {', '.join(PATHS)}")
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        return NotAccepted(HTTPStatus.BAD_REQUEST, "a Host that is none")
    if not is_allowed(headers.get("origin"), host, settings.origins):
        return NotAccepted(HTTPStatus.FORBIDDEN, "this origin may not connect (allowed_origins)")
    asked = _Asked(method, path, headers)
    refused = asked.refusal()
    if refused is not None:
        return refused
    chosen = choose(path, asked.tokens, protocols)
    if isinstance(chosen, NotAccepted):
        return chosen
    protocol, token = chosen
    return Accepted(asked.accept(token), protocol, token)


def choose(path: str, offered: list[str], protocols: Protocols) -> tuple[str | None, str | None] | NotAccepted:
    """The protocol's name (None: its first bytes will tell) and the token to be echoed, if any was offered."""
    known = [token for token in offered if token in TOKENS]
    if offered and not known:
        # A browser gives up a connection that answers none of its tokens: better to say why.
        return NotAccepted(HTTPStatus.BAD_REQUEST, f"no subprotocol of these: {', '.join(TOKENS)}")
    for token in known:
        if TOKENS[token] in protocols:
            return TOKENS[token], token
    named = TOKENS[known[0]] if known else PATHS[path]
    if named is not None and named not in protocols:
        return NotAccepted(HTTPStatus.NOT_FOUND, f"{named} is not spoken here")
    return named, None


def is_allowed(origin: str | None, host: str, origins: frozenset[str]) -> bool:
    """A browser says where its page is from; others have no Origin (RFC 6455, 10.2)."""
    if origin is None or "*" in origins or origin in origins:
        return True
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    port = DEFAULT_PORTS.get(origin.partition(":")[0], "")
    return found["host"].lower().removesuffix(f":{port}") == host.lower().removesuffix(f":{port}")


class _Asked:
    """What wsproto says to a request.  It gets the headers it looks at, once they are known to be plain."""

    def __init__(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._wire = WSConnection(ConnectionType.SERVER)
        named = ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol")
        values = {name: headers[name] for name in named if name in headers}
        self._plain = all(value.isascii() for value in values.values())
        lines = [f"{method} {path} HTTP/1.1", "host: here", *(f"{name}: {value}" for name, value in values.items())]
        self._head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")
        self.tokens: list[str] = []

    def refusal(self) -> NotAccepted | None:
        """What is wrong with it."""
        if not self._plain:
            return NotAccepted(HTTPStatus.BAD_REQUEST, "a header that is not ASCII")
        try:
            self._wire.receive_data(self._head)
        except RemoteProtocolError as error:
            hint = error.event_hint
            assert isinstance(hint, RejectConnection), hint
            headers = {name.decode(): value.decode() for name, value in hint.headers}
            return NotAccepted(HTTPStatus(hint.status_code), str(error), headers)
        [request] = self._wire.events()
        assert isinstance(request, Request), request
        self.tokens = request.subprotocols
        try:
            key = base64.b64decode(self._headers["sec-websocket-key"], validate=True)
        except binascii.Error:
            key = b""
        return None if len(key) == KEY_SIZE else NotAccepted(HTTPStatus.BAD_REQUEST, "a key is 16 bytes in base64")

    def accept(self, token: str | None) -> bytes:
        return self._wire.send(AcceptConnection(subprotocol=token))
