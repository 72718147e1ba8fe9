"""The cluster's HTTP API (broker/admin/cluster_api.py), asked with what Python itself has."""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from broker.model.cluster_figures import ClusterFigures, OperationFigures

FiguresT = TypeVar("FiguresT", ClusterFigures, OperationFigures)
TIMEOUT_S = 5.0
SERVICE_UNAVAILABLE = 503
BODY_SIZE_MAX = 64 << 20


class Unreachable(Exception):
    """Nobody answered, or not as a broker does."""


class NotAllowed(Exception):
    """Another user or password is needed."""


class Refused(Exception):
    """The cluster won't do it, and changed nothing."""


class _Answer(msgspec.Struct, frozen=True):
    error: str


class ClusterClient:
    """Asks one node."""

    def __init__(self, url: str, user: str, password: str) -> None:
        """Raises ValueError in words."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"--url {url}: not a node's HTTP address, such as http://127.0.0.1:15672")
        if parts.username is not None:
            raise ValueError(f"--url: give the user as --user {parts.username}, and the password when asked")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.user = user
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        # A proxy is not on the way to a node, whatever the environment says.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def cluster(self) -> ClusterFigures:
        """Raises Unreachable, NotAllowed or Refused, as the others do."""
        return self._decode(self._ask("GET", "", None), ClusterFigures)

    def ask(self, action: str, **wishes: object) -> OperationFigures:
        """``from_`` is sent as ``from``."""
        body = msgspec.json.encode({name.rstrip("_"): value for name, value in wishes.items()})
        return self._decode(self._ask("POST", f"/{action}", body), OperationFigures)

    def operation(self, id: int) -> OperationFigures:
        return self._decode(self._ask("GET", f"/operations/{id}", None), OperationFigures)

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"{self.url}/api/cluster{path}", body, self._headers, method=method)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return bytes(response.read(BODY_SIZE_MAX))
        except urllib.error.HTTPError as error:
            raise self._problem(error.code, error.read(BODY_SIZE_MAX)) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.url} can't be reached: {_words(error)}") from error

    def _problem(self, status: int, body: bytes) -> Exception:
        try:
            why = msgspec.json.decode(body, type=_Answer).error
        except msgspec.DecodeError:
            return Unreachable(f"{self.url} answers {status}, and not as Dragoman does: is it a node's HTTP listener?")
        if status == SERVICE_UNAVAILABLE:
            return Unreachable(f"{self.url}: {why}")
        return {401: NotAllowed, 403: NotAllowed}.get(status, Refused)(why)

    def _decode(self, body: bytes, type: type[FiguresT]) -> FiguresT:
        try:
            return msgspec.json.decode(body, type=type)
        except msgspec.DecodeError as error:
            raise Unreachable(f"{self.url} answers what isn't understood here: {error}") from error


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
