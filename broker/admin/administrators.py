"""Who may ask the administrative part of HTTP: users with the administrator's tag, by Basic authentication."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from broker.admin.health import json_response
from broker.core.topology import Topology
from broker.model.names import UserName
from protocols.http.message import Handler, Request, Response
from protocols.websocket.basic_auth import read_basic_auth

CHALLENGE = {"WWW-Authenticate": 'Basic realm="dragoman", charset="UTF-8"'}
UserHandler = Callable[[Request, UserName], Response]
"""A handler that is told who asks."""


def json_refusal(status: HTTPStatus, why: str) -> Response:
    return json_response({"error": why}, status)


def for_administrators(topology: Topology, handler: UserHandler) -> Handler:
    """401 to whom is not known, 403 to whoever may not."""

    def answer(request: Request) -> Response:
        given = read_basic_auth(request.headers.get("authorization"))
        if given is None:
            return _unknown("this is for administrators: give a user and a password")
        user = UserName(given[0])
        if not topology.authenticate(user, given[1], request.loopback):
            return _unknown("no such user, another password, or a user that only this machine may use")
        if not topology.is_administrator(user):
            return json_refusal(HTTPStatus.FORBIDDEN, f"user '{user}' lacks the tag administrator")
        return handler(request, user)

    return answer


def _unknown(why: str) -> Response:
    response = json_refusal(HTTPStatus.UNAUTHORIZED, why)
    return Response(response.status, response.content_type, response.body, CHALLENGE)
