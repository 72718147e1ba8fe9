"""A request's head, before h11 reads it: where it ends, and what h11 would let pass.

h11 takes bare line feeds, unfolds folded headers, lets Transfer-Encoding win over Content-Length and accepts the same
length twice: each is a way to have two servers see two different requests in the same bytes (RFC 9112, 11.2).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import h11

from protocols.http.settings import HEAD_SIZE_MAX
from protocols.http.violation import ProtocolViolation, bad_request

END = b"\r\n\r\n"
VERSIONS = (b"1.0", b"1.1")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)[^\n]|\0")
"""A line feed alone, a carriage return alone, NUL."""
_FOLDED = re.compile(rb"\r\n[ \t]")
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:", re.IGNORECASE)
_ENCODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def take_head(received: bytearray, scanned: int) -> tuple[bytes | None, int]:
    """The head that ``received`` begins with, taken out of it, or None; how far it need not be looked at again.

    Empty lines before it are taken out too (RFC 9112, 2.2).  Raises ProtocolViolation as soon as it is seen that no
    good head can come of it, at the same place however the bytes are cut.
    """
    while received.startswith(b"\r\n"):
        del received[:2]
        scanned = 0
    if not received or received == b"\r":
        return None, 0
    if _TOKEN.match(received) is None:
        raise bad_request("a request does not begin like this")
    limit = min(len(received), HEAD_SIZE_MAX)
    found = received.find(END, max(scanned - len(END), 0), limit)
    end = limit if found < 0 else found + len(END)
    if _BARE.search(received, max(scanned - 2, 0), end):
        raise bad_request("a bare line feed, a bare carriage return or a NUL")
    if found < 0:
        if len(received) >= HEAD_SIZE_MAX:
            detail = f"a head of more than {HEAD_SIZE_MAX} bytes"
            raise ProtocolViolation(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        return None, end
    head = bytes(received[:end])
    del received[:end]
    _check(head)
    return head, 0


def _check(head: bytes) -> None:
    if _FOLDED.search(head):
        raise bad_request("a folded header")
    lengths = len(_LENGTH.findall(head))
    if lengths > 1:
        raise bad_request("more than one Content-Length")
    if lengths and _ENCODING.search(head):
        raise bad_request("Content-Length and Transfer-Encoding")


def parse_head(head: bytes, connection: h11.Connection) -> h11.Request:
    """What h11 makes of it; ``connection`` goes on with the body.  Raises ProtocolViolation."""
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise violation_of(error) from error
    assert isinstance(event, h11.Request), event
    if event.http_version not in VERSIONS:
        raise ProtocolViolation(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this is HTTP/1.1")
    return event


def violation_of(error: h11.RemoteProtocolError) -> ProtocolViolation:
    return ProtocolViolation(HTTPStatus(error.error_status_hint), str(error))


def headers_of(event: h11.Request) -> dict[str, str]:
    """By name; a cookie that came in parts is joined with a semicolon, all else with a comma (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode(), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    return headers


def split_target(event: h11.Request) -> tuple[str, tuple[str, ...], str]:
    """Path, its decoded segments, query (RFC 9112, 3.2).  Raises ProtocolViolation."""
    target = event.target.decode("ascii", "replace")
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() in ("http", "https"):  # the form that proxies are sent
        target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise bad_request("a path begins with a slash")
    if "#" in target or "\ufffd" in target or _BAD_ESCAPE.search(path):
        raise bad_request("what is not plain in a path is percent-escaped")
    try:
        segments = tuple(unquote_to_bytes(segment).decode() for segment in path[1:].split("/"))
    except UnicodeDecodeError as error:
        raise bad_request("a path is UTF-8") from error
    if any("\0" in segment for segment in segments):
        raise bad_request("a NUL in a path")
    return path, segments, query
