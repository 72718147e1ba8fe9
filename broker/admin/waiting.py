"""What a node says over HTTP that has not come into its cluster yet."""

from __future__ import annotations

from http import HTTPStatus

from broker.admin import health
from broker.admin.administrators import json_refusal
from broker.admin.router import Router
from protocols.http.message import Request, Response


def waiting_site(why: health.WhyNot) -> Router:
    """``why``: what it waits for.  There are no users yet, so nobody is asked who he is."""

    def refuse(request: Request) -> Response:
        return json_refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"this node serves nobody yet: {why() or 'it is starting'}")

    router = Router(refuse)
    router.add("GET", "/health/live", health.live)
    router.add("GET", "/health/ready", health.ready(lambda: why() or "starting"))
    return router
