"""Health, as orchestrators ask for it: alive, and ready to serve."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from protocols.http.message import Handler, Request, Response

WhyNot = Callable[[], str | None]
"""Why publishers can't be served; None: they can."""


def json_response(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, "application/json", msgspec.json.encode(content) + b"\n")


def live(request: Request) -> Response:
    """That it answers is the answer."""
    return json_response({"status": "ok"})


def ready(why_not: WhyNot) -> Handler:
    """503 with the reason while there is one."""

    def answer(request: Request) -> Response:
        reason = why_not()
        if reason is None:
            return json_response({"status": "ok"})
        return json_response({"status": "unavailable", "reason": reason}, HTTPStatus.SERVICE_UNAVAILABLE)

    return answer
