"""What is wrong with a request before anybody looked at what it is about."""

from __future__ import annotations

from http import HTTPStatus


class ProtocolViolation(Exception):
    """Answered with ``status`` and ``detail``; the connection ends with it."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def bad_request(detail: str) -> ProtocolViolation:
    return ProtocolViolation(HTTPStatus.BAD_REQUEST, detail)
