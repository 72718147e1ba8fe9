"""``/api/cluster``: the cluster as JSON, and what administrators ask of it.

=======================================  ==========================================================
GET /api/cluster                         ClusterFigures
POST /api/cluster/add                    {"address": "host:port"}
POST /api/cluster/remove                 {"node": name or peer, "cancel": false}
POST /api/cluster/move                   {"shard": 1, "from": name or peer, "to": name or peer}
POST /api/cluster/transfer               {"shard": 1, "to": name or peer}
GET /api/cluster/operations/{id}         OperationFigures
=======================================  ==========================================================

A POST is answered with 202 and OperationFigures, 409 if it can't be done, 404 if what it names isn't there.  Every
refusal is {"error": why}.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec

from broker.admin.administrators import UserHandler, for_administrators, json_refusal
from broker.admin.cluster_operations import ALONE, ClusterDoor, ClusterOperations, Impossible
from broker.admin.health import json_response
from broker.admin.router import Router
from broker.core.back import Back
from broker.model.cluster_figures import OperationFigures
from broker.model.names import UserName
from protocols.http.message import Request, Response

ID_LENGTH_MAX = 18
JSON = "application/json"


class Add(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str


class Remove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    node: str
    cancel: bool = False


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shard: int
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shard: int
    target: str = msgspec.field(name="to")


Asked = TypeVar("Asked", Add, Remove, Move, Transfer)


def add_cluster_routes(router: Router, back: Back, door: ClusterDoor | None) -> None:
    """``door``: None on a node that runs alone, which says so."""

    def add(method: str, path: str, handler: UserHandler) -> None:
        router.add(method, f"/api/cluster{path}", for_administrators(back.topology, handler))

    if door is None:
        add("GET", "", alone)
        for action in ("add", "remove", "move", "transfer"):
            add("POST", f"/{action}", alone)
        return
    operations = ClusterOperations(back, door)
    told = door.figures
    add("GET", "", lambda request, user: json_response(told()))
    add("POST", "/add", asking(Add, lambda asked, user: operations.add(asked.address, user)))
    add("POST", "/remove", asking(Remove, lambda asked, user: operations.remove(asked.node, asked.cancel, user)))
    add("POST", "/move", asking(Move, lambda a, user: operations.move(a.shard, a.source, a.target, user)))
    add("POST", "/transfer", asking(Transfer, lambda a, user: operations.transfer(a.shard, a.target, user)))

    def operation(request: Request, user: UserName) -> Response:
        text = request.parameters["id"]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= ID_LENGTH_MAX else 0
        figures = operations.operation(number)
        if figures is None:
            return json_refusal(HTTPStatus.NOT_FOUND, "no such operation, or it was long ago: this node forgets them")
        return json_response(figures)

    add("GET", "/operations/{id}", operation)


def alone(request: Request, user: UserName) -> Response:
    return json_refusal(HTTPStatus.CONFLICT, ALONE)


def asking(type: type[Asked], ask: Callable[[Asked, UserName], OperationFigures]) -> UserHandler:
    """Of a body as JSON.  A page of another site can't have a browser send that unasked."""
    decoder = msgspec.json.Decoder(type)

    def answer(request: Request, user: UserName) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return json_refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body has to be {JSON}")
        try:
            figures = ask(decoder.decode(request.body), user)
        except msgspec.DecodeError as error:
            return json_refusal(HTTPStatus.BAD_REQUEST, str(error))
        except Impossible as why:
            return json_refusal(HTTPStatus.CONFLICT if why.found else HTTPStatus.NOT_FOUND, str(why))
        return json_response(figures, HTTPStatus.ACCEPTED)

    return answer
