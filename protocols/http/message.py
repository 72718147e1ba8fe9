"""Requests and responses as handlers see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec


class Request(msgspec.Struct, frozen=True):
    """One request, whole."""

    method: str
    """In capitals, as it came."""
    path: str
    """As it came, without the query: percent-escapes are in it."""
    segments: tuple[str, ...]
    """Between the slashes, decoded: ``/a/b%2Fc/`` is ("a", "b/c", "")."""
    query: str
    headers: Mapping[str, str]
    """By their names in lower case; those that came more than once joined with a comma."""
    body: bytes
    peer: str
    """The client's address."""
    loopback: bool
    parameters: Mapping[str, str] = {}
    """What the path holds where the route has braces."""


class Response(msgspec.Struct, frozen=True):
    """What is answered.  Content-Length, Date and the headers of ``connection.py`` come to it."""

    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: Mapping[str, str] = {}
    """More of them, or others in the place of the usual."""


Handler = Callable[[Request], Response]
"""A plain function: what it needs to know of the broker it is made with."""


def refusal(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A line that says why not."""
    return Response(status, body=f"{status.value} {status.phrase}: {detail}\n".encode(), headers=headers or {})
