"""Which handler answers a request: by method and path."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from protocols.http.message import Handler, Request, Response, refusal


class Router:
    """A handler made of handlers.  HEAD is GET; the connection leaves the body out."""

    def __init__(self, otherwise: Handler | None = None) -> None:
        """``otherwise`` answers what no path matches."""
        self._exact: dict[tuple[str, ...], dict[str, Handler]] = {}
        self._patterns: list[tuple[tuple[str, ...], dict[str, Handler]]] = []
        self._otherwise = otherwise

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """``/queues/{vhost}/{name}``: a segment in braces is any, and a parameter of that name."""
        assert pattern.startswith("/"), pattern
        segments = tuple(pattern[1:].split("/"))
        if not any(segment.startswith("{") for segment in segments):
            self._exact.setdefault(segments, {})[method] = handler
            return
        for known, handlers in self._patterns:
            if known == segments:
                handlers[method] = handler
                return
        self._patterns.append((segments, {method: handler}))

    def __call__(self, request: Request) -> Response:
        handlers, parameters = self._find(request.segments)
        if handlers is None:
            if self._otherwise is not None:
                return self._otherwise(request)
            return refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            return method_not_allowed(handlers)
        if parameters:
            request = msgspec.structs.replace(request, parameters=parameters)
        return handler(request)

    def _find(self, segments: tuple[str, ...]) -> tuple[dict[str, Handler] | None, dict[str, str]]:
        exact = self._exact.get(segments)
        if exact is not None:
            return exact, {}
        for pattern, handlers in self._patterns:
            if len(pattern) == len(segments):
                pairs = list(zip(pattern, segments, strict=True))
                if all(asked == wanted or wanted.startswith("{") for wanted, asked in pairs):
                    return handlers, {wanted[1:-1]: asked for wanted, asked in pairs if wanted.startswith("{")}
        return None, {}


def method_not_allowed(methods: dict[str, Handler]) -> Response:
    allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
    return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "not with this method", {"Allow": ", ".join(allowed)})
